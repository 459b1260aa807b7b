"""Trials in tests train the small network, and `--require-packages` fails a test that is skipped for want of a package."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import pytest

REQUIRE = "--require-packages"
MISSING = re.compile(r"is not installed|could not import")
"""How the reason of such a skip reads: that of a mark, or the one that `importorskip` writes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        REQUIRE, action="store_true", help="fail a test that is skipped because a package is not installed"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(REQUIRE):
        config.pluginmanager.register(RequirePackages())


class RequirePackages:
    """Turns skips for want of a package into failures, of single tests and of whole files."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        return failed_if_missing((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, Any, Any]:
        return failed_if_missing((yield))


def failed_if_missing(report: Any) -> Any:
    """The report, with a skip for want of a package as a failure."""
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple) and MISSING.search(report.longrepr[2]):
        report.outcome, report.longrepr = "failed", f"{report.nodeid}: {report.longrepr[2]}, and {REQUIRE} asks for it"
    return report


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lite0 package, classifier "auto" is the small network, which costs a test less time."""
    monkeypatch.setattr("augury.proof.auto_classifier.lite0_installed", lambda: False)
    monkeypatch.setattr("augury.pipeline.judge_images.lite0_installed", lambda: False)
