"""Black and white come from the file or from the values of all images, and a band is opacity only where the file says so."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.data import from_arrays, inspect, load
from augury.errors import DataError
from augury.images import LabelledImages
from tests.helpers.image_files import dicom_file, written
from tests.helpers.tiff_files import SHORT, SIGNED, TEXT, tiff

RANDOM = np.random.default_rng(4)


def folder(root: Path, encode: Callable[[np.ndarray], bytes], values: np.ndarray, name: str = "tif") -> LabelledImages:
    """Images [6, H, W, …] in two class folders, read again."""
    files = {f"{'ab'[i % 2]}/{i}.{name}": encode(image) for i, image in enumerate(values)}
    data = load(written(root, files))
    return data.take(np.argsort([int(file.split("/")[1].split(".")[0]) for file in data.names]))


def shares(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values.astype(np.float64) - float(low)) / (float(high) - float(low)), 0, 1) * 255


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_white_is_zero(tmp_path: Path, order: str, photometric: int, dtype: str) -> None:
    white = np.iinfo(dtype).max
    values = RANDOM.integers(0, white + 1, (6, 9, 7)).astype(dtype)
    data = folder(tmp_path, lambda x: tiff(x, photometric=photometric, order=order), values)
    expected = shares(white - values if photometric == 0 else values, 0, white)
    assert np.abs(data.images[:, 0] - expected).max() <= 0.5


WIDE = {
    "int16": (RANDOM.integers(-1000, 3000, (6, 9, 7)).astype(np.int16), None),
    "int8": (RANDOM.integers(-100, 90, (6, 9, 7)).astype(np.int8), None),
    "int32": (RANDOM.integers(-70_000, 90_000, (6, 9, 7)).astype(np.int32), None),
    "uint32": (RANDOM.integers(2**31, 2**32 - 1, (6, 9, 7), np.uint32), None),
    "float32": (RANDOM.normal(300, 50, (6, 9, 7)).astype(np.float32), None),
    "float64": (RANDOM.normal(300, 50, (6, 9, 7)), None),
    "float64 from 0 to 1": (RANDOM.uniform(0.02, 0.98, (6, 9, 7)), (0, 1)),
    "float32 from 0 to 1": (RANDOM.uniform(0.02, 0.98, (6, 9, 7)).astype(np.float32), (0, 1)),
    "uint32 of 8 bits": (RANDOM.integers(3, 250, (6, 9, 7)).astype(np.uint32), (0, 255)),
    "int16 of 4 bits": (
        np.concatenate([RANDOM.integers(0, 17, (5, 9, 7)), np.full((1, 9, 7), 16)]).astype(np.int16),
        (0, 16),
    ),
}


@pytest.mark.parametrize("kind", WIDE)
@pytest.mark.parametrize("photometric", [0, 1])
def test_wide_pixels_have_the_range_of_all_images(tmp_path: Path, kind: str, photometric: int) -> None:
    values, limits = WIDE[kind]
    values = values.copy()
    values[0, 0, 0] = values.min() if kind != "int16 of 4 bits" else 0
    low, high = limits or (values.min(), values.max())
    data = folder(tmp_path, lambda x: tiff(x, photometric=photometric), values)
    expected = shares(values, low, high)
    assert np.abs(data.images[:, 0] - (255 - expected if photometric == 0 else expected)).max() <= 0.51
    (note,) = data.notes["tones"]
    assert note.startswith(f"{low:g} to {high:g}") and ("WhiteIsZero" in note) is (photometric == 0)
    assert any("pixel values of 6 images" in line for line in inspect(tmp_path)[1].advice)


def test_a_declared_range_counts_and_no_data_is_black(tmp_path: Path) -> None:
    values = RANDOM.integers(-500, 1500, (6, 9, 7)).astype(np.int16)
    limits = {340: (SIGNED, [-1000]), 341: (SIGNED, [3000])}
    data = folder(tmp_path / "declared", lambda x: tiff(x, extra_tags=limits), values)
    assert np.abs(data.images[:, 0] - shares(values, -1000, 3000)).max() <= 0.5
    assert data.notes["tones"] == {"-1000 to 3000 as the file declares": 6}
    floats = RANDOM.uniform(100, 400, (6, 9, 7)).astype(np.float32)
    floats[:, 0], floats[:, 1] = -9999, np.nan
    data = folder(tmp_path / "gdal", lambda x: tiff(x, extra_tags={42113: (TEXT, b"-9999\0")}), floats)
    used = floats[:, 2:]
    assert (data.images[:, 0, :2] == 0).all()
    assert np.abs(data.images[:, 0, 2:] - shares(used, used.min(), used.max())).max() <= 0.51


def test_a_layout_that_is_not_decoded_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"is a TIFF of 1 band of signed pixels of 64 bits, which is not decoded; save it"
    ):
        folder(tmp_path, tiff, RANDOM.integers(0, 9, (6, 9, 7)))


@pytest.mark.parametrize("photometric", [0, 1])
def test_doubles_of_either_byte_order_are_read(tmp_path: Path, photometric: int) -> None:
    values = RANDOM.normal(300, 50, (6, 9, 7))
    orders = iter("<>" * 3)
    data = folder(tmp_path, lambda x: tiff(x, order=next(orders), photometric=photometric), values)
    expected = shares(values, values.min(), values.max())
    assert np.abs(data.images[:, 0] - (255 - expected if photometric == 0 else expected)).max() <= 0.51


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("extra", "opacity"), [(None, False), ([0], False), ([2], True)])
def test_a_fourth_band_is_opacity_where_the_file_says_so(tmp_path: Path, dtype: str, extra, opacity: bool) -> None:
    bands = RANDOM.integers(0, 256, (6, 9, 7, 4))
    unit = 1 if dtype == "uint8" else 257
    data = folder(tmp_path, lambda x: tiff(x, photometric=2, extra=extra), (bands * unit).astype(dtype))
    colours, alpha = bands[..., :3].transpose(0, 3, 1, 2), bands[:, None, :, :, 3] / 255
    expected = colours * alpha + 255 * (1 - alpha) if opacity else colours
    assert np.abs(data.images - expected).max() <= 1
    assert bool(data.notes.get("tones")) is not opacity  # a band that is left out is stated


def test_undeclared_opacity_on_request(tmp_path: Path) -> None:
    bands = RANDOM.integers(0, 256, (6, 9, 7, 4)).astype(np.uint8)
    folder(tmp_path / "data", lambda x: tiff(x, photometric=2), bands)
    flat = load(tmp_path / "data", transparency="black")
    first = flat.images[flat.names.index("a/0.tif")]
    assert np.abs(first - (bands[0, ..., :3] * (bands[0, ..., 3:] / 255)).transpose(2, 0, 1)).max() <= 1


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_images_of_one_colour_after_flattening_are_named(tmp_path: Path) -> None:
    """White drawings on a transparent ground, as icons are, and colours under full transparency."""
    arrays = np.full((6, 12, 12, 4), 255, np.uint8)
    arrays[:, :, :, 3] = RANDOM.choice([0, 255], (6, 12, 12))
    with pytest.raises(
        DataError, match=r"a/0\.png: becomes one colour \(RGB 255, 255, 255\) once .*\(--transparency black\)"
    ):
        folder(tmp_path / "drawn", png, arrays, "png")
    black = load(tmp_path / "drawn", transparency="black")
    assert np.array_equal(black.images[black.names.index("a/0.png"), 0], arrays[0, ..., 3])
    hidden = RANDOM.integers(0, 256, (6, 12, 12, 4)).astype(np.uint8)
    hidden[..., 3] = 0
    with pytest.raises(DataError, match=r"choose transparency='ignore' \(--transparency ignore\)"):
        folder(tmp_path / "hidden", png, hidden, "png")
    colours = load(tmp_path / "hidden", transparency="ignore")
    assert np.array_equal(colours.images[colours.names.index("a/0.png")], hidden[0, ..., :3].transpose(2, 0, 1))
    blank = np.zeros((6, 12, 12, 4), np.uint8)  # one colour before: nothing is lost
    assert (folder(tmp_path / "blank", png, blank, "png").images == 255).all()


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "padding",
    [{"PixelPaddingValue": -2000}, {"PixelPaddingValue": -2000 + 2**16}, {"PixelPaddingValue": -2500, "PixelPaddingRangeLimit": -1900}],
)  # fmt: skip
def test_padding_stays_out_of_percentiles(tmp_path: Path, kind: str, padding: dict[str, int]) -> None:
    """A round field of view, as CT has: half of the pixels lie outside and hold one value far below all others."""
    pytest.importorskip("pydicom")
    inside = RANDOM.integers(0, 400, (6, 16, 16))
    values = np.where(np.arange(16)[:, None] < 8, -2000, inside).astype(np.int16)
    tags = {"PixelRepresentation": 1, "PhotometricInterpretation": kind}

    def encode(x: np.ndarray) -> bytes:
        raw = dicom_file(x, **tags, **{k: v for k, v in padding.items() if v < 2**15})
        return raw if "PixelPaddingValue" not in padding or padding["PixelPaddingValue"] < 2**15 else unsigned(x)

    def unsigned(x: np.ndarray) -> bytes:
        import pydicom

        data = pydicom.dcmread(io.BytesIO(dicom_file(x, **tags)))
        data.add_new(0x00280120, "US", padding["PixelPaddingValue"])
        file = io.BytesIO()
        data.save_as(file)
        return file.getvalue()

    data = folder(tmp_path, encode, values, "dcm")
    field = data.images[:, 0, 8:].astype(np.float64)
    assert (data.images[:, 0, :8] == 0).all()
    low, high = np.percentile(values[0, 8:], (0.5, 99.5))
    expected = shares(values[0, 8:], low, high)
    assert np.abs(field[0] - (255 - expected if kind == "MONOCHROME1" else expected)).max() <= 0.51


def test_dark_arrays_are_reported_by_every_run(tmp_path: Path) -> None:
    """The case of binary arrays: 0 and 1 as bytes are read as they are, and inspect says that they are nearly black."""
    images = RANDOM.integers(0, 2, (40, 8, 8)).astype(np.uint8)
    for scale, dark in ((1, True), (255, False)):
        np.savez(tmp_path / "set.npz", images=images * scale, labels=np.arange(40) % 2)
        advice = inspect(tmp_path / "set.npz")[1].advice
        assert any("nearly black" in line and "multiply by 255" in line for line in advice) is dark
    assert (from_arrays(images.astype(bool), np.arange(40) % 2).images == images[:, None] * 255).all()


def test_exif_rotation_of_a_deep_tiff(tmp_path: Path) -> None:
    values = RANDOM.integers(-50, 800, (6, 9, 7)).astype(np.int16)
    data = folder(tmp_path, lambda x: tiff(x, photometric=0, extra_tags={274: (SHORT, [6])}), values)
    upright = np.rot90(values, -1, axes=(1, 2))
    assert np.abs(data.images[:, 0] - (255 - shares(upright, values.min(), values.max()))).max() <= 0.51
