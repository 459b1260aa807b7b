"""Plans of shards from what a user asks for, and the work on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from augury import __version__
from augury.cards import is_medical
from augury.data import pictures
from augury.data.loading import refuse_unread
from augury.errors import SettingsError
from augury.exports.parquet import pyarrow
from augury.pipeline.file_translation import refuse_other_shape, refuse_translation
from augury.pipeline.tagged_files import licence_of
from augury.shards.engines import engine_of
from augury.shards.filtering import check_filters
from augury.shards.making import Job, write_plan
from augury.shards.manifests import Manifest
from augury.shards.moments import feature_extractor
from augury.shards.plan import ShardPlan, Share, beyond_limits, shard_size
from augury.shards.store import REMOTE, absolute, open_store
from augury.training import Synthesizer, synthesizer_folder

Written = Literal["tar", "parquet"]


@dataclass(frozen=True)
class ShardOptions:
    """Options that `generate_shards` and `translate_shards` share.

    Parameters
    ----------
    seed
        Seed of the noise, as for `Synthesizer.sample`.
    features
        Also store the moments of these features: a name as for `metrics.extractor`; "" for none.
    licence
        Licence of the images that the generator was trained on; None for that of its run.
    written
        "tar" (WebDataset) or "parquet".
    share
        Only every n-th shard, as "3/8"; None for all.
    engine
        "local" or "ray".
    workers
        Number of workers; None for as many as there is room for.
    device
        Device that draws.
    """

    seed: int = 0
    features: str = ""
    licence: str | None = None
    written: Written = "tar"
    share: Share | str | None = None
    engine: str = "local"
    workers: int | None = None
    device: str | torch.device = "cpu"


DEFAULTS = ShardOptions()


@dataclass(frozen=True)
class ShardWork:
    """What a call did: the plan, and the manifests of its shards, made now or finished before."""

    plan: ShardPlan
    manifests: tuple[Manifest, ...]


def generate_shards(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    count: int,
    options: ShardOptions = DEFAULTS,
    *,
    labels: Sequence[str] = (),
    attributes: Mapping[str, str] | None = None,
    start: int = 0,
    truncation: float = 1.0,
    filters: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ShardWork:
    """Draw many images into shards, whose size depends on `count` and the size of an image alone.

    Image i has the class labels[i mod number of labels] and the noise of (seed, i), so it is the image that `Synthesizer.sample`
    draws. The bytes of each shard are equal, whatever the engine, the workers and the order. Finished shards are skipped.

    Parameters
    ----------
    source
        Run folder, or the folder of a synthesizer.
    output
        Path or fsspec address of a folder; new, or of the same call.
    count
        Number of images to draw, of all classes together. Filters reject some of them.
    options
        Seed, format, share of the shards, engine, workers, device, features and licence.
    labels, attributes
        Classes (none: all), and one value of each attribute for a generator that is conditioned on attributes.
    start
        Index of the first image.
    truncation
        As for `Synthesizer.sample`.
    filters
        Filters that an image passes, each with its own limit or another. `near_duplicate` compares images of the same shard.
    on_progress
        Called with (shards done, shards in all) of this call.

    Returns
    -------
    The plan and the manifests of the shards.

    Raises
    ------
    The errors of `augury.errors`.
    """
    folder = synthesizer_folder(source)
    synthesizer = Synthesizer.load(folder, options.device)
    if synthesizer.translates:
        raise SettingsError(
            f"{source}: this run has a translator, which does not generate from noise; use augury translate"
        )
    if count < 1 or start < 0:
        raise SettingsError(f"--count {count} --start {start}: draw at least 1 image, from index 0 or a higher one")
    if fault := beyond_limits(count, shard_size(count, synthesizer.card.shape), start):
        raise SettingsError(f"--count {count} --start {start}: {fault}; make several sets")
    names = list(dict.fromkeys(labels or synthesizer.card.classes))
    cells = tuple(tuple(synthesizer.cell(name, attributes or {})) for name in names)
    synthesizer.sample(
        [list(cells[0])], seed=options.seed, indices=[start], truncation=truncation
    )  # raises before anything is written
    plan = replace(
        _plan("generate", source, synthesizer, count, options),
        start=start,
        cells=cells,
        attributes=dict(attributes) if attributes else None,
        truncation=truncation,
        filters=tuple(filters),
        basis=check_filters(filters, Path(source)),
    )
    plan = _with_features(plan, options)
    named = [*(f"--label={name}" for name in labels), *(f"--attribute={k}={v}" for k, v in (attributes or {}).items())]
    named += _licence(options)
    words = [f"--count={count}", *named, *_changed(plan), *(f"--filter={name}" for name in filters)]
    plan = replace(plan, command=("generate", os.fspath(source), *words))
    job = Job(plan, str(Path(source).resolve()), absolute(output), str(options.device))
    return _work(job, options, on_progress)


def translate_shards(
    source: str | os.PathLike[str],
    images: str | os.PathLike[str],
    changes: Mapping[str, str],
    output: str | os.PathLike[str],
    options: ShardOptions = DEFAULTS,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    **reading: Any,
) -> ShardWork:
    """Translate many images into shards, as `generate_shards` draws them.

    A translation has the class that it reaches, or that of its source where the source has one.

    Parameters
    ----------
    source
        Run folder with a translator, or the folder of one.
    images
        Path of the images; every worker reads it.
    changes
        Target values: {"young": "no", "label": "woman"}.
    output, options, on_progress
        As for `generate_shards`.
    **reading
        Options of `augury.data.pictures`.

    Returns
    -------
    The plan and the manifests of the shards.

    Raises
    ------
    The errors of `augury.errors`.
    """
    translator = Synthesizer.load(synthesizer_folder(source), options.device)
    refuse_translation(translator, changes, Path(images), None if REMOTE in os.fspath(output) else Path(output))
    refuse_unread([images], reading)
    data = pictures(images, **reading)
    refuse_other_shape(data, translator.card.shape, Path(images))
    classes = translator.card.classes if "label" in changes else tuple(name for name in data.classes if name)
    plan = replace(
        _plan("translate", source, translator, len(data), options),
        classes=classes,
        changes=dict(changes),
        sources=data.fingerprint,
    )
    plan = _with_features(plan, options)
    words = [*(f"--change={name}={value}" for name, value in changes.items()), f"--format={options.written}"]
    words += [*_licence(options), *_changed(replace(plan, written="tar")), *_typed(reading)]
    plan = replace(plan, command=("translate", os.fspath(source), os.fspath(images), *words))
    job = Job(
        plan, str(Path(source).resolve()), absolute(output), str(options.device), str(Path(images).resolve()), reading
    )
    return _work(job, options, on_progress)


def _plan(
    task: str, source: str | os.PathLike[str], synthesizer: Synthesizer, count: int, options: ShardOptions
) -> ShardPlan:
    if options.written == "parquet":
        pyarrow()
    elif options.written != "tar":
        raise SettingsError(f"--format {options.written}: shards are written as tar or parquet")
    card = synthesizer.card
    return ShardPlan(
        task,
        synthesizer.fingerprint,
        card.recipe,
        card.steps,
        options.licence or licence_of(source, synthesizer),
        card.shape,
        card.classes,
        count,
        shard_size(count, card.shape),
        seed=options.seed,
        written=options.written,
        version=__version__,
        medical=is_medical(card.data_reading, card.condition_names),
    )


def _with_features(plan: ShardPlan, options: ShardOptions) -> ShardPlan:
    if not options.features:
        return plan
    extractor = feature_extractor(options.features, plan.shape, torch.device(options.device))
    return replace(plan, features=options.features, identity=extractor.identity, preprocessing=extractor.preprocessing)


def _licence(options: ShardOptions) -> list[str]:
    """The option --licence as it is typed, where it was given."""
    return [f"--licence={options.licence}"] if options.licence else []


def _changed(plan: ShardPlan) -> list[str]:
    """Options that differ from their defaults, as they are typed."""
    options = {
        "start": (plan.start, 0),
        "seed": (plan.seed, 0),
        "truncation": (plan.truncation, 1.0),
        "moments": (plan.features, ""),
        "format": (plan.written, "tar"),
    }
    return [f"--{name}={value}" for name, (value, usual) in options.items() if value != usual]


def _typed(reading: Mapping[str, Any]) -> list[str]:
    """Options about reading images as they are typed."""
    flags = {"format": "read-as", "columns": "column"}
    words = []
    for name, value in reading.items():
        texts = [f"{key}={own}" for key, own in value.items()] if isinstance(value, Mapping) else [value]
        texts = [("x" if name == "size" else ",").join(map(str, t)) if isinstance(t, tuple) else t for t in texts]
        words += [f"--{flags.get(name, name).replace('_', '-')}={text}" for text in texts if text is not None]
    return words


def _work(job: Job, options: ShardOptions, on_progress: Callable[[int, int], None]) -> ShardWork:
    engine, workers, share = options.engine, options.workers, options.share
    make_all = engine_of(engine, workers)
    chosen = Share.parsed(share) if isinstance(share, str) else share or Share(0, 1)
    numbers = chosen.numbers(job.plan.shards)
    write_plan(open_store(job.output), job.plan)
    manifests = make_all(job, numbers, workers, on_progress) if numbers else []
    return ShardWork(job.plan, tuple(manifests))
