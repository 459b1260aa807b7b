"""Images as PNG data URIs, one each; synthetic ones say that they are."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from augury.images import Images
from augury.provenance import png_text
from augury.training import Synthesizer


def data_uri(image: Images, tag: Mapping[str, Any] | None = None) -> str:
    """uint8 [C, H, W] as a PNG in a data URI; with a `tag`, the facts in the text chunks of a synthetic image."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    picture.save(buffer, format="PNG", compress_level=1, pnginfo=None if tag is None else png_text(tag))
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def data_uris(images: Images, tag: Mapping[str, Any] | None = None) -> list[str]:
    """uint8 [N, C, H, W] as N data URIs."""
    return [data_uri(image, tag) for image in images]


def tag_of(synthesizer: Synthesizer) -> dict[str, Any]:
    """The facts in the text chunks of images that the pages draw."""
    return {"recipe": synthesizer.card.recipe, "synthesizer": synthesizer.fingerprint}
