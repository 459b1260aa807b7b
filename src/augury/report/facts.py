"""All facts that the page shows, collected by the caller; the report computes no results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.generation.examples import Example
from augury.images import Codes, Images, LabelledImages, SyntheticImages
from augury.verdict import Verdict


@dataclass(frozen=True)
class Facts:
    """The facts of one run, mostly as its JSON files hold them.

    `source` is the origin of the data, and `command` repeats the run. `metadata` is run.json: {version, settings, versions,
    machine, data: {n, shape, classes, counts: {train, validation, test}, notes}}. `train` are the real training images,
    `synthetic` all images drawn, including the rejected ones.

    `neighbours` int64 [M, 1 + k] are an index into `synthetic`, then k into `train`, nearest first, at `distances`
    float64 [M, k].
    `log` has rows {step, seconds, images, loss_g, loss_d, score_real, score_fake, images_per_second}. `plan` is {recipe, steps,
    batch, precision, device, images_per_second, parameters, augment, label_sampling}. `generation` is {strategy, rows: [{class,
    real, requested, drawn, accepted, rejected: {filter: n}, why}], filters: {name: what it keeps}}.

    `scores` has rows {name, value, low, high, n, better, features, preprocessing, baseline, note, settings, group}; `score_notes`
    apply to all of them. `copies` is {looked: [{features, fakes, train, copies}], pairs: [{features, class, index,
    train, distance,
    limit}]}, and `copied` uint8 [P, 2, C, H, W] are the pictures of the pairs, fake first. `seconds` are given per
    stage. `near` is
    near_duplicates.json, and `near_images` are the images of its first clusters. `translations` are examples of each row of
    generation["plan"] that fills a cell. Their sources and neighbours are rows of `known`; None: of the train images.

    `judged` marks a trial of external images, or of several generators. The page then leaves out filters, scores and training.

    `best` is the arm that was best on validation, with which the page begins; "" where that is not known. `classifier` is the
    card of the stored classifier.
    Empty facts, and None within a row, are left out of the page or shown as missing.
    """

    title: str
    source: str
    command: str
    metadata: Mapping[str, Any]
    verdict: Verdict
    train: LabelledImages
    synthetic: SyntheticImages
    neighbours: Codes
    distances: npt.NDArray[np.float64]
    log: Sequence[Mapping[str, Any]] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    scores: Sequence[Mapping[str, Any]] = ()
    score_notes: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    copies: Mapping[str, Any] = field(default_factory=dict)
    copied: Images = field(default_factory=lambda: np.empty((0, 2, 1, 1, 1), np.uint8))
    near: Mapping[str, Any] = field(default_factory=dict)
    near_images: Sequence[Images] = ()
    translations: Sequence[Example] = ()
    known: LabelledImages | None = None
    judged: bool = False
    best: str = ""
    classifier: Mapping[str, Any] = field(default_factory=dict)
