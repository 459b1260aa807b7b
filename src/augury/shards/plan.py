"""What a set of shards holds, and how it is divided: equal plans give equal bytes, whoever makes which shard."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from augury.errors import RunFolderError, SettingsError
from augury.files import digest
from augury.images import Codes
from augury.validation import StrictSettings, Versioned, parsed

FORMAT = 1
"""Version of the plan, the manifests and the names of files; another version is refused."""
PLAN = "plan.json"
SHARDS = 1024
"""Shards of a large set; more where an image or `MOST_IMAGES` limits their size."""
FEWEST_IMAGES, MOST_IMAGES = 64, 8192
"""Limits of the number of images in a shard."""
MOST_BYTES = 256 * 2**20
"""Most bytes of the pixels of a shard, which a worker holds in memory."""
MOST_SHARDS = 10_000_000
"""Most shards of a set: a merge holds the manifests of all of them in memory."""
MOST_INDEX = 2**63 - 1
"""Highest index of an image, which is an int64."""


def shard_size(count: int, shape: Sequence[int]) -> int:
    """Images in a shard: a power of two that depends on the number of all images and the size of one alone.

    It is the lowest that divides the images into at most `SHARDS` shards, within `FEWEST_IMAGES` and `MOST_IMAGES`, and within
    `MOST_BYTES` of pixels.

    Parameters
    ----------
    count
        Number of all images.
    shape
        C, H, W of an image.

    Returns
    -------
    Number of images in each shard but the last.
    """
    fitting: int = 2 ** int(math.log2(max(1, MOST_BYTES // math.prod(shape))))
    lowest: int = 2 ** math.ceil(math.log2(max(1, math.ceil(count / SHARDS))))
    return min(max(lowest, FEWEST_IMAGES), MOST_IMAGES, fitting)


Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class _StoredPlan(StrictSettings):
    """plan.json: the fields of `ShardPlan`, and the format."""

    format: int
    task: Literal["generate", "translate"]
    synthesizer: str
    recipe: str
    steps: Natural
    licence: str
    shape: tuple[Positive, Positive, Positive]
    classes: tuple[str, ...]
    count: Positive
    size: Annotated[int, Field(ge=1, le=MOST_IMAGES)]
    start: Natural
    cells: tuple[tuple[Natural, ...], ...]
    attributes: dict[str, str] | None
    seed: int
    truncation: int | float  # a whole number stays one, as the key of the plan depends on it
    filters: tuple[str, ...]
    basis: str
    changes: dict[str, str] | None
    sources: str
    features: str
    identity: str
    preprocessing: str
    written: Literal["tar", "parquet"]
    version: str
    medical: bool
    command: tuple[str, ...]

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        if fault := beyond_limits(self.count, self.size, self.start):
            raise ValueError(fault)
        if self.size > 1 and self.size * math.prod(self.shape) > MOST_BYTES:
            raise ValueError(f"{self.size} images of {list(self.shape)} in a shard are more than {MOST_BYTES:,} bytes")
        return self


def beyond_limits(count: int, size: int, start: int) -> str:
    """Why so many images from this index on are no set of shards; "" where they are one."""
    if -(-count // size) > MOST_SHARDS:
        return f"{count:,} images are more than {MOST_SHARDS:,} shards of {size:,}"
    if start + count > MOST_INDEX:
        return f"{count:,} images from index {start:,} on have indices above {MOST_INDEX:,}"
    return ""


@dataclass(frozen=True)
class ShardPlan:
    """Everything that decides the bytes of the shards.

    Parameters
    ----------
    task
        "generate" or "translate".
    synthesizer, recipe, steps, licence
        Fingerprint of the generator or translator, and what the card of the set says of it.
    shape, classes
        C, H, W of an image, and the names of the classes.
    count, size
        Number of all images, and of those in a shard.
    start
        Index of the first image.
    cells
        Conditions of the images in turn: image i has cells[i mod len(cells)]. Empty for translations.
    attributes
        Attribute values of all images, by name.
    seed, truncation
        As for `Synthesizer.sample`.
    filters
        Filters that an image passes, in order.
    basis
        Identifies the data and the classifier of the filters; "" without filters.
    changes
        Values that a translation reaches.
    sources
        Fingerprint of the images to translate.
    features
        Name of the features whose moments are stored; "" for none.
    identity, preprocessing
        Weights and preprocessing of these features.
    written
        "tar" or "parquet".
    version
        Augury's version, which each image names.
    medical
        Whether the generator was trained on medical images, which the card says.
    command
        The words of the command that makes these shards, without -o and --shard. They do not decide the bytes.
    """

    task: str
    synthesizer: str
    recipe: str
    steps: int
    licence: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    count: int
    size: int
    start: int = 0
    cells: tuple[tuple[int, ...], ...] = ()
    attributes: Mapping[str, str] | None = None
    seed: int = 0
    truncation: float = 1.0
    filters: tuple[str, ...] = ()
    basis: str = ""
    changes: Mapping[str, str] | None = None
    sources: str = ""
    features: str = ""
    identity: str = ""
    preprocessing: str = ""
    written: str = "tar"
    version: str = ""
    medical: bool = False
    command: tuple[str, ...] = ()

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.count // self.size)

    @cached_property
    def key(self) -> str:
        """Identifies the bytes of all shards. It is computed once, as every manifest is compared with it."""
        return digest({name: value for name, value in asdict(self).items() if name != "command"})

    def indices(self, shard: int) -> Codes:
        """int64 [n], the indices of the images of a shard."""
        first = shard * self.size
        return self.start + np.arange(first, min(first + self.size, self.count), dtype=np.int64)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, content: bytes, where: str) -> ShardPlan:
        """The plan from the JSON of `as_dict`, read from the folder `where`; raises RunFolderError for any other content."""
        remedy = "restore it from a copy, or make the shards in another folder with -o"
        version = parsed(Versioned, content, f"{where}/{PLAN}", remedy).format
        if version != FORMAT:
            raise RunFolderError(
                f"{where}: shards of format {version}, but this version reads format {FORMAT}; use that version, or choose another "
                "folder with -o"
            )
        stored = parsed(_StoredPlan, content, f"{where}/{PLAN}", remedy)
        return cls(**{name: getattr(stored, name) for name in _StoredPlan.model_fields if name != "format"})

    def with_moments(self, features: str, identity: str, preprocessing: str) -> ShardPlan:
        """The plan of the same images, with moments of these features."""
        command = (*self.command, f"--moments={features}")
        return replace(self, features=features, identity=identity, preprocessing=preprocessing, command=command)

    def without_moments(self) -> ShardPlan:
        """The plan of the same images without moments; its command is not changed."""
        return replace(self, features="", identity="", preprocessing="")

    def differences(self, other: ShardPlan) -> list[str]:
        """Names of what differs in another plan, apart from the command."""
        return [
            field.name
            for field in fields(self)
            if field.name != "command" and getattr(self, field.name) != getattr(other, field.name)
        ]


@dataclass(frozen=True)
class Share:
    """Every n-th shard, beginning with shard number `first`: what one of n workers makes."""

    first: int
    of: int

    @classmethod
    def parsed(cls, text: str) -> Share:
        """The share 'i/n', i from 1 to n; raises SettingsError for anything else."""
        match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise SettingsError(f"--shard {text}: write it as i/n with i from 1 to n, as --shard 3/8")
        return cls(int(match[1]) - 1, int(match[2]))

    def numbers(self, shards: int) -> list[int]:
        """The shards of this share."""
        return list(range(self.first, shards, self.of))


def shard_name(shard: int) -> str:
    """The name of the files of a shard, without ending."""
    return f"shard-{shard:06d}"
