"""Extractors by name."""

from __future__ import annotations

from pathlib import Path

import torch

from augury.errors import SettingsError
from augury.metrics.features import Extractor, Progress, pixels
from augury.metrics.lite0 import lite0
from augury.metrics.networks import inception, timm
from augury.metrics.own import FILE, of_run
from augury.metrics.phash import phash

EXTRACTORS = (
    "lite0",
    "classifier",
    "classifier=RUN",
    "pixels",
    "phash",
    "inception=FILE",
    "timm:NAME",
    "timm:NAME=FILE",
    "PATH",
)
"""Names that `extractor` accepts. FILE is a weights file, a state dict or safetensors; PATH is a run folder or an
Inception file.
"""


def extractor(
    name: str | Extractor,
    shape: tuple[int, int, int],
    device: str | torch.device = "cpu",
    classifier: Extractor | None = None,
    progress: Progress | None = None,
    *,
    sha256: str = "",
) -> Extractor:
    """The extractor of this name; an Extractor is returned unchanged.

    Parameters
    ----------
    name : str or Extractor
        One of `EXTRACTORS`.
    shape : (int, int, int)
        C, H, W of the images.
    device : str or torch.device
        Where the network runs.
    classifier : Extractor, optional
        The meaning of the name "classifier": the caller's own network through `from_network`.
    progress : callable, optional
        Called with (images done, images in all) after each batch.
    sha256 : str
        The beginning that the SHA-256 of FILE must have.

    Returns
    -------
    Extractor
        The extractor.

    Raises
    ------
    SettingsError
        For an unknown name, "classifier" without a classifier, or "inception" without its file.
    WeightsError
        For a FILE with other contents than required.
    """
    if isinstance(name, Extractor):
        return name
    family, _, file = (_spelt(name) if Path(name).exists() else name).partition("=")
    if sha256 and (not file or family == "classifier"):
        raise SettingsError(f"the features '{name}' have no weights file that could have a checksum; leave it out")
    if family == "classifier":
        return _classifier(classifier, file, shape, device)
    if family == "inception":
        if not file:
            raise SettingsError(
                "the features 'inception' need a weights file, and none is downloaded; say inception=FILE (or --weights FILE), the PyTorch "
                "state dict of the 2015-12-05 graph, or use lite0"
            )
        return inception(Path(file), device, progress, sha256=sha256)
    if family.startswith("timm:"):
        weights = Path(file) if file else None
        return timm(family.removeprefix("timm:"), weights, device, progress, sha256=sha256)
    if name == "lite0":
        return lite0(device, progress)
    if name == "pixels":
        return pixels(shape)
    if name == "phash":
        return phash()
    raise SettingsError(f"there are no features '{name}'; choose one of: {', '.join(EXTRACTORS)}")


def _spelt(path: str) -> str:
    """The full form of a path: the classifier of a run folder, or the Inception network of a file."""
    return f"{'classifier' if (Path(path) / FILE).exists() else 'inception'}={path}"


def _classifier(
    classifier: Extractor | None, run: str, shape: tuple[int, int, int], device: str | torch.device
) -> Extractor:
    if run:
        return of_run(Path(run), device, shape[0])
    if classifier is None:
        raise SettingsError(
            "the features 'classifier' need a classifier, but there is none; say classifier=RUN, a run folder, "
            "or use lite0 or pixels"
        )
    return classifier
