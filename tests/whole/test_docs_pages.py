"""Every page can be reached from the README in two clicks, and the gallery has every notebook and picture."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

import gallery
import tables

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#\s]+\.(?:md|ipynb|png))")
ROOT_PAGES = sorted(path.name for path in ROOT.glob("*.md") if path.name != "README.md")
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


def test_the_pages_at_the_root_are_linked_from_the_readme() -> None:
    assert "SECURITY.md" in ROOT_PAGES and set(ROOT_PAGES) <= links("README.md")
    assert "SECURITY.md" in links("docs/security.md") and "docs/security.md" in links("SECURITY.md")


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
    for page in ("README.md", *ROOT_PAGES, *(name for name in PAGES if name.endswith(".md"))):
        assert not [target for target in links(page) if not (ROOT / target).is_file()], page


def test_the_gallery_shows_every_picture_and_notebook() -> None:
    shown = links("docs/gallery.md")
    assert shown >= {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "pictures").glob("*.png")}
    assert shown >= {name for name in PAGES if name.endswith(".ipynb")}


def test_the_summary_of_other_programs_says_where_augury_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = {"ours": 2.0, "peer": 1.0}
    rows = [
        {**twice, "peer_name": "kornia, batched", "higher_is_better": True},  # twice as fast
        {**twice, "peer_name": "kornia", "higher_is_better": False},  # takes twice as long
        {**twice, "peer_name": "a large copy", "higher_is_better": True},
    ]
    monkeypatch.setattr(tables, "_result", lambda name: {"rows": rows} if name == "augment" else {})
    (line,) = tables.peers().splitlines()[2:]
    assert line.startswith("| kornia |") and line.endswith("| 1 of 2 | 1.25 | 0.50 |")


def test_the_gallery_names_the_section_that_shows_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "DOCS", tmp_path)
    (tmp_path / "a.md").write_text("# One\n\n## Two, and three\n\n![A dog](pictures/dog.png)\n", encoding="utf-8")
    (tmp_path / "gallery.md").write_text("![A cat](pictures/cat.png)\n", encoding="utf-8")
    text = gallery.pictures()
    assert (
        "### A dog\n" in text
        and "Explained in [One: Two, and three](a.md#two-and-three)." in text
        and "cat" not in text
    )
