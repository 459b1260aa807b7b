"""The run folder: where each file lies, which stages are done, and which process holds it."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from augury.errors import RunFolderError
from augury.files import DAMAGE, check_folder_name, digest, explained, read_json, readable, sweep, write_json
from augury.images import as_labelled
from augury.notebook import class_table, over_classes, panel, paragraph, strip
from augury.verdict import Verdict

if TYPE_CHECKING:
    from filelock import FileLock

    from augury.images import SyntheticImages
    from augury.metrics import ScoreCard
    from augury.prediction import Predictor
    from augury.training import Synthesizer

LOGGER = logging.getLogger("augury")

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Error numbers of a file system that cannot lock files, such as some network file systems."""

FORMAT = 3
"""Version of the folder's layout; a folder of another version is refused."""

OTHERS = {
    "fold-1": "the runs of a cross-validation; give one of them, as {0}/fold-1, or resume all with --folds",
    "judged.json": "a trial of external images, not a run; its report is {0}/report.html",
    "plan.json": "shards of generated images, not a run; check them with: augury merge {0}, and score them with: augury evaluate {0} "
    "--reference REAL",
    "comparison.json": "a comparison of recipes; give one of them, as {0}/rpgan",
}
"""File -> description of a folder that contains it, for the message where a run was expected."""


class Run:
    """One folder that holds a whole run. Functions that take the path of a run folder take a Run as well.

    Its files:

    run.json                 format, Augury's version, settings, data source
    settings.yaml            settings that repeat the run: augury run PATH -o NEW --config settings.yaml
    state.json               stage -> key of its inputs, seconds it took, when
    split.npy                the split of every image
    near_duplicates.json     clusters of near-duplicates, drawn in near_duplicates.png
    classifier.safetensors   monitors training and filters images, trained on real train images only
    train/                   plan.json, log.jsonl, samples/, checkpoints
    synthesizer/             weights.safetensors, card.json
    drawn/                   images of a pretrained pipeline, stored as they are drawn
    synthetic/               images.npy, manifest.jsonl; latents.npy, targets.npy where there are any
    generation.json          numbers of images planned, drawn and kept for each class, and why
    seen/                    hashes of the images that generator, classifier and filters were trained on
    features/                cached features
    classifier/              the classifier to take away: weights.safetensors, card.json, README.md, model.onnx with the extra
    directions/              directions.safetensors, directions.json: directions of the latent space
    scores.json, trial.json, verdict.json, report.html, dataset/

    The properties read what the stages have written. They raise RunFolderError with the command to run when the stage has not
    run yet.

    Examples
    --------
    >>> run = augury.Run("runs/photos")
    >>> run
    Run('runs/photos', 3,901 images, 1×28×28, 10 classes, 9 stages done, helps)
    >>> run.scores["recall-pixels"].value, run.verdict.outcome, len(run.synthetic), run.report
    (0.71, 'helps', 412, PosixPath('runs/photos/report.html'))
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        try:
            return f"Run({', '.join([repr(str(self.path)), *self._facts()])})"
        except (RunFolderError, *DAMAGE):
            return f"Run({str(self.path)!r}, damaged)"

    def _facts(self) -> list[str]:
        """How many images and stages there are, and the outcome."""
        facts, data = [], self._stored("run").get("data")
        if data:
            size = "×".join(map(str, data["shape"]))
            facts += [f"{data['n']:,} images, {size}, {len(data['classes']):,} classes"]
        stages = len(self.state())
        facts += [f"{stages} stage{'s' if stages > 1 else ''} done"] if stages else []
        outcome = self._stored("verdict").get("outcome")
        return facts + ([outcome] if outcome else [])

    def _repr_html_(self) -> str:
        stored, verdict = self._stored("run"), self._stored("verdict")
        parts = [paragraph(verdict["sentence"])] if "sentence" in verdict else []
        if stored.get("format") == FORMAT:
            data = stored["data"]
            counts = {name: np.array(numbers) for name, numbers in data["counts"].items()}
            if (self / "synthetic" / "manifest.jsonl").exists():
                images = as_labelled(self.synthetic)
                counts["synthetic, accepted"] = images.counts
                chosen = over_classes(images.labels)
                parts.append(strip(images.images[chosen], ", ".join(images.classes[c] for c in images.labels[chosen])))
            parts.append(class_table(data["classes"], counts))
        return panel(repr(self), *parts)

    def _stored(self, name: str) -> dict[str, Any]:
        """The contents of `name`.json; empty without that file."""
        file = self / f"{name}.json"
        return read_json(file) if file.exists() else {}

    @property
    def metadata(self) -> dict[str, Any]:
        """The contents of run.json.

        Raises RunFolderError when this is no run folder, or one of another format.
        """
        file = self / "run.json"
        if not file.exists():
            description = next((text for name, text in OTHERS.items() if (self / name).exists()), "")
            raise RunFolderError(
                f"{self.path}: {description.format(self.path)}"
                if description
                else f"{self.path}: not a run folder (no run.json); create one with augury run PATH -o FOLDER. To score two sets of "
                "images: augury evaluate REAL SYNTHETIC; to judge them: augury prove REAL --with SYNTHETIC"
            )
        metadata: dict[str, Any] = read_json(file)
        if metadata.get("format") != FORMAT:
            raise RunFolderError(
                f"{self.path}: written in run format {metadata.get('format')} by Augury {metadata.get('version')}, but this "
                f"version reads format {FORMAT}; use a new folder, or that version"
            )
        return metadata

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that this run last used, as plain values; empty for a new folder."""
        with readable(self / "run.json"):
            return dict(self.metadata["settings"]) if (self / "run.json").exists() else {}

    @property
    def split(self) -> npt.NDArray[np.int8]:
        """The split of every image, int8 [N]: 0 train, 1 validation, 2 test, -1 left out as a near-duplicate."""
        with readable(file := self._written("split.npy", "split")):
            codes: npt.NDArray[np.int8] = np.load(file, allow_pickle=False)
        return codes

    @property
    def synthesizer(self) -> Synthesizer:
        """The trained generator or translator, on the CPU."""
        from augury.training import Synthesizer

        return Synthesizer.load(
            self._written("synthesizer/card.json", "trained generator", "augury train -o {}").parent
        )

    @property
    def synthetic(self) -> SyntheticImages:
        """All generated images, accepted and rejected."""
        from augury.generation import load

        folder = self._written("synthetic/manifest.jsonl", "synthetic images").parent
        return load(folder, tuple(self.metadata["data"]["classes"]), tuple(self.settings["train"]["condition"]))

    @property
    def scores(self) -> ScoreCard:
        """The score card of the generator."""
        from augury.metrics import ScoreCard

        with readable(self / "scores.json"):
            return ScoreCard.from_dict(self.read("scores"))

    @property
    def verdict(self) -> Verdict:
        """The verdict of a finished proof."""
        with readable(self / "verdict.json"):
            return Verdict.from_dict(self.read("verdict"))

    @property
    def classifier(self) -> Predictor:
        """The classifier to take away, on the CPU."""
        from augury.prediction import Predictor

        return Predictor.load(self._written("classifier/README.md", "classifier").parent.parent)

    @property
    def dataset(self) -> Path:
        """The augmented data set, which `augury.load` reads: a folder, or one file as `export.format` says."""
        from augury.exports import dataset_path

        if not (self / "run.json").exists():
            return self._written("run.json", "augmented data set")
        return self._written(dataset_path(Path(), self.settings["export"]["format"]), "augmented data set")

    @property
    def report(self) -> Path:
        """The page report.html."""
        return self._written("report.html", "report")

    def read(self, name: str) -> dict[str, Any]:
        """The contents of `name`.json; raises RunFolderError when its stage has not run yet."""
        value: dict[str, Any] = read_json(self._written(f"{name}.json", name.replace("_", "-")))
        return value

    def _written(self, file: str | Path, what: str, command: str = "augury run -o {}") -> Path:
        """The path of a file of the run; RunFolderError with the command that writes it when it is missing."""
        path = self / str(file)
        if not path.exists():
            _ = self.metadata  # raises for what is no run folder
            again = command.format(shlex.quote(str(self.path)))
            raise RunFolderError(
                f"{self.path}: no {what} yet; continue the run with: {again}, or for images in memory with "
                f"augury.run(images, {str(self.path)!r})"
            )
        return path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for this process; it is created if it does not exist.

        On a file system without locks, the file .holder takes their place; it names the process that works here.

        Raises RunFolderError when another process holds it, and SettingsError for a new folder whose name ends as that of a file.
        """
        from filelock import FileLock, Timeout

        if not self.path.exists():
            check_folder_name(self.path)

        holder = self / ".holder"
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock: FileLock = FileLock(str(self / ".lock"), timeout=0)
            try:
                lock.acquire()
            except Timeout:
                raise self._busy() from None
            except (NotImplementedError, OSError) as error:
                if isinstance(error, OSError) and error.errno not in NO_LOCKS:
                    raise
                if self.working:
                    raise self._busy() from None
                LOGGER.warning(
                    "%s: this file system has no locks; do not start a second command in this folder from another machine",
                    self.path,
                )
        try:
            with explained(self.path):
                holder.write_text(f"{os.getpid()} on {socket.gethostname()}")
                sweep(self.path)
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    @property
    def working(self) -> bool:
        """Whether a process of this machine works in the folder; a killed one leaves its number behind."""
        try:
            number, _, machine = (self / ".holder").read_text().strip().partition(" on ")
            if machine != socket.gethostname():
                return False
            os.kill(int(number), 0)
        except PermissionError:  # it is the process of another user
            return True
        except (OSError, ValueError):
            return False
        return True

    def _busy(self) -> RunFolderError:
        """The error for a folder that another process holds."""
        holder = self / ".holder"
        who = f" (process {holder.read_text().strip()})" if holder.exists() else ""
        return RunFolderError(
            f"{self.path}: another augury{who} is working in this folder; wait for it, or choose another with -o"
        )

    def refuse_others(self, ours: set[str], what: str) -> None:
        """Raises RunFolderError when the held folder contains files that are not in `ours`; `what` completes the message."""
        others = sorted(path.name for path in self.path.iterdir() if path.name not in {".lock", ".holder", *ours})
        if others:
            raise RunFolderError(
                f"{self.path}: holds {', '.join(others[:3])}, so it is not a folder {what}; choose another with -o"
            )

    def state(self) -> dict[str, dict[str, Any]]:
        """Stage -> {key, seconds, finished} of every finished stage."""
        file = self / "state.json"
        return read_json(file) if file.exists() else {}

    def is_done(self, stage: str, inputs: Any) -> bool:
        """Whether `stage` has finished with exactly these inputs."""
        with readable(self / "state.json"):
            return bool(self.state().get(stage, {}).get("key") == digest(inputs))

    @contextmanager
    def stage(self, stage: str, inputs: Any) -> Iterator[None]:
        """Work on a stage. It is marked as done only when the block ends without an error. `seconds` is the time of
        that block.
        """
        state = self.state()
        started = time.monotonic()
        yield
        spent = time.monotonic() - started
        state[stage] = {
            "key": digest(inputs),
            "seconds": round(spent, 2),
            "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        write_json(self / "state.json", state)

    def key(self, stage: str) -> str:
        """The key of a finished stage, an input of the next stage."""
        return str(self.state()[stage]["key"])
