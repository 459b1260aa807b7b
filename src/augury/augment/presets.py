"""Policies for kinds of images: only changes that keep the meaning of such an image."""

from __future__ import annotations

from torch import Tensor

from augury.augment.drawn import Vary, randaugment
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
DEGRADED = Vary({"blur": (0, 1), "jpeg_like": (30, 95)}, {"blur": 0.5, "jpeg_like": 0.5})


def natural(
    images: Tensor, generator: Source, *, flips: bool = True, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """Photographs of objects.

    Mirrored, because objects are seen from either side. Cropped by up to 40 % of the area and rotated by ±10°, because
    framing is random and a camera is held nearly level. Brightness, contrast, saturation and a little hue vary with the
    light; some images are blurred. Never upside down, because gravity is visible in a photograph.
    """
    return NATURAL(images, generator, flips=flips, p=p, strength=strength)


def medical(
    images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """Radiographs, scans and microscopy.

    Small rotations, scales and shifts, as patients and slides lie differently; sometimes an elastic deformation of
    tissue. Exposure, contrast, tone curve and grain vary between devices. Hue and saturation stay, as stain and grey
    value are findings. Nothing is erased, as a lesion may be small. Nothing is mirrored unless `flips`, as the heart is
    on the left; allow it where sides have no meaning, as in microscopy.
    """
    return MEDICAL(images, generator, flips=flips, p=p, strength=strength)


def faces(
    images: Tensor, generator: Source, *, flips: bool = True, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """Aligned faces.

    Mirrored, as faces are nearly symmetric. Small alignment errors and varying light; sometimes grey, blurred or
    compressed, as photographs of people are. The hue stays, as the colour of skin distinguishes people. There is no
    shear or stretching, as proportions distinguish them too.
    """
    return FACES(images, generator, flips=flips, p=p, strength=strength)


def astronomy(
    images: Tensor, generator: Source, *, flips: bool = True, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """Galaxies, nebulae and stars.

    Rotated by any angle and mirrored, as the sky has no up and no left. Colour and brightness stay, as they are
    measurements, and so are sizes. There is no blur, as the point spread belongs to the telescope. Corners that enter
    the frame show the mirrored border: leave a margin around the object.
    """
    return ASTRONOMY(images, generator, flips=flips, p=p, strength=strength)


def text(
    images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """Letters and digits.

    Slant, size and position vary with the hand, contrast with ink and paper, noise and blur with the scan. Never
    mirrored, whatever `flips` says, and rotated by 5° at most: b and d, 6 and 9, N and Z differ by no more than that.
    """
    return TEXT(images, generator, p=p, strength=strength)


def degraded(
    images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0, strength: float | Tensor = 1.0
) -> Tensor:
    """RandAugment, then blur and compression, each on half of the images.

    For training on real and generated images together: blur and compression hide the fine traces by which a classifier
    tells them apart (Wang et al. 2020, "CNN-generated images are surprisingly easy to spot... for now", section 4).
    """
    varied = randaugment(images, generator, flips=flips, p=p, strength=strength)
    return DEGRADED(varied, generator, flips=False, p=p, strength=strength)
