"""Edits along directions and the inversion of photographs, on the page `generator` without a browser."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra [explore] is not installed")

from starlette.testclient import TestClient

from augury import generation, provenance
from augury.explorer import application, latent, photographs
from augury.explorer.photographs import RETAINED, WAITING
from augury.explorer.uploads import UPLOAD_LIMIT
from augury.explorer.view import RunView
from augury.generation import Directions, find_directions, project
from augury.pipeline import latent_runs
from augury.pipeline.run_folder import Run
from augury.training import LatentSpace, Synthesizer
from tests.explorer.test_pages import client, pixels, stack
from tests.helpers.command_line import wait_until
from tests.helpers.explored_run import SETTINGS, explored

pytestmark = pytest.mark.slow  # for the runs that it looks at

DCGAN = {"train": {**SETTINGS["train"], "recipe": "dcgan", "overrides": {"width": 8}}}


@pytest.fixture(scope="module")
def noise_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose generator has no mapping network."""
    return explored(tmp_path_factory.mktemp("noise") / "run", "train", DCGAN)


@pytest.fixture(autouse=True)
def short_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches take few updates, so that they are fast."""
    monkeypatch.setattr(latent, "STEPS", 60)


def picture(image: np.ndarray, **options: Any) -> bytes:
    """uint8 [H, W] or [H, W, 3] as the bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, **{"format": "PNG", **options})
    return file.getvalue()


def sent(pages: TestClient, body: bytes, query: str = "name=me.png") -> str:
    answer = pages.post(f"/api/photograph?{query}", content=body)
    assert answer.status_code == 200, answer.json()
    return str(answer.json()["photo"])


def state(pages: TestClient, key: str) -> dict[str, Any]:
    answer = pages.get(f"/api/photograph?photo={key}")
    assert answer.status_code == 200, answer.json()
    return dict(answer.json())


def finished(pages: TestClient, key: str) -> dict[str, Any]:
    """The state of a photograph when its search has ended."""
    wait_until(lambda: state(pages, key)["state"] in ("done", "failed"))
    return state(pages, key)


def refusal(answer: Any, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"])


def test_the_sliders_are_the_directions_of_the_generator(whole: Path) -> None:
    rows = client(whole).get("/api/directions").json()["directions"]
    known = find_directions(Synthesizer.load(whole))
    assert sorted(row["name"] for row in rows) == sorted(direction.name for direction in known.entries)
    labels = [row["name"] for row in rows if row["known"]]
    assert labels and [row["name"] for row in rows][: len(labels)] == labels  # first, as their meaning is known
    for row in rows:
        gap = known[row["name"]].gap
        assert row["far"] == max(3, np.ceil(abs(gap or 0)))
        assert (" → " in row["label"]) == (gap is not None)


def test_stored_directions_are_used(own: Path) -> None:
    latent_runs.store_directions(own, methods=["pca"], number=2)
    pages = client(own)
    names = [row["name"] for row in pages.get("/api/directions").json()["directions"]]
    assert names == ["pca0", "pca1"]
    latent_runs.store_directions(own, methods=["sefa"], number=1)
    assert [row["name"] for row in pages.get("/api/directions").json()["directions"]] == ["sefa0"]
    file = own / "directions" / "directions.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"synthesizer": "another"}))
    assert "directions of the generator another" in refusal(pages.get("/api/directions"), 409)


@pytest.mark.parametrize("truncation", [1.0, 0.5, 0.0])
def test_edits_start_at_the_truncated_image(whole: Path, truncation: float) -> None:
    pages, synthesizer = client(whole), Synthesizer.load(whole)
    edits = {"pca0": 1.5, "sefa1": -2}
    query = f"cell=1,0&seed=5&index=3&truncation={truncation}"
    before, after = stack(pages.get(f"/api/edit?{query}&edits={json.dumps(edits)}").json()["images"])
    known = find_directions(synthesizer)
    expected = generation.edit(synthesizer, known, edits, [[1, 0]], frames=2, seed=5, start=3, truncation=truncation)
    np.testing.assert_array_equal([before, after], expected[0])
    drawn = synthesizer.truncate([[1, 0]], [truncation], seed=5, start=3)[0, 0]
    assert np.abs(before.astype(int) - drawn).max() <= 1 and (after != before).any()
    same = stack(pages.get(f"/api/edit?{query}").json()["images"])
    np.testing.assert_array_equal(same, [before, before])


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("edits={", "JSON object of directions and steps"),
        ('edits={"pca0": true}', "JSON object of directions and steps"),
        ('edits={"pca0": [1, 2]}', "JSON object of directions and steps"),
        ('edits={"pca0": NaN}', "must lie from -20 to 20"),
        ('edits={"pca0": 21}', "must lie from -20 to 20"),
        ('edits={"mood": 1}', "there is no direction 'mood'"),
        ("truncation=3", "number from -2 to 2"),
        ("photo=unknown", "no longer in memory; choose the file again"),
        ("cell=7,0", "knows only"),
    ],
)
def test_wrong_edits_are_answered_in_words(whole: Path, query: str, problem: str) -> None:
    assert problem in refusal(client(whole).get(f"/api/edit?cell=0,0&{query}"))


def test_a_generator_without_w_has_directions_of_its_noise_alone(noise_run: Path, turning: Path) -> None:
    answer = client(noise_run).get("/api/directions").json()
    assert {row["name"].rstrip("0123456789") for row in answer["directions"]} == {"sefa"}
    assert "use sefa, or train with recipe stylegan" in answer["skipped"]["pca"]
    said = refusal(client(noise_run).get('/api/edit?cell=0,0&edits={"pose": 1}'))
    assert "train with recipe stylegan" in said
    for path in ("/api/directions", "/api/edit?cell=0,0"):
        assert "translator, which has no latent space" in refusal(client(turning).get(path))


def test_a_photograph_is_inverted_rated_and_edited(whole: Path) -> None:
    pages, synthesizer = client(whole), Synthesizer.load(whole)
    drawn = synthesizer.sample([[1, 1]], seed=9).images[0, 0]
    key = sent(pages, picture(drawn))
    result = finished(pages, key)
    np.testing.assert_array_equal(pixels(result["original"])[0], drawn)
    inversion = pixels(pages.get(f"/api/edit?photo={key}").json()["images"][0])
    by_hand = 10 * np.log10(255**2 / np.square(inversion[0].astype(float) - drawn).mean())
    assert f"PSNR {by_hand:.1f} dB" in result["measure"] and result["rating"] in ("close", "similar")
    assert result["sentence"] == latent.RATINGS[result["rating"]] and result["remedy"] == "" and result["notes"] == []
    view = RunView(Run(whole))
    photos = latent_runs.Photos(drawn[None, None], ("me.png",), ())
    points = latent_runs.invert_photos(whole, view.synthesizer, photos, features="classifier", steps=60).points
    for truncation in (1.0, 0.5):
        expected = generation.edit(
            synthesizer, find_directions(synthesizer), {"pca0": 3}, points, frames=2, truncation=truncation
        )[0]
        query = f'photo={key}&truncation={truncation}&edits={{"pca0": 3}}'
        np.testing.assert_array_equal(stack(pages.get(f"/api/edit?{query}").json()["images"]), expected)
        assert (expected[0] != expected[1]).any()


def test_a_photograph_that_the_generator_cannot_draw_fails_in_words(whole: Path) -> None:
    pages = client(whole)
    checks = np.indices((16, 16)).sum(0) % 2 * 255
    result = finished(pages, sent(pages, picture(checks.astype(np.uint8))))
    assert result["state"] == "done" and result["rating"] == "failed"
    assert (
        result["sentence"].startswith("Failed: the generator cannot draw")
        and "a style for each layer" in result["remedy"]
    )
    wide = finished(pages, sent(pages, picture(checks.astype(np.uint8)), "name=a.png&space=w%2B"))
    assert "a style for each layer" not in wide["remedy"]


def test_a_photograph_of_another_size_and_mode_is_converted_and_said_so(whole: Path) -> None:
    pages = client(whole)
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    result = finished(pages, sent(pages, picture(image, format="JPEG"), "name=me.jpg"))
    assert result["notes"] == ["40 × 30 px, cropped in the middle and resized to 16 × 16", "converted to grey"]
    assert pixels(result["original"]).shape == (1, 16, 16)


def test_without_w_the_class_of_the_photograph_is_that_of_the_page(noise_run: Path) -> None:
    pages, synthesizer = client(noise_run), Synthesizer.load(noise_run)
    drawn = synthesizer.sample([[1, 0]], seed=2).images
    result = finished(pages, sent(pages, picture(drawn[0, 0]), "name=me.png&cell=1,0"))
    assert result["state"] == "done"
    key = sent(pages, picture(drawn[0, 0]), "name=me.png&cell=1,0")
    finished(pages, key)
    inversion = stack(pages.get(f"/api/edit?photo={key}").json()["images"])[0]
    assert np.square(inversion.astype(float) - drawn[0]).mean() < 200
    assert "knows only" in refusal(pages.post("/api/photograph?name=a&cell=5,0", content=picture(drawn[0, 0])))
    assert "give the code" in refusal(pages.post("/api/photograph?name=a", content=picture(drawn[0, 0])))
    wide = finished(pages, sent(pages, picture(drawn[0, 0]), "name=me.png&cell=1,0&space=w%2B"))
    assert wide["state"] == "failed" and "there is no space 'w+' for this generator" in wide["problem"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"hello, this is a letter", "not an image of a known kind"),
        (b"\0" * (UPLOAD_LIMIT + 1), "20 MB at most"),
        (b"\0" * (50 * 2**20), "20 MB at most"),
        (b"", "no photograph is given"),
        (picture(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8))[:900], "cannot be decoded"),
    ],
    ids=["a text", "too many bytes", "50 MB", "nothing", "half an image"],
)
def test_what_is_no_photograph_is_refused(whole: Path, body: bytes, problem: str) -> None:
    assert problem in refusal(client(whole).post("/api/photograph?name=me.png", content=body))


def test_translators_have_no_point_of_a_photograph(turning: Path) -> None:
    answer = client(turning).post("/api/photograph?name=me.png", content=picture(np.zeros((16, 16), np.uint8)))
    assert "translator, which has no latent space" in refusal(answer)
    assert 'id="edit"' not in client(turning).get("/generator").text


class Slow:
    """An inversion that goes on until `finish` is set."""

    def __init__(self, result: generation.Projection) -> None:
        self.result, self.finish, self.ended = result, threading.Event(), threading.Event()

    def __call__(self, *inputs: Any, pace: Callable[[float], float], **settings: Any) -> generation.Projection:
        try:
            while not self.finish.is_set() and pace(0.25) < 1:
                time.sleep(0.005)
        finally:
            self.ended.set()
        return self.result


@pytest.fixture
def slow(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Slow:
    synthesizer = Synthesizer.load(whole)
    inversion = Slow(project(synthesizer, synthesizer.sample([[0, 0]], seed=1).images, steps=2))
    monkeypatch.setattr(latent, "invert_photos", inversion)
    return inversion


BLANK = picture(np.zeros((16, 16), np.uint8))


def test_other_requests_are_answered_while_a_photograph_is_searched_for(whole: Path, slow: Slow) -> None:
    pages = client(whole)
    first, second = sent(pages, BLANK), sent(pages, BLANK)
    wait_until(lambda: state(pages, first)["share"] >= 0.25)
    assert state(pages, first)["state"] == "searching" and state(pages, second)["state"] == "waiting"
    assert pages.get("/api/draw?cell=0,0").status_code == pages.get("/generator").status_code == 200
    assert "still being inverted" in refusal(pages.get(f"/api/edit?photo={first}"))
    slow.finish.set()
    for key in (first, second):
        assert finished(pages, key)["state"] == "done"
        assert pages.get(f"/api/edit?photo={key}").status_code == 200


def test_a_search_has_a_limit_in_time(whole: Path, slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "SECONDS", 0.1)
    pages = client(whole)
    result = finished(pages, sent(pages, BLANK))  # `finish` is never set
    assert result["state"] == "done" and result["share"] == 1


def test_a_photograph_replaces_the_one_that_is_searched_for(whole: Path, slow: Slow) -> None:
    pages = client(whole)
    first = sent(pages, BLANK)
    wait_until(lambda: state(pages, first)["state"] == "searching")
    second = sent(pages, BLANK, f"name=other.png&replaces={first}")
    assert slow.ended.wait(60)
    assert "no longer in memory" in refusal(pages.get(f"/api/photograph?photo={first}"))
    slow.finish.set()
    assert finished(pages, second)["name"] == "other.png"


def test_photographs_that_wait_and_that_stay_in_memory_are_limited(whole: Path, slow: Slow) -> None:
    pages = client(whole)
    keys = [sent(pages, BLANK) for _ in range(WAITING + 1)]
    assert f"{WAITING + 1} photographs are being inverted already" in refusal(
        pages.post("/api/photograph?name=a", content=BLANK)
    )
    slow.finish.set()
    for _ in range(RETAINED):
        finished(pages, keys[-1])
        keys.append(sent(pages, BLANK))
    finished(pages, keys[-1])
    assert "no longer in memory" in refusal(pages.get(f"/api/photograph?photo={keys[0]}"))
    assert all(state(pages, key)["state"] == "done" for key in keys[-3:])


def test_an_unexpected_failure_of_a_search_is_said_and_logged(
    whole: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*inputs: Any, **settings: Any) -> None:
        raise ZeroDivisionError("the reason")

    monkeypatch.setattr(latent, "invert_photos", broken)
    pages = client(whole)
    result = finished(pages, sent(pages, BLANK))
    assert result["state"] == "failed" and "the terminal where the explorer runs" in result["problem"]
    assert "the reason" not in result["problem"] and "the reason" in caplog.text


def test_the_point_of_a_photograph_belongs_to_one_generator(own: Path, slow: Slow) -> None:
    slow.finish.set()
    pages = client(own)
    key = sent(pages, BLANK)
    assert finished(pages, key)["state"] == "done"
    synthesizer = Synthesizer.load(own)
    with_another_seed = synthesizer.card.__class__(**{**vars(synthesizer.card), "seed": 77})
    Synthesizer(with_another_seed, synthesizer.generator).save(own / "synthesizer")
    assert "trained again since; choose the photograph again" in refusal(pages.get(f"/api/edit?photo={key}"), 409)


def test_closing_ends_the_search_at_work(whole: Path, slow: Slow) -> None:
    view = RunView(Run(whole))
    pages = TestClient(application(view), base_url="http://127.0.0.1")
    key = sent(pages, BLANK)
    wait_until(lambda: state(pages, key)["state"] == "searching")
    view.photographs.close()
    assert slow.ended.is_set()


def test_drawn_images_say_that_they_are_synthetic_and_photographs_do_not(
    whole: Path, turning: Path, slow: Slow
) -> None:
    def by(uri: str) -> str:
        import base64

        return provenance.synthetic_by(base64.b64decode(uri.partition(",")[2]))

    pages = client(whole)
    slow.finish.set()
    key = sent(pages, BLANK)
    finished(pages, key)
    drawn = pages.get("/api/draw?cell=0,0").json()["images"] + pages.get(f"/api/edit?photo={key}").json()["images"]
    assert {by(uri) for uri in drawn} == {provenance.SOFTWARE}
    assert by(state(pages, key)["original"]) == ""
    source, translated = client(turning).post("/api/translate?cell=-1,1&source=0").json()["images"]
    assert by(source) == "" and by(translated) == provenance.SOFTWARE


def test_directions_are_found_once(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Directions] = []

    def counted(synthesizer: Synthesizer) -> Directions:
        calls.append(find_directions(synthesizer))
        return calls[-1]

    monkeypatch.setattr("augury.explorer.view.find_directions", counted)
    pages = client(whole)
    for _ in range(3):
        assert pages.get('/api/edit?cell=0,0&edits={"pca0": 1}').status_code == 200
    assert len(calls) == 1 and LatentSpace(Synthesizer.load(whole)).name == calls[0].space
