"""Damaged files for every parser: each must be read, or refused with an error of Augury."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import augury
from augury.data import load
from augury.errors import AuguryError
from augury.generation import Directions, edit, find_directions
from augury.images import LabelledImages
from augury.metrics import frechet_of_moments, merged
from augury.networks.weights import tensors
from augury.pipeline.inputs import Callbacks
from augury.pipeline.run_folder import Run
from augury.pipeline.settings_file import read_settings
from augury.pipeline.trial_cache import load_cache, trial_results
from augury.proof import arm_of
from augury.randomness import rng
from augury.settings import ProveSettings
from augury.shards import ShardOptions, generate_shards, merge, stored_moments
from augury.training import checkpoints
from tests.helpers import image_files
from tests.helpers.generation_data import tiny
from tests.helpers.linear_generator import linear_synthesizer

VALUES: tuple[Any, ...] = (None, True, -1, 0, 1e308, 2**63, "", "../../x", "a" * 300, [], {}, [[]], float("1e-9"))
"""What a value in a JSON file becomes."""


@dataclass(frozen=True)
class Target:
    """A parser and the valid files that it reads.

    Parameters
    ----------
    make
        Writes the valid files into a folder, and returns the path to read.
    files
        The glob of the files to damage, in that folder.
    parse
        Reads the path.
    """

    make: Callable[[Path], Path]
    files: str
    parse: Callable[[Path], object]


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """The content with one to three changes: bytes changed, removed, repeated, inserted or cut off."""
    values = bytearray(content)
    for _ in range(int(random.integers(1, 4))):
        at = int(random.integers(0, len(values) + 1))
        end = min(len(values), at + int(random.integers(1, 64)))
        kind = int(random.integers(0, 6))
        if kind == 0 and at < len(values):
            values[at] ^= 1 << int(random.integers(0, 8))
        elif kind == 1 and at < len(values):
            values[at] = int(random.choice([0, 1, 9, 10, 34, 44, 48, 57, 127, 128, 255]))
        elif kind == 2:
            del values[at:end]
        elif kind == 3:
            values[at:at] = values[at:end] * int(random.integers(1, 5))
        elif kind == 4:
            values[at:at] = random.bytes(int(random.integers(1, 16)))
        elif kind == 5 and random.random() < 0.3:
            del values[at:]
    return bytes(values)


def mutated_json(content: bytes, random: np.random.Generator) -> bytes:
    """The JSON value, or the lines of JSON values, with one entry removed, renamed or replaced by another value."""
    lines = content.decode().rstrip("\n").split("\n") if content[:2] != b"{\n" else [content.decode()]
    which = int(random.integers(len(lines)))
    value = json.loads(lines[which])
    places = list(entries(value))
    if not places:
        return content
    parent, key = places[int(random.integers(len(places)))]
    kind = int(random.integers(0, 4))
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    else:
        parent[key] = VALUES[int(random.integers(len(VALUES)))]
    lines[which] = json.dumps(value)
    return "\n".join(lines).encode()


def entries(value: Any) -> Iterator[tuple[Any, Any]]:
    """(parent, key) of every entry of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from entries(inner)


def images(name: str) -> Target:
    """A format of images."""
    make = image_files.MAKERS[name][1]
    return Target(
        lambda root: make(root / "set"),
        "set/**/*",
        lambda path: np.asarray(load(path, size=8, cache=path.parent / "cache").images[:]),
    )


@contextmanager
def changed_file(path: Path, content: bytes) -> Iterator[None]:
    """The file with another content, within the block."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def photos() -> LabelledImages:
    """120 images of noise with a bright or a dark square."""
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    images = random.integers(0, 256, (120, 12, 12), dtype=np.uint8)
    images[:, 2:6, 2:6] = np.where(labels[:, None, None] == 1, 250, 20)
    return augury.data.from_arrays(images, labels)


SETTINGS: dict[str, Any] = {
    "train": {"recipe": "dcgan", "steps": 4, "precision": "fp32", "batch": 8},
    "score": {"limit": 20},
    "prove": {"steps": 4, "seeds": 2, "arms": ["randaugment", "gan"], "classifier": "cnn"},
}
"""A run of seconds."""


def small_run(folder: Path) -> Run:
    """A finished run, to be copied by `make` of the targets that read run folders."""
    return augury.run(photos(), folder, settings=SETTINGS)


def merged_copy(folder: Path) -> object:
    """The merge of a copy of shards, as a merge changes its folder."""
    with tempfile.TemporaryDirectory() as name:
        return merge(shutil.copytree(folder, Path(name) / "many"))


def distance_to_itself(folder: Path) -> float:
    """The distance of merged shards to themselves, from their moments."""
    whole = merged(stored_moments(folder)[1])
    return frechet_of_moments(whole, whole)


def edited(folder: Path) -> object:
    """An image, edited along the first of the stored directions."""
    synthesizer = linear_synthesizer()
    found = Directions.load(folder, synthesizer)
    return [edit(synthesizer, found, {entry.name: 1.0}, [[0, 1]], frames=2) for entry in found.entries[:1]]


def trial_of(root: Path) -> object:
    """What is read of the stored results of a trial."""
    arms = [arm_of(name) for name in trial_results(Run(root))]
    return arms, load_cache(root / "trial.json", [], ProveSettings(), photos(), Callbacks())


def targets(run: Path) -> dict[str, Target]:
    """Every parser by name. `run` is a finished run folder."""

    def shards(root: Path) -> Path:
        tiny().save(root / "generator")
        generate_shards(root / "generator", root / "many", 70, ShardOptions(features="pixels", workers=1))
        merge(root / "many")
        return root / "many"

    def directions(root: Path) -> Path:
        find_directions(linear_synthesizer()).save(root / "directions")
        return root / "directions"

    def copied(*names: str) -> Callable[[Path], Path]:
        def make(root: Path) -> Path:
            for name in ("run.json", "state.json", *names):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if (run / name).is_dir() else shutil.copy)(run / name, root / name)
            return root

        return make

    formats = {
        f"images, {name}": images(name)
        for name, (_, _, package) in image_files.MAKERS.items()
        if not package or find_spec(package)
    }
    return {
        **formats,
        "weights": Target(
            copied("classifier.safetensors"), "*.safetensors", lambda root: tensors(root / "classifier.safetensors")
        ),
        "checkpoint": Target(
            copied("train"), "train/checkpoint-*.safetensors", lambda root: checkpoints.newest(root / "train")
        ),
        "synthesizer": Target(copied("synthesizer"), "synthesizer/[cw]*", lambda root: Run(root).synthesizer),
        "classifier": Target(copied("classifier"), "classifier/[cw]*", lambda root: Run(root).classifier),
        "settings.yaml": Target(
            copied("settings.yaml"), "settings.yaml", lambda root: read_settings(root / "settings.yaml")
        ),
        "run.json": Target(copied(), "run.json", lambda root: (Run(root).settings, repr(Run(root)))),
        "state.json": Target(copied(), "state.json", lambda root: Run(root).is_done("split", {})),
        "verdict.json": Target(copied("verdict.json"), "verdict.json", lambda root: Run(root).verdict),
        "scores.json": Target(copied("scores.json"), "scores.json", lambda root: Run(root).scores),
        "split.npy": Target(copied("split.npy"), "split.npy", lambda root: Run(root).split),
        "synthetic images": Target(copied("synthetic"), "synthetic/*", lambda root: Run(root).synthetic),
        "shard plan": Target(shards, "many/plan.json", merged_copy),
        "shard manifest": Target(shards, "many/shard-*.json", merged_copy),
        "shard moments": Target(shards, "many/moments.safetensors", distance_to_itself),
        "directions.json": Target(directions, "directions/directions.json", edited),
        "trial.json": Target(copied("trial.json", "verdict.json"), "trial.json", trial_of),
    }


def attempts(
    name: str, target: Target, root: Path, numbers: Iterable[int], seed: int = 0
) -> Iterator[tuple[int, Exception | None]]:
    """(number, error) of each damaged input: None where it was read or refused with an AuguryError.

    Input `number` depends on the seed, the name and the number alone, so that one can be repeated.
    """
    root.mkdir(parents=True, exist_ok=True)
    path = target.make(root)
    files = sorted(path for path in root.glob(target.files) if path.is_file())
    assert files, f"{name}: no file to damage"
    for number in numbers:
        random = rng(seed, "fuzz", name, number)
        file = files[int(random.integers(len(files)))]
        content = file.read_bytes()
        structured = file.suffix in (".json", ".jsonl") and random.random() < 0.7
        with changed_file(file, (mutated_json if structured else mutated)(content, random)):
            try:
                target.parse(path)
            except AuguryError:
                yield number, None
            except Exception as error:
                yield number, error
            else:
                yield number, None
