"""The runs that the tests of the explorer look at; each test that changes one copies it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.explored_run import TRANSLATOR, explored


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; do not change it."""
    return explored(tmp_path_factory.mktemp("explored") / "run")


@pytest.fixture(scope="session")
def turning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a trained translator and no images; do not change it."""
    return explored(tmp_path_factory.mktemp("turning") / "run", "train", TRANSLATOR)


@pytest.fixture
def own(whole: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"
