"""A pretrained diffusers pipeline as a generator (from prompts or class labels) or a translator (from images)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from PIL import Image, ImageOps
from pydantic import Field
from torch import nn

from augury.errors import SettingsError, TrainingError, WeightsError, shortened
from augury.files import atomic_path
from augury.networks.pipeline_folder import load_pipeline, parameters
from augury.networks.prompts import filled
from augury.networks.translator import KEEP
from augury.provenance import tagged_png
from augury.validation import StrictSettings

MULTIPLE = 8
"""Sides of the images that pipelines take are multiples of this."""


class PipelineSettings(StrictSettings):
    """Settings of a pretrained pipeline. Those that diffusers has too keep its name and, as null, its default."""

    pipeline: str = Field(
        "",
        description="folder of the pipeline on this machine, as save_pretrained wrote it: model_index.json, safetensors",
    )
    class_name: str = Field(
        "",
        description="class of diffusers; empty: that of model_index.json, or for images its Img2Img variant",
    )
    prompt: str | dict[str, str] = Field(
        "",
        description="prompt with {class} and the names of attributes, such as 'a photo of {class}, {pose}'; or one for each class",
    )
    negative_prompt: str | None = Field(None, description="what the images should not show")
    class_labels: dict[str, int] = Field(
        default_factory=dict, description="class -> label of the pipeline, for pipelines that take labels and no prompt"
    )
    num_inference_steps: int | None = Field(None, ge=1, description="denoising steps")
    guidance_scale: float | None = Field(None, ge=0, description="weight of the prompt or label")
    image_guidance_scale: float | None = Field(None, ge=0, description="weight of the source image (InstructPix2Pix)")
    strength: float | None = Field(
        None, gt=0, le=1, description="how far an image is changed, as a share of the denoising steps (img2img)"
    )
    size: int = Field(
        0, ge=0, description="longer side in px of the images that the pipeline draws; 0: that of its training"
    )
    digest: str = Field("", description="set by the run: identifies the content of the folder")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="set by the run: train.precision")
    columns: list[str] = Field(default_factory=list, description="set by the run: label, and the names of attributes")
    values: list[list[str]] = Field(default_factory=list, description="set by the run: the names in each column")


OPTIONS = ("negative_prompt", "num_inference_steps", "guidance_scale", "image_guidance_scale", "strength")
"""Settings that are arguments of a pipeline's call."""


class PretrainedPipeline(nn.Module):
    """What both kinds have in common: the pipeline, loaded when the first image is drawn, and the arguments of its call.

    Each image is drawn alone, with a generator of its own. So its bytes do not depend on the other images. The generator's
    seed is a hash of the image's row of noise, which comes from (seed, index).

    The weights stay in their folder. The empty parameter is there for the device. A pipeline in memory stays on its own device.

    `store` is a folder for images that are drawn already, so that an interrupted run loses none; None: they are not stored.
    """

    latent = 4
    prompted = True
    """Noise is a seed here: it has no space to move in, so truncation, interpolation and inversion do not apply."""
    translates: ClassVar[bool]

    def __init__(
        self,
        settings: PipelineSettings,
        shape: tuple[int, int, int],
        cardinalities: tuple[int, ...],
        pipeline: Any = None,
    ) -> None:
        super().__init__()
        self.settings, self.shape, self.cardinalities = settings, shape, cardinalities
        self.device = nn.Parameter(torch.zeros(0), requires_grad=False)
        self.store: Path | None = None
        self._pipeline = [] if pipeline is None else [pipeline]  # in a list, so that it is no submodule

    @property
    def pipeline(self) -> Any:
        """The pipeline; one from a folder is on this module's device. Raises WeightsError where it cannot be loaded."""
        if not self._pipeline:
            s = self.settings
            if not s.pipeline:
                raise WeightsError(
                    "this pipeline was given as an object and not as a folder, so it cannot be loaded; give it again "
                    "(augury.training.from_pipeline)"
                )
            pipeline = load_pipeline(Path(s.pipeline), s.class_name, s.digest, s.precision)
            self._pipeline = [pipeline.to(self.device.device)]
        return self._pipeline[0]

    def condition(self, codes: Sequence[int]) -> dict[str, Any]:
        """The arguments that say what an image shows, for a row of codes. A prompt may not need every column."""
        s = self.settings
        columns = zip(s.columns, s.values, codes, strict=True)
        named = {name: values[code] for name, values, code in columns if code != KEEP}
        if s.class_labels:
            return {"class_labels": [s.class_labels[named["label"]]]}
        return {"prompt": filled(s.prompt, named)}

    def draw(self, noise: torch.Tensor, codes: Sequence[int], **arguments: Any) -> Image.Image:
        """Draw one image. Raises SettingsError or TrainingError when the pipeline refuses or fails."""
        condition = self.condition(codes)  # raises before gigabytes are loaded
        arguments |= {name: value for name in OPTIONS if (value := getattr(self.settings, name)) is not None}
        pipeline = self.pipeline
        if self.settings.size and "height" in parameters(pipeline):  # otherwise it would take the size of its training
            arguments |= dict(zip(("width", "height"), self.working_size(), strict=True))
        generator = torch.Generator("cpu").manual_seed(torch_seed_of(noise))
        try:
            output = pipeline(**condition, **arguments, generator=generator)
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            raise SettingsError(
                f"the pipeline refuses these settings ({shortened(str(error), 300)}); change them in train.overrides"
            ) from error
        except RuntimeError as error:
            raise TrainingError(
                f"the pipeline failed to draw an image ({shortened(str(error), 300)}); use a smaller size in train.overrides, or "
                "another device"
            ) from error
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            raise TrainingError(
                f"the pipeline's safety checker blanked the image of {condition}; change the prompt, since a blank image must not "
                "enter the data set"
            )
        image = output.images[0] if hasattr(output, "images") else output[0]
        if not isinstance(image, Image.Image):
            raise SettingsError(f"the pipeline returns {type(image).__name__}, but it must return images of Pillow")
        return image

    def pixels(
        self, noise: torch.Tensor, codes: Sequence[int], drawn: Callable[[], Image.Image], source: bytes = b""
    ) -> torch.Tensor:
        """An image from the store or else from `drawn`, float [1, C, H, W] in [-1, 1], grey or colour as the data are."""
        mode, file = "L" if self.shape[0] == 1 else "RGB", self._file(noise, codes, source)
        if file is not None and file.exists():
            image: Image.Image = Image.open(file)
        else:
            image = drawn().convert(mode)
            if file is not None:
                with atomic_path(file) as temporary:
                    temporary.write_bytes(tagged_png(image, {"pipeline": self.settings.class_name}))
        values = torch.frombuffer(bytearray(image.convert(mode).tobytes()), dtype=torch.uint8)
        rows = values.view(1, *self.shape[1:], self.shape[0])
        return (rows.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()

    def _file(self, noise: torch.Tensor, codes: Sequence[int], source: bytes) -> Path | None:
        """Where an image is stored, named by a hash of all that decides it."""
        if self.store is None:
            return None
        facts = repr([sorted(self.settings.model_dump(exclude={"pipeline"}).items()), self.shape, list(codes)])
        content = hashlib.sha256(facts.encode() + torch_seed_of(noise).to_bytes(8, "little") + source)
        return self.store / f"{content.hexdigest()[:32]}.png"

    def working_size(self) -> tuple[int, int]:
        """Width and height in px at which the pipeline works: the aspect of the data, the longer side as `size` says."""
        longest = max(self.shape[1:])
        sides = (max(1, round(self.settings.size * side / longest / MULTIPLE)) * MULTIPLE for side in self.shape[:0:-1])
        width, height = sides
        return width, height


class PipelineGenerator(PretrainedPipeline):
    """Noise [N, 4], conditions int64 [N, K] -> images [N, C, H, W] in [-1, 1].

    Drawn images are reduced to the size of the data; where the aspect differs, the middle is cut out.
    """

    translates = False

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Draw one image per row."""
        target = self.shape[2], self.shape[1]

        def drawn(row: torch.Tensor, codes: list[int]) -> Image.Image:
            return ImageOps.fit(self.draw(row, codes), target, Image.Resampling.LANCZOS)

        rows = zip(noise.cpu(), conditions.tolist(), strict=True)
        return torch.cat([self.pixels(row, codes, partial(drawn, row, codes)) for row, codes in rows])


class PipelineTranslator(PretrainedPipeline):
    """Images [N, C, H, W] in [-1, 1], target codes int64 [N, K], noise [N, 4] -> translated images.

    Images are enlarged to the size at which the pipeline works, and reduced again; grey ones are shown to it as colour.
    """

    translates = True

    def forward(self, images: torch.Tensor, changes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Translate each image."""
        values = ((images.cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

        def translated(image: torch.Tensor, row: torch.Tensor, codes: list[int]) -> Image.Image:
            array = image.permute(1, 2, 0).contiguous().numpy()
            source = Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array).convert("RGB")
            enlarged = source.resize(self.working_size(), Image.Resampling.LANCZOS)
            return self.draw(row, codes, image=enlarged).resize(source.size, Image.Resampling.LANCZOS)

        rows = zip(values, noise.cpu(), changes.tolist(), strict=True)
        return torch.cat(
            [
                self.pixels(row, codes, partial(translated, image, row, codes), image.contiguous().numpy().tobytes())
                for image, row, codes in rows
            ]
        )


def torch_seed_of(noise: torch.Tensor) -> int:
    """The seed of an image's `torch.Generator`: the first 63 bits of a hash of its noise float32 [4]."""
    content = noise.detach().cpu().to(torch.float32).contiguous().numpy().tobytes()
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little") >> 1


def settled(settings: PipelineSettings, call: Any, *, translates: bool) -> PipelineSettings:
    """The settings with the defaults of a pipeline's call, so that the card says all that decides an image.

    Parameters
    ----------
    settings
        The settings of a user.
    call
        The pipeline, or the `__call__` of its class.
    translates
        Whether it is used as a translator.

    Raises
    ------
    SettingsError
        For a setting that the call does not take, and a pipeline of the other kind.
    """
    accepted = parameters(call)
    if translates and "image" not in accepted:
        raise SettingsError(
            f"{settings.class_name} takes no image, so it cannot translate; use recipe diffusers, or name the class that takes images "
            "as class_name in train.overrides"
        )
    if not translates and ("strength" in accepted or ("image" in accepted and "height" not in accepted)):
        raise SettingsError(f"{settings.class_name} changes images; use recipe diffusers_img2img")
    if not translates and settings.size and "height" not in accepted:
        raise SettingsError(f"{settings.class_name} draws images of one size; leave size out")
    values: dict[str, Any] = {}
    for name in OPTIONS:
        value, default = getattr(settings, name), accepted.get(name)
        if value is not None and name not in accepted:
            raise SettingsError(f"{name}={value!r} has no effect: {settings.class_name} does not take it; leave it out")
        if value is None and isinstance(default, int | float):
            values[name] = default if name == "num_inference_steps" else float(default)
    result = settings.model_copy(update=values)
    if result.strength and result.num_inference_steps and int(result.strength * result.num_inference_steps) < 1:
        raise SettingsError(
            f"strength={result.strength:g} of num_inference_steps={result.num_inference_steps} is less than one step; raise one of them"
        )
    return result
