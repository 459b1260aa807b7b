"""Files of synthetic images that a trained generator or translator has drawn for a user, and the card of their folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from augury.cards import README, Background
from augury.exports.readme import count, readme
from augury.files import atomic_path, write_text
from augury.images import Images
from augury.provenance import tagged_png, write_sidecar
from augury.training import Synthesizer


def write_tagged(path: Path, image: Images, row: dict[str, Any], generator: Synthesizer, sidecar: bool) -> None:
    """Write an image uint8 [C, H, W] as PNG whose text chunks have the facts of its row in the manifest.

    With `sidecar`, also write unsigned C2PA-style assertions beside it.
    """
    facts = {name: value for name, value in row.items() if name not in ("file", "origin")}
    facts["recipe"] = generator.card.recipe
    content = tagged_png(Image.fromarray(image.transpose(1, 2, 0).squeeze()), facts)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    if sidecar:
        write_sidecar(path, content, facts)


def write_card(folder: Path, name: str, generator: Synthesizer, rows: Sequence[dict[str, Any]]) -> None:
    """Write the card of a folder of synthetic images, which will be called `name`, from the rows of its manifest."""
    card = generator.card
    present = {row["class"] for row in rows if "class" in row}
    counts = count(({"origin": "synthetic", **row} for row in rows), [c for c in card.classes if c in present])
    facts = (
        f"Generator: fingerprint {generator.fingerprint}, trained for {card.steps:,} steps with seed {card.seed}",
        "Its scores, and what it memorised, are on its own card: README.md in the folder of the generator",
    )
    known = Background(str(card.data_reading.get("licence", "")), "", card.recipe)
    write_text(folder / README, readme(name, counts, card.shape, known, facts))
