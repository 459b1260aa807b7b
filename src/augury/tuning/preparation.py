"""What a search needs before its first trial: images, classifier, space, study, and how the time is divided."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from augury import proof, training
from augury.durations import with_unit
from augury.errors import DataError, SettingsError
from augury.files import digest
from augury.images import LabelledImages
from augury.metrics.check import ENOUGH
from augury.networks import NETWORKS, lite0_installed
from augury.pipeline.inputs import Callbacks
from augury.pipeline.progress import spoken
from augury.pipeline.session import Session
from augury.pipeline.stages import advance, opened
from augury.randomness import derived_seed
from augury.settings import RunSettings, TrainSettings
from augury.training.plan import BATCH, BATCHES
from augury.training.recipes import PRETRAINED, RECIPES
from augury.tuning import study as studies
from augury.tuning.objectives import OBJECTIVES, Judge
from augury.tuning.space import Candidate, Dimension, Space, chosen_dimensions, fixes_recipe

if TYPE_CHECKING:
    from optuna import Study

OURS = frozenset(("base", "trials", "winner", "winner.yaml", "tune.json", "report.html"))
"""What a folder of a search holds."""
CANDIDATES = ("r3gan", "stylegan", "projected", "flow", "vae")
"""Recipes that compete with the one that is suitable for the device."""
TRIALS = 24
"""Trainings that fit into the time by default, with those of the finalists."""
LEAST = 3.0
"""Fewest seconds of training of a trial, unless the settings say less."""
OVERHEAD = 1.3
"""Factor on the time of a training: measuring the speed, and the scores while it trains."""
PATIENCE = 1.0
"""Seconds of the measurement of speed."""
FINALS = 3
"""Trainings from a fresh seed that are part of the time."""


@dataclass
class Times:
    """The time of a search and what it is for, in seconds.

    Attributes
    ----------
    began
        Of the clock `time.monotonic`.
    limit
        Time of the whole call.
    training
        Training time of a trial.
    trial
        Expected time of a trial; the longest so far.
    final
        Expected time of the final training, with reading and splitting the data again.
    reserve
        Time that no trial of the search may use.
    """

    began: float
    limit: float
    training: float = 0.0
    trial: float = 0.0
    final: float = 0.0
    reserve: float = 0.0
    _took: list[float] = field(default_factory=list)

    def left(self) -> float:
        """Seconds left."""
        return self.limit - (monotonic() - self.began)

    def took(self, seconds: float) -> None:
        """A trial took so long."""
        self._took.append(seconds)
        self.trial = max(self._took)


@dataclass(frozen=True)
class Prepared:
    """What all trials share.

    Attributes
    ----------
    session
        The run folder `base`: data, split and classifier. Its splits are without the test images.
    study, space, judge, objective, times
        The study, what is searched, what judges it, the name of the objective, and the time.
    real
        The objective of real images, where that has a meaning.
    notes
        Name -> dimension, for the report.
    turns
        A context in which to ask the study for a trial.
    """

    session: Session
    study: Study
    space: Space
    judge: Judge
    objective: str
    times: Times
    real: float | None
    notes: Mapping[str, Dimension]
    turns: AbstractContextManager[Any]

    def trained(self, train: TrainSettings) -> TrainSettings:
        """The training settings of a trial: with its time, unless the user has set steps."""
        return train if train.steps is not None else train.model_copy(update={"budget": self.times.training})


def prepare(
    source: LabelledImages | str | os.PathLike[str] | None,
    root: Path,
    *,
    settings: RunSettings | None,
    objective: str | None,
    address: str | None,
    recipes: tuple[str, ...],
    search: tuple[str, ...],
    callbacks: Callbacks,
    times: Times,
    fixed: frozenset[str] = frozenset(),
) -> Prepared:
    """Read and split the data, train the classifier, and open the study; parameters as of `tune`."""
    began = monotonic()
    root.mkdir(parents=True, exist_ok=True)
    address = address or str(root / "study.journal")
    quiet, lock = replace(callbacks, plan=None), FileLock(str(root / ".base.lock"))
    with lock, opened(source, root / "base", settings=settings, callbacks=quiet) as session:
        _refuse(session.settings)
        advance(session, "classify")
        splits = {name: session.splits[name] for name in ("train", "validation")}
    session.__dict__["splits"] = splits  # nothing of a search can read the test split
    base, train, held = session.settings, splits["train"], splits["validation"]
    if len(held) < ENOUGH:
        raise DataError(
            f"{session.source_name}: the search judges by validation images, and there are {len(held)}; put at least {ENOUGH} into "
            "the validation split, or use --split new"
        )
    stored = studies.stored_facts(address)
    objective = objective or str(stored.get("objective", "gan_train"))
    fixed = fixed.union(stored.get("fixed", ()))
    judge = Judge(
        train,
        held,
        session.classifier,
        session.own_features(),
        session.flips,
        session.device,
        derived_seed(base.seed, "judge"),
    )
    preparing = monotonic() - began
    space = Space(base, _candidates(session, recipes, objective), chosen_dimensions(base, search, fixed))
    if search and "recipe" not in search:
        space = Space(base, {space.default.name: space.default}, space.dimensions)
    shared = address != str(root / "study.journal")
    identity = studies.Identity(data_key(session, splits), space.key(), objective, tuple(sorted(fixed)))
    study = studies.opened(address, identity, derived_seed(base.seed, "sampler", os.getpid() if shared else 0))
    started = monotonic()
    real = _real(judge, base) if objective != "kid" else None
    _divide(times, session, study, preparing, monotonic() - started if real is not None else 1.0)
    for number in studies.fail_killed(study, times.training):
        callbacks.note(f"trial {number} has no result, since its process was killed; it counts as failed")
    turns = studies.turns(address)
    with turns:
        studies.enqueue_defaults(study, space)
    callbacks.note(
        f"Search for better {OBJECTIVES[objective].title}: each trial trains for {_length(base, times)}; {spoken(times.left())} left, of "
        f"which {spoken(times.reserve)} for the finalists and the final training"
    )
    notes = {dimension.name: dimension for dimension in space.dimensions}
    return Prepared(session, study, space, judge, objective, times, real, notes, turns)


def data_key(session: Session, splits: Mapping[str, LabelledImages]) -> str:
    """Identifies the images that a search reads, and how they are split."""
    codes = np.load(session.run / "split.npy", allow_pickle=False)
    return digest([session.data.fingerprint, codes.tolist(), session.flips, [len(each) for each in splits.values()]])


def _length(settings: RunSettings, times: Times) -> str:
    return f"{settings.train.steps:,} steps" if settings.train.steps is not None else spoken(times.training)


def _refuse(settings: RunSettings) -> None:
    """Raise SettingsError for settings with which there is nothing to search."""
    train, data = settings.train, settings.data
    reasons = [
        (train.recipe == "translator", "train.recipe=translator", "a translator has no image from noise to judge"),
        (train.recipe in PRETRAINED, f"train.recipe={train.recipe}", "a pretrained pipeline is not trained"),
        (train.unconditional, "train.unconditional=true", "images without a class cannot train a classifier"),
        (train.start_from is not None, "train.start_from", "initial weights fit one network only"),
        (train.unlabelled is not None, "train.unlabelled", "the search trains on labelled images alone"),
        (data.target is not None, "data.target", "a target domain needs a translator"),
    ]
    for wrong, name, why in reasons:
        if wrong:
            raise SettingsError(f"augury tune does not go with {name}: {why}; leave it out")


def _candidates(session: Session, recipes: tuple[str, ...], objective: str) -> dict[str, Candidate]:
    """The recipes of a search, the default first. Recipes that the images do not allow are left out, unless they are named."""
    base, train = session.settings, session.splits["train"]
    default, _ = training.resolve_recipe(train, base.train, session.device)
    for name in recipes:
        if name not in RECIPES or name == "translator":
            others = ", ".join(each for each in RECIPES if each != "translator")
            raise SettingsError(f"--recipes: there is no recipe '{name}' to search; choose among: {others}")
    if recipes and fixes_recipe(base.train):
        raise SettingsError(
            "--recipes chooses among recipes, and the settings give one recipe or its settings; leave one of them out"
        )
    names = [default]
    if not fixes_recipe(base.train):
        names = list(dict.fromkeys([default, *(recipes or CANDIDATES)]))
    candidates = {}
    for name in names:
        if name == "projected" and not recipes and name != default and not lite0_installed():
            continue
        try:
            _, rule = training.resolve_recipe(train, base.train.model_copy(update={"recipe": name}), session.device)
        except SettingsError:
            if name == default or name in recipes:
                raise
            continue
        usual = BATCHES.get(NETWORKS[rule.network].method, BATCH)
        batch = base.train.batch or min(usual, len(train))
        candidates[name] = Candidate(name, rule, batch, len(train), min(train.shape[1:]), objective)
    return candidates


def _real(judge: Judge, settings: RunSettings) -> float:
    """Accuracy on validation of a classifier that is trained on the real images."""
    config = proof.TrainConfig(steps=settings.prove.steps, batch=settings.prove.batch, balanced=True)
    return judge.fitted(judge.train, config)


def _divide(times: Times, session: Session, study: Study, preparing: float, judging: float) -> None:
    """Decide how long a trial trains, and what is reserved for the end.

    Raises SettingsError where the time does not suffice for two trials and the final training.
    """
    base = session.settings
    plan, step, _ = training.step_seconds(
        session.splits["train"], base.train, device=session.device, flips=session.flips, patience=PATIENCE
    )
    usual = base.train.budget if base.train.budget is not None and base.train.steps is None else plan.steps * step
    judged = 2 * judging + 1.0
    stored = study.user_attrs.get("seconds")
    if base.train.steps is not None or base.train.budget is not None:
        times.training = usual
    elif stored is not None:
        times.training = float(stored)
    else:
        rest = 0.95 * times.left() - preparing
        times.training = min(usual, max(LEAST, (rest / TRIALS - judged) / OVERHEAD))
    times.trial = OVERHEAD * times.training + judged
    times.final = 1.2 * times.training + preparing
    needed = 2 * times.trial + times.final
    if times.left() < needed:
        most = int(np.ceil(1.05 * (needed + times.limit - times.left()) / 60))
        raise SettingsError(
            f"{with_unit(times.limit)} is too little: two trials and the final training need about {spoken(needed)}; use --time "
            f"{most}m, a smaller --size in a new folder, or shorter trainings with --set train.budget=10s"
        )
    finals = FINALS * times.trial
    times.reserve = times.final + (finals if times.left() - times.final - finals > 2 * times.trial else 0.0)
    if stored is None:
        study.set_user_attr("seconds", times.training)
