"""Terms of the generator's loss for stability and variety."""

from __future__ import annotations

import torch


def feature_matching(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """‖E f(real) − E f(fake)‖² / D of discriminator features (Salimans et al. 2016, section 3.1, per feature).

    Parameters
    ----------
    real, fake : Tensor
        Features [N, D].

    Returns
    -------
    Tensor
        Scalar.
    """
    return (real.mean(0) - fake.mean(0)).square().mean()


def mode_seeking(
    first: torch.Tensor, second: torch.Tensor, noise_first: torch.Tensor, noise_second: torch.Tensor
) -> torch.Tensor:
    """1 / (image distance / noise distance) of two images for the same condition (Mao et al. 2019, eq. 3).

    It is small when different noise gives different images.

    Parameters
    ----------
    first, second : Tensor
        Images [N, C, H, W].
    noise_first, noise_second : Tensor
        Their noise [N, Z].

    Returns
    -------
    Tensor
        Scalar.
    """
    images = (first - second).abs().flatten(1).mean(1)
    noises = (noise_first - noise_second).abs().flatten(1).mean(1)
    return (noises / (images + 1e-5)).mean()


def path_length(
    images: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, usual: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(E(‖Jᵀy‖ − usual)², E‖Jᵀy‖) with J = ∂images/∂latents, y = noise / √(H·W) (Karras et al. 2020, eq. 4).

    Parameters
    ----------
    images : Tensor
        [N, C, H, W], a function of `latents`.
    latents : Tensor
        [N, L] or [N, layers, L].
    noise : Tensor
        Normal noise, of the shape of `images`.
    usual : Tensor
        Moving average of E‖Jᵀy‖.

    Returns
    -------
    Tensor
        The penalty, a scalar.
    Tensor
        E‖Jᵀy‖, a scalar without a gradient.
    """
    direction = noise / (images.shape[2] * images.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((images * direction).sum(), latents, create_graph=True)
    lengths = (gradient.square().flatten(2).sum(2).mean(1) if gradient.dim() == 3 else gradient.square().sum(1)).sqrt()
    return (lengths - usual).square().mean(), lengths.mean().detach()


def group_spectral(gains: torch.Tensor) -> torch.Tensor:
    """σ²(G) of each row of gains, folded into a matrix of about √W groups (Rangwani et al. 2022, eq. 4, 5).

    It grows when the norms of a class give a few channels all the weight, which precedes the collapse of its images.

    Parameters
    ----------
    gains : Tensor
        [N, W].

    Returns
    -------
    Tensor
        [N].
    """
    groups = max(g for g in range(1, int(gains.shape[1] ** 0.5) + 1) if gains.shape[1] % g == 0)
    precise = gains.to(torch.promote_types(gains.dtype, torch.float32))
    largest: torch.Tensor = torch.linalg.matrix_norm(precise.reshape(len(gains), groups, -1), ord=2)
    return largest.square()


def patch_contrast(queries: torch.Tensor, keys: torch.Tensor, temperature: float = 0.07) -> torch.Tensor:
    """Cross-entropy of finding, among the keys of its image, the key at the position of each query.

    PatchNCE of CUT (Park et al. 2020, eq. 3): the other positions of the same image are the negatives.

    Parameters
    ----------
    queries, keys : Tensor
        [N, P, D].
    temperature : float
        Divides the cosine similarity.

    Returns
    -------
    Tensor
        Scalar.
    """
    similarity = torch.nn.functional.normalize(queries, dim=2) @ torch.nn.functional.normalize(keys, dim=2).transpose(
        1, 2
    )
    n, patches, _ = similarity.shape
    target = torch.arange(patches, device=queries.device).expand(n, -1)
    return torch.nn.functional.cross_entropy((similarity / temperature).flatten(0, 1), target.flatten())
