"""The cards of a run's generator and data set, with the scores and the verdict that the run has found so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from augury import exports
from augury.cards import README, Background, bullets, cell, is_medical, section, table
from augury.files import read_lines, write_text
from augury.images import SPLITS
from augury.metrics import SCORES, Score, ScoreCard
from augury.pipeline.session import Session

COPIES = tuple(f"{row.label}-" for row in SCORES.values() if "train" in row.needs)
"""Beginnings of the names of scores that say whether training images were memorised."""
BASELINE = (
    "Measured on the train and validation splits. The column real images is the baseline: the same score of held-out real images "
    "instead of generated ones."
)
CHANGING = ("train", "score", "prove")
"""Stages after which the cards are written again; the stage `export` writes that of the data set itself."""


def background(session: Session) -> Background:
    """What the cards of a run say about its data, settings, scores and verdict."""
    data = session.data
    sections = [*_data(session), *_images(session)]
    if _done(session, "score"):
        sections += _scores(session)
    if _done(session, "prove") and (session.run / "verdict.json").exists():  # a target without labels has none
        sections += section("Does it help a classifier?", [session.run.verdict.sentence])
    licence = session.settings.data.licence or str(data.notes.get("licence", ""))
    recipe = session.synthesizer.card.recipe if session.trained else ""
    medical = is_medical(data.notes, data.attributes)
    return Background(licence, session.source_name, recipe, tuple(sections), medical)


def write_cards(session: Session) -> None:
    """Write the cards of the generator and the data set again, as far as both exist and are up to date."""
    known = background(session)
    if _done(session, "train"):
        write_text(session.run / "synthesizer" / README, session.synthesizer.readme(known))
    kind = session.settings.export.format
    path = exports.dataset_path(session.run.path, kind)
    if _done(session, "export") and (card := exports.card_path(path, kind)).exists():
        rows = _rows_of_file(session) if kind in exports.FILES else read_lines(path / exports.MANIFEST)
        counts = exports.count(rows, session.data.classes)
        write_text(card, exports.readme(path.name, counts, session.data.shape, known, kind=kind))


def _rows_of_file(session: Session) -> Iterator[dict[str, Any]]:
    """What the manifest would say of a data set of one file."""
    path = exports.dataset_path(session.run.path, session.settings.export.format)
    return (row.facts for row in exports.rows_of(session.splits["train"], session.exported(), path))


def _done(session: Session, stage: str) -> bool:
    """Whether a stage is done with its present inputs; False where a stage that it needs is not."""
    try:
        return session.run.is_done(stage, session.inputs(stage))
    except KeyError:
        return False


def _data(session: Session) -> list[str]:
    counts = {name: session.splits[name].counts.tolist() for name in SPLITS}
    rows = [[name, *(of[c] for of in counts.values())] for c, name in enumerate(session.data.classes)]
    used = "The generator is trained on the train split. The validation split selects it, and the test split is read for the verdict alone."
    return section("Source data", [f"Real images of each class. {used}", "", *table(rows, ["class", *counts])])


def _images(session: Session) -> list[str]:
    """How the synthetic images of the run are drawn."""
    values = session.settings.generate.model_dump(mode="json")
    plain = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in values.items()}
    return section("Settings of the synthetic images", bullets({**plain, "seed": session.settings.seed}))


def _scores(session: Session) -> list[str]:
    stored = session.run.read("scores")
    scores = [score for score in ScoreCard.from_dict(stored).scores if not score.group]
    copies = [score for score in scores if score.name.startswith(COPIES)]
    looked: list[dict[str, Any]] = stored["copies"]["looked"]
    found = [
        f"- {row['copies']:,} of {row['fakes']:,} generated images are near-duplicates of one of {row['train']:,} train images "
        f"({cell(row['features'])})"
        for row in looked
    ]
    notes = [line for note in stored.get("notes", ()) for line in (note, "")]
    rows = _rows([score for score in scores if score not in copies])
    memorisation = _rows(copies) if copies else ["Scores of memorisation were not computed."]
    return [
        *section("Scores", [BASELINE, "", *rows, *notes]),
        *section("Memorisation", [*found, *([""] if found else []), *memorisation]),
    ]


def _rows(scores: list[Score]) -> list[str]:
    rows = [
        [
            score.name,
            f"{score.value:.3g}",
            f"{score.low:.3g} to {score.high:.3g}",
            "" if score.baseline is None else f"{score.baseline:.3g}",
            score.n,
            score.better,
            score.note,
        ]
        for score in scores
    ]
    return table(rows, ["score", "value", "95 % interval", "real images", "images", "better", "note"])
