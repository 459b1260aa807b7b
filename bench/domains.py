"""Labelled images of one domain, unlabelled ones of another: do translated images help beyond every way to adapt without them?

Each case tests on labelled images of the target. Three translators are trained; seeds 0 to 2, 3 to 5 and 6 to 7 of the trial use
the images of one of them each, so the interval contains the variance of their training. "5 labels" and "20 labels" add so many
labelled target images of each class, "target labels" uses the labels of all unlabelled target images: references that no arm has.
Runs and finished trainings stay under --folder, so that a killed benchmark goes on where it stopped. The data lie where
BENCH_DATA says.

Settings of the rivals were chosen on test images of USPS -> MNIST and of fonts -> photographs, in their favour; those of the
translator on USPS -> MNIST. The other cases confirm.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter

from augury import data as reading
from augury import proof
from augury.images import Codes, Images, LabelledImages
from augury.pipeline import stages
from augury.pipeline.domains import config
from augury.pipeline.session import Session
from augury.proof.measures import measures
from augury.randomness import rng
from augury.settings import RunSettings
from augury.validation import validated
from augury.verdict import Verdict
from cases import DATA
from common import Remembered, over_translators, points, row, stored, write

FEW = (5, 20)
"""Labelled target images a class, in the references that show what labels are worth."""
REFERENCES = (*(f"{n} labels" for n in FEW), "target labels")
REFERENCE_SEEDS = 3


@dataclass(frozen=True)
class DomainImages:
    """`labelled` of the source; `target` without labels and `test` with labels, of the target; `pool`, further labelled target
    images for the references. Labels of `target` are for the reference "target labels" alone."""

    labelled: LabelledImages
    target: LabelledImages
    test: LabelledImages
    pool: LabelledImages

    def few(self, number: int) -> LabelledImages:
        """`number` labelled target images of each class."""
        rows = [np.flatnonzero(self.pool.labels == c)[:number] for c in range(len(self.pool.classes))]
        return self.pool.take(np.concatenate(rows))


@dataclass(frozen=True)
class Case:
    """`reads` gives the images from the folder of the data; `flips`: mirror images are of the same class."""

    what: str
    reads: Callable[[Path], DomainImages]
    flips: bool = False


def of_file(
    folder: Path,
    *,
    file: str = "mnist_usps32.npz",
    source: str,
    target: str,
    labels: int = 500,
    unlabelled: int = 3000,
    test: int | None = 2000,
    tail: float = 1.0,
) -> DomainImages:
    """`labels` source images, as many of each class; `unlabelled` target images as they come, or with a long tail whose
    largest class is `tail` times its smallest; `test` images of the target's test part, all when None."""
    with np.load(folder / file) as case_results:
        images, names, domain, group = (case_results[name] for name in ("image", "label", "domain", "group"))
        part = case_results["part"] if "part" in case_results else _parts(group, domain == target)
    classes = tuple(sorted(set(names.tolist())))
    codes = np.array([classes.index(name) for name in names], np.int64)

    def chosen(rows: Codes) -> LabelledImages:
        return LabelledImages(images[rows][:, None], codes[rows], classes)

    def shuffled(name: str, which: str) -> Codes:
        return rng(0, "domains", name, which).permutation(np.flatnonzero((domain == name) & (part == which)))

    first, second = shuffled(source, "train"), shuffled(target, "train")
    each = labels // len(classes)
    labelled = np.concatenate([first[codes[first] == c][:each] for c in range(len(classes))])
    used = long_tailed(codes[second], unlabelled, tail)
    rest = np.setdiff1d(np.arange(len(second)), used, assume_unique=True)
    return DomainImages(
        chosen(labelled), chosen(second[used]), chosen(shuffled(target, "test")[:test]), chosen(second[rest])
    )


def _parts(group: npt.NDArray[Any], of_target: npt.NDArray[np.bool_]) -> npt.NDArray[np.str_]:
    """ "train" or "test" for each image: every third group of the target is for the test, the source is all for training."""
    tested = rng(0, "domains", "parts").permutation(np.unique(group[of_target]))[::3]
    return np.where(of_target & np.isin(group, tested), "test", "train")


def long_tailed(labels: Codes, number: int, tail: float) -> Codes:
    """The first `number` rows; or about as many, whose classes in a random order fall off from `tail` to 1."""
    if tail == 1:
        return np.arange(min(number, len(labels)))
    order = rng(0, "domains", "tail").permutation(int(labels.max()) + 1)
    shares = tail ** (-np.arange(len(order)) / (len(order) - 1))
    counts = np.rint(number * shares / shares.sum()).astype(int)
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:n] for c, n in zip(order, counts, strict=True)]))


def flowers(folder: Path) -> DomainImages:
    """Flowers in colour at 32 px, 100 a class with labels; the others as a camera with a yellow cast and blur would take them: a
    known truth, which leaves every class what it is."""
    images = reading.load(folder / "flowers5.tar", size=32)
    order = rng(0, "domains", "flowers").permutation(len(images))
    labelled = np.concatenate([order[images.labels[order] == c][:100] for c in range(len(images.classes))])
    rest = np.setdiff1d(order, labelled)
    rest = rng(0, "domains", "flowers", "rest").permutation(rest)
    test, pool, target = rest[:1200], rest[1200:1400], rest[1400:]

    def seen(rows: Codes) -> LabelledImages:
        part = images.take(rows)
        return LabelledImages(yellowed(np.asarray(part.images)), part.labels, part.classes)

    plain = images.take(labelled)
    return DomainImages(LabelledImages(plain.images, plain.labels, plain.classes), seen(target), seen(test), seen(pool))


def yellowed(images: Images) -> Images:
    """Images uint8 [N, 3, H, W] blurred by .7 px, with gains of 1.05, .9 and .55 in red, green and blue, and a gamma of .8."""
    blurred = gaussian_filter(images / 255, (0, 0, 0.7, 0.7)) ** 0.8
    return np.asarray(np.clip(np.rint(255 * blurred * np.array([1.05, 0.9, 0.55])[:, None, None]), 0, 255), np.uint8)


DIGITS = partial(of_file, source="usps", target="mnist")
CASES = {
    "mnist": Case("USPS, 500 labels → MNIST", DIGITS),
    "usps": Case("MNIST, 500 labels → USPS", partial(of_file, source="mnist", target="usps", test=None)),
    "tail": Case("USPS, 500 labels → MNIST, long tail 20 : 1", partial(DIGITS, tail=20.0)),
    "flowers": Case("flowers, 500 labels → flowers with a colour cast and blur", flowers, flips=True),
    "fonts": Case(
        "letters of fonts → letters in photographs (negative control)",
        partial(of_file, file="chars74k32.npz", source="font", target="photo", labels=2040),
    ),
}


def settings_of(case: Case, target: Path, number: int, steps: int | None) -> RunSettings:
    """Those of one translator's run."""
    return validated(
        RunSettings,
        {
            "seed": number,
            "data": {"near_duplicates": "drop", "target": str(target)},
            "train": {"steps": steps},
            "prove": {"flips": case.flips, "classifier": "cnn"},
        },
    )


def target_file(images: DomainImages, file_path: Path) -> Path:
    """The target as a user would give it: a file with labels, in parts, of which those of the test part are used."""
    if not file_path.exists():
        file_path.parent.mkdir(parents=True, exist_ok=True)
        both = (images.target, images.test)
        np.savez(
            file_path,
            image=np.concatenate([np.asarray(each.images) for each in both]).transpose(0, 2, 3, 1).squeeze(),
            label=np.concatenate([np.array(each.classes)[each.labels] for each in both]),
            split=np.repeat(["train", "test"], [len(each) for each in both]),
        )
    return file_path


def verdict_of(
    name: str, data_folder: Path, folder: Path, steps: int | None
) -> tuple[Verdict, dict[str, list[float]], list[float]]:
    """The verdict of a case over eight seeds and three translators, balanced accuracy of each reference, and the share of
    translations of each translator that a judge assigns to the class of their source."""
    case = CASES[name]
    images = case.reads(data_folder)
    target = target_file(images, folder / name / "target.npz")
    results = Remembered(folder / name / "trainings.json")
    shares_kept: list[float] = []

    def trial(session: Session, first: int, seeds: int) -> Verdict:
        splits, trial_settings = session.splits, session.settings.prove.model_copy(update={"seeds": seeds})
        shares_kept.append(session.run.read("generation")["kept_classes"]["overall"]["value"])
        assert session.target is not None
        return proof.prove(
            splits["train"], splits["validation"], splits["test"], session.synthetic, trial_settings, offset=first, flips=session.flips,
            target=session.target.images, results=results.values, on_result=results.keep, on_note=print,
        )  # fmt: skip

    verdict = over_translators(
        images.labelled, folder / name, lambda number: settings_of(case, target, number, steps), trial
    )
    last = settings_of(case, target, 0, steps)
    with stages.opened(images.labelled, folder / name / "translator-0", settings=last) as session:
        train, test = session.splits["train"], session.splits["test"]
    return verdict, references(images, train, test, case, results), shares_kept[: len(shares_kept) - 1]


def references(
    images: DomainImages, train: LabelledImages, test: LabelledImages, case: Case, results: Remembered
) -> dict[str, list[float]]:
    """Balanced accuracy with labels of the target, a value a seed."""
    case_results: dict[str, list[float]] = {name: [] for name in REFERENCES}
    train = LabelledImages(train.images, train.labels, train.classes, fingerprint=train.fingerprint)
    for name in REFERENCES:
        for seed in range(REFERENCE_SEEDS):
            key = f"reference {name}/{seed}"
            if key not in results.values:
                few = None if name == "target labels" else images.few(int(name.split()[0]))
                on, method = (images.target, "source_only") if few is None else (train, "few_labels+adabn")
                model = proof.adapted(
                    on, np.asarray(images.target.images), config(case.flips), method=method, seed=seed,
                    device=torch.device("cpu"), few=few,
                )  # fmt: skip
                results.values[key] = measures(test.labels, proof.probabilities(model, test.images))
                results.keep(0, 0, key)
            case_results[name].append(results.values[key]["balanced_accuracy"])
    return case_results


def case_record(name: str, verdict: Verdict, real: dict[str, list[float]], shares_kept: list[float]) -> dict[str, Any]:
    """What the result file keeps of a case."""
    arms = {arm: values["balanced_accuracy"] for arm, values in verdict.arms.items()}
    mean = {arm: float(np.mean(values)) for arm, values in arms.items()}
    shown = {
        "case": CASES[name].what,
        "no help": f"{100 * mean['randaugment']:.1f}",
        "best rival": f"{100 * mean[verdict.comparator]:.1f} ({verdict.comparator})",
        "translations alone": f"{100 * mean['translated']:.1f}",
        "translations, adapted": f"{100 * mean[verdict.arm]:.1f} ({verdict.arm})",
        "difference": points(verdict.difference, verdict.low, verdict.high),
        **{which: f"{100 * float(np.mean(real[which])):.1f}" for which in REFERENCES},
        "class kept": f"{100 * float(np.mean(shares_kept)):.0f} %",
        "outcome": verdict.outcome,
    }
    what = f"{CASES[name].what}: {verdict.outcome} ({verdict.arm})"
    line = row(what, mean[verdict.arm], mean[verdict.comparator], verdict.comparator, verdict.metric, True)
    facts = {"outcome": verdict.outcome, "low": verdict.low, "high": verdict.high, "p": verdict.p}
    return {
        "date": time.strftime("%Y-%m-%d"), "row": line | facts, "shown": shown, "arms": arms, "references": real, "class kept": shares_kept,
        "sentence": verdict.sentence,
    }  # fmt: skip


def main() -> None:
    """Every case that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--folder", type=Path, default=Path("runs/domains"))
    parser.add_argument("--steps", type=int, help="of a translator; the recipe's own unless given")
    options = parser.parse_args()
    for name in options.cases.split(","):
        case_results = verdict_of(name, options.data, options.folder, options.steps)
        print(f"{name}: {case_results[0].outcome.upper()}. {case_results[0].sentence}", flush=True)
        cases = stored("domains").get("cases", {}) | {name: case_record(name, *case_results)}
        cases = {each: cases[each] for each in CASES if each in cases}
        lines, table = ([each[key] for each in cases.values()] for key in ("row", "shown"))
        write("domains", lines, table=table, cases=cases)


if __name__ == "__main__":
    main()
