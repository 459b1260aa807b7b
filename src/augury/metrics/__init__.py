"""Scores of synthetic images against real ones, from features alone; each with its N, interval and features."""

from augury.metrics.evaluate import evaluate
from augury.metrics.extractors import EXTRACTORS, extractor
from augury.metrics.features import Extractor, from_network, in_bf16, pixels
from augury.metrics.frechet import frechet, frechet_distance, frechet_of_moments
from augury.metrics.infinite import frechet_infinite
from augury.metrics.kernel import cmmd, kernel_distance, kid
from augury.metrics.lite0 import lite0
from augury.metrics.memorisation import Duplicates, near_duplicates
from augury.metrics.moments import Moments, merged, moments
from augury.metrics.monitor import Monitor
from augury.metrics.nearest import nearest
from augury.metrics.networks import inception, timm
from augury.metrics.own import of_classifier, opinions
from augury.metrics.path_length import feature_map, perceptual_path_length
from augury.metrics.phash import phash
from augury.metrics.remembering import remembered
from augury.metrics.score import Score, ScoreCard
from augury.metrics.scores import SCORES
from augury.metrics.sides import Sides
from augury.metrics.spread import relative_spread
from augury.metrics.vendi import vendi_value

__all__ = [
    "EXTRACTORS",
    "SCORES",
    "Duplicates",
    "Extractor",
    "Moments",
    "Monitor",
    "Score",
    "ScoreCard",
    "Sides",
    "cmmd",
    "evaluate",
    "extractor",
    "feature_map",
    "frechet",
    "frechet_distance",
    "frechet_infinite",
    "frechet_of_moments",
    "from_network",
    "in_bf16",
    "inception",
    "kernel_distance",
    "kid",
    "lite0",
    "merged",
    "moments",
    "near_duplicates",
    "nearest",
    "of_classifier",
    "opinions",
    "perceptual_path_length",
    "phash",
    "pixels",
    "relative_spread",
    "remembered",
    "timm",
    "vendi_value",
]
