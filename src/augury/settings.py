"""The validated settings of a run; stored in the run folder and compared when the run resumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from augury.durations import Seconds
from augury.errors import SettingsError
from augury.validation import Settings, refusal_of

LARGEST = 4096
"""Most pixels on a side of the images."""
ROLES = ("image", "label", "group", "split")
"""Roles that a column of a table can have; any other column is an attribute."""
LARGEST_JUDGED = 512
"""Most pixels on a side of the images that the classifiers of a trial see."""
AUTO = "auto"
"""A classifier that is chosen on validation."""
BALANCED = "balanced_accuracy"
"""The usual metric of a trial."""
TRACKERS = ("tensorboard", "mlflow", "wandb")
"""Where the curves of a training can be shown."""
Side = Annotated[int, Field(ge=1, le=LARGEST)]
Judged = Annotated[int, Field(ge=8, le=LARGEST_JUDGED)]


def _names(value: Any) -> Any:
    """A text with commas as a tuple of names."""
    if isinstance(value, str):
        return tuple(map(str.strip, value.split(","))) if value else ()
    return value


def _numbers(value: Any) -> Any:
    """A text with commas, or one number, as a tuple of numbers."""
    if isinstance(value, str):
        return tuple(map(float, value.split(",")))
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
"""Also accepts one comma-separated text."""
Ratios = Annotated[tuple[float, ...], BeforeValidator(_numbers)]
Rates = Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_numbers)]
Decays = Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(_numbers)]
"""Also accept one comma-separated text, or one number."""
Strategy = Literal["balance", "level", "tail", "auto"] | float | int | dict[str, int]


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
    attributes: Names | None = Field(
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
    licence: str | None = Field(
        None,
        description="licence of the images, for the cards of generators and data sets; null: unknown",
        examples=["cc-by-4.0"],
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
        description="rpgan, dcgan, gan, wgan, wgan_gp, r3gan, stylegan, projected, vae, ae or flow; translator, which fills empty cells of class × "
        "attribute with translated train images; diffusers or diffusers_img2img, a pretrained pipeline in a local folder; or auto: "
        "chosen by a short contest on the validation images where the time suffices and train.steps is not set, else by the images, "
        "their size and the device",
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
        None, ge=2, description="images per step; null: 64 (translator: 32, flow: 16), or all images if fewer"
    )
    condition: Names = Field(
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
    checkpoint_every: Seconds = Field(
        20.0,
        description="longest time between two checkpoints; there is also one at least every 400 steps and every fifth of the training",
        examples=["90s"],
    )
    track: Names = Field(
        (),
        description=f"also show the curves and samples of the training in {', '.join(TRACKERS)}, comma-separated; the result stays the same",
        examples=["tensorboard,mlflow"],
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="network and optimiser settings that override the recipe's"
    )

    @property
    def contested(self) -> bool:
        """Whether a contest may choose the recipe: it is "auto", and no setting belongs to a certain recipe."""
        settings = (self.steps, self.batch, self.augment, self.start_from)
        return self.recipe == AUTO and settings == (None,) * 4 and not self.overrides and not self.unconditional

    @field_validator("track")
    @classmethod
    def _trackers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in filter(None, names):
            if name not in TRACKERS:
                raise ValueError(f"there is no tracker '{name}'; choose among: {', '.join(TRACKERS)}")
        return tuple(dict.fromkeys(filter(None, names)))

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
    metric: str = Field(
        BALANCED,
        description="what the verdict is about: balanced_accuracy, or sensitivity@0.9:CLASS, the share of images of CLASS that are detected "
        "at the threshold with 90 % specificity; the threshold is chosen on validation and measured on test",
        examples=["sensitivity@0.9:malignant"],
    )
    margin: float = Field(0.02, gt=0, lt=1, description="the smallest difference in the metric that matters")
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
    ratios: Ratios = Field(
        (0.0, 0.25, 0.5, 1.0),
        description="candidate numbers of synthetic images per real one; one is chosen on validation",
    )
    classifier: str = Field(
        AUTO,
        description="cnn, resnet; a pretrained network: finetune, or finetune:NAME; on features: linear_probe, forest, neighbours, or on other "
        "features linear_probe:FEATURES; a function of your own: package.module:function; auto: the best one on "
        "validation of `candidates`",
    )
    candidates: Names = Field(
        (),
        description="classifiers that auto chooses from, such as finetune:timm:resnet50,cnn; empty: cnn and, where "
        "EfficientNet-Lite0 is installed, a linear layer on its features and its fine-tuning; the latter on a GPU, or where --time "
        "suffices for it",
    )
    judge_size: Judged | tuple[Judged, Judged] | None = Field(
        None,
        description=f"height and width in px of the images that the classifiers see, up to {LARGEST_JUDGED}; null: for pretrained "
        "features the images' own size, up to 224; else that of the generated images",
        examples=[224, (96, 64)],
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

    format: str = Field("folder", description="folder, imagefolder, csv, dicom, npz, tar or parquet")
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
    sidecar: bool = Field(
        False,
        description="also write an unsigned C2PA-style file NAME.png.c2pa.json beside each synthetic image",
    )

    @model_validator(mode="after")
    def _fits(self) -> ExportSettings:
        if self.sidecar and self.format in ("npz", "tar", "parquet"):
            raise ValueError(
                f"sidecar files lie beside image files, and a {self.format} is one file; use sidecar=false or another format"
            )
        if self.originals != "none" and self.format == "npz":
            raise ValueError(
                "an npz has images of one size, so it cannot hold original files; use originals=none or another format"
            )
        if self.originals != "none" and self.format == "dicom":
            raise ValueError(
                "a DICOM export is without patient data, which original files may hold; use originals=none or another format"
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
            raise refusal_of(type(self), values, error) from error


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
