"""Animations: their frames, their endings and the package that MP4 needs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.data import is_animation, ready_to_animate, write_animation
from augury.errors import MissingExtraError, SettingsError


def frames() -> list[Image.Image]:
    return [Image.fromarray(np.full((9, 15, 3), grey, np.uint8)) for grey in (0, 90, 180, 250)]


def test_a_gif_runs_there_and_back(tmp_path: Path) -> None:
    write_animation(tmp_path / "a.gif", frames(), seconds=0.2)
    with Image.open(tmp_path / "a.gif") as stored:
        assert stored.n_frames == 6 and stored.info["loop"] == 0 and stored.info["duration"] == 200
        greys = []
        for number in range(6):
            stored.seek(number)
            greys.append(int(np.asarray(stored.convert("RGB"))[4, 7, 0]))
    np.testing.assert_allclose(greys, [0, 90, 180, 250, 180, 90], atol=2)
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]


def test_an_mp4_has_the_frames_and_even_sides(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra 'video' is not installed")
    write_animation(tmp_path / "a.mp4", frames(), seconds=0.1)
    reader = ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    facts = next(reader)
    shown = [np.frombuffer(frame, np.uint8).reshape(10, 16, 3) for frame in reader]
    assert facts["size"] == (16, 10) and facts["fps"] == 10 and len(shown) == 6
    assert [int(frame[4, 7, 0]) for frame in shown] == pytest.approx([0, 90, 180, 250, 180, 90], abs=12)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_an_mp4_without_its_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    for call in (lambda p: write_animation(p, frames()), ready_to_animate):
        with pytest.raises(
            MissingExtraError, match=r"MP4 needs the package imageio_ffmpeg; .* pip install 'augury\[video\]'"
        ):
            call(tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())
    ready_to_animate(tmp_path / "a.gif")


def test_other_endings_are_refused(tmp_path: Path) -> None:
    assert is_animation(Path("a.GIF")) and not is_animation(Path("a.png"))
    with pytest.raises(SettingsError, match=r"written as \.png, and animations as \.gif or \.mp4"):
        is_animation(Path("a.webm"))
    with pytest.raises(SettingsError, match="an animation ends in"):
        write_animation(tmp_path / "a.png", frames())
