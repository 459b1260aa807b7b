"""Do the images help? Every arm on real data sets that are too few or too unequal, with the verdict of each.

Each case of cases.py is a run in a folder of its own under --folder, so that a killed benchmark goes on where it stopped and
one more case costs no more than itself; hours are usual on two cores. All arms that can be trained here take part, with the
same steps and paired seeds. A row compares the best arm of synthetic images, as the verdict names it, with the best one
without, both on the test part; `word`, interval and p are in the result file beside it. In the cases of a hole there is
nothing on validation to choose the ratio by, so it is set to one half. The data lie where BENCH_DATA says; the result file
keeps the cases that it had.

Each case has two trials with the same generator: of the small network from random weights, and of a linear layer on features of
EfficientNet-Lite0 (--classifier names one of them).
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from augury.pipeline.cross_validation import trial
from augury.pipeline.session import Session
from augury.pipeline.stages import advance
from augury.proof import Fold
from augury.settings import RunSettings
from augury.validation import validated
from augury.verdict import Verdict
from cases import CASES, DATA, DataPaths
from common import points, row, stored, write

SECTIONS: dict[str, dict[str, Any]] = {
    "data": {"near_duplicates": "drop"},
    "train": {"steps": 3000},
    "score": {"limit": 300},
    "prove": {"arms": "all", "seeds": 8},
}
"""What all cases share; a case's own settings come over it."""


NETWORK, FEATURES = "cnn", "linear_probe:lite0"
ON_FEATURES = (
    *(
        "none",
        "class_weights",
        "balanced",
        "classical",
        "randaugment",
        "trivialaugment",
        "mixup",
        "noise",
        "pseudo_labels",
    ),
    *("gan", "gan_alone"),
)
"""Arms of a trial on features. Others are refused there, or train a network from random weights."""


def proved(name: str, paths: DataPaths, folder: Path, classifier: str, quick: bool) -> Verdict:
    """The verdict of one case, from its run folder where that is finished."""
    case = CASES[name]
    sections = {
        section: {**SECTIONS.get(section, {}), **case.settings.get(section, {})}
        for section in {*SECTIONS, *case.settings}
    }
    sections["prove"]["classifier"] = classifier
    if classifier == FEATURES:
        sections["prove"]["arms"] = tuple(arm for arm in ON_FEATURES if arm != "pseudo_labels" or case.pool is not None)
    if quick:
        sections["train"]["steps"] = 40
        sections["prove"] = {"arms": ("balanced", "gan"), "seeds": 2, "steps": 20, "classifier": classifier}
    return case.verdict(paths, folder / name, validated(RunSettings, sections), reported)


def reported(session: Session) -> Fold:
    """The trial of a run that goes on to its report."""
    advance(session, "report")
    return trial(session)


def means(verdict: Verdict) -> tuple[float, float]:
    """Balanced accuracy of the arm that is judged, and of the one it is compared with."""
    ours, theirs = (float(np.mean(verdict.arms[arm]["balanced_accuracy"])) for arm in (verdict.arm, verdict.comparator))
    return ours, theirs


def line(name: str, verdict: Verdict) -> dict[str, Any]:
    """The row of a case, and what the verdict says of it."""
    ours, theirs = means(verdict)
    case = f"{CASES[name].what}: {verdict.outcome} ({verdict.arm})"
    row_facts = {
        "outcome": verdict.outcome,
        "low": verdict.low,
        "high": verdict.high,
        "p": verdict.p,
        "ratio_shown": verdict.ratio,
    }
    return row(case, ours, theirs, verdict.comparator, "balanced accuracy", True) | row_facts


def shown(name: str, verdict: Verdict) -> dict[str, Any]:
    """The row as the page shows it, in points."""
    ours, theirs = means(verdict)
    return {
        "case": CASES[name].what,
        "with Augury": f"{100 * ours:.1f} ({verdict.arm})",
        "best without": f"{100 * theirs:.1f} ({verdict.comparator})",
        "difference": points(verdict.difference, verdict.low, verdict.high),
        "seeds": len(verdict.seeds),
        "outcome": verdict.outcome,
    }


def case_record(name: str, verdict: Verdict) -> dict[str, Any]:
    """What the result file keeps of a case: its rows, and every arm's balanced accuracy with each seed."""
    arms = {arm: values["balanced_accuracy"] for arm, values in verdict.arms.items()}
    return {"date": time.strftime("%Y-%m-%d"), "row": line(name, verdict), "shown": shown(name, verdict), "arms": arms}


def disgust_table(cases: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the rare expression, for both classifiers."""
    case = cases.get("disgust", {})
    rows = {"small network": case.get("shown"), "pretrained features": case.get("features", {}).get("shown")}
    return [shown_row | {"classifier": classifier} for classifier, shown_row in rows.items() if shown_row]


def main() -> None:
    """Every case that can be made from the data at hand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the npz and tar files of cases.py")
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--folder", type=Path, default=Path("runs/proof"))
    parser.add_argument("--classifier", default=f"{NETWORK},{FEATURES}", help="the classifiers of the trials")
    parser.add_argument("--quick", action="store_true", help="a few steps of each, to see that it works; no result")
    options = parser.parse_args()
    paths, names = DataPaths(options.data, options.fashion), options.cases.split(",")
    folder = options.folder / "quick" if options.quick else options.folder
    for name, classifier in product(names, options.classifier.split(",")):
        verdict = proved(name, paths, folder, classifier, options.quick)
        print(f"{name}, {classifier}: {verdict.outcome.upper()}. {verdict.sentence}", flush=True)
        if options.quick:
            continue
        cases = stored("proof").get("cases", {})
        before = cases.get(name, {})
        result = case_record(name, verdict)
        cases[name] = before | ({"features": result} if classifier == FEATURES else result)
        cases = {each: cases[each] for each in CASES if "row" in cases.get(each, {})}
        rows = [case["row"] for case in cases.values()]
        rows += [
            case["features"]["row"] | {"case": f"{case['features']['row']['case']}, pretrained features"}
            for case in cases.values()
            if "features" in case
        ]
        table = [case["shown"] for case in cases.values()]
        pretrained = [case["features"]["shown"] for case in cases.values() if "features" in case]
        tables = {"pretrained": pretrained, "disgust": disgust_table(cases)}
        write("proof", rows, table=table, tables=tables, cases=cases)


if __name__ == "__main__":
    main()
