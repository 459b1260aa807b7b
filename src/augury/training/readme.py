"""The card of a generator or translator as a page to read."""

from __future__ import annotations

from typing import Any

from augury.cards import (
    MEDICAL,
    TAG,
    Background,
    bullets,
    cell,
    front_matter,
    is_medical,
    licence_lines,
    listed,
    section,
)
from augury.training.card import Card

GENERATE = """Use on the command line:

    augury generate RUN -o images/ --number 50

In Python:

    import augury

    images = augury.Synthesizer.load("RUN").sample({labels}, seed=7)
"""
TRANSLATE = """Use on the command line:

    augury translate RUN new-images/ --change {change} -o translated/
"""
LIMITS = """## Intended use and limits

- Intended to add training images to rare classes or empty cells of the data below, for a classifier that is then tested on real
  images. Whether that helps depends on the data: `augury run` measures it.
- Not a source of facts: no image shows anything that exists. An image may show another class than was asked for.
- The generator can reproduce training images. Share it, and its images, only where you may share the training images.
- It knows only what its training images show: no other classes, cameras, sites or groups of people.
"""
UNSCORED = section("Scores", ["This generator has not been scored. Score it with: augury run -o RUN"])


def readme(
    card: Card,
    *,
    translates: bool,
    parameters: int,
    fingerprint: str,
    background: Background | None = None,
) -> str:
    """The card as Markdown.

    Parameters
    ----------
    card
        What the generator was trained with.
    translates
        Whether it changes images instead of drawing them from noise.
    parameters
        Number of weights.
    fingerprint
        Identifies weights and card.
    background
        Licence and name of the data, and sections with scores and a verdict; None: those that the card itself states.
    """
    reading = card.data_reading
    known = background or Background(
        licence=str(reading.get("licence", "")), medical=is_medical(reading, card.condition_names)
    )
    kind, source = "Translator" if translates else "Generator", cell(known.source) if known.source else ""
    lines = [
        front_matter(
            known.licence,
            card.classes,
            library_name="augury",
            pipeline_tag="image-to-image" if translates else "unconditional-image-generation",
            tags=[TAG, card.recipe, card.network, "synthetic-data", "data-augmentation"],
        ),
        f"# {kind} trained on {source or 'images'} ({cell(card.recipe)})",
        "",
        _described(card, translates),
        "",
        _usage(card, translates),
        *section("Training", bullets(_training(card, known.source, parameters))),
        *(known.sections or UNSCORED),
        LIMITS + (MEDICAL if known.medical else ""),
        *section("Provenance", bullets(_provenance(card, fingerprint))),
        *licence_lines(known.licence, card.licence_note),
    ]
    return "\n".join(lines)


def _training(card: Card, source: str, parameters: int) -> dict[str, str]:
    """How the generator was trained, and on what."""
    channels, height, width = card.shape
    reading = {key: value for key, value in card.data_reading.items() if key not in ("licence", "medical")}
    return {
        "Data": f"{source or 'not named'}, fingerprint {card.data_fingerprint}",
        "Images": f"{height} x {width} px (height x width), {'grey' if channels == 1 else 'RGB'}",
        "Read as": ", ".join(f"{key} {value}" for key, value in reading.items()),
        "Recipe": f"{card.recipe}, network {card.network}, {parameters:,} weights",
        "Network settings": ", ".join(f"{key}={value}" for key, value in card.settings.items()),
        "Steps": f"{card.steps:,} of {card.batch} images, {card.precision}, seed {card.seed}",
    }


def _provenance(card: Card, fingerprint: str) -> dict[str, str]:
    """What identifies the generator and its images."""
    return {
        "Fingerprint of weights and card": fingerprint,
        "Synthetic images": "state in their text chunks that they are synthetic, with this fingerprint, class, seed and index",
        "Versions": ", ".join(f"{name} {version}" for name, version in card.versions.items()),
        "Machine-readable": "card.json",
    }


def _described(card: Card, translates: bool) -> str:
    does = "changes images and keeps the rest of each image" if translates else "draws images from noise"
    text = f"It {does}. {len(card.classes):,} classes: {listed(card.classes)}."
    columns: list[Any] = list(zip(card.condition_names, card.condition_values, strict=True))
    return " ".join([text, *(f"Attribute {cell(name)}: {listed(values)}." for name, values in columns)])


def _usage(card: Card, translates: bool) -> str:
    if not translates:
        cell_of = [[0] * (1 + len(card.condition_names))]
        return GENERATE.format(labels=[card.classes[0]] if not card.condition_names else cell_of)
    named = [(name, values[0]) for name, values in zip(card.condition_names, card.condition_values, strict=True)]
    name, value = named[0] if named else ("label", card.classes[0])
    return TRANSLATE.format(change=f"{name}={value}")
