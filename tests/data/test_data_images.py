"""Colour, depth, orientation, damage: each kind of file against a pixel value known beforehand."""

from __future__ import annotations

import struct
import tarfile
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.data import load
from augury.errors import DataError

Pets = Callable[..., Path]


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares its size, begins its pixels and stops."""
    content = b"\x89PNG\r\n\x1a\n"
    for body in (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(99))):
        content += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content


def with_one(root: Path, picture: Image.Image, name: str = "new.png", **options: object) -> np.ndarray:
    """Load the folder with one more cat; returns that cat's pixels [C, H, W]."""
    picture.save(root / "cats" / name, **options)
    data = load(root, size=(12, 10))
    return np.asarray(data.images[data.names.index(f"cats/{name}")])


def test_all_grey_is_one_channel_and_one_colour_makes_three(pets: Pets) -> None:
    root = pets()
    assert load(root).shape[0] == 1
    red = with_one(root, Image.new("RGB", (10, 12), (250, 20, 30)))
    assert red.shape == (3, 12, 10) and (red == np.array([250, 20, 30])[:, None, None]).all()
    data = load(root)
    assert data.notes["original_modes"] == {"L": 8, "RGB": 1}
    assert (data.images[0, 0] == data.images[0, 2]).all()


def test_sixteen_bits_are_scaled_not_clipped(pets: Pets) -> None:
    values = np.array([[0, 128, 257, 1000], [30000, 40000, 65407, 65535]], np.uint16).repeat(6, 0).repeat(3, 1)[:, :10]
    pixels = with_one(pets(), Image.fromarray(values))
    assert pixels.shape == (1, 12, 10)
    assert np.array_equal(pixels[0], np.floor(values / 257 + 0.5).astype(np.uint8))


def test_sixteen_bit_tiff_of_either_byte_order(pets: Pets) -> None:
    root = pets()
    values = np.full((12, 10), 25700, np.uint16)
    entries = [(256, 3, 1, 10), (257, 3, 1, 12), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
               (277, 3, 1, 1), (278, 3, 1, 12), (279, 4, 1, 240)]  # fmt: skip
    for order in "<>":
        raw = b"II*\0" if order == "<" else b"MM\0*"
        raw += struct.pack(order + "I", 8 + 240) + values.astype(order + "u2").tobytes() + struct.pack(order + "H", 9)
        for tag, kind, count, value in entries:
            raw += struct.pack(order + "HHI", tag, kind, count)
            raw += struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        name = "little.tif" if order == "<" else "big.tif"
        (root / "dogs" / name).write_bytes(raw + struct.pack(order + "I", 0))
    data = load(root)
    for name in ("little.tif", "big.tif"):
        assert (data.images[data.names.index(f"dogs/{name}")] == 100).all()


def test_palette(pets: Pets) -> None:
    picture = Image.new("P", (10, 12), 1)
    picture.putpalette([0, 0, 0, 10, 200, 90])
    assert with_one(pets(), picture)[:, 0, 0].tolist() == [10, 200, 90]


def test_grey_palette_stays_grey(pets: Pets) -> None:
    picture = Image.new("P", (10, 12), 1)
    picture.putpalette([0, 0, 0, 77, 77, 77])
    pixels = with_one(pets(), picture)
    assert pixels.shape[0] == 1 and (pixels == 77).all()


def test_transparent_palette_is_put_on_white(pets: Pets) -> None:
    picture = Image.new("P", (10, 12), 1)
    picture.putpalette([0, 0, 0, 10, 200, 90])
    assert with_one(pets(), picture, transparency=1)[:, 5, 5].tolist() == [255, 255, 255]


def test_cmyk(pets: Pets) -> None:
    cyan = with_one(pets(), Image.new("CMYK", (10, 12), (255, 0, 0, 0)), "new.tif")[:, 5, 5].astype(int)
    assert cyan[0] < 10 and cyan[1] > 245 and cyan[2] > 245


def test_rgba_is_put_on_white(pets: Pets) -> None:
    picture = Image.new("RGBA", (10, 12), (200, 100, 0, 51))
    expected = np.array([200, 100, 0]) * 0.2 + 255 * 0.8
    assert np.abs(with_one(pets(), picture)[:, 5, 5] - expected).max() <= 1


def test_grey_with_alpha_stays_grey_on_white(pets: Pets) -> None:
    pixels = with_one(pets(), Image.new("LA", (10, 12), (100, 51)))
    assert pixels.shape[0] == 1 and abs(int(pixels[0, 5, 5]) - 224) <= 1


def test_one_bit(pets: Pets) -> None:
    assert (with_one(pets(), Image.new("1", (10, 12), 1)) == 255).all()


@pytest.mark.parametrize("extension", ["gif", "webp", "png"])
def test_of_an_animation_the_first_frame_is_taken_and_counted(pets: Pets, extension: str) -> None:
    root = pets()
    frames = [Image.new("RGB", (10, 12), colour) for colour in ((0, 200, 0), (200, 0, 0), (0, 0, 200))]
    options = {"lossless": True} if extension == "webp" else {}
    pixels = with_one(root, frames[0], f"new.{extension}", save_all=True, append_images=frames[1:], **options)
    assert pixels[:, 5, 5].tolist() == [0, 200, 0]
    assert load(root).notes["animated"] == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    """A picture of four corners is stored turned; whichever the tag, it comes out the same (EXIF 2.3, tag 274)."""
    upright = np.zeros((40, 24), np.uint8)
    upright[:20, :12], upright[:20, 12:], upright[20:, :12], upright[20:, 12:] = 30, 90, 160, 230
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for name in ("x.jpg", "x.png"):
            Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / label / name, exif=exif, quality=95)
    data = load(tmp_path)
    assert data.shape == (1, 40, 24) and data.notes["turned_upright"] == (4 if orientation > 1 else 0)
    assert all(np.abs(image[0].astype(int) - upright).max() <= 6 for image in data.images)


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    """A JPEG called .png, a PNG called .jpg and the like are what their bytes say, as Pillow reads them; in class folders and a tar."""
    noise = Image.effect_noise((30, 20), 60)
    kinds = {"a/0.png": "JPEG", "a/1.jpg": "PNG", "b/0.gif": "WEBP", "b/1.tiff": "BMP"}
    for name, kind in kinds.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        noise.save(tmp_path / "in" / name, kind)
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        archive.add(tmp_path / "in", "")
    for path in (tmp_path / "in", tmp_path / "in.tar"):
        data = load(path)
        assert data.names == tuple(kinds) and data.shape == (3, 20, 30)
        for image, name in zip(data.images, data.names, strict=True):
            expected = np.asarray(Image.open(tmp_path / "in" / name, formats=[kinds[name]]).convert("RGB"))
            np.testing.assert_array_equal(image.transpose(1, 2, 0), expected)


def truncated(path: Path) -> None:
    Image.effect_noise((64, 64), 80).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:900])


BAD = {
    "cut.jpg": (truncated, "cannot be decoded .*truncated"),
    "text.png": (
        lambda path: path.write_text("hello there, no image"),
        "or not an image of a known kind .*hello there",
    ),
    "zero.png": (lambda path: path.write_bytes(b""), r"is empty \(0 bytes\)"),
    "huge.png": (
        lambda path: path.write_bytes(png_header(50_000, 50_000)),
        "declares 2,500,000,000 pixels, but at most 64,000,000",
    ),
    "large.png": (
        lambda path: path.write_bytes(png_header(10_000, 10_000)),
        "declares 100,000,000 pixels, but at most 64,000,000",
    ),
    "script.png": (
        lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "or not an image of a",
    ),
    "link.png": (lambda path: path.symlink_to(path.parent / "gone.png"), "cannot be opened"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_bad_file_is_named_with_rule_and_remedy_or_skipped(pets: Pets, name: str) -> None:
    root = pets()
    make, message = BAD[name]
    make(root / "cats" / name)
    pattern = r".*every image must be whole and readable.*on_bad='skip' \(--on-bad skip\) to leave it out"
    with pytest.raises(DataError, match=f"cats/{name}: .*{message}{pattern}"):
        load(root)
    data = load(root, on_bad="skip")
    assert data.counts.tolist() == [4, 4] and len(data.notes["skipped"]) == 1
    assert data.notes["skipped"][0]["file"] == f"cats/{name}" and set(data.notes["skipped"][0]) == {"file", "reason"}
    with pytest.raises(DataError, match="on_bad='skip'"):
        load(root)  # the kept entry does not hide the bad file


def test_all_bad_files_are_found_before_the_error(pets: Pets) -> None:
    root = pets()
    for name, (make, _) in BAD.items():
        make(root / "dogs" / name)
    with pytest.raises(
        DataError, match=rf"dogs/cut\.jpg: .*{len(BAD) - 1} other files are bad as well: dogs/huge\.png"
    ):
        load(root)
    assert [item["file"] for item in load(root, on_bad="skip").notes["skipped"]] == [
        f"dogs/{name}" for name in sorted(BAD)
    ]


def test_no_good_file_at_all(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "x.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 other file is bad as well"):
        load(tmp_path, on_bad="skip")


def test_a_skipped_file_decides_nothing(pets: Pets) -> None:
    """A damaged colour photograph of another size leaves a grey set of small images as it is."""
    root = pets()
    Image.new("RGB", (300, 200), (9, 99, 199)).save(root / "cats" / "big.jpg", quality=100)
    raw = (root / "cats" / "big.jpg").read_bytes()
    (root / "cats" / "big.jpg").write_bytes(raw[: len(raw) // 2])
    assert load(root, on_bad="skip").shape == (1, 12, 10)


def test_judging_bombs_leaves_pillow_and_warnings_as_they_were(pets: Pets) -> None:
    root = pets()
    (root / "cats" / "large.png").write_bytes(png_header(10_000, 10_000))
    filters, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(root, on_bad="skip")
    assert list(warnings.filters) == filters and limit == Image.MAX_IMAGE_PIXELS
