"""Cards in the Hugging Face format: YAML front matter, and the Markdown parts that all cards share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

README = "README.md"
"""File name of a card."""
UNKNOWN = "unknown"
"""The licence of data whose licence nobody gave; Hugging Face's word as well."""
LICENCES = frozenset(
    [
        "apache-2.0",
        "mit",
        "afl-3.0",
        "artistic-2.0",
        "bsl-1.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "c-uda",
        "cc",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "wtfpl",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "agpl-3.0",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "isc",
        "lppl-1.3c",
        "ms-pl",
        "mpl-2.0",
        "odc-by",
        "odbl",
        "openrail",
        "osl-3.0",
        "postgresql",
        "ofl-1.1",
        "ncsa",
        "unlicense",
        "zlib",
        "pddl",
        "lgpl-lr",
        "unknown",
    ]
)
"""Hugging Face's identifiers of licences, without those of single models."""
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
"""Hugging Face's size categories: the number of images from which the next one applies, and the name."""
MOST_CLASSES = 1000
"""More classes are not listed in the front matter."""
TAG = "augury"
MEDICAL = """- The source is medical: its images show patients. For research only; this is no medical device, and no basis for diagnosis or
  treatment.
- Before any use with patients, measure sensitivity and specificity on real images from the place of use, with no patient in two
  splits. The results on other scanners, sites or groups of patients are unknown.
- The consent of the patients, and what an ethics committee approved, hold for images derived from theirs as well.
"""
"""Limits of what was derived from medical images."""


@dataclass(frozen=True)
class Background:
    """What a card says beyond the thing that it describes.

    Parameters
    ----------
    licence
        Licence of the source; "": unknown.
    source
        Name of the data that the generator was trained on; "": unknown.
    recipe
        Recipe of the generator; "": unknown.
    sections
        Further lines of Markdown, such as scores and a verdict.
    medical
        Whether the images show patients.
    """

    licence: str = ""
    source: str = ""
    recipe: str = ""
    sections: tuple[str, ...] = ()
    medical: bool = False


def front_matter(licence: str, classes: Sequence[str], **fields: Any) -> str:
    """The YAML at the top of a card.

    Parameters
    ----------
    licence
        Licence of the source; an identifier of Hugging Face, or any other text, which becomes "other" with its name.
    classes
        Names of the classes, in the order of their codes.
    **fields
        Further fields in order, such as task_categories and tags; empty ones are left out.
    """
    named = {"classes": list(map(readable, classes))} if 0 < len(classes) <= MOST_CLASSES else {}
    values = {**licence_fields(licence), **{name: value for name, value in fields.items() if value}, **named}
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=2**30)
    return f"---\n{text}---\n"


def licence_fields(licence: str) -> dict[str, str]:
    """The fields of the front matter that state a licence. The name of another licence consists of a-z, 0-9, "-" and "."."""
    wanted = re.sub(r"[\s_]+", "-", licence.strip().lower())
    if wanted in LICENCES:
        return {"license": wanted}
    name = re.sub(r"[^a-z0-9.]+", "-", wanted).strip("-.")
    return {"license": "other", "license_name": name} if name else {"license": UNKNOWN}


def licence_lines(licence: str, note: str) -> list[str]:
    """The section about the licence; `note` says what depends on it."""
    stated = f"Licence of the source: {cell(licence)}." if licence and licence != UNKNOWN else ""
    missing = "Licence of the source: unknown. State it with the setting data.licence."
    return section("Licence", [f"{stated or missing} {note}"])


def is_medical(notes: Mapping[str, Any], attributes: Iterable[str] = ()) -> bool:
    """Whether notes on the data, or names of attributes, say that the images show patients: DICOM, or a column of patients."""
    names = [str(notes.get("grouped_by", "")), *attributes]
    return bool(notes.get("medical")) or any("patient" in name.casefold() for name in names)


def size_category(number: int) -> str:
    """Hugging Face's size category of a number of images."""
    return next((name for limit, name in SIZES if number < limit), "n>10M")


def section(title: str, lines: Sequence[str]) -> list[str]:
    """A section: its heading and its lines. Ends in an empty line."""
    return [f"## {title}", "", *lines, *([] if lines and not lines[-1] else [""])]


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> list[str]:
    """A Markdown table; every cell is escaped. Ends in an empty line."""
    lines = [list(head), ["---"] * len(head), *([cell(value) for value in row] for row in rows)]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def cell(value: object) -> str:
    """A value as Markdown text on one line, in which names from outside cannot form markup."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    plain = " ".join(readable(str(value)).split())
    return re.sub(r"([|`\[\]])", r"\\\1", plain).replace("&", "&amp;").replace("<", "&lt;")


def readable(name: str) -> str:
    """A name that can be written as UTF-8; file names may carry stray bytes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def percent(value: Any) -> str:
    """A share in per cent; None is a share that was not tested."""
    return "not tested" if value is None else f"{100 * value:.1f} %"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names separated by commas, at most `most` of them."""
    shown = ", ".join(map(cell, names[:most]))
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")


def bullets(facts: Mapping[str, object]) -> list[str]:
    """A list of facts, one a line; values of None and "" are left out. Ends in an empty line."""
    return [*(f"- {name}: {cell(value)}" for name, value in facts.items() if value not in (None, "")), ""]
