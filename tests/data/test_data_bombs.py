"""Files made to fill the memory: what a fresh process needs at most to refuse them, beside what opening them would take."""

from __future__ import annotations

import gzip
import io
import json
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from tests.helpers.image_files import LABELS, png, written

BOUND = 160
"""MiB by which the peak of a process may grow while it reads ten small images and the bomb."""
PEAK = """
def peak():
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
"""
"""In MiB; ru_maxrss will not do, as a process inherits that of the one that started it."""
READ = (
    PEAK
    + """
import json, sys
from augury.data import load
from augury.errors import DataError
load(sys.argv[1])  # what Pillow, the cache and the threads need in any case
before = peak()
message = ""
try:
    load(sys.argv[2])
except DataError as error:
    message = str(error)
print(json.dumps([message, peak() - before]))
"""
)
OPENED = (
    PEAK
    + """
import json, sys
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
before = peak()
Image.open(sys.argv[1]).load()
print(json.dumps(["", peak() - before]))
"""
)


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here to read a peak from")


def in_subprocess(script: str, *words: object) -> tuple[str, float]:
    """(the message, by how many MiB the peak of a fresh process grew)."""
    result = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    output, grown = json.loads(result.stdout)
    return output, grown


def white(side: int) -> bytes:
    """A PNG of side x side pixels of one bit, all black, in some kilobytes."""

    def piece(kind: bytes, raw: bytes) -> bytes:
        return struct.pack(">I", len(raw)) + kind + raw + struct.pack(">I", zlib.crc32(kind + raw))

    pixels = zlib.compress(bytes((1 + side // 8) * side))
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", header) + piece(b"IDAT", pixels) + piece(b"IEND", b"")


def valid_members(prefix: str = "") -> dict[str, bytes]:
    return {f"{prefix}{label}/{i}.png": png(i) for i, label in enumerate(LABELS)}


def picture(root: Path) -> Path:
    return written(root / "bomb", {**valid_members(), "cat/bomb.png": white(20_000)})


def packed_tar(root: Path) -> Path:
    with tarfile.open(root / "bomb.tar.gz", "w:gz", compresslevel=9) as archive:
        header = tarfile.TarInfo("cat/zeros.png")
        header.size = 120 * 2**20
        archive.addfile(header, io.BufferedReader(Zeros(header.size)))
    return root / "bomb.tar.gz"


def idx(root: Path) -> Path:
    declared = {"train-images-idx3-ubyte.gz": (3, (10**6, 28, 28)), "train-labels-idx1-ubyte.gz": (1, (10**6,))}
    for name, (dimensions, sides) in declared.items():
        raw = bytes([0, 0, 8, dimensions]) + struct.pack(f">{dimensions}I", *sides)
        written(root / "bomb", {name: gzip.compress(raw + bytes(1000))})
    return root / "bomb"


def arrays(root: Path) -> Path:
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (100_000, 300, 300)})
    with zipfile.ZipFile(root / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(10**6))
        labels = io.BytesIO()
        np.save(labels, np.zeros(100_000, np.uint8))
        archive.writestr("labels.npy", labels.getvalue())
    return root / "bomb.npz"


class Zeros(io.RawIOBase):
    """So many zeros, none of them kept."""

    def __init__(self, count: int) -> None:
        self.left = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self.left)
        buffer[:count] = bytes(count)
        self.left -= count
        return count


BOMBS = {
    "picture": (picture, "cat/bomb.png: declares 400,000,000 pixels"),
    "tar.gz": (packed_tar, "unpacks to more than"),
    "idx.gz": (idx, "declares 784,000,000 bytes"),
    "npz": (arrays, "its arrays declare 9,000,"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(name: str, tmp_path: Path) -> None:
    make, message = BOMBS[name]
    bomb = make(tmp_path)
    output, grown = in_subprocess(READ, written(tmp_path / "good", valid_members()), bomb)
    assert message in output and grown < BOUND


def test_the_picture_would_take_more_than_that_if_it_were_opened(tmp_path: Path) -> None:
    _, grown = in_subprocess(OPENED, picture(tmp_path) / "cat" / "bomb.png")
    assert grown > 2 * BOUND
