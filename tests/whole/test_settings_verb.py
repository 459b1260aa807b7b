"""`augury settings` shows every setting of a run, and which of them differ from the defaults."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from augury.cli.commands import app
from augury.cli.settings import setting_rows
from augury.files import write_json
from augury.pipeline.run_folder import FORMAT
from augury.settings import RunSettings, validated


def shown(*words: str) -> list[dict[str, object]]:
    done = CliRunner().invoke(app, ["settings", *words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_without_a_run_every_setting_has_its_default_and_a_help_text() -> None:
    rows = shown()
    names = [row["name"] for row in rows]
    assert names == [row["name"] for row in setting_rows(RunSettings(), RunSettings())]
    assert {"seed", "data.target", "train.recipe", "prove.learning_rates", "export.format"} <= set(names)
    assert all(row["source"] == "default" and row["value"] == row["default"] and row["help"] for row in rows)


def test_of_a_run_those_that_were_changed_are_marked(tmp_path: Path) -> None:
    values = validated(RunSettings, {"seed": 4, "train": {"recipe": "dcgan"}, "prove": {"seeds": 7}})
    write_json(tmp_path / "run.json", {"format": FORMAT, "version": "0", "settings": values.model_dump(mode="json")})
    changed = {row["name"]: (row["value"], row["default"]) for row in shown(str(tmp_path), "--changed")}
    assert changed["seed"] == (4, 0) and changed["train.recipe"] == ("dcgan", "auto")
    assert all(value != default for value, default in changed.values())
    text = CliRunner().invoke(app, ["settings", str(tmp_path)]).stdout
    assert "* seed" in text and "  device" in text and "* differs from the default" in text
