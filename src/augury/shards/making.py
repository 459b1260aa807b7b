"""One shard: drawn or translated, filtered, written as a whole, and described by a manifest; equal bytes in any process."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from augury.cards import readable
from augury.data import pictures
from augury.errors import DataError, RunFolderError
from augury.exports.parquet import write_parquet
from augury.exports.rows import SYNTHETIC, Row
from augury.exports.tar import write_tar
from augury.generation import FilterContext
from augury.images import Codes, Images, LabelledImages
from augury.metrics import Extractor, moments
from augury.shards.filtering import filter_context, filtered
from augury.shards.manifests import Manifest, expected, finished, write_manifest
from augury.shards.moments import SUFFIX, feature_extractor, pack
from augury.shards.plan import PLAN, ShardPlan, shard_name
from augury.shards.store import ShardStore, open_store
from augury.training import Synthesizer, synthesizer_folder


@dataclass(frozen=True)
class Job:
    """What a worker needs to make any shard of a plan.

    Parameters
    ----------
    plan
        What the shards hold.
    source
        Run folder, or the folder of a synthesizer.
    output
        Path or fsspec address of the shards.
    device
        Device that draws.
    images
        Path of the images to translate.
    reading
        Options of `augury.data.pictures` for them.
    """

    plan: ShardPlan
    source: str
    output: str
    device: str = "cpu"
    images: str = ""
    reading: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Opened:
    """What is read once in a process and used for all of its shards."""

    synthesizer: Synthesizer
    context: FilterContext | None
    extractor: Extractor | None
    sources: LabelledImages | None


def make_shard(job: Job, shard: int) -> Manifest:
    """Make a shard unless it is finished.

    Parameters
    ----------
    job
        What to make, and where.
    shard
        Its number.

    Returns
    -------
    Its manifest.

    Raises
    ------
    The errors of `augury.errors`.
    """
    store = open_store(job.output)
    done = finished(store, job.plan, shard)
    if done is not None:
        return done
    with one_thread():
        return _made(job, store, shard, _open(job))


def write_plan(store: ShardStore, plan: ShardPlan) -> None:
    """Write the plan, or check that the folder holds the same one; raises RunFolderError where it holds something else."""
    content = store.read(PLAN)
    if content is None:
        others = sorted(store.sizes())
        if others and store.read(PLAN) is None:
            raise RunFolderError(
                f"{store.address}: holds other files, such as {others[0]}; choose another folder with -o, or remove it"
            )
        store_plan(store, plan)
        content = cast(bytes, store.read(PLAN))
    there = read_plan(store, content)
    if there.key != plan.key:
        raise RunFolderError(
            f"{store.address}: holds shards of another command, with another {' and '.join(there.differences(plan))}; choose another "
            "folder with -o, or give the same options"
        )


def store_plan(store: ShardStore, plan: ShardPlan) -> None:
    """Write the plan, in place of any other."""
    store.write(PLAN, json.dumps(plan.as_dict(), indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def read_plan(store: ShardStore, content: bytes | None = None) -> ShardPlan:
    """The plan of a folder of shards; raises RunFolderError where there is none."""
    content = store.read(PLAN) if content is None else content
    if content is None:
        raise RunFolderError(
            f"{store.address}: no {PLAN}, so this is no folder of shards; make one with: augury generate RUN --count N -o {store.address}"
        )
    return ShardPlan.from_json(content, store.address)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: the rounding of a sum must not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_LAST: dict[tuple[str, ...], _Opened] = {}
"""What the last job of this process has opened."""


def _open(job: Job) -> _Opened:
    key = (job.source, job.images, job.plan.key, job.device)
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = _read(job)
    return _LAST[key]


def _read(job: Job) -> _Opened:
    plan, device = job.plan, torch.device(job.device)
    synthesizer = Synthesizer.load(synthesizer_folder(job.source), device)
    if synthesizer.fingerprint != plan.synthesizer:
        raise RunFolderError(
            f"{job.source}: this generator is another one than that of the shards in {job.output} (fingerprint "
            f"{synthesizer.fingerprint}, not {plan.synthesizer}); choose another folder with -o"
        )
    sources = pictures(job.images, **job.reading) if job.images else None
    if sources is not None and sources.fingerprint != plan.sources:
        raise DataError(
            f"{job.images}: these are not the images that the shards in {job.output} were started with; give the same images, or "
            "choose another folder with -o"
        )
    return _Opened(
        synthesizer,
        filter_context(Path(job.source), device) if plan.filters else None,
        feature_extractor(plan.features, plan.shape, device) if plan.features else None,
        sources,
    )


def _made(job: Job, store: ShardStore, shard: int, opened: _Opened) -> Manifest:
    plan, indices = job.plan, job.plan.indices(shard)
    images, rows, rejected = (_translated if plan.task == "translate" else _drawn)(plan, indices, opened)
    name = shard_name(shard)
    files: dict[str, dict[str, Any]] = {}
    writers: dict[str, Callable[[Path], object]] = {}
    if opened.extractor is not None and rows:
        content = pack([moments(opened.extractor.extract(images))])
        writers[name + SUFFIX] = lambda path: path.write_bytes(content)
    if plan.written == "parquet":
        columns = list(
            _row(plan, images, 0, number=0, label=-1, attributes=_attributes(plan), source={}, scores={}).columns
        )
        writers[f"{name}.parquet"] = lambda path: write_parquet(path, rows, plan.classes, columns)
    else:
        writers[f"{name}.tar"] = lambda path: write_tar(path, rows)
    for file, write in writers.items():
        with store.writing(file) as temporary:
            write(temporary)
            files[file] = {"bytes": temporary.stat().st_size, "sha256": sha256_of(temporary)}
    manifest: Manifest = {
        **expected(plan, shard),
        "images": len(rows),
        "classes": dict(sorted(Counter(row.class_name for row in rows).items())),
        "rejected": dict(sorted(rejected.items())),
        "files": files,
    }
    write_manifest(store, manifest)  # last, so that a shard counts only where all of its files are complete
    return manifest


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _drawn(plan: ShardPlan, indices: Codes, opened: _Opened) -> tuple[Images, list[Row], Counter[str]]:
    """The accepted images drawn from noise, their rows, and the number that each filter rejected."""
    cells = np.array(plan.cells, np.int64)
    conditions = cells[indices % len(cells)]
    synthetic = opened.synthesizer.sample(conditions, seed=plan.seed, indices=indices, truncation=plan.truncation)
    scores: dict[str, npt.NDArray[np.float64]] = {}
    reasons = [""] * len(synthetic)
    if opened.context is not None:
        scores, reasons = filtered(synthetic, plan.filters, opened.context)
    accepted = np.flatnonzero([not reason for reason in reasons])
    images = synthetic.images[accepted]
    facts = {"seed": plan.seed, "truncation": plan.truncation, "synthesizer": plan.synthesizer}
    rows = [
        _row(
            plan,
            images,
            at,
            number=int(indices[i]),
            label=int(conditions[i, 0]),
            attributes=_attributes(plan),
            source={**facts, "index": int(indices[i])},
            scores={name: float(values[i]) for name, values in scores.items()},
        )
        for at, i in enumerate(accepted.tolist())
    ]
    return images, rows, Counter(reason for reason in reasons if reason)


def _translated(plan: ShardPlan, indices: Codes, opened: _Opened) -> tuple[Images, list[Row], Counter[str]]:
    """The translations of some source images, and their rows. Each has the class that it reaches, or that of its source."""
    sources, translator = cast(LabelledImages, opened.sources), opened.synthesizer
    changes = dict(plan.changes or {})
    pixels = np.ascontiguousarray(sources.images[indices])
    codes = translator.changes_of(changes, len(indices))
    images = translator.translate(pixels, codes, seed=plan.seed, indices=indices)
    reached = changes.get("label")
    own = [sources.classes[label] for label in sources.labels[indices].tolist()]
    number_of = {name: number for number, name in enumerate(plan.classes)}
    facts = {"changes": changes, "seed": plan.seed, "translator": plan.synthesizer}
    rows = [
        _row(
            plan,
            images,
            at,
            number=i,
            label=number_of.get(own[at] if reached is None else reached, -1),
            attributes=_attributes(plan),
            source={
                "source_name": sources.names[i] if sources.names else f"index {i}",
                "source_sha256": hashlib.sha256(pixels[at].tobytes()).hexdigest(),
                "index": i,
                **facts,
            },
            scores={},
        )
        for at, i in enumerate(indices.tolist())
    ]
    return images, rows, Counter()


def _attributes(plan: ShardPlan) -> dict[str, str]:
    """The attribute values that all images of a plan have."""
    return {name: value for name, value in (plan.attributes or plan.changes or {}).items() if name != "label"}


def _row(
    plan: ShardPlan,
    images: Images,
    at: int,
    *,
    number: int,
    label: int,
    attributes: dict[str, str],
    source: dict[str, Any],
    scores: dict[str, float | None],
) -> Row:
    return Row(
        name=f"{SYNTHETIC}-{number:09d}",
        label=label,
        class_name=readable(plan.classes[label]) if label >= 0 else "",
        origin=SYNTHETIC,
        source=source,
        scores=scores,
        attributes={name: readable(value) for name, value in attributes.items()},
        group=None,
        images=images,
        at=at,
        recipe=plan.recipe,
    )
