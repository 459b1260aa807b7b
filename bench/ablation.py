"""What makes synthetic images worth adding? One change at a time, each against the same trial on the same real images.

Every case of cases.py that is named trains its generator once for each way of training it; for each change images are
drawn, filtered and shown to the classifier as the change says, with the same seeds. A row holds the change's balanced
accuracy on the test part and that of the best arm without synthetic images; `low` and `high` are the interval of the
difference, `twin` that against classical augmentation alone. Ratio one half throughout, unless that is the change.
Everything lies under --folder, a training's result as soon as it is there, so that a killed benchmark goes on; the result
file keeps the rows that it had.
"""

from __future__ import annotations

import argparse
from collections.abc import MutableMapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from augury import data, generation, metrics, proof
from augury.files import digest, read_json, write_json
from augury.images import SPLITS, SyntheticImages
from augury.pipeline.scorecard import useful
from augury.pipeline.session import Session
from augury.pipeline.stages import advance, draw
from augury.proof import Fold
from augury.proof.arms import ARMS
from augury.settings import ProveSettings, RunSettings
from augury.training import Synthesizer
from augury.validation import validated
from augury.verdict import FORMAT
from cases import CASES as REAL
from cases import DATA, Case, DataPaths
from common import points, row, stored, write

PLAIN = ("none", "balanced", "classical")
"""Arms without synthetic images."""


@dataclass(frozen=True)
class Change:
    """Settings of a run that differ, room by room, and fields of the arm that differ from those of "gan"; `real` shows the
    train images themselves in the place of synthetic ones, `useful` keeps the generator whose images teach best, `start` names
    other images (`RELATED` of cases.py) whose generator this one begins as."""

    what: str
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    arm: dict[str, Any] = field(default_factory=dict)
    real: bool = False
    useful: bool = False
    start: str = ""


CASES = {**REAL, "sample": Case("the embedded sample", (lambda paths: data.sample(),))}
"""Name -> case."""
CHANGES = {
    "default": Change("as Augury does it by default"),
    "unfiltered": Change("no filter", {"generate": {"filters": ()}}),
    "plenty": Change("drawn until as many as wanted have passed the filters", {"generate": {"surplus": 20}}),
    "copies": Change("no agreement asked, near copies left out", {"generate": {"filters": ("near_copy",)}}),
    "confident": Change(
        "only what the classifier is sure of", {"generate": {"filters": ("confidence>.9", "near_copy"), "surplus": 10}}
    ),
    "middle": Change(
        "only what the classifier is half sure of",
        {"generate": {"filters": ("confidence>.2", "confidence<.8", "near_copy"), "surplus": 20}},
    ),
    "influence": Change(
        "only what lowers the loss on validation", {"generate": {"filters": ("influence", "near_copy"), "surplus": 10}}
    ),
    "spread": Change(
        "the most widely spread of ten times as many",
        {"generate": {"filters": ("agreement", "near_copy", "k_center"), "surplus": 10}},
    ),
    "tail": Change("rare classes alone", {"generate": {"sampling_strategy": "tail"}}),
    "level": Change("every cell gets what the emptiest lacks", {"generate": {"sampling_strategy": "level"}}),
    "everywhere": Change(
        "every class gets as many, those that have enough too", {"generate": {"sampling_strategy": 300}}
    ),
    "everywhere_plenty": Change(
        "the same, drawn until as many have passed", {"generate": {"sampling_strategy": 300, "surplus": 20}}
    ),
    "everywhere_one": Change(
        "the same, one synthetic image for each real one",
        {"generate": {"sampling_strategy": 300, "surplus": 20}},
        {"ratio": 1.0},
    ),
    "soft": Change("soft labels of three classifiers", {"generate": {"soft_labels": 3, "filters": ("near_copy",)}}),
    "distilled": Change("the real images once more, with soft labels of three classifiers", real=True),
    "truncated": Change("truncation 0.7", {"generate": {"truncation": 0.7}}),
    "boundary": Change("drawn at the class boundary", {"generate": {"sampling": "boundary"}}),
    "boundary_level": Change(
        "at the class boundary, every cell what the emptiest lacks",
        {"generate": {"sampling": "boundary", "sampling_strategy": "level"}},
    ),
    "inversions": Change("drawn between real images", {"generate": {"sampling": "inversions"}}),
    "quarter": Change("ratio one quarter", arm={"ratio": 0.25}),
    "double": Change("ratio two", arm={"ratio": 2.0}),
    "triple": Change("ratio three", arm={"ratio": 3.0}),
    "light": Change("synthetic images weigh 0.3", arm={"synthetic_weight": 0.3}),
    "smooth": Change("labels of synthetic images smoothed by 0.2", arm={"synthetic_smoothing": 0.2}),
    "gentle": Change(
        "trained three times as long, ratio one quarter, labels smoothed by 0.2",
        {"train": {"steps": 4500}},
        {"ratio": 0.25, "synthetic_smoothing": 0.2},
    ),
    "first": Change("synthetic images first, real ones last", arm={"schedule": "first"}),
    "useful": Change("stopped by GAN-train instead of KID", useful=True),
    "longer": Change("trained three times as long", {"train": {"steps": 4500}}),
    "r3gan": Change("r3gan, as many seconds", {"train": {"recipe": "r3gan", "steps": 400}}),
    "stylegan": Change("stylegan, as many seconds", {"train": {"recipe": "stylegan", "steps": 500}}),
    "dcgan": Change("cross-entropy instead of relativistic pairing (dcgan)", {"train": {"recipe": "dcgan"}}),
    "vae": Change("a conditional variational autoencoder", {"train": {"recipe": "vae"}}),
    "late": Change("late conditioning", {"train": {"overrides": {"late_conditioning": 0.5}}}),
    "ada": Change("adaptive augmentation", {"train": {"augment": "ada", "overrides": {"ada_target": 0.6}}}),
    "uniform": Change("trained with all classes equally often", {"train": {"label_sampling": "uniform"}}),
    "frequency": Change("trained with classes as often as they are", {"train": {"label_sampling": "frequency"}}),
    "related": Change("started from a generator of other faces (FER-2013)", start="fer"),
    "related_plenty": Change(
        "the same, drawn until as many as wanted have passed", {"generate": {"surplus": 20}}, start="fer"
    ),
}
"""Name -> what is changed."""
SHARED: dict[str, dict[str, Any]] = {"train": {"steps": 1500}, "data": {"near_duplicates": "drop"}, "generate": {}}


class Useful:
    """A monitor by whose "kid" the generator is best whose images teach a classifier best (GAN-train on validation)."""

    usually = metrics.Monitor

    def __init__(self, session: Session, *arguments: Any, **more: Any) -> None:
        self.session, self.usual = session, Useful.usually(*arguments, **more)
        self.apart = self.usual.apart

    def __call__(self, generator: Synthesizer) -> dict[str, float | str]:
        """The measures of a generator."""
        s = self.session
        score = useful(generator, s.splits["train"], s.splits["validation"], s.settings, s.device)[0]
        worse = {"kid": 1 - score.value, "kid_error": (score.high - score.low) / 2 / 1.96}
        return self.usual(generator) | worse


def distilled(session: Session) -> SyntheticImages:
    """The train images under the mean opinion of three classifiers that they have taught."""
    train, members = session.splits["train"], [session.classifier, session.fitted(1), session.fitted(2)]
    targets = generation.soft_labels(train.images, train.labels, [partial(proof.probabilities, m) for m in members])
    at = np.arange(len(train))
    return SyntheticImages(
        train.images, train.labels[:, None], (), train.classes, 0, at, "the train images", targets=targets
    )


def sections(case: str, change: Change) -> dict[str, dict[str, Any]]:
    """Settings of a run: what all share, then the case's, then the change's. The trial is set apart."""
    own = {section: values for section, values in CASES[case].settings.items() if section in ("train", "data")}
    return {
        section: {**SHARED[section], **own.get(section, {}), **change.sections.get(section, {})} for section in SHARED
    }


def result(case: str, name: str, folder: Path, seeds: int) -> Path:
    """The file of one change on one case; another when what it depends on has changed, or how verdicts are computed."""
    change = CHANGES[name]
    facts: list[Any] = [sections(case, change), change.arm, seeds, len(CASES[case].folds)]
    facts += [flag for flag in ("real", "useful", "start") if getattr(change, flag)]
    return folder / case / f"{name}-{digest(facts)[:8]}.{FORMAT}.json"


def trial(case: str, name: str, paths: DataPaths, folder: Path, seeds: int) -> dict[str, Any]:
    """{word, arms: name -> balanced accuracies, low, high, kept, twin} of one change on one case."""
    change, done = CHANGES[name], result(case, name, folder, seeds)
    if done.exists():
        return read_json(done)
    settings = validated(RunSettings, sections(case, change))
    run_path = folder / case / (digest(settings.train.model_dump())[:8] + ("-useful" if change.useful else ""))
    if change.start:
        run_path = run_path.with_name(run_path.name + f"-{change.start}")
    ARMS["changed"] = replace(ARMS["gan"], **change.arm)
    trial_settings = ProveSettings(arms=(*PLAIN, "changed"), seeds=seeds, ratios=(0.5,), classifier="cnn")
    shares = []

    def tried(session: Session) -> Fold:
        with (
            mock.patch("augury.pipeline.stages.metrics.Monitor", partial(Useful, session))
            if change.useful
            else nullcontext()
        ):
            advance(session, "train")
        if change.real:
            session.__dict__["synthetic"] = distilled(session)
        else:
            draw(session)
        shares.append(float(session.synthetic.accepted.mean()))
        parts = [session.splits[part] for part in SPLITS]
        file, stem = folder / case / f"trials-{session.run.path.name}.json", done.name.partition(".")[0]
        results = read_json(file) if file.exists() else {}
        if results.setdefault("data", session.data.fingerprint) != session.data.fingerprint:
            results = {"data": session.data.fingerprint}
        mine: MutableMapping[str, Any] = results.get(stem, {}) | results.get("plain", {})

        def keep(so_far: int, total: int, what: str) -> None:
            plain = {key: value for key, value in mine.items() if "changed" not in key}
            changed = {key: value for key, value in mine.items() if "changed" in key}
            write_json(file, results | {"plain": plain, stem: changed})

        verdict = proof.prove(
            *parts,
            session.synthetic,
            trial_settings,
            device=session.device,
            flips=session.flips,
            results=mine,
            on_result=keep,
        )
        shown = session.synthetic.take(session.synthetic.accepted)
        return Fold(session.splits["train"], session.splits["test"], {proof.OWN: shown}, verdict, mine)

    verdict = replace(CASES[case], related=change.start).verdict(paths, run_path, settings, tried)
    arms = {arm: values["balanced_accuracy"] for arm, values in verdict.arms.items()}
    outcome_facts = {
        "outcome": verdict.outcome,
        "comparator": verdict.comparator,
        "low": verdict.low,
        "high": verdict.high,
        "kept": round(float(np.mean(shares)), 3),
        "matched_control": float(np.mean(arms["changed"]) - np.mean(arms["classical"])),
        "arms": arms,
    }
    write_json(done, outcome_facts)
    return outcome_facts


def line(case: str, name: str, outcome_facts: dict[str, Any]) -> dict[str, Any]:
    """The row of one change on one case."""
    ours, theirs = (float(np.mean(outcome_facts["arms"][arm])) for arm in ("changed", outcome_facts["comparator"]))
    what = f"{case}: {CHANGES[name].what}"
    trial_settings = {key: outcome_facts[key] for key in ("outcome", "low", "high", "kept", "matched_control")}
    return row(what, ours, theirs, outcome_facts["comparator"], "balanced accuracy", True, digits=4) | trial_settings


def table(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The rows as the page shows them: one for each change, the difference to the best without in points by case."""
    cells: dict[str, dict[str, str]] = {change.what: {} for change in CHANGES.values()}
    best: dict[str, str] = {}
    for line in rows:
        case, what = line["case"].split(": ", 1)
        best[case] = f"{100 * line['peer']:.1f} ({line['peer_name']})"
        cells[what][case] = points(line["ours"] - line["peer"], line["low"], line["high"])
    named = {"the best without": best} | cells
    return [{"change": what} | {case: own.get(case, "") for case in best} for what, own in named.items() if own]


def main() -> None:
    """All changes on all cases that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the npz and tar files of cases.py")
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--cases", default="sample,fashion50,pneumonia,sunglasses")
    parser.add_argument("--changes", default=",".join(CHANGES))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--try", action="store_true", dest="tried", help="print the rows; write no file")
    options = parser.parse_args()
    paths, keep = DataPaths(options.data, options.fashion), options.folder
    rows = []
    for case in options.cases.split(","):
        of_faces = sections(case, CHANGES["default"])["train"].get("condition") == ("pose",)
        for name in options.changes.split(","):
            if CHANGES[name].start and not of_faces:
                continue
            last = line(case, name, trial(case, name, paths, keep, options.seeds))
            print(
                f"{last['case']}: {last['ours']:.3f} against {last['peer']:.3f} ({last['peer_name']}), twin "
                f"{last['matched_control']:+.3f}, {last['outcome']}, kept {last['kept']:.0%}",
                flush=True,
            )
            rows.append(last)
    if not options.tried:
        rows = list({each["case"]: each for each in (*stored("ablation").get("rows", []), *rows)}.values())
        write("ablation", rows, seeds=options.seeds, table=table(rows))


if __name__ == "__main__":
    main()
