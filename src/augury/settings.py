"""The validated settings of a run; stored in the run folder, compared when a run is taken up again."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from augury.errors import SettingsError


def seconds(value: Any) -> Any:
    """'90s', '5m', '1h30m' or a number of seconds -> seconds."""
    if not isinstance(value, str):
        return value
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", value.strip())
    if parts is None or not any(parts.groups()):
        raise ValueError(f"'{value}' is not a time; write 90s, 5m or 1h30m")
    h, m, s = (float(p) if p else 0.0 for p in parts.groups())
    return 3600 * h + 60 * m + s


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
Rates = tuple[Annotated[float, Field(gt=0)], ...]
Decays = tuple[Annotated[float, Field(ge=0)], ...]
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: tuple(map(str.strip, value.split(","))) if isinstance(value, str) else value),
]
"""Also written as one text with commas."""
Kind = TypeVar("Kind", bound=BaseModel)
Strategy = Literal["balance", "level", "tail", "auto"] | float | int | dict[str, int]


@dataclass(frozen=True)
class Within:
    """Numbers from `low` to `high`, either of which may be left out."""

    low: float = 0
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and not (
            (self.above and value == self.low) or (self.below and value == self.high)
        )

    def __str__(self) -> str:
        least = f"{'above' if self.above else 'at least'} {self.low:g}"
        return least if self.high == math.inf else f"{least} and {'below' if self.below else 'at most'} {self.high:g}"


def changed(kind: str, old: Any, new: dict[str, Any], limits: Mapping[str, Within] | None = None) -> Any:
    """The dataclass `old` with the values `new`. Raises SettingsError for a name it has not, for a value of another kind than
    the present one, for a fraction where a whole number belongs and for a number outside of its `limits`; `kind` says whose
    settings these are."""
    known = {f.name: getattr(old, f.name) for f in fields(old)}
    whole = {f.name for f in fields(old) if f.type in (int, "int")}
    for name, value in new.items():
        if name not in known:
            raise SettingsError(f"{kind} has no setting '{name}'; its settings are: {', '.join(known)}")
        present, given = known[name], f"{kind}: {name}={value!r}, but it must be"
        several = isinstance(present, tuple) and isinstance(value, list | tuple) and len(value) == len(present)
        pairs = list(zip(present, value, strict=True)) if several else [(present, value)]
        if not all(_alike(was, now) for was, now in pairs):
            raise SettingsError(f"{given} of the kind of its default, {present!r}")
        numbers = [now for _, now in pairs if isinstance(now, int | float) and not isinstance(now, bool)]
        if name in whole and not all(isinstance(now, int) for now in numbers):
            raise SettingsError(f"{given} a whole number, as its default {present!r} is")
        limit = (limits or {}).get(name, Within(-math.inf))
        if not all(math.isfinite(now) and now in limit for now in numbers):
            asked = "a finite number" if limit.low == -math.inf else str(limit)
            raise SettingsError(f"{given} {asked}; the default is {present!r}")
    return replace(old, **{k: tuple(v) if isinstance(known[k], tuple) else v for k, v in new.items()})


def _alike(present: Any, value: Any) -> bool:
    """Whether a value is of the kind of the present one; whole numbers and fractions are one kind, true and false another."""
    if isinstance(present, int | float) and not isinstance(present, bool):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, type(present))


class Settings(BaseModel):
    """Base of all settings: immutable, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Settings):
    """How images are brought to one size and split."""

    size: int | tuple[int, int] | None = Field(
        None, description="height and width in px; null: native if all alike and ≤ 64, else 64"
    )
    fit: Literal["crop", "pad"] = Field(
        "crop", description="crop: cover and cut the middle; pad: fit inside, edge-padded"
    )
    on_bad: Literal["error", "skip"] = Field("error", description="unreadable files: stop, or skip, count and list")
    format: str | None = Field(None, description="read the path as this format; null: as it looks")
    columns: dict[str, str] = Field(
        default_factory=dict, description="of a table: what holds image, label, group, split, where names do not tell"
    )
    attributes: tuple[str, ...] | None = Field(
        None, description="of a table: columns that are attributes; null: by rule"
    )
    group: str | None = Field(
        None,
        description="column or array whose images stay together in a split; null: the one called group, person, patient, "
        "subject or track; none: no group",
    )
    split: Literal["given", "new"] = Field("given", description="the parts that the data come in: keep, or divide anew")
    root: str | None = Field(None, description="folder that the paths in a .csv begin at; null: its own")
    window: Literal["file", "percentile"] | tuple[float, float] = Field(
        "file", description="brightness of DICOM: the file's window, percentiles, or centre and width"
    )
    stretch: Literal["asinh", "linear"] = Field("asinh", description="brightness of FITS: faint light lifted, or not")
    bins: dict[str, Annotated[int, Field(ge=2)]] = Field(
        default_factory=dict,
        description='attributes of numbers to divide into bins of about equally many images: {"age": 3}',
    )
    target: str | None = Field(
        None,
        description="images of another domain that the classifier is for, without labels, or with labels for the test alone",
    )
    validation: float = Field(0.15, gt=0, lt=1, description="share of each class for validation")
    test: float = Field(0.2, gt=0, lt=1, description="share of each class for the test part")
    fold: tuple[int, int] | None = Field(
        None,
        description="(2, 5): the test part is the second of five folds, instead of a share; see augury run --folds",
    )
    near_duplicates: Literal["refuse", "drop", "allow"] = Field(
        "refuse",
        description="refuse, drop: near-duplicates stay in one part; where the data's own split puts them in two, stop, or "
        "leave them out of the earlier part; allow: do not look for them",
    )

    def reading(self) -> dict[str, Any]:
        """The settings that `augury.load` takes, as keyword arguments."""
        return {name: getattr(self, name) for name in READING}


READING = (
    "size",
    "fit",
    "on_bad",
    "format",
    "columns",
    "attributes",
    "group",
    "split",
    "root",
    "window",
    "stretch",
    "bins",
)
"""Of `DataSettings`, those that say how data are read."""


class TrainSettings(Settings):
    """How the generative model is trained; `None` takes the recipe's own value."""

    recipe: str = Field("auto", description="a recipe, or auto: chosen by images, their size and the device")
    steps: int | None = Field(None, ge=1, description="of training; null: the recipe's own, or what the budget allows")
    budget: Seconds | None = Field(
        None, description="time to train instead of steps, 10m or seconds; measured and planned into steps"
    )
    batch: int | None = Field(
        None, ge=2, description="images a step; null: 64 (32 for a translator), or all there are if fewer"
    )
    condition: tuple[str, ...] = Field((), description="attributes to condition on beside the label")
    unconditional: bool = Field(
        False, description="forget the classes: a generator of images, not of images of a class"
    )
    label_sampling: Literal["sqrt", "log", "frequency", "uniform"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "sqrt",
        description="how often a class is shown: by the root or log of its images, by their number, all alike; or an exponent of it",
    )
    augment: str | None = Field(None, description="what the discriminator sees: a policy of augury.augment, or none")
    start_from: str | None = Field(None, description="a run folder or synthesizer whose weights to begin with")
    unlabelled: str | None = Field(
        None, description="a folder of images without labels that train the generator too, as a class of their own"
    )
    patience: float = Field(
        0.5,
        gt=0,
        le=1,
        description="stop after this share of the steps without a kernel distance on validation near the lowest",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where it is measured to be faster"
    )
    checkpoint_every: Seconds = Field(20.0, description="seconds between checkpoints")
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="network and optimiser settings over the recipe's"
    )

    @model_validator(mode="after")
    def _one_length(self) -> TrainSettings:
        if self.steps is not None and self.budget is not None:
            raise ValueError("steps and budget both say how long to train; give one of them, and null for the other")
        return self


class GenerateSettings(Settings):
    """What to draw and what to keep."""

    sampling_strategy: Strategy = Field(
        "balance",
        description="balance (as many again where all are level), a ratio, a number or {class: number}; level: as many for "
        "all; tail: what rare classes lack; auto: the same, less those that are recognised well",
    )
    truncation: float = Field(1.0, gt=0, le=1, description="below 1: more typical images, less varied")
    sampling: Literal["prior", "boundary", "inversions"] = Field(
        "prior",
        description="noise as trained; moved to where the classifier is just sure of the class; or between real images",
    )
    filters: Names = Field(
        ("agreement", "near_copy"), description='names in order, each with a limit if not its own: "confidence>.6"'
    )
    surplus: float = Field(
        4.0, ge=1, description="most images drawn for each one wanted; fewer when enough have passed the filters"
    )
    soft_labels: int = Field(
        0,
        ge=0,
        description="classifiers, taught by real images, whose mean probabilities go with each image; 0 for none",
    )


class ScoreSettings(Settings):
    """Features and sizes for the score card."""

    features: str = Field(
        "auto",
        description="auto: lite0 when installed, else classifier; or names with commas between, see augury evaluate",
    )
    limit: int = Field(1000, ge=2, description="most images a side")


class ProveSettings(Settings):
    """The paired trial."""

    arms: Names = Field(("usual",), description="names of arms; all or usual: those of them that can be trained here")
    others: dict[str, str] = Field(
        default_factory=dict,
        description='run folders whose kept synthetic images other arms show: {"vae": "runs/vae"}',
    )
    seeds: int = Field(
        7,
        ge=1,
        description="paired seeds; with max_seeds, how many each look adds. Two generative arms need seven for a word",
    )
    max_seeds: int | None = Field(
        None, ge=1, description="add seeds until the word is clear or there are so many; null: only `seeds`, one look"
    )
    margin: float = Field(0.02, gt=0, lt=1, description="the smallest difference in balanced accuracy that matters")
    resample: Literal["none", "subsample", "bootstrap"] = Field(
        "none",
        description="train images of each seed: all, 90 % of each class, or as many drawn with replacement. The generator has "
        "seen all of them, so that what is left out favours the synthetic images; sound for images from elsewhere",
    )
    near_duplicates: Literal["refuse", "drop", "allow"] = Field(
        "drop",
        description="synthetic images near a test image: refuse, leave out, or do not look; exact copies are always refused "
        "unless allowed",
    )
    steps: int = Field(300, ge=1, description="of training a classifier, the same for every arm")
    batch: int = Field(64, ge=2, description="images a step")
    ratios: tuple[float, ...] = Field(
        (0.0, 0.25, 0.5, 1.0),
        description="synthetic images shown for each real one, of which one is chosen on validation",
    )
    classifier: str = Field(
        "cnn", description="cnn, resnet; on features: probe, forest, neighbours, or with other features probe:FEATURES"
    )
    learning_rates: Rates = Field(
        (3e-3,), min_length=1, description="learning rates; of several each arm takes its best on validation"
    )
    weight_decays: Decays = Field((1e-2,), min_length=1, description="weight decays; chosen together with the rate")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on a GPU where it is faster")
    flips: bool | None = Field(
        None,
        description="images may be mirrored left and right: by generator, classifiers and the search for near-duplicates; null: not, "
        "but for data that say so, as the embedded sample does",
    )


class ExportSettings(Settings):
    """The augmented data set that a run leaves."""

    format: str = Field("folder", description="a name of augury.exports.EXPORTS")


class RunSettings(Settings):
    """Everything that decides what a run computes. `device` is where, and is not part of the identity."""

    seed: int = Field(0, ge=0, description="decides every random number")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: cuda, else mps, else cpu")
    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()
    generate: GenerateSettings = GenerateSettings()
    score: ScoreSettings = ScoreSettings()
    prove: ProveSettings = ProveSettings()
    export: ExportSettings = ExportSettings()


def validated(kind: type[Kind], values: dict[str, Any]) -> Kind:
    """Build settings from plain values; raises SettingsError naming each wrong setting, its value and the rule."""
    try:
        return kind(**values)
    except ValidationError as error:
        lines = dict.fromkeys(_told(kind, dict(each)) for each in error.errors())
        raise SettingsError("these settings cannot be used:\n" + "\n".join(lines)) from error


def _told(kind: type[BaseModel], wrong: dict[str, Any]) -> str:
    """One line on one wrong setting. Of several things that a value might have been, and is not, what the setting is for."""
    model, names = kind, [str(name) for name in wrong["loc"]]
    message = wrong["msg"].removeprefix("Value error, ")
    for at, name in enumerate(names):
        field = model.model_fields.get(name)
        if field is None:
            close = get_close_matches(name, model.model_fields, 1)
            meant = f"; did you mean {close[0]}?" if close else ""
            return f"  {'.'.join(names[: at + 1])}: there is no such setting{meant} There are: {', '.join(model.model_fields)}"
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            several = at < len(names) - 1 and field.description
            return f"  {'.'.join(names[: at + 1])} = {wrong['input']!r}: {field.description if several else message}"
        model = field.annotation
    return f"  {'.'.join(names)}: {message}"
