"""The stage `classifier`: train the best arm of the trial once more, calibrate and measure the network, and store it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from augury import prediction, proof
from augury.data.cells import LEAST
from augury.files import atomic_folder
from augury.images import SPLITS
from augury.pipeline.environment import versions
from augury.pipeline.run_folder import Run
from augury.pipeline.session import Session
from augury.pipeline.trial_cache import trial_results
from augury.prediction.card import README
from augury.randomness import derived_seed
from augury.sentences import on_validation
from augury.settings import AUTO
from augury.verdict import Verdict

FOLDER = "classifier"
READING = ("fit", "window", "stretch", "transparency")
"""Settings of reading that decide the pixels of an image."""
NOTES = ("resizing", "original_sizes", "colour", "tones", "licence", "grouped_by", "medical")
"""Notes on the training images that a user of the classifier needs."""


def trial_inputs(session: Session) -> dict[str, Any]:
    """The images and settings of the run's trial, as keyword arguments of `proof.prove` and `proof.prepare`."""
    s = session.settings
    train, validation, test = (session.splits[name] for name in SPLITS)
    seen = proof.recorded(session.run / "seen")
    for name, path in s.prove.others.items():
        seen |= {
            f"{component} of {name}": image_hashes
            for component, image_hashes in proof.recorded(Run(path) / "seen").items()
        }
    return {
        "train": train,
        "validation": validation,
        "test": test,
        "synthetic": session.synthetic,
        "settings": s.prove,
        "seed": s.seed,
        "device": session.device,
        "flips": session.flips,
        "condition": s.train.condition if session.translates and session.target is None else (),
        "rare": LEAST if session.translates else 1,
        "target": None if session.target is None else session.target.images,
        "extra": session.pseudo_labelled() | session.others,
        "layers": session.layers,
        "seen": seen,
        "own_size": session.own_size,
    }


def store_classifier(session: Session) -> None:
    """Choose the best way to train, train it on the train split, and write the folder classifier/ of the run.

    Validation chooses the arm, calibrates, and sets the novelty threshold. The test split measures the network once.
    """
    verdict, inputs, target = session.run.verdict, trial_inputs(session), session.run / FOLDER
    settled: dict[str, Any] = {}
    if verdict.leaks is not None and not verdict.leaks["left_out"]:  # the trial has searched and found no copies
        settled["near_duplicates"] = "allow"
    if inputs["settings"].classifier == AUTO:  # the trial has chosen
        settled["classifier"] = verdict.classifier["name"]
    inputs["settings"] = inputs["settings"].model_copy(update=settled)
    trial = proof.prepare(**inputs, results=trial_results(session.run))
    trainings, splits = trial.trainings, trial.splits
    choice = prediction.choose(
        verdict,
        blind=_blind(session, verdict),
        unstorable=trainings.unstorable,
        chosen_on_validation=partial(_chosen_on_validation, session, verdict),
    )
    if isinstance(choice, str):
        return _store_reason(session, choice, target)
    seed = derived_seed(session.settings.seed, "classifier to take away")
    final = trainings.trained(choice.arm, verdict.ratio, seed)
    card = _card(session, choice, final, verdict, seed, splits.train.notes)
    finished = prediction.finished(
        final.network, card, splits.train, splits.validation, splits.test, seed=seed, point=trainings.point
    )
    stored = finished.save(target)
    value, low, high = stored.card.test["balanced_accuracy"]
    session.callbacks.note(
        f"The classifier to take away is trained as in the arm {choice.arm}: balanced accuracy {100 * value:.1f} % ({100 * low:.1f} to "
        f"{100 * high:.1f}) on the test split. Use it with: augury predict {session.run.path} NEW-IMAGES -o predictions.csv"
    )


def _blind(session: Session, verdict: Verdict) -> str:
    """Why the validation split cannot choose the arm; "" if it can."""
    if session.target is not None:
        return "it is of the source domain, and the classifier is for the target domain"
    return "it has no image of an empty cell" if verdict.cells else ""


def _chosen_on_validation(session: Session, verdict: Verdict, arm: str) -> str:
    """What of an arm was chosen on the validation split, in words."""
    settings, rule = session.settings.prove, proof.ARMS[arm]
    chosen = ["number of synthetic images"] if verdict.ratio_curve and rule.shows and rule.ratio is None else []
    if len(settings.learning_rates) * len(settings.weight_decays) > 1:
        chosen.append("learning rate and weight decay")
    return " and the ".join(chosen)


def _store_reason(session: Session, reason: str, target: Path) -> None:
    """Write the reason why there is no classifier in its place."""
    text = f"{reason[:1].upper()}{reason[1:]}. Other classifiers can be stored: prove.classifier=cnn, resnet or linear_probe"
    with atomic_folder(target) as temporary:
        (temporary / README).write_text(text + "\n", encoding="utf-8")
    session.callbacks.note(text)


def _card(
    session: Session,
    choice: prediction.Choice,
    final: proof.FinalNetwork,
    verdict: Verdict,
    seed: int,
    notes: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields of the card that describe choice, training and data."""
    config, data, rule = final.config, session.data, proof.ARMS[choice.arm]
    settings = session.settings.data
    shown = 0 if config.synthetic is None or not config.ratio else len(config.synthetic[0])
    return {
        "blueprint": final.blueprint,
        "arm": {
            "name": choice.arm,
            "note": rule.note,
            "ratio": config.ratio,
            "by": choice.by,
            "why": choice.why,
            "scores": choice.scores,
            "metric": on_validation(verdict) if choice.by == "validation" else verdict.metric,
        },
        "training": {
            "images": final.images,
            "synthetic": shown,
            "steps": config.steps,
            "batch": config.batch,
            "rate": config.rate,
            "decay": config.decay,
            "seed": seed,
            "device": session.device.type,
            "precision": final.precision,
        },
        "data": {
            "source": session.source_name,
            "fingerprint": data.fingerprint,
            "counts": {name: part.counts.tolist() for name, part in session.splits.items()},
            "reading": {name: getattr(settings, name) for name in READING},
            "notes": {name: notes[name] for name in NOTES if name in notes},
        },
        "outcome": verdict.outcome,
        "remarks": choice.remarks,
        "versions": versions(),
    }
