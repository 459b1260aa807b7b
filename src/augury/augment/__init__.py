"""Classical augmentation: batched, twice differentiable, on the device of the images, each image with its own draws."""

from augury.augment.colour import adjust
from augury.augment.geometry import affine, compose, translate
from augury.augment.occlusion import cutout
from augury.augment.policies import POLICIES, Policy, classical, diffaugment, diffaugment_light, none, policy

__all__ = [
    "POLICIES",
    "Policy",
    "adjust",
    "affine",
    "classical",
    "compose",
    "cutout",
    "diffaugment",
    "diffaugment_light",
    "none",
    "policy",
    "translate",
]
