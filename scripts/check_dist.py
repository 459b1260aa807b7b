"""Build sdist and wheel, check what they contain, and do the main job with the wheel in a fresh environment.

python scripts/check_dist.py               # all of it, in temporary folders; needs the package `build`
python scripts/check_dist.py --keep dist   # the same, then put the two checked files into dist/

The wheel is built from the sdist, so a file that the sdist lacks is noticed. It is installed by constraints.txt into an environment
outside the repository. There the command line runs from an empty folder without any extra, and mypy checks a script of two lines.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
IN_PACKAGE = (
    "py.typed", "data/sample/fashion_long_tail.npz", "data/sample/NOTICE", "report/page.html.j2", "report/style.css",
    "explorer/templates/base.html.j2", "explorer/static/explorer.css", "explorer/static/common.js",
)  # fmt: skip
"""Files below augury/ that are no Python and that a run, a report or a type checker needs."""
LICENCES = ("LICENSE", "NOTICE")
IN_SDIST = (
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "pyproject.toml",
    "constraints.txt",
    "requirements-demo.txt",
    "Makefile",
)
FOLDERS_OF_SDIST = ("src", "tests", "docs", "bench", "examples", "scripts")
MEGABYTES = 4
"""Neither file may be larger: data or runs would be inside."""
JOB = shlex.split(
    "run -o r --steps 40 --size 16 --sampling-strategy 40 --quiet --classifier cnn --set generate.filters=[] --set score.limit=60 "
    "--set score.features=classifier --set prove.arms=none,balanced,gan --set prove.seeds=2 --set prove.steps=20 "
    "--set prove.ratios=[0.5]"
)
OUTCOMES = ("helps", "hurts", "no difference", "underpowered")
SCRIPT = 'import augury\nreveal_type(augury.run("photos/", "runs/photos").verdict.outcome)\n'
WRONG = 'import augury\naugury.run("photos/", "runs/photos", seed="many")\n'
PRINTED = (
    'right.py:2: note: Revealed type is "str"',
    "wrong.py:2: error: Argument",
    "Found 1 error in 1 file (checked 2 source files)",
)
"""What mypy says about SCRIPT and WRONG."""


class CheckError(Exception):
    """A distribution is not as it should be; the text says what to change."""


def wheel_problems(names: Iterable[str], source: Iterable[str], version: str) -> list[str]:
    """What is wrong with the files of a wheel.

    Parameters
    ----------
    names
        Paths in the wheel.
    source
        Paths of the files below src/, as posix.
    version
        Version of the package.

    Returns
    -------
    list of str
        One sentence per problem.
    """
    inside, expected, info = set(names), set(source), f"augury-{version}.dist-info"
    files = {name for name in inside if not name.startswith(f"{info}/")}
    expected |= {f"augury/{name}" for name in IN_PACKAGE}
    licences = {PurePosixPath(name).name for name in inside if name.startswith(f"{info}/licenses/")}
    problems = [f"the wheel lacks {name}: add it to src/, tracked by git" for name in sorted(expected - files)]
    problems += [f"the wheel contains {name}, which is no file of src/" for name in sorted(files - expected)]
    problems += [
        f"the wheel lacks the licence {name}: see license-files in pyproject.toml"
        for name in LICENCES
        if name not in licences
    ]
    if f"{info}/entry_points.txt" not in inside:
        problems.append("the wheel installs no command: see project.scripts in pyproject.toml")
    return problems


def sdist_problems(names: Iterable[str], tracked: Iterable[str], version: str) -> list[str]:
    """What is wrong with the files of an sdist; parameters as in `wheel_problems`, `tracked` are all files in git."""
    top, files, problems = f"augury-{version}/", set(), []
    for name in names:
        if name.startswith(top):
            files.add(name.removeprefix(top))
        else:
            problems.append(f"the sdist contains {name} outside {top}")
    known = set(tracked)
    needed = set(IN_SDIST) | {name for name in known if name.split("/")[0] in FOLDERS_OF_SDIST}
    problems += [
        f"the sdist lacks {name}: see tool.hatch.build.targets.sdist in pyproject.toml"
        for name in sorted(needed - files)
    ]
    problems += [
        f"the sdist contains {name}, which git does not track: exclude it in pyproject.toml"
        for name in sorted(files - known - {"PKG-INFO"})
    ]
    return problems


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it, into `folder`."""
    call([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], ROOT)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def check_contents(sdist: Path, wheel: Path) -> str:
    """Raise a CheckError that lists every problem; returns the version."""
    version = wheel.name.split("-")[1]
    tracked = call(["git", "ls-files", "-z"], ROOT).split("\0")[:-1]
    with tarfile.open(sdist) as archive:
        packed = [member.name for member in archive.getmembers() if not member.isdir()]
    with zipfile.ZipFile(wheel) as archive:
        zipped = [name for name in archive.namelist() if not name.endswith("/")]
    source = [name.removeprefix("src/") for name in tracked if name.startswith("src/")]
    problems = wheel_problems(zipped, source, version) + sdist_problems(packed, tracked, version)
    for file in (sdist, wheel):
        size = file.stat().st_size / 1e6
        if size > MEGABYTES:
            problems.append(f"{file.name} has {size:.1f} MB, more than {MEGABYTES}: data or runs are inside")
        print(f"{file.name}: {size:.2f} MB, {len(packed if file == sdist else zipped)} files", flush=True)
    if problems:
        raise CheckError("\n".join(problems))
    return version


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment in `folder` with the wheel and mypy by constraints.txt; returns its folder of commands."""
    venv.create(folder, with_pip=True)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(commands / "python"), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
    call([*pip, str(wheel), "mypy"], folder)
    return commands


def check_command_line(commands: Path, folder: Path, version: str) -> None:
    """Do the main job in `folder` with the installed command, and look at what it leaves."""
    augury = str(commands / "augury")
    if (printed := call([augury, "--version"], folder)) != f"augury {version}\n":
        raise CheckError(f"augury --version prints {printed!r}, but the wheel has version {version}")
    for command in ("run", "prove", "inspect", "explore"):
        if command not in call([augury, "--help"], folder):
            raise CheckError(f"augury --help does not list the command {command}")
    call([augury, *JOB], folder)
    run = folder / "r"
    verdict = json.loads((run / "verdict.json").read_text(encoding="utf-8"))
    if verdict["outcome"] not in OUTCOMES:
        raise CheckError(f"the outcome of the run is {verdict['outcome']!r}; expected one of {', '.join(OUTCOMES)}")
    rows = (run / "dataset" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    origins = {json.loads(row)["origin"] for row in rows}
    images = len(list((run / "dataset").glob("*/*.png")))
    if origins != {"real", "synthetic"} or images != len(rows):
        raise CheckError(f"the data set has {images} files and {len(rows)} rows of origin {sorted(origins)}")
    page = (run / "report.html").read_text(encoding="utf-8")
    if verdict["outcome"] not in page.lower() or "data:image/" not in page or "<style>" not in page:
        raise CheckError(
            "report.html lacks its outcome, its images or its style: see the templates in src/augury/report"
        )


def check_types(commands: Path, folder: Path) -> None:
    """Mypy sees the types of the installed package: it reveals one, and refuses a wrong argument."""
    (folder / "right.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "wrong.py").write_text(WRONG, encoding="utf-8")
    printed = call([str(commands / "mypy"), "--strict", "right.py", "wrong.py"], folder, code=1)
    for line in PRINTED:
        if line not in printed:
            raise CheckError(f"mypy does not print {line!r} for:\n{SCRIPT}\n{WRONG}\nbut:\n{printed}")


def call(words: list[str], folder: Path, code: int = 0) -> str:
    """What a command prints; a CheckError where it ends with another code."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    result = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != code:
        output = (result.stdout + result.stderr)[-4000:]
        raise CheckError(f"{' '.join(words)} ended with code {result.returncode}, not {code}:\n{output}")
    return result.stdout


def main() -> None:
    """Build and check."""
    parser = argparse.ArgumentParser(description="Build sdist and wheel, and check them.")
    parser.add_argument("--keep", type=Path, help="folder for the two files, once they are checked")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in ("dist", "empty", "user"):
            (folder / each).mkdir()
        try:
            sdist, wheel = build(folder / "dist")
            version = check_contents(sdist, wheel)
            commands = install(wheel, folder / "environment")
            print(f"installed after {time.monotonic() - started:.0f} s", flush=True)
            check_command_line(commands, folder / "empty", version)
            print(
                f"main job done, with verdict, data set and report, after {time.monotonic() - started:.0f} s",
                flush=True,
            )
            check_types(commands, folder / "user")
            print(f"types seen after {time.monotonic() - started:.0f} s", flush=True)
        except CheckError as error:
            raise SystemExit(str(error)) from None
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for file in (sdist, wheel):
                shutil.copy2(file, arguments.keep)
    print("sdist and wheel are complete")


if __name__ == "__main__":
    main()
