"""Images are decoded once; damage to what was kept is noticed and mended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from augury.data import load
from augury.data.decoding import image_decoder, reading, worker_pool

Pets = Callable[..., Path]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each image decoded."""
    calls: list[int] = []
    real = image_decoder.picture

    def counting(raw: bytes, *arguments: object) -> object:
        calls.append(len(raw))
        return real(raw, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reading.image_decoder, "picture", counting)
    return calls


def test_the_second_time_nothing_is_decoded(pets: Pets, decoded: list[int], own_cache: Path) -> None:
    first = load(pets())
    assert len(decoded) == 8 and isinstance(first.images, np.memmap) and not first.images.flags.writeable
    second = load(pets())
    assert len(decoded) == 8 and second.fingerprint == first.fingerprint and second.notes == first.notes
    assert np.array_equal(first.images, second.images)
    assert Path(str(second.images.filename)).is_relative_to(own_cache)  # type: ignore[attr-defined]


def test_another_size_content_or_name_is_decoded_again(pets: Pets, decoded: list[int]) -> None:
    root = pets()
    load(root)
    load(root, size=8)
    load(root, size=8, fit="pad")
    assert len(decoded) == 24
    (root / "cats" / "0.png").write_bytes((root / "dogs" / "0.png").read_bytes())
    changed = load(root)
    assert len(decoded) == 32 and np.array_equal(changed.images[0], changed.images[4])


@pytest.mark.parametrize("harm", ["bit", "cut", "header", "about", "gone"])
def test_a_damaged_entry_is_rebuilt(pets: Pets, decoded: list[int], own_cache: Path, harm: str) -> None:
    expected = np.array(load(pets()).images)
    (entry,) = (own_cache / "images").iterdir()
    damaged = entry / "images.npy"
    raw = bytearray(damaged.read_bytes())
    if harm == "bit":
        raw[-5] ^= 1
        damaged.write_bytes(raw)
    elif harm == "cut":
        damaged.write_bytes(raw[:-100])
    elif harm == "header":
        damaged.write_bytes(b"nothing like it")
    elif harm == "about":
        (entry / "about.json").write_text("{")
    else:
        damaged.unlink()
    assert np.array_equal(load(pets()).images, expected) and len(decoded) == 16
    load(pets())
    assert len(decoded) == 16
    assert sorted(path.name for path in (own_cache / "images").iterdir()) == [entry.name]


def test_where_the_cache_cannot_be_written_images_stay_in_memory(pets: Pets, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    data = load(pets(), cache=tmp_path / "file")
    assert not isinstance(data.images, np.memmap) and "held in memory" in data.notes["cache"]
    cached = load(pets())
    assert np.array_equal(data.images, cached.images) and data.fingerprint == cached.fingerprint


def test_the_place_is_the_argument_then_augury_cache_then_xdg(
    pets: Pets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    load(pets(), cache=tmp_path / "given")
    assert (tmp_path / "given" / "images").is_dir() and not own_cache.exists()
    monkeypatch.delenv("AUGURY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load(pets())
    assert (tmp_path / "xdg" / "augury" / "images").is_dir()


def test_more_images_than_one_piece_stay_in_order(pets: Pets, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.array(load(pets(count=5)).images)
    monkeypatch.setattr(worker_pool, "_BATCH", 3)
    pieces = load(pets(count=5), cache=pets() / "elsewhere")
    assert np.array_equal(pieces.images, images)
