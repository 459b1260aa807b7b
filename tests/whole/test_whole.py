"""The whole way, as a user goes it: command line, interruptions, bad input, a second process."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.cli.commands import app, main
from augury.durations import seconds
from augury.errors import RunFolderError, SettingsError
from augury.pipeline.run_folder import Run
from augury.sentences import ANSWERS, effect
from augury.settings import RunSettings
from augury.validation import validated
from tests.helpers.command_line import command, started, wait_until

pytestmark = pytest.mark.slow

QUICK = ["--steps", "30", "--precision", "fp32", "--set", "prove.steps=3", "--set", "score.features=pixels"]
QUICK += ["--set", "train.batch=16", "--set", "train.checkpoint_every=0.05s", "--set", "generate.sampling_strategy=5"]


COMPARED = ["--steps", "4", "--set", "train.precision=fp32", "--set", "prove.steps=3", "--set", "score.features=pixels"]
COMPARED += ["--set", "train.batch=8"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    numbers = np.random.default_rng(0)
    for name, n in (("cats", 30), ("dogs", 9)):
        (root / name).mkdir()
        for i in range(n):
            Image.fromarray(numbers.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory) -> tuple[Run, dict]:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    result = command("run", str(photos), "-o", str(folder), "--json", *QUICK)
    assert result.returncode == 0, result.stderr
    return Run(folder), json.loads(result.stdout)


def test_a_run_ends_in_verdict_data_set_and_report(finished) -> None:
    run, printed = finished
    assert printed["verdict"]["outcome"] in ("helps", "no difference", "hurts", "underpowered", "not tested")
    assert run.verdict.sentence == printed["verdict"]["sentence"]
    page = (run / "report.html").read_text().replace("&#39;", "'")
    assert all(part in page for part in (ANSWERS[run.verdict.outcome], effect(run.verdict)))
    assert len(list((run / "dataset").rglob("real-*.png"))) == sum(run.metadata["data"]["counts"]["train"])
    rows = [json.loads(line) for line in (run / "synthetic" / "manifest.jsonl").read_text().splitlines()]
    assert {"class", "seed", "index", "synthesizer", "scores", "accepted", "reason"} <= rows[0].keys()
    assert len(list((run / "dataset").rglob("synthetic-*.png"))) == sum(row["accepted"] for row in rows)
    assert (run / "train" / "log.jsonl").exists() and list((run / "train" / "samples").glob("*.png"))


def test_a_second_call_does_nothing_again(finished, photos: Path) -> None:
    run, _ = finished
    before = (run / "state.json").read_bytes()
    repeated = command("run", str(photos), "-o", str(run.path), *QUICK)
    assert repeated.returncode == 0
    assert repeated.stderr.count("(done before)") == 9
    assert (run / "state.json").read_bytes() == before


def test_a_removed_page_or_data_set_is_written_again(finished) -> None:
    run, _ = finished
    page, files = run.report.read_text(), sorted(path.name for path in run.dataset.rglob("*"))
    run.report.unlink()
    result = command("report", str(run.path))
    assert result.returncode == 0, result.stderr
    assert f"report      {run.report}" in result.stdout
    written = run.report.read_text()
    assert written.count("<img") == page.count("<img") > 0 and ANSWERS[run.verdict.outcome] in written.replace(
        "&#39;", "'"
    )
    shutil.rmtree(run.dataset)
    assert command("export", str(run.path)).stdout.strip() == str(run.dataset)
    assert sorted(path.name for path in run.dataset.rglob("*")) == files


def test_a_page_of_an_unfinished_run_is_not_written_and_the_text_says_how(finished, tmp_path: Path) -> None:
    run = Run(shutil.copytree(finished[0].path, tmp_path / "copy"))
    run.report.unlink()
    (run / "synthesizer" / "card.json").unlink()
    result = command("report", str(run.path))
    assert result.returncode == 1 and f"continue the run with: augury run -o {run.path}" in result.stderr
    assert not (run / "report.html").exists()


def test_killed_amid_training_and_amid_the_trial_it_ends_in_the_same_bytes(
    finished, photos: Path, tmp_path: Path
) -> None:
    run, killed = finished[0], Run(tmp_path / "k")
    words = ("run", str(photos), "-o", str(killed.path), *QUICK)
    for stage, stage_started in (
        ("train", lambda: any((killed / "train").glob("checkpoint-*.safetensors"))),
        ("prove", lambda: (killed / "trial.json").exists() and len(killed.read("trial")["results"]) >= 5),
    ):
        process = started(*words)
        wait_until(stage_started, process)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert stage not in killed.state(), f"{stage} ended before it was killed"
    last = command(*words)
    assert last.returncode == 0 and last.stderr.count("(done before)") == 5, last.stderr
    for name in ("synthesizer/weights.safetensors", "synthetic/images.npy", "split.npy"):
        assert (run / name).read_bytes() == (killed / name).read_bytes(), name
    assert killed.verdict == run.verdict


def test_ctrl_c_says_what_is_kept_and_that_the_same_command_goes_on(photos: Path, tmp_path: Path) -> None:
    process = started("train", str(photos), "-o", str(tmp_path / "r"), "--steps", "100000", "--precision", "fp32")
    try:
        wait_until((tmp_path / "r" / "train" / "plan.json").exists, process)
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output
    assert "augury: interrupted; finished work is kept, and the same command resumes" in output
    assert "Traceback" not in output


def test_other_ways_out_than_ctrl_c_are_left_alone(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["augury", "doctor", "--no-such-option"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "interrupted" not in capsys.readouterr().err


def test_two_processes_on_one_folder_the_second_is_reported(tmp_path: Path) -> None:
    run = Run(tmp_path / "busy")
    with run.held():
        output = command("run", "-o", str(run.path), *QUICK)
    assert output.returncode == 1
    assert "another augury" in output.stderr and str(os.getpid()) in output.stderr
    assert "Traceback" not in output.stderr


def test_folders_that_are_no_runs_or_of_another_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "run.json").write_text('{"format": 0, "version": "0.0.1"}')
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for name, rule in (("old", "format 0"), ("mine", "not empty")):
        with pytest.raises(RunFolderError, match=rule):
            augury.run(None, tmp_path / name)
    with pytest.raises(RunFolderError, match="not a run folder"):
        _ = Run(tmp_path).metadata


def test_a_full_disk_is_reported_with_a_remedy(tmp_path: Path, monkeypatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFolderError, match=r"disk is full.*same command"):
        augury.run(None, tmp_path / "full")
    assert not list((tmp_path / "full").rglob("*.part"))


@pytest.mark.parametrize(
    "words",
    [
        ("run", "no/such/path"),
        ("run", "--steps", "5", "--budget", "5m"),
        ("compare", "--steps", "5", "--budget", "5m"),
        ("run", "--recipe", "magic"),
        ("run", "--set", "prove.sseds=3"),
        ("run", "--set", "nonsense"),
        ("train", "--budget", "soon"),
        ("report", "no/such/run"),
    ],
)
def test_mistakes_end_in_one_clear_error(words: tuple[str, ...], tmp_path: Path) -> None:
    result = command(*words, *(["-o", str(tmp_path / "r")] if words[0] != "report" else []))
    assert result.returncode == 1
    assert "augury: " in result.stderr and "Traceback" not in result.stderr


def test_generate_and_inspect_write_pictures(finished, photos: Path, tmp_path: Path) -> None:
    run, _ = finished
    generated = command("generate", str(run.path), "-o", str(tmp_path / "more"), "--label", "dogs", "--number", "3")
    assert generated.returncode == 0, generated.stderr
    assert [Image.open(p).size for p in sorted((tmp_path / "more" / "dogs").glob("*.png"))] == [(12, 12)] * 3
    inspected = command("inspect", str(photos), "-o", str(tmp_path / "sheet.png"), "--json")
    assert json.loads(inspected.stdout)["total"] == 39
    assert Image.open(tmp_path / "sheet.png").width > 100


def test_a_run_goes_on_with_its_own_data_and_settings_and_refuses_other_data(finished, tmp_path: Path) -> None:
    run, printed = finished
    before = (run / "state.json").read_bytes()
    repeated = command("run", "-o", str(run.path), "--json", cwd=tmp_path)
    assert json.loads(repeated.stdout) == printed, repeated.stderr
    assert (run / "state.json").read_bytes() == before
    (tmp_path / "x").mkdir()
    other = command("run", str(tmp_path / "x"), "-o", str(run.path))
    assert other.returncode == 1 and "this is a run of" in other.stderr
    with pytest.raises(RunFolderError, match="this is a run of"):
        augury.run(augury.load(None), run.path)


def test_recipes_are_compared_in_one_command(photos: Path, tmp_path: Path) -> None:
    words = ["compare", str(photos), "-o", str(tmp_path / "c"), "--recipes", "gan,vae", "--json", *COMPARED]
    result = command(*words)
    rows = json.loads(result.stdout)["rows"]
    assert [row["recipe"] for row in rows] == ["gan", "vae"], result.stderr
    for row in rows:
        assert 0 <= row["gan_train"] <= 1 and row["spread"] >= 0 and 0 < row["restored"] < 255
        assert row["parameters"] > 1000 and row["draw_per_second"] > 0
    assert Image.open(tmp_path / "c" / "comparison.png").width > 400
    repeated = command(*words)
    assert json.loads(repeated.stdout)["rows"] == rows  # nothing is trained or timed twice
    output = command("report", str(tmp_path / "c" / "vae"))
    assert (
        output.returncode == 1 and "no verdict yet; continue the run with: augury" in output.stderr
    )  # each is a run that can be finished
    rejected = command("compare", str(photos), "-o", str(tmp_path / "c"), "--recipes", "gan,magic")
    assert rejected.returncode == 1 and "no recipe 'magic'" in rejected.stderr


def test_steps_and_budget_replace_each_other_when_a_run_is_taken_up(tmp_path: Path) -> None:
    assert command("train", "-o", str(tmp_path / "r"), "--steps", "2", "--set", "train.batch=8").returncode == 0
    result = command("train", "-o", str(tmp_path / "r"), "--budget", "1s", "--json")
    assert Path(json.loads(result.stdout)["synthesizer"], "card.json").exists(), result.stderr
    stored = Run(tmp_path / "r").settings["train"]
    assert (stored["steps"], stored["budget"], stored["batch"]) == (None, "1s", 8)


def test_a_generator_with_attributes_draws_from_the_command_line(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    labels, pose = np.arange(40) % 2, np.arange(40) // 2 % 2
    images = numbers.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=labels, pose=np.array(["left", "right"])[pose])
    words = ["--condition", "label,pose", "--steps", "2", "--set", "train.batch=8", "--quiet"]
    assert command("train", str(tmp_path / "d.npz"), "-o", str(tmp_path / "r"), *words).returncode == 0
    call = ["generate", str(tmp_path / "r"), "-o", str(tmp_path / "out"), "--label", "1", "--number", "2", "--json"]
    generated = command(*call, "--attribute", "pose=left")
    assert len(json.loads(generated.stdout)["files"]) == len(list((tmp_path / "out" / "1").glob("*.png"))) == 2, (
        generated.stderr
    )
    for invalid, rule in (
        ([], "needs one value each of: label, pose"),
        (["--attribute", "pose=up"], "it has: left, right"),
    ):
        rejected = command(*call, *invalid)
        assert rejected.returncode == 1 and rule in rejected.stderr


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        (errno.EACCES, "no permission"),
        (errno.EROFS, "no permission"),
        (errno.ENOENT, "nothing can be made here"),
        (errno.ENAMETOOLONG, "too long"),
    ],
)
def test_a_folder_that_may_not_be_written_is_reported_with_a_remedy(
    tmp_path: Path, monkeypatch, code: int, rule: str
) -> None:
    def refuse(*_words, **_more) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RunFolderError, match=f"{rule}.*another (folder|place) with -o"):
        augury.run(None, tmp_path / "closed" / "run")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder where nothing can be made")
@pytest.mark.parametrize(
    "words", [("prove", "{0}", "--with", "{0}"), ("inspect", "{0}"), ("split", "{0}"), ("train", "{0}")]
)
def test_a_place_where_nothing_can_be_made_is_reported_with_a_remedy(words: tuple[str, ...], photos: Path) -> None:
    result = CliRunner().invoke(app, [*(outcome.format(photos) for outcome in words), "-o", "/proc/x"])
    assert isinstance(result.exception, RunFolderError), result.exception
    assert "/proc/x: nothing can be made here" in str(result.exception) and "with -o" in str(result.exception)


def test_a_run_is_taken_up_stage_by_stage(finished) -> None:
    run, printed = finished
    scored = command("evaluate", str(run.path), "--json")
    assert json.loads(scored.stdout) == run.read("scores"), scored.stderr
    exported = command("export", str(run.path))
    assert Path(exported.stdout.strip()) == run / "dataset"
    elsewhere = command("export", str(run.path), "--format", "npz", "-o", str(run / "more.npz"), "--json")
    assert json.loads(elsewhere.stdout) == {"data_set": str(run / "more.npz")}, elsewhere.stderr
    files = [json.loads(line) for line in (run / "dataset" / "manifest.jsonl").read_text().splitlines()]
    assert len(augury.load(run / "more.npz")) == len(files) and (run / "dataset").exists()
    more_exported = command("export", str(run.path), "--format", "npz", "-o", str(run / "more.npz"))
    assert more_exported.returncode == 1 and "--force to replace" in more_exported.stderr
    proven = command("prove", str(run.path), "--json", "--quiet")
    assert json.loads(proven.stdout) == printed
    before = json.loads((run / "trial.json").read_text())["results"]
    proved = command("prove", str(run.path), "--json", "--set", "prove.seeds=8")
    seeds = json.loads(proved.stdout)["verdict"]["seeds"]
    assert seeds[:7] == printed["verdict"]["seeds"] and len(set(seeds)) == 8, proved.stderr
    after = json.loads((run / "trial.json").read_text())["results"]
    assert after.items() > before.items() and len(after) == len(before) + len(printed["verdict"]["arms"])
    assert json.loads(command("prove", str(run.path), "--json", "--set", "prove.seeds=7").stdout) == printed


def test_importing_and_asking_for_help_do_not_load_torch() -> None:
    code = "import sys, augury, augury.cli.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert command("run", "--help").stdout.count("--budget") >= 1


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("5m", 300), ("1h30m", 5400), (7.5, 7.5)])
def test_times_are_read(text, value: float) -> None:
    assert seconds(text) == value


def test_public_names_exist() -> None:
    for name in augury.__all__:
        assert getattr(augury, name) is not None
    with pytest.raises(AttributeError):
        _ = augury.no_such
    assert SettingsError is not None


def test_a_budget_is_planned_once(photos: Path, tmp_path: Path, monkeypatch) -> None:
    from augury import training
    from augury.pipeline.stages import advance, opened

    settings = validated(RunSettings, {"train": {"budget": "1s", "batch": 8}})
    with opened(photos, tmp_path / "r", settings=settings) as session:
        advance(session, "classify")
        plan = session.planned()
    monkeypatch.setattr(training, "make_plan", lambda *arguments, **options: pytest.fail("planned again"))
    with opened(photos, tmp_path / "r", settings=settings) as session:
        assert session.planned() == plan
