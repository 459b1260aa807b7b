"""Cross-validation: every image is tested once, by models that were not trained on it; one pooled verdict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from augury import proof, report
from augury.durations import duration
from augury.errors import SettingsError
from augury.files import write_json, write_text
from augury.images import Codes, LabelledImages, SyntheticImages
from augury.pipeline.description import command, describe
from augury.pipeline.display import showing
from augury.pipeline.inputs import Callbacks, first_run, refuse_among_data, same_source
from augury.pipeline.progress import RunCost
from augury.pipeline.run_folder import Run
from augury.pipeline.scorecard import closest
from augury.pipeline.session import Session
from augury.pipeline.stages import advance, opened
from augury.pipeline.trial_cache import LASTING, Look, first_look, trial_results, verdict_before
from augury.settings import RunSettings
from augury.verdict import Verdict

OURS = {"folds.json", "verdict.json", "report.html", "badge.svg"}


@dataclass(frozen=True)
class FoldImages:
    """Images of one fold for the page: all images drawn, and those nearest to a training image.

    The training images are given as rows of all data.
    """

    synthetic: SyntheticImages
    neighbours: Codes
    distances: Any


def cross_validate(
    data: LabelledImages | str | os.PathLike[str] | None,
    folder: str | os.PathLike[str],
    folds: int = 5,
    *,
    settings: RunSettings | None = None,
    time: str | float | None = None,
    verbose: bool = False,
    callbacks: Callbacks | None = None,
) -> Verdict:
    """Cross-validation: one run for each fold up to the trial, and one pooled verdict.

    Use it for few images, or few people, patients or tracks. With 20 people, a single test split has four, and no number of
    seeds makes up for that. It costs as much as `folds` runs. A second call resumes. The runs lie in `folder`/fold-1, fold-2
    and so on; verdict.json, report.html and badge.svg are written to `folder`.

    Parameters
    ----------
    data
        Images without splits, or a path that `augury.load` reads. None: the data that the folder was created from, else the
        embedded sample.
    folder
        Folder for the runs and the pooled verdict.
    folds
        Number of folds, at least 2.
    settings
        Settings of every run, without `data.fold`.
    time
        Time for all folds together, such as "1h", or seconds; see `augury.run`. The first fold decides the steps of all.
    verbose
        Show the progress: two bars on a terminal, lines elsewhere, as in a notebook.
    callbacks
        Functions that receive the progress (`augury.Callbacks`); the plan is that of all folds.

    Returns
    -------
    The pooled Verdict.

    Raises
    ------
    SettingsError for data with splits, fewer than two folds, or settings that folds cannot use: a single fold, growing trials,
    or near-duplicates that are not searched for. DataError when a class has too few images. RunFolderError when the folder
    holds something else.
    """
    chosen, root = settings or RunSettings(), Run(folder)
    _refuse(chosen, folds)
    limit = None if time is None else duration(time) / folds
    refuse_among_data(data, folder)
    runs = [root.path / f"fold-{k}" for k in range(1, folds + 1)]
    with showing(verbose, callbacks) as callbacks, root.held():
        root.refuse_others(OURS | {run.name for run in runs}, f"of {folds} folds")
        data = same_source(data, first_run(runs))
        one_plan = _OnePlan(callbacks)
        trials: list[proof.Fold] = []
        fold_images: list[FoldImages] = []
        for k, run in enumerate(runs, 1):
            callbacks.note(f"fold {k} of {folds}")
            later = sum(not (other / "verdict.json").exists() or (run / "verdict.json").exists() for other in runs[k:])
            with opened(data, run, settings=_of_fold(chosen, (k, folds)), callbacks=one_plan.of_fold()) as session:
                advance(session, "prove", limit if k == 1 else None, later)
                if limit is not None:
                    chosen = with_steps(chosen, session.settings)
                trials.append(trial(session))
                fold_images.append(_fold_images(session, sum(len(each.synthetic) for each in fold_images)))
        metadata = describe(session)
        metadata["settings"] = chosen.model_dump(mode="json")
        metadata["data"]["counts"] = {f"fold {k}": fold.test.counts.tolist() for k, fold in enumerate(trials, 1)}
        before, look = looks_before(root, metadata)
        verdict = proof.pooled(trials).after(before, look)
        write_json(root / "verdict.json", verdict.as_dict())
        write_text(root / "badge.svg", report.badge(verdict))
        outcomes = {r.name: t.verdict.outcome for r, t in zip(runs, trials, strict=True)}
        write_json(root / "folds.json", metadata | {"words": outcomes, "look": look})
        report.write(_page(root, metadata, session, verdict, fold_images, folds, chosen), root / "report.html")
    return verdict


class _OnePlan:
    """Callbacks for the folds of a cross-validation, of which `plan` is called once: the first plan includes the other folds."""

    def __init__(self, callbacks: Callbacks) -> None:
        self.callbacks, self.plan = callbacks, callbacks.plan

    def of_fold(self) -> Callbacks:
        return replace(self.callbacks, plan=self.plan and self._show)

    def _show(self, cost: RunCost) -> None:
        assert self.plan is not None
        self.plan(cost)
        self.plan = None


def with_steps(settings: RunSettings, timed: RunSettings) -> RunSettings:
    """The settings with the steps and the classifiers that fit into a time, as a run has them."""
    train = settings.train.model_copy(update={"steps": timed.train.steps, "budget": timed.train.budget})
    prove = settings.prove.model_copy(update={"steps": timed.prove.steps, "candidates": timed.prove.candidates})
    return settings.model_copy(update={"train": train, "prove": prove})


def looks_before(root: Run, metadata: dict[str, Any]) -> tuple[Verdict | None, Look]:
    """(previous pooled verdict on the same trainings, first interim look at the same folds with other settings)."""
    before = verdict_before(root)
    if before is None or not (root / "folds.json").exists():
        return None, (0, "")
    stored = root.read("folds")
    if _tested(stored) != _tested(metadata):
        return None, (0, "")
    same = _trained(stored) == _trained(metadata)
    return (before, first_look(stored, None)) if same else (None, first_look(stored, before))


def _tested(metadata: dict[str, Any]) -> dict[str, Any]:
    """What decides the test splits."""
    data, settings = metadata["data"], metadata["settings"]
    return {"data": data["fingerprint"], "counts": data["counts"], "read": settings["data"], "seed": settings["seed"]}


def _trained(metadata: dict[str, Any]) -> list[Any]:
    """What decides the trainings."""
    settings = metadata["settings"]
    lasting = {name: value for name, value in settings["prove"].items() if name not in LASTING}
    return [settings["train"], settings["generate"], lasting]


def _refuse(settings: RunSettings, folds: int) -> None:
    if folds < 2:
        raise SettingsError(f"folds is {folds}, but cross-validation needs at least 2")
    if settings.train.recipe == "translator" and settings.train.condition:
        raise SettingsError(
            "folds split the data at random, so a cell of class × attribute is empty in every split or in none; a translator needs a "
            "test split that has the cell: give the data a split column, and leave --folds out"
        )
    if settings.data.fold is not None:
        raise SettingsError(
            "data.fold selects one fold of a cross-validation, and --folds runs all; leave one of them out"
        )
    if settings.data.near_duplicates == "allow":
        raise SettingsError(
            "with data.near_duplicates=allow, one picture may lie in several folds and count more than once; use refuse or drop, "
            "which keep near-duplicates in one fold"
        )
    if settings.prove.max_seeds is not None:
        raise SettingsError(
            "prove.max_seeds lets each fold stop separately, so the pooled verdict would exceed its error rate; give the number of "
            "seeds with prove.seeds, which can be raised later"
        )


def _of_fold(settings: RunSettings, fold: tuple[int, int]) -> RunSettings:
    return settings.model_copy(update={"data": settings.data.model_copy(update={"fold": fold})})


def trial(session: Session) -> proof.Fold:
    """A finished trial, for pooling."""
    return proof.Fold(
        session.splits["train"],
        session.splits["test"],
        {proof.OWN: session.synthetic.take(session.synthetic.accepted), **session.others},
        session.run.verdict,
        trial_results(session.run),
    )


def _fold_images(session: Session, before: int) -> FoldImages:
    neighbours, distances = closest(session.synthetic, session.splits["train"])
    rows = np.flatnonzero(session.run.split == 0)
    neighbours = np.concatenate([neighbours[:, :1] + before, rows[neighbours[:, 1:]]], axis=1)
    return FoldImages(session.synthetic, neighbours, distances)


def _page(
    root: Run,
    metadata: dict[str, Any],
    last: Session,
    verdict: Verdict,
    fold_images: Sequence[FoldImages],
    folds: int,
    settings: RunSettings,
) -> report.Facts:
    drawn = fold_images[0].synthetic
    synthetic = SyntheticImages(
        np.concatenate([each.synthetic.images for each in fold_images]),
        np.concatenate([each.synthetic.conditions for each in fold_images]),
        drawn.condition_names,
        drawn.classes,
        drawn.seed,
        np.concatenate([each.synthetic.indices for each in fold_images]),
        f"{folds} generators",
        reasons=tuple(
            reason for each in fold_images for reason in each.synthetic.reasons or ("",) * len(each.synthetic)
        ),
    )
    return report.Facts(
        title=root.path.resolve().name,
        source=f"{last.source}, in {folds} folds",
        command=command(last, settings, "--folds", str(folds)),
        metadata=metadata,
        verdict=verdict,
        train=last.data,
        synthetic=synthetic,
        neighbours=np.concatenate([each.neighbours for each in fold_images]),
        distances=np.concatenate([each.distances for each in fold_images]),
        judged=True,
    )
