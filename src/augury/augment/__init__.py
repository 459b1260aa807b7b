"""Classical augmentation: batched, differentiable, computed on the device of the images, with separate draws for each
image.
"""

from augury.augment.adaptive import ada
from augury.augment.addressed import augmented
from augury.augment.colour import adjust, colour_matrices, recolour
from augury.augment.direct import (
    DIRECT,
    autocontrast,
    blur,
    color_adjust,
    crop,
    elastic,
    equalise,
    erase,
    flip,
    grey,
    jpeg_like,
    noise,
    perspective,
    posterise,
    random_crop,
    random_resized_crop,
    resized_crop,
    rotate,
    scale,
    sharpen,
    shear,
    shift,
    solarise,
)
from augury.augment.drawn import Vary, augmix, randaugment, trivialaugment
from augury.augment.draws import Source
from augury.augment.geometry import affine, chain, compose, translate
from augury.augment.loading import AugmentedDataset, BalancedSampler, MixCollate
from augury.augment.mixing import cutmix, mixup
from augury.augment.occlusion import cutout
from augury.augment.operators import OPERATORS, Operator
from augury.augment.philox import ImageDraws
from augury.augment.policies import (
    POLICIES,
    Compose,
    Policy,
    classical,
    diffaugment,
    diffaugment_light,
    extreme_gamma,
    none,
    policy,
)
from augury.augment.presets import astronomy, degraded, faces, medical, natural, text

__all__ = [
    "DIRECT",
    "OPERATORS",
    "POLICIES",
    "AugmentedDataset",
    "BalancedSampler",
    "Compose",
    "ImageDraws",
    "MixCollate",
    "Operator",
    "Policy",
    "Source",
    "Vary",
    "ada",
    "adjust",
    "affine",
    "astronomy",
    "augmented",
    "augmix",
    "autocontrast",
    "blur",
    "chain",
    "classical",
    "color_adjust",
    "colour_matrices",
    "compose",
    "crop",
    "cutmix",
    "cutout",
    "degraded",
    "diffaugment",
    "diffaugment_light",
    "elastic",
    "equalise",
    "erase",
    "extreme_gamma",
    "faces",
    "flip",
    "grey",
    "jpeg_like",
    "medical",
    "mixup",
    "natural",
    "noise",
    "none",
    "perspective",
    "policy",
    "posterise",
    "randaugment",
    "random_crop",
    "random_resized_crop",
    "recolour",
    "resized_crop",
    "rotate",
    "scale",
    "sharpen",
    "shear",
    "shift",
    "solarise",
    "text",
    "translate",
    "trivialaugment",
]
