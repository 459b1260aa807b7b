"""The manifest of a shard: the only sign that the shard is finished. It is checked against the plan before it counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from augury.errors import RunFolderError
from augury.shards.moments import SUFFIX
from augury.shards.plan import FORMAT, Natural, ShardPlan, shard_name
from augury.shards.store import ShardStore
from augury.validation import StrictSettings, parsed

Manifest = dict[str, Any]


class _StoredFile(StrictSettings):
    bytes: Natural
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _StoredManifest(StrictSettings):
    """The manifest of a shard."""

    format: int
    plan: str
    shard: Natural
    shards: Natural
    seed: int
    first_index: Natural
    last_index: Natural
    drawn: Natural
    images: Natural
    classes: dict[str, Natural]
    rejected: dict[str, Natural]
    files: dict[str, _StoredFile]

    @model_validator(mode="after")
    def _sums(self) -> Self:
        rejected, classified = sum(self.rejected.values()), sum(self.classes.values())
        if self.images + rejected != self.drawn:
            raise ValueError(f"{self.images} images and {rejected} rejected ones are not the {self.drawn} drawn ones")
        if classified != self.images:
            raise ValueError(f"the classes have {classified} images, not {self.images}")
        return self


def expected(plan: ShardPlan, shard: int) -> Manifest:
    """What the plan alone decides of the manifest of a shard."""
    indices = plan.indices(shard)
    return {
        "format": FORMAT,
        "plan": plan.key,
        "shard": shard,
        "shards": plan.shards,
        "seed": plan.seed,
        "first_index": int(indices[0]),
        "last_index": int(indices[-1]),
        "drawn": len(indices),
    }


def manifest_of(content: bytes, plan: ShardPlan, shard: int) -> Manifest:
    """Check the manifest of a shard.

    Parameters
    ----------
    content
        Its bytes.
    plan
        The plan of all shards.
    shard
        Its number.

    Returns
    -------
    The manifest as plain values.

    Raises
    ------
    RunFolderError
        For a manifest that is damaged, contradicts itself, or is of another plan or shard.
    """
    name = f"{shard_name(shard)}.json"
    manifest: Manifest = parsed(_StoredManifest, content, name, "make the shard again").model_dump()
    for key, value in expected(plan, shard).items():
        if manifest[key] != value:
            raise RunFolderError(f"{name} has {key} = {manifest[key]!r}, but this plan {value!r}")
    names = {f"{shard_name(shard)}.{plan.written}"}
    if plan.features and manifest["images"]:  # a shard of which no image passed has no moments
        names.add(shard_name(shard) + SUFFIX)
    if manifest["files"].keys() != names:
        listed = ", ".join(manifest["files"]) or "no file"
        raise RunFolderError(f"{name} lists {listed}, but this plan {', '.join(sorted(names))}")
    return manifest


def finished(store: ShardStore, plan: ShardPlan, shard: int) -> Manifest | None:
    """The manifest of a shard whose files are there in the size that it states; None for a shard that is to be made."""
    content = store.read(f"{shard_name(shard)}.json")
    if content is None:
        return None
    try:
        manifest = manifest_of(content, plan, shard)
    except RunFolderError:
        return None
    return manifest if complete(store, manifest) else None


def complete(store: ShardStore, manifest: Manifest, sizes: Mapping[str, int] | None = None) -> bool:
    """Whether the files of a manifest are there in the size that it states.

    `sizes` are those of `store.sizes()`, where many shards are checked. The store is asked for a file that differs from them or
    is not among them, as it may have been written since.
    """
    listed = sizes or {}
    return all(
        listed.get(name) == facts["bytes"] or store.size(name) == facts["bytes"]
        for name, facts in manifest["files"].items()
    )


def write_manifest(store: ShardStore, manifest: Manifest) -> None:
    """Write the manifest of a shard, after all of its files."""
    name = f"{shard_name(manifest['shard'])}.json"
    store.write(name, json.dumps(manifest, indent=1, ensure_ascii=False).encode() + b"\n")
