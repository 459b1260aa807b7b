"""Print the section of CHANGELOG.md about one version; stop where tag, package and changelog disagree.

python scripts/release_notes.py v0.1.0
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def release_notes(tag: str, changelog: str, version: str) -> str:
    """The text below the heading of the version.

    Parameters
    ----------
    tag
        Name of the tag, such as v0.1.0.
    changelog
        Text of CHANGELOG.md, with one `## VERSION` or `## VERSION (DATE)` heading per release.
    version
        Version in pyproject.toml.

    Raises
    ------
    ValueError
        If the tag is not that of the version, or the changelog has nothing about it.
    """
    if tag != f"v{version}":
        raise ValueError(
            f"the tag is {tag}, but pyproject.toml has version {version}: tag v{version}, or change the version"
        )
    section = re.search(rf"^## {re.escape(version)}(?: [^\n]*)?\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if section is None or not section[1].strip():
        raise ValueError(f"CHANGELOG.md has no text below a heading '## {version}': rename '## Unreleased'")
    return section[1].strip() + "\n"


def main() -> None:
    """Print the notes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    try:
        print(release_notes(sys.argv[1], changelog, project["version"]), end="")
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
