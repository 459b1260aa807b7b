"""Walk the members of an untrusted tar: fast for regular files, and never reading a large header."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from augury.errors import DataError

_HEADER = 2**16
"""Most bytes that a header of an archive may have."""


class _Careful:
    """A file for tarfile that refuses to read large pieces at once, as hostile headers demand."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.tell, self.seek = file.tell, file.seek

    def read(self, count: int) -> bytes:
        if not 0 <= count <= _HEADER:
            raise tarfile.ReadError(f"a header of {count:,} bytes")
        return self.file.read(count)


class Plain(tarfile.TarInfo):
    """A regular file whose header has no other facts than name and size. A data set may have a million."""

    def __init__(self, name: str, size: int, offset: int) -> None:
        self.name, self.size, self.offset = (
            name,
            size,
            offset,
        )  # the rest of TarInfo's attributes would cost as much again
        self.type, self.sparse, self.offset_data = tarfile.REGTYPE, None, offset + tarfile.BLOCKSIZE


def _plain(block: bytes, offset: int) -> Plain | None:
    """Parse the header of a regular file. None for any other header, which tarfile parses."""
    if block[156:157] != tarfile.REGTYPE or block[257:262] != b"ustar" or len(block) != tarfile.BLOCKSIZE:
        return None
    digits, checksum_digits = block[124:136].strip(b" \0"), block[148:156].strip(b" \0")
    if block[345] or not (digits.isdigit() and checksum_digits.isdigit()):
        return None
    try:
        size, checksum = int(digits, 8), int(checksum_digits, 8)
        name = block[:100].partition(b"\0")[0].decode("ascii")
    except ValueError:  # an 8 or a 9, or a name that is not ASCII
        return None
    if checksum != 256 + int(np.frombuffer(block, np.uint8).sum()) - sum(block[148:156]):
        return None
    return Plain(name, size, offset)


def walk(file: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an archive.

    Raises DataError (without its name) when it is damaged or continues after its end.
    """
    try:
        file.seek(0)
        archive = tarfile.TarFile(fileobj=_Careful(file), mode="r", errors="surrogateescape")  # type: ignore[arg-type]
        before = -1
        while (member := _next(archive, file)) is not None:
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


def _next(archive: tarfile.TarFile, file: IO[bytes]) -> tarfile.TarInfo | None:
    """Return the next member, or None at the end of the archive."""
    first = archive.firstmember  # type: ignore[attr-defined]  # read when the archive was opened
    if first is None and not archive.pax_headers:  # which say more about the members behind them
        file.seek(archive.offset)
        member = _plain(file.read(tarfile.BLOCKSIZE), archive.offset)
        if member is not None:
            archive.offset = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            return member
        file.seek(0)  # anywhere else, so that tarfile checks that the last member is complete
    found = archive.next()
    archive.members.clear()  # type: ignore[attr-defined]  # otherwise a million of them stay in memory
    return found
