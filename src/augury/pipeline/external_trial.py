"""A trial for synthetic images of any origin: takes real and synthetic images; writes a verdict, a report and a badge."""

from __future__ import annotations

import os
import shlex
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from augury import prediction, proof, report, training
from augury.data import LEFT_OUT, composed, finished, pictures, plain_name, skipped_lines
from augury.errors import DataError, SettingsError
from augury.exports.names import folder_names
from augury.files import write_json, write_text
from augury.images import SPLITS, LabelledImages, SyntheticImages, as_labelled
from augury.pipeline.environment import machine, versions
from augury.pipeline.inputs import (
    IN_MEMORY,
    Callbacks,
    by_split,
    changes,
    describe_data,
    images_of,
    in_size,
    refuse_among_data,
    split_codes,
)
from augury.pipeline.judge_images import judge_size
from augury.pipeline.run_folder import Run
from augury.pipeline.scorecard import closest
from augury.pipeline.trial_cache import load_cache
from augury.settings import DataSettings, RunSettings
from augury.verdict import Verdict

Source = LabelledImages | str | os.PathLike[str]

WRITTEN = ("judged.json", "trial.json", "verdict.json", "report.html", "badge.svg")
"""What a trial writes."""
DIVIDED = (
    "the real images had no splits, so Augury split them. The generator of the synthetic images must not have seen the test split: "
    "write the splits with augury split, and train it on the train split alone"
)
ENOUGH = 1000
"""Number of real images that are checked for colour."""


def judge(
    real: Source,
    synthetic: Source | SyntheticImages,
    folder: str | os.PathLike[str],
    *,
    settings: RunSettings | None = None,
    callbacks: Callbacks | None = None,
) -> Verdict:
    """Test `synthetic` as additional training images for a classifier of `real`.

    `real` is split into train, validation and test, unless it has splits. Synthetic images are resized to the size of the real
    ones, and their classes are matched by name. Writes verdict.json, report.html, badge.svg and trial.json, from which an
    interrupted trial resumes. Another trial in the folder is moved to `folder`/earlier-1.

    Parameters
    ----------
    real, synthetic
        Images, or paths that `augury.load` reads. Of SyntheticImages, the accepted ones are judged.
    folder
        Folder of the trial.
    settings
        Only `data`, `prove`, `seed` and `device` are used.
    callbacks
        Receive the progress.

    Returns
    -------
    The Verdict.

    Raises
    ------
    DataError when the sets do not fit together, or synthetic images are test or validation images. SettingsError for settings
    that cannot be used. RunFolderError when the folder holds something else.
    """
    chosen, callbacks, trial_folder = settings or RunSettings(), callbacks or Callbacks(), Run(folder)
    if chosen.prove.others:
        raise SettingsError(
            "prove.others adds images of other runs to the trial of a run, but --with judges its images alone; leave "
            "it out, and judge other images with another --with and -o"
        )
    for source in (real, synthetic):
        if isinstance(source, str | os.PathLike):
            refuse_among_data(source, folder)
    with trial_folder.held():
        trial_folder.refuse_others(
            {*WRITTEN, *(path.name for path in trial_folder.path.glob("*earlier-*"))}, "of a trial"
        )
        data = images_of(real, chosen)
        if (
            chosen.data.size is None
            and not isinstance(real, LabelledImages)
            and (own := judge_size(data, chosen.prove))
        ):
            data = in_size(Path(real), data, chosen, own)
        size = (data.shape[1], data.shape[2])
        loaded = _load_synthetic(synthetic, chosen.data, size)
        beside = matched(loaded, data)
        device = training.choose_device(chosen.device)
        flips = data.flips(chosen.prove.flips)
        read_notes = [*skipped_lines(data), *skipped_lines(loaded, "synthetic images: ")]
        for note in [*([DIVIDED] if data.split is None else []), *read_notes, *_changed(loaded, size)]:
            callbacks.note(note)
        codes, near = split_codes(data, chosen, flips)
        if (left := int((codes == LEFT_OUT).sum())) > 0:
            callbacks.note(f"{left:,} near-duplicates were left out of the earlier split")
        splits = by_split(data, codes, near)
        inputs = [data.fingerprint, loaded.fingerprint, chosen.data.model_dump(), chosen.seed, device.type, flips]
        train, validation, test = (splits[name] for name in SPLITS)
        aside = partial(_set_aside, trial_folder, callbacks)
        cache = load_cache(trial_folder / "trial.json", inputs, chosen.prove, test, callbacks, aside=aside)
        callbacks.begin("prove", False)
        verdict = proof.prove(
            train,
            validation,
            test,
            beside,
            chosen.prove,
            seed=chosen.seed,
            device=device,
            flips=flips,
            external=True,
            names=loaded.names,
            results=cache.results,
            on_result=cache.store,
            on_note=callbacks.note,
        )
        verdict = cache.with_earlier_look(verdict)
        callbacks.end("prove")
        names = [
            IN_MEMORY if isinstance(x, LabelledImages | SyntheticImages) else str(Path(x).resolve())
            for x in (real, synthetic)
        ]
        facts = _describe(data, loaded, splits, chosen, device.type, names)
        write_json(trial_folder / "judged.json", facts)
        write_json(trial_folder / "verdict.json", verdict.as_dict())
        write_text(trial_folder / "badge.svg", report.badge(verdict))
        report.write(_page(trial_folder, facts, names, verdict, train, beside, chosen), trial_folder / "report.html")
    return verdict


def _load_synthetic(synthetic: Source | SyntheticImages, d: DataSettings, size: tuple[int, int]) -> LabelledImages:
    """The synthetic images; one class is enough, because often only the rare class is generated.

    A table is read by the columns of the real images where it has them.
    """
    if isinstance(synthetic, LabelledImages | SyntheticImages):
        synthetic = as_labelled(synthetic)
        return synthetic if synthetic.fingerprint else finished(synthetic, least=1)
    reading = partial(
        pictures,
        synthetic,
        size=size,
        fit=d.fit,
        on_bad=d.on_bad,
        window=d.window,
        stretch=d.stretch,
        follow_links=d.follow_links,
        transparency=d.transparency,
    )
    named = {role: column for role, column in d.columns.items() if role in ("image", "label")}
    try:
        return reading(columns=named)
    except SettingsError:
        if not named:
            raise
        return reading()  # the table lacks these columns


def _changed(synthetic: LabelledImages, size: tuple[int, int]) -> list[str]:
    """Notes about skipped and resized synthetic images."""
    sentences, skipped = [], synthetic.notes.get("skipped", [])
    if skipped:
        first = f"{skipped[0]['file']}: {skipped[0]['reason']}"
        sentences.append(f"{len(skipped):,} synthetic files could not be read and were left out, such as {first}")
    came = {each: n for each, n in synthetic.notes.get("original_sizes", {}).items() if each != f"{size[0]}x{size[1]}"}
    if came:
        sizes = ", ".join(list(came)[:3]) + (" …" if len(came) > 3 else "")
        sentences.append(
            f"{sum(came.values()):,} synthetic images had other sizes ({sizes}, height x width) and were resized to {size[0]}x{size[1]}: "
            f"{synthetic.notes['resizing']}. Blur or cropped edges may distinguish them from real ones"
        )
    return sentences


def _set_aside(trial_folder: Run, callbacks: Callbacks) -> None:
    """Copy the files of the last trial to a folder of its own; the next trial overwrites the originals."""
    folder = trial_folder / f"earlier-{len(list(trial_folder.path.glob('earlier-*'))) + 1}"
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for name in WRITTEN:
        if (trial_folder / name).exists():
            shutil.copy2(trial_folder / name, draft)
    draft.rename(folder)
    callbacks.note(f"an earlier trial of other images or settings was moved to {folder}")


def matched(synthetic: LabelledImages, real: LabelledImages) -> SyntheticImages:
    """`synthetic` with the classes and channels of `real`; classes are matched by name.

    Raises DataError for a class that the real images lack, and where one set is coloured and the other grey.
    """
    code_of = {name: code for code, name in enumerate(folder_names(real.classes))}  # names that augury split writes
    code_of |= {name: code for code, name in enumerate(real.classes)}
    code_of |= {composed(name): code for name, code in code_of.items()}  # one name has several Unicode forms
    unknown = [
        name for c, name in enumerate(synthetic.classes) if composed(name) not in code_of and synthetic.counts[c]
    ]
    if unknown == [""]:
        raise DataError(
            "the synthetic images have no labels; put them into one folder per class, named like the real classes: "
            f"{', '.join(real.classes[:8])}{', …' if len(real.classes) > 8 else ''}"
        )
    if unknown:
        count = int(synthetic.counts[synthetic.classes.index(unknown[0])])
        alike = [name for name in real.classes if plain_name(name) == plain_name(unknown[0])]
        raise DataError(
            f"{len(unknown)} of {len(synthetic.classes)} classes of the synthetic images do not occur in the real ones, such as "
            f"'{unknown[0]}' ({count} images){f', which differs from {alike[0]!r} by case, blanks or the like alone' if alike else ''}; "
            f"rename or remove them. The real classes are {', '.join(real.classes[:8])}"
            f"{', …' if len(real.classes) > 8 else ''}"
        )
    images = synthetic.images
    if images.shape[1] < real.shape[0]:
        if (real.images[:ENOUGH] != real.images[:ENOUGH, :1]).any():
            raise DataError(
                "the synthetic images are grey, but the real ones are coloured, so colour alone separates them; generate "
                "coloured ones, or convert the real ones to grey first"
            )
        images = np.repeat(images, real.shape[0], axis=1)
    elif images.shape[1] > real.shape[0]:
        if (images != images[:, :1]).any():
            raise DataError(
                "the synthetic images are coloured, but the real ones are grey, so colour alone separates them; convert "
                "them to grey first"
            )
        images = images[:, :1]
    codes = np.array([code_of.get(composed(name), -1) for name in synthetic.classes], np.int64)[synthetic.labels]
    return SyntheticImages.of(LabelledImages(images, codes, real.classes, fingerprint=synthetic.fingerprint))


def _describe(
    data: LabelledImages,
    synthetic: LabelledImages,
    splits: dict[str, LabelledImages],
    settings: RunSettings,
    device: str,
    names: list[str],
) -> dict[str, Any]:
    used = versions()
    read = {
        key: value
        for key, value in synthetic.notes.items()
        if key in ("resizing", "original_sizes", "skipped", "ignored", "empty_classes")
    }
    return {
        "version": used["augury"],
        "real": names[0],
        "synthetic": names[1],
        "settings": settings.model_dump(mode="json", include={"seed", "device", "data", "prove"}),
        "versions": used,
        "machine": {**machine(), "device": device},
        "data": describe_data(data, splits),
        "made": {"n": len(synthetic), "fingerprint": synthetic.fingerprint, "notes": read},
    }


def _page(
    trial_folder: Run,
    metadata: dict[str, Any],
    names: list[str],
    verdict: Verdict,
    train: LabelledImages,
    synthetic: SyntheticImages,
    settings: RunSettings,
) -> report.Facts:
    neighbours, distances = closest(synthetic, train)
    choice = prediction.choose(verdict)
    arguments = ["augury", "prove", names[0], "--with", names[1], "-o", "again", "--seed", str(settings.seed)]
    arguments += ["--device", metadata["machine"]["device"]]
    arguments += changes(RunSettings(data=settings.data, prove=settings.prove))  # the command refuses other sections
    return report.Facts(
        title=trial_folder.path.resolve().name,
        source=f"{Path(names[0]).name} with {Path(names[1]).name}",
        command="" if IN_MEMORY in names else shlex.join(arguments),
        metadata=metadata,
        verdict=verdict,
        train=train,
        synthetic=synthetic,
        neighbours=neighbours,
        distances=distances,
        judged=True,
        best=choice.arm if isinstance(choice, prediction.Choice) and not verdict.cells else "",
    )
