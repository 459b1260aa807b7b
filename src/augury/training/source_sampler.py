"""A translator used like a generator from noise: its images are translations of random train images."""

from __future__ import annotations

import copy

import numpy as np

from augury.data.cells import cells, members
from augury.images import Codes, LabelledImages, SyntheticImages
from augury.randomness import rng
from augury.training.card import Card
from augury.training.synthesizer import Synthesizer


class SourceSampler:
    """Provides `sample(conditions)` like a generator from noise, so the same scores apply to both.

    Each image is the translation of a random train image of a known cell that differs in one column. All such cells are
    equally frequent. A cell without any move into it is translated from its own images.
    """

    def __init__(self, translator: Synthesizer, train: LabelledImages, class_moves: bool = True) -> None:
        self.translator, self.train = translator, train
        names = translator.card.condition_names
        table = cells(train, names, class_moves=class_moves)
        self.conditions = train.conditions(names)
        rows = members(self.conditions, table)
        self.sources = {
            cell: [rows[move.source] for move in moves] or [rows[cell]] for cell, moves in table.moves_into.items()
        }

    def without(self, rows: Codes) -> SourceSampler:
        """A copy that translates none of these train images, except in cells without other images."""
        reduced = copy.copy(self)
        reduced.sources = {}
        for cell, choices in self.sources.items():
            left = [np.setdiff1d(among, rows) for among in choices]
            reduced.sources[cell] = [each for each in left if len(each)] or choices
        return reduced

    @property
    def card(self) -> Card:
        """The card of the translator."""
        return self.translator.card

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the translator."""
        return self.translator.fingerprint

    def sample(self, labels: Codes, *, seed: int = 0) -> SyntheticImages:
        """Conditions int64 [N, K], or class codes [N] without attributes -> one translation for each."""
        conditions = np.asarray(labels, np.int64).reshape(len(labels), -1)
        random, rows = rng(seed, "sources"), np.empty(len(conditions), np.int64)
        for i, (cell, (which, position)) in enumerate(
            zip(map(tuple, conditions.tolist()), random.random((len(conditions), 2)), strict=True)
        ):
            choices = self.sources[cell]
            among = choices[int(which * len(choices))]
            rows[i] = among[int(position * len(among))] if len(among) else int(position * len(self.train))
        indices, card = np.arange(len(rows), dtype=np.int64), self.card
        changes = self.translator.changes(self.conditions[rows], conditions)
        images = self.translator.translate(self.train.images[rows], changes, seed=seed, indices=indices)
        return SyntheticImages(
            images, conditions, card.condition_names, card.classes, seed, indices, self.fingerprint, sources=rows
        )


def sampler(synthesizer: Synthesizer, train: LabelledImages, class_moves: bool = True) -> Synthesizer | SourceSampler:
    """Get an object that draws images for conditions.

    Parameters
    ----------
    synthesizer
        A generator or a translator.
    train
        The images that a translator translates.
    class_moves
        Whether a translator may change the class.

    Returns
    -------
    The generator itself, or a translator with its train images.
    """
    return SourceSampler(synthesizer, train, class_moves) if synthesizer.translates else synthesizer
