"""How other libraries score features: `python -m peers.scores FEATURES.npz [--only NAME]` in an environment that has them.

FEATURES.npz holds fake and real [N, D] and logits [N, K]. Prints {library: {score: [value, seconds, peak MB]}} as JSON; a library or score that fails has its reason in place of the three. Every library is called as its documentation
says, on features, and asked for what it can be asked for: one subset of all images where it draws subsets, the same
number of neighbours, one split or ten in the given order.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import re
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

K, SPLITS = 5, 10
Score = Callable[[np.ndarray, np.ndarray], float]
_DECLARED: list[Any] = []


def library(name: str) -> Any:
    """The module `name`. torchvision's package does not import beside a torch for CPUs as operators of its compiled part
    are missing; no score needs them, so each is declared without a body and the import done again."""
    while True:
        try:
            return importlib.import_module(name)
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            tops = {"torchvision", name.split(".")[0]}
            for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] in tops]:
                del sys.modules[loaded]
            _DECLARED.append(torch.library.Library("torchvision", "FRAGMENT"))
            _DECLARED[-1].define(f"{missing[1]}(Tensor boxes, Tensor scores, float threshold) -> Tensor")


class Same(nn.Module):
    """A network whose features are its input, for libraries that want one."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.num_features = dimension

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What was given."""
        return x


def _fidelity(part: str) -> Any:
    return library(f"torch_fidelity.metric_{part}")


def fidelity_fd(fake: np.ndarray, real: np.ndarray) -> float:
    fid = _fidelity("fid")
    first, second = (fid.fid_features_to_statistics(torch.from_numpy(x)) for x in (fake, real))
    return float(fid.fid_statistics_to_metric(first, second, False)["frechet_inception_distance"])


def fidelity_kid(fake: np.ndarray, real: np.ndarray) -> float:
    settings = {"kid_subsets": 1, "kid_subset_size": min(len(fake), len(real)), "verbose": False}
    extracted = _fidelity("kid").kid_features_to_metric(*map(torch.from_numpy, (fake, real)), **settings)
    return float(extracted["kernel_inception_distance_mean"])


def fidelity_is(logits: np.ndarray, _: np.ndarray) -> float:
    extracted = _fidelity("isc").isc_features_to_metric(torch.from_numpy(logits), SPLITS, shuffle=False)
    return float(extracted["inception_score_mean"])


def _fidelity_pr(which: str) -> Score:
    def score(fake: np.ndarray, real: np.ndarray) -> float:
        settings = {"prc_neighborhood": K, "prc_batch_size": 10000, "save_cpu_ram": False, "verbose": False}
        return float(_fidelity("prc").prc_features_to_metric(*map(torch.from_numpy, (fake, real)), **settings)[which])

    return score


def metrics_fd(fake: np.ndarray, real: np.ndarray) -> float:
    metric = library("torchmetrics.image.fid").FrechetInceptionDistance(feature=Same(fake.shape[1]))
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    return float(metric.compute())


def metrics_kid(fake: np.ndarray, real: np.ndarray) -> float:
    kid = library("torchmetrics.image.kid").KernelInceptionDistance
    metric = kid(feature=Same(fake.shape[1]), subsets=1, subset_size=min(len(fake), len(real)))
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    return float(metric.compute()[0])


def metrics_is(logits: np.ndarray, _: np.ndarray) -> float:
    metric = library("torchmetrics.image.inception").InceptionScore(feature=Same(logits.shape[1]), splits=1)
    metric.update(torch.from_numpy(logits))
    return float(metric.compute()[0])


def _prdc(which: str) -> Score:
    def score(fake: np.ndarray, real: np.ndarray) -> float:
        return float(library("prdc").compute_prdc(real, fake, K)[which])

    return score


def piq_fd(fake: np.ndarray, real: np.ndarray) -> float:
    return float(library("piq").FID().compute_metric(torch.from_numpy(fake), torch.from_numpy(real)))


def piq_kid(fake: np.ndarray, real: np.ndarray) -> float:
    return float(library("piq").KID().compute_metric(torch.from_numpy(fake), torch.from_numpy(real)))


def piq_is(logits: np.ndarray, _: np.ndarray) -> float:
    return float(library("piq.isc").inception_score(torch.from_numpy(logits), SPLITS)[0])


def _piq_pr(which: int) -> Score:
    def score(fake: np.ndarray, real: np.ndarray) -> float:
        extracted = library("piq").PR(nearest_k=K).compute_metric(torch.from_numpy(real), torch.from_numpy(fake))
        return float(extracted[which])

    return score


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.mean(0), np.cov(x, rowvar=False)


def pytorch_fid(fake: np.ndarray, real: np.ndarray) -> float:
    fid = library("pytorch_fid.fid_score")
    return float(fid.calculate_frechet_distance(*_moments(fake), *_moments(real)))


def clean_fid(fake: np.ndarray, real: np.ndarray) -> float:
    return float(library("cleanfid.fid").frechet_distance(*_moments(fake), *_moments(real)))


def clean_kid(fake: np.ndarray, real: np.ndarray) -> float:
    return float(library("cleanfid.fid").kernel_distance(fake, real, num_subsets=1, max_subset_size=len(fake)))


PEERS: dict[str, dict[str, Score]] = {
    "torch-fidelity": {
        "fd": fidelity_fd,
        "kid": fidelity_kid,
        "is": fidelity_is,
        "precision": _fidelity_pr("precision"),
        "recall": _fidelity_pr("recall"),
    },
    "torchmetrics": {"fd": metrics_fd, "kid": metrics_kid, "is_1": metrics_is},
    "prdc": {name: _prdc(name) for name in ("precision", "recall", "density", "coverage")},
    "piq": {"fd": piq_fd, "kid": piq_kid, "is": piq_is, "precision": _piq_pr(0), "recall": _piq_pr(1)},
    "pytorch-fid": {"fd": pytorch_fid},
    "clean-fid": {"fd": clean_fid, "kid": clean_kid},
}
"""Library -> score -> call; "is" in ten splits in the given order, "is_1" in one."""


def measured(peer: str, score: str, arrays: dict[str, np.ndarray]) -> list[float] | str:
    """[value, seconds, peak MB of this process] or the reason there is none."""
    score_inputs = (arrays["logits"], arrays["logits"]) if score.startswith("is") else (arrays["fake"], arrays["real"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            PEERS[peer][score](*(x[:50] for x in score_inputs))  # imports, and warms up
            started = time.perf_counter()
            value = PEERS[peer][score](*score_inputs)
    except Exception as error:  # a peer's failure is a finding
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:200]
    return [value, time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]


def extraction(weights: str, images: np.ndarray, batch: int = 16) -> list[float]:
    """[mean feature, seconds, peak MB] of torch-fidelity's Inception network with these weights over uint8 images."""
    module = library("torch_fidelity.feature_extractor_inceptionv3")
    network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], weights)
    with torch.inference_mode():
        network(torch.from_numpy(images[:batch]))  # warms up
        started = time.perf_counter()
        extracted = [network(torch.from_numpy(images[i : i + batch]))[0] for i in range(0, len(images), batch)]
        spent = time.perf_counter() - started
    return [float(torch.cat(extracted).mean()), spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]


def main() -> None:
    """What the docstring of this file says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features")
    parser.add_argument("--only", default="", help="LIBRARY or LIBRARY/SCORE")
    parser.add_argument("--weights", default="", help="time torch-fidelity's network with these, on the array `images`")
    options = parser.parse_args()
    arrays = dict(np.load(options.features, allow_pickle=False))
    with contextlib.redirect_stdout(sys.stderr):
        if options.weights:
            extracted = {"torch-fidelity": {"extract": extraction(options.weights, arrays["images"])}}
            print(json.dumps(extracted), file=sys.__stdout__)
            return
        extracted = {
            peer: {
                score: measured(peer, score, arrays)
                for score in scores
                if options.only in ("", peer, f"{peer}/{score}")
            }
            for peer, scores in PEERS.items()
        }
    print(json.dumps({peer: scores for peer, scores in extracted.items() if scores}))


if __name__ == "__main__":
    main()
