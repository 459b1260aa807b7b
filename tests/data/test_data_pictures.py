"""Images to be judged need no labels: every format, without and with them."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.data import load, pictures
from augury.errors import DataError

N, SIDE = 6, 80
IMAGES = np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def plain_folder(root: Path) -> Path:
    for i, image in enumerate(IMAGES):
        (root / f"{i}.png").write_bytes(png(image))
    return root


def one_class(root: Path) -> Path:
    (root / "cats").mkdir()
    plain_folder(root / "cats")
    return root


def plain_tar(root: Path) -> Path:
    with tarfile.open(root / "all.tar", "w") as archive:
        for i, image in enumerate(IMAGES):
            raw = png(image)
            member = tarfile.TarInfo(f"{i}.png")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return root / "all.tar"


def table(root: Path) -> Path:
    plain_folder(root)
    with (root / "all.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path"], *([f"{i}.png"] for i in range(N))])
    return root / "all.csv"


def imagefolder(root: Path) -> Path:
    plain_folder(root)
    (root / "metadata.csv").write_text("file_name,when\n" + "".join(f"{i}.png,{i}\n" for i in range(N)))
    return root


def images_alone(root: Path) -> Path:
    np.savez(root / "all.npz", images=IMAGES)
    return root / "all.npz"


def one_array(root: Path) -> Path:
    np.savez(root / "all.npz", IMAGES)
    return root / "all.npz"


def parquet(root: Path) -> Path:
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = [{"bytes": png(image), "path": None} for image in IMAGES]
    pq.write_table(arrow.table({"image": rows}), root / "all.parquet")
    return root / "all.parquet"


@pytest.mark.parametrize(
    "write", [plain_folder, one_class, plain_tar, table, imagefolder, images_alone, one_array, parquet]
)
def test_without_labels_every_image_is_there_in_its_own_size(write, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    folder = write(tmp_path / "in")
    data = pictures(folder, cache=tmp_path / "cache")
    assert data.classes == (("cats",) if write is one_class else ("",))
    np.testing.assert_array_equal(data.images, IMAGES.transpose(0, 3, 1, 2))
    assert pictures(folder, size=16, cache=tmp_path / "cache").shape == (3, 16, 16)
    with pytest.raises(DataError):
        load(folder, cache=tmp_path / "cache")


def test_with_labels_they_are_kept(tmp_path: Path) -> None:
    (tmp_path / "in" / "dogs").mkdir(parents=True)
    one_class(tmp_path / "in")
    plain_folder(tmp_path / "in" / "dogs")
    data = pictures(tmp_path / "in", cache=tmp_path / "cache")
    assert data.classes == ("cats", "dogs") and data.counts.tolist() == [N, N]
    assert data.shape == (3, SIDE, SIDE)
    assert load(tmp_path / "in", cache=tmp_path / "cache").shape == (3, 64, 64)
