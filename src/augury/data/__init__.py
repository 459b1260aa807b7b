"""Brings labelled images in from outside as `LabelledImages`, divides them into parts, and says what they are like."""

from augury.data.arrays import from_arrays
from augury.data.embedded import sample
from augury.data.loading import FORMATS, load
from augury.data.sheet import contact_sheet, picture_sheet
from augury.data.splitting import split
from augury.data.summary import Census, census, inspect

__all__ = [
    "FORMATS",
    "Census",
    "census",
    "contact_sheet",
    "from_arrays",
    "inspect",
    "load",
    "picture_sheet",
    "sample",
    "split",
]
