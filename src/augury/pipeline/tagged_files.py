"""Files of synthetic images that a trained generator or translator has drawn for a user, and the card of their folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from augury.cards import README, Background, is_medical
from augury.exports.readme import count, readme
from augury.files import atomic_path, read_json, write_text
from augury.images import Images
from augury.provenance import tagged_png, write_sidecar
from augury.training import Synthesizer, synthesizer_folder


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


def licence_of(source: str | os.PathLike[str], generator: Synthesizer) -> str:
    """The licence of the images that a generator was trained on; "" where nobody gave it.

    That in the settings of its run counts, which may have been given after the training, before that on its card. `source` is a
    run folder or the folder of the generator.
    """
    run = synthesizer_folder(source).resolve().parent / "run.json"
    stored = read_json(run)["settings"]["data"].get("licence") if run.exists() else None
    return str(stored or generator.card.data_reading.get("licence", ""))


def write_card(
    folder: Path, name: str, generator: Synthesizer, rows: Sequence[dict[str, Any]], licence: str | None
) -> None:
    """Write the card of a folder of synthetic images, which will be called `name`, from the rows of its manifest."""
    card = generator.card
    present = {row["class"] for row in rows if "class" in row}
    counts = count(({"origin": "synthetic", **row} for row in rows), [c for c in card.classes if c in present])
    facts = (
        f"Generator: fingerprint {generator.fingerprint}, trained for {card.steps:,} steps with seed {card.seed}",
        "Its scores, and what it memorised, are on its own card: README.md in the folder of the generator",
    )
    stated = str(card.data_reading.get("licence", "")) if licence is None else licence
    medical = is_medical(card.data_reading, card.condition_names)
    known = Background(stated, "", card.recipe, medical=medical)
    write_text(folder / README, readme(name, counts, card.shape, known, facts))
