"""The pages without a browser: what they show, what they refuse, and that decisions reach the manifest, the trial and the data set."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import struct
import zlib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra [explore] is not installed")

from starlette.testclient import TestClient

import augury
from augury.errors import RunFolderError, SettingsError
from augury.explorer import Address, application, serve
from augury.explorer.application import PAGES, STATIC
from augury.explorer.uploads import UPLOAD_LIMIT
from augury.explorer.view import RunView
from augury.files import read_lines
from augury.pipeline import session
from augury.pipeline.run_folder import Run
from augury.pipeline.stages import STAGES, opened, pending
from tests.helpers.command_line import call
from tests.helpers.explored_run import explored

pytestmark = pytest.mark.slow  # for the runs that it looks at


def client(run: Path, token: str = "", host: str = "127.0.0.1") -> TestClient:
    return TestClient(application(RunView(Run(run)), token), base_url=f"http://{host}", follow_redirects=False)


def pixels(uri: str) -> np.ndarray:
    """uint8 [C, H, W] of a data URI."""
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def stack(uris: list[str]) -> np.ndarray:
    return np.stack([pixels(uri) for uri in uris])


def png(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG whose header declares a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def test_every_page_is_shown_and_loads_nothing_from_elsewhere(whole: Path) -> None:
    pages = client(whole)
    for name in PAGES:
        answer = pages.get(f"/{name}")
        assert answer.status_code == 200 and "problem" not in re.findall(r'class="(\w+)"', answer.text), name
        assert not re.findall(r"""(?:src|href)=["'](?!/|\?|#|data:)[^"']+""", answer.text)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    for name, (package, path, _) in STATIC.items():
        assert pages.get(f"/static/{name}").status_code == 200
        assert not re.findall(r"https?://", files(package).joinpath(path).read_text())
    assert pages.get("/").headers["location"] == "/generator"


def test_the_images_are_those_of_the_generator(whole: Path) -> None:
    pages, synthesizer = client(whole), augury.Synthesizer.load(whole)
    drawn = pages.get("/api/draw?cell=1,0&seed=5&start=2").json()["images"]
    np.testing.assert_array_equal(stack(drawn), synthesizer.sample([[1, 0]] * 24, seed=5, start=2).images)
    typical = pages.get("/api/draw?cell=1,0&seed=5&truncation=0").json()["images"]
    np.testing.assert_array_equal(stack(typical)[0], synthesizer.truncate([[1, 0]], [0], seed=5)[0, 0])
    walk = pages.get("/api/walk?cell=1,0&seed=5&index=3&to_cell=0,1&to_seed=6&to_index=3").json()["images"]
    between = synthesizer.interpolate([[1, 0], [0, 1]], seed=[5, 6], indices=[3, 3], frames=9)
    np.testing.assert_array_equal(stack(walk), between)
    table = pages.get("/api/mix?cell=0,0&to_cell=1,1&seed=2&layers=fine").json()
    mixed = synthesizer.mix([[0, 0]] * 4, [[1, 1]] * 5, layers="fine", seed=2)
    np.testing.assert_array_equal(np.stack([stack(row) for row in table["table"]]), mixed)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/api/draw?cell=9,0", "knows only"),
        ("/api/draw?cell=cat", "give the code"),
        ("/api/draw", "give the code"),
        ("/api/draw?cell=0,0&seed=-1", "whole number from 0"),
        ("/api/draw?cell=0,0&truncation=nan", "number from -2 to 2"),
        ("/api/mix?cell=0,0&to_cell=0,0&layers=rough", "choose coarse"),
    ],
)
def test_wrong_requests_are_answered_in_words(whole: Path, path: str, problem: str) -> None:
    answer = client(whole).get(path)
    assert answer.status_code == 400 and problem in answer.json()["error"]


def test_wrong_choices_are_answered_with_a_page(whole: Path) -> None:
    for path in ("/review?show=some", "/verdict?measure=luck", "/data?class=cow"):
        answer = client(whole).get(path)
        assert answer.status_code == 400 and "choose" in answer.text and "<nav" in answer.text


def test_an_uploaded_image_is_translated(turning: Path) -> None:
    pages, translator = client(turning), augury.Synthesizer.load(turning)
    image = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    answer = pages.post("/api/translate?cell=-1,1&name=me.png", content=file.getvalue()).json()
    change = np.array([[-1, 1]])
    np.testing.assert_array_equal(
        stack(answer["images"]), np.stack([image[None], translator.translate(image[None, None], change)[0]])
    )
    real = pages.post("/api/translate?cell=-1,0&source=3").json()["images"]
    with opened(None, turning) as run:
        np.testing.assert_array_equal(pixels(real[0]), run.splits["train"].images[3])
    assert "Real training images to change" in pages.get("/generator").text


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"hello, this is a letter", "not an image of a known kind"),
        (png(60_000, 60_000), "pixels"),
        (png(16, 16, b"\0" * 40), "cannot be decoded"),
        (b"\0" * (UPLOAD_LIMIT + 1), "20 MB at most"),
        (b"", "no image is given"),
    ],
    ids=["a text", "a bomb", "a damaged image", "too many bytes", "nothing"],
)
def test_uploads_that_cannot_be_used_are_refused_in_words(turning: Path, body: bytes, problem: str) -> None:
    answer = client(turning).post("/api/translate?cell=-1,1&name=me.png", content=body)
    assert answer.status_code == 400 and problem in answer.json()["error"]


def test_a_change_needs_a_translator_and_a_choice(whole: Path, turning: Path) -> None:
    assert "draws from noise" in client(whole).post("/api/translate?cell=0,1&source=0").json()["error"]
    assert "no change is chosen" in client(turning).post("/api/translate?cell=-1,-1&source=0").json()["error"]
    assert "translator" in client(turning).get("/api/draw?cell=0,0").json()["error"]


def test_a_run_that_has_only_started_says_how_to_go_on(tmp_path: Path) -> None:
    pages = client(explored(tmp_path / "run", "split"))
    assert pages.get("/").headers["location"] == "/data"
    for name, command in (("generator", "augury train -o"), ("review", "augury run -o"), ("verdict", "augury run -o")):
        page = pages.get(f"/{name}")
        assert page.status_code == 200 and 'class="problem"' in page.text
        assert command in re.sub(r"</?code[^>]*>", "", page.text)
    assert "has not started" in pages.get("/training").text
    for answer in (
        pages.get("/api/draw?cell=0,0"),
        pages.get("/api/review"),
        pages.post("/api/review", json={"position": 0}),
    ):
        assert answer.status_code == 409 and "augury" in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/samples/..%2f..%2frun.json",
        "/samples/../../run.json",
        "/static/..%2fserver.py",
        "/samples/link.png",
        "/run.json",
    ],
)
def test_only_named_files_of_the_run_are_served(own: Path, path: str) -> None:
    secret = own.parent / "secret.png"
    secret.write_bytes(b"secret")
    (own / "train" / "samples" / "step-000999.png").symlink_to(secret)
    pages = client(own)
    assert pages.get(path).status_code == 404
    assert pages.get("/samples/step-000999.png").status_code == 404
    (name,) = [name for name in ("step-000004.png",) if (own / "train" / "samples" / name).exists()]
    assert pages.get(f"/samples/{name}").content == (own / "train" / "samples" / name).read_bytes()


def test_the_token_opens_the_pages(whole: Path) -> None:
    pages = client(whole, token="right", host="lab.example")
    for path in ("/data", "/data?token=wrong", "/api/review", "/static/common.js"):
        assert pages.get(path).status_code == 401 and "?token=" in pages.get(path).text
    opens = pages.get("/data?class=dog&token=right")
    assert opens.status_code == 303 and opens.headers["location"] == "/data?class=dog"
    assert "HttpOnly" in opens.headers["set-cookie"] and "samesite=strict" in opens.headers["set-cookie"].lower()
    assert pages.get("/data").status_code == 200  # by the cookie
    assert Address.of("0.0.0.0", 1).token and not Address.of("127.0.0.1", 1).token and not Address.of("::1", 1).token
    assert Address.of("0.0.0.0", 1).token != Address.of("0.0.0.0", 1).token


def test_other_sites_cannot_read_or_decide(own: Path) -> None:
    assert client(own, host="rebound.example").get("/data").status_code == 403
    decision = {"position": 0, "decision": "reject", "seen": "", "image": ""}
    answer = client(own).post("/api/review", json=decision, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403


def test_a_port_in_use_and_folders_that_are_no_runs_are_refused(whole: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SettingsError, match=r"is in use.*--port"):
            serve(Run(whole), Address(port=taken.getsockname()[1]))
    with pytest.raises(SettingsError, match="cannot listen there"):
        serve(Run(whole), Address(host="203.0.113.7", port=0))
    with pytest.raises(RunFolderError, match="not a run folder"):
        serve(Run(tmp_path), Address(port=0))


def rows(run: Path) -> list[dict]:
    return read_lines(run / "synthetic" / "manifest.jsonl")


def shown(pages: TestClient, position: int) -> dict:
    """What the page sends about an image."""
    text = pages.get("/review?show=all").text
    card = re.search(rf'data-position="{position}" data-image="(\w+)" data-seen="(\w*)"', text)
    assert card is not None
    return {"position": position, "image": card[1], "seen": card[2]}


def test_decisions_reach_manifest_trial_data_set_and_report(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CLASSIFIER_STEPS", 3)
    monkeypatch.setattr("augury.pipeline.judge_images.lite0_installed", lambda: False)
    pages, before = client(own), rows(own)
    accepted = next(row["row"] for row in before if row["accepted"])
    answer = pages.post("/api/review", json={**shown(pages, accepted), "decision": "reject"}).json()
    assert answer["stored"] and not answer["accepted"] and answer["counts"]["rejected by hand"] == 1
    assert rows(own)[accepted]["reason"] == "review"
    assert {**rows(own)[accepted], "accepted": True, "reason": "", "review": 0} == {**before[accepted], "review": 0}
    assert pages.get("/api/review").json()["decisions"] == {str(accepted): "reject"}
    assert "Repeat the trial" in pages.get("/verdict").text
    with opened(None, own) as run:
        assert pending(run, set(STAGES)) == ["prove", "classifier", "export", "report"]
    augury.run(None, own)
    exported = [row for row in read_lines(own / "dataset" / "manifest.jsonl") if row["origin"] == "synthetic"]
    assert len(exported) == sum(row["accepted"] for row in before) - 1
    assert (before[accepted]["class"], before[accepted]["index"]) not in {
        (row["class"], row["source"]["index"]) for row in exported
    }
    assert Run(own).verdict.synthetic["rejected"]["review"] == 1
    assert ">review<" in (own / "report.html").read_text()
    assert "Repeat the trial" not in pages.get("/verdict").text
    with opened(None, own) as run:
        assert pending(run, set(STAGES)) == []


@pytest.mark.parametrize("words", [[], ["-o", "set", "--force"]], ids=["in the run", "elsewhere"])
def test_the_command_export_obeys_decisions_at_once(
    own: Path, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pages, verdict = client(own), (own / "verdict.json").read_bytes()
    position = next(row["row"] for row in rows(own) if row["accepted"])
    for decision in ("reject", "keep"):
        answer = pages.post("/api/review", json={**shown(pages, position), "decision": decision})
        assert answer.status_code == 200
        status, written = call("export", own, *words)
        assert status == 0, written
        exported = {
            (row["class"], row["source"]["index"])
            for row in read_lines(Path(written.strip()) / "manifest.jsonl")
            if row["origin"] == "synthetic"
        }
        assert exported == {(row["class"], row["index"]) for row in rows(own) if row["accepted"]}
        decided = rows(own)[position]
        assert ((decided["class"], decided["index"]) in exported) == (decision == "keep")
    assert (own / "verdict.json").read_bytes() == verdict  # the trial is not repeated for it


def test_two_reviewers_do_not_overwrite_each_other(own: Path) -> None:
    first, second = client(own), client(own)
    mine, yours = shown(first, 0), shown(second, 0)
    assert first.post("/api/review", json={**mine, "decision": "reject"}).status_code == 200
    late = second.post("/api/review", json={**yours, "decision": "keep"})
    assert late.status_code == 409 and late.json()["decision"] == "reject" and not late.json()["stored"]
    assert rows(own)[0]["review"]["decision"] == "reject"
    assert second.post("/api/review", json={**shown(second, 1), "decision": "keep"}).status_code == 200
    assert [row["review"]["decision"] for row in rows(own)[:2]] == ["reject", "keep"]


def test_a_run_at_work_a_manifest_edited_by_hand_and_nonsense_are_answered_in_words(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augury.explorer.review.WAIT", 0.1)
    pages = client(own)
    seen = shown(pages, 0)
    with Run(own).held():
        busy = pages.post("/api/review", json={**seen, "decision": "keep"})
        assert busy.status_code == 409 and "another augury" in busy.json()["error"]
        assert pages.get("/review").status_code == 200
    for body, problem in (
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b'{"position": "0"}', "the position is"),
        (b" " * 2**17, "MB at most"),
    ):
        answer = pages.post("/api/review", content=body)
        assert answer.status_code == 400 and problem in answer.json()["error"]
    file = own / "synthetic" / "manifest.jsonl"
    lines = file.read_text().splitlines()
    edited = json.loads(lines[0])
    edited["accepted"] = not edited["accepted"]
    file.write_text("\n".join([json.dumps(edited), *lines[1:]]) + "\n")
    answer = pages.post("/api/review", json={**seen, "decision": "keep"})
    assert answer.status_code == 409 and "line 1 says" in answer.json()["error"]
    assert "edited by hand" in pages.get("/review").text


def test_the_training_page_follows_a_run(own: Path) -> None:
    pages, log = client(own), own / "train" / "log.jsonl"
    assert "Step 4 of 4" in pages.get("/training").text
    row = {**read_lines(log)[-1], "step": 123, "images": 984, "warnings": {"spread": "all images look alike"}}
    log.write_text(log.read_text() + json.dumps(row) + "\n" + '{"step": 12')  # and a row that is being written
    page = pages.get("/training").text
    assert "has not started" not in page
    assert "Step 123 of 4" in page and "all images look alike" in page


def test_the_training_page_says_what_is_left_and_that_a_training_has_started(own: Path) -> None:
    pages, log = client(own), own / "train" / "log.jsonl"
    first = read_lines(log)[0]
    with Run(own).held():  # as a training does
        log.write_text(json.dumps({**first, "step": 2, "images_per_second": 2.0}) + "\n")
        assert "About 8 s left. The run is working" in pages.get("/training").text  # 2 of 4 steps of 8 images
        log.write_text("")
        page = pages.get("/training").text
    assert "The training has started; its first figures follow." in page and " left." not in page
    assert "has not started" in pages.get("/training").text


def test_the_plot_shows_differences_from_any_arm(whole: Path) -> None:
    verdict, pages = Run(whole).verdict, client(whole)
    gan, classical = (np.array(verdict.arms[name]["macro_f1"]) for name in ("gan", "classical"))
    text = pages.get("/verdict?measure=macro_f1&against=classical").text
    value = re.search(r'rowheader">gan</span>\s*<span class="value" role="cell">([^<]+)', text)
    assert value is not None
    assert float(value[1].replace("−", "-")) == pytest.approx(100 * (gan - classical).mean(), abs=0.06)
