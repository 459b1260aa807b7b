"""Perceptual path length: how far features move between two images that are close to each other in latent space."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch

from augury.errors import ScoreError
from augury.metrics.check import Floats
from augury.metrics.features import Extractor
from augury.metrics.score import Score
from augury.randomness import rng

TRIMMED = 1.0
"""Percent of the shortest and of the longest paths that are left out, as in the authors' code."""
RESAMPLED = 1000
LEAST = 20
"""Fewest paths."""


def feature_map(extractor: Extractor) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network of an extractor: images float [N, C, H, W] in [-1, 1] to features [N, D], with gradients.

    Parameters
    ----------
    extractor : Extractor
        With a network: lite0, pixels or the classifier of a run.

    Returns
    -------
    callable

    Raises
    ------
    ScoreError
        For an extractor without a network.
    """
    run = extractor.network or extractor.floats
    if run is None:
        raise ScoreError(
            f"the features '{extractor.name}' take 8-bit images only, but this needs the images as the network draws them; use "
            "lite0, pixels or the classifier of a run"
        )
    return run


def perceptual_path_length(
    pairs: Iterable[tuple[torch.Tensor, torch.Tensor]],
    extractor: Extractor,
    *,
    epsilon: float,
    settings: str = "",
    seed: int = 0,
) -> Score:
    """Perceptual path length: the mean of ‖f(a) - f(b)‖² / ε² over pairs of images (Karras et al. 2019, section 4.1).

    Lower is smoother: small steps in latent space then change the image little. As in the authors' code, the shortest and longest
    1 % of the paths are left out. The paper measures with LPIPS on VGG features. Values over other features are comparable
    with each other only.

    Parameters
    ----------
    pairs : iterable of (Tensor, Tensor)
        Batches float [n, C, H, W] in about [-1, 1], ε apart in latent space; see `training.path_pairs`.
    extractor : Extractor
        With a network: lite0, pixels or the classifier of a run.
    epsilon : float
        The distance of the two images of a pair, as a share of their path.
    settings : str
        Description of the paths, such as "sampling=full, space=w".
    seed : int
        Seed of the interval.

    Returns
    -------
    Score
        PPL over these features, with a bootstrap interval over the paths.

    Raises
    ------
    ScoreError
        For fewer than 20 paths, and for an extractor without a network.
    """
    features, lengths = feature_map(extractor), []
    with torch.inference_mode():
        for a, b in pairs:
            lengths.append((features(a) - features(b)).double().square().sum(1).cpu().numpy() / epsilon**2)
    all_lengths = np.concatenate(lengths) if lengths else np.empty(0)
    if len(all_lengths) < LEAST:
        raise ScoreError(f"the path length needs at least {LEAST} paths, but there are {len(all_lengths)}; draw more")
    low, high = np.percentile(all_lengths, [TRIMMED, 100 - TRIMMED])
    trimmed: Floats = all_lengths[(all_lengths >= low) & (all_lengths <= high)]
    draws = rng(seed, "path length").integers(0, len(trimmed), (RESAMPLED, len(trimmed)))
    bounds = np.percentile(trimmed[draws].mean(1), [2.5, 97.5])
    return Score(
        f"PPL-{extractor.name}",
        float(trimmed.mean()),
        float(bounds[0]),
        float(bounds[1]),
        len(all_lengths),
        "lower",
        extractor.identity,
        extractor.preprocessing,
        settings=", ".join(filter(None, [settings, f"epsilon={epsilon:g}"])),
    )
