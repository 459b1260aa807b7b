"""Train a Synthesizer: adversarially, as an autoencoder, as a flow, or as a translator."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from augury.files import digest, read_json, write_json
from augury.images import LabelledImages, SyntheticImages, as_labelled
from augury.settings import TrainSettings
from augury.training import checkpoints
from augury.training.batches import as_float, as_uint8
from augury.training.card import Card
from augury.training.critic import PretrainedBackbone, discriminator, feature_network, lacks_layers, layers
from augury.training.devices import choose_device, choose_precision, devices, keep_memory, out_of_memory, placed
from augury.training.distributed import ALONE, World
from augury.training.fixed_batches import in_fixed_batches
from augury.training.latent import slerp
from augury.training.latent_space import Encoder, LatentImages, LatentSpace, encoder, path_pairs
from augury.training.loop import Assess, Progress, train_plan
from augury.training.pipelines import pipeline_digest
from augury.training.plan import Plan, drop_labels, make_plan, resolve_recipe, step_seconds, trains_nothing, translates
from augury.training.pretrained import from_pipeline
from augury.training.source_sampler import SourceSampler, sampler
from augury.training.synthesizer import Synthesizer, synthesizer_folder
from augury.training.tables import TableSynthesizer, train_table
from augury.training.transfer import fingerprint

__all__ = [
    "ALONE",
    "Assess",
    "Card",
    "Encoder",
    "LatentImages",
    "LatentSpace",
    "Plan",
    "PretrainedBackbone",
    "Progress",
    "SourceSampler",
    "Synthesizer",
    "TableSynthesizer",
    "World",
    "as_float",
    "as_uint8",
    "checkpoints",
    "choose_device",
    "choose_precision",
    "devices",
    "discriminator",
    "drop_labels",
    "encoder",
    "feature_network",
    "fingerprint",
    "from_pipeline",
    "in_fixed_batches",
    "keep_memory",
    "lacks_layers",
    "layers",
    "make_plan",
    "out_of_memory",
    "path_pairs",
    "pipeline_digest",
    "placed",
    "resolve_recipe",
    "sampler",
    "slerp",
    "step_seconds",
    "synthesizer_folder",
    "train",
    "train_plan",
    "train_table",
    "trains_nothing",
    "translates",
]


def train(
    data: LabelledImages | SyntheticImages,
    folder: str | os.PathLike[str] | None = None,
    *,
    settings: TrainSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    assess: Assess | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_event: Callable[[str], None] = lambda text: None,
) -> Synthesizer:
    """Train a generator on all of `data`.

    Pass only the train split if you mean to test later.

    Parameters
    ----------
    data
        The images, with classes and attributes; of SyntheticImages, the accepted ones with their classes.
    folder
        Where the plan, log and checkpoints are stored. The same call with the same folder resumes an interrupted training.
    settings
        Training settings; None for the defaults.
    seed
        Seed of all random numbers.
    device
        "auto", "cpu", "cuda" or "mps".
    assess
        Chooses the best generator during the training, for example a metrics.Monitor. Without it the last one is returned.
    on_progress, on_event
        Called with the progress, and with messages about the training.

    Returns
    -------
    The trained generator.

    Raises
    ------
    SettingsError
        For settings that cannot be used.
    """
    data = as_labelled(data)
    chosen, path = settings or TrainSettings(), None if folder is None else Path(folder)
    where, flips = choose_device(device), data.flips()
    start = None if chosen.start_from is None else (chosen.start_from, fingerprint(chosen.start_from))
    requested = chosen.model_dump(exclude={"checkpoint_every", "track", "start_from"})
    inputs = digest([requested, start and start[1], seed, where.type, flips, data.fingerprint])
    stored = None if path is None or not (path / "plan.json").exists() else read_json(path / "plan.json")
    if stored is not None and stored.get("inputs") == inputs:
        plan = replace(Plan.from_dict(stored["plan"]), start=start)
    else:
        plan = make_plan(data, chosen, seed=seed, device=where, flips=flips)
        if path is not None:
            write_json(path / "plan.json", {"inputs": inputs, "plan": plan.as_dict()})
    return train_plan(
        plan,
        data,
        path,
        checkpoint_every=chosen.checkpoint_every,
        assess=assess,
        on_progress=on_progress,
        on_event=on_event,
    )
