"""A pretrained diffusers pipeline as a synthesizer: from the plan of a run, or from a pipeline in memory."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.data import draw_contact_sheet
from augury.files import atomic_path, write_lines
from augury.images import LabelledImages, SyntheticImages, as_labelled
from augury.networks import PIPELINES, build_generator
from augury.provenance import tagged_png
from augury.training.card import Card, data_facts
from augury.training.devices import placed
from augury.training.pipelines import LICENCE, settled_object
from augury.training.plan import Plan
from augury.training.source_sampler import sampler
from augury.training.synthesizer import Synthesizer


def pretrained(plan: Plan, data: LabelledImages, card: Card, folder: Path | None) -> Synthesizer:
    """The synthesizer of a plan that trains nothing.

    One image of the first class is drawn, or the first train image translated, so that a pipeline that cannot draw fails now. It
    is stored in `folder`/samples, beside an empty log.
    """
    generator = build_generator(card.network, card.settings, card.shape, card.cardinalities)
    synthesizer = Synthesizer(
        replace(card, versions=_versions(card.versions), licence_note=LICENCE), placed(generator, plan.device)
    )
    conditions = data.conditions(plan.condition)[:1]
    image = sampler(synthesizer, data, plan.rule.class_moves).sample(conditions, seed=plan.seed).images
    if folder is not None:
        write_lines(folder / "log.jsonl", [])
        sheet = draw_contact_sheet({data.classes[int(conditions[0, 0])]: image})
        with atomic_path(folder / "samples" / "step-000000.png") as temporary:
            temporary.write_bytes(tagged_png(sheet, {"recipe": plan.recipe, "seed": plan.seed}))
    return synthesizer


def from_pipeline(
    pipeline: Any,
    data: LabelledImages | SyntheticImages,
    *,
    condition: tuple[str, ...] = (),
    translates: bool = False,
    class_moves: bool = True,
    **settings: Any,
) -> Synthesizer:
    """Use a diffusers pipeline in memory as a generator or translator.

    Its images then go through plan, filters, trial and export as any others: `generation.draw` or `generation.translate`.

    Parameters
    ----------
    pipeline
        A pipeline of diffusers, or any callable with such arguments: prompt (or class_labels), generator and, for a
        translator, image. It returns `images` of Pillow, and stays on its device.
    data
        The train split: classes, attributes and size of the images.
    condition
        Attributes beside the class, which the prompt must name.
    translates
        Whether it changes images instead of drawing new ones.
    class_moves
        Whether a translator may change the class; otherwise its prompt need not name the class.
    **settings
        Settings of `augury.networks.PipelineSettings`, such as prompt, num_inference_steps, strength and size.

    Returns
    -------
    The synthesizer. It draws while the object lives; `Synthesizer.load` cannot load the pipeline again.

    Raises
    ------
    SettingsError
        For prompts that do not fit the classes, and settings that the pipeline does not take.
    """
    data = as_labelled(data)
    network = "diffusers_img2img" if translates else "diffusers"
    chosen = settled_object(pipeline, data, condition, settings, translates=translates, class_moves=class_moves)
    generator = PIPELINES[network](chosen, data.shape, data.cardinalities(condition), pipeline)
    card = Card(
        network=network,
        settings=chosen.model_dump(),
        recipe=network,
        seed=0,
        steps=0,
        batch=1,
        precision=chosen.precision,
        versions=_versions({"torch": torch.__version__, "numpy": np.__version__}),
        licence_note=LICENCE,
        **data_facts(data, condition),
    )
    return Synthesizer(card, generator)


def _versions(known: dict[str, str]) -> dict[str, str]:
    """Versions with those of the packages that a pipeline uses, as far as they are installed."""
    versions = dict(known)
    for name in ("diffusers", "transformers"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
