"""Train one peer for some seconds and draw: `python -m peers.run NAME IMAGES.npy OUT.npy --seconds S --count N --seed K`.

Prints {steps, seconds, parameters} as JSON. Set-up and drawing are not in the seconds; a step that is under way at the
end is finished.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from peers.learners import LEARNERS


def main() -> None:
    """What the docstring of this file says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=LEARNERS)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        play, draw, count = LEARNERS[options.name](np.load(options.images), options.seed, Path(folder))
        started, steps = time.perf_counter(), 0
        while time.perf_counter() - started < options.seconds:
            play(steps)
            steps += 1
        seconds = time.perf_counter() - started
        np.save(options.out, draw(options.count), allow_pickle=False)
    print(json.dumps({"steps": steps, "seconds": round(seconds, 1), "parameters": count}))


if __name__ == "__main__":
    main()
