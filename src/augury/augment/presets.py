"""Policies for a kind of image: what may change there without changing what it shows."""

from __future__ import annotations

from torch import Tensor

from augury.augment.drawn import Vary
from augury.augment.draws import Source

NATURAL = Vary(
    {
        "mirror": (1, 1),
        "zoom": (0, 0.4),
        "rotate": (-10, 10),
        "brightness": (0.75, 1.25),
        "contrast": (0.75, 1.25),
        "saturation": (0.7, 1.3),
        "hue": (-10, 10),
        "blur": (0, 1),
    },
    {"mirror": 0.5, "blur": 0.1},
)
MEDICAL = Vary(
    {
        "mirror": (1, 1),
        "rotate": (-10, 10),
        "scale": (0.9, 1.1),
        "translate_x": (-0.05, 0.05),
        "translate_y": (-0.05, 0.05),
        "elastic": (0, 0.02),
        "brightness": (0.9, 1.1),
        "contrast": (0.85, 1.15),
        "gamma": (-0.25, 0.25),
        "noise": (0, 0.02),
    },
    {"mirror": 0.5, "elastic": 0.3, "noise": 0.3},
)
FACES = Vary(
    {
        "mirror": (1, 1),
        "rotate": (-10, 10),
        "scale": (0.92, 1.08),
        "translate_x": (-0.04, 0.04),
        "translate_y": (-0.04, 0.04),
        "brightness": (0.8, 1.2),
        "contrast": (0.8, 1.2),
        "saturation": (0.8, 1.2),
        "grey": (1, 1),
        "blur": (0, 1),
        "jpeg_like": (40, 95),
    },
    {"mirror": 0.5, "grey": 0.05, "blur": 0.2, "jpeg_like": 0.2},
)
ASTRONOMY = Vary({"mirror": (1, 1), "rotate": (-180, 180)}, {"mirror": 0.5})
TEXT = Vary(
    {
        "rotate": (-5, 5),
        "shear_x": (-0.15, 0.15),
        "scale": (0.9, 1.1),
        "translate_x": (-0.05, 0.05),
        "translate_y": (-0.05, 0.05),
        "brightness": (0.85, 1.15),
        "contrast": (0.7, 1.3),
        "blur": (0, 0.8),
        "noise": (0, 0.03),
    },
    {"blur": 0.3, "noise": 0.3},
)


def natural(
    images: Tensor, generator: Source, *, flips: bool = True, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """Photographs of things: seen from either side, so mirrored; framed by chance, so cropped by up to 40 % of the area and
    turned by ±10° (a camera is held nearly level); lit by any light, so brightness, contrast, saturation and a little
    hue; sometimes out of focus. Never upside down: gravity is part of the picture."""
    return NATURAL(images, generator, flips=flips, p=p, strength=strength)


def medical(
    images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """Radiographs, scans, microscopy: small turns, sizes and shifts, as people and slides lie; sometimes tissue that gives
    way; exposure, contrast, tone curve and grain of another device. No hue or saturation, as stain and grey value are
    findings; nothing erased, as a lesion may be small; not mirrored unless `flips`, as the heart is on the left: allow
    it where sides mean nothing, as in microscopy."""
    return MEDICAL(images, generator, flips=flips, p=p, strength=strength)


def faces(
    images: Tensor, generator: Source, *, flips: bool = True, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """Aligned faces: mirrored, as faces are nearly symmetric; the small errors of an alignment; light of any strength; now
    and then grey, out of focus or compressed, as pictures of people are. No hue, as the colour of skin tells people apart;
    no shear or stretching, as proportions do."""
    return FACES(images, generator, flips=flips, p=p, strength=strength)


def astronomy(
    images: Tensor, generator: Source, *, flips: bool = True, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """Galaxies, nebulae, stars: turned by any angle and mirrored, as there is no up and no left in the sky. No colour and no
    brightness, which are measurements; no scale, as sizes are; no blur, as the point spread is the telescope's. Corners
    that turn into view show the mirrored border: leave a margin around what matters."""
    return ASTRONOMY(images, generator, flips=flips, p=p, strength=strength)


def text(
    images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """Letters and digits: the slant, size and place of another hand, ink and paper of another contrast, a poorer scan. Never
    mirrored, whatever `flips` says, and turned by 5° at most: b and d, 6 and 9, N and Z differ by no more."""
    return TEXT(images, generator, p=p, strength=strength)
