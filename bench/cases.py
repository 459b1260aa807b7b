"""The data sets of `bench-proof`: real images, too few or too unequal, each with its own test part.

Long tails keep the test part whole; where there is no official split, Augury's own divides. Three cases are of another
kind: a hole in the class × attribute table, where the test part asks for combinations that training never showed. Their
twenty people are tested in folds, each with a generator of its own, and the trials pooled.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augury import data, training
from augury.cli.console import callbacks
from augury.data.decoding import label_encoding
from augury.images import LabelledImages
from augury.pipeline.session import Session
from augury.pipeline.stages import opened
from augury.proof import Fold, image_hashes, pooled
from augury.randomness import rng
from augury.settings import RunSettings, TrainSettings
from augury.verdict import Verdict

DATA = Path(os.environ.get("BENCH_DATA", "data"))
"""Where the data lie unless --data says otherwise."""


@dataclass(frozen=True)
class DataPaths:
    """Where the data lie: `shared` holds the npz and tar files, `fashion` the idx files of Fashion-MNIST."""

    shared: Path
    fashion: Path


@dataclass(frozen=True)
class Case:
    """`folds` give the images, most often of one fold, `settings` what a run of them changes; `what` is one line for the table.
    What is in `pool` and in none of a fold's parts is given to the run without labels; `related` names other images
    (`RELATED`) whose generator this one begins as."""

    what: str
    folds: tuple[Callable[[DataPaths], LabelledImages], ...]
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    pool: Callable[[DataPaths], LabelledImages] | None = None
    related: str = ""

    def verdict(
        self, paths: DataPaths, folder: Path, settings: RunSettings, trial: Callable[[Session], Fold]
    ) -> Verdict:
        """What `trial` finds in the run of each fold, in `folder`/1, `folder`/2 …, pooled where there are several."""
        fold_trials = []
        if self.related:
            start = str(started(self.related, paths, folder.parent, settings.train.steps or 1))
            settings = settings.model_copy(update={"train": settings.train.model_copy(update={"start_from": start})})
        for k, make in enumerate(self.folds, 1):
            images = make(paths)
            if self.pool is not None:
                apart = str(unlabelled(self.pool(paths), images, folder / f"unlabelled-{k}"))
                train = settings.train.model_copy(update={"unlabelled": apart})
                settings = settings.model_copy(update={"train": train})
            with opened(images, folder / str(k), settings=settings, callbacks=callbacks(False)) as session:
                fold_trials.append(trial(session))
        return pooled(fold_trials) if len(fold_trials) > 1 else fold_trials[0].verdict


def unlabelled(pool: LabelledImages, used: LabelledImages, folder: Path) -> Path:
    """A folder of the images in `pool` that are not in `used`, as .png."""
    if not folder.exists():
        draft = folder.with_name(folder.name + ".part")
        draft.mkdir(parents=True, exist_ok=True)
        for i in np.flatnonzero(~np.isin(image_hashes(pool.images), image_hashes(used.images))):
            channels = pool.images[i]
            Image.fromarray(channels[0] if len(channels) == 1 else channels.transpose(1, 2, 0)).save(
                draft / f"{i:06d}.png"
            )
        draft.rename(folder)
    return folder


def started(name: str, paths: DataPaths, folder: Path, steps: int) -> Path:
    """The folder of a generator of `RELATED` images, trained as long as those that begin as it; all of them train
    it, as none of them is tested."""
    related_folder = folder / f"related-{name}-{steps}"
    if not (related_folder / "synthesizer" / "card.json").exists():
        images_of_fold = training.train(
            RELATED[name](paths), related_folder / "train", settings=TrainSettings(steps=steps), device="cpu"
        )
        images_of_fold.save(related_folder / "synthesizer")
    return related_folder


def thinned(images: LabelledImages, part: int, each: int, seed: int = 0) -> LabelledImages:
    """At most `each` images of every class in a part of the given split, the other parts as they are."""
    assert images.split is not None
    chosen_rows = [np.flatnonzero(images.split != part)]
    for label in range(len(images.classes)):
        members = np.flatnonzero((images.split == part) & (images.labels == label))
        chosen_rows.append(rng(seed, "thinned", label).permutation(members)[:each])
    return label_encoding.finished(images.take(np.sort(np.concatenate(chosen_rows))))


def fashion(ratio: float) -> Callable[[DataPaths], LabelledImages]:
    """500 images of the largest class, 500 / ratio of the smallest, and 200 of each to test."""
    return lambda paths: thinned(data.make_long_tailed(data.load(paths.fashion), ratio, largest=500), 2, 200)


def few(paths: DataPaths) -> LabelledImages:
    """Twenty images of each class to learn from, ten to validate, 200 to test."""
    images = data.load(paths.fashion)
    assert images.split is not None
    split = np.where(images.split == 2, 2, 3)
    for label in range(len(images.classes)):
        members = rng(0, "few", label).permutation(np.flatnonzero((images.labels == label) & (images.split == 0)))
        split[members[:20]], split[members[20:30]] = 0, 1
    used = split < 3
    return thinned(replace(images.take(np.flatnonzero(used)), split=split[used].astype(np.int8)), 2, 200)


def pneumonia(paths: DataPaths) -> LabelledImages:
    """One image in twenty of the official train part, in its class mix; official validation and test parts."""
    images = data.load(paths.shared / "pneumoniamnist.npz")
    assert images.split is not None
    learnt = np.flatnonzero(images.split == 0)
    chosen_rows = rng(0, "pneumonia").permutation(learnt)[: len(learnt) // 20]
    return label_encoding.finished(
        images.take(np.sort(np.concatenate([chosen_rows, np.flatnonzero(images.split != 0)])))
    )


def faces(paths: DataPaths) -> LabelledImages:
    """FER-2013's seven expressions, long-tailed from 400 to 8."""
    images = data.load(paths.shared / "fer2013_subset_48.npz", size=32)
    return thinned(data.make_long_tailed(images, 50, largest=400), 2, 150)


def disgust(paths: DataPaths) -> LabelledImages:
    """FER-2013's seven expressions 400 train images each, but 32 of disgust, the rare class of the whole data set (436 to 7,215)."""
    images = data.load(paths.shared / "fer2013_subset_48.npz", size=32)
    assert images.split is not None
    members = np.flatnonzero((images.labels == images.classes.index("disgust")) & (images.split == 0))
    left_out = rng(0, "disgust").permutation(members)[32:]
    few = images.take(np.setdiff1d(np.arange(len(images)), left_out))
    return thinned(thinned(few, 0, 400), 2, 150)


def flowers(paths: DataPaths) -> LabelledImages:
    """Forty photographs of each flower to learn from, ten to validate, 150 to test."""
    images = data.load(paths.shared / "flowers5.tar", size=32)
    split = np.full(len(images), 2, np.int8)
    for label in range(len(images.classes)):
        members = rng(0, "flowers", label).permutation(np.flatnonzero(images.labels == label))
        split[members[:40]], split[members[40:50]] = 0, 1
    return thinned(replace(images, split=split), 2, 150)


def cmu_faces(folder: Path, label: str, size: int | None = 32) -> LabelledImages:
    """CMU faces, classified by `label`, one of pose, expression and eyes; the other two are attributes, the groups are people.

    `size` in pixels is that of a centre crop; None: 60 × 64 as they are.
    """
    raw = data.load(folder / "cmu_faces_64x60.npz", size=size)
    columns = {**raw.attributes, "pose": label_encoding.Attribute(raw.labels, raw.classes)}
    column = columns.pop(label)
    return label_encoding.finished(replace(raw, labels=column.codes, classes=column.values, attributes=columns))


def cmu_heads(folder: Path, label: str) -> LabelledImages:
    """CMU faces as `cmu_faces` gives them, in 40 × 40 pixels around the head and in the resolution of the file."""
    faces = cmu_faces(folder, label, size=None)
    images = np.ascontiguousarray(faces.images[:, :, 8:48, 12:52])
    return label_encoding.finished(replace(faces, images=images, previews=None))


def hole(
    label: str, value: str, attribute: str, lacking: tuple[str, ...], folds: int = 3
) -> tuple[Callable[[DataPaths], LabelledImages], ...]:
    """CMU faces at 32 × 32 classified by `label`, people disjoint: the class `value` is never seen where `attribute` is one
    of `lacking`, neither in training nor in validation, and the test part is all images there. Each person tests in one
    fold, and three others validate."""

    def images_of_fold(fold: int, paths: DataPaths) -> LabelledImages:
        raw = cmu_faces(paths.shared, label)
        by, person = raw.attributes[attribute], raw.groups
        assert person is not None, "this file names the person of each image"
        there = np.isin(by.codes, [by.values.index(name) for name in lacking])
        order = rng(0, "people").permutation(int(person.max()) + 1)
        tested = np.array_split(order, folds)[fold]
        rest = np.setdiff1d(order, tested, assume_unique=True)
        split = np.where(np.isin(person, tested), 2, np.isin(person, rest[:3])).astype(np.int8)
        absent = there & (raw.labels == raw.classes.index(value))
        keep = np.where(split == 2, there, ~absent)
        images = replace(raw, attributes={attribute: by}, split=split)
        return label_encoding.finished(images.take(np.flatnonzero(keep)))

    return tuple(partial(images_of_fold, fold) for fold in range(folds))


FEWER = (
    *("none", "class_weights", "balanced", "classical", "randaugment", "trivialaugment", "cutmix", "noise"),
    *("gan", "gan_alone", "gan_pretrain", "discriminator_init", "discriminator_random"),
    *("discriminator_init_cutmix", "discriminator_random_cutmix"),
)
"""Arms where every fold asks for all trainings anew: without those that came out far behind elsewhere."""
HOLE: dict[str, dict[str, Any]] = {
    "train": {"condition": ("pose",), "steps": 1500},
    "generate": {"sampling_strategy": "level"},
    "prove": {"ratios": (0.5,), "arms": FEWER},
}
RELATED = {"fer": lambda paths: data.load(paths.shared / "fer2013_subset_48.npz", size=32)}
"""Images of another data set, 32 × 32 and grey, from which a generator may begin."""
CASES = {
    "fashion50": Case("Fashion-MNIST, long tail 500 to 10", (fashion(50),)),
    "fashion100": Case("Fashion-MNIST, long tail 500 to 5", (fashion(100),)),
    "fashion_more": Case(
        "Fashion-MNIST, 20 a class, 5,000 more without labels",
        (few,),
        {"prove": {"arms": (*FEWER, "pseudo_labels")}},
        pool=lambda p: data.load(p.fashion).take(rng(1, "few").permutation(60_000)[:5000]),
    ),
    "breast": Case("BreastMNIST, ultrasound, official split", (lambda p: data.load(p.shared / "breastmnist.npz"),)),
    "pneumonia": Case("PneumoniaMNIST, X-ray, one twentieth", (pneumonia,)),
    "fer": Case("FER-2013 subset at 32 px, long tail 400 to 8", (faces,)),
    "disgust": Case(
        "FER-2013 subset at 32 px, 32 of disgust, 400 of the others, translated",
        (disgust,),
        {
            "train": {"recipe": "translator", "steps": None},
            "prove": {"arms": tuple(arm for arm in FEWER if not arm.startswith("discriminator"))},
        },
    ),
    "tiles": Case(
        "magnetic tiles at 32 px, 952 to 32", (lambda p: data.load(p.shared / "magnetic_tile_64.npz", size=32),)
    ),
    "flowers": Case("flowers at 32 px, 40 a class", (flowers,)),
    "pneumonia_more": Case(
        "PneumoniaMNIST, one twentieth, the rest without labels",
        (pneumonia,),
        pool=lambda p: data.load(p.shared / "pneumoniamnist.npz"),
    ),
    "flowers_more": Case(
        "flowers at 32 px, 40 a class, the rest without labels",
        (flowers,),
        {"prove": {"arms": (*FEWER, "pseudo_labels")}},
        pool=lambda p: data.load(p.shared / "flowers5.tar", size=32),
    ),
    "sunglasses": Case(
        "CMU faces, sunglasses never seen at left or right",
        hole("eyes", "sunglasses", "pose", ("left", "right")),
        HOLE,
    ),
    "open": Case(
        "CMU faces, open eyes never seen straight or up", hole("eyes", "open", "pose", ("straight", "up")), HOLE
    ),
    "angry": Case(
        "CMU faces, anger never seen at up",
        hole("expression", "angry", "pose", ("up",)),
        HOLE,
    ),
    "sunglasses_more": Case(
        "CMU faces, the same sunglasses, started from a generator of other faces",
        hole("eyes", "sunglasses", "pose", ("left", "right")),
        HOLE | {"generate": {"sampling_strategy": "level", "surplus": 20}},
        related="fer",
    ),
}
"""Name -> case."""
