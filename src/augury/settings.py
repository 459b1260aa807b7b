"""The validated settings of a run; stored in the run folder and compared when the run resumes."""

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
"""Also accepts one comma-separated text."""
Kind = TypeVar("Kind", bound=BaseModel)
Strategy = Literal["balance", "level", "tail", "auto"] | float | int | dict[str, int]


@dataclass(frozen=True)
class Within:
    """Numbers from `low` to `high`; both bounds are optional."""

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
    """The dataclass `old` with the values `new`; `kind` names the owner of the settings in messages.

    Raises SettingsError for an unknown name and a value of another type than the present one. The same holds for a fraction
    where an integer is needed, and for a number outside its `limits`.
    """
    current = {f.name: getattr(old, f.name) for f in fields(old)}
    integer_names = {f.name for f in fields(old) if f.type in (int, "int")}
    for name, value in new.items():
        if name not in current:
            raise SettingsError(f"{kind} has no setting '{name}'; its settings are: {', '.join(current)}")
        present, prefix = current[name], f"{kind}: {name}={value!r}, but it must be"
        several = isinstance(present, tuple) and isinstance(value, list | tuple) and len(value) == len(present)
        pairs = list(zip(present, value, strict=True)) if several else [(present, value)]
        if not all(_alike(was, now) for was, now in pairs):
            raise SettingsError(f"{prefix} of the kind of its default, {present!r}")
        numbers = [now for _, now in pairs if isinstance(now, int | float) and not isinstance(now, bool)]
        if name in integer_names and not all(isinstance(now, int) for now in numbers):
            raise SettingsError(f"{prefix} a whole number, as its default {present!r} is")
        limit = (limits or {}).get(name, Within(-math.inf))
        if not all(math.isfinite(now) and now in limit for now in numbers):
            rule = "a finite number" if limit.low == -math.inf else str(limit)
            raise SettingsError(f"{prefix} {rule}; the default is {present!r}")
    return replace(old, **{k: tuple(v) if isinstance(current[k], tuple) else v for k, v in new.items()})


def _alike(present: Any, value: Any) -> bool:
    """Whether a value has the type of the present one. Integers and fractions count as one type, booleans as another."""
    if isinstance(present, int | float) and not isinstance(present, bool):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, type(present))


class Settings(BaseModel):
    """Base of all settings: immutable, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Settings):
    """How images are brought to one size and split."""

    size: int | tuple[int, int] | None = Field(
        None, description="height and width in px; null: native size if all are alike and at most 64, else 64"
    )
    fit: Literal["crop", "pad"] = Field("crop", description="crop: cover and centre-crop; pad: fit inside, edge-padded")
    on_bad: Literal["error", "skip"] = Field(
        "error", description="unreadable files: stop (error), or leave out, count and list (skip)"
    )
    format: str | None = Field(None, description="read the path as this format; null: detected")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="for tables: the columns of image, label, group and split, where their names are not standard",
    )
    attributes: tuple[str, ...] | None = Field(
        None, description="for tables: columns that are attributes; null: chosen by rule"
    )
    group: str | None = Field(
        None,
        description="column or array of groups whose images stay in one split; null: the one called group, person, patient, "
        "subject or track; none: no groups",
    )
    split: Literal["given", "new"] = Field(
        "given", description="given: keep the splits that come with the data; new: split again"
    )
    root: str | None = Field(
        None, description="folder that the paths in a .csv are relative to; null: that of the .csv"
    )
    window: Literal["file", "percentile"] | tuple[float, float] = Field(
        "file", description="window of DICOM: that of the file, percentiles, or centre and width"
    )
    stretch: Literal["asinh", "linear"] = Field(
        "asinh", description="tone curve of FITS: asinh lifts faint light; linear does not"
    )
    bins: dict[str, Annotated[int, Field(ge=2)]] = Field(
        default_factory=dict,
        description='numeric attributes to divide into bins of about equally many images: {"age": 3}',
    )
    transparency: Literal["white", "black", "ignore"] | None = Field(
        None,
        description="background of images with opacity: white or black; ignore: their colours alone; null: white where a file "
        "declares opacity (arrays of four channels do not)",
    )
    target: str | None = Field(
        None,
        description="images of the target domain of the classifier, without labels, or with labels that are used for the test alone",
    )
    validation: float = Field(0.15, gt=0, lt=1, description="share of each class for the validation split")
    test: float = Field(0.2, gt=0, lt=1, description="share of each class for the test split")
    fold: tuple[int, int] | None = Field(
        None,
        description="(2, 5): the test split is the second of five folds instead of a share; see augury run --folds",
    )
    near_duplicates: Literal["refuse", "drop", "allow"] = Field(
        "refuse",
        description="refuse, drop: near-duplicates stay in one split; where the given split puts them in two, stop (refuse) or "
        "leave them out of the earlier split (drop); allow: do not search for them",
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
    "transparency",
)
"""The settings of `DataSettings` about how data are read."""


class TrainSettings(Settings):
    """How the generative model is trained; `None` takes the recipe's own value."""

    recipe: str = Field("auto", description="a recipe, or auto: chosen by the images, their size and the device")
    steps: int | None = Field(
        None, ge=1, description="training steps; null: those of the recipe, or what the budget allows"
    )
    budget: Seconds | None = Field(
        None, description="training time instead of steps, as 10m or in seconds; converted to steps by measurement"
    )
    batch: int | None = Field(
        None, ge=2, description="images per step; null: 64 (32 for a translator), or all images if fewer"
    )
    condition: tuple[str, ...] = Field((), description="attributes to condition on in addition to the label")
    unconditional: bool = Field(False, description="ignore the classes: the generator is not conditioned on them")
    label_sampling: Literal["sqrt", "log", "frequency", "uniform"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "sqrt",
        description="how often a class is shown: in proportion to the square root or log of its images, to their number, uniformly, or to a power",
    )
    augment: str | None = Field(
        None, description="augmentation of the discriminator's input: a policy of augury.augment, or none"
    )
    start_from: str | None = Field(None, description="a run folder or synthesizer whose weights training starts from")
    unlabelled: str | None = Field(
        None, description="a folder of images without labels that also train the generator, as a separate class"
    )
    patience: float = Field(
        0.5,
        gt=0,
        le=1,
        description="stop when the kernel distance on validation was not near its lowest for this share of the steps",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on processors and GPUs with bf16 instructions, else fp32"
    )
    checkpoint_every: Seconds = Field(20.0, description="seconds between checkpoints")
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="network and optimiser settings that override the recipe's"
    )

    @model_validator(mode="after")
    def _one_length(self) -> TrainSettings:
        if self.steps is not None and self.budget is not None:
            raise ValueError("steps and budget both set the training length; give one of them, and null for the other")
        return self


class GenerateSettings(Settings):
    """What to generate and what to keep."""

    sampling_strategy: Strategy = Field(
        "balance",
        description="balance: fill each class up to the largest (double each where all are equal); level: add equally many to all; "
        "tail: fill rare classes; auto: as tail, without well-recognised classes; or a ratio, a number, {class: number}",
    )
    truncation: float = Field(1.0, gt=0, le=1, description="below 1: more typical images, less diverse")
    sampling: Literal["prior", "boundary", "inversions"] = Field(
        "prior",
        description="prior: noise as in training; boundary: moved to where the classifier is barely sure of the class; inversions: between real images",
    )
    filters: Names = Field(
        ("agreement", "near_copy"),
        description='filter names in order, each with a limit if not the default: "confidence>.6"',
    )
    surplus: float = Field(
        4.0,
        ge=1,
        description="draw at most this many images for each one needed; fewer when enough have passed the filters",
    )
    soft_labels: int = Field(
        0,
        ge=0,
        description="number of classifiers, trained on real images, whose mean probabilities become soft labels; 0: none",
    )


class ScoreSettings(Settings):
    """Features and sizes for the score card."""

    features: str = Field(
        "auto",
        description="auto: lite0 if installed, else classifier; or comma-separated names, see augury evaluate",
    )
    limit: int = Field(1000, ge=2, description="at most this many images per set")


class ProveSettings(Settings):
    """The paired trial."""

    arms: Names = Field(("usual",), description="names of arms; all or usual: those that can be trained here")
    others: dict[str, str] = Field(
        default_factory=dict,
        description='run folders whose kept synthetic images further arms show: {"vae": "runs/vae"}',
    )
    seeds: int = Field(
        7,
        ge=1,
        description="paired seeds; with max_seeds, how many each interim look adds. Two generative arms need seven for an outcome other than underpowered",
    )
    max_seeds: int | None = Field(
        None,
        ge=1,
        description="add seeds until the outcome is clear, up to this number; null: only `seeds`, without interim looks",
    )
    margin: float = Field(0.02, gt=0, lt=1, description="the smallest difference in balanced accuracy that matters")
    resample: Literal["none", "subsample", "bootstrap"] = Field(
        "none",
        description="train images of each seed: all, 90 % of each class, or a bootstrap sample. A run's generator was trained on all "
        "of them, which favours the synthetic images; valid for images of another origin",
    )
    near_duplicates: Literal["refuse", "drop", "allow"] = Field(
        "drop",
        description="synthetic images near a test image: refuse, leave out (drop), or do not search (allow); exact copies are refused "
        "unless allowed",
    )
    steps: int = Field(300, ge=1, description="training steps of a classifier, the same for every arm")
    batch: int = Field(64, ge=2, description="images per step")
    ratios: tuple[float, ...] = Field(
        (0.0, 0.25, 0.5, 1.0),
        description="candidate numbers of synthetic images per real one; one is chosen on validation",
    )
    classifier: str = Field(
        "cnn", description="cnn, resnet; on features: probe, forest, neighbours, or on other features probe:FEATURES"
    )
    learning_rates: Rates = Field(
        (3e-3,), min_length=1, description="learning rates; of several, each arm takes its best on validation"
    )
    weight_decays: Decays = Field(
        (1e-2,), min_length=1, description="weight decays; chosen together with the learning rate"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on GPUs with bf16 units, else fp32"
    )
    flips: bool | None = Field(
        None,
        description="allow mirroring left and right in generator, classifiers and near-duplicate search; null: no, except for data "
        "that allow it, such as the embedded sample",
    )


class ExportSettings(Settings):
    """The augmented data set that a run writes."""

    format: str = Field("folder", description="a name of augury.exports.EXPORTS")


class RunSettings(Settings):
    """Everything that decides what a run computes. `device` says where it is computed and is not part of the run's identity."""

    seed: int = Field(0, ge=0, description="seed of all random numbers")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: cuda, else mps, else cpu")
    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()
    generate: GenerateSettings = GenerateSettings()
    score: ScoreSettings = ScoreSettings()
    prove: ProveSettings = ProveSettings()
    export: ExportSettings = ExportSettings()


def validated(kind: type[Kind], values: dict[str, Any]) -> Kind:
    """Build settings from plain values; raises SettingsError with each wrong setting, its value and the rule."""
    try:
        return kind(**values)
    except ValidationError as error:
        lines = dict.fromkeys(_error_line(kind, dict(each)) for each in error.errors())
        raise SettingsError("these settings cannot be used:\n" + "\n".join(lines)) from error


OPTIONS: dict[str, str] = {
    "device": "",
    **dict.fromkeys((*READING, "target"), "data"),
    **dict.fromkeys(
        ("recipe", "steps", "budget", "batch", "condition", "augment", "start_from", "unlabelled"), "train"
    ),
    **dict.fromkeys(("sampling_strategy", "filters"), "generate"),
    **dict.fromkeys(("seeds", "max_seeds", "arms", "flips"), "prove"),
}
"""Settings that `augury.run` takes as keyword arguments, with their section; "" for those of the run itself."""


def run_settings(values: RunSettings | Mapping[str, Any] | None, options: Mapping[str, Any]) -> RunSettings:
    """Build the settings of a run.

    Parameters
    ----------
    values
        Settings, or plain values by section: {"train": {"steps": 500}}.
    options
        Names of `OPTIONS` and their values; they replace those of `values`.

    Raises
    ------
    SettingsError
        For an unknown option, and for every value that a setting does not take.
    """
    plain = values.model_dump() if isinstance(values, RunSettings) else dict(values or {})
    for name, value in options.items():
        if name not in OPTIONS:
            close = get_close_matches(name, OPTIONS, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(
                f"there is no option '{name}'{hint} Options are: {', '.join(OPTIONS)}; others go into settings={{section: {{name: value}}}}"
            )
        if section := OPTIONS[name]:
            plain[section] = {**plain.get(section, {}), name: value}
        else:
            plain[name] = value
    return validated(RunSettings, plain)


def _error_line(kind: type[BaseModel], wrong: dict[str, Any]) -> str:
    """One line about one wrong setting. Where several types are allowed, it shows the description of the setting."""
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
