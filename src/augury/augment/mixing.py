"""Mixing two images and their labels."""

from __future__ import annotations

import torch
from scipy.special import betaincinv
from torch import Tensor

from augury.augment.draws import Source, numbers
from augury.augment.occlusion import erased
from augury.errors import DataError


def mixup(
    images: Tensor, labels: Tensor, source: Source, *, classes: int | None = None, alpha: float = 0.2
) -> tuple[Tensor, Tensor]:
    """Blend each image with another of its batch, and the labels too: share * x + (1 - share) * x' (Zhang et al.
    2018, eq. 1).

    The share is drawn for each image from Beta(alpha, alpha).

    Parameters
    ----------
    images : Tensor
        Float or uint8 [N, C, H, W].
    labels : Tensor
        int [N], or float [N, K].
    source : Source
        The random numbers are drawn from it.
    classes : int, optional
        K, required for int labels.
    alpha : float
        Parameter of the Beta distribution.

    Returns
    -------
    Tensor
        Images of the same dtype, [N, C, H, W].
    Tensor
        Soft labels float [N, K] that sum to 1.
    """
    (order, share), soft = _pairs(len(images), source, alpha), softened(labels, classes)
    wide = share.to(images.device).view(-1, 1, 1, 1)
    mixed = images * wide.to(_float(images)) + images[order] * (1 - wide).to(_float(images))
    return _like(mixed, images), _faded(soft, order, share)


def cutmix(
    images: Tensor, labels: Tensor, source: Source, *, classes: int | None = None, alpha: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Replace a box of each image by that of another of its batch, and mix the labels by the share of pixels.

    The box covers 1 - Beta(alpha, alpha) of the image where the border does not cut it off (Yun et al. 2019, section
    3.1).

    Parameters
    ----------
    images : Tensor
        Float or uint8 [N, C, H, W].
    labels : Tensor
        int [N], or float [N, K].
    source : Source
        The random numbers are drawn from it.
    classes : int, optional
        K, required for int labels.
    alpha : float
        Parameter of the Beta distribution.

    Returns
    -------
    Tensor
        Images of the same dtype, [N, C, H, W].
    Tensor
        Soft labels float [N, K] that sum to 1.
    """
    (order, share), soft = _pairs(len(images), source, alpha), softened(labels, classes)
    across, down = numbers(len(images), source, 2).cpu()
    half = torch.sqrt(1 - share) / 2
    boxes = torch.stack([across - half, down - half, across + half, down + half], dim=1).clamp(0, 1)
    mixed = erased(images, boxes, images[order])
    left, top, right, bottom = (boxes * boxes.new_tensor([*images.shape[:1:-1]] * 2) + 0.5).floor().t()
    remaining = 1 - (right - left) * (bottom - top) / (images.shape[2] * images.shape[3])
    return mixed, _faded(soft, order, remaining)


def softened(labels: Tensor, classes: int | None = None, smoothing: float = 0.0) -> Tensor:
    """Labels int [N] as float [N, classes]: 1 at the label, less `smoothing` spread over all. Float labels are
    unchanged.

    Raises DataError when the number of classes is missing or too small.
    """
    if labels.is_floating_point():
        return labels
    most = int(labels.max()) + 1 if len(labels) else 0
    if classes is None or classes < most:
        raise DataError(
            f"labels reach {most - 1}, but {classes or 'no number of'} classes are given; give classes={most} or more"
        )
    soft = torch.full((len(labels), classes), smoothing / classes, device=labels.device)
    return soft.scatter_(1, labels.long().view(-1, 1), 1 - smoothing + smoothing / classes)


def _pairs(n: int, source: Source, alpha: float) -> tuple[Tensor, Tensor]:
    """(the partner of each image int64 [N], the weight of the image itself [N]); on the CPU."""
    draws = numbers(n, source, 2).cpu()
    share = torch.from_numpy(betaincinv(alpha, alpha, draws[1].double().numpy()))
    return draws[0].argsort(), share.float()


def _faded(soft: Tensor, order: Tensor, share: Tensor) -> Tensor:
    wide = share.to(soft.device)[:, None].to(soft.dtype)
    return soft * wide + soft[order] * (1 - wide)


def _float(images: Tensor) -> torch.dtype:
    return images.dtype if images.is_floating_point() else torch.float32


def _like(mixed: Tensor, images: Tensor) -> Tensor:
    return mixed if images.is_floating_point() else mixed.round().clamp(0, 255).to(images.dtype)
