"""Load labelled images as `LabelledImages`, split them into train, validation and test, and summarise them."""

from augury.data.animation import is_animation, ready_to_animate, write_animation
from augury.data.bins import binned
from augury.data.cautions import cautions
from augury.data.contact_sheet import beside, draw_clusters, draw_contact_sheet, picture_sheet
from augury.data.decoding.label_encoding import composed, finished, regrouped
from augury.data.decoding.skipped import plain_name, skipped_lines
from augury.data.embedded import SAMPLES, STRIPED, sample
from augury.data.formats.arrays import from_arrays
from augury.data.loading import FORMATS, load, pictures
from augury.data.long_tail import effective_number, make_long_tailed
from augury.data.near_duplicates import copied, find_near_duplicates, shared
from augury.data.splitting import LEFT_OUT, folds, merged, split
from augury.data.summary import Census, census, inspect
from augury.data.target import TargetImages, read_target
from augury.data.unlabelled import apart_from, coloured, files_below, read_unlabelled, with_unlabelled

__all__ = [
    "FORMATS",
    "LEFT_OUT",
    "SAMPLES",
    "STRIPED",
    "Census",
    "TargetImages",
    "apart_from",
    "beside",
    "binned",
    "cautions",
    "census",
    "coloured",
    "composed",
    "copied",
    "draw_clusters",
    "draw_contact_sheet",
    "effective_number",
    "files_below",
    "find_near_duplicates",
    "finished",
    "folds",
    "from_arrays",
    "inspect",
    "is_animation",
    "load",
    "make_long_tailed",
    "merged",
    "picture_sheet",
    "pictures",
    "plain_name",
    "read_target",
    "read_unlabelled",
    "ready_to_animate",
    "regrouped",
    "sample",
    "shared",
    "skipped_lines",
    "split",
    "with_unlabelled",
    "write_animation",
]
