"""Decisions by hand on single synthetic images, stored in the rows of the manifest.

A decision replaces that of the filters: it sets `accepted` and `reason` of the row, which export, trial and report read. The row
then has "review": {"decision": "keep" or "reject", "filters": the filters' reason}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augury.errors import RunFolderError, SettingsError
from augury.files import digest, read_lines, write_lines

MANIFEST = "manifest.jsonl"
REVIEW = "review"
"""The reason of images that were rejected by hand, and the entry of rows that were decided by hand."""
DECISIONS = ("keep", "reject")
REMEDY = "remove that folder and draw them again with: augury run -o RUN"
Row = dict[str, Any]


@dataclass(frozen=True)
class Decided:
    """The answer to `decide`: the row as it is stored now, and whether this call changed it."""

    row: Row
    stored: bool


def read_rows(folder: Path) -> list[Row]:
    """Read and check the manifest in `folder`.

    Raises
    ------
    RunFolderError
        When it cannot be read, or was edited so that its entries contradict each other.
    """
    file = folder / MANIFEST
    try:
        rows = read_lines(file, REMEDY)
    except OSError as error:
        raise RunFolderError(f"{file}: cannot be read ({error.strerror}); {REMEDY}") from error
    for number, row in enumerate(rows):
        if problem := _problem(number, row):
            raise RunFolderError(
                f"{file}: line {number + 1:,} {problem}. It was edited by hand: undo that, and keep or reject images with "
                f"augury explore RUN; or {REMEDY}"
            )
    return rows


def _problem(number: int, row: Row) -> str:
    """What is wrong with a row; "" for nothing."""
    if row.get("row") != number:
        return f"is of image {row.get('row')}, but the lines are in the order of the images and this one is of {number}"
    accepted, reason, review = row.get("accepted"), row.get("reason"), row.get(REVIEW)
    if not isinstance(reason, str) or accepted is not (reason == ""):
        return f"says accepted: {_json(accepted)} with the reason {_json(reason)}; an image without reason is accepted"
    if review is None:
        return "" if reason != REVIEW else "is rejected by hand, but has no entry 'review'"
    decision = review.get("decision") if isinstance(review, dict) else None
    if decision not in DECISIONS or not isinstance(review.get("filters"), str):
        return f"has the review {_json(review)}; it needs a decision (keep or reject) and the filters' reason"
    if reason != ("" if decision == "keep" else REVIEW):
        return f"has the decision {decision}, but the reason {_json(reason)}"
    return ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def decision(row: Mapping[str, Any]) -> str:
    """The decision by hand on a row: "keep", "reject", or "" where there is none."""
    return str(row.get(REVIEW, {}).get("decision", ""))


def decisions(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Position -> decision of the rows that were decided by hand."""
    return {number: choice for number, row in enumerate(rows) if (choice := decision(row))}


def decided(row: Row, choice: str) -> Row:
    """The row with a decision by hand; "" withdraws it, so that the filters decide again."""
    filters = row[REVIEW]["filters"] if REVIEW in row else row["reason"]
    plain = {name: value for name, value in row.items() if name != REVIEW}
    if not choice:
        return plain | {"accepted": not filters, "reason": filters}
    keeps = choice == "keep"
    reviewed = {"decision": choice, "filters": filters}
    return plain | {"accepted": keeps, "reason": "" if keeps else REVIEW, REVIEW: reviewed}


def image_identity(row: Mapping[str, Any]) -> str:
    """What an image is redrawn from; the same image has the same identity when a set is drawn again."""
    return digest([row.get(name) for name in ("synthesizer", "seed", "index", "label", "attributes", "source_sha256")])


def decide(folder: Path, position: int, choice: str, *, seen: str, image: str) -> Decided:
    """Store a decision by hand in the manifest, atomically. The caller holds the run folder.

    Parameters
    ----------
    folder
        The folder of the synthetic images.
    position
        The row of the image.
    choice
        "keep", "reject", or "" to leave the image to the filters again.
    seen
        The decision that the reviewer saw. With another one in the manifest nothing is stored: someone else has decided.
    image
        The `image_identity` of the image that the reviewer saw.

    Returns
    -------
    The row as it is now, and whether the decision was stored.

    Raises
    ------
    SettingsError
        For an unknown decision or position.
    RunFolderError
        When the images were drawn again since, or the manifest cannot be used.
    """
    if choice not in ("", *DECISIONS):
        raise SettingsError(f"the decision is {choice!r}; give keep, reject, or nothing to withdraw it")
    rows = read_rows(folder)
    if not 0 <= position < len(rows):
        raise SettingsError(f"there is no synthetic image {position}; there are {len(rows):,}")
    if image_identity(rows[position]) != image:
        raise RunFolderError(f"{folder}: the images were drawn again since this page was loaded; load it again")
    if decision(rows[position]) != seen:
        return Decided(rows[position], stored=decision(rows[position]) == choice)
    rows[position] = decided(rows[position], choice)
    write_lines(folder / MANIFEST, rows)
    return Decided(rows[position], stored=True)


def carried(rows: list[Row], folder: Path) -> tuple[list[Row], int]:
    """New rows with the decisions that the manifest in `folder` holds for the same images, before it is replaced.

    Returns
    -------
    The rows, and the number of decisions on images that are no longer there.
    """
    if not (folder / MANIFEST).exists():
        return rows, 0
    before = {image_identity(row): decision(row) for row in read_rows(folder) if decision(row) and "latent" not in row}
    after = [decided(row, before.pop(image_identity(row), "")) if "latent" not in row else row for row in rows]
    return after, len(before)
