"""The noise of synthetic images: from the prior, near the boundary between classes, or between real images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from augury.errors import SettingsError
from augury.generation.filter_context import FilterContext
from augury.generation.latent import invert
from augury.images import Codes
from augury.randomness import image_noise, rng
from augury.training import Synthesizer, in_fixed_batches, slerp

Noise = npt.NDArray[np.float32]
Source = Callable[[Codes, Codes], Noise]
"""(conditions int64 [N, K], indices int64 [N]) -> noise float32 [N, Z]. The noise of an image depends on its own condition
and index only."""

ANCHORS = 16
"""Most real images inverted in each class."""


def boundary(
    synthesizer: Synthesizer,
    noise: Noise,
    conditions: Codes,
    indices: Codes,
    logits: Callable[[torch.Tensor], torch.Tensor],
    *,
    target: float = 0.5,
    steps: int = 12,
    rate: float = 0.05,
    near: float = 0.1,
) -> Noise:
    """Move noise to where the classifier is only just sure of the label: hard examples that still belong to their class.

    Adam lowers (m - target)² + near · ‖z - z₀‖². Here m is the label's logit minus the best other one, and ‖·‖² a mean over
    Z. Zhao, Dua & Singh 2018 search hard examples in latent space like this.

    Parameters
    ----------
    synthesizer, noise, conditions, indices
        The generator, its noise float32 [N, Z], conditions int64 [N, K] and indices int64 [N]. Each image is computed at
        the batch position of its index, so it does not depend on the other images.
    logits
        Images [N, C, H, W] -> logits [N, K].
    target, near
        Constants of the objective.
    steps, rate
        Updates of Adam, and their learning rate.

    Returns
    -------
    float32 [N, Z]: of all noises tried, the one with m >= 0 whose m is nearest to `target`; the initial one where there is
    none.
    """
    device = next(synthesizer.generator.parameters()).device

    def move(z: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            start, targets = z.clone(), codes.clone()
            micro = start.clone().requires_grad_()
            adam = torch.optim.Adam([micro], lr=rate)
            best, least = start.clone(), torch.full((len(start),), torch.inf, device=device)
            for step in range(steps + 1):
                scores = logits(synthesizer.generator(micro, targets))
                own = scores.gather(1, targets[:, :1])[:, 0]
                apart = own - scores.scatter(1, targets[:, :1], -torch.inf).max(1).values
                off = (apart - target).square()
                better = (off.detach() < least) & (apart.detach() >= 0)
                best[better], least[better] = micro.detach()[better], off.detach()[better]
                if step < steps:
                    total = off + near * (micro - start).square().mean(1)
                    (micro.grad,) = torch.autograd.grad(total.sum(), micro)
                    adam.step()
        return best

    if not len(noise):
        return noise
    inputs = (torch.from_numpy(np.ascontiguousarray(x)).to(device) for x in (noise, conditions))
    return np.asarray(in_fixed_batches(move, indices, *inputs).cpu().numpy())


def between(anchors: Noise, fresh: Noise, seed: int, indices: Codes) -> Noise:
    """Draw noise on arcs between two anchors.

    The anchors and the position (from a quarter to three quarters of the way) are drawn for each index.

    Parameters
    ----------
    anchors
        Noise float32 [A, Z].
    fresh
        Each image's own noise, float32 [N, Z]. With a single anchor, the arc runs from it to this noise.
    seed, indices
        Seed, and index int64 [N] of each image.

    Returns
    -------
    float32 [N, Z].
    """
    rows = []
    for own, index in zip(fresh, indices.tolist(), strict=True):
        random = rng(seed, "between", index)
        first, second = random.choice(len(anchors), 2, replace=False) if len(anchors) > 1 else (0, 0)
        other = anchors[second] if len(anchors) > 1 else own
        rows.append(slerp(anchors[[first]], other[None], np.array([0.25 + random.random() / 2], np.float32))[0])
    return np.stack(rows) if rows else fresh


def _of_boundary(synthesizer: Synthesizer, context: FilterContext | None, seed: int) -> Source:
    if context is None or context.logits is None:
        raise SettingsError(
            "sampling boundary needs a classifier, but none was given; use sampling=prior, or augury run"
        )
    logits = context.logits

    def source(conditions: Codes, indices: Codes) -> Noise:
        noise = image_noise(seed, indices, synthesizer.latent)
        return boundary(synthesizer, noise, conditions, indices, logits)

    return source


def _of_inversions(synthesizer: Synthesizer, context: FilterContext | None, seed: int) -> Source:
    if context is None:
        raise SettingsError("sampling inversions lies between real images, but none were given; use sampling=prior")
    train = context.train
    conditions = train.conditions(synthesizer.card.condition_names)
    inverted: dict[int, Noise] = {}

    def anchors(label: int) -> Noise:
        if label not in inverted:
            rows = np.flatnonzero(train.labels == label)
            chosen = rng(seed, "anchors", label).permutation(rows)[:ANCHORS]
            inverted[label] = invert(synthesizer, train.images[chosen], conditions[chosen], seed=seed)[0]
        return inverted[label]

    def source(requested: Codes, indices: Codes) -> Noise:
        noise = image_noise(seed, indices, synthesizer.latent)
        for label in np.unique(requested[:, 0]).tolist():
            rows = np.flatnonzero(requested[:, 0] == label)
            if (train.labels == label).any():
                noise[rows] = between(anchors(label), noise[rows], seed, indices[rows])
        return noise

    return source


SAMPLING: dict[str, Callable[..., Source] | None] = {
    "prior": None,
    "boundary": _of_boundary,
    "inversions": _of_inversions,
}
"""How the noise is chosen. None: as `Synthesizer.sample` draws it, from (seed, index) alone."""


def source(name: str, synthesizer: Synthesizer, context: FilterContext | None, seed: int) -> Source | None:
    """The source of noise called `name`; None for the prior. Raises SettingsError for an unknown name, or missing inputs."""
    if name not in SAMPLING:
        raise SettingsError(f"there is no sampling '{name}'; choose among: {', '.join(SAMPLING)}")
    factory = SAMPLING[name]
    if factory is not None:
        synthesizer.need_latent_space(f"sampling={name}")
    return None if factory is None else factory(synthesizer, context, seed)
