"""`augury explore` before it serves anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.errors import MissingExtraError


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_the_command_says_what_to_install(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("starlette", "uvicorn"):
        monkeypatch.setitem(sys.modules, module, type(sys)(module))
    monkeypatch.setitem(sys.modules, package, None)
    outcome = CliRunner().invoke(app, ["explore", str(tmp_path)])
    assert isinstance(outcome.exception, MissingExtraError)
    assert f"needs the package {package}" in str(outcome.exception)
    assert "pip install 'augury[explore]'" in str(outcome.exception)
