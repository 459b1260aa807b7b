"""What a set of shards holds, and how it is divided: equal plans give equal bytes, whoever makes which shard."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from augury.errors import RunFolderError, SettingsError
from augury.files import digest
from augury.images import Codes

FORMAT = 1
"""Version of the plan, the manifests and the names of files; another version is refused."""
PLAN = "plan.json"
SHARDS = 1024
"""Shards of a large set; more where an image or `MOST_IMAGES` limits their size."""
FEWEST_IMAGES, MOST_IMAGES = 64, 8192
"""Limits of the number of images in a shard."""
MOST_BYTES = 256 * 2**20
"""Most bytes of the pixels of a shard, which a worker holds in memory."""


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

    @property
    def key(self) -> str:
        """Identifies the bytes of all shards."""
        return digest({name: value for name, value in asdict(self).items() if name != "command"})

    def indices(self, shard: int) -> Codes:
        """int64 [n], the indices of the images of a shard."""
        first = shard * self.size
        return self.start + np.arange(first, min(first + self.size, self.count), dtype=np.int64)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> ShardPlan:
        """The plan from the output of `as_dict` in the folder `where`; raises RunFolderError for another format."""
        if values.get("format") != FORMAT:
            raise RunFolderError(
                f"{where}: shards of format {values.get('format')}, but this version reads format {FORMAT}; use that version, or "
                "choose another folder with -o"
            )
        known = {field.name for field in fields(cls)}
        plain = {name: value for name, value in values.items() if name in known}
        try:
            tuples = {name: tuple(plain[name]) for name in ("shape", "classes", "filters", "command")}
            return cls(**{**plain, **tuples, "cells": tuple(tuple(cell) for cell in plain["cells"])})
        except (KeyError, TypeError) as error:
            raise RunFolderError(
                f"{where}/{PLAN}: is damaged ({error}); remove it, and repeat the command that makes the shards"
            ) from error

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
