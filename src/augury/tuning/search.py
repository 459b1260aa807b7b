"""`augury tune`: search for settings that give a better generator, judged on the validation split."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from augury import training
from augury.durations import duration
from augury.errors import AuguryError, SettingsError
from augury.files import write_json
from augury.images import LabelledImages
from augury.metrics import Monitor
from augury.pipeline.display import showing
from augury.pipeline.inputs import Callbacks, first_run, same_source
from augury.pipeline.progress import spoken
from augury.pipeline.run_folder import Run
from augury.pipeline.run_settings import by_section, run_settings
from augury.pipeline.session import Session
from augury.pipeline.settings_file import write_settings
from augury.pipeline.stages import run
from augury.pipeline.tracking import shown_settings
from augury.randomness import derived_seed
from augury.settings import RunSettings
from augury.tracking import tracked
from augury.tuning import study as studies
from augury.tuning.objectives import OBJECTIVES
from augury.tuning.page import write_page
from augury.tuning.preparation import OURS, Prepared, Times, prepare
from augury.tuning.results import Tuned, changes_of
from augury.tuning.space import Candidate, dimensions_of

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

FINALISTS = 3
"""Configurations that are trained again from a fresh seed, the default among them."""
HEADER = (
    "# The best settings that augury tune found. To use them: augury run PATH -o NEW --config winner.yaml\n"
    "# The same seed gives the same test split, which the search has not seen.\n"
)


class TimeOver(Exception):
    """The time of the search or of its final training is over."""


def tune(
    data: LabelledImages | str | os.PathLike[str] | None,
    folder: str | os.PathLike[str],
    *,
    time: str | float = "1h",
    objective: str | None = None,
    study: str | None = None,
    recipes: tuple[str, ...] = (),
    search: tuple[str, ...] = (),
    fixed: tuple[str, ...] = (),
    trials: int | None = None,
    settings: RunSettings | Mapping[str, Any] | None = None,
    verbose: bool = False,
    callbacks: Callbacks | None = None,
    **options: Any,
) -> Tuned:
    """Search for settings of the generator that are better on the validation split, and train the best ones.

    The first trial is the default configuration. The test split is never read. The same call continues the search for that
    time again. Several processes may call it with one `study`, and with one folder if they share a file system.

    Parameters
    ----------
    data
        Images, or a path that `augury.load` reads. None: the data of the folder, else the embedded sample.
    folder
        Folder of the search; created, or continued if it exists.
    time
        Time of this call, such as "2h", or seconds, with the final training.
    objective
        Name in `OBJECTIVES`: gan_train, kid or uplift. None: that of the study, else gan_train.
    study
        FILE.journal, sqlite:///FILE.db or postgresql://…; #NAME behind an address names the study. None: a file in `folder`.
    recipes
        Names of recipes to choose from; empty: those that suit the images.
    search
        Names of the dimensions to search (`augury.tuning.DIMENSIONS`, and recipe); empty: all.
    fixed
        Names of dimensions that are not searched. A study keeps them for later calls.
    trials
        Most trials of this call; None: as many as the time allows.
    settings
        Settings of a run, or plain values by section. What they set is not searched, also where it is the default. Of a section
        with all its settings, as in settings.yaml, only those that differ from the default count.
    verbose
        Show the progress.
    callbacks
        Functions that receive the progress.
    **options
        Settings by name alone, as for `augury.run`.

    Returns
    -------
    The Tuned result.

    Raises
    ------
    SettingsError
        For too little time for two trials, and for a study of other data or of another search space.
    DataError
        For data without validation images.
    MissingExtraError
        Where optuna is not installed.

    Examples
    --------
    >>> tuned = augury.tune("photos/", "runs/tune", time="2h")
    >>> run = augury.run("photos/", "runs/tuned", settings=tuned.settings)
    """
    began, limit, root = monotonic(), duration(time), Path(folder)
    if objective is not None and objective not in OBJECTIVES:
        raise SettingsError(f"there is no objective '{objective}'; choose among: {', '.join(OBJECTIVES)}")
    if trials is not None and trials < 1:
        raise SettingsError(f"trials is {trials}, but must be at least 1")
    studies.optuna()
    studies.refuse_folder(root, OURS)
    first = first_run([root / "base"])
    stated: list[RunSettings | Mapping[str, Any]] = [by_section(options), {} if settings is None else settings]
    if options or not (settings is None or isinstance(settings, RunSettings)):
        settings = run_settings((first.settings if first else {}) if settings is None else settings, options)
    source = same_source(data, first)
    with showing(verbose, callbacks) as shown:
        prepared = prepare(
            source,
            root,
            settings=settings,
            objective=objective,
            address=study,
            recipes=recipes,
            search=search,
            fixed=frozenset(fixed).union(*map(dimensions_of, stated)),
            callbacks=shown,
            times=Times(began, limit),
        )
        return Search(prepared, root, shown, trials).result(source)


class Search:
    """One process that works on a study: trials, finalists, and the final training."""

    def __init__(self, prepared: Prepared, root: Path, callbacks: Callbacks, trials: int | None) -> None:
        self.prepared, self.root, self.callbacks, self.most = prepared, root, callbacks, trials
        self.session: Session = prepared.session
        self.study: Study = prepared.study
        self.space, self.judge, self.times = prepared.space, prepared.judge, prepared.times
        self.objective = OBJECTIVES[prepared.objective]
        self.trials_started, self.number = 0, 0

    # --- the search ---------------------------------------------------------------------------------------------------

    def result(self, source: LabelledImages | str | os.PathLike[str] | None) -> Tuned:
        """Work until the time is over, and return the winner."""
        self.callbacks.begin("search", False)
        while self.times.left() > self.times.reserve + self.times.trial and self.trials_started != self.most:
            self.trial()
        finished = self.finished()
        if not finished:
            raise SettingsError(
                f"no trial was finished in {spoken(self.times.limit)}; use a longer --time, or shorter trainings with --set train.budget=30s"
            )
        for trial in self.finalists(finished):
            if self.times.left() > self.times.trial + self.times.final and self.fresh(trial.number) is None:
                self.retrain(trial)
        self.callbacks.end("search")
        return self.conclude(self.winner(finished), source)

    def trial(self) -> None:
        """Take the next trial of the study, and store its result."""
        state = studies.optuna().trial.TrialState
        with self.prepared.turns:
            trial = self.study.ask()
        self.trials_started, self.number = self.trials_started + 1, trial.number
        trial.set_user_attr(studies.WORKER, studies.sign_of_life())
        candidate, values = self.space.suggest(trial)
        default = dict(trial.params) == self.space.neutral(self.space.default)
        started = monotonic()
        try:
            value = self.measure(candidate, values, trial)
        except studies.optuna().TrialPruned:
            self.study.tell(trial, state=state.PRUNED)
        except TimeOver:
            trial.set_user_attr("reason", "the time was over")
            self.study.tell(trial, state=state.PRUNED)
        except BaseException as error:
            known = isinstance(error, AuguryError) or (
                isinstance(error, RuntimeError) and training.out_of_memory(error)
            )
            if known:
                trial.set_user_attr("reason", str(error).splitlines()[0])
            self.study.tell(trial, state=state.FAIL)
            if not known or default:
                raise
        else:
            self.study.tell(trial, value)
            self.times.took(monotonic() - started)
        self.report(self.study.trials[trial.number])

    def measure(self, candidate: Candidate, values: Mapping[str, Any], trial: Trial) -> float:
        """Train the configuration of a trial and compute the objective; raises TrialPruned where it is hopeless."""
        settings = self.space.settings(candidate, values)
        trial.set_user_attr("changes", changes_of(settings, self.space.base))
        tenths: set[int] = set()

        def on_score(share: float, kid: float) -> None:
            trial.set_user_attr(studies.WORKER, studies.sign_of_life())
            trial.set_user_attr("kid", kid)
            if self.times.left() < self.times.reserve:
                raise TimeOver
            tenth = math.floor(10 * share + 1e-9)
            if tenth in tenths or not math.isfinite(kid):
                return
            tenths.add(tenth)
            trial.report(-kid if self.objective.higher else kid, tenth)
            if tenth < 10 and trial.should_prune():
                raise studies.optuna().TrialPruned

        seed = derived_seed(self.space.base.seed, "tune", trial.number)
        folder = self.root / "trials" / f"{trial.number:04d}"
        value, steps = self.train(settings, seed, folder, on_score)
        trial.set_user_attr("steps", steps)
        if not math.isfinite(value):
            raise SettingsError("the objective is not a finite number")
        return value

    def train(
        self, settings: RunSettings, seed: int, folder: Path, on_score: Callable[[float, float], None]
    ) -> tuple[float, int]:
        """(value of the objective, steps) of a generator that is trained with these settings."""
        judge, train = self.judge, self.prepared.trained(settings.train)
        plan = training.make_plan(judge.train, train, seed=seed, device=self.session.device, flips=self.session.flips)
        conditions = judge.held.conditions(plan.condition)
        monitor = Monitor(judge.features, judge.train, judge.held, conditions, seed=self.space.base.seed)

        def assess(generator: Any) -> Any:
            measures = monitor(generator)
            on_score(generator.card.steps / plan.steps, float(measures.get("kid", math.nan)))
            return measures

        title, note = f"{self.root.name}-{folder.name}", self.callbacks.note
        with tracked(folder, settings.train.track, title, shown_settings(settings), note, plan.key) as update:

            def on_progress(progress: training.Progress) -> None:
                update()
                self.show()

            try:
                synthesizer = training.train_plan(
                    plan,
                    judge.train,
                    folder,
                    checkpoint_every=1e9,
                    assess=assess,
                    apart=monitor.apart,
                    on_progress=on_progress,
                )
            finally:  # a trial is not resumed
                for file in training.checkpoints.files(folder):
                    file.unlink()
        return self.objective.measure(judge, synthesizer, settings), plan.steps

    # --- what is known ------------------------------------------------------------------------------------------------

    def finished(self) -> list[FrozenTrial]:
        """Finished trials, the best first; of equal ones, the earlier first."""
        state = studies.optuna().trial.TrialState
        trials = self.study.get_trials(deepcopy=False, states=(state.COMPLETE,))
        return sorted(trials, key=lambda trial: (self.loss(trial.value), trial.number))

    def loss(self, value: float | None) -> float:
        """The value of the objective, so that lower is better."""
        return math.inf if value is None else -value if self.objective.higher else value

    def default_trial(self, trials: list[FrozenTrial]) -> FrozenTrial | None:
        """The finished trial of the default configuration."""
        neutral = self.space.neutral(self.space.default)
        return next((trial for trial in trials if dict(trial.params) == neutral), None)

    def is_default(self, number: int) -> bool:
        """Whether a trial has the default configuration."""
        return dict(self.study.trials[number].params) == self.space.neutral(self.space.default)

    def finalists(self, finished: list[FrozenTrial]) -> list[FrozenTrial]:
        """The default configuration, and the best others."""
        default = self.default_trial(finished)
        others = [trial for trial in finished if trial is not default]
        return [*([] if default is None else [default]), *others[: FINALISTS - (default is not None)]]

    def fresh(self, number: int) -> float | None:
        """The objective of a trial's configuration trained from a fresh seed; None where that was not done."""
        value = self.study.user_attrs.get(f"fresh {number}")
        return None if value is None else float(value)

    def retrain(self, trial: FrozenTrial) -> None:
        """Train the configuration of a trial from a fresh seed, and store the value of the objective."""

        def on_score(share: float, kid: float) -> None:
            if self.times.left() < self.times.final:
                raise TimeOver

        seed = derived_seed(self.space.base.seed, "finalist", trial.number)
        folder = self.root / "trials" / f"{trial.number:04d}-fresh"
        try:
            value, _ = self.train(self.settings(trial), seed, folder, on_score)
        except TimeOver:
            return
        self.study.set_user_attr(f"fresh {trial.number}", value)
        self.callbacks.note(f"trial {trial.number} from a fresh seed: {value:.4f}")

    def winner(self, finished: list[FrozenTrial]) -> FrozenTrial:
        """The trial with the best value from a fresh seed, or without such values the best in the search."""
        retrained = [trial for trial in self.finalists(finished) if self.fresh(trial.number) is not None]
        default = self.default_trial(finished)
        if len(retrained) < 2 or (default is not None and default not in retrained):
            return finished[0]
        return min(retrained, key=lambda trial: self.loss(self.fresh(trial.number)))

    def settings(self, trial: FrozenTrial) -> RunSettings:
        """The settings of a trial's configuration."""
        candidate = self.space.candidates[studies.recipe_of(trial, self.space)]
        return self.space.settings(candidate, trial.params)

    # --- the end ------------------------------------------------------------------------------------------------------

    def conclude(self, trial: FrozenTrial, source: LabelledImages | str | os.PathLike[str] | None) -> Tuned:
        """Write the winner's settings and the report, and train it in a run folder of its own."""
        settings = self.settings(trial)
        if settings.train.steps is None:
            train = settings.train.model_copy(update={"steps": trial.user_attrs["steps"], "budget": None})
            settings = settings.model_copy(update={"train": train})
        write_settings(self.root / "winner.yaml", settings, HEADER)
        tuned = self.tuned(trial, settings, None)
        self.write(tuned)
        if self.times.left() < self.times.final:
            self.callbacks.note(
                f"No time is left for the final training. Train the winner with: augury train -o {self.root / 'winner'} --config {tuned.config}"
            )
            return tuned

        def stop(progress: training.Progress) -> None:
            self.callbacks.training(progress)
            if self.times.left() < 0:
                raise TimeOver

        shown = replace(self.callbacks, training=stop, plan=None)
        try:
            final = run(source, self.root / "winner", settings=settings, until="train", callbacks=shown)
        except TimeOver:
            self.callbacks.note(
                f"The time is over within the final training. It continues with: augury run -o {self.root / 'winner'}"
            )
            return tuned
        return replace(tuned, run=final)

    def tuned(self, trial: FrozenTrial, settings: RunSettings, final: Run | None) -> Tuned:
        """The result, with all trials."""
        default = self.default_trial(self.finished())
        rows = [studies.plain(each) | {"fresh": self.fresh(each.number)} for each in self.study.trials]
        return Tuned(
            self.root,
            settings,
            self.prepared.objective,
            float(trial.value or 0.0),
            self.fresh(trial.number),
            None if default is None else default.value,
            None if default is None else self.fresh(default.number),
            trial.number,
            tuple(row for row in rows if row["state"] != "waiting" and not row.pop("withdrawn")),
            final,
        )

    def write(self, tuned: Tuned) -> None:
        """Write tune.json and the report."""
        facts = {
            **tuned.facts(),
            "title": self.objective.title,
            "higher": self.objective.higher,
            "source": self.session.source_name,
            "seconds": self.times.training,
            "real": self.prepared.real,
            "is_default": self.is_default(tuned.number),
            "changes": changes_of(tuned.settings, self.space.base),
            "notes": {name: d.note for name, d in self.prepared.notes.items()},
        }
        write_json(self.root / "tune.json", facts)
        write_page(facts, self.study, self.space, self.root / "report.html")

    # --- progress -----------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Report how much of the time is over."""
        spent = min(self.times.limit, self.times.limit - self.times.left())
        self.callbacks.amount(f"s, trial {self.number}", round(spent), round(self.times.limit))

    def report(self, trial: FrozenTrial) -> None:
        """Report a trial that has ended, in a line."""
        finished, reason = self.finished(), trial.user_attrs.get("reason")
        result = {"COMPLETE": f"{trial.value or 0.0:.4f}", "PRUNED": "stopped early"}.get(trial.state.name, "failed")
        best = f"; best {finished[0].value:.4f} (trial {finished[0].number})" if finished else ""
        changes = studies.as_text(trial) or "the default configuration"
        note = f"trial {trial.number}: {result}{f' ({reason})' if reason else ''}: {changes}{best}; {spoken(max(0.0, self.times.left()))} left"
        self.callbacks.note(note)
