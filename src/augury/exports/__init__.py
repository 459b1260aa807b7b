"""Exports the augmented data set to other tools: real images and kept synthetic ones, each with its provenance."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from augury.cards import README
from augury.data.decoding.safety import extra
from augury.errors import SettingsError
from augury.exports.dicom import export_dicom
from augury.exports.folder import MANIFEST, export_folder
from augury.exports.npz import export_npz
from augury.exports.options import ExportOptions
from augury.exports.parquet import export_parquet, pyarrow
from augury.exports.readme import count, readme
from augury.exports.rows import card_beside, rows_of
from augury.exports.table import export_csv, export_imagefolder
from augury.exports.tar import export_tar
from augury.files import check_folder_name, without_endings

EXPORTS = {
    "folder": export_folder,
    "imagefolder": export_imagefolder,
    "csv": export_csv,
    "dicom": export_dicom,
    "npz": export_npz,
    "tar": export_tar,
    "parquet": export_parquet,
}
"""Every format that can be written; all functions have the same signature."""
FILES = ("npz", "tar", "parquet")
"""Formats of one file, whose name ends in the format's name; the others are folders."""

ARRAYS = ("npz", "dicom")
"""Formats of images of one size, which cannot include original files unchanged."""


def writer(name: str) -> Callable[..., dict[str, Any]]:
    """The export function of this name.

    Parameters
    ----------
    name : str
        A name of EXPORTS.

    Returns
    -------
    callable
        Writes the format.

    Raises
    ------
    SettingsError
        For an unknown format.
    MissingExtraError
        For a format that needs a package that is not installed.
    """
    if name not in EXPORTS:
        raise SettingsError(f"there is no format '{name}' to write; choose one of: {', '.join(EXPORTS)}")
    if name == "parquet":
        pyarrow()
    if name == "dicom":
        extra("pydicom", "writing DICOM", "medical")
    return EXPORTS[name]


def format_of(path: Path, requested: str | None, default: str) -> str:
    """The format to write at `path`: `requested`, else the one that the file name implies, else `default`.

    Raises SettingsError where a folder would get the name of a file, such as photos.csv.
    """
    ending = path.suffix.lower().removeprefix(".")
    name = requested or (ending if ending in FILES else default)
    if name in FILES:
        return name
    if ending in EXPORTS and ending not in FILES:
        raise SettingsError(
            f"{path}: the format {ending} is a folder of images with a table; give the folder's name: --format {ending} -o "
            f"{without_endings(path)}"
        )
    check_folder_name(path, f", or one of the formats of one file ({', '.join(FILES)})")
    return name


def dataset_path(run: Path, name: str) -> Path:
    """The path of the data set of this format in a run folder."""
    return run / (f"dataset.{name}" if name in FILES else "dataset")


def card_path(path: Path, name: str) -> Path:
    """The card of the data set of this format at `path`: in the folder, or beside the file."""
    return card_beside(path) if name in FILES else path / README


__all__ = [
    "ARRAYS",
    "EXPORTS",
    "FILES",
    "MANIFEST",
    "ExportOptions",
    "card_path",
    "count",
    "dataset_path",
    "export_csv",
    "export_dicom",
    "export_folder",
    "export_imagefolder",
    "export_npz",
    "export_parquet",
    "export_tar",
    "format_of",
    "readme",
    "rows_of",
    "writer",
]
