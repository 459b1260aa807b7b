"""Moments for shards that were made without them, from the stored images. The files are as if they had been asked for first."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import torch

from augury.data.decoding import image_decoder
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.safety import check_length, unpacking_limit
from augury.data.formats.tar_members import walk
from augury.errors import DataError, RunFolderError, SettingsError
from augury.exports.parquet import GROUP, pyarrow
from augury.images import Images
from augury.metrics import Extractor, moments
from augury.shards.engines import engine_of
from augury.shards.making import Job, one_thread, read_plan, store_plan
from augury.shards.manifests import Manifest, finished, write_manifest
from augury.shards.moments import SUFFIX, feature_extractor, pack
from augury.shards.plan import ShardPlan, shard_name
from augury.shards.store import absolute, open_store


def add_moments(
    output: str | os.PathLike[str],
    features: str,
    *,
    engine: str = "local",
    workers: int | None = None,
    device: str | torch.device = "cpu",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ShardPlan:
    """Add the moments of features to shards that were made without them; call `merge` afterwards.

    The files have the bytes that `generate_shards` and `translate_shards` write with the same features. The same call continues
    after an interruption. Incomplete and damaged shards are left as they are: `merge` names them.

    Parameters
    ----------
    output
        Path or fsspec address of the shards.
    features
        Name of the features, as for `metrics.extractor`.
    engine, workers, device
        As in `ShardOptions`.
    on_progress
        Called with (shards done, shards in all).

    Returns
    -------
    The plan with the features.

    Raises
    ------
    SettingsError
        For unknown features, and shards that have moments of others.
    RunFolderError
        For a folder that holds no shards, and a shard that cannot be read.
    """
    work = engine_of(engine, workers)
    store = open_store(os.fspath(output))
    plan = read_plan(store)
    extractor = feature_extractor(features, plan.shape, torch.device(device))
    asked = (features, extractor.identity, extractor.preprocessing)
    stored = (plan.features, plan.identity, plan.preprocessing)
    if plan.features and asked != stored:
        raise SettingsError(
            f"{store.address}: has moments of {' / '.join(stored)}, but {' / '.join(asked)} was asked for; leave --moments out, or make "
            "the shards again in another folder with -o"
        )
    if not plan.features:
        plan = plan.with_moments(*asked)
        store_plan(store, plan)  # first, so that each manifest says by its plan whether its shard has moments
    work(Job(plan, "", absolute(output), str(device)), range(plan.shards), workers, on_progress, add_to_shard)
    return plan


def add_to_shard(job: Job, shard: int) -> Manifest:
    """Add the moments to a shard unless it has them.

    Parameters
    ----------
    job
        Its plan with the features, and where the shards are.
    shard
        Its number.

    Returns
    -------
    Its manifest; empty for a shard that is not complete.

    Raises
    ------
    RunFolderError
        For a shard that has the bytes of its manifest, but does not hold the images that it states.
    """
    store, plan = open_store(job.output), job.plan
    if (done := finished(store, plan, shard)) is not None:
        return done
    before = finished(store, plan.without_moments(), shard)
    if before is None:
        return {}
    ((file, facts),) = before["files"].items()
    content = store.read(file)
    if content is None or hashlib.sha256(content).hexdigest() != facts["sha256"]:
        return {}
    files = {file: facts}
    if before["images"]:
        images = _images(content, plan, before["images"], f"{store.address}/{file}")
        with one_thread():
            packed = pack([moments(_extractor(plan.features, plan.shape, job.device).extract(images))])
        name = shard_name(shard) + SUFFIX
        store.write(name, packed)
        files = {name: {"bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest()}, **files}
    manifest: Manifest = {**before, "plan": plan.key, "files": files}
    write_manifest(store, manifest)
    return manifest


@lru_cache(maxsize=1)
def _extractor(features: str, shape: tuple[int, int, int], device: str) -> Extractor:
    """The extractor, which a process opens once."""
    return feature_extractor(features, shape, torch.device(device))


def _images(content: bytes, plan: ShardPlan, number: int, where: str) -> Images:
    """uint8 [number, C, H, W], the images of a tar or parquet file in its order."""
    encoded = _in_parquet(content) if plan.written == "parquet" else _in_tar(content)
    options, count = LoadOptions(), 0
    try:
        images = np.empty((number, *plan.shape), np.uint8)
        for count, raw in enumerate(encoded, 1):
            picture = image_decoder.picture(raw, options, plan.shape[0] == 1)
            pixels = image_decoder.planes(picture, (picture.height, picture.width), options.fit)
            if count > number or pixels.shape != plan.shape:
                raise DataError(
                    f"image {count:,} of {number:,} is {list(pixels.shape)}, but must be {list(plan.shape)}"
                )
            images[count - 1] = pixels
        if count != number:
            raise DataError(f"holds {count:,} images, but its manifest states {number:,}")
    except Exception as error:  # the readers have exceptions of their own
        raise RunFolderError(
            f"{where}: moments cannot be computed from this shard ({error}); remove it with its manifest, and make it again"
        ) from error
    return images


def _in_tar(content: bytes) -> Iterator[bytes]:
    with io.BytesIO(content) as file:
        for member in walk(file):
            if member.name.endswith(".png"):
                check_length(member.size)
                yield content[member.offset_data : member.offset_data + member.size]


def _in_parquet(content: bytes) -> Iterator[bytes]:
    limit, total = unpacking_limit(len(content)), 0
    reader = pyarrow()[1].ParquetFile(io.BytesIO(content))
    for batch in reader.iter_batches(batch_size=GROUP, columns=["image"], use_threads=False):
        total += batch.nbytes
        if total > limit:
            raise DataError(f"unpacks to more than {limit:,} bytes, as files made to fill memory do")
        for row in batch.to_pylist():
            yield row["image"]["bytes"]
