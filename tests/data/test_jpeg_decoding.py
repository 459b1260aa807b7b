"""JPEG files read without Pillow have the pixels, headers and errors that Pillow gives."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury.data import load
from augury.data.decoding import codecs, image_decoder, jpeg, worker_pool
from augury.data.decoding.load_options import LoadOptions
from augury.errors import DataError

OPTIONS = LoadOptions()
pytestmark = pytest.mark.skipif(jpeg._simplejpeg() is None, reason="simplejpeg is not installed")


def photo(side: int = 40, mode: str = "RGB", **how: Any) -> bytes:
    noise = np.random.default_rng(side).integers(0, 256, (side // 4, side // 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((side - 3, side), Image.Resampling.BICUBIC).convert(mode).save(file, "JPEG", **how)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def by_pillow(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Header and pixels, or the error of each, without simplejpeg."""
    with monkeypatch.context() as patch:
        patch.setattr(jpeg, "_simplejpeg", lambda: None)
        return outcome(lambda: codecs.header(raw, OPTIONS)), outcome(
            lambda: np.array(codecs.picture(raw, OPTIONS, False))
        )


def outcome(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except DataError as error:
        return str(error)


READ = {
    "4:4:4": photo(subsampling=0),
    "4:2:2": photo(subsampling=1),
    "4:2:0": photo(subsampling=2),
    "grey": photo(mode="L"),
    "one pixel wide": photo(4),
    "large": photo(700, quality=93),
    "low quality": photo(quality=1),
    "restart markers": photo(restart_marker_blocks=2),
    "optimised": photo(optimize=True),
    "comment": photo(comment=b"no more"),
    "profile": photo(icc_profile=b"x" * 70000),
    "EXIF": photo(exif=exif(1)),
    "behind its end": photo() + b"more",
}
LEFT = {
    "progressive": photo(progressive=True),
    "CMYK": photo(mode="CMYK"),
    "turned": photo(exif=exif(6)),
    "cut": photo()[:-200],
    "without its end": photo()[:-2],
    "damaged": photo()[:300] + b"\xff\xd9\0\0" + photo()[304:],
    "damaged tables": photo().replace(b"\xff\xc4\x00\x1f\x00", b"\xff\xc4\x00\x1f\x07"),
    "empty": b"",
    "beginning alone": b"\xff\xd8\xff",
    "header alone": photo()[:160],
    "PNG": b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("name", [*READ, *LEFT])
def test_pixels_header_and_errors_are_those_of_pillow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = {**READ, **LEFT}[name]
    header, pixels = by_pillow(raw, monkeypatch)
    light = image_decoder.plain_header(raw)
    assert light is None or light == header or isinstance(pixels, str)
    np.testing.assert_array_equal(outcome(lambda: np.array(codecs.picture(raw, OPTIONS, False))), pixels)
    if name in READ:
        assert jpeg.pixels(raw) is not None
        native = image_decoder.native_pixels(raw, header.size, header.grey)
        assert (native is None) == (name in ("profile", "EXIF"))
        if native is not None:
            np.testing.assert_array_equal(
                native[0] if header.grey else native.transpose(1, 2, 0), pixels[..., 0] if header.grey else pixels
            )


def test_random_damage_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random, good = np.random.default_rng(0), photo(32)
    for _ in range(300):
        raw = bytearray(good)
        for position in random.integers(2, len(raw), random.integers(1, 4)):
            raw[position] = random.integers(256)
        _, pixels = by_pillow(bytes(raw), monkeypatch)
        mine = outcome(lambda raw=raw: np.array(codecs.picture(bytes(raw), OPTIONS, False)))
        np.testing.assert_array_equal(mine, pixels)


def test_an_image_above_the_limit_is_refused_as_by_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = photo(64)
    monkeypatch.setattr(image_decoder, "PIXEL_LIMIT", 1000)
    assert image_decoder.plain_header(raw) is None
    with pytest.raises(DataError, match=r"declares 3,904 pixels, but at most 1,000"):
        codecs.picture(raw, OPTIONS, False)


def test_a_decoder_of_other_pixels_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import simplejpeg

    real = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *words: real(*words, fastupsample=True))
    jpeg._simplejpeg.cache_clear()
    try:
        assert jpeg._simplejpeg() is None
    finally:
        jpeg._simplejpeg.cache_clear()


@pytest.mark.parametrize("processes", [False, True])
def test_a_folder_has_the_same_fingerprint_with_and_without(
    tmp_path: Path, processes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if processes:
        monkeypatch.setattr(worker_pool, "PROCESSES_FROM", 1)
    for number, raw in enumerate([*READ.values(), LEFT["turned"], LEFT["CMYK"], LEFT["progressive"]] * 5):
        folder = tmp_path / "photos" / ("odd" if number % 2 else "even")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(raw)
    for size in (None, 24):
        fast = load(tmp_path / "photos", size=size, cache=tmp_path / "fast")
        with monkeypatch.context() as patch:
            patch.setattr(jpeg, "_simplejpeg", lambda: None)
            plain = load(tmp_path / "photos", size=size, cache=tmp_path / "plain")
        assert fast.fingerprint == plain.fingerprint and fast.notes["original_modes"] == plain.notes["original_modes"]
        assert (fast.previews is None) == (size is None)
        if fast.previews is not None:
            np.testing.assert_array_equal(fast.previews, plain.previews)
