"""Every page can be reached from the README in two clicks, and the gallery has every notebook and picture."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#\s]+\.(?:md|ipynb|png))")
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("docs/*.md", "docs/zh/*.md", "docs/notebooks/*.ipynb")
    for path in ROOT.glob(pattern)
)


def links(page: str) -> set[str]:
    """The files that a page links to or shows, from the root of the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return {posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) for target in LINK.findall(text)}


def test_every_page_is_two_clicks_from_the_readme() -> None:
    first = links("README.md")
    assert "docs/index.md" in first and len(PAGES) > 20
    missing = set(PAGES) - first - links("docs/index.md")
    assert not missing, f"link {', '.join(sorted(missing))} in docs/index.md, above its menus"


def test_every_page_is_in_the_menu_once() -> None:
    menus = re.findall(r"```\{toctree\}\n(.*?)```", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), re.S)
    listed = [line for menu in menus for line in menu.splitlines() if line and not line.startswith(":")]
    existing = {
        path.relative_to(ROOT / "docs").with_suffix("").as_posix()
        for pattern in ("*.md", "zh/*.md", "notebooks/*.ipynb", "decisions/*.md")
        for path in (ROOT / "docs").glob(pattern)
    }
    assert sorted(listed) == sorted(existing - {"index"})


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 119


def test_links_of_pages_lead_to_files() -> None:
    for page in ("README.md", *(name for name in PAGES if name.endswith(".md"))):
        assert not [target for target in links(page) if not (ROOT / target).is_file()], page


def test_the_gallery_shows_every_picture_and_notebook() -> None:
    shown = links("docs/gallery.md")
    assert shown >= {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "pictures").glob("*.png")}
    assert shown >= {name for name in PAGES if name.endswith(".ipynb")}
