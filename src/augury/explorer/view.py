"""What the pages share: the run, and its generator and images, which are read when a page first needs them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from augury.errors import RunFolderError
from augury.explorer.photographs import Photographs
from augury.files import read_json
from augury.generation import Directions, find_directions
from augury.images import LabelledImages, SyntheticImages
from augury.pipeline.inputs import Callbacks, read
from augury.pipeline.latent_runs import FOLDER
from augury.pipeline.run_folder import Run
from augury.pipeline.session import Session
from augury.settings import RunSettings
from augury.training import Synthesizer, choose_device
from augury.validation import validated

CACHED = ("synthesizer", "synthetic", "splits", "directions")
"""What a view reads once, each with a lock of its own: reading large data must not hold up the generator."""


@dataclass
class RunView:
    """A run that is read, never held: another process may work in its folder meanwhile.

    Requests are answered in several threads. `drawing` and `reviewing` let one at a time use the generator and the manifest.
    """

    run: Run
    device: str = "cpu"
    drawing: Any = field(default_factory=RLock)
    reviewing: Any = field(default_factory=RLock)
    photographs: Photographs = field(default_factory=Photographs)
    _cached: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    _reading: dict[str, Any] = field(default_factory=lambda: {name: RLock() for name in CACHED})

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return self.run.path.resolve().name

    @property
    def folder(self) -> str:
        """The path of the run folder as it is typed in a shell."""
        return shlex.quote(str(self.run.path))

    @property
    def synthesizer(self) -> Synthesizer:
        """The generator, read again when training has replaced it. Raises RunFolderError where there is none."""
        synthesizer: Synthesizer = self._read(
            "synthesizer", _version(self.run / "synthesizer" / "card.json"), self._synthesizer
        )
        return synthesizer

    @property
    def synthetic(self) -> SyntheticImages:
        """All synthetic images with the present decisions. Raises RunFolderError where there are none."""
        manifest = _version(self.run / "synthetic" / "manifest.jsonl")
        synthetic: SyntheticImages = self._read("synthetic", manifest, lambda: self.run.synthetic)
        return synthetic

    @property
    def splits(self) -> dict[str, LabelledImages]:
        """The real images by split. Raises RunFolderError before the split, and for a run of images in memory."""
        splits: dict[str, LabelledImages] = self._read("splits", _version(self.run / "split.npy"), self._splits)
        return splits

    @property
    def directions(self) -> Directions:
        """The stored directions of the generator, else those that can be found without labelling images.

        Raises RunFolderError for stored ones of another generator, and SettingsError where there are none.
        """
        synthesizer, folder = self.synthesizer, self.run / FOLDER
        version = synthesizer.fingerprint, _version(folder / "directions.json")

        def load() -> Directions:
            return Directions.load(folder, synthesizer) if folder.exists() else find_directions(synthesizer)

        directions: Directions = self._read("directions", version, load)
        return directions

    def stored(self, name: str) -> dict[str, Any]:
        """The contents of a JSON file of the run by its path without ending; empty where it is missing."""
        file = self.run / f"{name}.json"
        return dict(read_json(file)) if file.exists() else {}

    def _synthesizer(self) -> Synthesizer:
        _ = self.run.metadata  # raises for what is no run folder
        if not (self.run / "synthesizer" / "card.json").exists():
            raise RunFolderError(
                f"{self.run.path}: no trained generator yet; train it with: augury train -o {self.run.path}"
            )
        return Synthesizer.load(self.run / "synthesizer", choose_device(self.device))

    def _splits(self) -> dict[str, LabelledImages]:
        settings, callbacks = validated(RunSettings, self.run.settings), Callbacks()
        _ = self.run.split  # raises before the data are read
        images, source = read(None, self.run, settings, callbacks)
        return Session(self.run, images, settings, source, callbacks).splits

    def _read(self, name: str, version: Any, load: Callable[[], Any]) -> Any:
        """The cached value, loaded again when its version has changed or is None."""
        with self._reading[name]:
            if name not in self._cached or self._cached[name][0] != version or version is None:
                self._cached[name] = (version, load())
            return self._cached[name][1]


def _version(file: Path) -> int | None:
    """The time of the last change of a file; None where it is missing."""
    return file.stat().st_mtime_ns if file.exists() else None
