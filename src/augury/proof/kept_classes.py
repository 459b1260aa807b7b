"""Do translated images keep their class? An independent judge names it; below a limit the run advises against them."""

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
"""Class agreement from which translated images are advised. A pilot between two laboratories' blood cells, whose translations
changed classes, lost 14 points against colour matching; digits, of which some changed class, gained 8."""

WEAK = 0.2
"""A judge below this share of the way from chance to certainty cannot tell whether classes are kept."""
KNOWN = "It classifies {:.0%} of real held-out images correctly."
"""How the sentence tells what a judge can do."""


def limit_for(judge: float, classes: int) -> float:
    """The limit of class agreement for a judge that recognises the share `judge` of real images of `classes` classes: LIMIT of
    the way from chance to what it recognises."""
    chance = 1 / classes
    return chance + LIMIT * max(judge - chance, 0.0)


@dataclass(frozen=True)
class Share:
    """A share of `n` images and its 95 % score interval (Wilson 1927)."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class KeptClasses:
    """How many translated images an independent classifier still puts into the class of their source.

    `overall` is the mean of the classes, its interval widened where classes are unequal; `classes` name -> share of that class, of those
    that have any; `judge` is what the judge classifies correctly of real images of its own domain, None when it was not
    measured; `limit` the agreement that is required; `advised` whether it is reached; `sentence` says all this.
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
        The classes of the sources, which the translations are to keep.
    probabilities : float64 [N, K]
        What a judge predicts for the translated images. The judge must have taken no part in the training of the translator: a
        translator satisfies the classifiers that train it also where it changes the class.
    classes : names, K
    limit : float in (0, 1]
        The mean agreement of the classes below which the images are advised against.
    judge : float in (0, 1], optional
        Balanced accuracy of the judge on held-out images. An imperfect judge names fewer classes than were kept, so the
        sentence says it.
    known : str
        The sentence that says so, with a place for the share.

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
    found = {name: _share(right[labels == c]) for c, name in enumerate(classes) if (labels == c).any()}
    mean = float(np.mean([each.value for each in found.values()]))
    # a mean of classes of n_c images varies as a share of K² / Σ 1/n_c images would
    effective = len(found) ** 2 / sum(1 / each.n for each in found.values())
    overall = Share(mean, *wilson(mean, effective), n=len(labels))
    advised = mean >= limit
    told = "" if judge is None else known.format(judge)
    chance = 1 / len(classes)
    weak = judge is not None and judge < chance + WEAK * (1 - chance)
    advised = advised and not weak
    return KeptClasses(overall, found, limit, judge, advised, _sentence(overall, found, limit, told, advised, weak))


def _share(right: npt.NDArray[np.bool_]) -> Share:
    value = float(right.mean())
    return Share(value, *wilson(value, len(right)), n=len(right))


def _sentence(
    overall: Share, classes: dict[str, Share], limit: float, known: str, advised: bool, no_judge: bool
) -> str:
    """What was found, the weakest classes, and the advice."""
    words = [
        f"An independent classifier assigns {overall.value:.0%} of the translated images to the class of their source (95 % "
        f"interval {overall.low:.0%} to {overall.high:.0%}; classes weighted equally)."
    ]
    if known:
        words.append(known)
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
            "Match the class mix of source and target, or raise the weights of the semantic and reconstruction losses."
        )
    return " ".join(words)
