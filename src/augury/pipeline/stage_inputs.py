"""What decides the result of each stage. A stage is repeated exactly when this has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from augury import prediction, proof
from augury.pipeline import domains
from augury.verdict import FORMAT as VERDICT_FORMAT

if TYPE_CHECKING:
    from augury.pipeline.session import Session


def split(session: Session) -> Any:
    """The data, how they are split, and the images of the target domain."""
    data, target = session.settings.data, session.target
    return [
        session.data.fingerprint,
        data.validation,
        data.test,
        data.near_duplicates,
        session.settings.seed,
        session.flips,
        *(data.fold or ()),
        *([] if target is None else [domains.target_digest(target)]),
    ]


def classify(session: Session) -> Any:
    """The split."""
    return [session.run.key("split"), session.settings.seed, session.device.type, session.flips]


def train(session: Session) -> Any:
    """The training settings. Initial weights and unlabelled images count by their content, not by their path. A pretrained
    pipeline counts by both.
    """
    settings = session.settings.train
    return [
        session.run.key("classify"),
        settings.model_dump(exclude={"checkpoint_every", "track"}) | {"start_from": None, "unlabelled": None},
        session.initial_weights,
        hashlib.sha256(session.unlabelled.tobytes()).hexdigest(),
        session.settings.seed,
        session.device.type,
        session.flips,
        *([] if (pipeline := session.pipeline_digest) is None else [pipeline]),
    ]


def generate(session: Session) -> Any:
    """The generator, and the settings of the images drawn from it."""
    return [session.run.key("train"), session.settings.generate.model_dump(), session.settings.seed]


def score(session: Session) -> Any:
    """The generator, and how it is scored."""
    settings = session.settings
    return [
        session.run.key("train"),
        settings.score.model_dump(),
        settings.prove.steps,
        settings.prove.batch,
        settings.seed,
    ]


def prove(session: Session) -> Any:
    """The synthetic images, decisions by hand on them, and the settings of the trial. "all" and "usual" count by the arms
    they name, which a version may change.
    """
    settings = session.settings.prove
    return [
        session.run.key("generate"),
        settings.model_dump(exclude={"others"}),
        session.settings.seed,
        session.device.type,
        session.flips,
        VERDICT_FORMAT,
        *session.reviewed,
        *([session.drawn_by_others()] if settings.others else ()),
        *([list(proof.ARMS)] if "all" in settings.arms else ()),
        *([list(proof.USUAL), list(proof.USUAL_CELLS)] if "usual" in settings.arms else ()),
        *([list(proof.USUAL_DOMAINS)] if "usual" in settings.arms and session.target is not None else ()),
    ]


def classifier(session: Session) -> Any:
    """The trial, and the version of the stored classifier."""
    return [session.run.key("prove"), prediction.FORMAT]


def export(session: Session) -> Any:
    """The synthetic images, decisions by hand on them, and the format."""
    settings = session.settings
    allowed = ["allow"] if settings.prove.near_duplicates == "allow" else []
    return [session.run.key("generate"), settings.export.model_dump(), *allowed, *session.reviewed]


def report(session: Session) -> Any:
    """The stages that the report shows."""
    return [session.run.key(stage) for stage in ("score", "prove", "classifier", "export")]


INPUTS: dict[str, Callable[[Session], Any]] = {
    function.__name__: function
    for function in (split, classify, train, generate, score, prove, classifier, export, report)
}
"""Stage -> what decides its result."""
