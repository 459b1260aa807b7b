"""A torch Dataset (any object with a length that returns (image, label) by index) -> LabelledImages."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

from augury.data.decoding import reading, safety
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.label_encoding import composed
from augury.data.decoding.load_options import LoadOptions, Transparency
from augury.data.decoding.safety import external
from augury.data.decoding.temporary_store import open_temporary_store
from augury.data.formats import table
from augury.data.formats.arrays import FOUR_CHANNELS
from augury.data.formats.column_names import is_called
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages


@runtime_checkable
class Dataset(Protocol):
    """A map-style data set of torch, torchvision or Hugging Face, or a list of pairs."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


_MOST_NESTED = 10
LABEL = "label (of the item)"
"""Internal name of the label column, whatever the items call it."""


def read(dataset: Dataset, options: LoadOptions) -> LabelledImages:
    """Read every item once and in order: (image, label), or a mapping such as {"image": …, "label": …, "patient": …}.

    Other entries of a mapping are columns, as in a table (`table.NAMES`, `options.columns`). An image is a PIL image,
    or an array or tensor [H, W], [C, H, W] or [H, W, C] of uint8 or of floats within [0, 1]. A label is an int or text;
    `dataset.classes`, or the names in `dataset.features`, replace codes. In a ConcatDataset, and a Subset of one, each
    part has its own names.

    An exception of the data set makes an item a bad image, like a damaged file. Raises SettingsError when columns are
    requested of pairs, DataError as `reading.read` does.
    """
    kind = type(dataset).__name__
    try:
        class_names = _names(dataset)
    except _Unclear as error:
        raise DataError(f"{kind}: {error}") from error
    chosen: dict[str, str] = {}
    columns: dict[str, list[str | None]] = {LABEL: []}
    bad: dict[int, str] = {}
    with open_temporary_store(options.cache) as store:
        for i in range(len(dataset)):
            raw = b""
            row: dict[str, str | None] = {}
            try:
                item = _item_at(dataset, i)
                chosen = chosen or _roles(item, options, kind)
                raw, row = _encoded_row(item, chosen, class_names.at(i), options.transparency)
                _check_named(class_names, i, item, chosen)
            except _Unclear as error:
                raise DataError(f"{kind}: {error}") from error
            except DataError as error:
                bad[i] = str(error)
            store.add(raw)
            table.extend(columns, row, i)
        for name in (*_others(chosen).values(), *(options.attributes or ())):
            columns.setdefault(name, [""] * len(dataset))  # in case every item is bad
        fields = table.image_fields(columns, {**_others(chosen), "label": LABEL}, options, bad, len(dataset))
        index = ImageIndex(
            [f"item {i}" for i in range(len(dataset))],
            fields.labels,
            store.ready().fetch,
            classes=class_names.classes(chosen.get("label", "label")),
            groups=fields.groups,
            split=fields.split,
            attributes=fields.attributes,
            bad=fields.bad,
            notes={**({"columns": chosen} if chosen else {}), **table.noted(fields)},
        )
        return reading.read(Path(kind), index, options, "dataset")


class _Unclear(DataError):
    """The structure of the items is unclear, so no other item can be used either."""


Names = Mapping[str, tuple[str, ...]]
"""Column -> names of its codes; those of the attribute `classes` belong to "label"."""


@dataclass(frozen=True)
class _ClassNames:
    """The names of the codes, which may differ between the parts of a joined data set.

    `of_item` [N] says which of `tables` holds for each item.
    """

    tables: tuple[Names, ...]
    of_item: npt.NDArray[np.int64]

    def at(self, i: int) -> Names:
        return self.tables[int(self.of_item[i])]

    def classes(self, column: str) -> tuple[str, ...]:
        """Return all class names in the order in which the parts have them; none where a part has none."""
        used = [self.tables[k].get(column, ()) for k in dict.fromkeys(self.of_item.tolist())]
        return tuple(dict.fromkeys(name for names in used for name in names)) if all(used) else ()


def _names(dataset: Any, depth: int = 0) -> _ClassNames:
    """Return the names that a data set has for its codes, else those of the data sets that it is made of.

    These are the parts of a ConcatDataset, and the one that a Subset or another wrapper holds as `dataset`. Raises
    _Unclear when it cannot be known which part an item comes from.
    """
    n, own = len(dataset), _own_names(dataset)
    parts: Any = getattr(dataset, "datasets", None)
    inner: Any = getattr(dataset, "dataset", None)
    if own.get("label") or depth > _MOST_NESTED or (inner is None and not _are_datasets(parts)):
        return _ClassNames((own,), np.zeros(n, np.int64))
    if inner is None:
        below = [_names(part, depth + 1) for part in parts]
        in_order = hasattr(dataset, "cumulative_sizes")  # as in ConcatDataset
        if not in_order or sum(len(names.of_item) for names in below) != n:
            return _alone(own, below, n, dataset)
        first = np.cumsum([0, *(len(names.tables) for names in below)])
        of_item = np.concatenate([names.of_item + start for names, start in zip(below, first, strict=False)])
        return _distinct([{**names, **own} for part in below for names in part.tables], of_item)
    try:
        below = [_names(inner, depth + 1)]
    except TypeError:  # it has no length, so that it is not the data set that this one wraps
        return _ClassNames((own,), np.zeros(n, np.int64))
    indices = getattr(dataset, "indices", None)
    if indices is None or len(indices) != n:
        return _alone(own, below, n, dataset)
    of_item = below[0].of_item[np.asarray(indices, np.int64)]
    return _distinct([{**names, **own} for names in below[0].tables], of_item)


def _own_names(dataset: Any) -> dict[str, tuple[str, ...]]:
    """Return the names in the data set's own `classes`, `class_to_idx` or `features`."""
    features = getattr(dataset, "features", None)
    class_lists = {k: getattr(v, "names", None) for k, v in features.items()} if isinstance(features, Mapping) else {}
    codes: Any = getattr(dataset, "class_to_idx", None)
    numbered = isinstance(codes, Mapping) and sorted(codes.values()) == list(range(len(codes)))
    in_order = sorted(codes, key=codes.__getitem__) if numbered else None
    class_lists["label"] = getattr(dataset, "classes", None) or class_lists.get("label") or in_order
    own: dict[str, tuple[str, ...]] = {}
    for column, names in class_lists.items():
        if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(n, str) for n in names):
            own[column] = tuple(map(composed, names)) if len(set(map(composed, names))) == len(names) else ()
    return own


def _are_datasets(parts: Any) -> bool:
    return isinstance(parts, Sequence) and bool(parts) and all(isinstance(part, Dataset) for part in parts)


def _distinct(tables: list[dict[str, tuple[str, ...]]], of_item: npt.NDArray[np.int64]) -> _ClassNames:
    """Return the names with equal tables stored once."""
    distinct: list[Names] = []
    for names in tables:
        if names not in distinct:
            distinct.append(names)
    return _ClassNames(tuple(distinct), np.array([distinct.index(names) for names in tables], np.int64)[of_item])


def _alone(own: Names, below: list[_ClassNames], n: int, dataset: Any) -> _ClassNames:
    """Return the one table of names that all items have. Raises _Unclear when parts differ."""
    tables = _distinct([dict(names) for part in below for names in part.tables], np.zeros(0, np.int64)).tables
    if len(tables) > 1:
        raise _Unclear(
            f"{type(dataset).__name__} joins data sets with class names of their own, and it is unclear which of them an item comes "
            "from; give items with the class name as label, or give the data set an attribute `classes`"
        )
    return _ClassNames(({**tables[0], **own},), np.zeros(n, np.int64))


def _check_named(class_names: _ClassNames, i: int, item: Any, chosen: Mapping[str, str]) -> None:
    """Raise _Unclear for a code without a name where another part has names: the same code may mean another class."""
    column = chosen.get("label", "label")
    if len(class_names.tables) == 1 or class_names.at(i).get(column):
        return
    label = item[chosen["label"]] if isinstance(item, Mapping) else item[1]
    if not isinstance(label, str) and any(names.get(column) for names in class_names.tables):
        raise _Unclear(
            f"item {i} has the code {label} without a class name, but another of the joined data sets has names; give every part an "
            "attribute `classes`, or class names as labels"
        )


def _item_at(dataset: Dataset, i: int) -> tuple[Any, Any] | Mapping[str, Any]:
    with external("gives no (image, label) ({})"):
        item = dataset[i]
        if isinstance(item, Mapping):
            return item
        image, label = item
        return image, label


def _roles(item: tuple[Any, Any] | Mapping[str, Any], options: LoadOptions, kind: str) -> dict[str, str]:
    """Assign entries of a mapping to image, label, group and split; empty for a pair.

    Raises _Unclear, SettingsError.
    """
    if not isinstance(item, Mapping):
        if options.asks_for_columns or options.asks_for_group:
            raise SettingsError(
                f"{kind}: its items are pairs (image, label), which have no columns; leave columns, attributes and group out, or "
                'give items such as {"image": …, "label": …, "patient": …}'
            )
        return {}
    header = [str(name) for name in item]
    image = options.columns.get("image") or next((name for name in ("image", "img") if name in header), None)
    if image is not None:  # a path or file_name beside it is not a second image
        header = [n for n in header if n in (image, *(options.attributes or ())) or not is_called("image", n)]
    try:
        table.check_columns(len(header))
        assigned = table.roles(header, options, needed=("label",) if image else ("image", "label"))
    except DataError as error:
        raise _Unclear(str(error)) from error
    return {**assigned, "image": image or assigned["image"]}


def _others(chosen: Mapping[str, str]) -> dict[str, str]:
    return {role: name for role, name in chosen.items() if role not in ("image", "label")}


def _encoded_row(
    item: tuple[Any, Any] | Mapping[str, Any],
    chosen: Mapping[str, str],
    codes: Names,
    transparency: Transparency | None,
) -> tuple[bytes, dict[str, str | None]]:
    """Return the encoded image of an item, and its columns as text. Raises DataError without the item's name."""
    if not isinstance(item, Mapping):
        image, label = item
        return _encoded(image, transparency), {LABEL: _label(label, codes.get("label", ()))}
    with external("lacks the entry {}"):
        image, label = item[chosen["image"]], item[chosen["label"]]
    row = {
        str(k): _word(v, codes.get(str(k), ())) for k, v in item.items() if k not in (chosen["image"], chosen["label"])
    }
    return _encoded(image, transparency), {LABEL: _label(label, codes.get(chosen["label"], ())), **row}


def _word(value: Any, names: tuple[str, ...]) -> str | None:
    """Return an entry as text, a code as its name; None for what is neither text nor one number."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if names and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return safety.word(value)


def _label(label: Any, classes: tuple[str, ...]) -> str:
    if isinstance(label, str):
        text = safety.word(label) or ""
        text = composed(text)
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


def _encoded(image: Any, transparency: Transparency | None) -> bytes:
    """Encode an image without loss: as PPM where possible, because it is fast."""
    if isinstance(image, Image.Image):
        picture = image
    else:
        array = _array(image)
        if array.ndim == 3 and array.shape[2] == 4 and transparency is None:
            raise DataError(FOUR_CHANNELS)
        picture = Image.fromarray(array)
    kind = "PPM" if picture.mode in ("L", "RGB") else "PNG" if picture.mode in _PNG else "TIFF"
    file = io.BytesIO()
    with external(f"is a picture of mode {picture.mode}, which cannot be kept ({{}}); make it RGB"):
        picture.save(file, kind)
    return file.getvalue()


_PNG = ("1", "P", "LA", "RGBA", "I;16")


def _array(image: Any) -> npt.NDArray[Any]:
    """An array or tensor -> [H, W] or [H, W, 3 or 4] of uint8, or [H, W] of uint16."""
    with external(f"is a {type(image).__name__} ({{}}); give a PIL image, an array or a tensor"):
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
