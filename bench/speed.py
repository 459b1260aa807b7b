"""How fast every recipe trains and draws, and how that compares with other ways to do the same.

Three kinds of rows. A recipe alone: floating-point operations a second of its training (convolutions and matrix
products of a mean step, counted) against a large 3×3 convolution forward and back in fp32, the machine's ceiling; its
images a second and peak memory stand in the case and under "recipes" in the result file. Against PyTorch-GAN's dcgan:
Augury's dcgan recipe as wide as it must be to have at least as many parameters, and Augury's training of the
peer's own networks. Against StyleGAN2 in its first formulation, at equal parameters: training and drawing.

Every measurement is a fresh process. Sides that are compared take turns; medians are reported. Training is what a
user gets: batches, augmentation, penalties, moving average. A mean step weighs steps with and without lazy penalties.
Expect about 40 minutes on two cores; --quick for one round of short looks.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from functools import partial
from typing import Any

import torch

from augury.training import choose_precision
from augury.training.recipes import RECIPES
from common import FROM_NOISE, apart, ceiling, interleaved, operations_a_step, row, seconds_a_step, stored, write
from sides import SIZES, side

COMPARISONS = {
    "dcgan_as_large": {"pytorch_gan": "PyTorch-GAN dcgan"},
    "augury_on_peer": {"pytorch_gan": "PyTorch-GAN dcgan, the same networks"},
    "stylegan": {
        "stylegan_grouped": "StyleGAN2, grouped modulated convolutions",
        "stylegan_scaled": "StyleGAN2, scaled while training as in ADA",
    },
}


def batch_of(name: str, size: int) -> int:
    """64, but where a step would take many seconds on two cores less."""
    heavy = name in ("stylegan", "r3gan")
    return 64 if size < 128 else 16 if heavy else 32


def one(name: str, size: int, batch: int, patience: float) -> dict[str, float]:
    """Images a second trained and drawn, peak memory in GiB, operations a second, parameters; in this process."""
    if name == "ceiling":
        return {"operations": ceiling("convolution", torch.float32, torch.device("cpu"), patience=patience)}
    (train_step, draw, count), every = side(name, size, batch)
    seconds = seconds_a_step(train_step, every, patience)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if name in RECIPES:  # counted on a batch of 4: operations go with the number of images
        few = side(name, size, 4)[0][0]
        operations = operations_a_step(few, every) * batch / 4
    else:
        operations = 0.0
    drawn = 0.0
    if draw():
        started = time.perf_counter()
        drawn = draw() / (time.perf_counter() - started)
    critics = RECIPES[name].critic_steps if name in RECIPES else 1
    return {
        "trained": batch * critics / seconds,
        "drawn": drawn,
        "gib": peak,
        "operations": operations / seconds,
        "parameters": count,
    }


def compared(ours: str, peers: dict[str, str], size: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one of our sides against others, name -> how it is called."""
    facts: dict[str, list[dict[str, float]]] = {name: [] for name in (ours, *peers)}

    def measured(name: str) -> float:
        facts[name].append(apart(__file__, "--one", name, size, 64, "--patience", options.patience))
        return facts[name][-1]["trained"]

    trained = interleaved({name: partial(measured, name) for name in facts}, options.rounds)
    millions = {name: measurements[0]["parameters"] / 1e6 for name, measurements in facts.items()}
    drawn = {
        name: sorted(f["drawn"] for f in measurements)[len(measurements) // 2] for name, measurements in facts.items()
    }
    rows = []
    for name, called in peers.items():
        case = f"{ours}, {size}×{size}×{SIZES[size]}, batch 64, {millions[ours]:.2f} M parameters against {millions[name]:.2f} M"
        rows.append(row(f"training, {case}", trained[ours], trained[name], called, "img/s", True, digits=1))
        if drawn[ours] and drawn[name]:
            rows.append(row(f"drawing, {case}", drawn[ours], drawn[name], called, "img/s", True, digits=1))
    return rows


def row_key(line: dict[str, Any]) -> tuple[str, str]:
    """What a row is of, whatever was found."""
    return line["case"].partition(", batch")[0], line["peer_name"]


def alone(name: str, size: int, top: float, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """(row, facts) of one recipe at one size."""
    batch = batch_of(name, size)
    measurements = apart(__file__, "--one", name, size, batch, "--patience", options.patience)
    facts = {"recipe": name, "size": size, "channels": SIZES[size], "batch": batch, **measurements}
    case = (
        f"{name}, {size}×{size}×{SIZES[size]}, batch {batch}: trains {measurements['trained']:.3g} img/s, "
        f"draws {measurements['drawn']:.3g} img/s, {measurements['gib']:.2f} GiB"
    )
    return row(case, measurements["operations"] / 1e9, top / 1e9, "3×3 convolution", "GFLOP/s", True, digits=1), facts


def main() -> None:
    """All recipes at all sizes, then the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of the comparisons")
    parser.add_argument("--patience", type=float, default=8.0, help="seconds for each kind of step")
    parser.add_argument(
        "--only", default="", help="recipes and comparisons whose name contains this, over the last result"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--quick", action="store_true", help="one round of one second each; writes no file")
    parser.add_argument("--one", nargs=3, metavar=("SIDE", "SIZE", "BATCH"), help="print one measurement")
    options = parser.parse_args()
    if options.one:
        name, size, batch = options.one
        print(json.dumps(one(name, int(size), int(batch), options.patience)))
        return
    if options.quick:
        options.rounds, options.patience = 1, 1.0
    tops = [apart(__file__, "--one", "ceiling", 0, 0, "--patience", 2)["operations"] for _ in range(3)]
    top = sorted(tops)[1]
    print(f"ceiling {top / 1e9:.0f} GFLOP/s", flush=True)
    rows, recipes = [], []
    for size in options.sizes:
        for name in (name for name in FROM_NOISE if options.only in name):
            line, facts = alone(name, size, top, options)
            print(f"  {line['case']}: {line['ratio']:.0%} of the ceiling", flush=True)
            rows.append(line)
            recipes.append(facts)
    for size in (size for size in options.sizes if size < 128):
        for ours, peers in COMPARISONS.items():
            if any(options.only in name for name in (ours, *peers)):
                rows += compared(ours, peers, size, options)
    if options.quick:
        for line in rows:
            print(f"{line['case']}: {line['ours']} against {line['peer']} ({line['peer_name']}), {line['ratio']}")
        return
    if options.only:
        before = stored("speed")
        rows = list({row_key(line): line for line in (*before["rows"], *rows)}.values())
        recipes = list({(each["recipe"], each["size"]): each for each in (*before["recipes"], *recipes)}.values())
    precision = choose_precision(torch.device("cpu"))
    write("speed", rows, rounds=options.rounds, threads=torch.get_num_threads(), precision=precision, recipes=recipes)


if __name__ == "__main__":
    main()
