"""The commands of docs/medicine.md and docs/astronomy.md, run as written on small stand-ins of the same shape."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from augury.cli import commands as cli
from augury.cli.commands import app
from augury.cli.options import settled
from augury.pipeline.run_folder import Run
from augury.report.checklist import AUTHOR
from augury.settings import RunSettings
from augury.validation import validated

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SMALL = ["--steps", "6", "--precision", "fp32"]
SMALL += [
    f"--set={each}"
    for each in ("train.batch=8", "prove.steps=4", "prove.seeds=2", "prove.batch=16", "score.features=pixels")
]
SMALL += ["--set=generate.sampling_strategy=6", "--set=generate.filters=near_copy", "--set=score.limit=40"]


def blocks(page: str) -> list[list[str]]:
    """The lines of the code blocks of a page that have runs."""
    texts = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
    return [
        [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
        for text in texts
        if "augury run" in text
    ]


def run_settings(page: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, RunSettings]:
    """The settings of each `augury run` of a page, by the name of its data, without running it."""
    settings: dict[str, RunSettings] = {}

    def record(path: Path, output: Path, until: str, quiet: bool, *others: Any) -> None:
        extra, sections, top, config, *_ = others
        settings[path.name] = settled({}, extra, sections, top, config)
        raise typer.Exit

    monkeypatch.setattr(cli, "work", record)
    for line in (line for block in blocks(page) for line in block if line.startswith("augury run")):
        assert CliRunner().invoke(app, shlex.split(line)[1:]).exit_code == 0, line
    return settings


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module


def test_the_tables_of_the_medical_page_are_of_its_commands(
    bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    medicine = bench("medicine")
    assert run_settings("medicine.md", monkeypatch) == {
        file: validated(RunSettings, medicine.settings(label, margin))
        for file, label, _, margin in medicine.SETS.values()
    }


def test_the_tables_of_the_astronomical_page_are_of_its_command(
    bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_settings("astronomy.md", monkeypatch) == {"galaxies": validated(RunSettings, bench("galaxies").SETTINGS)}


def performed(lines: list[str]) -> None:
    """Run the lines one after the other, a run with small settings at its end."""
    for line in lines:
        program, *words = shlex.split(line, comments=True)
        if program == "python":
            continue
        assert program == "augury", line
        done = CliRunner().invoke(app, words + (SMALL if words[0] == "run" else []))
        assert done.exit_code == 0, f"{line}: {done.output} {done.exception!r}"


def medmnist(path: Path) -> None:
    """An archive with the arrays of MedMNIST: 28 px, two classes, given splits. Class 0 has a bright spot."""
    random, arrays = np.random.default_rng(0), {}
    for part, n in (("train", 70), ("val", 30), ("test", 40)):
        labels = np.arange(n) % 3 > 0
        images = random.normal(90, 25, (n, 28, 28))
        for image in images[~labels]:
            y, x = random.integers(6, 20, 2)
            image[y : y + 5, x : x + 5] += 90
        arrays |= {
            f"{part}_images": np.clip(images, 0, 255).astype(np.uint8),
            f"{part}_labels": labels.astype(np.uint8)[:, None],
        }
    np.savez(path, **arrays)


def test_the_commands_of_the_medical_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed: DICOM is an extra")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))
    medmnist(tmp_path / "breastmnist.npz")
    performed(blocks("medicine.md")[0])
    run = Run("runs/breast")
    verdict = run.verdict
    assert verdict.metric == "sensitivity for 0 at 90 % specificity" and verdict.test_n == 14
    assert set(verdict.arms) == {"none", "balanced", "medical", "gan"}
    page = (run.path / "report.html").read_text()
    assert "one threshold for 0, chosen on validation" in page and "their specificity is" in page
    row = run.classifier.card.operating_point
    assert row["class"] == "0" and (row["positives"], row["negatives"]) == (14, 26)
    assert "Threshold for 0" in (run.path / "classifier" / "README.md").read_text()
    checklist = Path("checklist.md").read_text()
    assert "Sensitivity".lower() in checklist and f"{100 * row['sensitivity'][0]:.1f} %" in checklist
    assert "membership-AUC" in checklist and "whether a patient is in two partitions" in checklist
    assert checklist.count(f"| {AUTHOR} |") > 20
    files = [pydicom.dcmread(file) for file in Path("breast-dicom").rglob("*.dcm")]
    assert sum(file.SyntheticData == "YES" for file in files) == int(run.synthetic.accepted.sum()) > 0
    assert len(Path("predictions.csv").read_text().splitlines()) > 1


def test_the_commands_of_the_astronomical_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("astropy", reason="astropy is not installed: FITS is an extra")
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "examples")])
    import galaxy_shapes
    import simulate_galaxies

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))
    lines = blocks("astronomy.md")[0]
    assert lines[0].split()[:2] == ["python", "examples/simulate_galaxies.py"]
    simulate_galaxies.simulate(tmp_path / lines[0].split()[2], train=80, held_out=30)
    performed(lines)
    run = Run("runs/galaxies")
    assert run.verdict.augmentation == {"chosen": "astronomy", "values": {}}
    assert run.verdict.matched_control["against"] == "astronomy"
    rows = galaxy_shapes.table(run)
    assert {row["measure"] for row in rows} <= {"ellipticity", "size"}
    assert json.loads((run.path / "run.json").read_text())["data"]["notes"]["original_modes"] == {"FITS": 170}
