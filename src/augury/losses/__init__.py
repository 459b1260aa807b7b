"""Training objectives: adversarial losses, penalties on the discriminator, regularisers of the generator."""

from augury.losses.adversarial import (
    AdversarialLoss,
    hinge,
    least_squares,
    minimax,
    non_saturating,
    relativistic,
    wasserstein,
)
from augury.losses.flow import flow_matching
from augury.losses.penalties import gradient_penalty, lecam, squared_gradient_norm
from augury.losses.reconstruction import divergence, negative_likelihood
from augury.losses.regularisers import feature_matching, group_spectral, mode_seeking, patch_contrast, path_length

__all__ = [
    "ADVERSARIAL_LOSSES",
    "AdversarialLoss",
    "divergence",
    "feature_matching",
    "flow_matching",
    "gradient_penalty",
    "group_spectral",
    "lecam",
    "mode_seeking",
    "negative_likelihood",
    "patch_contrast",
    "path_length",
    "squared_gradient_norm",
]

ADVERSARIAL_LOSSES = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "wasserstein": wasserstein,
    "hinge": hinge,
    "least_squares": least_squares,
    "relativistic": relativistic,
}
