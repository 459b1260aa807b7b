"""The inputs of a run: images, their source and callbacks; and what the run records of them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from augury.data import (
    LEFT_OUT,
    SAMPLES,
    binned,
    find_near_duplicates,
    finished,
    load,
    merged,
    regrouped,
    skipped_lines,
    split,
)
from augury.errors import DataError, RunFolderError, SettingsError
from augury.files import refuse_within
from augury.images import SPLITS, LabelledImages
from augury.pipeline.progress import RunCost
from augury.pipeline.run_folder import OTHERS, Run
from augury.settings import RunSettings
from augury.training import Progress

SAMPLE = "the embedded sample (long-tailed Fashion-MNIST, MIT)"

LOGGER = logging.getLogger("augury")
IN_MEMORY = "images given in memory"
BEFORE_DESCRIPTION = frozenset(
    (".lock", ".holder", "near_duplicates.json", "near_duplicates.png", "split.npy", "state.json")
)
"""Files that a run writes before run.json, so that one that was killed there can be resumed."""
GONE = "this run was made from images in memory"


@dataclass(frozen=True)
class Callbacks:
    """Functions that a run calls with its progress.

    Parameters
    ----------
    begin
        Called as `begin(stage, cached)`; `cached` says that the stage is done already.
    training
        Called with the `augury.training.Progress` of the generator's training.
    amount
        Called as `amount(unit, done, total)`, such as ("trainings", 3, 61), within other stages.
    end
        Called with the name of a stage that ends.
    note
        Called with a message for the user.
    plan
        Called before the first stage with what the stages to do cost. Measuring it takes a second, so None skips it.
    """

    begin: Callable[[str, bool], None] = lambda stage, cached: None
    training: Callable[[Progress], None] = lambda progress: None
    amount: Callable[[str, int, int], None] = lambda unit, done, total: None
    end: Callable[[str], None] = lambda stage: None
    note: Callable[[str], None] = lambda text: None
    plan: Callable[[RunCost], None] | None = None

    def and_also(self, other: Callbacks) -> Callbacks:
        """Callbacks that call these and then those of `other`."""

        def both(name: str) -> Any:
            calls = [call for call in (getattr(self, name), getattr(other, name)) if call is not None]

            def call_all(*values: Any) -> None:
                for call in calls:
                    call(*values)

            return call_all if calls else None

        return replace(self, **{each.name: both(each.name) for each in fields(self)})

    def logged(self) -> Callbacks:
        """The same callbacks, which also write to the logger "augury": plan, stages and notes, and progress at level DEBUG."""

        def begin(stage: str, cached: bool) -> None:
            LOGGER.info("%s: %s", stage, "done before" if cached else "begins")
            self.begin(stage, cached)

        def training(progress: Progress) -> None:
            LOGGER.debug("step %d of %d: %s", progress.step, progress.steps, progress.losses)
            self.training(progress)

        def amount(unit: str, done: int, total: int) -> None:
            LOGGER.debug("%d of %d %s", done, total, unit)
            self.amount(unit, done, total)

        def end(stage: str) -> None:
            LOGGER.debug("%s: ends", stage)
            self.end(stage)

        def note(text: str) -> None:
            LOGGER.info("%s", text)
            self.note(text)

        def plan(cost: RunCost) -> None:
            LOGGER.info("plan:\n%s", "\n".join(cost.lines()))
            if self.plan is not None:
                self.plan(cost)

        return replace(self, begin=begin, training=training, amount=amount, end=end, note=note, plan=self.plan and plan)


def read(
    data: LabelledImages | str | os.PathLike[str] | None, run: Run, settings: RunSettings, callbacks: Callbacks
) -> tuple[LabelledImages, str]:
    """The images and the name of their source. Raises RunFolderError when the folder holds something else."""
    stored = None
    if (run / "run.json").exists():
        stored = run.metadata["source"]
    elif any(p.name not in BEFORE_DESCRIPTION for p in run.path.iterdir()):
        problem = (
            f"holds {OTHERS['fold-1']}".format(run.path)
            if (run / "fold-1").exists()
            else "not empty and not a run folder"
        )
        raise RunFolderError(f"{run.path}: {problem}; choose another folder with -o")
    if isinstance(data, LabelledImages):
        source = IN_MEMORY
    elif data is not None:
        source = str(data) if str(data) in SAMPLES else str(Path(data).resolve())
    else:
        source = stored or SAMPLE
        own = "" if stored else " For your own images: augury run photos/ -o runs/photos"
        callbacks.note(f"No path given: using {source}.{own}")
    if stored not in (None, source):
        raise RunFolderError(f"{run.path}: this is a run of {stored}, not of {source}; choose another folder with -o")
    if source == IN_MEMORY and not isinstance(data, LabelledImages):
        raise RunFolderError(f"{run.path}: {GONE}; resume it in Python, with augury.run(data, {str(run.path)!r})")
    images = images_of(
        data if isinstance(data, LabelledImages) else None if source == SAMPLE else Path(source), settings
    )
    for line in skipped_lines(images):
        callbacks.note(line)
    return images, source


def refuse_among_data(data: LabelledImages | str | os.PathLike[str] | None, folder: str | os.PathLike[str]) -> None:
    """Raises RunFolderError when the run in `folder` would lie inside its own data."""
    if isinstance(data, str | os.PathLike):
        refuse_within(Path(folder), Path(data))


def first_run(runs: Iterable[Path]) -> Run | None:
    """The first of several related runs that exists."""
    return next((Run(path) for path in runs if (path / "run.json").exists()), None)


def same_source(
    data: LabelledImages | str | os.PathLike[str] | None, first: Run | None
) -> LabelledImages | str | os.PathLike[str] | None:
    """`data`; if None, the data source of `first`, one of several related runs.

    Raises RunFolderError where that source was in memory.
    """
    if data is not None or first is None:
        return data
    source = str(first.metadata["source"])
    if source == IN_MEMORY:
        raise RunFolderError(f"{first.path}: {GONE}; resume it in Python, with the same call")
    return None if source == SAMPLE else Path(source)


def images_of(data: LabelledImages | str | os.PathLike[str] | None, settings: RunSettings) -> LabelledImages:
    """Images read, or taken from memory, according to `settings.data`; None: the embedded sample."""
    if not isinstance(data, LabelledImages):
        return _licensed(load(data, **settings.data.reading()), settings.data.licence)
    data_settings = settings.data
    if (
        data_settings.columns
        or data_settings.attributes is not None
        or data_settings.root is not None
        or data_settings.format is not None
        or data_settings.class_folder is not None
        or data_settings.follow_links is not None
    ):
        raise SettingsError(
            "images in memory have no columns, root, format, folders or links; leave those settings of data out, or give the path of the data"
        )
    images = regrouped(data if data.fingerprint else finished(data), data_settings.group, data_settings.split)
    return _licensed(binned(images, data_settings.bins), data_settings.licence)


def _licensed(data: LabelledImages, licence: str | None) -> LabelledImages:
    """The data with the licence that the settings state, if they do, in its notes."""
    return data if licence is None else replace(data, notes={**data.notes, "licence": licence})


def split_codes(
    data: LabelledImages, settings: RunSettings, flips: bool
) -> tuple[npt.NDArray[np.int8], tuple[tuple[int, ...], ...]]:
    """(the split of each image, int8 [N] as `data.split` has it; the clusters of near-duplicates that stayed together)."""
    s = settings.data
    near = () if s.near_duplicates == "allow" else find_near_duplicates(data, mirrored=flips)
    torn: Literal["refuse", "drop"] = "drop" if s.near_duplicates == "drop" else "refuse"
    codes = split(data, validation=s.validation, test=s.test, seed=settings.seed, together=near, torn=torn, fold=s.fold)
    return codes, near


def by_split(
    data: LabelledImages, codes: npt.NDArray[np.int8], near: Sequence[Sequence[int]]
) -> dict[str, LabelledImages]:
    """The data by split.

    For validation and test, the near-duplicates of a cluster (indices, `near`) form one group. They are classified correctly or
    wrongly together, so they count as one observation.
    """
    data = replace(data, previews=None)  # the search that needs them is over
    held = replace(data, groups=merged(data.groups, near, len(data))) if near else data
    return {name: (held if i else data).take(codes == i) for i, name in enumerate(SPLITS)}


def load_splits(
    path: Path | None, settings: RunSettings, arrays: bool = False
) -> tuple[LabelledImages, list[Path] | None]:
    """(images, files): the images at `path`, split as a run of these settings splits them.

    Near-duplicates that the run leaves out are left out. `files` are the files of the images, None where an image has none.
    For `arrays` there are no files, and the images have their native size. Raises DataError when arrays are asked for, the files
    have several sizes, and `data.size` chooses none.
    """
    data = images_of(path, settings)
    files = image_files(path, data, settings)
    written = _in_own_size(path, data, settings) if arrays and path is not None and files else data
    codes, _ = split_codes(data, settings, data.flips(settings.prove.flips))
    rows = np.flatnonzero(codes != LEFT_OUT)
    splits = replace(written.take(rows), split=codes[rows])
    return splits, [files[i] for i in rows] if files and not arrays else None


def image_files(path: Path | None, data: LabelledImages, settings: RunSettings) -> list[Path]:
    """The file of each image of `data`, read from `path`; empty where one has none."""
    if path is None:
        return []
    base = Path(settings.data.root or (path if path.is_dir() else path.parent))
    files = [base / name for name in data.names]
    return files if all(file.is_file() for file in files) else []


def _in_own_size(path: Path, data: LabelledImages, settings: RunSettings) -> LabelledImages:
    """`data`, read again in the native size unless a size was chosen.

    Raises DataError when the files have several sizes.
    """
    sizes = list(data.notes.get("original_sizes", ()))
    if settings.data.size is not None or not sizes:
        return data
    if len(sizes) > 1:
        raise DataError(
            f"{path}: the images have {len(sizes)} sizes, such as {sizes[0]} and {sizes[1]}, but an array needs one size; "
            "choose it with --size, as --size 64, or give a folder with -o, to which the files are copied unchanged"
        )
    height, width = map(int, sizes[0].split("x"))
    return data if data.shape[1:] == (height, width) else in_size(path, data, settings, (height, width))


def in_size(path: Path, data: LabelledImages, settings: RunSettings, size: tuple[int, int]) -> LabelledImages:
    """`data`, read again from `path` at `size` (height, width). Raises DataError when the images have changed."""
    own = settings.data.model_copy(update={"size": size})
    again = images_of(path, settings.model_copy(update={"data": own}))
    if again.names != data.names or not np.array_equal(again.labels, data.labels):
        raise DataError(f"{path}: the images changed while they were read; run the same command again")
    return again


def check_unchanged(path: Path, data: LabelledImages, settings: RunSettings) -> None:
    """Raises DataError when the images at `path` are no longer those of `data`; unchanged files are not decoded again."""
    again = images_of(path, settings)
    if again.fingerprint == data.fingerprint:
        return
    missing = sorted(set(data.names) - set(again.names))
    if missing:
        which = f"{missing[0]} is missing"
    elif again.names == data.names and again.shape == data.shape:
        changed = (i for i in range(len(data)) if not np.array_equal(again.images[i], data.images[i]))
        which = next((f"{data.names[i]} is another image" for i in changed), "labels or attributes differ")
    else:
        which = "there are other images"
    raise DataError(
        f"{path}: the data changed since the run read them ({which}); restore them and run the same command again, or start a new run"
    )


def changes(settings: RunSettings) -> list[str]:
    """--set arguments for settings that differ from the defaults, except those that the recorded training plan contains."""
    arguments = []
    for section, values in settings.model_dump(mode="json", exclude_defaults=True).items():
        if isinstance(values, dict):
            hidden = (
                {"recipe", "steps", "budget", "precision", "checkpoint_every", "track"} if section == "train" else set()
            )
            options = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items() if k not in hidden}
            arguments += [f"--set={section}.{k}={v}" for k, v in options.items()]
    return arguments


def describe_data(data: LabelledImages, splits: dict[str, LabelledImages]) -> dict[str, Any]:
    """What a run records of its data, as plain JSON values."""
    counts = {name: part.counts.tolist() for name, part in splits.items()}
    facts = {"n": len(data), "shape": list(data.shape), "classes": list(data.classes), "counts": counts}
    notes = dict(data.notes)
    if "copies" in notes:  # the export's rows name the image of each copy
        notes["copies"] = {name: value for name, value in notes["copies"].items() if name != "of"}
    return {**facts, "fingerprint": data.fingerprint, "notes": notes, "warnings": skipped_lines(data)}
