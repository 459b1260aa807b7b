"""The first directory of a TIFF file, for layouts that Pillow does not open."""

from __future__ import annotations

import struct

from augury.errors import DataError

_BITS, _PHOTOMETRIC, _SAMPLES, _FORMAT = 258, 262, 277, 339
_NAMES = {1: "unsigned", 2: "signed", 3: "floating-point"}
_SHORT, _MOST_ENTRIES = 3, 4096


def is_tiff(raw: bytes) -> bool:
    """Whether these bytes begin a TIFF file (TIFF 6.0, section 2)."""
    return raw[:4] in (b"II*\0", b"MM\0*")


def black_is_zero(raw: bytes) -> bytes | None:
    """Return the file with white stored as the greatest value instead of 0, in name only; None for any other file.

    Pillow opens deep TIFF files of the one kind, but few of the other. The caller inverts the pixels.
    """
    entry = _entries(raw).get(_PHOTOMETRIC)
    if entry is None or entry[1] != 0:
        return None
    one = struct.pack(">H" if raw[:2] == b"MM" else "<H", 1)
    return raw[: entry[0]] + one + raw[entry[0] + 2 :]


def refuse(raw: bytes) -> None:
    """Raise DataError that names the layout of a TIFF file which cannot be opened."""
    entries = {tag: value for tag, (_, value) in _entries(raw).items()}
    if _BITS in entries:
        kind = _NAMES.get(entries.get(_FORMAT, 1), "unusual")
        bands = entries.get(_SAMPLES, 1)
        depth = f" of {entries[_BITS]} bits" if bands == 1 else ""  # of several bands, the entry is an offset
        raise DataError(
            f"is a TIFF of {bands} band{'' if bands == 1 else 's'} of {kind} pixels{depth}, which is not decoded; save it as grey or "
            "RGB of 8 or 16 bits, or as grey floating-point of 32 or 64 bits"
        )


def _entries(raw: bytes) -> dict[int, tuple[int, int]]:
    """Return the offset and the number of each SHORT or LONG in the first directory, by its tag."""
    order = ">" if raw[:2] == b"MM" else "<"
    entries: dict[int, tuple[int, int]] = {}
    try:
        (at,) = struct.unpack_from(f"{order}I", raw, 4)
        (count,) = struct.unpack_from(f"{order}H", raw, at)
        for number in range(min(count, _MOST_ENTRIES)):
            offset = at + 2 + 12 * number
            tag, kind = struct.unpack_from(f"{order}HH", raw, offset)
            (value,) = struct.unpack_from(f"{order}{'H' if kind == _SHORT else 'I'}", raw, offset + 8)
            entries[tag] = offset + 8, value
    except struct.error:  # damaged, which Pillow's own message says
        return entries
    return entries
