"""Contact sheets: one picture of a whole data set, with a row of images per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augury.images import AnyImages, Images, LabelledImages, SyntheticImages, as_images, as_labelled

MOST_CLASSES = 20
FEW_OF, MOST_LINES = 6, 12
"""Most images shown of a cluster, and most lines of clusters."""
ACCEPTING = (
    "A run keeps all images of a cluster in one split. data.near_duplicates=allow treats them as different pictures."
)
_LEAST, _MOST = 48, 96
_MARGIN, _GAP, _BAR = 24, 4, 120
_INK, _GREY, _FAINT, _ACCENT = "#1f2328", "#6e7781", "#e6e8eb", "#3b6ea8"


def picture_sheet(
    data: LabelledImages | SyntheticImages, per_class: int = 10, clusters: Sequence[Sequence[int]] = ()
) -> Image.Image:
    """Draw a data set as an RGB picture with one row per class.

    A row shows the class name, the count, a bar of its share, and images spread evenly over the class. With a split,
    counts, bars and images are those of the train split, which is all a generator sees. Rows run from the largest class
    to the smallest. Of more than 20 classes the ten largest and ten smallest are shown. Images whose longer side is
    below 48 pixels are enlarged by a whole factor; those above 96 are reduced.

    Parameters
    ----------
    data : LabelledImages or SyntheticImages
        Of synthetic images, the accepted ones.
    per_class : int
        Images per row.
    clusters : sequence of sequences of int
        Indices of near-duplicates. The first clusters are drawn below the rows, up to FEW_OF images of each.

    Returns
    -------
    PIL.Image.Image
        An RGB picture.
    """
    data = as_labelled(data)
    train = np.ones(len(data), bool) if data.split is None else data.split == 0
    counts = np.bincount(data.labels[train], minlength=len(data.classes))
    order = np.argsort(-counts, kind="stable")
    rows = (
        order
        if len(order) <= MOST_CLASSES
        else np.concatenate([order[: MOST_CLASSES // 2], order[-MOST_CLASSES // 2 :]])
    )
    height, width = _tile_size(*data.shape[1:])
    title, body, small = (ImageFont.load_default(size) for size in (20, 15, 12))
    labels = [_shortened(data.classes[c], 26) for c in rows]
    captions = [_counted(int(counts[c]), int(data.counts[c]), data.split is not None) for c in rows]
    column = int(max(_BAR, *map(body.getlength, labels), *map(small.getlength, captions))) + 24
    row_height = max(height, _LEAST) + 2 * _GAP + 1
    head = _MARGIN + 52
    heading, under = _headings(data, len(rows))
    grid = _MARGIN + column + per_class * (width + _GAP)
    full = max(grid, _MARGIN + int(max(title.getlength(heading), small.getlength(under)))) - _GAP + _MARGIN
    sheet = Image.new("RGB", (full, head + len(rows) * row_height + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 6), heading, fill=_INK, font=title)
    draw.text((_MARGIN, _MARGIN + 22), under, fill=_GREY, font=small)
    for row, code in enumerate(rows):
        top = head + row * row_height
        draw.line([(_MARGIN, top), (full - _MARGIN, top)], fill=_FAINT)
        count, middle = int(counts[code]), top + row_height // 2
        draw.text((_MARGIN, middle - 11), labels[row], fill=_INK, font=body, anchor="lm")
        draw.text((_MARGIN, middle + 6), captions[row], fill=_GREY, font=small, anchor="lm")
        share = max(1, round(_BAR * count / int(counts.max()))) if count else 0
        draw.rectangle([_MARGIN, middle + 17, _MARGIN + _BAR - 1, middle + 19], fill=_FAINT)
        if share:
            draw.rectangle([_MARGIN, middle + 17, _MARGIN + share - 1, middle + 19], fill=_ACCENT)
        for position, index in enumerate(_spread(np.flatnonzero(train & (data.labels == code)), per_class)):
            at = (_MARGIN + column + position * (width + _GAP), top + 1 + (row_height - height) // 2)
            sheet.paste(_tile(np.asarray(data.images[index]), (height, width)), at)
    return _with_clusters(sheet, data, clusters, (height, width))


def draw_clusters(data: LabelledImages, clusters: Sequence[Sequence[int]]) -> Image.Image:
    """Draw the first clusters of near-duplicates as an RGB picture, with the setting that accepts them.

    Parameters
    ----------
    data : LabelledImages
    clusters : sequence of sequences of int
        Indices of near-duplicates, at least one cluster.

    Returns
    -------
    PIL.Image.Image
        An RGB picture.
    """
    size = _tile_size(*data.shape[1:])
    return _with_clusters(Image.new("RGB", (900, _MARGIN), "white"), data, clusters, size)


def _with_clusters(
    sheet: Image.Image, data: LabelledImages, clusters: Sequence[Sequence[int]], size: tuple[int, int]
) -> Image.Image:
    """Return the sheet with lines of clusters drawn side by side below it."""
    if not clusters:
        return sheet
    many = f"{len(clusters):,} picture{'s occur' if len(clusters) > 1 else ' occurs'} more than once (near-duplicates)"
    small = ImageFont.load_default(12)
    width = max(sheet.width, int(small.getlength(ACCEPTING)) + 2 * _MARGIN, FEW_OF * (size[1] + _GAP) + 2 * _MARGIN)
    positions: list[tuple[int, int, int]] = []
    x = _MARGIN
    line = shown = 0
    for cluster in clusters:
        some = cluster[:FEW_OF]
        if x > _MARGIN and x + len(some) * (size[1] + _GAP) > width - _MARGIN:
            x, line = _MARGIN, line + 1
        if line == MOST_LINES:
            break
        shown += 1
        positions += [(i, x + k * (size[1] + _GAP), line) for k, i in enumerate(some)]
        x += len(some) * (size[1] + _GAP) + 3 * _GAP
    head, step = sheet.height + 40, size[0] + 3 * _GAP
    canvas = Image.new("RGB", (width, head + (1 + max(line for *_, line in positions)) * step + _MARGIN), "white")
    canvas.paste(sheet, (0, 0))
    more = "" if shown == len(clusters) else f"; shown are the first {shown}"
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, sheet.height), many + more, fill=_INK, font=small)
    draw.text((_MARGIN, sheet.height + 16), ACCEPTING, fill=_GREY, font=small)
    for i, left, row in positions:
        canvas.paste(_tile(np.asarray(data.images[i]), size), (left, head + row * step))
    return canvas


def draw_contact_sheet(
    rows: Mapping[str, AnyImages], columns: Sequence[str] = (), *, least: int = _LEAST, most: int = _MOST
) -> Image.Image:
    """Draw named rows of images as an RGB picture.

    Parameters
    ----------
    rows : mapping of str to uint8 array [N, C, H, W], LabelledImages or SyntheticImages
        One row per entry; all images have the same height and width.
    columns : sequence of str
        Names above the columns, shortened to the width of an image.
    least : int
        Images whose longer side is below this many pixels are enlarged by a whole factor until it is at least this
        long.
    most : int
        Images whose longer side exceeds this many pixels are reduced to it.

    Returns
    -------
    PIL.Image.Image
        An RGB picture.

    Examples
    --------
    >>> draw_contact_sheet({"real": train.take(np.arange(8)), "synthetic": synthetic.take(np.arange(8))}).save("a.png")
    """
    arrays = {name: as_images(images) for name, images in rows.items()}
    shape = next(iter(arrays.values())).shape
    height, width = _tile_size(shape[2], shape[3], least, most)
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    column = int(max(map(font.getlength, rows))) + _MARGIN
    count = max(map(len, arrays.values()))
    head = _MARGIN + (16 if columns else 0)
    sheet = Image.new(
        "RGB", (column + count * (width + _GAP) + 2 * _MARGIN, head + len(rows) * (height + _GAP) + _MARGIN), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for position, name in enumerate(columns):
        fitting = next((n for n in range(len(name), 0, -1) if small.getlength(_shortened(name, n)) <= width), 0)
        at = (_MARGIN + column + position * (width + _GAP) + width // 2, head - 10)
        draw.text(at, _shortened(name, fitting) if fitting else "", fill=_GREY, font=small, anchor="mm")
    for row, (name, images) in enumerate(arrays.items()):
        top = head + row * (height + _GAP)
        draw.text((_MARGIN, top + height // 2), name, fill=_INK, font=font, anchor="lm")
        for position, image in enumerate(images):
            sheet.paste(_tile(image, (height, width)), (_MARGIN + column + position * (width + _GAP), top))
    return sheet


def beside(sheets: Sequence[Image.Image]) -> Image.Image:
    """Place pictures from left to right on white, aligned at the top.

    Parameters
    ----------
    sheets : sequence of PIL.Image.Image

    Returns
    -------
    PIL.Image.Image
        An RGB picture as wide as all of them together and as high as the highest.
    """
    canvas = Image.new("RGB", (sum(s.width for s in sheets), max(s.height for s in sheets)), "white")
    left = 0
    for sheet in sheets:
        canvas.paste(sheet, (left, 0))
        left += sheet.width
    return canvas


def _headings(data: LabelledImages, shown: int) -> tuple[str, str]:
    c, h, w = data.shape
    heading = f"{len(data):,} images in {len(data.classes)} classes"
    under = f"{h} x {w} pixels, {'grey' if c == 1 else 'colour'}"
    if shown < len(data.classes):
        under += f"; shown are the {shown // 2} largest and the {shown // 2} smallest classes"
    return heading, under


def _counted(train: int, total: int, has_split: bool) -> str:
    if has_split:
        return f"{train:,} train, {total - train:,} held out"
    return f"{train:,} image{'' if train == 1 else 's'}"


def _tile_size(height: int, width: int, least: int = _LEAST, most: int = _MOST) -> tuple[int, int]:
    """Return (height, width) of a tile: a whole multiple for small images, a proportional reduction for large ones."""
    longest = max(height, width)
    if longest > most:
        return max(1, round(height * most / longest)), max(1, round(width * most / longest))
    times = -(-least // longest)
    return height * times, width * times


def _tile(image: Images, size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    larger = size[0] >= image.shape[1]
    return picture.resize(size[::-1], Image.Resampling.NEAREST if larger else Image.Resampling.LANCZOS).convert("RGB")


def _spread(members: np.ndarray[tuple[int], np.dtype[np.intp]], count: int) -> list[int]:
    """Up to `count` of `members`, evenly spread from first to last."""
    if len(members) <= count:
        return [int(i) for i in members]
    return [int(members[i]) for i in np.linspace(0, len(members) - 1, count).round().astype(int)]


def _shortened(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
