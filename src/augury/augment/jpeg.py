"""Differentiable JPEG artefacts: the cosine transform of 8 x 8 blocks, quantised and inverted."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""ITU-T T.81 (1992), tables K.1 and K.2."""
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""JFIF 1.02: luma and two colour differences of red, green and blue."""


def compressed(images: Tensor, qualities: Tensor) -> Tensor:
    """Add JPEG artefacts at `qualities` [N], 1 to 100, to `images` float [N, C, H, W] in [-1, 1].

    Three channels become luma and full-size colour differences (no chroma subsampling); other numbers of channels are
    each treated as luma. The coefficients are quantised by the tables of ITU-T T.81, scaled as in libjpeg. The result
    is not rounded to 8 bits. Gradients pass through the rounding unchanged.
    """
    c, h, w = images.shape[1:]
    floats = images.float() if images.dtype in (torch.float16, torch.bfloat16) else images
    colours, basis, tables = floats.new_tensor(TO_YCC), cosines(floats), quantisation(qualities.to(floats), c)
    with torch.autocast(images.device.type, enabled=False):
        values = 127.5 * floats - 0.5  # levels less 128, as the standard has them
        planes = torch.einsum("dc,nchw->ndhw", colours, values) if c == 3 else values
        padded = F.pad(planes, (0, -w % 8, 0, -h % 8), mode="replicate")
        rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
        along = basis @ padded.reshape(-1, c, rows, 8, 8 * columns)
        coefficients = along.view(-1, c, rows, 8, columns, 8) @ basis.t() / tables
        rounded = coefficients + (coefficients.detach().round() - coefficients.detach())
        back = basis.t() @ (rounded * tables @ basis).view(-1, c, rows, 8, 8 * columns)
        restored = back.reshape(padded.shape)[:, :, :h, :w]
        if c == 3:
            restored = torch.einsum("cd,ndhw->nchw", torch.linalg.inv(colours), restored)
    return ((restored + 0.5) / 127.5).clamp(-1, 1).to(images.dtype)


def quantisation(qualities: Tensor, channels: int) -> Tensor:
    """The quantisation step of each coefficient [N, C, 1, 8, 1, 8], scaled by quality as in libjpeg (jcparam.c)."""
    q = qualities.round().clamp(1, 100)
    percent = torch.where(q < 50, (5000 / q).floor(), 200 - 2 * q).view(-1, 1, 1, 1, 1, 1)
    luma, chroma = qualities.new_tensor(LUMA), qualities.new_tensor(CHROMA)
    tables = torch.stack([luma, chroma, chroma] if channels == 3 else [luma] * channels)
    return ((tables[:, None, :, None] * percent + 50) / 100).floor().clamp(1, 255)


def cosines(like: Tensor) -> Tensor:
    """The 8 basis functions of the orthonormal cosine transform of type II: [8, 8]."""
    k, x = torch.arange(8, dtype=torch.float64)[:, None], torch.arange(8, dtype=torch.float64)
    basis = torch.cos(math.pi * (2 * x + 1) * k / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis.to(like)
