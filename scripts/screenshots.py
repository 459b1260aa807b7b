"""Pictures of every page of the explorer, at the width of a desk and of a phone, to look at.

PYTHONPATH=. python scripts/screenshots.py RUN FOLDER

It needs Chromium (apt-get install chromium), starts `augury explore RUN` itself, and writes FOLDER/PAGE-WIDTH.png. It fails where
a page has errors in the browser's log.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from augury.explorer.application import PAGES
from tests.helpers.browser import MISSING, browser
from tests.helpers.devtools import chromium
from tests.helpers.explorer_process import serving

WIDTHS = (1200, 390)
COMPLETE = """
!document.body.classList.contains("busy")
  && [...document.images].every((image) => image.complete)
  && document.getElementById("sliders-state")?.textContent !== "Looking for directions…"
"""
"""Whether a page has all that it asked for."""


def main() -> None:
    """What the docstring of this file says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("folder", type=Path, help="where to write the pictures; made where it is missing")
    options = parser.parse_args()
    if browser() is None:
        raise SystemExit(MISSING)
    options.folder.mkdir(parents=True, exist_ok=True)
    errors: list[str] = []
    with (
        tempfile.TemporaryDirectory() as profile,
        serving(options.run) as (site, _),
        chromium(Path(profile)) as started,
    ):
        tab = started.tab(f"{site}/data")
        for page in PAGES:
            for width in WIDTHS:
                tab.resize(width)
                tab.go(f"{site}/{page}")
                tab.wait(COMPLETE)
                file = options.folder / f"{page}-{width}.png"
                tab.screenshot(file)
                print(file)
        errors = tab.errors()
    if errors:
        raise SystemExit("\n".join(errors))


if __name__ == "__main__":
    main()
