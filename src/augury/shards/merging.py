"""The check of all shards by their counts and hashes; then one manifest, one card, and the moments of all images."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from augury.cards import README, Background
from augury.errors import RunFolderError
from augury.exports.readme import readme
from augury.metrics import Moments
from augury.shards.making import read_plan
from augury.shards.manifests import Manifest, complete, manifest_of
from augury.shards.moments import SUFFIX, merged_groups, pack, unpack
from augury.shards.plan import FORMAT, ShardPlan, shard_name
from augury.shards.store import ShardStore, open_store

MANIFEST = "manifest.json"
MOMENTS = "moments.safetensors"
LISTED = 10
"""Most shards that an error names."""
_PIECE = 2**20
_BLOCK = 1024
"""Shards that wait for a thread at a time."""
WITHOUT_MOMENTS = "has no moments yet"
"""Of a shard that was made without the moments which the plan has since asked for."""


@dataclass(frozen=True)
class Merged:
    """A complete set of shards: its plan, and the contents of manifest.json."""

    plan: ShardPlan
    manifest: Manifest


def merge(output: str | os.PathLike[str], on_progress: Callable[[int, int], None] = lambda done, total: None) -> Merged:
    """Check every shard, and write the manifest, the card and the moments of all images.

    The bytes of the outputs do not depend on who made which shard. Where a file has another SHA-256, the manifest of its shard is
    removed, so that the command that makes the shards makes it again.

    Parameters
    ----------
    output
        Path or fsspec address of the shards.
    on_progress
        Called with (shards checked, shards in all).

    Returns
    -------
    The plan and the manifest.

    Raises
    ------
    RunFolderError
        For a folder that holds no shards, and when shards are missing, damaged or without the moments that were asked for; it
        names them, and the command that makes them.
    """
    store = open_store(os.fspath(output))
    plan = read_plan(store)
    manifests: list[Manifest] = []
    missing: list[int] = []
    damaged: dict[int, str] = {}
    without = 0
    for shard, manifest, reason in _checked(store, plan):
        if manifest is not None and not reason:
            manifests.append(manifest)
        elif reason == WITHOUT_MOMENTS:
            without += 1
        elif reason:
            damaged[shard] = reason
            if manifest is not None:  # any other is made again as it is, also where plan.json is at fault
                store.remove(f"{shard_name(shard)}.json")
        else:
            missing.append(shard)
        on_progress(shard + 1, plan.shards)
    if missing or damaged:
        raise RunFolderError(_remedy(store, plan, missing, damaged))
    if without:
        again = shlex.join(["augury", "merge", store.address, "--moments", plan.features])
        raise RunFolderError(
            f"{store.address}: {without:,} of {plan.shards:,} shards have no moments of {plan.features} yet; add them with: {again}"
        )
    store.tidy()
    if plan.features:
        groups = merged_groups(_moments(store, manifests))
        store.write(MOMENTS, pack(groups))
    together = _together(plan, manifests)
    store.write(README, _card(store, plan, together).encode())
    store.write(MANIFEST, json.dumps(together, indent=1, ensure_ascii=False).encode() + b"\n")
    return Merged(plan, together)


def _checked(store: ShardStore, plan: ShardPlan) -> Iterator[tuple[int, Manifest | None, str]]:
    """(shard, its manifest or None, what is wrong with it or "") in order; files are read in threads.

    The folder is listed once, as a listing takes time in proportion to the number of shards.
    """
    sizes, before = store.sizes(), plan.without_moments()

    def check(shard: int) -> tuple[int, Manifest | None, str]:
        content = store.read(f"{shard_name(shard)}.json")
        if content is None:
            return shard, None, ""
        try:
            manifest, reason = _manifest(content, plan, before, shard)
        except RunFolderError as error:
            return shard, None, str(error)
        if not complete(store, manifest, sizes):
            return shard, None, "its files are not those of its manifest"
        for name, facts in manifest["files"].items():
            if _sha256(store, name) != facts["sha256"]:
                return shard, manifest, f"{name} has another SHA-256 than its manifest states"
        return shard, manifest, reason

    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        for first in range(0, plan.shards, _BLOCK):
            yield from pool.map(check, range(first, min(first + _BLOCK, plan.shards)))


def _manifest(content: bytes, plan: ShardPlan, before: ShardPlan, shard: int) -> tuple[Manifest, str]:
    """The manifest of a shard, and `WITHOUT_MOMENTS` where it is one of the plan `before` the moments were asked for, else ""."""
    try:
        return manifest_of(content, plan, shard), ""
    except RunFolderError:
        with suppress(RunFolderError):
            if plan.features:
                return manifest_of(content, before, shard), WITHOUT_MOMENTS
        raise


def _sha256(store: ShardStore, name: str) -> str:
    """The SHA-256 of a file; "" where it has been removed meanwhile."""
    digest = hashlib.sha256()
    try:
        with store.open(name) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def _remedy(store: ShardStore, plan: ShardPlan, missing: list[int], damaged: dict[int, str]) -> str:
    """The message for an incomplete set: the shards, and the command that makes them again."""
    wrong = sorted([*missing, *damaged])
    texts = [f"{shard_name(s)} is damaged: {damaged[s]}" for s in sorted(damaged)[:LISTED]]
    texts += [f"missing: {', '.join(shard_name(s) for s in missing[:LISTED])}"] if missing else []
    hidden = max(0, len(missing) - LISTED) + max(0, len(damaged) - LISTED)
    texts += [f"and {hidden:,} more"] if hidden else []
    again = command(plan, store.address, wrong[0] if len(wrong) == 1 else None)
    return f"{store.address}: {len(wrong):,} of {plan.shards:,} shards are not complete ({'; '.join(texts)}); make them again with: {again}"


def command(plan: ShardPlan, output: str, shard: int | None = None) -> str:
    """The command that makes all shards that are not finished, or one of them."""
    only = [] if shard is None else ["--shard", f"{shard + 1}/{plan.shards}"]
    return shlex.join(["augury", *plan.command, *only, "-o", output])


def _moments(store: ShardStore, manifests: list[Manifest]) -> Iterator[tuple[int, Moments]]:
    for manifest in manifests:
        name = shard_name(manifest["shard"]) + SUFFIX
        content = store.read(name) if name in manifest["files"] else None
        if content is not None:  # a shard of which no image passed has none
            yield manifest["shard"], unpack(content, f"{store.address}/{name}")[0]


def _together(plan: ShardPlan, manifests: list[Manifest]) -> Manifest:
    classes, rejected = Counter[str](), Counter[str]()
    for manifest in manifests:
        classes.update(manifest["classes"])
        rejected.update(manifest["rejected"])
    return {
        "format": FORMAT,
        "plan": plan.key,
        "shards": plan.shards,
        "drawn": sum(manifest["drawn"] for manifest in manifests),
        "images": sum(manifest["images"] for manifest in manifests),
        "classes": dict(sorted(classes.items())),
        "rejected": dict(sorted(rejected.items())),
        "files": {name: facts for manifest in manifests for name, facts in manifest["files"].items()},
    }


def _card(store: ShardStore, plan: ShardPlan, together: dict[str, Any]) -> str:
    counts = {"synthetic": {name: together["classes"].get(name, 0) for name in together["classes"] or ("",)}}
    rejected = ", ".join(f"{number:,} by {name}" for name, number in together["rejected"].items())
    facts = [
        f"Generator: fingerprint {plan.synthesizer}, trained for {plan.steps:,} steps",
        f"{plan.shards:,} shards of up to {plan.size:,} images; {MANIFEST} has the SHA-256 of each file",
        f"Indices {plan.start:,} to {plan.start + plan.count - 1:,} of seed {plan.seed}",
        *([f"Rejected by filters within each shard: {rejected}"] if rejected else []),
        *(
            [f"Moments of the features {plan.identity} ({plan.preprocessing}) are in {MOMENTS}"]
            if plan.features
            else []
        ),
    ]
    name = store.address.rstrip("/").rpartition("/")[2]
    background = Background(plan.licence, "", plan.recipe, medical=plan.medical)
    return readme(name, counts, plan.shape, background, facts, kind=plan.written)


def stored_moments(output: str | os.PathLike[str]) -> tuple[ShardPlan, list[Moments]]:
    """The plan of merged shards, and the moments of their features in groups.

    Raises
    ------
    RunFolderError
        For a folder that holds no shards, shards that are not merged, and shards without moments.
    """
    store = open_store(os.fspath(output))
    plan = read_plan(store)
    if not plan.features:
        raise RunFolderError(
            f"{store.address}: these shards were made without moments; add them with: augury merge {store.address} --moments lite0"
        )
    content = store.read(MOMENTS)
    if content is None or store.read(MANIFEST) is None:
        raise RunFolderError(
            f"{store.address}: these shards are not merged yet; merge them with: augury merge {store.address}"
        )
    return plan, unpack(content, f"{store.address}/{MOMENTS}")
