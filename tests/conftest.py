"""Trials in tests train the small network. The tests of the choice between classifiers ask for the other one."""

import pytest


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lite0 package, classifier "auto" is the small network, which costs a test less time."""
    monkeypatch.setattr("augury.proof.auto_classifier.lite0_installed", lambda: False)
    monkeypatch.setattr("augury.pipeline.judge_images.lite0_installed", lambda: False)
