"""The rows of an export: one for each real and each kept synthetic image, with its provenance."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from augury.cards import README, Background, readable
from augury.data.decoding.codecs import is_unusual
from augury.data.decoding.safety import head
from augury.data.formats.column_names import NAMES, is_called
from augury.errors import DataError, RunFolderError, SettingsError
from augury.exports.options import DEFAULTS, ExportOptions
from augury.exports.readme import count, readme
from augury.files import write_text
from augury.images import SPLITS, Images, LabelledImages, SyntheticImages, source_facts
from augury.provenance import tagged_png

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""File types that loaders read; an original of any other type is written as PNG instead."""
_STARTS = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png", b"BM": ".bmp", b"II*\0": ".tif", b"MM\0*": ".tif"}
RESERVED = frozenset(("images", "groups", "classes", "origin", "provenance"))
"""Column names with a fixed meaning, besides those of a role. An attribute of such a name is written as <name>_given."""
SYNTHETIC = SYNTHETIC_GROUP = "synthetic"
"""Origin of synthetic images, and the group of those that belong to none."""
_AHEAD = 256


def _has_meaning(column: str) -> bool:
    return column.casefold() in RESERVED or any(is_called(role, column) for role in NAMES)


@dataclass(frozen=True)
class Row:
    """One image of an export: its file name without suffix, its metadata, and the position of its pixels.

    `attributes` are blank where a synthetic image was not conditioned on one. `group` is None when the data have none.
    `part` is a name of SPLITS, or None when all are train images. `size` is the height and width to which the pixels are
    resized. `recipe` is that of the generator.
    """

    name: str
    label: int
    class_name: str
    origin: str
    source: Any
    scores: dict[str, float | None]
    attributes: dict[str, str]
    group: str | None
    images: Images
    at: int
    part: str | None = None
    original: Path | None = None
    size: tuple[int, int] | None = None
    recipe: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """The row of the manifest, without the file."""
        facts = {"class": self.class_name, "label": self.label, "origin": self.origin}
        return {**facts, "source": self.source, "scores": self.scores}

    @property
    def tag(self) -> dict[str, Any]:
        """The facts in the text chunks of a synthetic image."""
        source = self.source if isinstance(self.source, dict) else {"source_name": self.source}
        attributes = {name: value for name, value in self.attributes.items() if value}
        more = {"recipe": self.recipe, "attributes": attributes}
        return {"class": self.class_name, **{name: value for name, value in more.items() if value}, **source}

    @property
    def provenance(self) -> str:
        """`facts` as one JSON text, for formats with a column for it."""
        return json.dumps(self.facts, allow_nan=False, ensure_ascii=False)

    @property
    def columns(self) -> dict[str, str]:
        """The columns of a table besides file and label, as text."""
        named = {(f"{k}_given" if _has_meaning(k) else k): v for k, v in self.attributes.items()}
        optional = {"group": self.group, "split": self.part}
        return {**named, **{k: v for k, v in optional.items() if v is not None}, "origin": self.origin}

    @property
    def suffix(self) -> str:
        """The suffix of the encoded image's file."""
        return _suffix(self.original) if self.original else ".png"

    def picture(self) -> Image.Image:
        """The pixels uint8 [1 or 3, H, W] as a grey or RGB picture of `size`."""
        from PIL import Image

        image = self.images[self.at]
        picture = Image.fromarray(np.ascontiguousarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)))
        if self.size is None or self.size == image.shape[1:]:
            return picture
        return picture.resize(self.size[::-1], Image.Resampling.LANCZOS)

    def encoded(self) -> bytes:
        """The bytes of the original, or the pixels as lossless PNG, in which a synthetic image says what it is.

        Raises DataError when the original is gone.
        """
        if self.original:
            try:
                return self.original.read_bytes()
            except OSError as error:
                raise DataError(
                    f"{self.original}: this original cannot be read ({error.strerror}); leave originals out to write PNGs"
                ) from error
        if self.origin == SYNTHETIC:  # an image of another generator does not say which program that is
            return tagged_png(self.picture(), self.tag, None if isinstance(self.source, dict) else "")
        file = io.BytesIO()
        self.picture().save(file, format="PNG")
        return file.getvalue()


def rows_of(
    train: LabelledImages,
    synthetic: SyntheticImages | LabelledImages | None,
    target: Path,
    options: ExportOptions = DEFAULTS,
) -> list[Row]:
    """All real images and then the kept synthetic ones. LabelledImages count as synthetic images of another generator.

    Raises DataError when classes or shapes disagree, or `originals` do not fit `train` or lie in `target`, and for a
    `synthetic_size` without `originals`.
    """
    if options.synthetic_size is not None and options.originals is None:
        raise DataError(
            "a size of the synthetic images is only possible beside original files, as all other images of a data set have one "
            "size; leave the size out, or include originals"
        )
    names: Sequence[str] = ()
    if isinstance(synthetic, LabelledImages):
        names = synthetic.names or tuple(f"index {i}" for i in range(len(synthetic)))
        synthetic = SyntheticImages.of(synthetic)
    if synthetic is not None:
        _check_alike(train, synthetic)
    files = None if options.originals is None else _checked(options.originals, len(train), target)
    size, recipe = options.synthetic_size, options.background.recipe
    drawn = () if synthetic is None else _synthetic(train, synthetic, names, size, recipe)
    return [*_real(train, files), *drawn]


def _real(train: LabelledImages, files: list[Path] | None) -> Iterator[Row]:
    by_split = _in_parts(train)
    for i, label in enumerate(train.labels.tolist()):
        name = readable(train.names[i]) if train.names else f"index {i}"
        recipe = _recipe(train, i)
        origin = "augmented" if recipe else "real"
        yield Row(
            name=f"{origin}-{i:06d}",
            label=label,
            class_name=readable(train.classes[label]),
            origin=origin,
            source=recipe or name,
            scores={},
            attributes={name: readable(a.values[int(a.codes[i])]) for name, a in train.attributes.items()},
            group=None if train.groups is None else str(int(train.groups[i])),
            images=train.images,
            at=i,
            part=SPLITS[train.split[i]] if by_split and train.split is not None else None,
            original=files[i] if files and _suffix(files[i]) else None,
        )


def _suffix(original: Path) -> str:
    """The suffix of a file type that loaders read; "" for another. The content decides where the name does not tell."""
    suffix = original.suffix.lower()
    if suffix in SUFFIXES:
        return suffix
    start = head(original, 8) if is_unusual(original.name) else b""
    return next((kind for mark, kind in _STARTS.items() if start.startswith(mark)), "")


def _in_parts(train: LabelledImages) -> bool:
    """Whether the data have splits other than train."""
    return train.split is not None and bool((train.split != 0).any())


def _recipe(train: LabelledImages, i: int) -> dict[str, Any] | None:
    """How to redraw image i if it is one of `augury.pipeline.augmented_copies`, which are named FILE#EPOCH; None for
    other images.

    It is `augment.augmented` of image `index` of the data with fingerprint `data`, or of the `file` alone.
    """
    recipe = dict(train.notes.get("copies", {}))
    of = recipe.pop("of", {}) if train.names else {}
    file, _, epoch = train.names[i].rpartition("#") if of else ("", "", "")
    if file not in of or not epoch.isdecimal():
        return None
    return {"file": readable(file), **recipe, "epoch": int(epoch), "index": of[file]}


def _synthetic(
    train: LabelledImages,
    synthetic: SyntheticImages,
    names: Sequence[str],
    size: tuple[int, int] | None,
    recipe: str,
) -> Iterator[Row]:
    """The accepted images. With `names` they come from another generator, which cannot draw them again."""
    conditioned = synthetic.condition_names[len(synthetic.condition_names) - (synthetic.conditions.shape[1] - 1) :]
    translated = None if synthetic.sources is None else source_facts(synthetic, train)
    for i in np.flatnonzero(synthetic.accepted).tolist():
        label, *codes = synthetic.conditions[i].tolist()
        attribute_codes = dict(zip(conditioned, codes, strict=True))
        yield Row(
            name=f"synthetic-{i:06d}",
            label=label,
            class_name=readable(synthetic.classes[label]),
            origin=SYNTHETIC,
            source=readable(names[i])
            if names
            else {
                "seed": synthetic.seed,
                "index": int(synthetic.indices[i]),
                "synthesizer": synthetic.synthesizer,
                **({} if translated is None else translated[i]),
            },
            scores={name: _number(values[i]) for name, values in synthetic.scores.items()},
            attributes={
                name: readable(a.values[attribute_codes[name]]) if name in attribute_codes else ""
                for name, a in train.attributes.items()
            },
            group=_group(train, synthetic, i),
            images=synthetic.images,
            at=i,
            part=SPLITS[0] if _in_parts(train) else None,
            size=size,
            recipe=recipe,
        )


def _group(train: LabelledImages, synthetic: SyntheticImages, i: int) -> str | None:
    """A translation belongs to the group of its source, an image from noise to none."""
    if train.groups is None:
        return None
    return SYNTHETIC_GROUP if synthetic.sources is None else str(int(train.groups[synthetic.sources[i]]))


def encoded(rows: Sequence[Row]) -> Iterator[tuple[Row, bytes]]:
    """Each row with its encoded image, in order; a few hundred are encoded ahead, on all cores."""
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        for start in range(0, len(rows), _AHEAD):
            some = rows[start : start + _AHEAD]
            yield from zip(some, pool.map(Row.encoded, some), strict=True)


def export_report(
    target: Path,
    rows: Sequence[Row],
    originals: Sequence[str | os.PathLike[str]] | None = None,
    linked: int = 0,
    folders: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The return value of every export; a `note` where `originals` of other types were not included as they are."""
    real = [row for row in rows if row.origin != SYNTHETIC]
    facts = {
        "path": str(target),
        "real": len(real),
        "synthetic": len(rows) - len(real),
        "linked": linked,
        "folders": folders or {},
    }
    converted = [i for i, row in enumerate(real) if row.original is None and originals is not None]
    if not converted or originals is None:
        return facts
    ending = Path(originals[converted[0]]).suffix or "without an ending"
    return facts | {
        "note": f"{len(converted):,} original files of types that loaders do not read, such as {ending}, were written as PNG in the "
        "size in which Augury reads them"
    }


def card_beside(target: Path) -> Path:
    """The path of the card of an export of one file: NAME.npz.README.md."""
    return target.with_name(f"{target.name}.{README}")


def write_card_beside(target: Path, rows: Sequence[Row], train: LabelledImages, background: Background) -> None:
    """Write the card of an export of one file."""
    counted = count((row.facts for row in rows), list(map(readable, train.classes)))
    kind = target.suffix.lower().removeprefix(".")
    write_text(card_beside(target), readme(target.name, counted, train.shape, background, kind=kind))


def check_file(target: Path, suffix: str, options: ExportOptions) -> None:
    """Raises SettingsError unless the name ends with `suffix` and for sidecar files, and RunFolderError when the file or its
    card exists already, unless forced.
    """
    if options.sidecar:
        raise SettingsError(f"{target}: sidecar files lie beside image files; leave sidecar out, or export a folder")
    if target.suffix.lower() != suffix:
        raise SettingsError(f"{target}: this export is one file; let its name end with {suffix}")
    if target.is_dir():
        raise RunFolderError(f"{target}: a folder is in the way of the export; choose another name")
    for file in (target, card_beside(target)):
        if file.exists() and not options.force:
            raise RunFolderError(f"{file}: is there already; choose another name, or --force to replace it")


def _check_alike(train: LabelledImages, synthetic: SyntheticImages) -> None:
    if synthetic.classes != train.classes:
        raise DataError(
            f"the synthetic images have classes {', '.join(synthetic.classes)}, but the training images have "
            f"{', '.join(train.classes)}; generate them from this data set"
        )
    if synthetic.images.shape[1:] != train.images.shape[1:]:
        raise DataError(
            f"synthetic images are {list(synthetic.images.shape[1:])}, but training images {list(train.shape)} "
            "(channels, height, width); generate them from this data set"
        )


def _checked(originals: Sequence[str | os.PathLike[str]], n: int, target: Path) -> list[Path]:
    """`originals` with symbolic links resolved; DataError when one is missing, is not a file, or lies in `target`."""
    if len(originals) != n:
        raise DataError(f"{len(originals)} original files for {n} training images; give one each, in the same order")
    files = []
    for original in originals:
        file = Path(original).resolve()
        if not file.is_file():
            raise DataError(f"{original}: this original is missing or not a file; leave originals out to write PNGs")
        if file.is_relative_to(target):
            raise DataError(f"{target}: the original {file.name} lies in it and would be replaced; export elsewhere")
        files.append(file)
    return files


def _number(value: float) -> float | None:
    """A plain JSON number; None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None
