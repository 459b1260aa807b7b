"""The pins of the demo: every package but torch has hashes, versions are those of constraints.txt, and nothing is missing."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def pinned() -> dict[str, tuple[str, list[str]]]:
    """Name -> (version, hashes) of requirements-demo.txt."""
    text = re.sub(r"#.*", "", (ROOT / "requirements-demo.txt").read_text()).replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    split = {canonicalize_name(words[0].split("==")[0]): (words[0].split("==")[1], words[1:]) for words in lines}
    assert len(split) == len(lines)
    return split


def needs(name: str, extra: str = "") -> set[str]:
    """The packages that a distribution asks for in this Python and system."""
    requirements = [Requirement(text) for text in distribution(name).requires or []]
    return {
        canonicalize_name(each.name)
        for each in requirements
        if each.marker is None or each.marker.evaluate({"extra": extra}) or each.marker.evaluate({"extra": ""})
    }


def test_every_package_of_the_demo_is_pinned_with_hashes() -> None:
    pins, waiting, seen = pinned(), needs("augury", "features"), {"torch"}
    waiting |= {name for name in needs("torch") if not name.startswith(("nvidia-", "triton", "cuda-"))}
    while waiting := waiting - seen:
        name = waiting.pop()
        seen.add(name)
        assert name in pins, f"{name} is not in requirements-demo.txt"
        waiting |= needs(name)
    assert {"hatchling", "editables"} <= pins.keys() and len(seen) > 25
    assert all(hashes for _, hashes in pins.values())
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for _, hashes in pins.values() for each in hashes)


def test_versions_are_those_of_the_constraints() -> None:
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    versions = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines if line)}
    shared = {name: version for name, (version, _) in pinned().items() if name in versions}
    assert len(shared) > 8 and shared == {name: versions[name] for name in shared}


@pytest.mark.parametrize("name", ["numpy", "pillow", "scipy", "safetensors"])
def test_compiled_packages_have_the_hashes_of_several_platforms(name: str) -> None:
    assert len(set(pinned()[name][1])) > 10
