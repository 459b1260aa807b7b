"""Hands the augmented data set to other tools: real images and kept synthetic ones, each with where it came from."""

from augury.exports.folder import export_folder
from augury.exports.npz import export_npz
from augury.exports.parquet import export_parquet
from augury.exports.table import export_csv, export_imagefolder
from augury.exports.tar import export_tar

EXPORTS = {
    "folder": export_folder,
    "imagefolder": export_imagefolder,
    "csv": export_csv,
    "npz": export_npz,
    "tar": export_tar,
    "parquet": export_parquet,
}
"""Every format that is written, all by functions of one signature."""

__all__ = ["EXPORTS", "export_csv", "export_folder", "export_imagefolder", "export_npz", "export_parquet", "export_tar"]
