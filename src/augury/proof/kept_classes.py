"""Check whether translated images keep their class, with an independent classifier as the judge."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import DataError, SettingsError
from augury.images import Codes
from augury.intervals import wilson
from augury.proof.measures import check_probabilities

Floats = npt.NDArray[np.float64]
LIMIT = 0.8
"""Class agreement from which translated images are recommended.

In a pilot between blood cells of two laboratories, translations changed classes and lost 14 points against colour matching.
Translations of digits, some of which changed class, gained 8 points."""

WEAK = 0.2
"""A judge below this share of the way from chance to certainty cannot assess class agreement."""
KNOWN = "It classifies {:.0%} of real held-out images correctly."
"""Template of the sentence on the accuracy of the judge."""


def limit_for(judge: float) -> float:
    """Return the limit of class agreement for a judge that recognises the share `judge` of real images: LIMIT of that share."""
    return max(LIMIT * judge, 1e-9)


@dataclass(frozen=True)
class Share:
    """A share of `n` images and its 95 % score interval (Wilson 1927)."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class KeptClasses:
    """Share of translated images that an independent classifier assigns to the class of their source.

    Attributes
    ----------
    overall
        Mean over the classes. Its interval is wider when classes differ in size.
    classes
        Name -> share of that class, for classes with at least one image.
    limit
        Required agreement.
    judge
        Balanced accuracy of the judge on real images of its own domain; None if not measured.
    advised
        Whether the images are recommended: the limit is reached and the judge is not weak.
    sentence
        The result in words.
    """

    overall: Share
    classes: dict[str, Share]
    limit: float
    judge: float | None
    advised: bool
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def kept_classes(
    labels: Codes,
    probabilities: Floats,
    classes: tuple[str, ...],
    *,
    limit: float = LIMIT,
    judge: float | None = None,
    known: str = KNOWN,
) -> KeptClasses:
    """Measure the class agreement of translated images, before any of them is used.

    Parameters
    ----------
    labels : int64 [N]
        Classes of the sources. Translations should keep them.
    probabilities : float64 [N, K]
        Predictions of a judge for the translated images. The judge must not take part in training the translator. A
        translator satisfies the classifiers that train it even when it changes the class.
    classes : names, K
    limit : float in (0, 1]
        Images with a lower mean agreement of the classes are not recommended.
    judge : float in (0, 1], optional
        Balanced accuracy of the judge on held-out images. An imperfect judge underestimates the agreement, so the
        sentence states its accuracy.
    known : str
        Template of the sentence on the judge's accuracy, with one format field for the share.

    Returns
    -------
    KeptClasses

    Raises
    ------
    DataError
        When there are no images, or labels and probabilities do not fit.
    SettingsError
        When the limit is out of its range.
    """
    if not 0 < limit <= 1:
        raise SettingsError(f"the limit of class agreement is {limit}, but must lie above 0 and at most at 1")
    check_probabilities(probabilities, len(labels))
    if not len(labels) or probabilities.shape[1] != len(classes):
        raise DataError(
            f"there are {len(labels)} translated images and predictions of {probabilities.shape[1]} classes for the {len(classes)} of "
            "the data; give at least one image, and a judge of the same classes"
        )
    right = probabilities.argmax(1) == labels
    shares = {name: _share(right[labels == c]) for c, name in enumerate(classes) if (labels == c).any()}
    mean = float(np.mean([each.value for each in shares.values()]))
    # the mean over classes of n_c images has the variance of a share of K² / Σ 1/n_c images
    effective = len(shares) ** 2 / sum(1 / each.n for each in shares.values())
    overall = Share(mean, *wilson(mean, effective), n=len(labels))
    advised = mean >= limit
    judge_sentence = "" if judge is None else known.format(judge)
    chance = 1 / len(classes)
    weak = judge is not None and judge < chance + WEAK * (1 - chance)
    advised = advised and not weak
    return KeptClasses(
        overall, shares, limit, judge, advised, _sentence(overall, shares, limit, judge_sentence, advised, weak)
    )


def _share(right: npt.NDArray[np.bool_]) -> Share:
    value = float(right.mean())
    return Share(value, *wilson(value, len(right)), n=len(right))


def _sentence(
    overall: Share, classes: dict[str, Share], limit: float, judge_sentence: str, advised: bool, no_judge: bool
) -> str:
    """State the agreement, the weakest classes, and the recommendation."""
    words = [
        f"An independent classifier assigns {overall.value:.0%} of the translated images to the class of their source (95 % "
        f"interval {overall.low:.0%} to {overall.high:.0%}; classes weighted equally)."
    ]
    if judge_sentence:
        words.append(judge_sentence)
    weak = sorted((name for name, share in classes.items() if share.high < limit), key=lambda name: classes[name].value)
    if weak and not no_judge:
        shown = ", ".join(f"'{name}' ({classes[name].value:.0%})" for name in weak[:5]) + (
            ", …" if len(weak) > 5 else ""
        )
        words.append(f"{len(weak)} of {len(classes)} classes are below the limit of {limit:.0%}: {shown}.")
    if no_judge:
        words.append(
            "That is hardly better than chance, so it does not show whether classes are preserved; inspect the images."
        )
    elif advised:
        words.append("The images may be used.")
    else:
        words.append(
            f"This is below the limit of {limit:.0%}, so the images are not recommended: classifiers would be trained on wrong labels. "
            "Match the class mix of source and target, or raise the weights of the semantic and reconstruction losses (of "
            "a pretrained pipeline: lower its strength)."
        )
    return " ".join(words)
