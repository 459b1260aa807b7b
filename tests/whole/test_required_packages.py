"""`make test-scale` runs every test that needs Ray, a tracker or FAISS, and fails where one is skipped for want of its package."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PACKAGES = {"ray": "scale", "fsspec": "scale", "mlflow": "track", "wandb": "track", "faiss": "index"}
"""Package that tests import and that `dev` lacks -> its extra."""
LACKING = """
import importlib.util
import pytest

@pytest.mark.skipif(importlib.util.find_spec("no_such_package") is None, reason="no_such_package is not installed")
def test_marked(): ...

def test_asking():
    pytest.importorskip("no_such_package")

@pytest.mark.skipif(True, reason="this machine has no tape drive")
def test_of_another_machine(): ...
"""


def tried(folder: Path, *options: str) -> tuple[int, str]:
    """(exit status, output) of pytest with the options of this project's tests, in a folder of other tests."""
    words = [
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--rootdir",
        str(folder),
    ]
    done = subprocess.run(
        [sys.executable, *words, *options, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


@pytest.mark.slow
def test_a_skip_for_want_of_a_package_fails_on_demand(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_lacking.py").write_text(LACKING)
    (tmp_path / "test_whole_file.py").write_text("import pytest\npytest.importorskip('no_such_package')\n")
    status, output = tried(tmp_path)
    assert status == 0 and "4 skipped" in output, output
    status, output = tried(tmp_path, "--require-packages", "--continue-on-collection-errors")
    assert status == 1 and "1 failed, 1 skipped, 2 errors" in output, output
    for reason in ("no_such_package is not installed", "No module named 'no_such_package'"):
        assert f"{reason}, and --require-packages asks for it" in output


def test_the_target_installs_the_packages_and_runs_all_tests_that_need_one() -> None:
    (listed,) = re.findall(r"^SCALE_TESTS = ((?:.*\\\n)*.*)$", MAKEFILE, re.M)
    paths = [ROOT / name for name in listed.replace("\\", " ").split()]
    assert all(path.exists() for path in paths)
    (extras,) = re.findall(r"^test-scale:.*\n\t.* -c constraints\.txt .*'\.\[(.*)\]'$", MAKEFILE, re.M)
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= offered.keys() and set(PACKAGES.values()) <= set(extras.split(","))
    asks = re.compile(rf'(?:importorskip|find_spec)\("({"|".join(PACKAGES)})[".]')
    needing = {path: asks.findall(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("test_*.py")}
    assert {name for names in needing.values() for name in names} == PACKAGES.keys()
    left_out = [path.name for path, names in needing.items() if names and not {path, *path.parents} & set(paths)]
    assert not left_out, f"add {', '.join(left_out)} to SCALE_TESTS in the Makefile"


@pytest.mark.parametrize(
    "page", ["docs/scale.md", "docs/sharding.md", "docs/tuning.md", "docs/faults.md", "CONTRIBUTING.md"]
)
def test_the_pages_name_the_target(page: str) -> None:
    assert "`make test-scale`" in (ROOT / page).read_text(encoding="utf-8")
