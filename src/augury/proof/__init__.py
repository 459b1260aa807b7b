"""Does a classifier get better? Paired trials without and with the synthetic images, and a Verdict."""

from augury.proof.arms import ARMS, Arm
from augury.proof.classifiers import Lesson, probabilities, teach
from augury.proof.crossed import Effects, effects
from augury.proof.leakage import prints, record, recorded, seen_by
from augury.proof.measures import measures
from augury.proof.statistics import sign_flip_p
from augury.proof.trial import prove
from augury.verdict import Verdict

__all__ = [
    "ARMS",
    "Arm",
    "Effects",
    "Lesson",
    "Verdict",
    "effects",
    "measures",
    "prints",
    "probabilities",
    "prove",
    "record",
    "recorded",
    "seen_by",
    "sign_flip_p",
    "teach",
]
