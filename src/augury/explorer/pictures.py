"""Images as PNG data URIs, one each."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from augury.images import Images


def data_uri(image: Images) -> str:
    """uint8 [C, H, W] as a PNG in a data URI."""
    buffer = io.BytesIO()
    pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def data_uris(images: Images) -> list[str]:
    """uint8 [N, C, H, W] as N data URIs."""
    return [data_uri(image) for image in images]
