"""Tar files: packed class folders, or WebDataset shards (x.jpg beside x.cls or x.json).

Nothing is unpacked to disk under a name from the archive. Images are read at their position in it.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from array import array
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO

from augury.data.decoding import codecs, reading, safety
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.safety import word
from augury.data.decoding.skipped import HIDDEN, LABELS_ONLY, OUTSIDE, SYSTEM_FOLDERS, SkippedFiles
from augury.data.decoding.split_names import split_prefixes
from augury.data.decoding.temporary_store import TemporaryStore, open_temporary_store
from augury.data.formats import folder, table
from augury.data.formats.column_names import is_called
from augury.data.formats.layout import Layout, arranged, text
from augury.data.formats.tar_members import walk
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
CLS = ".cls"
SIDECAR_SUFFIXES = (CLS, ".json")
"""Suffixes of the files that give the class of a WebDataset sample."""
_SMALL = 2**20
"""Most bytes that a .cls or .json may have."""
_ENTRIES = 100
_TWICE = (
    "{}: the name of a sample ends at the first dot, here '{}'; keep one, or rename the files so that each sample has a name "
    "of its own without dots"
)
Row = dict[str, str | None]


@dataclass
class _Members:
    """The images of some archives in order: where their bytes are, and the fields of their .cls and .json files."""

    sources: list[Callable[[int, int], bytes]] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    source: array[int] = field(default_factory=lambda: array("l"))
    start: array[int] = field(default_factory=lambda: array("q"))
    length: array[int] = field(default_factory=lambda: array("q"))
    names: list[str] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)
    skipped: SkippedFiles = field(default_factory=SkippedFiles)
    beside: dict[str, Row] = field(default_factory=dict)
    rows: dict[tuple[tuple[str, str | None], ...], Row] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    twice: dict[str, str] = field(default_factory=dict)
    sidecars: dict[str, set[str]] = field(default_factory=lambda: {suffix: set() for suffix in SIDECAR_SUFFIXES})
    of_stylegan: str = ""

    def add_sidecar(self, name: str, suffix: str, raw: bytes) -> None:
        """Store the fields of a sample's .cls or .json. Equal rows are stored once, because there may be a million."""
        row: Row = {}
        key = _key(name)
        if name.rpartition("/")[2] == folder.STYLEGAN and folder.begins_labels(raw):
            self.of_stylegan = name
        if key in self.sidecars[suffix]:
            self.twice[key] = f"is of a sample with several {suffix} files, such as {name}"
        self.sidecars[suffix].add(key)
        try:
            row = _class_row(raw) if suffix == CLS else _sidecar_row(raw)
        except DataError as error:
            self.wrong[key] = str(error)
        row = {**self.beside.get(key, {}), **row}
        self.beside[key] = self.rows.setdefault(tuple(row.items()), row)

    def add(self, name: str, source: int, start: int, length: int) -> None:
        self.names.append(name)
        self.source.append(source)
        self.start.append(start)
        self.length.append(length)

    def refuse(self, name: str, reason: str) -> None:
        self.bad[len(self.names)] = reason
        self.add(name, 0, 0, 0)

    def fetch(self, i: int) -> bytes:
        safety.check_length(self.length[i])
        raw = self.sources[self.source[i]](self.start[i], self.length[i])
        if len(raw) != self.length[i]:
            raise DataError(f"is cut off: {len(raw):,} of {self.length[i]:,} bytes are there")
        return raw


def recognises(path: Path) -> bool:
    """Whether its name ends in .tar (.tar.gz, .tgz …), it begins like a tar, or it is a folder of such files."""
    if path.is_dir():
        return bool(_shards(path)) and not folder.holds_images(path)
    return path.is_file() and (path.name.lower().endswith(SUFFIXES) or safety.head(path)[257:262] == b"ustar")


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read one tar, or the shards of a folder; names such as train-000.tar or train/000.tar give the split.

    Unsafe names, links, devices and repeated names are treated like damaged images and never followed. Raises DataError
    when an archive is damaged or its layout unclear, or as `reading.read` does.
    """
    members = _Members()
    shards = _shards(path, options, members.skipped) if path.is_dir() else [path]
    base = path if path.is_dir() else path.parent
    with ExitStack() as stack:
        for shard in shards:
            prefix = f"{shard.relative_to(base).as_posix()}/" if path.is_dir() else ""
            members.prefixes.append(prefix)
            _index(shard, prefix, _source(shard, options, stack), members)
        codes = split_prefixes([shard.relative_to(base).parts for shard in shards]) if path.is_dir() else None
        if members.of_stylegan:
            raise DataError(
                f"{path}: holds {members.of_stylegan}, which has the labels (StyleGAN's format), so that the folders are no classes; "
                "unpack the archive and give the folder"
            )
        if _is_webdataset(members, options):
            return reading.read(path, _samples(path, members, codes, options), options, "webdataset")
        if options.asks_for_columns or options.asks_for_group:
            raise SettingsError(f"{path}: class folders have no columns; leave columns, attributes and group out")
        return reading.read(path, _class_folders(path, members, codes, options), options, "tar")


def _shards(root: Path, options: LoadOptions | None = None, skipped: SkippedFiles | None = None) -> list[Path]:
    """List the tars directly in a folder or one folder below. Links that lead outside, and other files, are counted."""
    try:
        entries = [
            *root.iterdir(),
            *(file for directory in root.iterdir() if directory.is_dir() for file in directory.iterdir()),
        ]
    except OSError:
        return []
    allowed = [os.path.realpath(each) for each in (root, options.follow_links if options else None) if each]
    shards = []
    for file in sorted(file for file in entries if file.is_file()):
        tar = file.name.lower().endswith(SUFFIXES) and not file.name.startswith(".")
        if tar and safety.is_within(os.path.realpath(file), allowed):
            shards.append(file)
        elif skipped is not None and file.name.startswith("."):
            skipped.add(HIDDEN)
        elif skipped is not None:
            skipped.add(OUTSIDE) if tar else skipped.add_file(file.name)
    return shards


def _source(shard: Path, options: LoadOptions, stack: ExitStack) -> Path | TemporaryStore:
    """Return the file itself, or a store of its unpacked content.

    Raises DataError when the file is damaged or unpacks beyond the limit.
    """
    if safety.head(shard)[:2] not in (b"\x1f\x8b", b"BZ", b"\xfd7"):
        return shard
    store = stack.enter_context(open_temporary_store(options.cache))
    for piece in safety.unpacked(shard):
        store.add(piece)
    return store.ready()


def _index(shard: Path, prefix: str, source: Path | TemporaryStore, members: _Members) -> None:
    """Add every image of one archive, and its .cls and .json, to `members`. Damage is added as a bad image."""
    number = len(members.sources)
    members.sources.append(_slices(source))
    seen: set[str] = set()
    try:
        with nullcontext(source.file) if isinstance(source, TemporaryStore) else source.open("rb") as file:
            for member in walk(file):
                _enter(member, prefix, number, members, seen, file)
    except DataError as error:
        members.refuse(shard.name, str(error))
    except OSError as error:
        members.refuse(shard.name, f"cannot be read ({error.strerror or error})")


def _enter(
    member: tarfile.TarInfo, prefix: str, number: int, members: _Members, seen: set[str], file: IO[bytes]
) -> None:
    name = text(member.name)
    try:
        parts = safety.safe_parts(name)
    except DataError as error:
        if not member.isdir():  # "./" is none of the names of a file
            members.refuse(prefix + name, str(error))
        return
    safe, suffix = "/".join(parts), os.path.splitext(parts[-1])[1].lower()  # noqa: PTH122 (a million of them)

    def head() -> bytes:
        file.seek(member.offset_data)
        return file.read(min(member.size, codecs.HEAD))

    if safe.startswith(".") or "/." in safe or not SYSTEM_FOLDERS.isdisjoint(parts):
        members.skipped.add(HIDDEN)
    elif member.isdir():
        members.skipped.enter(parts)
    elif not member.isreg() or member.issparse():
        members.refuse(prefix + safe, "is a link, a device or the like in the archive, which is not followed")
    elif safe in seen:
        members.refuse(prefix + safe, "occurs twice in the archive; keep one")
    elif suffix in SIDECAR_SUFFIXES:
        file.seek(member.offset_data)
        raw = file.read(min(member.size, _SMALL + 1))
        members.add_sidecar(prefix + safe, suffix, raw)
    elif codecs.is_image(parts[-1], head):
        members.skipped.enter(parts[:-1])
        members.add(prefix + safe, number, member.offset_data, member.size)
    else:
        members.skipped.add_file(parts[-1], parts[:-1])
    seen.add(safe)


def _slices(source: Path | TemporaryStore) -> Callable[[int, int], bytes]:
    """Return a function that reads bytes from a position. Several threads may call it at once."""
    if isinstance(source, TemporaryStore):
        return source.slice
    name, flags = str(source), os.O_RDONLY | getattr(os, "O_BINARY", 0)

    def part(start: int, length: int) -> bytes:
        handle = os.open(name, flags)  # a third of the time of Path.open
        try:
            os.lseek(handle, start, os.SEEK_SET)
            return os.read(handle, length)
        finally:
            os.close(handle)

    return part


def _key(name: str) -> str:
    """Return the key of a WebDataset sample: the path up to the first dot of the file's name."""
    directory, slash, file = name.rpartition("/")
    return directory + slash + file.partition(".")[0]


def _is_webdataset(members: _Members, options: LoadOptions) -> bool:
    """Whether a file beside an image gives its class. A .json without a class does not count."""
    label_columns = {CLS, options.columns.get("label", CLS)}
    rows = (members.beside.get(_key(name), {}) for name in members.names)
    return bool(members.wrong) or any(is_called("label", name) or name in label_columns for row in rows for name in row)


def _class_folders(path: Path, members: _Members, codes: list[int] | None, options: LoadOptions) -> ImageIndex:
    """Index class folders as `folder.find` does. A folder that contains all of them is removed from the names.

    `codes` are the splits named by the archives. They are used where folders inside name none.
    """
    good = [i for i in range(len(members.names)) if i not in members.bad]
    bare = [tuple(members.names[i].removeprefix(members.prefixes[members.source[i]]).split("/")) for i in good]
    for suffix, keys in members.sidecars.items():
        members.skipped.add(suffix, count=len(keys))
    layout = Layout([], [], [])
    if bare or not members.bad:
        layout = arranged(
            path, bare, members.skipped, lambda k: members.fetch(good[k]), options.labelled, options.class_folder
        )
    split = layout.split
    if split is None and codes is not None:
        split = [codes[members.source[good[k]]] for k in layout.order]
    at = [good[k] for k in layout.order] + list(members.bad)
    n = len(layout.order)
    return ImageIndex(
        names=[name.split("/", layout.outer)[-1] for name in layout.names] + [members.names[i] for i in members.bad],
        labels=layout.labels + [""] * len(members.bad),
        fetch=lambda i: members.fetch(at[i]),
        numeric=False,
        split=None if split is None else split + [0] * len(members.bad),
        bad={n + k: reason for k, reason in enumerate(members.bad.values())},
        ignored=members.skipped.counts,
        empty=layout.empty,
        notes=layout.notes,
    )


def _samples(path: Path, members: _Members, codes: list[int] | None, options: LoadOptions) -> ImageIndex:
    """Index WebDataset samples.

    The class is the label in x.json, or else x.cls. Other plain values of x.json are columns.
    """
    bad = dict(members.bad)
    first: dict[str, int] = {}
    twice = dict(members.twice)
    for i, name in enumerate(members.names):
        key = _key(name)
        if i not in bad and first.setdefault(key, i) != i:
            twice[key] = f"is of a sample with several images, {members.names[first[key]]} and {name}"
        elif i not in bad and key in members.wrong:
            bad[i] = members.wrong[key]
    for i, name in enumerate(members.names) if twice else ():
        if (key := _key(name)) in twice and i not in bad:
            bad[i] = _TWICE.format(twice[key], key)
    members.skipped.add(LABELS_ONLY, count=len(members.beside.keys() - first.keys()))
    rows = [members.beside.get(_key(name), {}) for name in members.names]
    try:
        header = list(dict.fromkeys(name for row in members.rows.values() for name in row))
        table.check_columns(len(header))
        columns = {name: [row.get(name, "") for row in rows] for name in header if name != CLS}
        chosen = table.roles(list(columns), options, needed=())
        chosen.pop("image", None)
        if "label" not in chosen:
            columns[CLS] = [row.get(CLS, "") for row in rows]
            chosen["label"] = CLS
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    fields = table.image_fields(columns, chosen, options, bad, len(rows))
    classes = _order(fields.labels, [row.get(CLS) for row in rows], fields.bad) if chosen["label"] != CLS else ()
    split = fields.split
    if split is None and codes is not None:
        split = [codes[source] for source in members.source]
    return ImageIndex(
        names=members.names,
        labels=fields.labels,
        fetch=members.fetch,
        classes=classes,
        split=split,
        groups=fields.groups,
        attributes=fields.attributes,
        bad=fields.bad,
        ignored=members.skipped.counts,
        notes={"columns": chosen, **table.noted(fields)},
    )


def _order(labels: list[str], codes: list[str | None], bad: Mapping[int, str]) -> tuple[str, ...]:
    """Return the class names in the order of their numbers in .cls, if each name has its own number."""
    pairs = {(label, code) for i, (label, code) in enumerate(zip(labels, codes, strict=True)) if i not in bad}
    numbered = {label: int(code) for label, code in pairs if code and re.fullmatch(r"-?\d{1,9}", code)}
    unclear = len(numbered) < len(pairs) or len(set(numbered.values())) < len(pairs)
    return () if unclear else tuple(sorted(numbered, key=lambda label: numbered[label]))


@lru_cache(4096)  # there are few classes
def _class_row(raw: bytes) -> Row:
    """Parse a .cls into a column. Raises DataError (without its name) when it is damaged."""
    _check_length(CLS, raw)
    text = raw.decode("utf-8", "replace").strip()
    if not re.fullmatch(r"[^\r\n]{1,200}", text):
        raise DataError("has a .cls beside it that is not one short line; write the class there")
    return {CLS: word(text)}


def _sidecar_row(raw: bytes) -> Row:
    """Parse a .json into columns. Raises DataError (without its name) when it is damaged."""
    _check_length(".json", raw)
    try:
        value = json.loads(raw, object_pairs_hook=safety.unique)
    except DataError as error:
        raise DataError(f"has a .json beside it that {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"has a damaged .json beside it ({error})") from error
    if not isinstance(value, dict) or len(value) > _ENTRIES:
        raise DataError(f"has a .json beside it that is not an object of at most {_ENTRIES} entries")
    return {name: word(item) for name, item in value.items() if name != CLS}


def _check_length(suffix: str, raw: bytes) -> None:
    if len(raw) > _SMALL:
        raise DataError(f"has a {suffix} of more than {_SMALL:,} bytes beside it; keep only what tells the class there")
