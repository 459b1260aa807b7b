"""Does a classifier get better? Paired trials without and with the synthetic images, and a Verdict."""

from augury.proof.adaptation import ADAPTATIONS, adapted
from augury.proof.arms import ARMS, LAYERS, OWN, UNLABELLED, USUAL, USUAL_CELLS, USUAL_DOMAINS, Arm
from augury.proof.auto_classifier import FINETUNED, PRETRAINED, Splits, candidates, is_pretrained, may_fine_tune
from augury.proof.cells import RARE, Holes
from augury.proof.checks import check_trial
from augury.proof.class_mix import class_mix
from augury.proof.classifiers import fit, fit_many, probabilities
from augury.proof.colour_matching import joined
from augury.proof.column_judges import MEMBERS, column_classifiers
from augury.proof.cost import expected_arms, feature_images, measure_steps, number_of_trainings, relative_cost
from augury.proof.crossed import Effects, effects
from augury.proof.identity_training import DIMENSION, IDENTITY_STEPS, embedded, identity_networks
from augury.proof.kept_classes import KeptClasses, kept_classes, limit_for
from augury.proof.leakage import START_UNKNOWN, image_hashes, like_held, record, recorded, refuse_shared_splits, seen_by
from augury.proof.learners import CLASSIFIERS, code_of, features_of
from augury.proof.measures import MEASURED, measures
from augury.proof.operating_point import OperatingPoint, operating_point
from augury.proof.pooling import Fold, pooled
from augury.proof.preparation import prepare
from augury.proof.statistics import sign_flip_p
from augury.proof.train_config import TrainConfig
from augury.proof.trainings import FinalNetwork
from augury.proof.trial import arm_of, prove
from augury.proof.usefulness import usefulness
from augury.verdict import Verdict

__all__ = [
    "ADAPTATIONS",
    "ARMS",
    "CLASSIFIERS",
    "DIMENSION",
    "FINETUNED",
    "IDENTITY_STEPS",
    "LAYERS",
    "MEASURED",
    "MEMBERS",
    "OWN",
    "PRETRAINED",
    "RARE",
    "START_UNKNOWN",
    "UNLABELLED",
    "USUAL",
    "USUAL_CELLS",
    "USUAL_DOMAINS",
    "Arm",
    "Effects",
    "FinalNetwork",
    "Fold",
    "Holes",
    "KeptClasses",
    "OperatingPoint",
    "Splits",
    "TrainConfig",
    "Verdict",
    "adapted",
    "arm_of",
    "candidates",
    "check_trial",
    "class_mix",
    "code_of",
    "column_classifiers",
    "effects",
    "embedded",
    "expected_arms",
    "feature_images",
    "features_of",
    "fit",
    "fit_many",
    "identity_networks",
    "image_hashes",
    "is_pretrained",
    "joined",
    "kept_classes",
    "like_held",
    "limit_for",
    "may_fine_tune",
    "measure_steps",
    "measures",
    "number_of_trainings",
    "operating_point",
    "pooled",
    "prepare",
    "probabilities",
    "prove",
    "record",
    "recorded",
    "refuse_shared_splits",
    "relative_cost",
    "seen_by",
    "sign_flip_p",
    "usefulness",
]
