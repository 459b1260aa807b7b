"""How far synthetic images are from real ones, from features alone; each score with its N, interval and features."""

from augury.metrics.evaluate import evaluate
from augury.metrics.extractors import EXTRACTORS, extractor
from augury.metrics.features import Extractor, from_network, pixels
from augury.metrics.frechet import frechet, frechet_distance
from augury.metrics.kernel import kernel_distance, kid
from augury.metrics.lite0 import lite0, lite0_installed
from augury.metrics.monitor import Monitor
from augury.metrics.nearest import nearest
from augury.metrics.score import Score, ScoreCard
from augury.metrics.spread import relative_spread

__all__ = [
    "EXTRACTORS",
    "Extractor",
    "Monitor",
    "Score",
    "ScoreCard",
    "evaluate",
    "extractor",
    "frechet",
    "frechet_distance",
    "from_network",
    "kernel_distance",
    "kid",
    "lite0",
    "lite0_installed",
    "nearest",
    "pixels",
    "relative_spread",
]
