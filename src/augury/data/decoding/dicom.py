"""DICOM medical images: checked by the header, then windowed to 8 bits as the file or the user says."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from augury.data.decoding import image_decoder
from augury.data.decoding.image_decoder import Header
from augury.data.decoding.load_options import LoadOptions, Window
from augury.data.decoding.safety import external, extra
from augury.errors import DataError
from augury.images import Images
from augury.provenance import UNNAMED

EXTENSIONS = (".dcm", ".dicom")
LOW, HIGH = 0.5, 99.5
"""Percentiles that become black and white where no window is given."""
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_GREY = ("MONOCHROME1", "MONOCHROME2")


def recognises(raw: bytes) -> bool:
    """Whether these bytes begin a DICOM file (part 10: 128 free bytes, then DICM)."""
    return raw[128:132] == b"DICM"


def header(raw: bytes, options: LoadOptions) -> Header:
    """Check the file without decoding its pixels.

    Raises DataError (without the file's name), MissingExtraError without pydicom.
    """
    data = _parsed(raw, stop_before_pixels=True)
    with external("is a damaged DICOM file ({})"):
        rows, columns = (int(data.get(name) or 0) for name in ("Rows", "Columns"))
        kind = str(data.get("PhotometricInterpretation", ""))
        frames = int(data.get("NumberOfFrames") or 1)
        group = str(data.get("PatientID") or "")
        device = [str(data.get(f"SecondaryCaptureDevice{name}") or "") for name in ("Manufacturer", "SoftwareVersions")]
        synthetic = str(data.get("SyntheticData") or "") == "YES"
    if rows < 1 or columns < 1:
        raise DataError("holds no picture (no Rows and Columns); leave reports and the like out")
    image_decoder.check_pixels(rows * columns)
    if kind not in _GREY + _COLOUR:
        raise DataError(f"has the photometric interpretation '{kind[:40]}'; save it as MONOCHROME2 or RGB")
    return Header(
        size=(rows, columns),
        mode=f"DICOM {kind}",
        grey=kind in _GREY,
        animated=frames > 1,
        rotated=False,
        group=group,
        tones="as given" if kind in _COLOUR else _tones(data, options.window, kind),
        synthetic=(" ".join(filter(None, device)) or UNNAMED) if synthetic else "",
    )


def picture(raw: bytes, options: LoadOptions, grey: bool) -> Image.Image:
    """Decode a DICOM file to L (`grey`) or RGB in its own size; of several frames the first is used.

    Values are rescaled (slope, intercept), windowed and, for MONOCHROME1, inverted, in that order (DICOM PS3.3 C.11).
    Raises DataError (without the file's name) when the file is damaged or its compression is not supported.
    """
    data = _parsed(raw)
    tools = extra("pydicom.pixels", "reading DICOM", "medical")
    with external("cannot be decoded ({}); if it is compressed, save it uncompressed"), np.errstate(all="ignore"):
        array = tools.pixel_array(data, index=0)
        if data.PhotometricInterpretation == "PALETTE COLOR":
            array = tools.apply_color_lut(array, data)
        shown = array if array.ndim == 3 else _windowed(tools, array, data, options.window)
        if shown.dtype != np.uint8:
            shown = np.rint(shown / 257).astype(np.uint8)
        return Image.fromarray(shown).convert("L" if grey else "RGB")


def _parsed(raw: bytes, stop_before_pixels: bool = False) -> Any:
    if _DEFLATED in raw:
        raise DataError("is a deflated DICOM file, whose true size is hidden; save it uncompressed")
    pydicom = extra("pydicom", "reading DICOM", "medical")
    with external("is a damaged DICOM file ({})"):
        return pydicom.dcmread(io.BytesIO(raw), stop_before_pixels=stop_before_pixels)


def _file_window(data: Any) -> tuple[float, float] | None:
    """Return the first (centre, width) that the file gives, or None when it gives no usable one."""
    try:
        pair = [data.get(name) for name in ("WindowCenter", "WindowWidth")]
        centre, width = (float(v if isinstance(v, str | int | float) else v[0]) for v in pair)
    except Exception:  # absent or damaged: percentiles are used
        return None
    return (centre, width) if math.isfinite(centre) and math.isfinite(width) and width >= 1 else None


def _tones(data: Any, window: Window, kind: str) -> str:
    inverted = ", inverted (MONOCHROME1)" if kind == "MONOCHROME1" else ""
    if window == "file" and _file_window(data) is not None:
        return f"window of the file{inverted}"
    if isinstance(window, tuple):
        return f"window {window[0]:g}, width {window[1]:g}{inverted}"
    return f"percentiles {LOW:g} to {HIGH:g}{inverted}"


def _windowed(tools: Any, array: npt.NDArray[Any], data: Any, window: Window) -> Images:
    """Stored values [H, W] -> uint8, by the linear window of PS3.3 C.11.2.1.2.1 or between percentiles.

    Padding is black whatever the window, and no percentile counts it.
    """
    padding = _padding(array, data)
    values = np.asarray(tools.apply_modality_lut(array, data), np.float64)
    if not (np.abs(values) < 1e30).all():
        raise DataError("has values that are no numbers, or beyond all measure; mend its slope and intercept")
    chosen_window = window if isinstance(window, tuple) else _file_window(data) if window == "file" else None
    if chosen_window is not None:
        centre, width = chosen_window
        share = (values - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5
    else:
        low, high = np.percentile(values if padding.all() else values[~padding], (LOW, HIGH))
        share = (values - low) / max(high - low, 1e-9)
    grey = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    shown = 255 - grey if data.PhotometricInterpretation == "MONOCHROME1" else grey
    return np.where(padding, np.uint8(0), shown)


def _padding(array: npt.NDArray[Any], data: Any) -> npt.NDArray[np.bool_]:
    """Return which stored values [H, W] lie outside the picture, by PixelPaddingValue and its limit (PS3.3 C.7.5.1.1.2)."""
    bits = int(data.get("BitsAllocated") or 16)
    stored: list[int] = []
    for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = data.get(name)
        try:
            number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)
        except (TypeError, ValueError):  # absent or damaged: nothing is padding
            continue
        # files of signed pixels often write the value as an unsigned one, and the other way round
        top = 2 ** (bits - 1) if array.dtype.kind == "i" else 2**bits
        stored.append(number - 2**bits if number >= top else number + 2**bits if number < top - 2**bits else number)
    if not stored or data.get("PixelPaddingValue") is None:
        return np.zeros(array.shape, bool)
    return np.asarray((array >= min(stored)) & (array <= max(stored)))
