"""Tar files: packed class folders, or WebDataset shards (x.jpg beside x.cls or x.json).

Nothing is unpacked to disk under a name from the archive. Images are read at their position in it.
"""

from __future__ import annotations

import json
import re
import tarfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from augury.data.decoding import reading, safety
from augury.data.decoding.codecs import EXTENSIONS
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.label_encoding import SPLIT_NAMES
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.safety import word
from augury.data.decoding.temporary_store import TemporaryStore, open_temporary_store
from augury.data.formats import folder, table
from augury.data.formats.column_names import is_called
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
CLS = ".cls"
SIDECAR_SUFFIXES = (CLS, ".json")
"""Suffixes of the files that give the class of a WebDataset sample."""
_SMALL, _HEADER = 2**20, 2**16
"""Most bytes that a .cls or .json, and a header of an archive, may have."""
_ENTRIES = 100
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
    ignored: Counter[str] = field(default_factory=Counter)
    beside: dict[str, Row] = field(default_factory=dict)
    rows: dict[tuple[tuple[str, str | None], ...], Row] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    def add_sidecar(self, key: str, suffix: str, raw: bytes) -> None:
        """Store the fields of a sample's .cls or .json. Equal rows are stored once, because there may be a million."""
        row: Row = {}
        try:
            row = _sidecar_row(suffix, raw)
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
    shards = _shards(path, members.ignored) if path.is_dir() else [path]
    base = path if path.is_dir() else path.parent
    with ExitStack() as stack:
        for shard in shards:
            prefix = f"{shard.relative_to(base).as_posix()}/" if path.is_dir() else ""
            members.prefixes.append(prefix)
            _index(shard, prefix, _source(shard, options, stack), members)
        codes = safety.splits_named([shard.relative_to(base).parts for shard in shards]) if path.is_dir() else None
        if _is_webdataset(members, options):
            return reading.read(path, _samples(path, members, codes, options), options, "webdataset")
        if options.asks_for_columns or options.asks_for_group:
            raise SettingsError(f"{path}: class folders have no columns; leave columns, attributes and group out")
        return reading.read(path, _class_folders(path, members, codes, options.labelled), options, "tar")


def _shards(root: Path, ignored: Counter[str] | None = None) -> list[Path]:
    """List the tars directly in a folder or one folder below. Links that lead outside are skipped and counted."""
    try:
        entries = [
            *root.iterdir(),
            *(file for directory in root.iterdir() if directory.is_dir() for file in directory.iterdir()),
        ]
    except OSError:
        return []
    names = (file for file in entries if file.name.lower().endswith(SUFFIXES) and not file.name.startswith("."))
    files = sorted(file for file in names if file.is_file())
    inside = [file for file in files if file.resolve().is_relative_to(root.resolve())]
    if ignored is not None:
        ignored["links that lead outside"] += len(files) - len(inside)
    return inside


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
            for member in _walk(file):
                if not member.isdir():
                    _enter(member, prefix, number, members, seen, file)
    except DataError as error:
        members.refuse(shard.name, str(error))
    except OSError as error:
        members.refuse(shard.name, f"cannot be read ({error.strerror or error})")


def _enter(
    member: tarfile.TarInfo, prefix: str, number: int, members: _Members, seen: set[str], file: IO[bytes]
) -> None:
    name = folder.text(member.name)
    try:
        parts = safety.safe_parts(name)
    except DataError as error:
        members.refuse(prefix + name, str(error))
        return
    safe, suffix = "/".join(parts), Path(parts[-1]).suffix.lower()
    if any(part.startswith(".") for part in parts):
        members.ignored["hidden"] += 1
    elif not member.isreg() or member.issparse():
        members.refuse(prefix + safe, "is a link, a device or the like in the archive, which is not followed")
    elif suffix not in EXTENSIONS and suffix not in SIDECAR_SUFFIXES:
        members.ignored["not image files"] += 1
    elif safe in seen:
        members.refuse(prefix + safe, "occurs twice in the archive; keep one")
    elif suffix in EXTENSIONS:
        members.add(prefix + safe, number, member.offset_data, member.size)
    else:
        file.seek(member.offset_data)
        raw = file.read(min(member.size, _SMALL + 1))
        members.add_sidecar(_key(prefix + safe), suffix, raw)
    seen.add(safe)


def _slices(source: Path | TemporaryStore) -> Callable[[int, int], bytes]:
    if isinstance(source, TemporaryStore):
        return source.slice

    def part(start: int, length: int) -> bytes:
        with source.open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(length)

    return part


class _Careful:
    """A file for tarfile that refuses to read large pieces at once, as hostile headers demand."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.tell, self.seek = file.tell, file.seek

    def read(self, count: int) -> bytes:
        if not 0 <= count <= _HEADER:
            raise tarfile.ReadError(f"a header of {count:,} bytes")
        return self.file.read(count)


class _Plain(tarfile.TarInfo):
    """Parse the header of a regular file fast, because a data set may have a million. Others are left to tarfile."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Plain:
        """As in tarfile, but sets only name, size and type."""
        ustar = buf[156:157] == tarfile.REGTYPE and buf[257:262] == b"ustar" and not buf[345:346].strip(b"\0")
        digits = bytes(buf[124:136]).strip(b" \0")
        checksum_digits = bytes(buf[148:156]).strip(b" \0")
        if not (len(buf) == tarfile.BLOCKSIZE and ustar and digits.isdigit() and checksum_digits.isdigit()):
            return super().frombuf(buf, encoding, errors)
        try:
            size, checked = int(digits, 8), int(checksum_digits, 8)
        except ValueError:  # an 8 or a 9
            return super().frombuf(buf, encoding, errors)
        if checked != 256 + sum(buf) - sum(buf[148:156]):
            return super().frombuf(buf, encoding, errors)
        info = cls(bytes(buf[:100]).partition(b"\0")[0].decode(encoding, errors))
        info.size, info.type = size, tarfile.REGTYPE
        return info


def _walk(file: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an archive.

    Raises DataError (without its name) when it is damaged or continues after its end.
    """
    try:
        file.seek(0)
        archive = tarfile.TarFile(fileobj=_Careful(file), mode="r", errors="surrogateescape", tarinfo=_Plain)  # type: ignore[arg-type]
        before = -1
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # otherwise a million of them stay in memory
            if member.size < 0 or archive.offset <= before:
                raise tarfile.ReadError(f"a member that ends before it begins, at byte {before:,}")
            before = archive.offset
            yield member
        file.seek(archive.offset)
        rest = file.read(tarfile.BLOCKSIZE)
        if rest.strip(b"\0") or len(rest) not in (0, tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"what stands at byte {archive.offset:,} is no member")
    except (tarfile.TarError, OSError, EOFError, ValueError, LookupError, OverflowError, RecursionError) as error:
        raise DataError(
            f"is damaged, or not a tar file ({error or type(error).__name__}); fetch or make it again"
        ) from error


def _key(name: str) -> str:
    """Return the key of a WebDataset sample: the path up to the first dot of the file's name."""
    directory, slash, file = name.rpartition("/")
    return directory + slash + file.partition(".")[0]


def _is_webdataset(members: _Members, options: LoadOptions) -> bool:
    """Whether a file beside an image gives its class. A .json without a class does not count."""
    label_columns = {CLS, options.columns.get("label", CLS)}
    rows = (members.beside.get(_key(name), {}) for name in members.names)
    return bool(members.wrong) or any(is_called("label", name) or name in label_columns for row in rows for name in row)


def _class_folders(path: Path, members: _Members, codes: list[int] | None, labelled: bool) -> ImageIndex:
    """Index class folders as `folder.find` does. A folder that contains all of them is removed from the paths.

    `codes` are the splits named by the archives. They are used where folders inside name none.
    """
    good = [i for i in range(len(members.names)) if i not in members.bad]
    bare = [tuple(members.names[i].removeprefix(members.prefixes[members.source[i]]).split("/")) for i in good]
    while len({parts[0] for parts in bare}) == 1 and all(len(parts) > 2 for parts in bare):
        if bare[0][0].casefold() in SPLIT_NAMES:
            break
        bare = [parts[1:] for parts in bare]
    order, names, labels, split = (
        folder.arranged(path, bare, members.ignored, labelled) if bare or not members.bad else ([], [], [], None)
    )
    if split is None and codes is not None:
        split = [codes[members.source[good[k]]] for k in order]
    at = [good[k] for k in order] + list(members.bad)
    n = len(order)
    return ImageIndex(
        names=names + [members.names[i] for i in members.bad],
        labels=labels + [""] * len(members.bad),
        fetch=lambda i: members.fetch(at[i]),
        numeric=False,
        split=None if split is None else split + [0] * len(members.bad),
        bad={n + k: reason for k, reason in enumerate(members.bad.values())},
        ignored=+members.ignored,
    )


def _samples(path: Path, members: _Members, codes: list[int] | None, options: LoadOptions) -> ImageIndex:
    """Index WebDataset samples.

    The class is the label in x.json, or else x.cls. Other plain values of x.json are columns.
    """
    bad = dict(members.bad)
    first: dict[str, int] = {}
    for i, name in enumerate(members.names):
        key = _key(name)
        if i not in bad and first.setdefault(key, i) != i:
            bad[i] = f"is a second image of the sample '{key}'; keep one"
        elif i not in bad and key in members.wrong:
            bad[i] = members.wrong[key]
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
        ignored=+members.ignored,
        notes={"columns": chosen, **table.noted(fields)},
    )


def _order(labels: list[str], codes: list[str | None], bad: Mapping[int, str]) -> tuple[str, ...]:
    """Return the class names in the order of their numbers in .cls, if each name has its own number."""
    pairs = {(label, code) for i, (label, code) in enumerate(zip(labels, codes, strict=True)) if i not in bad}
    numbered = {label: int(code) for label, code in pairs if code and re.fullmatch(r"-?\d{1,9}", code)}
    unclear = len(numbered) < len(pairs) or len(set(numbered.values())) < len(pairs)
    return () if unclear else tuple(sorted(numbered, key=lambda label: numbered[label]))


def _sidecar_row(suffix: str, raw: bytes) -> Row:
    """Parse a .cls or .json into columns. Raises DataError (without its name) when it is damaged."""
    if len(raw) > _SMALL:
        raise DataError(f"has a {suffix} of more than {_SMALL:,} bytes beside it; keep only what tells the class there")
    if suffix == CLS:
        text = raw.decode("utf-8", "replace").strip()
        if not re.fullmatch(r"[^\r\n]{1,200}", text):
            raise DataError("has a .cls beside it that is not one short line; write the class there")
        return {CLS: word(text)}
    try:
        value = json.loads(raw, object_pairs_hook=safety.unique)
    except DataError as error:
        raise DataError(f"has a .json beside it that {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"has a damaged .json beside it ({error})") from error
    if not isinstance(value, dict) or len(value) > _ENTRIES:
        raise DataError(f"has a .json beside it that is not an object of at most {_ENTRIES} entries")
    return {name: word(item) for name, item in value.items() if name != CLS}
