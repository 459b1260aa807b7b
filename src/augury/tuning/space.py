"""The search space: which settings a search changes, in which range, for which recipe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from augury.errors import SettingsError
from augury.files import digest
from augury.networks import NETWORKS
from augury.pipeline.run_settings import merged
from augury.randomness import rng
from augury.settings import GenerateSettings, RunSettings, TrainSettings
from augury.training.recipes import Recipe
from augury.validation import validated

if TYPE_CHECKING:
    from optuna import Trial

RATIO = 0.5
"""Synthetic images per real one in the default trial; the middle of the candidates that a trial chooses from by default."""
USUAL_FILTERS = ",".join(GenerateSettings().filters)
LOSSES = ("non_saturating", "relativistic")
"""Adversarial losses that any discriminator can be trained with."""
Changes = Mapping[str, Mapping[str, Any]]
"""Section of the settings, or "overrides" for those of the recipe -> changed values by name."""


@dataclass(frozen=True)
class Candidate:
    """A recipe that the search may choose, with what it has before the search changes anything.

    Parameters
    ----------
    name
        Name of the recipe.
    rule
        The recipe with the user's overrides.
    batch
        Images per step.
    images
        Number of training images.
    side
        Shorter side of the images in px.
    objective
        Name in OBJECTIVES.
    """

    name: str
    rule: Recipe
    batch: int
    images: int
    side: int
    objective: str

    @property
    def width(self) -> tuple[str, int]:
        """Name and value of the setting that scales all layers of the network; ("", 0) where there is none."""
        for name in ("width", "hidden"):
            usual = getattr(NETWORKS[self.rule.network].settings, name, 0)
            if usual:
                return name, int(self.rule.settings.get(name, usual))
        return "", 0

    @property
    def has_trunk(self) -> bool:
        """Whether the discriminator is of the usual form, with settings `deeper` and `scales`."""
        return NETWORKS[self.rule.network].trunk is not None


def _always(candidate: Candidate) -> bool:
    return True


def _judges_images(candidate: Candidate) -> bool:
    """Whether the objective is about images that have passed the filters."""
    return candidate.objective != "kid"


@dataclass(frozen=True)
class Dimension:
    """One setting that the search changes: a choice among `values`, or a number from `low` to `high`.

    Parameters
    ----------
    name
        Name in the study, the report and `--search`.
    note
        What it is.
    changes
        (candidate, value) -> changed settings.
    neutral
        Candidate -> the value that changes nothing. Factors have 1.
    values
        The choices; empty for a number.
    low, high
        Range of a number. Factors are drawn on a logarithmic scale.
    applies
        Whether a candidate has this setting.
    setting
        The setting that excludes this dimension when the user gives it: "section.name", or the name of an override.
    """

    name: str
    note: str
    changes: Callable[[Candidate, Any], Changes]
    neutral: Callable[[Candidate], Any] = lambda candidate: 1.0
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    applies: Callable[[Candidate], bool] = _always
    setting: str = ""

    def suggest(self, trial: Trial) -> Any:
        """The value of this trial."""
        if self.values:
            return trial.suggest_categorical(self.name, self.values)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def near(self, random: np.random.Generator, candidate: Candidate) -> Any:
        """A value near the neutral one; of choices, any."""
        if self.values:
            return self.values[random.integers(len(self.values))]
        usual, draw = self.neutral(candidate), random.standard_normal()
        value = usual * self.high ** (draw / 3) if self.log else usual + draw * (self.high - self.low) / 6
        return float(np.clip(value, self.low, self.high))

    def range(self) -> list[Any]:
        """Choices, or the ends of the range, as plain JSON."""
        return list(self.values) if self.values else [self.low, self.high, self.log]


def _rounded(value: float) -> float:
    """Four significant digits, so that a configuration is readable."""
    return float(f"{value:.4g}")


def factor(name: str, note: str, spread: float) -> Dimension:
    """A factor from 1/`spread` to `spread` on a setting of the recipe. It applies where that setting is above 0."""
    return Dimension(
        name,
        f"factor on the recipe's own value: {note}",
        lambda candidate, value: {"overrides": {name: _rounded(value * getattr(candidate.rule, name))}},
        low=1 / spread,
        high=spread,
        log=True,
        applies=lambda candidate: getattr(candidate.rule, name) > 0 and not _unread(candidate.rule, name),
        setting=name,
    )


def _unread(rule: Recipe, name: str) -> bool:
    """Whether the recipe has this setting without reading it."""
    method = NETWORKS[rule.network].method
    return (name == "discriminator_lr" and method == "flow") or (name == "kl" and rule.loss != "variational")


def override(
    name: str, note: str, values: tuple[Any, ...], usual: Any, applies: Callable[[Candidate], bool]
) -> Dimension:
    """A choice for a setting of the recipe or of its network, whose default is `usual`."""
    return Dimension(
        name,
        note,
        lambda candidate, value: {"overrides": {name: value}},
        lambda candidate: getattr(candidate.rule, name, None) or candidate.rule.settings.get(name, usual),
        values=values,
        applies=applies,
        setting=name,
    )


DIMENSIONS = {
    dimension.name: dimension
    for dimension in (
        factor("generator_lr", "learning rate of the generator", 3.0),
        factor("discriminator_lr", "learning rate of the other network", 3.0),
        factor("r1", "weight of the gradient penalty at real images", 8.0),
        factor("r2", "weight of the gradient penalty at generated images", 8.0),
        factor("gradient_penalty", "weight of the gradient penalty between real and generated images", 8.0),
        factor("kl", "weight of the KL divergence", 8.0),
        factor("half_life", "half-life of the weight average", 8.0),
        override(
            "loss",
            "adversarial loss",
            LOSSES,
            "",
            lambda candidate: candidate.rule.loss in LOSSES and candidate.has_trunk,
        ),
        override(
            "deeper",
            "layers added to each resolution of the discriminator",
            (0, 1),
            0,
            lambda candidate: candidate.has_trunk,
        ),
        override(
            "scales",
            "scales at which the discriminator sees the images",
            (1, 2),
            1,
            lambda candidate: candidate.has_trunk and not candidate.rule.simultaneous and candidate.side >= 16,
        ),
        Dimension(
            "width",
            "factor on the channels of the network",
            lambda candidate, value: {"overrides": {candidate.width[0]: max(1, round(value * candidate.width[1]))}},
            values=(0.5, 1.0, 2.0),
            applies=lambda candidate: candidate.width[1] > 0,
            setting="width",
        ),
        Dimension(
            "ada_target",
            "target of adaptive augmentation",
            lambda candidate, value: {"overrides": {"ada_target": _rounded(value)}},
            lambda candidate: candidate.rule.ada_target,
            low=0.3,
            high=0.8,
            applies=lambda candidate: candidate.rule.ada_target > 0,
            setting="ada_target",
        ),
        Dimension(
            "augment",
            "augmentation of the discriminator's input",
            lambda candidate, value: {"train": {"augment": value}},
            lambda candidate: candidate.rule.augment,
            values=("diffaugment_light", "diffaugment"),
            applies=lambda candidate: candidate.rule.augment in ("diffaugment_light", "diffaugment"),
            setting="train.augment",
        ),
        Dimension(
            "batch",
            "factor on the images per step",
            lambda candidate, value: {
                "train": {"batch": min(candidate.images, max(2, round(value * candidate.batch)))}
            },
            values=(0.5, 1.0, 2.0),
            setting="train.batch",
        ),
        Dimension(
            "label_sampling",
            "exponent of the class size in the sampling of classes; 0: uniform, 1: by frequency",
            lambda candidate, value: {"train": {"label_sampling": _rounded(value)}},
            lambda candidate: 0.5,
            setting="train.label_sampling",
        ),
        Dimension(
            "truncation",
            "scale of the noise when drawing",
            lambda candidate, value: {"generate": {"truncation": _rounded(value)}},
            low=0.6,
            setting="generate.truncation",
        ),
        Dimension(
            "filters",
            "filters of the generated images",
            lambda candidate, value: {"generate": {"filters": value}},
            lambda candidate: USUAL_FILTERS,
            values=(USUAL_FILTERS, "near_copy,near_duplicate", "confidence>.6,near_copy,near_duplicate"),
            applies=_judges_images,
            setting="generate.filters",
        ),
        Dimension(
            "ratio",
            "synthetic images per real one",
            lambda candidate, value: {"prove": {"ratios": (0.0, value)}},
            lambda candidate: RATIO,
            values=(0.25, 0.5, 1.0, 2.0),
            applies=lambda candidate: candidate.objective == "uplift",
            setting="prove.ratios",
        ),
    )
}
"""Every setting that a search can change, besides the recipe."""
RECIPE = "recipe"
"""Name of the dimension that chooses the recipe."""


@dataclass(frozen=True)
class Space:
    """The settings that one search changes.

    Parameters
    ----------
    base
        Settings before the search changes anything.
    candidates
        Name of each recipe -> the candidate; the default first.
    dimensions
        The dimensions of the search, in order.
    """

    base: RunSettings
    candidates: Mapping[str, Candidate]
    dimensions: tuple[Dimension, ...]

    @property
    def default(self) -> Candidate:
        """The candidate of the default configuration."""
        return next(iter(self.candidates.values()))

    def of(self, candidate: Candidate) -> list[Dimension]:
        """The dimensions that a candidate has."""
        return [dimension for dimension in self.dimensions if dimension.applies(candidate)]

    def neutral(self, candidate: Candidate) -> dict[str, Any]:
        """The parameters of a trial that trains a candidate unchanged."""
        chosen = {RECIPE: candidate.name} if len(self.candidates) > 1 else {}
        return chosen | {dimension.name: dimension.neutral(candidate) for dimension in self.of(candidate)}

    def start(self, number: int) -> dict[str, Any]:
        """The parameters of a random trial near the default configuration: about a third of the dimensions are changed."""
        random, candidate = rng(self.base.seed, "start", number), self.default
        dimensions = self.of(candidate)
        changed = random.random(len(dimensions)) < 1 / 3
        changed[random.integers(len(dimensions))] = True
        drawn = {d.name: d.near(random, candidate) for d, differs in zip(dimensions, changed, strict=True) if differs}
        return self.neutral(candidate) | drawn

    def suggest(self, trial: Trial) -> tuple[Candidate, dict[str, Any]]:
        """(candidate, value of each dimension) of a trial."""
        name = self.default.name
        if len(self.candidates) > 1:
            name = trial.suggest_categorical(RECIPE, tuple(self.candidates))
        candidate = self.candidates[name]
        return candidate, {dimension.name: dimension.suggest(trial) for dimension in self.of(candidate)}

    def settings(self, candidate: Candidate, values: Mapping[str, Any]) -> RunSettings:
        """The settings of a run with these values. Neutral values leave the setting as it is."""
        sections: dict[str, dict[str, Any]] = {}
        for dimension in self.of(candidate):
            value = values[dimension.name]
            if value != dimension.neutral(candidate) or dimension.name == "ratio":
                for section, changed in dimension.changes(candidate, value).items():
                    sections.setdefault(section, {}).update(changed)
        overrides = {**self.base.train.overrides, **sections.pop("overrides", {})}
        train = {RECIPE: candidate.name, **sections.pop("train", {}), "overrides": overrides}
        return validated(RunSettings, merged(self.base.model_dump(), {**sections, "train": train}))

    def key(self) -> str:
        """Identifies what is searched: the dimensions of each recipe, and the settings that stay as they are."""
        settings = self.base.model_dump(mode="json")
        del settings["device"], settings["train"]["checkpoint_every"], settings["train"]["track"]
        dimensions = {
            name: [[d.name, d.range(), d.neutral(candidate)] for d in self.of(candidate)]
            for name, candidate in self.candidates.items()
        }
        return digest([settings, self.default.objective, dimensions])


def dimensions_of(values: RunSettings | Mapping[str, Any]) -> frozenset[str]:
    """Names of the dimensions whose settings a user gives, also with the default value.

    Parameters
    ----------
    values
        Settings, or plain values by section. Where a section has all its settings, as in the settings.yaml of a run, most were
        not chosen, so it counts as giving none; `chosen_dimensions` leaves out those that differ from their default.
    """
    names: set[str] = set()
    for section, own in dict(values).items():
        keys = own.model_fields_set if isinstance(own, BaseModel) else own if isinstance(own, Mapping) else ()
        every = getattr(RunSettings.model_fields[section].annotation, "model_fields", {})
        if not every.keys() <= set(keys):
            names |= {f"{section}.{key}" for key in keys}
    return frozenset(name for name, dimension in DIMENSIONS.items() if dimension.setting in names)


def chosen_dimensions(base: RunSettings, names: tuple[str, ...], fixed: Collection[str] = ()) -> tuple[Dimension, ...]:
    """The dimensions of a search.

    Parameters
    ----------
    base
        The user's settings. A setting that differs from its default is not searched.
    names
        Names of dimensions; empty: all.
    fixed
        Names of dimensions that are not searched either, such as those of `dimensions_of`.

    Raises
    ------
    SettingsError
        For an unknown name, and for a dimension whose setting the user has given.
    """
    _check_names("--search", names, (RECIPE, *DIMENSIONS))
    _check_names("fixed", fixed, tuple(DIMENSIONS))
    settled = {name for name, dimension in DIMENSIONS.items() if name in fixed or _differs(base, dimension)}
    for name in names:
        if name in settled:
            raise SettingsError(
                f"--search {name}: the settings give {DIMENSIONS[name].setting} a value, so it is not searched; leave one of them out"
            )
    return tuple(d for name, d in DIMENSIONS.items() if (not names or name in names) and name not in settled)


def _check_names(option: str, names: Collection[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise SettingsError(f"{option}: there is no '{name}'; there are: {', '.join(known)}")


def _differs(base: RunSettings, dimension: Dimension) -> bool:
    """Whether the setting of a dimension differs from its default, or is among the overrides of the recipe."""
    section, dot, name = dimension.setting.partition(".")
    if not dot:
        return dimension.setting in base.train.overrides
    return bool(getattr(getattr(base, section), name) != getattr(getattr(RunSettings(), section), name))


def fixes_recipe(train: TrainSettings) -> bool:
    """Whether the user's settings belong to one recipe, so that the search does not change it."""
    return train.recipe != "auto" or bool(train.overrides)
