"""Load images of any format: `load` and `pictures`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from augury.data.bins import binned
from augury.data.decoding import load_options
from augury.data.decoding.label_encoding import regrouped
from augury.data.decoding.load_options import LoadOptions, OnBad, Split, Stretch, Transparency, Window
from augury.data.decoding.resize import Fit, Size
from augury.data.embedded import SAMPLES, sample
from augury.data.formats import (
    arrays,
    cifar,
    csv,
    folder,
    idx,
    imagefolder,
    npz,
    parquet,
    pixel_table,
    stylegan,
    tar,
    torch_dataset,
)
from augury.data.formats.torch_dataset import Dataset
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages
from augury.settings import LARGEST
from augury.settings_help import with_descriptions


class Format(NamedTuple):
    """How a format is recognised and read.

    Parameters
    ----------
    name
        Value of the option `format`.
    looks
        In a few words, what such a path is.
    tells
        In a few words, where labels, splits and attributes come from.
    recognises
        Whether a path has this format.
    reads
        Reads a path.
    columns
        Whether it has columns to choose among.
    groups
        Whether it has arrays of which one may be the group.
    """

    name: str
    looks: str
    tells: str
    recognises: Callable[[Path], bool]
    reads: Callable[[Path, LoadOptions], LabelledImages]
    columns: bool = False
    groups: bool = False


FORMATS = (
    Format(
        "npz",
        "an .npz of arrays",
        "arrays of one value an image; MedMNIST's splits",
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
    Format(
        "stylegan",
        "a folder with StyleGAN's dataset.json",
        "labels of dataset.json",
        stylegan.recognises,
        stylegan.read,
    ),
    Format(
        "pixels",
        "a .csv of pixel values",
        "columns, or the only other column; split from Usage",
        pixel_table.recognises,
        pixel_table.read,
        columns=True,
    ),
    Format(
        "csv",
        "a .csv of paths and labels",
        "columns; a column of 0 and 1 for each class",
        csv.recognises,
        csv.read,
        columns=True,
    ),
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
"""Every supported format, in the order in which a path is tried."""


class Partial(NamedTuple):
    """An option that not every format takes: which do, and how the others refuse it."""

    takes: Callable[[Format], bool]
    lacks: str


PARTIAL: Mapping[str, Partial] = {
    "columns": Partial(lambda format: format.columns, "has no columns; leave columns and attributes out"),
    "root": Partial(lambda format: format.name == "csv", "knows no root; leave it out"),
    "class_folder": Partial(
        lambda format: format.name in ("folder", "tar"), "has no class folders; leave class_folder out"
    ),
}
"""Option of `load` -> the formats that take it."""

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
"""What to do with unsupported files, by their extension."""


@with_descriptions
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
    class_folder: int | None = None,
    follow_links: str | os.PathLike[str] | None = None,
    window: Window = "file",
    stretch: Stretch = "asinh",
    bins: Mapping[str, int] | None = None,
    transparency: Transparency | None = None,
) -> LabelledImages:
    """Load labelled images from a path, arrays (X, y), a torch Dataset, or an embedded sample.

    Parameters
    ----------
    path : str, path, Dataset, (X, y) or None
        None is the long-tailed embedded sample; "sample:striped" is one with an empty cell.
    size : int or (int, int), optional
        {data.size}
    fit : {"crop", "pad"}
        {data.fit}
    on_bad : {"error", "skip"}
        {data.on_bad}
    cache : Path, optional
        Folder for decoded images. None: AUGURY_CACHE of the environment, else the user's cache folder.
    format : str, optional
        {data.format}
    columns : mapping of str to str, optional
        {data.columns}
        A Dataset of mappings has columns too.
    attributes : sequence of str, optional
        {data.attributes}
    group : str, optional
        {data.group}
    split : {"given", "new"}
        {data.split}
    root : path, optional
        {data.root}
    class_folder : int, optional
        {data.class_folder}
    follow_links : path, optional
        {data.follow_links}
    window : {"file", "percentile"} or (float, float)
        {data.window}
    stretch : {"asinh", "linear"}
        {data.stretch}
    bins : mapping of str to int, optional
        {data.bins}
        The bins are called "0–29", "30–54", "55–116".
    transparency : {"white", "black", "ignore"}, optional
        {data.transparency}

    Returns
    -------
    LabelledImages

    Raises
    ------
    DataError
        When the path is missing, has an unsupported format, or cannot be read.
    SettingsError
        When an option is out of range or does not apply to the format.
    MissingExtraError
        When a format needs a package that is not installed.

    Examples
    --------
    >>> data = augury.load("labelled/", size=32)
    >>> data.images.shape, data.classes
    """
    options = load_options.checked(
        size=size,
        fit=fit,
        on_bad=on_bad,
        cache=cache,
        window=window,
        stretch=stretch,
        columns=columns,
        attributes=attributes,
        root=None if root is None else os.fspath(root),
        group=group,
        split=split,
        format=format,
        bins=bins,
        class_folder=class_folder,
        follow_links=follow_links,
        transparency=transparency,
    )
    data = binned(_read(path, options, format), bins or {})
    return data if split == "given" else regrouped(data, None, split)


def _read(
    path: str | os.PathLike[str] | Dataset | tuple[Any, Any] | None, options: LoadOptions, format: str | None
) -> LabelledImages:
    if path is None or str(path) in SAMPLES:
        _refuse_columns("the embedded sample", options)
        _refuse_path_options("the embedded sample", options, format)
        return (sample if path is None else SAMPLES[str(path)])(size=options.size, fit=options.fit)
    if not isinstance(path, str | os.PathLike):
        _refuse_path_options("a set given in memory", options, format)
        if isinstance(path, tuple) and len(path) == 2:
            _refuse_columns("a set given in memory", options)
            return arrays.from_arrays(*path, size=options.size, fit=options.fit, transparency=options.transparency)
        if isinstance(path, Dataset):
            return torch_dataset.read(path, options)
        raise DataError(f"a {type(path).__name__} is no set of images; give a path, (X, y) or a Dataset of pairs")
    source = Path(path)
    file_format = _recognised(source, format)
    asked = {"columns": options.asks_for_columns, "root": options.root, "class_folder": options.class_folder}
    for name, value in asked.items():
        if value not in (None, False) and not PARTIAL[name].takes(file_format):
            raise SettingsError(f"{source}: the format '{file_format.name}' {PARTIAL[name].lacks}")
    if not (file_format.columns or file_format.groups):
        _refuse_group(f"{source}: the format '{file_format.name}'", options)
    return file_format.reads(source, options)


def pictures(
    path: str | os.PathLike[str],
    *,
    size: int | Size | None = None,
    fit: Fit = "crop",
    on_bad: OnBad = "error",
    cache: Path | None = None,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    root: str | os.PathLike[str] | None = None,
    class_folder: int | None = None,
    window: Window = "file",
    stretch: Stretch = "asinh",
    follow_links: str | os.PathLike[str] | None = None,
    transparency: Transparency | None = None,
) -> LabelledImages:
    """Load images to be judged, with or without labels, from any format that `load` reads.

    One class is enough. A folder or tar may hold images directly, a table may have no label, and an .npz may hold
    images only (or the one array of `np.savez(file, images)`).

    Parameters
    ----------
    path : str or path
    size : int or (int, int), optional
        Height and width in pixels, or one number for both. None keeps images that all have one size, whatever it is,
        and resizes others to 64 x 64.
    fit, on_bad, cache, format, window, stretch, follow_links, transparency
        As in `load`.
    columns, root, class_folder
        As in `load`; ignored where the format has no columns, no root or no class folders. `refuse_unread` raises an error
        where none of several sets takes them.

    Returns
    -------
    LabelledImages
        Images without labels are in one class called "". `notes["original_sizes"]` gives the sizes before resizing.

    Raises
    ------
    DataError, SettingsError, MissingExtraError
        As `load` does.
    """
    source = Path(path)
    file_format = _recognised(source, format)
    partial = {"columns": columns, "root": None if root is None else os.fspath(root), "class_folder": class_folder}
    options = load_options.checked(
        **{name: value for name, value in partial.items() if PARTIAL[name].takes(file_format)},
        size=size,
        fit=fit,
        on_bad=on_bad,
        cache=cache,
        format=format,
        window=window,
        stretch=stretch,
        follow_links=follow_links,
        transparency=transparency,
    )
    return file_format.reads(source, replace(options, labelled=False, native=LARGEST))


def refuse_unread(paths: Sequence[str | os.PathLike[str]], options: Mapping[str, Any]) -> None:
    """Raise SettingsError for an option of `pictures` that the format of none of these paths takes."""
    formats = {str(path): _recognised(Path(path), options.get("format")) for path in paths}
    for name, (takes, lacks) in PARTIAL.items():
        if formats and options.get(name) and not any(map(takes, formats.values())):
            path, format = next(iter(formats.items()))
            raise SettingsError(f"{path}: the format '{format.name}' {lacks}")


def _refuse_columns(subject: str, options: LoadOptions) -> None:
    _refuse_group(subject, options)
    if options.asks_for_columns:
        raise SettingsError(
            f"{subject} has no columns; leave columns and attributes out (augury.data.from_arrays takes attributes, groups and "
            "split themselves)"
        )


def _refuse_path_options(subject: str, options: LoadOptions, format: str | None) -> None:
    for name, value in {
        "format": format,
        "root": options.root,
        "class_folder": options.class_folder,
        "follow_links": options.follow_links,
    }.items():
        if value is not None:
            raise SettingsError(f"{subject} lies at no path; leave {name} out")


def _refuse_group(subject: str, options: LoadOptions) -> None:
    if options.asks_for_group:
        raise SettingsError(
            f"{subject} tells nothing of its images but the label, so '{options.columns['group']}' cannot be the group; leave "
            "group out, or give the data as a table or an .npz that holds it"
        )


def _recognised(path: Path, name: str | None) -> Format:
    """Return the format of a path, or the one with the given name. Raises DataError, SettingsError."""
    looks = ", ".join(format.looks for format in FORMATS)
    if name is not None and name not in {format.name for format in FORMATS}:
        raise SettingsError(f"format is '{name}'; choose {', '.join(format.name for format in FORMATS)}")
    try:
        exists = path.exists()
        fitting = (f for f in FORMATS if (f.name == name if name is not None else f.recognises(path)))
        match = next(fitting, None) if exists else None
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)[:200]!r}: cannot be read ({error}); give another path") from error
    if not exists:
        raise DataError(f"{path}: there is no such file or folder; give {looks}, or nothing for the embedded sample")
    if match is None:
        remedy = REMEDIES.get(path.suffix.lower())
        raise DataError(
            f"{path}: '{path.suffix or 'no extension'}' is not a format that is read"
            + (f" ({remedy})" if remedy else "")
            + f"; give {looks}"
        )
    return match
