"""Decode the encoded images of any format, once and in parallel, to LabelledImages of one size and colour."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import __version__ as pillow_version

from augury.data.decoding import cache, codecs, image_decoder, resize
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.label_encoding import attributes_of, coded, composed, finished, numbers_or_text
from augury.data.decoding.load_options import UNGROUPED, LoadOptions
from augury.data.decoding.pixel_range import Range
from augury.data.decoding.resize import Size
from augury.data.decoding.skipped import empty_complaint, similar, skipped_lines
from augury.data.decoding.worker_pool import DecoderPool, Work
from augury.errors import DataError, shortened
from augury.files import digest
from augury.images import Codes, Images, LabelledImages

DECODING = 5
"""Version of the decoding. Increase it when the same file would give other pixels or metadata, so that old cache entries are not
used."""

_COMMON = "chosen for the values of all images that declare none"


class _Look(NamedTuple):
    """A file's content hash, and either its header or the reason why it cannot be used.

    `missing` is the reason why there is no content.
    """

    sha: bytes
    header: image_decoder.Header | None
    reason: str = ""
    missing: str = ""


class _Damaged(Exception):
    """Some images could not be decoded: index -> reason."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(len(reasons))
        self.reasons = reasons


def read(path: Path, index: ImageIndex, options: LoadOptions, format: str) -> LabelledImages:
    """Decode the images of `index`, which a format found at `path`. The decoded images are memory-mapped from the
    cache.

    C is 1 when all images are grey, else 3. Only a few encoded images are in memory at once.

    Raises DataError for unreadable images unless `options.on_bad` is "skip"; the message names the first and counts the
    others. The same holds for class folders without images. Raises DataError when fewer than two classes remain.
    """
    if index.empty and options.labelled and options.on_bad == "error":
        raise DataError(f"{path}: {empty_complaint(index.empty, index.ignored)}")
    if not index.names:
        raise DataError(f"{path}: holds no images (0 rows); give images of at least two classes")
    with image_decoder.quiet(), DecoderPool(len(index.names)) as pool:
        entry = _cached(path, index, options, pool)
        metadata = entry.metadata
    if metadata["skipped"] and options.on_bad == "error":
        raise DataError(complaint(path, metadata["skipped"]))
    indices = metadata["kept"]
    try:
        labels, classes = _labels(index, indices)
        data = LabelledImages(
            images=entry.images,
            previews=entry.previews,
            labels=labels,
            classes=classes,
            attributes=attributes_of({k: _column(index, v, indices) for k, v in index.attributes.items()}),
            groups=None if options.group == UNGROUPED else _groups(index, metadata, indices),
            split=None if index.split is None else np.array([index.split[i] for i in indices], np.int8),
            names=tuple(index.names[i] for i in indices),
            notes={
                "format": format,
                "source": str(path),
                "ignored": dict(sorted((+index.ignored).items())),
                **_classes_without_images(index, indices),
                **_similar_groups(index),
                **index.notes,
                **_skipped_by_class(index, indices),
                **_grouped_by(index),
                **_notes(metadata, options),
            },
        )
        try:
            return finished(data, metadata["digest"], least=2 if options.labelled else 1)
        except DataError as error:
            text = (
                f"{error}. Left out was {complaint(path, metadata['skipped'])}" if metadata["skipped"] else str(error)
            )
            raise DataError(". ".join([text, *skipped_lines(data)])) from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _classes_without_images(index: ImageIndex, indices: Sequence[int]) -> dict[str, Any]:
    """Note class folders without images, and classes of which no image is readable."""
    present = {composed(index.labels[i]) for i in indices}
    lost = Counter(label for label in index.labels if label and composed(label) not in present)
    empty = {**index.empty, **{shortened(label): f"{count:,} unreadable" for label, count in sorted(lost.items())}}
    return {"empty_classes": empty} if empty else {}


def _similar_groups(index: ImageIndex) -> dict[str, Any]:
    alike = similar(list(dict.fromkeys(map(composed, index.groups or ()))))
    return {"similar_groups": alike} if alike else {}


def _labels(index: ImageIndex, indices: Sequence[int]) -> tuple[Codes, tuple[str, ...]]:
    """Return the codes int64 [N] and the names of the classes that still have images."""
    codes, names = coded(_column(index, index.labels, indices))
    if not index.classes:
        return codes, names
    present = set(names)
    order = [name for name in dict.fromkeys(map(composed, index.classes)) if name in present]
    position = {name: code for code, name in enumerate(order)}
    return np.array([position[name] for name in names], np.int64)[codes], tuple(order)


def _column(index: ImageIndex, values: Sequence[str], indices: Sequence[int]) -> Any:
    """Return the values at `indices` as a str array, or int64 when all are whole numbers and may be sorted as such."""
    chosen = [values[i] for i in indices]
    if index.numeric:
        return numbers_or_text(chosen)
    return np.array(chosen)


def _groups(index: ImageIndex, metadata: dict[str, Any], indices: Sequence[int]) -> Codes | None:
    if index.groups is not None:
        return coded(_column(index, index.groups, indices))[0]
    return None if metadata["groups"] is None else np.array(metadata["groups"], np.int64)


def _skipped_by_class(index: ImageIndex, indices: Sequence[int]) -> dict[str, Any]:
    """Note the number of skipped files and unreadable images of each class, where their class is known."""
    unread = sorted(set(range(len(index.labels))) - set(indices))
    total = Counter(str(label) for label in _column(index, index.labels, unread).tolist() if label != "")
    for label, count in index.notes.get("skipped_by_class", {}).items():
        total[composed(label)] += count
    return {"skipped_by_class": dict(total)} if total else {}


def _grouped_by(index: ImageIndex) -> dict[str, Any]:
    group = index.notes.get("columns", {}).get("group")
    return {} if group is None else {"grouped_by": group}


def _notes(metadata: dict[str, Any], options: LoadOptions) -> dict[str, Any]:
    hidden = ("kept", "digest", "previews_digest", "memory", "groups", "tones", "synthetic")
    notes = {key: metadata[key] for key in metadata if key not in hidden}
    notes |= {name: metadata[name] for name in ("tones", "synthetic") if metadata[name]}
    if any(mode.startswith("DICOM") for mode in metadata["original_modes"]):
        notes["medical"] = "DICOM"
    nameless = notes.pop("nameless", 0)
    if metadata["groups"] is not None and options.group != UNGROUPED:
        notes["grouped_by"] = "the PatientID of the DICOM files"
    elif nameless and options.group != UNGROUPED:
        notes["groups_left_out"] = (
            f"{nameless:,} of {len(metadata['kept']):,} images name no patient (PatientID), so that none is kept together with "
            "others of the same patient; name them all, or give a table with a column of patients"
        )
    if "memory" in metadata:
        notes["cache"] = f"images are held in memory, as they could not be kept: {metadata['memory']}"
    return notes


def _cached(path: Path, index: ImageIndex, options: LoadOptions, pool: DecoderPool) -> cache.Entry:
    """Return images, previews and metadata from the cache; decode the images first if they are missing.

    The cache key includes the content, so the content is always read. Reading headers takes as long again and is not
    needed when the cache has the images. It is postponed where as many images were cached from this path before.
    """
    decode_settings: list[Any] = [options.size, options.fit, options.window, options.stretch]
    decode_settings += [options.transparency]
    decode_settings += [options.native] if options.native != resize.NATIVE_LIMIT else []
    mark = cache.Mark(options.cache, digest([str(path.absolute()), len(index.names), decode_settings]))
    headers, bad, content = _looked(index, options, pool, alone=mark.is_set())
    entry = cache.cache_folder(options.cache) / "images" / digest([DECODING, pillow_version, content, decode_settings])
    cached = cache.recall(entry)
    if cached is None:
        if mark.is_set():
            headers, bad, _ = _looked(index, options, pool)
        cached = _decoded(entry, path, index, headers, bad, options, pool)
    mark.set()
    return cached


def _looked(
    index: ImageIndex, options: LoadOptions, pool: DecoderPool, *, alone: bool = False
) -> tuple[dict[int, image_decoder.Header], dict[int, str], str]:
    """Return the header of each usable image, the reason for each other, and a digest of all content and names.

    With `alone`, only the content hashes are computed.
    """
    headers: dict[int, image_decoder.Header] = {}
    bad: dict[int, str] = {}
    same: dict[image_decoder.Header, image_decoder.Header] = {}
    last: image_decoder.Header | None = None
    total = hashlib.sha256()
    light, heavy = (_hashed, None) if alone else (_light_look, partial(_look, options))
    for i, seen in enumerate(pool.map_images(light, heavy, index, range(len(index.names)))):
        total.update(repr((index.names[i], seen.sha, seen.missing)).encode("utf-8", "replace"))
        if seen.header is not None:
            if seen.header is not last:  # hashing it takes as long as reading it
                last = same.setdefault(seen.header, seen.header)
            headers[i] = last
        elif seen.reason:
            bad[i] = seen.reason
    return headers, bad, total.hexdigest()


def _decoded(
    entry: Path,
    path: Path,
    index: ImageIndex,
    looks: dict[int, image_decoder.Header],
    bad: dict[int, str],
    options: LoadOptions,
    pool: DecoderPool,
) -> cache.Entry:
    """Decode all usable images into the cache. When some prove damaged, choose size and colour again without them."""
    while True:
        headers = {i: header for i, header in looks.items() if i not in bad}
        limits = image_decoder.common_range(headers.values())
        decoding = replace(options, value_range=limits)
        skipped = [{"file": index.names[i], "reason": bad[i]} for i in sorted(bad)]
        if not headers:
            raise DataError(complaint(path, skipped))
        counted: Counter[image_decoder.Header] = Counter()
        for header, n in Counter(headers.values()).items():
            counted[_without_own(header, limits)] += n
        sizes = {header.size for header in counted}
        goal = resize.target(sizes, options.size, options.native)
        preview = resize.preview_size(sizes, goal)
        grey = all(header.grey for header in counted)
        metadata = {
            "kept": list(headers),
            "skipped": skipped,
            **resize.notes(_count(counted, lambda header: f"{header.size[0]}x{header.size[1]}"), goal, options.fit),
            "colour": "grey: every image is" if grey else "RGB: at least one image has colour",
            "original_modes": _count(counted, lambda header: header.mode),
            "animated": sum(n for header, n in counted.items() if header.animated),
            "turned_upright": sum(n for header, n in counted.items() if header.rotated),
            "tones": {tones: n for tones, n in _count(counted, lambda header: header.tones).items() if tones},
            "synthetic": {tool: n for tool, n in _count(counted, lambda header: header.synthetic).items() if tool},
            "groups": _patients(headers),
            "nameless": _nameless(headers),
        }
        chosen = list(headers)

        work = partial(_picture, goal, preview, decoding, grey)
        shape = (len(chosen), 1 if grey else 3, *goal)
        previews = (len(chosen), 1, *preview) if preview else None
        size = math.prod(shape[1:]) + (math.prod(preview) if preview else 0)
        chunks = partial(_chunks, index, chosen, work, size, pool)
        try:
            return cache.store(entry, shape, chunks, metadata, previews)
        except _Damaged as error:
            bad |= error.reasons


def _without_own(header: image_decoder.Header, limits: Range | None) -> image_decoder.Header:
    """Return a header without what only its own image has: the group, and values in place of the common range."""
    if header.values is None or limits is None:
        return replace(header, group="")
    tones = f"{limits[0]:g} to {limits[1]:g}, {_COMMON}"
    return replace(header, group="", values=None, tones="; ".join(filter(None, (tones, header.tones))))


def common_range_in(tones: Iterable[str]) -> Range | None:
    """Return the range that was chosen for images that declare none, from the note `tones` of images that were read.

    It is written with six digits.
    """
    matches = (re.match(rf"(\S+) to (\S+), {_COMMON}", text) for text in tones)
    return next(((float(match[1]), float(match[2])) for match in matches if match), None)


def _hashed(raw: bytes | str) -> _Look:
    """Return the hash of some encoded bytes, or the reason why there are none."""
    return _Look(b"", None, raw, raw) if isinstance(raw, str) else _Look(hashlib.sha256(raw).digest(), None)


def _light_look(raw: bytes | str) -> _Look | None:
    """Return what `_look` does, or None when Pillow or another package must read the header."""
    if isinstance(raw, str):
        return _hashed(raw)
    header = image_decoder.plain_header(raw)
    return None if header is None else _Look(hashlib.sha256(raw).digest(), header)


def _look(options: LoadOptions, raw: bytes | str) -> _Look:
    """Return the hash and header of some encoded bytes, or of the reason why there are none."""
    seen = _hashed(raw)
    if isinstance(raw, str):
        return seen
    try:
        return seen._replace(header=codecs.header(raw, options))
    except DataError as error:
        return seen._replace(reason=str(error))


def _picture(
    size: Size, preview: Size | None, options: LoadOptions, grey: bool, raw: bytes | str
) -> tuple[Images, Images | None] | str:
    """Return the decoded image and its preview, or the reason why there is no image."""
    if isinstance(raw, str):
        return raw
    if preview is None and (native := image_decoder.native_pixels(raw, size, grey)) is not None:
        return native, None
    try:
        image = codecs.picture(raw, options, grey)
    except DataError as error:
        return str(error)
    small = None if preview is None else image_decoder.preview(image, preview, options.fit)
    return image_decoder.planes(image, size, options.fit), small


def _count(counted: Counter[image_decoder.Header], fact: Callable[[image_decoder.Header], str]) -> dict[str, int]:
    """Count the images per value of `fact`, the most frequent first."""
    total: Counter[str] = Counter()
    for header, n in counted.items():
        total[fact(header)] += n
    return dict(total.most_common())


def _patients(headers: dict[int, image_decoder.Header]) -> list[int] | None:
    """Number the patients that the files name. Returns None unless every image names one."""
    if not all(header.group for header in headers.values()):
        return None
    return [int(code) for code in coded(np.array([header.group for header in headers.values()]))[0]]


def _nameless(headers: dict[int, image_decoder.Header]) -> int:
    """Count the images that name no patient where others do."""
    named = sum(bool(header.group) for header in headers.values())
    return len(headers) - named if named else 0


def _chunks(index: ImageIndex, chosen: list[int], work: Work, size: int, pool: DecoderPool) -> Iterator[cache.Chunk]:
    """Yield chunks of what `work` decodes, in order. Once all images are tried, raise _Damaged if any failed."""
    damaged: dict[int, str] = {}
    start = 0
    for batch in pool.decode_images(work, index, chosen, size):
        damaged |= {chosen[start + position]: reason for position, reason in batch.damaged.items()}
        count = 0 if batch.images is None else len(batch.images)
        start += count + len(batch.damaged)
        if batch.images is not None and not damaged:
            yield batch.images, batch.previews
    if damaged:
        raise _Damaged(damaged)


def complaint(path: Path, skipped: list[dict[str, str]]) -> str:
    """Describe the images that cannot be used, and name what to do."""
    first, others = skipped[0], skipped[1:]
    more = ""
    if others:
        more = f" ({len(others)} other file{'s are' if len(others) > 1 else ' is'} bad as well: "
        more += ", ".join(item["file"] for item in others[:5]) + (", …)" if len(others) > 5 else ")")
    where = path / first["file"] if path.is_dir() else f"{path}: {first['file']}"
    return (
        f"{where}: {first['reason']}{more}; every image must be whole and readable, with a label: mend or "
        "remove it, or pass on_bad='skip' (--on-bad skip) to leave it out"
    )
