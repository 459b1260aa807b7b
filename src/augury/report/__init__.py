"""Tells what a run found in one self-contained HTML page: the verdict in a sentence first, then what it rests on."""

from augury.report.badge import badge, markdown
from augury.report.facts import Facts
from augury.report.page import render, write

__all__ = ["Facts", "badge", "markdown", "render", "write"]
