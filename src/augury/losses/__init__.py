"""What the two players minimise."""

from augury.losses.adversarial import AdversarialLoss, hinge, non_saturating, relativistic
from augury.losses.penalties import squared_slope

__all__ = ["ADVERSARIAL_LOSSES", "AdversarialLoss", "squared_slope"]

ADVERSARIAL_LOSSES = {"non_saturating": non_saturating, "hinge": hinge, "relativistic": relativistic}
