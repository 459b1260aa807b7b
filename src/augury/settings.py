"""The validated settings of a run; stored in the run folder and compared when the run resumes."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from augury.errors import SettingsError


def seconds(value: Any) -> Any:
    """'90s', '5m' or '1h30m' -> seconds. A number in Python is one of seconds; text without a unit is refused."""
    if not isinstance(value, str):
        return value
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", value.strip())
    if parts is None or not any(parts.groups()):
        raise ValueError(f"'{value}' is not a time with its unit; write 90s, 5m or 1h30m")
    h, m, s = (float(p) if p else 0.0 for p in parts.groups())
    return 3600 * h + 60 * m + s


def duration(value: str | float, name: str = "time") -> float:
    """The seconds of a time such as '15m'; raises SettingsError for anything else."""
    try:
        number = float(seconds(value))
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{name}: {error}") from error
    if not 0 < number < float("inf"):
        raise SettingsError(f"{name} is {value}, but must be above 0; write 90s, 5m or 1h30m")
    return number


def with_unit(value: float | None) -> str | None:
    """A number of seconds in the form that `seconds` reads, without loss: 90 -> '90s'."""
    if value is None:
        return None
    text = format(Decimal(repr(float(value))), "f")
    return f"{text.removesuffix('.0')}s"


Seconds = Annotated[
    float, BeforeValidator(seconds), PlainSerializer(with_unit, return_type=str | None, when_used="json"), Field(gt=0)
]
LARGEST = 4096
"""Most pixels on a side of the images."""
ROLES = ("image", "label", "group", "split")
"""Roles that a column of a table can have; any other column is an attribute."""
Side = Annotated[int, Field(ge=1, le=LARGEST)]
Rates = tuple[Annotated[float, Field(gt=0)], ...]
Decays = tuple[Annotated[float, Field(ge=0)], ...]
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: tuple(map(str.strip, value.split(","))) if isinstance(value, str) else value),
]
"""Also accepts one comma-separated text."""
Kind = TypeVar("Kind", bound=BaseModel)
Function = TypeVar("Function", bound=Callable[..., Any])
Strategy = Literal["balance", "level", "tail", "auto"] | float | int | dict[str, int]


class Settings(BaseModel):
    """Base of all settings: immutable, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StrictSettings(Settings):
    """Settings whose values have the type of their field: a fraction is no whole number, and a text no number."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, validate_default=True)


class DataSettings(Settings):
    """How images are brought to one size and split."""

    size: Side | tuple[Side, Side] | None = Field(
        None,
        description=f"height and width in px (1 to {LARGEST}), or one number for both; null: native size if all are alike and at most 64, else 64",
        examples=[96, (96, 64)],
    )
    fit: Literal["crop", "pad"] = Field(
        "crop", description="crop: cover the size and cut the middle; pad: fit inside it and repeat the edge"
    )
    on_bad: Literal["error", "skip"] = Field(
        "error", description="unreadable files: stop (error), or leave out, count and list (skip)"
    )
    format: str | None = Field(
        None,
        description="read the path as npz, idx, cifar, imagefolder, stylegan, pixels (a .csv of pixel values), csv, parquet, tar or folder; null: detected",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="for tables: the columns of image, label, group and split, where their names are not standard",
        examples=[{"label": "diagnosis"}],
    )
    attributes: tuple[str, ...] | None = Field(
        None,
        description="for tables: columns that are attributes; null: those with few values",
        examples=[("stain", "pose")],
    )
    group: str | None = Field(
        None,
        description="column or array of groups whose images stay in one split; null: the one called group, person, patient, "
        "subject, track or the like; none: no groups",
    )
    split: Literal["given", "new"] = Field(
        "given", description="given: keep the splits that come with the data; new: split again"
    )
    root: str | None = Field(
        None, description="folder that the paths in a .csv are relative to; null: that of the .csv"
    )
    class_folder: int | None = Field(
        None,
        description="folders: which one names the class, 1: the outermost below the split, -1: the one that holds the image; null: 1, "
        "unless that is unclear",
    )
    follow_links: str | None = Field(
        None, description="folder outside the data into which links may lead, such as a shared pool of images"
    )
    window: Literal["file", "percentile"] | tuple[float, Annotated[float, Field(gt=0)]] = Field(
        "file",
        description="window of DICOM: that of the file (file), percentiles (percentile), or centre and a width above 0",
        examples=[(40, 400)],
    )
    stretch: Literal["asinh", "linear"] = Field(
        "asinh", description="tone curve of FITS: asinh lifts faint light; linear does not"
    )
    bins: dict[str, Annotated[int, Field(ge=2)]] = Field(
        default_factory=dict,
        description="numeric attributes to divide into 2 or more bins of about equally many images",
        examples=[{"age": 3}],
    )
    transparency: Literal["white", "black", "ignore"] | None = Field(
        None,
        description="background of images with opacity: white or black; ignore: their colours alone; null: white where a file "
        "declares opacity (arrays of four channels do not)",
    )
    target: str | None = Field(
        None,
        description="images of the target domain of the classifier, such as a new scanner: a folder without labels, or class folders "
        "whose labels are used for the test alone; trains a translator into that domain",
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

    @field_validator("columns")
    @classmethod
    def _roles(cls, columns: dict[str, str]) -> dict[str, str]:
        for role in columns.keys() - set(ROLES):
            raise ValueError(f"'{role}' is no role of a column; the roles are {', '.join(ROLES)}")
        return columns

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
    "class_folder",
    "follow_links",
    "window",
    "stretch",
    "bins",
    "transparency",
)
"""The settings of `DataSettings` about how data are read."""


class TrainSettings(Settings):
    """How the generative model is trained; `None` takes the recipe's own value."""

    recipe: str = Field(
        "auto",
        description="rpgan, dcgan, gan, wgan, wgan_gp, r3gan, stylegan, vae or ae; translator, which fills empty cells of class × "
        "attribute with translated train images; or auto: chosen by the images, their size and the device",
    )
    steps: int | None = Field(
        None, ge=1, description="training steps; null: those of the recipe, or what the budget allows"
    )
    budget: Seconds | None = Field(
        None,
        description="training time of each generator instead of steps, converted to steps by measurement; the trial takes "
        "additional time",
        examples=["90s", "10m", "1h30m"],
    )
    batch: int | None = Field(
        None, ge=2, description="images per step; null: 64 (32 for a translator), or all images if fewer"
    )
    condition: tuple[str, ...] = Field(
        (),
        description="attributes to condition on in addition to the class; with recipe translator, empty cells of class × these "
        "attributes are filled",
        examples=[("pose", "stain")],
    )
    unconditional: bool = Field(False, description="ignore the classes: the generator is not conditioned on them")
    label_sampling: Literal["sqrt", "log", "frequency", "uniform"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "sqrt",
        description="how often a class is shown: in proportion to the square root or log of its images, to their number, uniformly, or to a power",
    )
    augment: str | None = Field(
        None, description="augmentation of the discriminator's input: a policy of augury.augment, or none"
    )
    start_from: str | None = Field(
        None,
        description="a run folder or synthesizer whose weights training starts from; same network and image size, any classes",
    )
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
        "auto", description="fp32, bf16, or auto: bf16 on processors and GPUs with bf16 instructions, else fp32"
    )
    checkpoint_every: Seconds = Field(20.0, description="time between checkpoints", examples=["90s"])
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
        "tail: fill rare classes; auto: as tail, without well-recognised classes; or a ratio to the largest class, a number of "
        "images per class, or a number for each class",
        examples=[0.5, 50, {"cat": 50}],
    )
    truncation: float = Field(1.0, gt=0, le=1, description="below 1: more typical images, less diverse")
    sampling: Literal["prior", "boundary", "inversions"] = Field(
        "prior",
        description="prior: noise as in training; boundary: moved to where the classifier is barely sure of the class; inversions: between real images",
    )
    filters: Names = Field(
        ("agreement", "near_copy", "near_duplicate"),
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
        description="comma-separated: lite0, pixels, phash, inception, timm:NAME, classifier (of a run), classifier=RUN, or a path: a "
        "run folder, or an Inception weights file; auto: lite0 if installed, else classifier",
    )
    limit: int = Field(1000, ge=4, description="use at most this many images of each set, chosen at random")


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
    max_class_loss: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="helps requires that every class loses less recall than this, such as 0.05; null: classes that get worse are named, "
        "but do not change the outcome",
    )
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
        "auto", description="fp32, bf16, or auto: bf16 on GPUs with bf16 units, else fp32"
    )
    flips: bool | None = Field(
        None,
        description="mirror images left and right in the training of generator and classifiers, and in the search for near-duplicates; "
        "null: no, except for data that allow it, such as the embedded sample",
    )


class ExportSettings(Settings):
    """The augmented data set that a run writes."""

    format: str = Field("folder", description="folder, imagefolder, csv, npz, tar or parquet")
    originals: Literal["none", "link", "copy"] = Field(
        "none",
        description="original files of the real images, of any size, instead of the images used in training: link (hard links, or "
        "copies where the disk has none), copy, or none",
    )
    size: Side | tuple[Side, Side] | None = Field(
        None,
        description="height and width in px of the synthetic images beside original files, or one number for both; null: as generated",
        examples=[224, (96, 64)],
    )

    @model_validator(mode="after")
    def _fits(self) -> ExportSettings:
        if self.originals != "none" and self.format == "npz":
            raise ValueError(
                "an npz has images of one size, so it cannot hold original files; use originals=none or another format"
            )
        if self.size is not None and self.originals == "none":
            raise ValueError(
                "size needs originals=link or copy; all other images of a data set have the size used in training"
            )
        return self

    @property
    def synthetic_size(self) -> tuple[int, int] | None:
        """Height and width of the synthetic images; None: as generated."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


class RunSettings(Settings):
    """Everything that decides what a run computes. `device` says where it is computed and is not part of the run's identity."""

    seed: int = Field(0, ge=0, description="seed of all random numbers")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="cpu, cuda, mps, or auto: cuda, else mps, else cpu"
    )
    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()
    generate: GenerateSettings = GenerateSettings()
    score: ScoreSettings = ScoreSettings()
    prove: ProveSettings = ProveSettings()
    export: ExportSettings = ExportSettings()

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _refusal(type(self), values, error) from error


def validated(kind: type[Kind], values: Mapping[str, Any], source: str = "") -> Kind:
    """Build settings from plain values.

    Parameters
    ----------
    kind
        The model of the settings.
    values
        Plain values by name, or by section and name.
    source
        The file that they come from, for the message.

    Raises
    ------
    SettingsError
        With each wrong setting, its value and the rule.
    """
    try:
        return kind(**values)
    except (ValidationError, SettingsError) as error:
        refusal = error if isinstance(error, SettingsError) else _refusal(kind, values, error)
        raise (SettingsError(f"{source}: {refusal}") if source else refusal) from error


OPTIONS: dict[str, str] = {
    "device": "",
    **dict.fromkeys((*READING, "target"), "data"),
    **dict.fromkeys(
        ("recipe", "steps", "budget", "batch", "condition", "augment", "start_from", "unlabelled"), "train"
    ),
    **dict.fromkeys(("sampling_strategy", "filters"), "generate"),
    **dict.fromkeys(("seeds", "max_seeds", "max_class_loss", "arms", "flips"), "prove"),
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
    plain = values.model_dump() if isinstance(values, RunSettings) else _plain(values or {})
    changes: dict[str, Any] = {}
    for name, value in options.items():
        if name not in OPTIONS:
            close = get_close_matches(name, OPTIONS, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(
                f"there is no option '{name}'{hint} Options are: {', '.join(OPTIONS)}; others go into settings={{section: {{name: value}}}}"
            )
        if section := OPTIONS[name]:
            changes.setdefault(section, {})[name] = value
        else:
            changes[name] = value
    return validated(RunSettings, merged(plain, changes))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with each section as a mapping, where it is a model."""
    return {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in values.items()}


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings by section, with changes.

    Steps replace a budget, and a budget replaces steps. Overrides hold only for the recipe that they came with: another recipe
    without overrides has none.
    """
    result = dict(values)
    for name, change in changes.items():
        old = result.get(name, {})
        if not isinstance(change, Mapping):
            result[name] = change
        elif isinstance(old, Mapping):  # else the check of all settings refuses it
            result[name] = {**old, **change}
    old, change = values.get("train", {}), changes.get("train", {})
    if isinstance(old, Mapping) and isinstance(change, Mapping):
        lengths = {name: change[name] for name in ("steps", "budget") if name in change}
        if len(lengths) == 1:
            result["train"] |= {"steps": None, "budget": None} | lengths
        recipe = old.get("recipe")
        if recipe is not None and change.get("recipe", recipe) != recipe and "overrides" not in change:
            result["train"] |= {"overrides": {}}
    return result


def describe(
    setting: str | FieldInfo,
    *,
    null: str = "null",
    written: Callable[[Any], str] = json.dumps,
    default: str | None = None,
) -> str:
    """What a setting does: description, examples, limits, and the default where the description does not state it.

    Parameters
    ----------
    setting
        The field, or its full name, such as "train.steps".
    null
        What the reader writes for the value null.
    written
        An example as the reader writes it.
    default
        Replaces the default of the setting; "" omits it.
    """
    field = field_of(setting) if isinstance(setting, str) else setting
    clauses = (field.description or "").split("; ")
    without = [clause.replace("null: ", f"{null}: ") for clause in clauses if clause.startswith("null: ")]
    clauses = [clause for clause in clauses if not clause.startswith("null: ")]
    if field.examples:
        clauses.append(f"such as {' or '.join(map(written, field.examples))}")
    clauses += [limits] if (limits := _limits(field)) else []
    value = field.get_default(call_default_factory=True)
    if default is None and value not in (None, (), {}):
        timed = any(isinstance(rule, PlainSerializer) for rule in field.metadata)
        default = ",".join(value) if isinstance(value, tuple) else str(with_unit(value) if timed else value)
    return "; ".join(clauses + ([f"default: {default}"] if default else without))


def with_descriptions(function: Function) -> Function:
    """Replace each {section.name} in a docstring by the description of that setting."""

    def described(match: re.Match[str]) -> str:
        text = describe(match[2], null="None", written=repr, default="")
        lines = textwrap.wrap(sentence(text), 100)
        return "".join(f"{match[1]}{line}\n" for line in lines)

    function.__doc__ = re.sub(r"(?m)^( +)\{([a-z_]+\.[a-z_]+)\}\n", described, function.__doc__ or "")
    return function


def sentence(text: str) -> str:
    """The text with a full stop and a capital letter, except where it begins with the name of a value."""
    return f"{text if re.match(r'[a-z_]+[:,]', text) else text[0].upper() + text[1:]}."


def refuse_without_unit(values: Mapping[str, Any], source: str) -> None:
    """Raise SettingsError for a time that is typed as a bare number, in settings by section.

    Parameters
    ----------
    values
        Settings by section, as a user wrote them.
    source
        Where they were written, for the message.
    """
    for section, own in values.items():
        for name, value in own.items() if isinstance(own, Mapping) else ():
            if isinstance(value, int | float) and f"{section}.{name}" in DURATIONS:
                raise SettingsError(
                    f"{source}: {section}.{name}={value} has no unit; write {section}.{name}={value}s for seconds or {value}m for minutes"
                )


DURATIONS = ("train.budget", "train.checkpoint_every")
"""Settings that are times."""


def field_of(name: str) -> FieldInfo:
    """The field of a setting by its full name, such as "train.steps" or "seed"."""
    section, dot, key = name.partition(".")
    field: FieldInfo = RunSettings.model_fields[section]
    return field.annotation.model_fields[key] if dot else field  # type: ignore[union-attr]


BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
"""Kind of a bound -> its words."""


def _limits(field: FieldInfo) -> str:
    """The bounds of a number, or of each number of a pair, in words."""
    inner = get_args(field.annotation)[0] if get_origin(field.annotation) is tuple else None
    rules = FieldInfo.from_annotation(inner).metadata if inner is not None else field.metadata
    return _in_words({kind: getattr(rule, kind) for rule in rules for kind in BOUNDS if hasattr(rule, kind)})


def _in_words(bounds: Mapping[str, float]) -> str:
    return " and ".join(f"{BOUNDS[kind]} {bound:g}" for kind, bound in bounds.items() if kind in BOUNDS)


def changed(owner: str, old: Kind, new: Mapping[str, Any]) -> Kind:
    """The settings `old` with the values `new`.

    Parameters
    ----------
    owner
        To whom the settings belong, for messages.
    old
        Settings of a network or recipe.
    new
        Values by name.

    Raises
    ------
    SettingsError
        For an unknown name, a value of another type than the field, and a number out of range.
    """
    known = type(old).model_fields
    for name in new:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}? Its" if close else "its"
            raise SettingsError(f"{owner} has no setting '{name}'; {hint} settings are: {', '.join(known)}")
    try:
        return type(old)(**{**old.model_dump(), **new})
    except ValidationError as error:
        wrong = error.errors()[0]
        name, bounds = str(wrong["loc"][0]), wrong.get("ctx", {})
        field, value, default = known[name], new.get(name), getattr(old, name)
        if wrong["type"] == "finite_number" or BOUNDS.keys() & bounds.keys():
            rule = f"{_limits(field) or _in_words(bounds) or 'a finite number'}; the default is {default!r}"
        elif field.annotation is int and isinstance(value, float):
            rule = f"a whole number, as its default {default!r} is"
        else:
            rule = f"of the kind of its default, {default!r}"
        raise SettingsError(f"{owner}: {name}={value!r}, but it must be {rule}") from error


def _refusal(kind: type[BaseModel], values: Mapping[str, Any], error: ValidationError) -> SettingsError:
    """The error in words, with a line for each wrong setting."""
    lines = dict.fromkeys(_error_line(kind, values, dict(each)) for each in error.errors())
    return SettingsError("these settings cannot be used:\n" + "\n".join(lines))


def _error_line(kind: type[BaseModel], values: Any, wrong: dict[str, Any]) -> str:
    """One line about one wrong setting. Where several types are allowed, it shows the description of the setting."""
    model, names = kind, [str(name) for name in wrong["loc"]]
    message = wrong["msg"].removeprefix("Value error, ")
    for at, name in enumerate(names):
        field = model.model_fields.get(name)
        if field is None:
            close = get_close_matches(name, model.model_fields, 1)
            meant = f"; did you mean {close[0]}?" if close else "."
            return f"  {'.'.join(names[: at + 1])}: there is no such setting{meant} There are: {', '.join(model.model_fields)}"
        values = values.get(name) if isinstance(values, Mapping) else getattr(values, name, None)
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            if at < len(names) - 1 and field.description:
                message = "; ".join(c for c in field.description.split("; ") if not c.startswith("null: "))
            return f"  {'.'.join(names[: at + 1])} = {values!r}: {message}"
        model = field.annotation
    if wrong["type"] == "model_type":
        message = f"must hold settings by name; there are: {', '.join(model.model_fields)}"
    return f"  {'.'.join(names)}: {message}"
