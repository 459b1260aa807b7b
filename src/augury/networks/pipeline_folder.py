"""A folder with a diffusers pipeline: checked, identified by a digest, and loaded. Nothing is downloaded or unpickled."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import torch

from augury.errors import MissingExtraError, SettingsError, WeightsError, shortened

INSTALL = "pip install 'augury[diffusers]'"
INDEX = "model_index.json"
PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
"""Files that may contain code, which loading them would execute."""
LOADED = {".safetensors", ".json", ".txt", ".model"}
"""Files that diffusers and transformers read: weights, configurations and vocabularies."""
LIBRARIES = ("diffusers", "transformers", None)
"""Packages that a component may come from; a component that a user left out has none."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def check_folder(folder: Path) -> dict[str, Any]:
    """Read model_index.json of a folder, and refuse what is not a pipeline with safe weights.

    Parameters
    ----------
    folder
        Folder written by `save_pretrained` of diffusers, or downloaded earlier.

    Returns
    -------
    The index: name of the pipeline's class, and library and class of each component.

    Raises
    ------
    WeightsError
        For a missing or damaged index, pickled weights, code in the folder, and a folder without weights.
    """
    file = folder / INDEX
    if not file.is_file():
        raise WeightsError(
            f"{folder}: not a diffusers pipeline (no {INDEX}); give the folder that pipeline.save_pretrained(FOLDER) "
            "wrote, in train.overrides as pipeline. Nothing is downloaded"
        )
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
        name = index["_class_name"]
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise WeightsError(f"{file}: cannot be read ({error}); save the pipeline again with save_pretrained") from error
    if pickles := [path for path in _files(folder) if path.suffix in PICKLES]:
        raise WeightsError(
            f"{pickles[0]}: a pickled file, which could execute code when it is loaded; only safetensors are read. Delete it "
            "where a .safetensors file lies beside it, or save the pipeline again with save_pretrained(FOLDER, "
            "safe_serialization=True)"
        )
    if code := [path for path in _files(folder) if path.suffix == ".py"]:
        raise WeightsError(
            f"{code[0]}: code in a pipeline's folder is not executed; use a pipeline of diffusers itself"
        )
    if not any(path.suffix == ".safetensors" for path in _files(folder)):
        raise WeightsError(f"{folder}: has no .safetensors file; save the pipeline again with save_pretrained")
    if not isinstance(name, str):
        raise WeightsError(f"{file}: names code of its own as its class ({name}); use a pipeline of diffusers itself")
    for component, entry in index.items():
        if isinstance(entry, list) and not (len(entry) == 2 and _known(entry[0])):
            raise WeightsError(
                f"{file}: the component {component} is from {entry[0]!r}, which is neither diffusers nor transformers; "
                "use a pipeline of these packages"
            )
    return dict(index)


def _known(library: Any) -> bool:
    """Whether a component's library is allowed. Pipelines' own parts, such as a safety checker, name a package of diffusers."""
    if library in LIBRARIES:
        return True
    if not isinstance(library, str) or not re.fullmatch("[a-z_0-9]+", library):
        return False
    diffusers()
    try:
        return importlib.util.find_spec(f"diffusers.pipelines.{library}") is not None
    except ModuleNotFoundError:
        return False


def _files(folder: Path) -> list[Path]:
    """All files of the folder but hidden ones, in a fixed order."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def folder_digest(folder: Path) -> str:
    """Identify a pipeline by the content of its weights, configurations and vocabularies.

    Parameters
    ----------
    folder
        The folder of the pipeline.

    Returns
    -------
    16 hex digits, the same for the same content in another place.
    """
    files = [path for path in _files(folder) if path.suffix in LOADED]
    facts = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return _digest(folder, tuple(files), tuple(facts))


@lru_cache(maxsize=8)
def _digest(folder: Path, files: tuple[Path, ...], facts: tuple[tuple[int, int], ...]) -> str:
    """SHA-256 of names and contents. Sizes and times in `facts` are the key of the cache: a pipeline can have gigabytes."""
    sha = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        sha.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return sha.hexdigest()[:16]


def object_digest(pipeline: Any) -> str:
    """Identify a pipeline in memory by its class and the weights of its components, 16 hex digits."""
    sha = hashlib.sha256(f"{type(pipeline).__module__}.{type(pipeline).__qualname__}".encode())
    for name, component in sorted(getattr(pipeline, "components", {}).items()):
        for key, value in component.state_dict().items() if isinstance(component, torch.nn.Module) else ():
            sha.update(f"{name}.{key} {value.dtype} {tuple(value.shape)}".encode())
            sha.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]


def diffusers() -> Any:
    """The package. Raises MissingExtraError without it."""
    try:
        return importlib.import_module("diffusers")
    except ImportError as error:
        raise MissingExtraError(
            f"a local diffusion pipeline needs the packages diffusers and transformers; install them with: {INSTALL}"
        ) from error


def pipeline_class(name: str, *, translates: bool) -> Any:
    """Find the class of diffusers that runs a pipeline.

    Parameters
    ----------
    name
        Name of the class, such as StableDiffusionPipeline.
    translates
        Whether it must take images. Where the class does not, its Img2Img variant does: the weights are the same.

    Returns
    -------
    The class.

    Raises
    ------
    SettingsError
        For a class that diffusers does not have, or that is no pipeline.
    MissingExtraError
        Without diffusers, or without a package that this class needs.
    """
    package = diffusers()
    chosen = getattr(package, name, None)
    if translates and (chosen is None or "image" not in signature(chosen.__call__).parameters):
        chosen = getattr(package, name.removesuffix("Pipeline") + "Img2ImgPipeline", chosen)
    if chosen is None:
        raise SettingsError(
            f"diffusers {package.__version__} has no class {name}; install the version that wrote the folder, or name another "
            "as class_name in train.overrides"
        )
    if ".dummy_" in chosen.__module__:
        raise MissingExtraError(f"{name} needs transformers as well; install it with: {INSTALL}")
    if not (isinstance(chosen, type) and issubclass(chosen, package.DiffusionPipeline)):
        raise SettingsError(f"class_name={name} is no pipeline of diffusers; name one, such as StableDiffusionPipeline")
    return chosen


def parameters(call: Any) -> dict[str, Any]:
    """Name and default of each argument of a pipeline's call; None where there is no default."""
    listed = signature(call).parameters.values()
    named = [each for each in listed if each.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)]
    return {each.name: None if each.default is Parameter.empty else each.default for each in named}


def native_size(folder: Path) -> int:
    """The side in px for which a pipeline was trained, from its configurations; 0 where they do not say it."""
    latent = max((_config(folder, name).get("sample_size") or 0 for name in ("unet", "transformer")), key=_longest)
    blocks = _config(folder, "vae").get("block_out_channels") or [0]
    return _longest(latent) << (len(blocks) - 1)


def _config(folder: Path, component: str) -> Mapping[str, Any]:
    file = folder / component / "config.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _longest(size: int | list[int]) -> int:
    return max(size) if isinstance(size, list) else size


def load_pipeline(folder: Path, class_name: str, digest: str, precision: str) -> Any:
    """Load a pipeline from its folder.

    Parameters
    ----------
    folder
        The folder.
    class_name
        The class of diffusers.
    digest
        What `folder_digest` returned when the run began.
    precision
        "fp32" or "bf16".

    Returns
    -------
    The pipeline on the CPU, without a progress bar.

    Raises
    ------
    WeightsError
        When the folder is missing or has changed, or diffusers cannot load it.
    MissingExtraError
        Without the packages that it needs.
    """
    check_folder(folder)
    if digest != (now := folder_digest(folder)):
        raise WeightsError(
            f"{folder}: the pipeline has changed since this run began (digest {digest}, now {now}), so its images could not be "
            "drawn again; put the earlier files back, or begin a new run"
        )
    weights = [path.name for path in _files(folder) if path.suffix == ".safetensors"]
    half = all(".fp16" in name for name in weights)
    try:
        with _without_bars():
            pipeline = pipeline_class(class_name, translates=False).from_pretrained(
                str(folder.resolve()),
                dtype=DTYPES[precision],
                variant="fp16" if half else None,
                use_safetensors=True,
                local_files_only=True,
            )
    except ImportError as error:
        raise MissingExtraError(
            f"{folder}: {shortened(str(error).strip(), 200)}; install the packages with: {INSTALL}"
        ) from error
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{folder}: diffusers cannot load it ({shortened(str(error), 300)}); load it with diffusers itself to see more, or "
            "save it again with save_pretrained"
        ) from error
    if pipeline.dtype != DTYPES[precision]:  # releases that call the argument torch_dtype ignore it above
        pipeline.to(DTYPES[precision])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@contextmanager
def _without_bars() -> Iterator[None]:
    """Hide the progress bars with which both packages load components."""
    loggers = []
    for name in ("diffusers", "transformers"):
        with suppress(ImportError):
            loggers.append(importlib.import_module(f"{name}.utils.logging"))
    for logger in loggers:
        logger.disable_progress_bar()
    try:
        yield
    finally:
        for logger in loggers:
            logger.enable_progress_bar()
