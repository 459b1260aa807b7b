"""What a run costs: the time of each stage and the disk space, estimated before it begins; and how a time is divided.

The steps of the generator and of the classifiers are measured for about a second. The other stages are estimated from numbers of
images. An estimate decides nothing, except with a time for the whole run: the steps that fit are then stored as settings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from augury import generation, networks, proof, training
from augury.data.decoding.resize import resized
from augury.durations import with_unit
from augury.errors import SettingsError
from augury.files import digest
from augury.metrics.lite0 import SIDE
from augury.pipeline.judge_images import judge_size
from augury.pipeline.progress import RunCost, StageCost, spoken
from augury.pipeline.session import CLASSIFIER_STEPS, Session
from augury.settings import AUTO, ProveSettings, RunSettings
from augury.training.recipes import CANDIDATES, RECIPES, Recipe

PATIENCE = 0.4
"""Seconds of each of the two measurements: the generator's steps and those of the classifiers."""
FEATURES = {"cpu": 7e-3}
"""Seconds to extract the features of one image; 5e-4 on other devices. Measured with lite0 on two cores."""
OTHER_FEATURES = 5e-4
LAYERS = 0.4
"""Time of a training step of the discriminator's layers as a classifier, as a share of a step of the whole GAN."""
MONITOR = 1.1
"""Factor on the training time for the evaluations during training."""
TRIAL_SHARE = 0.45
"""Share of the time for trainings that the trial gets, until it has its default number of steps."""
MARGIN = 0.9
"""Share of the given time that is planned; the rest covers the error of the estimate."""
LEAST_TRAIN, LEAST_PROVE = 100, 30
"""Fewest steps of a generator and of a classifier that a time is divided into."""
LEAST_FINE_TUNING = 0.02
"""Seconds of a step of fine-tuning on any machine. It is not measured where even this would take too long."""
CHECKPOINTS = 3
"""Checkpoints on disk while the next one is written."""


class TooShortError(SettingsError):
    """A time does not suffice for the fewest steps.

    Parameters
    ----------
    limit
        The time in words.
    needed
        What is needed, in words.
    remedy
        What to do.
    size
        Height and width of the images.
    """

    def __init__(self, limit: str, needed: str, remedy: str, size: tuple[int, int]) -> None:
        super().__init__(f"{limit} is too short for the whole run: {needed}; {remedy}")
        self.needed, self.size = needed, size


@dataclass(frozen=True)
class Speed:
    """Measured speed: `plan` of the generator, seconds of its step, bytes of its checkpoint, and seconds of a step by arm.

    `fine_tuning`: seconds of a step of the slowest candidate of the trial's classifier that fine-tunes a network; 0 for none.
    """

    plan: training.Plan
    train_step: float
    checkpoint: int
    arms: Mapping[str, float]
    fine_tuning: float = 0.0

    @property
    def classifier_step(self) -> float:
        """Seconds of a step of the run's classifier."""
        return self.arms.get("classical") or max(self.arms.values(), default=0.0) or LAYERS * self.train_step


def trial_facts(session: Session, name: str, rule: Recipe) -> dict[str, Any]:
    """What decides which arms can be trained, as the keyword arguments of `proof.check_trial`."""
    settings = session.settings
    without_holes = "" if training.translates(rule) else f"the recipe {name} fills none; use recipe translator"
    if session.target is not None:
        without_holes = "this run has a target domain; leave --target out"
    return {
        "sources": {*session.others, *([proof.UNLABELLED] if settings.train.unlabelled else ())},
        "without_layers": training.lacks_layers(name, rule),
        "without_holes": without_holes,
        "target": session.target is not None,
    }


def drawing_share(rule: Recipe) -> float:
    """Time to draw an image, at most, as a share of the time of one image of a training step.

    A training pass goes forward and backward, which is three times the operations of a pass forward. The rest of a step, such
    as the discriminator, is not subtracted. For a pretrained pipeline, which is not trained, the time of a step is that of an
    image.
    """
    return 1.0 if training.trains_nothing(rule) else networks.passes(rule.network, rule.settings) / 3


class CostModel:
    """Estimates the cost of the `pending` stages of a run from its data, its settings and its measured speed."""

    def __init__(self, session: Session, pending: Collection[str], seconds: float | None = None) -> None:
        self.session, self.pending, self.settings = session, pending, session.settings
        self.arms: tuple[str, ...] = ()
        self.speed = self._measure()
        self.fine_tunes = bool(self._fine_tuned)
        if self.fine_tunes or self._may_fine_tune(seconds):
            names = self._fine_tuned or (proof.FINETUNED,)
            self.speed = replace(self.speed, fine_tuning=max(map(self._fine_tuning_step, names)))
        data, shares = session.data, self.settings.data
        train_share = 1 - shares.validation - shares.test if data.split is None else float(np.mean(data.split == 0))
        self.train_images = max(1, round(train_share * len(data)))
        self.new_images = self._new_images(train_share)

    def _measure(self) -> Speed:
        session, prove = self.session, self.settings.prove
        if session.trained and not session.planned().steps and not {"generate", "score"} & set(self.pending):
            plan, step, checkpoint = session.planned(), 0.0, 0  # no image of the pretrained pipeline is needed
        else:
            plan, step, checkpoint = training.step_seconds(
                session.foreseen, session.train_settings, device=session.device, flips=session.flips, patience=PATIENCE
            )
        if "prove" in self.pending:
            facts = trial_facts(session, plan.recipe, plan.rule)
            self.arms = proof.expected_arms(prove, session.data.shape, session.device, **facts)
        measured = ("classical", *self.arms)
        seconds = proof.measure_steps(
            measured, prove, session.data, device=session.device, flips=session.flips, patience=PATIENCE
        )
        return Speed(plan, step, checkpoint, seconds)

    @property
    def _fine_tuned(self) -> tuple[str, ...]:
        """The candidates of the trial's classifier that fine-tune a network."""
        session, prove = self.session, self.settings.prove
        if "prove" not in self.pending or prove.classifier != AUTO:
            return ()
        names = proof.candidates(prove, session.data.shape, session.device, target=session.target is not None)
        return tuple(name for name in names if name.startswith("finetune"))

    @property
    def _default_candidates(self) -> bool:
        """Whether it is open if fine-tuning is a candidate of the trial's classifier."""
        return proof.may_fine_tune(self.settings.prove, target=self.session.target is not None)

    def _may_fine_tune(self, seconds: float | None) -> bool:
        """Whether fine-tuning could fit into a time for the whole run, so that it is worth measuring."""
        if seconds is None or "prove" not in self.pending or not self._default_candidates:
            return False
        return self.trial()[0] * ProveSettings().steps * LEAST_FINE_TUNING < TRIAL_SHARE * seconds

    def _fine_tuning_step(self, name: str) -> float:
        """Seconds of a step of a network that is fine-tuned, on images of the size that it sees."""
        session, prove = self.session, self.settings.prove.model_copy(update={"classifier": name})
        few = session.data.take(np.arange(min(len(session.data), prove.batch)))
        size = judge_size(session.data, prove)
        if size is not None:
            few = replace(few, images=resized(np.asarray(few.images), size, self.settings.data.fit))
        return proof.measure_steps(
            ("classical",), prove, few, device=session.device, flips=session.flips, patience=PATIENCE
        )["classical"]

    def _new_images(self, train_share: float) -> int:
        """About how many images the generator adds."""
        if training.translates(self.speed.plan.rule):
            return self.train_images
        strategy = self.settings.generate.sampling_strategy
        usual = "tail" if strategy == "auto" else strategy
        amounts = generation.amounts(self.session.data, usual, self.settings.train.condition)
        return round(train_share * int(amounts.numbers.sum()))

    @property
    def _ratios(self) -> list[float]:
        plain = self.session.target is None and not training.translates(self.speed.plan.rule)
        return sorted({0.0, *self.settings.prove.ratios}) if plain else [0.0]

    def trial(self) -> tuple[int, float]:
        """(number of trainings, seconds of one step of all of them)."""
        if not self.arms:
            return 0, 0.0
        number = proof.number_of_trainings(self.settings.prove, self.arms, self._ratios)
        layers = LAYERS * self.speed.train_step * self.settings.prove.batch / self.speed.plan.batch
        each = [
            layers * proof.relative_cost(proof.ARMS[name]) if proof.ARMS[name].network else self.speed.arms[name]
            for name in self.arms
        ]
        slowest = max(float(np.mean(each)), self.speed.fine_tuning * self.fine_tunes)
        return number, number * slowest

    def features_of_trial(self) -> float:
        """Seconds to extract the pretrained features of a trial that may be on features, at most; 0 if it is on images."""
        session, held_out = self.session, len(self.session.data) - self.train_images
        size = judge_size(session.data, self.settings.prove) or session.data.shape[1:]
        images, side = proof.feature_images(
            self.settings.prove,
            self.arms,
            (session.data.shape[0], *size),
            session.device,
            train=self.train_images,
            held_out=held_out,
            new=self.new_images,
            target=session.target is not None,
        )
        return images * FEATURES.get(session.device.type, OTHER_FEATURES) * (side / SIDE) ** 2

    def _one_step(self) -> float:
        """Seconds of a step of the slowest arm's classifier, trained alone; it is not known yet which arm that will be."""
        alone = min(self.settings.prove.seeds, torch.get_num_threads()) if self.session.device.type == "cpu" else 1
        step = max([self.speed.arms.get(name, 0.0) for name in self.arms], default=self.speed.classifier_step)
        return alone * max(step, self.speed.fine_tuning * self.fine_tunes)

    def cost(self, train_steps: int, prove_steps: int) -> RunCost:
        """The cost with these steps of the generator and of each classifier of the trial."""
        settings, speed, data = self.settings, self.speed, self.session.data
        values, step = int(np.prod(data.shape)), speed.classifier_step
        judges = proof.MEMBERS * (1 + len(settings.train.condition)) if training.translates(speed.plan.rule) else 0
        filters = generation.filters_for_translations(
            settings.generate.filters, groups=self.session.data.groups is not None
        )
        names = {rule.name for rule in generation.rules(filters)} if judges else set()
        identity = generation.FOLDS if "identity" in names else 0
        trainings, trial_step = self.trial()
        on_features = self.features_of_trial() if trainings else 0.0
        exported = self.train_images + self.new_images
        per_feature = FEATURES.get(self.session.device.type, OTHER_FEATURES)
        search = (1e-4 + 1e-7 * values) * (settings.data.near_duplicates != "allow")
        draw = self._drawing_share() * speed.train_step / speed.plan.batch
        draws = 2 * self.new_images * draw
        limit = min(settings.score.limit, self.train_images // 2)
        trains_nothing = training.trains_nothing(speed.plan.rule)  # then train_step is the time of one image
        costs = {
            "split": StageCost(f"{len(data):,} images", len(data) * search),
            "classify": StageCost(f"1 training of {CLASSIFIER_STEPS:,} steps", CLASSIFIER_STEPS * step),
            "train": StageCost("1 image, as a check of the pipeline", speed.train_step)
            if trains_nothing
            else StageCost(self._training(train_steps), MONITOR * train_steps * speed.train_step),
            "generate": StageCost(
                f"about {self.new_images:,} images",
                draws + (judges * CLASSIFIER_STEPS + identity * proof.IDENTITY_STEPS) * step,
            ),
            "score": StageCost(
                f"{limit:,} images of each set",
                4 * limit * per_feature + 2 * prove_steps * step + trains_nothing * 2 * limit * speed.train_step,
            ),
            "prove": StageCost(
                f"{trainings:,} trainings of {prove_steps:,} steps", prove_steps * trial_step + on_features
            ),
            "classifier": StageCost(f"1 training of {prove_steps:,} steps", prove_steps * self._one_step()),
            "export": StageCost(f"about {exported:,} images", exported * (1e-4 + 6e-8 * values)),
            "report": StageCost("one page", 1.0),
        }
        stages = {name: cost for name, cost in costs.items() if name in self.pending}
        trained = sum(name in stages for name in ("classify", "classifier")) + (
            "train" in stages and not trains_nothing
        )
        number = trainings + trained + (judges + identity) * ("generate" in stages)
        disk = CHECKPOINTS * speed.checkpoint * ("train" in stages)
        disk += exported * max(values, 4096) * ("export" in stages) + 2 * self.new_images * values * (
            "generate" in stages
        )
        return RunCost(stages, number, disk)

    @property
    def _open(self) -> bool:
        """Whether a contest may still choose the recipe; the speed is that of the suitable one."""
        return self.settings.train.contested and self.session.contest is None and self.session.target is None

    def _drawing_share(self) -> float:
        """`drawing_share` of the recipe. Where a contest may choose it, that of the candidate that draws most slowly: the images
        of a training step take the candidates about equally long.
        """
        rules = [self.speed.plan.rule, *(RECIPES[name] for name in CANDIDATES if self._open)]
        return max(map(drawing_share, rules))

    def _training(self, steps: int) -> str:
        """The training in words. Where a contest may choose the recipe, its time is known, but not its steps."""
        if self._open:
            return "1 training; a contest may choose its recipe"
        return f"1 training of {steps:,} steps ({self.speed.plan.recipe})"

    def of(self, pending: Collection[str]) -> CostModel:
        """The model of a run at the same speed with these stages to do."""
        model = copy(self)
        model.pending = pending
        return model

    def steps_within(self, seconds: float) -> tuple[int, int]:
        """(steps of the generator, steps of each classifier of the trial) that fit into a time for the whole run.

        Of the time that the other stages leave, the trial gets TRIAL_SHARE, but no more than its default number of steps needs.
        The generator gets the rest. A stage that is done keeps its steps. Fine-tuning is a candidate of the trial's classifier
        (`fine_tunes`) if the share suffices for its default number of steps, unless the settings name the candidates.

        Raises TooShortError when the time does not suffice for LEAST_TRAIN and LEAST_PROVE steps.
        """
        if self.speed.fine_tuning and self._default_candidates:
            self.fine_tunes = True
            fixed, steps = self.cost(0, 0).seconds, ProveSettings().steps
            trial = self.cost(0, steps).seconds - fixed
            self.fine_tunes = trial <= TRIAL_SHARE * (MARGIN * seconds - fixed)
        trains, proves = "train" in self.pending and self.speed.plan.steps > 0, "prove" in self.pending
        fixed = self.cost(0, 0).seconds
        per_train = self.cost(1, 0).seconds - fixed
        per_prove = self.cost(0, 1).seconds - fixed
        least = fixed + LEAST_TRAIN * per_train + LEAST_PROVE * per_prove
        if least > MARGIN * seconds:
            enough = int(np.ceil(least / MARGIN / 60))
            raise TooShortError(
                str(with_unit(seconds)),
                f"the other stages need about {spoken(fixed)}, {LEAST_TRAIN} steps of the generator {spoken(LEAST_TRAIN * per_train)}, and "
                f"{LEAST_PROVE} steps of the trial's classifiers {spoken(LEAST_PROVE * per_prove)}",
                f"use --time {enough}m, a smaller --size in a new folder, or fewer prove.arms",
                (self.session.data.shape[1], self.session.data.shape[2]),
            )
        rest, prove_steps = MARGIN * seconds - fixed, self.settings.prove.steps
        if proves:
            share = TRIAL_SHARE if trains else 1.0
            most = ProveSettings().steps
            prove_steps = int(np.clip(share * rest / per_prove, LEAST_PROVE, most)) if per_prove > 0 else most
            rest -= prove_steps * per_prove
        train_steps = max(LEAST_TRAIN, int(rest / per_train)) if trains else self.speed.plan.steps
        return train_steps, prove_steps


def plan_run(
    session: Session,
    proves: bool,
    pending: Callable[[], list[str]],
    seconds: float | None,
    further: int = 0,
    stages: Collection[str] = (),
) -> None:
    """Report what the `pending` stages cost. With `seconds` for the whole run, first set the steps that fit.

    `proves`: whether the run includes a trial. `further`: the number of runs after this one, which do all of `stages` with the
    same settings; what they cost is reported together with this one. The record of the steps is stored in run.json. The same
    time, data and settings keep them, because another measurement would give others and train again.
    """
    record = session.time or {}
    stored = seconds is not None and (record.get("seconds"), record.get("inputs")) == (
        seconds,
        _decides(session, proves),
    )
    if stored:
        session.settings = _with_steps(session.settings, record)
    names = pending()
    if not names or (session.callbacks.plan is None and (seconds is None or stored)):
        return
    model = CostModel(session, names, seconds if not stored else None)
    steps_planned = model.speed.plan.steps, session.settings.prove.steps
    if seconds is not None and not stored:
        train_steps, prove_steps = model.steps_within(seconds)
        seconds_of_training = round(train_steps * model.speed.train_step, 1)
        steps: dict[str, Any] = {
            "train_steps": train_steps,
            "prove_steps": prove_steps,
            "train_seconds": seconds_of_training,
        }
        if model.speed.fine_tuning and not session.settings.prove.candidates:
            steps["candidates"] = [name for name in proof.PRETRAINED if model.fine_tunes or name != proof.FINETUNED]
        session.time = {"seconds": seconds, "inputs": _decides(session, proves), **steps}
        session.settings = _with_steps(session.settings, steps)
        steps_planned = train_steps, prove_steps
    if session.callbacks.plan is not None:
        cost = model.cost(*steps_planned)
        session.callbacks.plan(cost.and_runs_like(model.of(stages).cost(*steps_planned), further))


def _with_steps(settings: RunSettings, record: Mapping[str, Any]) -> RunSettings:
    """The settings with the steps and the candidates of the trial's classifier that fit into a time."""
    length = {"steps": record["train_steps"] or None, "budget": None}
    if settings.train.contested and "train_seconds" in record:  # the recipe is open, and so is its number of steps
        length = {"steps": None, "budget": record["train_seconds"]}
    train = settings.train.model_copy(update=length)
    prove = settings.prove.model_copy(update={"steps": record["prove_steps"]})
    if "candidates" in record:
        prove = prove.model_copy(update={"candidates": tuple(record["candidates"])})
    return settings.model_copy(update={"train": train, "prove": prove})


def _decides(session: Session, proves: bool) -> str:
    """Digest of what a time is divided for: the data, all settings that it does not decide, and whether there is a trial."""
    settings = session.settings.model_dump(mode="json")
    for name in ("steps", "budget", "checkpoint_every", "track"):
        del settings["train"][name]
    for name in ("steps", "candidates"):
        del settings["prove"][name]
    return digest([session.data.fingerprint, session.device.type, settings, proves])
