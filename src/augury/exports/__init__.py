"""Hands the augmented data set to other tools: real images and kept synthetic ones, each with where it came from."""

from augury.exports.folder import export_folder

__all__ = ["export_folder"]
