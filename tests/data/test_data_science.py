"""DICOM and FITS: how brightness becomes 8 bits, against values worked out beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury.data import inspect, load
from augury.data.decoding import dicom, fits
from augury.errors import DataError
from tests.helpers.image_files import GREY, dicom_file, fits_file, rows, written

RAMP = np.arange(0, 4096, 64, dtype=np.uint16).reshape(8, 8)


@pytest.fixture
def medical() -> None:
    pytest.importorskip("pydicom", reason="pydicom is not installed: DICOM is an extra")


@pytest.fixture
def astro() -> None:
    pytest.importorskip("astropy", reason="astropy is not installed: FITS is an extra")


def pair(root: Path, raw: bytes, suffix: str = "dcm", other: bytes | None = None) -> Path:
    return written(root, {f"a/x.{suffix}": raw, f"b/x.{suffix}": other or raw})


def window(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, written as the standard has it."""
    result = np.empty(values.shape)
    for pixel, x in np.ndenumerate(values.astype(float)):
        if x <= centre - 0.5 - (width - 1) / 2:
            result[pixel] = 0
        elif x > centre - 0.5 + (width - 1) / 2:
            result[pixel] = 255
        else:
            result[pixel] = ((x - (centre - 0.5)) / (width - 1) + 0.5) * 255
    return result


@pytest.mark.usefixtures("medical")
@pytest.mark.parametrize("inverted", [False, True])
def test_the_window_of_the_file(tmp_path: Path, inverted: bool) -> None:
    kind = "MONOCHROME1" if inverted else "MONOCHROME2"
    raw = dicom_file(RAMP, WindowCenter=[1000.0, 5], WindowWidth=[800.0, 5], PhotometricInterpretation=kind)
    data = load(pair(tmp_path, raw))
    expected = window(RAMP, 1000, 800)
    assert np.abs(data.images[0, 0] - (255 - expected if inverted else expected)).max() <= 0.5
    assert data.notes["tones"] == {"window of the file" + (", inverted (MONOCHROME1)" if inverted else ""): 2}


@pytest.mark.usefixtures("medical")
def test_rescaled_values_and_a_window_of_ones_own(tmp_path: Path) -> None:
    raw = dicom_file(RAMP, RescaleSlope=2.0, RescaleIntercept=-1024.0, WindowCenter=0, WindowWidth=9)
    data = load(pair(tmp_path, raw), window=(40, 400))
    assert np.abs(data.images[0, 0] - window(RAMP * 2.0 - 1024, 40, 400)).max() <= 0.5
    assert data.notes["tones"] == {"window 40, width 400": 2}


@pytest.mark.usefixtures("medical")
@pytest.mark.parametrize("facts", [{}, {"WindowCenter": 1, "WindowWidth": 0}])
def test_percentiles_where_no_window_is_reported(tmp_path: Path, facts: dict[str, Any]) -> None:
    data = load(pair(tmp_path, dicom_file(RAMP, **facts)))
    low, high = np.percentile(RAMP, (dicom.LOW, dicom.HIGH))
    assert np.abs(data.images[0, 0] - np.clip((RAMP - low) / (high - low), 0, 1) * 255).max() <= 0.5
    assert data.notes["tones"] == {"percentiles 0.5 to 99.5": 2}


@pytest.mark.usefixtures("medical")
def test_another_window_is_another_entry_of_the_cache(tmp_path: Path) -> None:
    path = pair(tmp_path / "in", dicom_file(RAMP, WindowCenter=1000, WindowWidth=800))
    assert (
        load(path).fingerprint != load(path, window="percentile").fingerprint != load(path, window=(9, 9)).fingerprint
    )


@pytest.mark.usefixtures("medical")
def test_patients_become_groups(tmp_path: Path) -> None:
    files = {f"{c}/{i}.dcm": dicom_file(RAMP + i, PatientID=f"P{i % 2}") for i in range(4) for c in "ab"}
    data = load(written(tmp_path / "in", files))
    assert data.groups is not None and data.groups.tolist() == [0, 1, 0, 1] * 2
    assert data.notes["grouped_by"] == "the PatientID of the DICOM files" and load(tmp_path / "in").groups is not None
    written(tmp_path / "in", {"a/9.dcm": dicom_file(RAMP)})
    data, census = inspect(tmp_path / "in")
    assert data.groups is None and data.notes["groups_left_out"].startswith("1 of 9 images name no patient")
    assert data.notes["groups_left_out"] in census.advice
    assert (
        "groups_left_out"
        not in load(written(tmp_path / "none", {"a/0.dcm": dicom_file(RAMP), "b/0.dcm": dicom_file(RAMP)})).notes
    )
    assert "P1" not in "".join(p.read_text() for p in (tmp_path / "cache").rglob("about.json"))


@pytest.mark.usefixtures("medical")
def test_dicom_from_a_table_beside_other_pictures(tmp_path: Path) -> None:
    written(tmp_path, {"scan": dicom_file(RAMP, WindowCenter=1000, WindowWidth=800), "x.txt": b""})
    Image.fromarray(GREY[0]).save(tmp_path / "x.png")
    rows(tmp_path / "set.csv", ["path", "label"], [["scan", "ill"], ["x.png", "well"]])
    data = load(tmp_path / "set.csv", size=8)
    assert data.classes == ("ill", "well") and data.notes["original_modes"] == {"DICOM MONOCHROME2": 1, "L": 1}
    assert data.groups is None


@pytest.mark.usefixtures("medical")
def test_colour_and_frames(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    raw = dicom_file(colour, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    multi_frame = dicom_file(
        np.concatenate([RAMP, RAMP * 0]), Rows=8, NumberOfFrames=2, WindowCenter=1000, WindowWidth=800
    )
    data = load(pair(tmp_path, raw, "dcm", multi_frame))
    assert np.array_equal(data.images[0], colour.transpose(2, 0, 1)) and data.notes["animated"] == 1
    assert np.abs(data.images[1, 0] - window(RAMP, 1000, 800)).max() <= 0.5


@pytest.mark.usefixtures("medical")
@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"Rows": 60000, "Columns": 60000}, "declares 3,600,000,000 pixels, but at most 64,000,000"),
        ({"Rows": 0}, "holds no picture"),
        ({"Rows": 9}, "cannot be decoded"),
        ({"PhotometricInterpretation": "ARGB"}, "photometric interpretation 'ARGB'"),
        ({"StudyDescription": "1.2.840.10008.1.2.1.99"}, "is a deflated DICOM file"),
    ],
)
def test_dicom_that_is_refused(tmp_path: Path, facts: dict[str, Any], message: str) -> None:
    path = pair(tmp_path, dicom_file(RAMP))
    written(path, {"a/bad.dcm": dicom_file(RAMP, **facts)})
    with pytest.raises(DataError, match=f"a/bad.dcm: .*{message}"):
        load(path)
    assert len(load(path, on_bad="skip")) == 2


@pytest.mark.usefixtures("astro")
@pytest.mark.parametrize("stretch", ["asinh", "linear"])
def test_fits_is_stretched_and_stands_upright(tmp_path: Path, stretch: str) -> None:
    values = np.random.default_rng(0).gamma(0.5, 100, (9, 8)).astype(np.float32)
    values[2, 3] = np.nan
    data = load(pair(tmp_path, fits_file(values), "fits"), stretch=stretch)  # type: ignore[arg-type]
    low, high = np.percentile(values[np.isfinite(values)], (fits.LOW, fits.HIGH))
    share = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1)
    expected = np.arcsinh(share / 0.1) / np.arcsinh(10) if stretch == "asinh" else share
    assert np.abs(data.images[0, 0] - expected[::-1] * 255).max() <= 0.51 and data.shape == (1, 9, 8)
    (tones,) = data.notes["tones"]
    assert tones.startswith(f"{stretch}, percentiles 0.5 to 99.5") and "first row at the bottom" in tones


@pytest.mark.usefixtures("astro")
def test_fits_of_three_planes_is_colour_and_a_constant_is_black(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 9, 8))
    data = load(pair(tmp_path, fits_file(values), "fits", fits_file(np.full((1, 9, 8), 7.0))))
    assert data.shape == (3, 9, 8) and data.images[0].std(axis=0).max() > 0 and not data.images[1].any()


@pytest.mark.usefixtures("astro")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((4, 4), np.nan), "has no pixel that is a number"),
        (np.zeros((5, 4, 4)), r"has a picture of shape \[5, 4, 4\]"),
        (np.zeros(9), "holds no picture"),
    ],
)
def test_fits_that_is_refused(tmp_path: Path, values: np.ndarray, message: str) -> None:
    path = pair(tmp_path, fits_file(GREY[0].astype(float)), "fits")
    written(path, {"a/bad.fits": fits_file(values)})
    with pytest.raises(DataError, match=f"a/bad.fits: .*{message}"):
        load(path)
    assert len(load(path, on_bad="skip")) == 2


@pytest.mark.usefixtures("astro")
def test_a_compressed_fits_that_declares_too_much_is_not_unpacked(tmp_path: Path) -> None:
    import io

    from astropy.io import fits as astropy_fits

    file = io.BytesIO()
    unit = astropy_fits.CompImageHDU(np.zeros((100, 100), np.int16), compression_type="RICE_1")
    astropy_fits.HDUList([astropy_fits.PrimaryHDU(), unit]).writeto(file)
    valid = file.getvalue()
    damaged = valid.replace(b"ZNAXIS1 =                  100", b"ZNAXIS1 =               900000")
    assert damaged != valid
    with pytest.raises(DataError, match="declares 90,000,000 pixels, but at most 64,000,000"):
        load(pair(tmp_path, valid, "fits", damaged))
    assert load(pair(tmp_path / "in", valid, "fits")).shape == (1, 64, 64)
