"""Stand-ins for the package diffusers and its pipelines, and a folder that looks like one of theirs."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from augury.networks.pipeline_folder import INDEX


class DiffusionPipeline:
    """What Augury uses of the class of that name."""

    dtype = torch.float32

    def __init__(self, folder: Path | None = None, options: dict[str, Any] | None = None) -> None:
        self.folder, self.options, self.calls = folder, options, []

    @classmethod
    def from_pretrained(cls, folder: str, **options: Any) -> Any:
        return cls(Path(folder), options)

    def to(self, target: Any) -> Any:
        return self

    def set_progress_bar_config(self, **config: Any) -> None:
        self.bars = config

    def painted(self, size: tuple[int, int], text: object, generator: torch.Generator, base: int = 0) -> Any:
        """Noise of the generator, brighter for a longer text."""
        noise = torch.randint(0, 100, (size[1], size[0], 3), generator=generator).numpy()
        pixels = (noise + base + 3 * len(str(text))).clip(0, 255).astype(np.uint8)
        return types.SimpleNamespace(images=[Image.fromarray(pixels)])


class PaintPipeline(DiffusionPipeline):
    """Prompt -> image."""

    def __call__(
        self, prompt=None, height=16, width=16, num_inference_steps=50, guidance_scale=7.5, negative_prompt=None,
        generator=None,
    ):  # fmt: skip
        self.calls.append({"prompt": prompt, "steps": num_inference_steps, "size": (width, height)})
        return self.painted((width, height), prompt, generator)


class PaintImg2ImgPipeline(DiffusionPipeline):
    """Prompt and image -> image: the mean of the source shows in the result."""

    def __call__(self, prompt=None, image=None, strength=0.8, num_inference_steps=50, generator=None):
        self.calls.append({"prompt": prompt, "strength": strength, "size": image.size, "mode": image.mode})
        return self.painted(image.size, prompt, generator, base=int(np.asarray(image).mean() / 4))


class LabelPipeline(DiffusionPipeline):
    """Class label -> image."""

    def __call__(self, class_labels, guidance_scale=4.0, generator=None, num_inference_steps=50):
        self.calls.append({"class_labels": class_labels})
        return self.painted((16, 16), "x" * class_labels[0], generator)


def stand_in(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Put a module with these classes in the place of diffusers."""
    module = types.ModuleType("diffusers")
    module.__version__ = "0.0"  # type: ignore[attr-defined]
    for kind in (DiffusionPipeline, PaintPipeline, PaintImg2ImgPipeline, LabelPipeline):
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "diffusers", module)
    return module


def folder_of(path: Path, name: str = "PaintPipeline", sample_size: int = 8) -> Path:
    """A folder with an index, a configuration and weights."""
    (path / "unet").mkdir(parents=True)
    (path / "vae").mkdir()
    (path / INDEX).write_text(json.dumps({"_class_name": name, "unet": ["diffusers", "UNet2DConditionModel"]}))
    (path / "unet" / "config.json").write_text(json.dumps({"sample_size": sample_size}))
    (path / "vae" / "config.json").write_text(json.dumps({"block_out_channels": [4, 8]}))
    save_file({"weight": torch.arange(4.0)}, path / "unet" / "diffusion_pytorch_model.safetensors")
    return path
