"""Other libraries as oracles: equal to 1e-6 where they are right, and where they are not, the test shows the trap.

A library that is not installed is skipped with a word. None is needed to work on Augury, and they pull in a torchvision
that replaces torch: install them without dependencies, as bench/oracles.py does.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.special import softmax

from augury.metrics import SCORES, Sides, frechet_distance, inception, kernel_distance
from augury.metrics.coverage import precision_value, recall_value
from augury.metrics.inception import Inception
from augury.metrics.inception_score import split_scores
from augury.metrics.resize import tensorflow1

PACKAGES = {"torch-fidelity": "torch_fidelity", "pytorch-fid": "pytorch_fid", "clean-fid": "cleanfid"}
N, D = 120, 8
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def peers() -> ModuleType:
    """bench/peers/scores.py: how each library is called is written once."""
    file = Path(__file__).parents[2] / "bench" / "peers" / "scores.py"
    spec = importlib.util.spec_from_file_location("peers_scores", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PEERS = peers()
CASES = [(peer, score) for peer, scores in PEERS.PEERS.items() for score in scores]


def needs(peer: str) -> None:
    package = PACKAGES.get(peer, peer)
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{peer} is not installed")
    try:
        PEERS.library(package)
    except ImportError as error:
        pytest.skip(f"{peer} cannot be imported: {error}")


def cloud(seed: int, shift: float = 0.0, n: int = N, d: int = D) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)) @ np.random.default_rng(99).normal(size=(d, d)) + shift


def augury_score(score: str, fake: np.ndarray, real: np.ndarray) -> float:
    if score.startswith("is"):
        return float(split_scores(softmax(fake, axis=1), 1 if score == "is_1" else 10).mean())
    zeros = np.zeros(len(fake), np.int64)
    return SCORES[score].value(Sides(fake, real, "toy", "toy", "", 0, zeros, zeros))


@pytest.mark.parametrize(("peer", "score"), [case for case in CASES if case != ("piq", "fd")])
def test_agrees(peer: str, score: str) -> None:
    needs(peer)
    fake, real = cloud(0, 0.3), cloud(1)
    rel = 1e-6 if "piq" not in peer or score not in ("precision", "recall") else 1e-5  # they answer in float32
    assert PEERS.PEERS[peer][score](fake, real) == pytest.approx(augury_score(score, fake, real), rel=rel)


@pytest.mark.parametrize("peer", ["torch-fidelity", "torchmetrics"])
def test_agrees_on_fewer_images_than_features(peer: str) -> None:
    needs(peer)
    fake, real = cloud(0, 0.3, 12, 30), cloud(1, 0, 14, 30)
    assert PEERS.PEERS[peer]["fd"](fake, real) == pytest.approx(frechet_distance(fake, real), rel=1e-5)


def test_trap_piq_takes_the_root_by_an_iteration_that_has_not_arrived() -> None:
    needs("piq")
    fake, real = cloud(0, 0.3), cloud(1)
    off = PEERS.PEERS["piq"]["fd"](fake, real) / frechet_distance(fake, real) - 1
    assert 1e-6 < abs(off) < 0.05


def test_trap_prdc_leaves_the_edge_out() -> None:
    needs("prdc")
    same = np.ones((20, 4))
    assert PEERS.PEERS["prdc"]["precision"](same, same) == 0
    assert precision_value(same, same) == recall_value(same, same) == 1


def test_trap_torchmetrics_loses_the_covariance_of_features_far_from_zero() -> None:
    needs("torchmetrics")
    fake, real = cloud(0), cloud(1)
    expected = frechet_distance(fake, real)
    assert frechet_distance(fake + 1e7, real + 1e7) == pytest.approx(expected, rel=1e-5)
    assert PEERS.PEERS["torchmetrics"]["fd"](fake + 1e7, real + 1e7) != pytest.approx(expected, rel=1e-2)


def test_trap_torchmetrics_cuts_to_bytes_where_it_should_round() -> None:
    needs("torchmetrics")
    images = torch.full((4, 3, 2, 2), 128 / 255) - 1e-7  # 128 but for a float's last digit

    class Seen(PEERS.Same):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            dtypes.append(int(x.max()))
            return x.double().flatten(1)

    dtypes: list[int] = []
    metric = PEERS.library("torchmetrics.image.fid").FrechetInceptionDistance(feature=Seen(12), normalize=True)
    metric.used_custom_model = False  # as its own network is fed
    metric.update(images, real=True)
    assert dtypes == [127] and int((images * 255).round().max()) == 128


def test_trap_torch_fidelity_takes_the_mean_in_float32() -> None:
    needs("torch-fidelity")
    fake, real = (cloud(i).astype(np.float32) + np.float32(3e3) for i in (0, 1))
    exact = frechet_distance(fake.astype(np.float64), real.astype(np.float64))
    assert frechet_distance(fake, real) == pytest.approx(exact, rel=1e-9)
    assert PEERS.PEERS["torch-fidelity"]["fd"](fake, real) != pytest.approx(exact, rel=1e-7)


def test_kid_where_they_draw_subsets_of_their_own() -> None:
    needs("torchmetrics")
    fake, real = cloud(0, 0.3), cloud(1)
    kid = PEERS.library("torchmetrics.image.kid").KernelInceptionDistance
    metric = kid(feature=PEERS.Same(D), subsets=200, subset_size=60)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    mean, deviation = (float(v) for v in metric.compute())
    assert abs(mean - kernel_distance(fake, real)) < 4 * deviation / 200**0.5


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's own random weights, with running statistics that keep its activations alive through 48 layers."""
    torch.manual_seed(0)
    network = Inception()
    for name, value in network.state_dict().items():
        if name.endswith("conv.weight"):
            torch.nn.init.kaiming_normal_(value)
        elif name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.8, 1.2)
    file = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), file)
    return file


@pytest.mark.parametrize("side", [28, 299, 320])
def test_inception_is_torch_fidelitys_network(weights: Path, side: int) -> None:
    needs("torch-fidelity")
    module = PEERS.library("torch_fidelity.feature_extractor_inceptionv3")
    reference = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(weights))
    images = np.random.default_rng(0).integers(0, 256, (2, 3, side, side), dtype=np.uint8)
    network = inception(weights)
    actual = network.extract(images)
    features, logits = (value.numpy() for value in reference(torch.from_numpy(images)))
    assert features.std() > 1e-3
    np.testing.assert_allclose(actual, features, rtol=1e-4, atol=1e-5 * np.abs(features).max())
    assert network.head is not None
    np.testing.assert_allclose(network.head(features), softmax(logits.astype(np.float64), axis=1), rtol=1e-4)


@pytest.mark.parametrize("size", [(28, 28), (32, 47), (299, 299), (500, 313)])
def test_the_resize_is_theirs(size: tuple[int, int]) -> None:
    needs("torch-fidelity")
    module = PEERS.library("torch_fidelity.interpolate_compat_tensorflow")
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, *size)).astype(np.float32))
    expected = module.interpolate_bilinear_2d_like_tensorflow1x(x, (299, 299), align_corners=False)
    torch.testing.assert_close(tensorflow1(x, 299), expected, rtol=0, atol=2e-4)


def test_trap_torch_fidelitys_float64_is_float32_in_the_end(weights: Path) -> None:
    needs("torch-fidelity")
    module = PEERS.library("torch_fidelity.feature_extractor_inceptionv3")
    reference = module.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], str(weights), feature_extractor_internal_dtype="float64"
    )
    assert reference(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))[0].dtype == torch.float32


def test_the_peers_file_needs_no_augury() -> None:
    assert "augury" not in (Path(sys.modules[__name__].__file__ or "").parents[2] / "bench/peers/scores.py").read_text()
