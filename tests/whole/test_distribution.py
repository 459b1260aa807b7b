"""What is released: the checks of sdist and wheel, the release workflow, its notes, and the container file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.check_dist import IN_PACKAGE, IN_SDIST, sdist_problems, wheel_problems
from scripts.release_notes import release_notes

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CONTAINER = (ROOT / "Containerfile").read_text(encoding="utf-8")
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]

SOURCE = ["augury/__init__.py", *(f"augury/{name}" for name in IN_PACKAGE)]
INFO = "augury-1.0.dist-info"
WHEEL = [
    *SOURCE,
    *(f"{INFO}/{name}" for name in ("METADATA", "entry_points.txt", "licenses/LICENSE", "licenses/src/augury/NOTICE")),
]
TRACKED = [*IN_SDIST, "src/augury/__init__.py", "tests/test_one.py", ".github/workflows/release.yml"]
SDIST = [f"augury-1.0/{name}" for name in ("PKG-INFO", *TRACKED[:-1])]


def test_every_file_that_is_asked_of_a_wheel_exists() -> None:
    assert all((ROOT / "src" / "augury" / name).is_file() for name in IN_PACKAGE)
    assert all((ROOT / name).is_file() for name in IN_SDIST)


def test_a_complete_wheel_has_no_problems() -> None:
    assert wheel_problems(WHEEL, SOURCE, "1.0") == []


@pytest.mark.parametrize(
    "name", ["augury/py.typed", "augury/data/sample/NOTICE", f"{INFO}/licenses/LICENSE", f"{INFO}/entry_points.txt"]
)
def test_a_file_that_a_wheel_lacks_is_named(name: str) -> None:
    (problem,) = wheel_problems([each for each in WHEEL if each != name], SOURCE, "1.0")
    assert problem.startswith("the wheel") and (name.split("/")[-1] in problem or "installs no command" in problem)


@pytest.mark.parametrize("name", ["tests/test_one.py", "augury/runs/verdict.json", "augury/__pycache__/a.pyc"])
def test_a_file_that_does_not_belong_into_a_wheel_is_named(name: str) -> None:
    assert wheel_problems([*WHEEL, name], SOURCE, "1.0") == [f"the wheel contains {name}, which is no file of src/"]


def test_the_problems_of_an_sdist_are_named() -> None:
    assert sdist_problems(SDIST, TRACKED, "1.0") == []
    (lacks,) = sdist_problems([name for name in SDIST if "tests" not in name], TRACKED, "1.0")
    (added,) = sdist_problems([*SDIST, "augury-1.0/runs/demo/verdict.json"], TRACKED, "1.0")
    (outside,) = sdist_problems([*SDIST, "elsewhere.py"], TRACKED, "1.0")
    assert "lacks tests/test_one.py" in lacks and "contains runs/demo" in added and "elsewhere.py outside" in outside


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert f'__version__ = "{version}"' in (ROOT / "src/augury/__init__.py").read_text(encoding="utf-8")
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version


def test_notes_are_the_section_of_the_version() -> None:
    changelog = "# Changelog\n\n## Unreleased\n\n- c\n\n## 1.0 (2026-12-01)\n\n### Added\n\n- b\n\n## 0.9\n\n- a\n"
    assert release_notes("v1.0", changelog, "1.0") == "### Added\n\n- b\n"
    assert release_notes("v0.9", changelog, "0.9") == "- a\n"
    with pytest.raises(ValueError, match=r"tag is v1\.0, but pyproject\.toml has version 2\.0"):
        release_notes("v1.0", changelog, "2.0")
    with pytest.raises(ValueError, match=r"no text below a heading '## 2\.0'"):
        release_notes("v2.0", changelog, "2.0")


def test_a_release_is_checked_before_it_is_published() -> None:
    assert WORKFLOW["on"] == {"push": {"tags": ["v*"]}} and WORKFLOW["permissions"] == {"contents": "read"}
    commands = [step["run"] for step in WORKFLOW["jobs"]["check"]["steps"] if "run" in step]
    targets = [line.split()[1] for line in commands if line.startswith("make ")]
    assert targets == ["check", "test", "test-scale", "audit", "fuzz", "soak", "check-dist"]
    assert all(re.search(rf"^{target}:", MAKEFILE, re.M) for target in targets)
    assert WORKFLOW["jobs"]["publish"]["needs"] == "check" and WORKFLOW["jobs"]["announce"]["needs"] == "publish"


def test_a_release_stores_no_secret_and_fixes_the_versions_of_its_actions() -> None:
    assert WORKFLOW["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in str(WORKFLOW)
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used and all(re.search(r"@(v\d+|release/v\d+|[0-9a-f]{40})$", name) for name in used)
    scripts = re.findall(r"python (\S+\.py)", str(WORKFLOW))
    assert scripts and all((ROOT / name).is_file() for name in scripts)


def test_the_container_copies_files_that_exist_and_that_are_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [words[:-1] for words in map(str.split, re.findall(r"^COPY (?!--from)(.*)$", CONTAINER, re.M))]
    assert copied and "*" in ignored
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists() and f"!{name}" in ignored


def test_the_container_has_both_targets_and_no_address() -> None:
    stages = re.findall(r"^FROM \S+ AS (\w+)$", CONTAINER, re.M)
    assert {"cpu", "cuda"} <= set(stages) and stages[-1] == "cpu"  # the last stage is built by default
    assert "://" not in CONTAINER and re.search(r"^ARG TORCH_INDEX$", CONTAINER, re.M)
    (extras,) = re.findall(r"^ARG EXTRAS=(.*)$", CONTAINER, re.M)
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])
    page = (ROOT / "docs" / "container.md").read_text(encoding="utf-8")
    for name, default in re.findall(r"^ARG (\w+)(?:=(.*))?$", CONTAINER, re.M):
        assert re.search(rf"\| `{name}` \| {f'`{re.escape(default)}`' if default else 'none'} \|", page), name
