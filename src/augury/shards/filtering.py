"""The filters of a shard: those that judge an image by itself, or against images of the same shard."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from augury import metrics, proof
from augury.errors import RunFolderError, SettingsError
from augury.files import digest
from augury.generation import TRANSLATIONS_ONLY, Candidates, FilterContext, rules
from augury.generation.filters import apply
from augury.images import SyntheticImages
from augury.pipeline.inputs import Callbacks, read
from augury.pipeline.run_folder import Run
from augury.pipeline.session import Session
from augury.settings import RunSettings
from augury.validation import validated

UNAVAILABLE = ("discriminator", *TRANSLATIONS_ONLY)
"""Filters that need the training's state, or the source of a translation."""


def check_filters(names: Sequence[str], run: Path) -> str:
    """Check that shards of a run can be filtered.

    Parameters
    ----------
    names
        Filters in order, as in `generation.rules`.
    run
        A run folder.

    Returns
    -------
    What identifies the data and the classifier of the filters; "" without filters.

    Raises
    ------
    SettingsError
        For a filter that is unknown, or cannot be applied to a shard.
    RunFolderError
        For a folder without the run's data and classifier.
    """
    for rule in rules(names):
        if rule.filter.selects:
            raise SettingsError(
                f"the filter '{rule.name}' selects among all images of a class, but a shard is filtered by itself; leave it out"
            )
        if rule.name in UNAVAILABLE:
            raise SettingsError(
                f"the filter '{rule.name}' cannot be applied to shards of images from noise; leave it out"
            )
    if not names:
        return ""
    state = Run(run).state()
    if not {"split", "classify"} <= state.keys():
        raise RunFolderError(
            f"{run}: filters need the data and the classifier of a run, but these are not here; give the run folder, or leave --filter "
            "out"
        )
    return digest([state[stage]["key"] for stage in ("split", "classify")])


def filter_context(run: Path, device: torch.device) -> FilterContext:
    """What filters need to know of the run's real images; nothing of the test split. It only reads the run folder, so that many
    workers can do so at once.
    """
    folder = Run(run)
    settings = validated(RunSettings, folder.settings | {"device": device.type})
    data, source = read(None, folder, settings, Callbacks())
    session = Session(folder, data, settings, source, Callbacks())
    model = session.classifier
    inputs = metrics.from_network(
        "classifier's last layer", model, "", device, model.last_inputs, dimension=model.last.in_features
    )
    return FilterContext(
        session.splits["train"],
        partial(proof.probabilities, model),
        metrics.nearest,
        features=session.own_features().extract,
        validation=session.splits["validation"],
        last_inputs=inputs.extract,
    )


def filtered(
    synthetic: SyntheticImages, names: Sequence[str], context: FilterContext
) -> tuple[dict[str, npt.NDArray[np.float64]], list[str]]:
    """The scores of the images of a shard, and for each the first filter that rejects it or ""."""
    n = len(synthetic)
    everything = np.ones(n, bool)
    quota = np.full(n, n, np.int64)
    candidates = Candidates(synthetic.images, synthetic.conditions, synthetic.indices, quota, everything)
    return apply(tuple(names), candidates, context)
