"""A torch Dataset (anything with a length that gives (image, label) by number) -> LabelledImages."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

from augury.data import reading, safety
from augury.data.found import Found
from augury.data.policy import Policy
from augury.data.safety import foreign
from augury.data.spool import spooled
from augury.errors import DataError
from augury.images import LabelledImages


@runtime_checkable
class Dataset(Protocol):
    """A map-style data set: torch's, torchvision's, one of Hugging Face's, or a list of pairs."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


def read(dataset: Dataset, policy: Policy) -> LabelledImages:
    """Ask for every item, (image, label) or {"image": …, "label": …}, once and in order. An image is a PIL image, or an array or tensor [H, W], [C, H, W] or [H, W, C]
    of uint8 or of floats within [0, 1]; a label an int or text; `dataset.classes`, where there is such, names codes.

    What the data set raises is a bad image like a damaged file. Raises DataError as `reading.read` does.
    """
    classes = _classes(dataset)
    names, labels, bad = [], [], {}
    with spooled(policy.cache) as spool:
        for i in range(len(dataset)):
            raw, label = b"", ""
            try:
                raw, label = _item(dataset, i, classes)
            except DataError as error:
                bad[i] = str(error)
            spool.add(raw)
            names.append(f"item {i}")
            labels.append(label)
        found = Found(names, labels, spool.ready().fetch, classes=classes, bad=bad)
        return reading.read(Path(type(dataset).__name__), found, policy, "dataset")


def _classes(dataset: Any) -> tuple[str, ...]:
    """The names that the data set (or the one it is a subset of) has for its codes; none when it has none."""
    for _ in range(10):
        features = getattr(dataset, "features", None)
        told = features.get("label") if isinstance(features, Mapping) else None
        names = getattr(dataset, "classes", None) or getattr(told, "names", None)
        if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(n, str) for n in names):
            return tuple(names) if len(set(names)) == len(names) else ()
        dataset = getattr(dataset, "dataset", None)
    return ()


def _item(dataset: Dataset, i: int, classes: tuple[str, ...]) -> tuple[bytes, str]:
    with foreign("gives no (image, label) ({})"):
        item = dataset[i]
        if isinstance(item, Mapping):
            item = (item["image" if "image" in item else "img"], item["label"])
        image, label = item
    return _encoded(image), _label(label, classes)


def _label(label: Any, classes: tuple[str, ...]) -> str:
    if isinstance(label, str):
        text = safety.word(label) or ""
        if classes and text not in classes:
            raise DataError(f"has the label '{text[:40]}', which is none of the {len(classes)} classes")
        return text
    try:
        value = np.asarray(label)
        code = int(value.reshape(()))
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"has a label of type {type(label).__name__}; give one int or text an image") from error
    if value.dtype.kind not in "iub":
        raise DataError(f"has the label {label!r}; give one int or text an image")
    if classes and not 0 <= code < len(classes):
        raise DataError(f"has the label {code}, but {len(classes)} classes need 0 to {len(classes) - 1}")
    return classes[code] if classes else str(code)


def _encoded(image: Any) -> bytes:
    """An image as bytes without loss: PPM where that can be, as it costs no time."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(_array(image))
    kind = "PPM" if picture.mode in ("L", "RGB") else "PNG" if picture.mode in _PNG else "TIFF"
    file = io.BytesIO()
    with foreign(f"is a picture of mode {picture.mode}, which cannot be kept ({{}}); make it RGB"):
        picture.save(file, kind)
    return file.getvalue()


_PNG = ("1", "P", "LA", "RGBA", "I;16")


def _array(image: Any) -> npt.NDArray[Any]:
    """An array or tensor -> [H, W] or [H, W, 3 or 4] of uint8, or [H, W] of uint16."""
    with foreign(f"is a {type(image).__name__} ({{}}); give a PIL image, an array or a tensor"):
        array = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if 0 in array.shape or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise DataError(
            f"has the shape {list(array.shape)}; give [H, W], [C, H, W] or [H, W, C] with 1, 3 or 4 channels"
        )
    if array.dtype == np.uint16 and array.ndim == 2:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise DataError(
                f"has floats from {np.min(array):g} to {np.max(array):g}; they must lie within [0, 1]: leave "
                "Normalize out of the transforms"
            )
        array = np.rint(array * np.float64(255)).astype(np.uint8)
    elif array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise DataError(f"has pixels of {array.dtype}; give uint8, or floats within [0, 1]")
    return np.ascontiguousarray(array.astype(np.uint8))
