"""Does a classifier get better? Paired trials without and with the synthetic images, and a Verdict."""

from augury.proof.arms import ARMS, Arm
from augury.proof.classifiers import Lesson, probabilities, teach
from augury.proof.statistics import bca_interval, confusion, measures, sign_flip_p
from augury.proof.trial import prove
from augury.proof.usefulness import usefulness
from augury.verdict import Verdict

__all__ = [
    "ARMS",
    "Arm",
    "Lesson",
    "Verdict",
    "bca_interval",
    "confusion",
    "measures",
    "probabilities",
    "prove",
    "sign_flip_p",
    "teach",
    "usefulness",
]
