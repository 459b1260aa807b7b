"""Decode the encoded images of any format, in parallel and once, to LabelledImages of one size and colour."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import __version__ as pillow_version

from augury.data.decoding import cache as store
from augury.data.decoding import codecs, image_decoder, resize
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.label_encoding import attributes_of, coded, finished
from augury.data.decoding.load_options import Policy
from augury.data.decoding.resize import Size
from augury.data.decoding.worker_pool import DecoderPool
from augury.errors import DataError
from augury.files import digest
from augury.images import Codes, Images, LabelledImages

DECODING = 2
"""Raise when the same file would give other pixels, so that old cache entries are left alone."""
_CHUNK = 128


@dataclass(frozen=True)
class _Look:
    """A file's content hash, and either its header or why it cannot be used; `missing` is why there is no content."""

    sha: bytes
    header: image_decoder.Header | None
    reason: str = ""
    missing: str = ""


class _Damaged(Exception):
    """Some images could not be decoded: index -> reason."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(len(reasons))
        self.reasons = reasons


def read(place: Path, found: ImageIndex, policy: Policy, format: str) -> LabelledImages:
    """Decode what a format `found` at `place`; the decoded images are memory-mapped from the cache.

    C is 1 when all images are grey, else 3. Never more than a few originals are in memory at once.
    Raises DataError for unreadable images unless `policy.on_bad` is "skip" (the message names the first and counts the
    others), and when fewer than two classes are left.
    """
    if not found.names:
        raise DataError(f"{place}: holds no images (0 rows); give images of at least two classes")
    with image_decoder.quiet(), DecoderPool(len(found.names)) as crew:
        images, about = _cached(place, found, policy, crew)
    if about["skipped"] and policy.on_bad == "error":
        raise DataError(_complaint(place, about["skipped"]))
    kept = about["kept"]
    try:
        labels, classes = _labels(found, kept)
        data = LabelledImages(
            images=images,
            labels=labels,
            classes=classes,
            attributes=attributes_of({k: _column(found, v, kept) for k, v in found.attributes.items()}),
            groups=_groups(found, about, kept),
            split=None if found.split is None else np.array([found.split[i] for i in kept], np.int8),
            names=tuple(found.names[i] for i in kept),
            notes={
                "format": format,
                "source": str(place),
                "ignored": dict(sorted(found.ignored.items())),
                **found.notes,
                **_grouped_by(found),
                **_notes(about),
            },
        )
        try:
            return finished(data, about["digest"], least=2 if policy.labelled else 1)
        except DataError as error:
            if not about["skipped"]:
                raise
            raise DataError(f"{error}. Left out was {_complaint(place, about['skipped'])}") from error
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


def _labels(found: ImageIndex, kept: Sequence[int]) -> tuple[Codes, tuple[str, ...]]:
    """Codes int64 [N] and the names of the classes that have images left."""
    codes, names = coded(_column(found, found.labels, kept))
    if not found.classes:
        return codes, names
    present = set(names)
    order = [name for name in found.classes if name in present]
    place = {name: code for code, name in enumerate(order)}
    return np.array([place[name] for name in names], np.int64)[codes], tuple(order)


def _column(found: ImageIndex, values: Sequence[str], kept: Sequence[int]) -> Any:
    """The kept values as a str array, or int64 when all are whole numbers and may sort as such."""
    chosen = [values[i] for i in kept]
    if found.numeric:
        distinct = set(chosen)
        if all(len(v) < 19 and v.removeprefix("-").isdecimal() and str(int(v)) == v for v in distinct):
            return np.array([int(value) for value in chosen], np.int64)
    return np.array(chosen)


def _groups(found: ImageIndex, about: dict[str, Any], kept: Sequence[int]) -> Codes | None:
    if found.groups is not None:
        return coded(_column(found, found.groups, kept))[0]
    return None if about["groups"] is None else np.array(about["groups"], np.int64)


def _grouped_by(found: ImageIndex) -> dict[str, Any]:
    group = found.notes.get("columns", {}).get("group")
    return {} if group is None else {"grouped_by": group}


def _notes(about: dict[str, Any]) -> dict[str, Any]:
    notes = {key: about[key] for key in about if key not in ("kept", "digest", "memory", "groups", "tones")}
    if about["tones"]:
        notes["tones"] = about["tones"]
    if about["groups"] is not None:
        notes["grouped_by"] = "the PatientID of the DICOM files"
    if nameless := notes.pop("nameless", 0):
        notes["groups_left_out"] = (
            f"{nameless:,} of {len(about['kept']):,} images name no patient (PatientID), so that none is kept together with "
            "others of the same patient; name them all, or give a table with a column of patients"
        )
    if "memory" in about:
        notes["cache"] = f"images are held in memory, as they could not be kept: {about['memory']}"
    return notes


def _cached(place: Path, found: ImageIndex, policy: Policy, crew: DecoderPool) -> tuple[Images, dict[str, Any]]:
    """The images and facts from the cache, decoded first unless they are there.

    The cache is asked by content, which is read in any case. Headers take as long again and are not needed when it has an
    answer, so they are left for later where a set of this many images was kept from this place before.
    """
    asked: list[Any] = [policy.size, policy.fit, policy.window, policy.stretch]
    asked += [policy.native] if policy.native != resize.NATIVE_LIMIT else []
    mark = store.Mark(policy.cache, digest([str(place.absolute()), len(found.names), asked]))
    headers, bad, content = _looked(found, policy, crew, alone=mark.is_set())
    entry = store.place(policy.cache) / "images" / digest([DECODING, pillow_version, content, asked])
    known = store.recall(entry)
    if known is None:
        if mark.is_set():
            headers, bad, _ = _looked(found, policy, crew)
        known = _decoded(entry, place, found, headers, bad, policy, crew)
    mark.set()
    return known


def _looked(
    found: ImageIndex, policy: Policy, crew: DecoderPool, *, alone: bool = False
) -> tuple[dict[int, image_decoder.Header], dict[int, str], str]:
    """The header of each good image, the reason for each other, and a digest of all content and names, or that `alone`."""
    headers: dict[int, image_decoder.Header] = {}
    bad: dict[int, str] = {}
    same: dict[image_decoder.Header, image_decoder.Header] = {}
    total = hashlib.sha256()
    for i, seen in enumerate(crew.each(partial(_look, policy, alone), found, range(len(found.names)), light=alone)):
        total.update(repr((found.names[i], seen.sha, seen.missing)).encode("utf-8", "replace"))
        if seen.header is not None:
            headers[i] = same.setdefault(seen.header, seen.header)
        elif seen.reason:
            bad[i] = seen.reason
    return headers, bad, total.hexdigest()


def _decoded(
    entry: Path,
    place: Path,
    found: ImageIndex,
    looks: dict[int, image_decoder.Header],
    bad: dict[int, str],
    policy: Policy,
    crew: DecoderPool,
) -> tuple[Images, dict[str, Any]]:
    """Decode all good images into the cache; when some prove damaged, choose size and colour anew without them."""
    while True:
        headers = {i: header for i, header in looks.items() if i not in bad}
        skipped = [{"file": found.names[i], "reason": bad[i]} for i in sorted(bad)]
        if not headers:
            raise DataError(_complaint(place, skipped))
        counted = Counter(replace(header, group="") for header in headers.values())
        goal = resize.target((header.size for header in counted), policy.size, policy.native)
        grey = all(header.grey for header in counted)
        about = {
            "kept": list(headers),
            "skipped": skipped,
            **resize.notes(_count(counted, lambda header: f"{header.size[0]}x{header.size[1]}"), goal, policy.fit),
            "colour": "grey: every image is" if grey else "RGB: at least one image has colour",
            "original_modes": _count(counted, lambda header: header.mode),
            "animated": sum(n for header, n in counted.items() if header.animated),
            "turned_upright": sum(n for header, n in counted.items() if header.rotated),
            "tones": {tones: n for tones, n in _count(counted, lambda header: header.tones).items() if tones},
            "groups": _patients(headers),
            "nameless": _nameless(headers),
        }
        chosen = list(headers)

        def chunks(chosen: list[int] = chosen, goal: Size = goal, grey: bool = grey) -> Iterator[Images]:
            return _chunks(found, chosen, goal, policy, grey, crew)

        try:
            return store.keep(entry, (len(chosen), 1 if grey else 3, *goal), chunks, about)
        except _Damaged as error:
            bad |= error.reasons


def _look(policy: Policy, alone: bool, raw: bytes | str) -> _Look:
    """Of some encoded bytes (or the reason why there are none): hash and header, or the hash `alone`."""
    if isinstance(raw, str):
        return _Look(b"", None, raw, raw)
    sha = hashlib.sha256(raw).digest()
    if alone:
        return _Look(sha, None)
    try:
        return _Look(sha, codecs.header(raw, policy))
    except DataError as error:
        return _Look(sha, None, str(error))


def _picture(size: Size, policy: Policy, grey: bool, raw: bytes | str) -> Images | str:
    """The decoded image, or why there is none."""
    try:
        return raw if isinstance(raw, str) else codecs.pixels(raw, size, policy, grey)
    except DataError as error:
        return str(error)


def _count(counted: Counter[image_decoder.Header], fact: Callable[[image_decoder.Header], str]) -> dict[str, int]:
    """How many images have each value of `fact`, the most frequent first."""
    total: Counter[str] = Counter()
    for header, n in counted.items():
        total[fact(header)] += n
    return dict(total.most_common())


def _patients(headers: dict[int, image_decoder.Header]) -> list[int] | None:
    """A number for each image by the patient that its file names; None unless all name one."""
    if not all(header.group for header in headers.values()):
        return None
    return [int(code) for code in coded(np.array([header.group for header in headers.values()]))[0]]


def _nameless(headers: dict[int, image_decoder.Header]) -> int:
    """How many images name no patient where others do."""
    named = sum(bool(header.group) for header in headers.values())
    return len(headers) - named if named else 0


def _chunks(
    found: ImageIndex, chosen: list[int], size: Size, policy: Policy, grey: bool, crew: DecoderPool
) -> Iterator[Images]:
    """uint8 [n, C, H, W] pieces in order; once all are tried, raises _Damaged if any failed."""
    damaged: dict[int, str] = {}
    piece: list[Images] = []
    for i, result in zip(chosen, crew.each(partial(_picture, size, policy, grey), found, chosen), strict=True):
        if isinstance(result, str):
            damaged[i] = result
            piece.clear()
        elif not damaged:
            piece.append(result)
        if len(piece) == _CHUNK:
            yield np.stack(piece)
            piece.clear()
    if damaged:
        raise _Damaged(damaged)
    if piece:
        yield np.stack(piece)


def _complaint(place: Path, skipped: list[dict[str, str]]) -> str:
    first, others = skipped[0], skipped[1:]
    more = ""
    if others:
        more = f" ({len(others)} other file{'s are' if len(others) > 1 else ' is'} bad as well: "
        more += ", ".join(item["file"] for item in others[:5]) + (", …)" if len(others) > 5 else ")")
    where = place / first["file"] if place.is_dir() else f"{place}: {first['file']}"
    return (
        f"{where}: {first['reason']}{more}; every image must be whole and readable, with a label: mend or "
        "remove it, or pass on_bad='skip' (--on-bad skip) to leave it out"
    )
