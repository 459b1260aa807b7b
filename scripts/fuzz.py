"""Damaged inputs for every parser; prints how many were read or refused, and each that ended in another error.

`make fuzz` gives each parser 1,000 inputs. One input can be repeated: --only PARSER --seed S --number N.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from tests.helpers.fuzzing import attempts, small_run, targets


def main() -> None:
    """What the docstring of this file says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="for each parser")
    parser.add_argument("--only", default="", help="the parsers whose name contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, help="this input alone, with its traceback")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    failures = total = 0
    with tempfile.TemporaryDirectory() as name:
        os.environ["AUGURY_CACHE"] = str(Path(name) / "cache")
        run = small_run(Path(name) / "run")
        for parser_name, target in targets(run.path).items():
            if options.only not in parser_name:
                continue
            started, errors = time.monotonic(), 0
            numbers = range(options.inputs) if options.number is None else [options.number]
            for number, error in attempts(
                parser_name, target, Path(name) / "fuzz" / parser_name, numbers, options.seed
            ):
                total += 1
                if error is not None:
                    errors += 1
                    print(f"{parser_name}, seed {options.seed}, number {number}: {type(error).__name__}: {error}")
                    if options.number is not None:
                        traceback.print_exception(error)
            failures += errors
            seconds = time.monotonic() - started
            print(f"{parser_name}: {len(numbers):,} inputs, {errors} crashes, {seconds:.0f} s", flush=True)
    print(f"{total:,} inputs, {failures} crashes")
    raise SystemExit(bool(failures))


if __name__ == "__main__":
    main()
