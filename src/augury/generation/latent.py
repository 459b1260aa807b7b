"""Inversion of a generator: from images to noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from augury.images import AnyImages, Codes, as_images
from augury.randomness import rng
from augury.training import Synthesizer, as_float
from augury.training.protocols import Flow

Pace = Callable[[float], float]
"""The share of the updates that are done -> the share that the learning rate follows; from 1 on, the search ends.

It is called before each update, so a caller sees the progress and can limit the time.
"""


def invert(
    synthesizer: Synthesizer, images: AnyImages, conditions: Codes, *, steps: int = 150, starts: int = 8, seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Find the noise whose generated image is closest to each given image.

    The best of `starts` random noises is improved by Adam on the squared error (Zhu et al. 2016, section 3, without an
    encoder). This works for generators of any kind, so that they can be compared. Noise per pixel is not optimised: it
    could paint what the generator has not learnt (Karras et al. 2020a, section 5).

    The noise of a flow has the size of the image, and its equation runs backward from any image. The error is then that of
    the solver, and says nothing about what the flow has learnt.

    Parameters
    ----------
    synthesizer
        The generator.
    images, conditions
        uint8 [N, C, H, W] or a set of images, with conditions int64 [N, K].
    steps
        Updates of Adam; not used for a flow.
    starts
        Random noises tried for each image; not used for a flow.
    seed
        Seed of these noises.

    Returns
    -------
    Noise float32 [N, Z], and the root mean squared error [N] on the scale [0, 255].
    """
    synthesizer.need_latent_space("inversion")
    generator, device = synthesizer.generator, next(synthesizer.generator.parameters()).device
    images = as_images(images)
    targets, codes = as_float(images, device), torch.from_numpy(conditions).to(device)

    def errors(noise: torch.Tensor) -> torch.Tensor:
        drawn_images: torch.Tensor = generator(noise, codes)
        return (drawn_images - targets).square().mean((1, 2, 3))

    if isinstance(generator, Flow):
        with torch.inference_mode():
            noise = generator.encode(targets, codes)
            return noise.cpu().numpy(), 127.5 * errors(noise).cpu().double().sqrt().numpy()
    drawn = rng(seed, "invert").standard_normal((starts, len(images), synthesizer.latent)).astype(np.float32)
    candidates = torch.from_numpy(drawn).to(device)
    with torch.no_grad():
        first = torch.stack([errors(noise) for noise in candidates]).argmin(0)
    noise = candidates[first, torch.arange(len(images), device=device)].clone().requires_grad_()
    best, least = descend(noise, errors, steps, lambda done: 0.1, getattr(generator, "mapped", synthesizer.latent))
    return best.cpu().numpy(), 127.5 * least.cpu().double().sqrt().numpy()


def descend(
    start: torch.Tensor,
    losses_of: Callable[[torch.Tensor], torch.Tensor],
    steps: int,
    rate: Callable[[float], float],
    free: int | None = None,
    pace: Pace = lambda share: share,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise the loss of every row by Adam, rows independent of each other.

    Parameters
    ----------
    start
        float [N, …], a leaf tensor that requires its gradient; it is changed.
    losses_of
        Takes such a tensor to losses [N].
    steps
        Updates.
    rate
        Takes the share of the updates that are done to the learning rate.
    free
        Only these first columns of [N, D] move; None: all.
    pace
        As `Pace` says; it may raise to stop the search.

    Returns
    -------
    The best values [N, …] that were met, and their losses [N].
    """
    adam = torch.optim.Adam([start], lr=rate(0.0))
    best, least = start.detach().clone(), torch.full((len(start),), float("inf"), device=start.device)
    for step in range(steps + 1):
        losses = losses_of(start)
        better = losses.detach() < least
        best[better], least[better] = start.detach()[better], losses.detach()[better]
        if (share := pace(step / steps if steps else 1.0)) >= 1:
            break
        (start.grad,) = torch.autograd.grad(losses.sum(), start)
        if free is not None:
            start.grad[:, free:] = 0
        adam.param_groups[0]["lr"] = rate(share)
        adam.step()
    return best, least
