"""The result of a run as one self-contained HTML page: the verdict in one sentence, then the evidence."""

from augury.report.badge import badge, markdown
from augury.report.facts import Facts
from augury.report.page import render, write

__all__ = ["Facts", "badge", "markdown", "render", "write"]
