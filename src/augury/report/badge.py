"""The verdict as a badge: a small SVG picture, and the line of Markdown that shows it."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from augury.report.wording import points
from augury.verdict import Verdict

COLOURS = {
    "helps": "#0b7d68",
    "no difference": "#5c6470",
    "hurts": "#b4361f",
    "underpowered": "#7a5a00",
    "not tested": "#8a2f6b",
}
CHARACTER = 6.3
"""Approximate mean width in px of a character of Verdana at 11 px."""


def label(verdict: Verdict) -> str:
    """The outcome and the difference in a few characters."""
    kind = "cell" if verdict.cells else "class"
    if verdict.outcome in ("helps", "hurts"):
        if verdict.class_loss:
            return f"{verdict.outcome} a {kind}"
        worse = f", a {kind} worse" if verdict.outcome == "helps" and verdict.worse else ""
        return f"{verdict.outcome} {points(verdict.difference)} points{worse}"
    if verdict.outcome == "not tested":
        return f"not tested, {verdict.synthetic.get('accepted', 0):,} of {verdict.synthetic.get('drawn', 0):,} accepted"
    return verdict.outcome


def badge(verdict: Verdict) -> str:
    """A self-contained SVG of 20 px height: the name on grey, the outcome on its colour. The title is the verdict's sentence."""
    name, text = verdict.adds, label(verdict)
    left, right = (round(len(part) * CHARACTER) + 14 for part in (name, text))
    width, colour = left + right, COLOURS[verdict.outcome]
    title = escape(f"{name}: {verdict.sentence}")
    texts = "".join(
        f'<text x="{x + 7}" y="14" textLength="{side - 14}">{escape(part)}</text>'
        for x, side, part in ((0, left, name), (left, right, text))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{escape(name)}: '
        f'{escape(text)}"><title>{title}</title>'
        f'<clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{left}" height="20" fill="#3b4048"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11">{texts}</g></svg>\n'
    )


def markdown(verdict: Verdict, path: str | os.PathLike[str]) -> str:
    """`![words](path)`, a line for a README."""
    target = Path(path).as_posix().replace(" ", "%20").replace("(", "%28").replace(")", "%29")
    return f"![{verdict.adds}: {label(verdict)}]({target})"
