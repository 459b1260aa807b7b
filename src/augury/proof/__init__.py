"""Does a classifier get better? Paired trials without and with the synthetic images, and a Verdict."""

from augury.proof.arms import ARMS, Arm
from augury.proof.classifiers import probabilities, teach, teach_each
from augury.proof.learners import CLASSIFIERS
from augury.proof.lesson import Lesson
from augury.proof.statistics import bca_interval, confusion, measures, sign_flip_p
from augury.proof.trial import prove
from augury.proof.usefulness import usefulness
from augury.verdict import Verdict

__all__ = [
    "ARMS",
    "CLASSIFIERS",
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
    "teach_each",
    "usefulness",
]
