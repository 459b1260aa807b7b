"""`load`: one door for every format."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from augury.data import (
    bins as numeric,
)
from augury.data.decoding import load_options
from augury.data.decoding.label_encoding import regrouped
from augury.data.decoding.load_options import OnBad, Policy, Split, Stretch, Window
from augury.data.decoding.resize import LARGEST, Fit, Size
from augury.data.embedded import SAMPLES, sample
from augury.data.formats import arrays, cifar, csv, folder, idx, imagefolder, npz, parquet, tar, torch_dataset
from augury.data.formats.torch_dataset import Dataset
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages


class Format(NamedTuple):
    """How a kind of path is recognised and read; in a few words what it looks like and where labels and the rest stand. It may
    have `columns` to choose among, or arrays of which one may be the group."""

    name: str
    looks: str
    tells: str
    recognises: Callable[[Path], bool]
    reads: Callable[[Path, Policy], LabelledImages]
    columns: bool = False
    groups: bool = False


FORMATS = (
    Format(
        "npz",
        "an .npz of arrays",
        "arrays of one value an image; MedMNIST's parts",
        npz.recognises,
        npz.read,
        groups=True,
    ),
    Format("idx", "idx files (MNIST)", "codes; split from train, t10k", idx.recognises, idx.read),
    Format(
        "cifar",
        "CIFAR's binary batches",
        "names from the text files; coarse is an attribute",
        cifar.recognises,
        cifar.read,
    ),
    Format(
        "imagefolder",
        "a folder with metadata.csv or .jsonl",
        "columns; without a label column the folder of a file",
        imagefolder.recognises,
        imagefolder.read,
        columns=True,
    ),
    Format("csv", "a .csv of paths and labels", "columns", csv.recognises, csv.read, columns=True),
    Format(
        "parquet",
        "parquet files with images",
        "columns, ClassLabel names; split from train-…, test-…",
        parquet.recognises,
        parquet.read,
        columns=True,
    ),
    Format(
        "tar",
        "a .tar of class folders, or WebDataset shards",
        "folders; or .json's entries, else .cls; split from folders or train-…",
        tar.recognises,
        tar.read,
        columns=True,
    ),
    Format(
        "folder", "a folder with one folder per class", "class and split from folders", folder.recognises, folder.read
    ),
)
"""Every format that is read, in the order in which a path is tried."""

REMEDIES: Mapping[str, str] = {
    ".zip": "unpack it and give the folder",
    ".7z": "unpack it and give the folder",
    ".rar": "unpack it and give the folder",
    **dict.fromkeys(
        (".pkl", ".pickle", ".pt", ".pth", ".joblib"),
        "unpickling can run code; save arrays with np.savez_compressed(images=…, labels=…)",
    ),
    ".npy": "it holds no labels; save both with np.savez_compressed(images=…, labels=…)",
    **dict.fromkeys((".h5", ".hdf5", ".mat"), "save its arrays with np.savez_compressed(images=…, labels=…)"),
    ".tfrecord": "write it as WebDataset (.tar) or parquet",
}
"""What to do with files of other kinds, by their extension."""


def load(
    path: str | os.PathLike[str] | Dataset | tuple[Any, Any] | None = None,
    *,
    size: int | Size | None = None,
    fit: Fit = "crop",
    on_bad: OnBad = "error",
    cache: Path | None = None,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    attributes: Sequence[str] | None = None,
    group: str | None = None,
    split: Split = "given",
    root: str | os.PathLike[str] | None = None,
    window: Window = "file",
    stretch: Stretch = "asinh",
    bins: Mapping[str, int] | None = None,
) -> LabelledImages:
    """Read labelled images of any format in FORMATS, arrays (X, y), a torch Dataset, or an embedded sample: the long-tailed
    one (None) or "sample:striped", with an empty cell.

    `size` (height, width) in pixels or one number for both: None keeps images that are all alike and at most 64 a side,
    and brings others to 64 x 64. `fit` "crop" covers and cuts the middle, "pad" fits inside. `on_bad` says what to do
    with unreadable images; decoded ones are kept in `cache` (else AUGURY_CACHE, else the user's cache folder).

    `format` is a name in FORMATS where a path is not to be recognised. For tables, and a Dataset of mappings, `columns` maps
    "image", "label", "group" and "split" to their columns where names do not tell, `attributes` lists the columns that become attributes
    (None: those with few values), and a CSV's paths are relative to `root` (None: its own folder). `group` names the column or
    array whose images stay together in a split (None: the one called group, person, patient, subject or track, or such a name
    and id; "none": no group), `split` "new" forgets the parts that the data come in.
    `window` for DICOM is "file", "percentile" or (centre, width); `stretch` for FITS "asinh" or "linear". `bins` {"age": 3}
    divides an attribute of numbers into so many bins of about equally many images ("0–29", "30–54", "55–116").

    Raises DataError when the path is missing, of an unknown kind or cannot be read, SettingsError when a setting is out
    of its range, MissingExtraError when a format needs a package that is not installed.
    """
    wanted = load_options.checked(
        size=size,
        fit=fit,
        on_bad=on_bad,
        cache=cache,
        window=window,
        stretch=stretch,
        columns=columns,
        attributes=attributes,
        root=None if root is None else Path(root),
        group=group,
        split=split,
        binned=tuple(numeric.checked(bins)),
    )
    data = numeric.binned(_read(path, wanted, format), bins or {})
    return data if split == "given" else regrouped(data, None, split)


def _read(
    path: str | os.PathLike[str] | Dataset | tuple[Any, Any] | None, wanted: Policy, format: str | None
) -> LabelledImages:
    if path is None or str(path) in SAMPLES:
        _refuse_columns("the embedded sample", wanted)
        _refuse_place("the embedded sample", wanted, format)
        return (sample if path is None else SAMPLES[str(path)])(size=wanted.size, fit=wanted.fit)
    if not isinstance(path, str | os.PathLike):
        _refuse_place("a set given in memory", wanted, format)
        if isinstance(path, tuple) and len(path) == 2:
            _refuse_columns("a set given in memory", wanted)
            return arrays.from_arrays(*path, size=wanted.size, fit=wanted.fit)
        if isinstance(path, Dataset):
            return torch_dataset.read(path, wanted)
        raise DataError(f"a {type(path).__name__} is no set of images; give a path, (X, y) or a Dataset of pairs")
    place = Path(path)
    found = _recognised(place, format)
    if wanted.asks_for_columns and not found.columns:
        raise SettingsError(f"{place}: the format '{found.name}' has no columns; leave columns and attributes out")
    if not (found.columns or found.groups):
        _refuse_group(f"{place}: the format '{found.name}'", wanted)
    if wanted.root is not None and found.name != "csv":
        raise SettingsError(f"{place}: the format '{found.name}' knows no root; leave it out")
    return found.reads(place, wanted)


def pictures(
    path: str | os.PathLike[str],
    *,
    size: int | Size | None = None,
    fit: Fit = "crop",
    on_bad: OnBad = "error",
    cache: Path | None = None,
    window: Window = "file",
    stretch: Stretch = "asinh",
    columns: Mapping[str, str] | None = None,
) -> LabelledImages:
    """Images to be judged, of any format that `load` reads, labelled or not: one class is enough, a folder or tar may hold
    them directly, a table may have no label, an .npz images alone (or the one array of `np.savez(file, images)`).

    Images without labels are of one class called "". Images that are all alike keep their size, whatever it is; others are
    brought to 64 x 64 unless `size` is given, and `notes["original_sizes"]` says so. `columns` are heeded where the format
    has columns. Raises as `load` does.
    """
    place = Path(path)
    found = _recognised(place, None)
    columns = columns if found.columns else None
    asked = load_options.checked(
        size=size, fit=fit, on_bad=on_bad, cache=cache, window=window, stretch=stretch, columns=columns
    )
    return found.reads(place, replace(asked, labelled=False, native=LARGEST))


def _refuse_columns(what: str, wanted: Policy) -> None:
    _refuse_group(what, wanted)
    if wanted.asks_for_columns:
        raise SettingsError(
            f"{what} has no columns; leave columns and attributes out (augury.data.from_arrays takes attributes, groups and "
            "split themselves)"
        )


def _refuse_place(what: str, wanted: Policy, format: str | None) -> None:
    if wanted.root is not None or format is not None:
        raise SettingsError(f"{what} lies at no path; leave {'root' if format is None else 'format'} out")


def _refuse_group(what: str, wanted: Policy) -> None:
    if wanted.asks_for_group:
        raise SettingsError(
            f"{what} tells nothing of its images but the label, so '{wanted.columns['group']}' cannot be the group; leave "
            "group out, or give the data as a table or an .npz that holds it"
        )


def _recognised(place: Path, name: str | None) -> Format:
    """The format of a path, or the one asked for by name. Raises DataError, SettingsError."""
    looks = ", ".join(format.looks for format in FORMATS)
    if name is not None and name not in {format.name for format in FORMATS}:
        raise SettingsError(f"format is '{name}'; choose {', '.join(format.name for format in FORMATS)}")
    try:
        there = place.exists()
        fitting = (f for f in FORMATS if (f.name == name if name is not None else f.recognises(place)))
        found = next(fitting, None) if there else None
    except (OSError, ValueError) as error:
        raise DataError(f"{str(place)[:200]!r}: cannot be read ({error}); give another path") from error
    if not there:
        raise DataError(f"{place}: there is no such file or folder; give {looks}, or nothing for the embedded sample")
    if found is None:
        remedy = REMEDIES.get(place.suffix.lower())
        raise DataError(
            f"{place}: '{place.suffix or 'no extension'}' is not a format that is read"
            + (f" ({remedy})" if remedy else "")
            + f"; give {looks}"
        )
    return found
