"""The Chinese pages say what the English ones say: the same code, links, names and numbers, section by section."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": "docs/zh/README.md", "docs/guide.md": "docs/zh/guide.md"}
FENCE = re.compile(r"^```.*?^```\n", re.M | re.S)
INDENTED = re.compile(r"(?:^    .*\n)+", re.M)
HEADING = re.compile(r"^(#+) (.*)$", re.M)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)]+)\)")
CODE = re.compile(r"`([^`]+)`")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
NOTE = re.compile(r"^\*本页.*\n", re.M)
"""The line that says what a page is a translation of."""


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    """The code of a page, in order."""
    found = [(match.start(), match[0]) for match in FENCE.finditer(text(page))]
    rest = FENCE.sub(lambda match: re.sub(r"[^\n]", "x", match[0]), text(page))
    return [code for _, code in sorted(found + [(m.start(), m[0]) for m in INDENTED.finditer(rest)])]


def sections(page: str) -> list[tuple[int, str]]:
    """(level, prose) of every section."""
    prose = NOTE.sub("", INDENTED.sub("", FENCE.sub("", text(page))))
    parts = HEADING.split(prose)
    return [(len(parts[i]), parts[i + 2]) for i in range(1, len(parts), 3)]


def targets(page: str, prose: str) -> Counter[str]:
    """Files in docs/ that a text links to, with their anchors unless the anchor is a translated heading."""
    found: Counter[str] = Counter()
    for target in LINK.findall(prose):
        file, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), file)) if file else page
        path = {own: english for english, own in PAGES.items()}.get(path, path)
        if path.startswith("docs/"):
            found[path if path in PAGES or not anchor else f"{path}#{anchor}"] += 1
    return found


def named(prose: str) -> Counter[str]:
    """The names in code style."""
    return Counter(" ".join(name.split()) for name in CODE.findall(prose))


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and the documentation make it."""
    return re.sub(r"[^\w\- ]", "", CODE.sub(r"\1", heading).lower()).replace(" ", "-")


@pytest.mark.parametrize(("english", "chinese"), PAGES.items())
def test_the_code_is_the_same_in_the_same_order(english: str, chinese: str) -> None:
    for number, (original, translated) in enumerate(zip(blocks(english), blocks(chinese), strict=True)):
        assert original == translated, f"block {number + 1} of {english}; change {chinese} too"


@pytest.mark.parametrize(("english", "chinese"), PAGES.items())
def test_sections_name_the_same_things_and_numbers(english: str, chinese: str) -> None:
    for (level, original), (same, translated) in zip(sections(english), sections(chinese), strict=True):
        hint = f"a section of {english} was changed; change {chinese} too: {original[:80]!r}"
        assert level == same, hint
        assert named(original) == named(translated), hint
        numbers = [Counter(NUMBER.findall(LINK.sub("", CODE.sub("", part)))) for part in (original, translated)]
        assert numbers[0] == numbers[1], hint
        assert targets(english, original) == targets(chinese, translated), hint


@pytest.mark.parametrize("page", PAGES.values())
def test_links_lead_to_files_and_headings(page: str) -> None:
    for target in LINK.findall(text(page)):
        file, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), file)) if file else page
        assert path.startswith("docs/") and (ROOT / path).is_file(), target
        if anchor:
            assert anchor in {slug(heading) for _, heading in HEADING.findall(FENCE.sub("", text(path)))}, target


@pytest.mark.parametrize("page", PAGES.values())
def test_a_page_is_chinese(page: str) -> None:
    for _, prose in sections(page):
        assert len(re.findall(r"[\u4e00-\u9fff]", prose)) >= 0.2 * len(
            re.sub(r"\s", "", LINK.sub("", CODE.sub("", prose)))
        )
