"""A search on the embedded sample for a stated time, then its winner against the default configuration.

Both are trained from fresh seeds, and judged on the test split, which the search has not read: a classifier trained on generated images
alone (GAN-train), and the kernel distance. All trainings have the same steps, and only
settings are searched that leave the cost of a step as it is. So other load on the machine changes how many trials fit into the time, and
nothing else. A killed benchmark goes on where it stopped. Set OMP_NUM_THREADS=1 for one core.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from scipy.special import stdtrit

from augury import training
from augury.cli.console import callbacks
from augury.files import read_json
from augury.pipeline import stages
from augury.pipeline.session import Session
from augury.pipeline.settings_file import read_settings
from augury.randomness import derived_seed
from augury.settings import RunSettings
from augury.tuning import OBJECTIVES, tune
from augury.tuning.objectives import Judge
from augury.validation import validated
from common import Remembered, row, write

SEARCHED = (
    "generator_lr", "discriminator_lr", "r1", "r2", "half_life", "loss", "augment", "label_sampling", "truncation", "filters",
)  # fmt: skip
"""Settings that do not change what a step costs."""
MEASURES = {"gan_train": "GAN-train on test", "kid": "KID to test"}


def measured(session: Session, settings: RunSettings, steps: int, seed: int) -> dict[str, float]:
    """Every objective on the test split, of a generator trained from this seed."""
    train, test = session.splits["train"], session.splits["test"]
    chosen = settings.train.model_copy(update={"steps": steps, "budget": None})
    plan = training.make_plan(train, chosen, seed=seed, device=session.device, flips=session.flips)
    assess = stages.monitor(session, plan)
    synthesizer = training.train_plan(plan, train, assess=assess, apart=assess.apart)
    judge = Judge(
        train,
        test,
        session.classifier,
        session.own_features(),
        session.flips,
        session.device,
        derived_seed(seed, "test"),
    )
    return {name: OBJECTIVES[name].measure(judge, synthesizer, settings) for name in MEASURES}


def interval(values: list[float]) -> tuple[float, float, float]:
    """(mean, low, high) of paired differences, 95 % by Student's t."""
    mean = statistics.fmean(values)
    half = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def main() -> None:
    """Search, train again from fresh seeds, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", default="30m", help="time of the search with its final training")
    parser.add_argument("--steps", type=int, default=200, help="steps of every training")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-tune"))
    options = parser.parse_args()
    root = options.folder / "search"
    if not (root / "tune.json").exists():
        train = {"recipe": "rpgan", "steps": options.steps}
        shown = callbacks(False)
        tune(
            None,
            root,
            time=options.time,
            objective="gan_train",
            search=SEARCHED,
            settings={"train": train},
            callbacks=shown,
        )
    search = read_json(root / "tune.json")
    base = validated(RunSettings, read_json(root / "base" / "run.json")["settings"])
    winner = validated(RunSettings, read_settings(root / "winner.yaml"))
    trials = {trial["number"]: trial for trial in search["trials"]}
    default = next(
        trial for trial in search["trials"] if trial["default"] and trial["value"] == search["default_search"]
    )
    contestants = {
        "default": (base, default["steps"]),
        "winner": (winner, trials[search["winner"]]["steps"]),
    }
    remembered = Remembered(options.folder / "test.json")
    with stages.opened(None, root / "base") as session:
        for number in range(options.seeds):
            for name, (settings, steps) in contestants.items():
                key = f"{name} {number}"
                if key not in remembered.values:
                    seed = derived_seed(base.seed, "bench-tune", number)
                    remembered.values[key] = measured(session, settings, steps, seed)
                    remembered.keep(0, 0, key)
                print(key, remembered.values[key], flush=True)
    values = {
        measure: {
            name: [remembered.values[f"{name} {i}"][measure] for i in range(options.seeds)] for name in contestants
        }
        for measure in MEASURES
    }
    table, rows = [], []
    for measure, title in MEASURES.items():
        mean = {name: statistics.fmean(numbers) for name, numbers in values[measure].items()}
        paired = [w - d for w, d in zip(values[measure]["winner"], values[measure]["default"], strict=True)]
        difference, low, high = interval(paired)
        better = "higher" if OBJECTIVES[measure].higher else "lower"
        table.append(
            {
                "measure": f"{title} ({better} is better)",
                "default": f"{mean['default']:.3f}",
                "winner": f"{mean['winner']:.3f}",
                "winner − default (95 %)": f"{difference:+.3f} ({low:+.3f} to {high:+.3f})",
            }
        )
        rows.append(
            row(title, mean["winner"], mean["default"], "default configuration", "", OBJECTIVES[measure].higher)
        )
    states = [trial["state"] for trial in search["trials"]]
    write(
        "tune",
        rows,
        table=table,
        threads=torch.get_num_threads(),
        time=options.time,
        seeds=options.seeds,
        values=values,
        search={
            **{
                name: search[name]
                for name in (
                    "seconds",
                    "real",
                    "winner",
                    "search",
                    "fresh",
                    "default_search",
                    "default_fresh",
                    "changes",
                )
            },
            "trials": {state: states.count(state) for state in dict.fromkeys(states)},
            "steps": {name: steps for name, (_, steps) in contestants.items()},
        },
    )


if __name__ == "__main__":
    main()
