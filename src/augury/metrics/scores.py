"""The table of scores, used by `evaluate` and explained in the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from augury.metrics.clipped import clipped_coverage, clipped_coverage_value, clipped_density, clipped_density_value
from augury.metrics.coverage import (
    coverage,
    coverage_of,
    density,
    density_of,
    precision,
    precision_of,
    recall,
    recall_of,
)
from augury.metrics.frechet import frechet, frechet_distance
from augury.metrics.inception_score import inception_score, inception_value
from augury.metrics.infinite import fd_infinite, frechet_infinite
from augury.metrics.kernel import CLIP_BANDWIDTH, SCALE, cmmd, gaussian, kernel_distance, kid, usual_bandwidth
from augury.metrics.membership import membership
from augury.metrics.memorisation import authenticity, authenticity_of, data_copying, duplicates, duplicates_of
from augury.metrics.score import Score
from augury.metrics.sides import K, Sides
from augury.metrics.spread import spread, spread_value
from augury.metrics.vendi import vendi, vendi_value


@dataclass(frozen=True)
class Row:
    """A score.

    `label` is the beginning of its name ("FD" of "FD-lite0"). `asks` is the question it answers. `least` is the number
    of images required on the smaller side. `needs` lists further inputs: "head" (class probabilities), "train",
    "held_out". `per_class` says that it suits the few images of a class. `score` computes it; `value` computes it
    without an interval, for the baseline.
    """

    label: str
    asks: str
    score: Callable[[Sides, str], Score]
    value: Callable[[Sides], float]
    least: int = 4
    needs: tuple[str, ...] = ()
    per_class: bool = False


def _fd(sides: Sides, name: str) -> Score:
    extractor_info = {"features": sides.features, "preprocessing": sides.preprocessing}
    return frechet(sides.fake, sides.real, **extractor_info, seed=sides.seed, name=name)


def _kid(sides: Sides, name: str) -> Score:
    extractor_info = {"features": sides.features, "preprocessing": sides.preprocessing}
    return kid(sides.fake, sides.real, **extractor_info, seed=sides.seed, name=name)


def _cmmd(sides: Sides, name: str) -> Score:
    extractor_info = {"features": sides.features, "preprocessing": sides.preprocessing}
    return cmmd(sides.fake, sides.real, _bandwidth(sides), **extractor_info, seed=sides.seed, name=name)


def _cmmd_value(sides: Sides) -> float:
    return SCALE * kernel_distance(sides.fake, sides.real, gaussian(_bandwidth(sides)))


def _bandwidth(sides: Sides) -> float:
    return CLIP_BANDWIDTH if "clip" in sides.name else usual_bandwidth(sides.real, sides.seed)


def _value(score: Callable[[Sides, str], Score]) -> Callable[[Sides], float]:
    """The value of a score whose interval costs nothing."""
    return lambda sides: score(sides, "").value


SCORES: dict[str, Row] = {
    "is": Row(
        "IS", "are images each of one class, and of many together", inception_score, inception_value, 4, ("head",)
    ),
    "fd": Row(
        "FD",
        "how far is the cloud of fakes from that of real images, as Gaussians",
        _fd,
        lambda s: frechet_distance(s.fake, s.real),
    ),
    "fd_infinite": Row(
        "FD∞",
        "the same, had there been infinitely many images",
        fd_infinite,
        lambda s: frechet_infinite(s.fake, s.real, s.seed),
        16,
    ),
    "kid": Row(
        "KID",
        "how far are the clouds apart, with no bias at any N",
        _kid,
        lambda s: kernel_distance(s.fake, s.real),
        per_class=True,
    ),
    "cmmd": Row("CMMD", "the same under a Gaussian kernel, which sees all moments", _cmmd, _cmmd_value, per_class=True),
    "precision": Row("precision", "which share of fakes is like a real image", precision, precision_of, K + 1),
    "recall": Row("recall", "which share of real images is like a fake", recall, recall_of, K + 1),
    "density": Row("density", "do fakes lie where real images are dense", density, density_of, K + 1),
    "coverage": Row("coverage", "which share of real images has a fake nearby", coverage, coverage_of, K + 1),
    "clipped_density": Row(
        "clipped-density",
        "which share of fakes is good, whatever the outliers",
        clipped_density,
        clipped_density_value,
        K + 1,
    ),
    "clipped_coverage": Row(
        "clipped-coverage",
        "fakes as good as which share of real ones would cover as much",
        clipped_coverage,
        clipped_coverage_value,
        K + 1,
    ),
    "vendi": Row(
        "Vendi", "how many different fakes are there in effect", vendi, lambda s: vendi_value(s.fake), per_class=True
    ),
    "spread": Row(
        "spread", "how varied are fakes within their class, against real images", spread, spread_value, per_class=True
    ),
    "copying": Row(
        "C_T",
        "are fakes nearer to the training images than unseen real images are",
        data_copying,
        _value(data_copying),
        needs=("train", "held_out"),
    ),
    "authenticity": Row(
        "authenticity",
        "which share of fakes is no closer to a training image than its neighbours are",
        authenticity,
        authenticity_of,
        needs=("train",),
    ),
    "duplicates": Row(
        "duplicates",
        "which share of fakes nearly is a training image",
        duplicates,
        duplicates_of,
        needs=("train",),
    ),
    "membership": Row(
        "membership-AUC",
        "do the fakes reveal which real images the generator learnt from",
        membership,
        _value(membership),
        needs=("train", "held_out"),
    ),
}
"""Name -> row, in the order of the card. A new row is scored, tested and explained without further code; docs/scores.md
needs its line.
"""
