"""Everything the page tells, gathered by the caller: the report computes no result of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.generation.examples import Example
from augury.images import Codes, Images, LabelledImages, SyntheticImages


@dataclass(frozen=True)
class Facts:
    """The facts of one run, mostly as its JSON files hold them.

    `source` is where the data came from and `command` makes the run again; `about` is run.json: {version, settings,
    versions, machine, data: {n, shape, classes, counts: {train, validation, test}, notes}}; `verdict` is verdict.json.
    `train` are the real training images, `synthetic` all that were drawn, the rejected among them.
    `neighbours` int64 [M, 1 + k]: an index into `synthetic`, then k into `train`, nearest first, at `distances`
    float64 [M, k]. `log` has rows {step, seconds, images, loss_g, loss_d, score_real, score_fake, images_per_second};
    `plan` {recipe, steps, batch, precision, device, images_per_second, parameters, augment, label_sampling};
    `generation` {strategy, rows: [{class, real, wanted, drawn, kept, rejected: {filter: n}, why}],
    filters: {name: what it keeps}}; `scores` rows {name,
    value, low, high, n, better, features, preprocessing, baseline, note, settings, group}, and `score_notes` what holds for
    all; `copies` {looked: [{features,
    fakes, train, copies}], pairs: [{features, class, index, train, distance, limit}]}, and `copied` uint8 [P, 2, C, H, W]
    the pictures of the pairs, fake first; `seconds` per stage; `near` is near_duplicates.json, and `near_images` are the
    images of its first clusters; `translations` are examples of each row of generation["plan"] that fills a cell,
    whose sources and neighbours are rows of `known`, the train images unless given.
    `judged` marks a trial of images that Augury did not make, or of several generators: the page then leaves out filters,
    scores and training.
    Whatever is empty, or None within a row, is left out of the page or said to be missing.
    """

    title: str
    source: str
    command: str
    about: Mapping[str, Any]
    verdict: Mapping[str, Any]
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
