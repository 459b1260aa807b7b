"""Search for settings of the generator that are better on the validation split (Optuna)."""

from augury.tuning.objectives import OBJECTIVES, Objective
from augury.tuning.results import Tuned
from augury.tuning.search import tune
from augury.tuning.space import DIMENSIONS, Dimension

__all__ = ["DIMENSIONS", "OBJECTIVES", "Dimension", "Objective", "Tuned", "tune"]
