"""Make the embedded sample from Debian's dataset-fashion-mnist: a long tail of train images, 250 test images a class.

    python scripts/build_sample.py

Class order[k] of a seeded permutation keeps round(500 * 50 ** (-k / 9)) train images, k = 0 to 9: 500 down to 10.
The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
TEST_IMAGES = 250
SOURCE = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
TARGET = Path(__file__).resolve().parents[1] / "src" / "augury" / "data" / "sample"
NOTICE = """fashion_long_tail.npz holds a selection of Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist),
taken from Debian's dataset-fashion-mnist by scripts/build_sample.py. Pixels are unchanged.

The MIT License (MIT)

Copyright (c) 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without
limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the
Software, and to permit persons to whom the Software is furnished to do so, subject to the following
conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions
of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED
TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL
THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
DEALINGS IN THE SOFTWARE.
"""


def idx(path: Path) -> npt.NDArray[np.uint8]:
    """A gzipped idx file of unsigned bytes -> uint8 array."""
    raw = gzip.decompress(path.read_bytes())
    dimensions = raw[3]
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def chosen(source: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the sample: images uint8 [N, 28, 28], labels uint8 [N], split, classes."""
    random = np.random.default_rng(0)
    order = random.permutation(10)
    keep = np.empty(10, int)
    keep[order] = [round(500 * 50 ** (-k / 9)) for k in range(10)]
    images, labels, split = [], [], []
    for prefix, part, counts in (("train", "train", keep), ("t10k", "test", np.full(10, TEST_IMAGES))):
        pixels = idx(source / f"{prefix}-images-idx3-ubyte.gz")
        truth = idx(source / f"{prefix}-labels-idx1-ubyte.gz")
        for label, count in enumerate(counts):
            members = np.sort(random.choice(np.flatnonzero(truth == label), int(count), replace=False))
            images.append(pixels[members])
            labels.append(truth[members])
            split += [part] * int(count)
    return {
        "images": np.concatenate(images),
        "labels": np.concatenate(labels),
        "split": np.array(split),
        "classes": np.array(CLASSES),
    }


def packed(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """A compressed .npz with fixed times and permissions."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            member.external_attr = 0o644 << 16
            archive.writestr(member, buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)
    return whole.getvalue()


def main() -> None:
    """Write the sample and its licence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=SOURCE, help="folder with the four idx files")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder to write to")
    options = parser.parse_args()
    options.target.mkdir(parents=True, exist_ok=True)
    content = packed(chosen(options.source))
    (options.target / "fashion_long_tail.npz").write_bytes(content)
    (options.target / "NOTICE").write_text(NOTICE, encoding="utf-8")
    print(f"{options.target / 'fashion_long_tail.npz'}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
