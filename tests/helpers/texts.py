"""The texts of the package and the options that they name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import augury

SOURCE = Path(augury.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


def texts() -> Iterator[tuple[str, str]]:
    """(where, text) of every text in the package, docstrings and pieces of formatted texts included."""
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{file.relative_to(SOURCE)}:{node.lineno}", node.value
    for file in sorted(SOURCE.rglob("*.j2")):
        yield str(file.relative_to(SOURCE)), file.read_text(encoding="utf-8")
