"""The validated settings of a run; stored in the run folder, compared when a run is taken up again."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

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
Strategy = Literal["balance"] | float | int | dict[str, int]


def changed(kind: str, old: Any, new: dict[str, Any]) -> Any:
    """The dataclass `old` with the values `new`. Raises SettingsError for a name it has not and for a value of another
    kind than the present one; `kind` says whose settings these are."""
    known = {f.name: getattr(old, f.name) for f in fields(old)}
    for name, value in new.items():
        if name not in known:
            raise SettingsError(f"{kind} has no setting '{name}'; its settings are: {', '.join(known)}")
        present = known[name]
        numbers = isinstance(present, int | float) and not isinstance(present, bool)
        fits = (
            isinstance(value, int | float) and not isinstance(value, bool)
            if numbers
            else isinstance(value, type(present))
        )
        if not fits and not (isinstance(present, tuple) and isinstance(value, list) and len(value) == len(present)):
            raise SettingsError(f"{kind}: {name}={value!r}, but it must be of the kind of its default, {present!r}")
    return replace(old, **{k: tuple(v) if isinstance(known[k], tuple) else v for k, v in new.items()})


class Settings(BaseModel):
    """Base of all settings: immutable, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Settings):
    """How images are brought to one size and split."""

    size: int | tuple[int, int] | None = Field(
        None, description="height and width in px; None: native if all alike and ≤ 64, else 64"
    )
    fit: Literal["crop", "pad"] = Field(
        "crop", description="crop: cover and cut the middle; pad: fit inside, edge-padded"
    )
    on_bad: Literal["error", "skip"] = Field("error", description="unreadable files: stop, or skip, count and list")
    validation: float = Field(0.15, gt=0, lt=1, description="share of each class for validation")
    test: float = Field(0.2, gt=0, lt=1, description="share of each class for the test part")
    near_duplicates: Literal["refuse", "drop", "allow"] = Field(
        "refuse",
        description="refuse, drop: near-duplicates stay in one part; where the data's own split puts them in two, stop, or "
        "leave them out of the earlier part; allow: do not look for them",
    )


class TrainSettings(Settings):
    """How the generative model is trained; `None` takes the recipe's own value."""

    recipe: str = Field("auto", description="a recipe, or auto: chosen by images, their size and the device")
    steps: int | None = Field(None, ge=1)
    budget: Seconds | None = None
    batch: int | None = Field(None, ge=2, description="images a step; None: 64, or all there are if fewer")
    condition: tuple[str, ...] = Field((), description="attributes to condition on beside the label")
    unconditional: bool = Field(
        False, description="forget the classes: a generator of images, not of images of a class"
    )
    label_sampling: Literal["sqrt", "log", "frequency", "uniform"] = "sqrt"
    augment: str | None = Field(None, description="what the discriminator sees: a policy of augury.augment, or none")
    start_from: str | None = Field(None, description="a run folder or synthesizer whose weights to begin with")
    patience: float = Field(
        0.5,
        gt=0,
        le=1,
        description="stop after this share of the steps without a kernel distance on validation near the lowest",
    )
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    checkpoint_every: Seconds = 20.0
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="network and optimiser settings over the recipe's"
    )


class GenerateSettings(Settings):
    """What to draw and what to keep."""

    sampling_strategy: Strategy = "balance"
    truncation: float = Field(1.0, gt=0, le=1)
    filters: tuple[str, ...] = ("agreement", "near_copy")
    surplus: float = Field(2.0, ge=1, description="images drawn for each one wanted, before filtering")


class ScoreSettings(Settings):
    """Features and sizes for FD and KID."""

    features: str = Field("auto", description="lite0 when installed, else classifier; or pixels")
    limit: int = Field(1000, ge=2, description="most images a side")


class ProveSettings(Settings):
    """The paired trial."""

    arms: tuple[str, ...] = ("none", "class_weights", "balanced", "classical", "gan")
    seeds: int = Field(6, ge=1, description="paired seeds; with max_seeds, how many each look adds")
    max_seeds: int | None = Field(
        None, ge=1, description="add seeds until the word is clear or there are so many; None: only `seeds`, one look"
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
    steps: int = Field(300, ge=1)
    batch: int = Field(64, ge=2)
    ratios: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)
    flips: bool | None = Field(None, description="horizontal flips in the classical arm; None: the data's own advice")


class RunSettings(Settings):
    """Everything that decides what a run computes. `device` is where, and is not part of the identity."""

    seed: int = Field(0, ge=0)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()
    generate: GenerateSettings = GenerateSettings()
    score: ScoreSettings = ScoreSettings()
    prove: ProveSettings = ProveSettings()


def validated(kind: type[RunSettings], values: dict[str, Any]) -> RunSettings:
    """Build settings from plain values; raises SettingsError naming each wrong setting, its value and the rule."""
    try:
        return kind(**values)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))} = {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise SettingsError("these settings cannot be used:\n" + "\n".join(lines)) from error
