"""Batch norm over the images of all processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from augury.training.distributed import World


class SynchronisedNorm(_BatchNorm):
    """The batch norm `norm`, with its weights and buffers, whose statistics in training are those of all processes.

    Outside training it is `norm`. `torch.nn.SyncBatchNorm` works on GPUs only, and its messages do not say when a process
    has failed.
    """

    def __init__(self, norm: _BatchNorm, world: World) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.world = world
        self._parameters, self._buffers = norm._parameters, norm._buffers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, …] -> the same shape and dtype."""
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        normal, mean, variance, count = _Normalise.apply(x, self.world, self.eps)  # type: ignore[no-untyped-call]
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        if self.affine:
            shape = _across(x)
            normal = torch.addcmul(self.bias.view(shape), normal, self.weight.view(shape))
        result: torch.Tensor = normal.to(x.dtype)
        return result

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Any number of dimensions from two on."""


class _Normalise(torch.autograd.Function):
    """x [N, C, …] -> (x with mean 0 and variance 1 over all processes, float32; mean [C]; variance [C]; their count)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, world: World, eps: float) -> tuple[torch.Tensor, ...]:
        values, channels, others = x.float(), x.shape[1], _others(x)
        own = values.numel() / channels
        variance, mean = (each.double() for each in torch.var_mean(values, others, correction=0))
        moments = torch.cat([mean, variance + mean.square(), mean.new_ones(1)]) * own
        summed = world.summed(moments)
        count = summed[-1]
        mean = summed[:channels] / count
        variance = (summed[channels:-1] / count - mean.square()).clamp(min=0)
        mean, variance = mean.float(), variance.float()
        ctx.world, ctx.count = world, count
        ctx.save_for_backward(x, mean, (variance + eps).rsqrt())
        ctx.mark_non_differentiable(mean, variance, count)
        return F.batch_norm(values, mean, variance, None, None, False, 0.0, eps), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Ioffe & Szegedy 2015, section 3, with means over all processes."""
        x, mean, scale = ctx.saved_tensors
        shape, others, gradient = _across(x), _others(x), gradients[0]
        normal = (x.float() - mean.view(shape)) * scale.view(shape)
        sums = torch.cat([gradient.sum(others), (gradient * normal).sum(others)])
        mean_gradient, mean_product = (ctx.world.summed(sums.double()) / ctx.count).float().chunk(2)
        result = (gradient - mean_gradient.view(shape) - normal * mean_product.view(shape)) * scale.view(shape)
        return result.to(x.dtype), None, None


def _others(x: torch.Tensor) -> list[int]:
    return [dimension for dimension in range(x.dim()) if dimension != 1]


def _across(x: torch.Tensor) -> list[int]:
    return [1, -1, *[1] * (x.dim() - 2)]


def synchronised(network: nn.Module, world: World) -> nn.Module:
    """Replace every batch norm in a network by one over all processes; changes nothing where there is one process.

    Parameters
    ----------
    network
        Any network; it is changed in place, and its weights stay the same objects.
    world
        The processes.

    Returns
    -------
    The same network.
    """
    if world.size > 1:
        for module in list(network.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, _BatchNorm):
                    setattr(module, name, SynchronisedNorm(child, world))
    return network
