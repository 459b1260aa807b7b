"""Augury: images for the classes that lack them, and proof whether they help a classifier."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from augury.data import load
    from augury.exports import ExportOptions
    from augury.exports import export_folder as export
    from augury.images import LabelledImages, SyntheticImages
    from augury.metrics.evaluate import evaluate
    from augury.pipeline.cross_validation import cross_validate
    from augury.pipeline.file_prediction import classifier
    from augury.pipeline.inputs import Callbacks
    from augury.pipeline.pretrained import pretrained
    from augury.pipeline.run_folder import Run
    from augury.pipeline.stages import run
    from augury.proof import prove
    from augury.settings import RunSettings
    from augury.training import Synthesizer, train
    from augury.tuning import tune
    from augury.verdict import Verdict

__version__ = "0.1.0"
logging.getLogger("augury").addHandler(logging.NullHandler())
__all__ = [
    "Callbacks",
    "ExportOptions",
    "LabelledImages",
    "Run",
    "RunSettings",
    "Synthesizer",
    "SyntheticImages",
    "Verdict",
    "classifier",
    "cross_validate",
    "evaluate",
    "export",
    "load",
    "pretrained",
    "prove",
    "run",
    "train",
    "tune",
]

_WHERE = {
    "Callbacks": "augury.pipeline.inputs:Callbacks",
    "ExportOptions": "augury.exports:ExportOptions",
    "LabelledImages": "augury.images:LabelledImages",
    "Run": "augury.pipeline.run_folder:Run",
    "RunSettings": "augury.settings:RunSettings",
    "SyntheticImages": "augury.images:SyntheticImages",
    "Synthesizer": "augury.training:Synthesizer",
    "Verdict": "augury.verdict:Verdict",
    "classifier": "augury.pipeline.file_prediction:classifier",
    "cross_validate": "augury.pipeline.cross_validation:cross_validate",
    "evaluate": "augury.metrics:evaluate",
    "export": "augury.exports:export_folder",
    "load": "augury.data:load",
    "pretrained": "augury.pipeline.pretrained:pretrained",
    "prove": "augury.proof:prove",
    "run": "augury.pipeline.stages:run",
    "train": "augury.training:train",
    "tune": "augury.tuning:tune",
}
"""Public name -> where it lives; looked up on first use, so that `import augury` does not import torch."""
_PACKAGES = (
    "augment",
    "data",
    "exports",
    "generation",
    "metrics",
    "networks",
    "prediction",
    "proof",
    "shards",
    "training",
)
"""Packages that are there as `augury.data` and so on after `import augury` alone."""


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"augury.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'augury' has no attribute '{name}'")
    module, attribute = _WHERE[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES, "__version__"])
