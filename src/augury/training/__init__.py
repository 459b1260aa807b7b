"""Networks and losses, played as a game, become a Synthesizer."""

from __future__ import annotations

from augury.training.batches import as_float, as_uint8
from augury.training.devices import choose_device, choose_precision, keep_memory
from augury.training.loop import Progress, train_plan
from augury.training.plan import Plan, make_plan
from augury.training.synthesizer import Card, Synthesizer

__all__ = [
    "Card",
    "Plan",
    "Progress",
    "Synthesizer",
    "as_float",
    "as_uint8",
    "choose_device",
    "choose_precision",
    "keep_memory",
    "make_plan",
    "train_plan",
]
