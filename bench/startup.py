"""Seconds until the command line and the package answer, against the bare interpreter and against importing torch; and until the
explorer shows the first image of a generator of 64 px, against the limit of 2 s."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from augury.pipeline import stages
from augury.settings import RunSettings, TrainSettings
from augury.training import Card, Synthesizer, choose_device, make_plan
from augury.training.plan import set_up
from common import interleaved, random_images, row, write

sys.path.append(str(Path(__file__).parents[1]))

from tests.helpers.browser import browser
from tests.helpers.devtools import chromium
from tests.helpers.explorer_process import serving

CALLS = {
    "augury --help": [str(Path(sys.executable).parent / "augury"), "--help"],
    "import augury": [sys.executable, "-c", "import augury"],
    "bare interpreter": [sys.executable, "-c", "pass"],
    "import torch": [sys.executable, "-c", "import torch"],
}
SIZE, LIMIT = 64, 2.0
"""Pixels of a side of the generator that the explorer shows, and the most seconds until its first image."""


def seconds(call: list[str]) -> Callable[[], float]:
    """Seconds of one fresh process."""

    def run() -> float:
        started = time.perf_counter()
        subprocess.run(call, check=True, capture_output=True)
        return time.perf_counter() - started

    return run


def explored(folder: Path) -> Path:
    """A run with a generator of the recipe stylegan. It is untrained, and draws as fast as a trained one."""
    images = random_images(3, SIZE, count=64, classes=2)
    settings = RunSettings(device="cpu")
    stages.run(images, folder, settings=settings, until="split")
    plan = make_plan(images, TrainSettings(recipe="stylegan", steps=1), seed=0, device=choose_device("cpu"), flips=True)
    trainer, _ = set_up(plan, images)
    rule = plan.rule
    card = Card(
        rule.network, rule.settings, images.shape, images.classes, (), (), "", "stylegan", 0, 1, 1, plan.precision
    )
    Synthesizer(card, trainer.state.average.module).save(folder / "synthesizer")
    return folder


def first_answer(run: Path) -> float:
    """Seconds from the moment that a fresh explorer can be opened until it has answered with a sheet of images."""
    with serving(run) as (site, _):
        started = time.perf_counter()
        with urllib.request.urlopen(f"{site}/api/draw?cell=0") as answer:
            answer.read()
        return time.perf_counter() - started


def first_picture(run: Path, folder: Path) -> float:
    """Seconds from opening the page `generator` of a fresh explorer in a browser until its large image is there."""
    with chromium(folder / "profile") as started_browser, serving(run) as (site, _):
        tab = started_browser.tab("about:blank")
        started = time.perf_counter()
        tab.go(f"{site}/generator")
        tab.wait("document.getElementById('large').naturalWidth > 0")
        return time.perf_counter() - started


def first_images(rounds: int) -> dict[str, float]:
    """Case -> median seconds until the first image of the explorer."""
    with tempfile.TemporaryDirectory() as name:
        run = explored(Path(name) / "run")
        cases = {f"explorer, stylegan {SIZE}×{SIZE}: first 24 images from its start": lambda: first_answer(run)}
        if browser() is not None:
            cases[f"explorer, stylegan {SIZE}×{SIZE}: page opened to first image in Chromium"] = lambda: first_picture(
                run, Path(name)
            )
        return interleaved(cases, rounds)


def main() -> None:
    """Eleven interleaved rounds, and five of the explorer."""
    timings = interleaved({name: seconds(call) for name, call in CALLS.items()}, 11)
    rows = [
        row(case, timings[case], timings[peer], peer, "s", False)
        for case in ("augury --help", "import augury")
        for peer in ("bare interpreter", "import torch")
    ]
    write("startup", rows + [row(case, value, LIMIT, "limit", "s", False) for case, value in first_images(5).items()])


if __name__ == "__main__":
    main()
