"""Pretrained diffusers pipelines as recipes: nothing is trained, but folder, prompts and settings are checked and recorded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from augury.errors import SettingsError
from augury.images import LabelledImages
from augury.networks import PIPELINES, PipelineSettings, build_generator
from augury.networks.pipeline_folder import (
    check_folder,
    folder_digest,
    native_size,
    object_digest,
    parameters,
    pipeline_class,
)
from augury.networks.pipelines import settled
from augury.networks.prompts import check_condition
from augury.settings import TrainSettings
from augury.training.devices import placed
from augury.validation import changed

if TYPE_CHECKING:
    from augury.training.recipes import Recipe

BY_THE_RUN = ("digest", "precision", "columns", "values")
"""Settings of a pipeline that a run sets itself."""
LICENCE = (
    "Generated images are subject to the licence of the pipeline's weights, and where they are translations, to the licence and "
    "consent terms of the training images. The images on which the pipeline was trained are unknown; test images may have been "
    "among them."
)


def refuse_training_settings(name: str, settings: TrainSettings) -> None:
    """Raise SettingsError for settings of a training that a pretrained pipeline does not have."""
    usual = TrainSettings()
    for setting in (
        "steps",
        "budget",
        "batch",
        "unconditional",
        "label_sampling",
        "augment",
        "start_from",
        "unlabelled",
    ):
        value = getattr(settings, setting)
        if value != getattr(usual, setting):
            raise SettingsError(f"{setting}={value} has no effect: the recipe {name} trains nothing; leave it out")


def settled_rule(rule: Recipe, data: LabelledImages, condition: tuple[str, ...], precision: str) -> Recipe:
    """The recipe with everything that decides an image: class, digest, prompts, steps, guidance, strength and size.

    Parameters
    ----------
    rule
        A recipe of PRETRAINED with the settings of the user.
    data
        The images, with the names of their classes and attributes.
    condition
        Attributes beside the class.
    precision
        "fp32" or "bf16".

    Raises
    ------
    SettingsError
        For prompts that do not fit the classes, and settings that the pipeline does not take.
    WeightsError
        For a folder that cannot be used.
    MissingExtraError
        Without diffusers.
    """
    if own := [name for name in BY_THE_RUN if name in rule.settings]:
        raise SettingsError(f"{own[0]} is set by the run itself; leave it out of train.overrides")
    settings = changed(f"recipe '{rule.network}'", PipelineSettings(), rule.settings)
    translates = PIPELINES[rule.network].translates
    if not settings.pipeline:
        raise SettingsError(
            f'recipe {rule.network} needs the folder of a pipeline: --set \'train.overrides={{"pipeline": "FOLDER", "prompt": "a '
            "photo of {class}\"}'"
        )
    folder = Path(settings.pipeline)
    index = check_folder(folder)
    chosen = pipeline_class(settings.class_name or index["_class_name"], translates=translates)
    settings = settings.model_copy(update={"class_name": chosen.__name__, "precision": precision})
    if translates and not settings.size:
        settings = settings.model_copy(update={"size": native_size(folder)})
    settings = _settled(settings, chosen.__call__, data, condition, translates=translates, class_moves=rule.class_moves)
    settings = settings.model_copy(update={"digest": folder_digest(folder)})
    return rule.model_copy(update={"settings": settings.model_dump()})


def settled_object(
    pipeline: Any,
    data: LabelledImages,
    condition: tuple[str, ...],
    values: dict[str, Any],
    *,
    translates: bool,
    class_moves: bool,
) -> PipelineSettings:
    """The same for a pipeline in memory, with the settings `values` by name."""
    if own := [name for name in BY_THE_RUN if name in values]:
        raise SettingsError(f"{own[0]} is not a setting of a pipeline that is given as an object; leave it out")
    settings = changed("the pipeline", PipelineSettings(), {"class_name": type(pipeline).__name__, **values})
    network = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    if translates and not settings.size and network is not None and hasattr(pipeline, "vae_scale_factor"):
        settings = settings.model_copy(update={"size": network.config.sample_size * pipeline.vae_scale_factor})
    settings = settings.model_copy(update={"digest": object_digest(pipeline)})
    return _settled(settings, pipeline, data, condition, translates=translates, class_moves=class_moves)


def _settled(
    settings: PipelineSettings,
    call: Any,
    data: LabelledImages,
    condition: tuple[str, ...],
    *,
    translates: bool,
    class_moves: bool,
) -> PipelineSettings:
    """Add the defaults of the pipeline's call and the names in the data, and check the prompts against both."""
    if translates and not settings.size:
        raise SettingsError(
            "the size at which this pipeline works is not in its configuration; give it as size in train.overrides, such as 512"
        )
    data.cardinalities(condition)  # raises for an attribute that the data do not have
    columns = {"label": list(data.classes), **{name: list(data.attributes[name].values) for name in condition}}
    settings = settled(settings, call, translates=translates)
    settings = settings.model_copy(update={"columns": list(columns), "values": list(columns.values())})
    needed = [name for name in columns if name != "label" or class_moves or not translates]
    check_condition(settings, needed, parameters(call))
    return settings


def pipeline_digest(folder: str | None) -> str:
    """Identify the pipeline of a run by its content; empty while the setting is missing, which is refused elsewhere.

    Parameters
    ----------
    folder
        The folder of the pipeline.

    Returns
    -------
    The digest.

    Raises
    ------
    WeightsError
        For a folder that cannot be used.
    """
    if not folder:
        return ""
    check_folder(Path(folder))
    return folder_digest(Path(folder))


def image_seconds(rule: Recipe, data: LabelledImages, condition: tuple[str, ...], device: torch.device) -> float:
    """Load a pipeline, and measure how long it takes for one image."""
    generator = placed(build_generator(rule.network, rule.settings, data.shape, data.cardinalities(condition)), device)
    codes, noise = torch.from_numpy(data.conditions(condition)[:1]), torch.zeros(1, 4)
    image = torch.zeros(1, *data.shape)
    inputs = (image, codes, noise) if PIPELINES[rule.network].translates else (noise, codes)
    generator(*inputs)  # the first call loads the weights
    started = time.perf_counter()
    generator(*inputs)
    return time.perf_counter() - started
