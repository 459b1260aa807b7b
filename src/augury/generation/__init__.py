"""From a plan per class to synthetic images, filtered, each redrawable from its seed and index."""

from augury.generation.draw import census, draw, load, save
from augury.generation.filters import FILTERS, Evidence, copy_threshold
from augury.generation.latent import invert
from augury.generation.plan import table, wanted

__all__ = ["FILTERS", "Evidence", "census", "copy_threshold", "draw", "invert", "load", "save", "table", "wanted"]
