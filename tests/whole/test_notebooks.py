"""The notebooks of the documentation, which the build of the pages executes: committed without outputs, and in the menu."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def test_every_notebook_is_in_the_menu() -> None:
    menu = (DOCS / "index.md").read_text(encoding="utf-8").splitlines()
    assert NOTEBOOKS and all(f"notebooks/{path.stem}" in menu for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_light_and_has_no_outputs(path: Path) -> None:
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["metadata"]["kernelspec"]["name"] == "python3" and path.stat().st_size < 20_000
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code)
    for cell in code:
        source = "".join(cell["source"])
        compile(source, path.name, "exec")
        assert max(map(len, source.splitlines())) <= 88, source  # longer lines are cut off on the page
