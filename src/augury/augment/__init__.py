"""Classical augmentation: batched, twice differentiable, on the device of the images, each image with its own draws."""

from augury.augment.adaptive import ada
from augury.augment.colour import adjust, colour_matrices, recolour
from augury.augment.geometry import affine, chain, compose, translate
from augury.augment.occlusion import cutout
from augury.augment.policies import POLICIES, Policy, classical, diffaugment, diffaugment_light, none, policy

__all__ = [
    "POLICIES",
    "Policy",
    "ada",
    "adjust",
    "affine",
    "chain",
    "classical",
    "colour_matrices",
    "compose",
    "cutout",
    "diffaugment",
    "diffaugment_light",
    "none",
    "policy",
    "recolour",
    "translate",
]
