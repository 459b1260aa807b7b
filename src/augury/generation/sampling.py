"""Where the noise of synthetic images comes from: the prior, the boundary between classes, or between real images."""

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
"""(conditions int64 [N, K], indices int64 [N]) -> noise float32 [N, Z]; that of an image depends on nothing but its own."""

ANCHORS = 16
"""Real images inverted in each class, at most."""


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
    """`noise` [N, Z] moved to where the classifier is just sure of the label: hard examples that are still of their class.

    Adam lowers (m - target)² + near · ‖z - z₀‖², m being the label's logit less the best other one's and ‖·‖² a mean over Z
    (as hard examples are searched by Zhao, Dua & Singh 2018, in latent space), in `steps` of `rate`. Of all noises passed
    the one with m >= 0 nearest to `target` is returned, and where there is none the one begun with.
    Each image is computed at the place of its index, so that it does not depend on its company.
    """
    device = next(synthesizer.generator.parameters()).device

    def move(z: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            start, asked = z.clone(), given.clone()
            micro = start.clone().requires_grad_()
            adam = torch.optim.Adam([micro], lr=rate)
            best, least = start.clone(), torch.full((len(start),), torch.inf, device=device)
            for step in range(steps + 1):
                said = logits(synthesizer.generator(micro, asked))
                own = said.gather(1, asked[:, :1])[:, 0]
                apart = own - said.scatter(1, asked[:, :1], -torch.inf).max(1).values
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
    """Noise [N, Z] on arcs between two of `anchors` [A, Z], which and where (from a quarter to three quarters of the way)
    drawn for each index; with a single anchor, between it and the image's own noise `fresh` [N, Z]."""
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
    found: dict[int, Noise] = {}

    def anchors(label: int) -> Noise:
        if label not in found:
            rows = np.flatnonzero(train.labels == label)
            chosen = rng(seed, "anchors", label).permutation(rows)[:ANCHORS]
            found[label] = invert(synthesizer, train.images[chosen], conditions[chosen], seed=seed)[0]
        return found[label]

    def source(asked: Codes, indices: Codes) -> Noise:
        noise = image_noise(seed, indices, synthesizer.latent)
        for label in np.unique(asked[:, 0]).tolist():
            rows = np.flatnonzero(asked[:, 0] == label)
            if (train.labels == label).any():
                noise[rows] = between(anchors(label), noise[rows], seed, indices[rows])
        return noise

    return source


SAMPLING: dict[str, Callable[..., Source] | None] = {
    "prior": None,
    "boundary": _of_boundary,
    "inversions": _of_inversions,
}
"""How the noise is chosen; None: as `Synthesizer.sample` draws it, from (seed, index) alone."""


def source(name: str, synthesizer: Synthesizer, context: FilterContext | None, seed: int) -> Source | None:
    """The source of noise called `name`; None for the prior. Raises SettingsError for an unknown one, and for one whose
    evidence is missing."""
    if name not in SAMPLING:
        raise SettingsError(f"there is no sampling '{name}'; choose among: {', '.join(SAMPLING)}")
    made = SAMPLING[name]
    return None if made is None else made(synthesizer, context, seed)
