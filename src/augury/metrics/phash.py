"""Perceptual hashes as features: the squared distance of two hashes is the number of differing bits."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import fft
from torch import Tensor

from augury.images import Images
from augury.metrics.features import Extractor, Features, batched

SIDE, BITS = 32, 8


def phash() -> Extractor:
    """Perceptual hash of 64 bits per image, as 0 and 1 (Zauner 2010, section 3.2.1, without its blur).

    A bit says whether one of the 8 × 8 lowest cosine frequencies of the lightness at 32 × 32 px lies above their
    median. Recompressed, rescaled or brightened copies have nearly the same bits. The hash carries no semantics.

    Returns
    -------
    Extractor
        64 features.
    """

    def run(x: Tensor) -> Tensor:
        grey = x.mean(1, keepdim=True)
        small = F.interpolate(grey, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        low = torch.from_numpy(fft.dctn(small[:, 0].double().cpu().numpy(), axes=(1, 2))[:, :BITS, :BITS].copy())
        flat = low.reshape(len(x), BITS * BITS)
        median = flat[:, 1:].median(dim=1, keepdim=True).values  # without the mean lightness, which is no pattern
        return (flat > median).float()

    def extract(images: Images) -> Features:
        bits = batched(run, images, BITS * BITS, "cpu", None)
        return np.asarray(bits, np.float32)

    how = f"mean of channels, to {SIDE}×{SIDE}, bilinear, antialiased; signs of {BITS}×{BITS} cosine frequencies"
    return Extractor("phash", how, "", BITS * BITS, extract)
