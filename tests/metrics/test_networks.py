"""Networks from the user's weights: the right file, nothing but tensors, and the numbers that the network itself gives."""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from augury.errors import MissingExtraError, SettingsError, WeightsError
from augury.metrics import extractor, inception, near_duplicates, phash, timm
from augury.metrics.inception import Inception, folded
from augury.metrics.resize import tensorflow1
from augury.networks.weights import tensors


def images(n: int, channels: int = 3, side: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, channels, side, side), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    safetensors.torch.save_file(Inception().state_dict(), file)
    return file


def test_inception_has_the_published_size() -> None:
    with torch.device("meta"):
        network = Inception()
    assert sum(p.numel() for p in network.parameters()) == 23_834_568 + 8 * 2049  # the usual one of 1000 classes, and 8
    assert len(list(network.state_dict())) == 94 * 6 + 2


def test_inception_from_a_file_by_name(weights: Path) -> None:
    before = torch.get_rng_state()
    network = extractor(f"inception={weights}", (1, 16, 16))
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
    assert network.identity == f"inception@{hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}"
    assert "not the published file" in network.preprocessing
    grey = images(2, 1)
    features = network.extract(grey)
    assert features.shape == (2, 2048) and np.isfinite(features).all()
    np.testing.assert_allclose(network.extract(np.repeat(grey, 3, axis=1)), features, atol=1e-5)
    assert network.head is not None
    p = network.head(features)
    assert p.shape == (2, 1008) and p.sum(1) == pytest.approx([1, 1])


def test_folding_changes_nothing_but_rounding() -> None:
    torch.manual_seed(1)
    network = Inception().eval()
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    x = torch.randn(1, 3, 299, 299)
    with torch.inference_mode():
        expected = network(x)
        torch.testing.assert_close(folded(network)(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_the_resize_is_the_one_of_tensorflow_1() -> None:
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
    assert tensorflow1(ramp, 8)[0, 0, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]  # no half pixel, the edge repeated
    x = torch.rand(2, 3, 299, 299)
    assert torch.equal(tensorflow1(x, 299), x)


def test_a_wrong_checksum_is_refused_before_anything_is_read(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors.torch, "load", lambda *_: pytest.fail("strange weights were read"))
    with pytest.raises(WeightsError, match=r"SHA-256 is .*, but should be 6726825d"):
        inception(weights, sha256="6726825d")
    with pytest.raises(WeightsError, match="cannot be read"):
        inception(weights.parent / "missing.pth")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:`torch.jit", "ignore:'torch.load' received")
def test_pickles_that_hold_more_than_tensors_are_refused(tmp_path: Path) -> None:
    for name, write in {
        "code.pth": lambda f: torch.save({"weight": Bomb()}, f),
        "plain.pth": lambda f: f.write_bytes(pickle.dumps({"weight": Bomb()})),
        "script.pt": lambda f: torch.jit.script(torch.nn.Linear(2, 2)).save(str(f)),
        "cut.safetensors": lambda f: f.write_bytes(b"\x08\x00"),
        "noise.pth": lambda f: f.write_bytes(b"not weights at all"),
    }.items():
        write(tmp_path / name)
        with pytest.raises(WeightsError, match="something else than tensors"):
            tensors(tmp_path / name)
    torch.save({"weight": torch.ones(2), "epoch": 3}, tmp_path / "more.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        tensors(tmp_path / "more.pth")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(
        WeightsError, match=r"not the weights of the 2015 Inception network: 473 of 472 .*first: Conv2d_1a_3x3"
    ):
        inception(tmp_path / "other.pth")


def test_timm_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'augury\[timm\]'"):
        extractor("timm:vit_small_patch14_dinov2.lvd142m", (3, 16, 16))


def test_timm_from_a_file(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="timm is not installed", exc_type=ImportError)
    with pytest.raises(SettingsError, match="timm has no network 'no_such_network'"):
        timm("no_such_network")
    torch.manual_seed(0)
    network = sys.modules["timm"].create_model("resnet10t", pretrained=False)  # which Augury has just imported
    safetensors.torch.save_file(network.state_dict(), tmp_path / "r.safetensors")
    features = timm("resnet10t", tmp_path / "r.safetensors").extract(images(2, 1))
    assert features.shape == (2, 512) and np.isfinite(features).all()
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="weights of another network"):
        timm("resnet10t", tmp_path / "other.pth")


def test_perceptual_hashes_know_a_copy_that_was_brightened() -> None:
    smooth = np.kron(images(6, 1, 4, 1) // 2, np.ones((1, 1, 8, 8), np.uint8)).astype(np.uint8)
    hashes, brighter = phash().extract(smooth), phash().extract(smooth + 40)
    assert hashes.shape == (6, 64) and set(np.unique(hashes)) == {0, 1}
    assert np.abs(hashes - brighter).sum(1).max() <= 4
    pairs = near_duplicates(brighter[[4, 1]], hashes)
    assert sorted(zip(pairs.fakes.tolist(), pairs.train.tolist(), strict=True)) == [(0, 4), (1, 1)]
