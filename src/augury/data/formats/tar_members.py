"""Walk the members of an untrusted tar: fast for regular files, and never reading a large header."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO

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


def walk(file: IO[bytes]) -> Iterator[tarfile.TarInfo]:
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
