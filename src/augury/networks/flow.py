"""Flow matching (Lipman et al. 2023): a network learns the velocity that carries noise to images; an ODE solver draws.

The path from noise x0 to an image x1 is the straight line of optimal transport, x_t = (1 - t) x0 + t x1 (eq. 22, with a final
deviation of 0). Its velocity is x1 - x0. The network learns the mean velocity given x_t.

That velocity is a linear part, exact for independent normal pixels of deviation DEVIATION, plus the output of a U-Net times
the deviation that remains. This is the preconditioning of Karras et al. 2022 (section 5) for this path: input and target of
the U-Net have unit variance at every time, and an output of 0 draws white noise of that deviation.

The U-Net has residual blocks with group norm, scaled and shifted by time and condition (Dhariwal & Nichol 2021, section 3),
and attention at the coarsest grid. The last layer also sees linear features of the input, scaled by time and condition: near
the image the velocity consists of the noise in the input, which the norms and SiLUs on the way would distort. Patches of 2×2
pixels enter as channels, since a CPU computes few wide layers faster than many narrow ones.

Magnitude-preserving layers (Karras et al. 2024) were tried: in minutes on a CPU they learn more slowly (docs/recipes.md).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from augury.networks.canvas import Canvas
from augury.networks.conditioning import ConditionEmbedding
from augury.networks.solvers import CALLS, SOLVERS
from augury.networks.solvers import Field as VectorField
from augury.validation import StrictSettings

DEVIATION = 0.5
"""Assumed standard deviation of pixels on the scale [-1, 1] (Karras et al. 2022, table 1)."""
WAVES = 16
"""Cosines cos(πkt), k < WAVES, that represent a time."""
PATCH = 2
"""Side in px of the patches that enter as channels."""
GROUP, HEAD = 16, 32
"""Channels of a group of a norm, and of a head of the attention."""


class FlowSettings(StrictSettings):
    """Settings of a flow: of its network, and of the solver that draws with it."""

    width: int = Field(32, ge=1, description="channels at the finest grid, doubled at each halving up to widest")
    widest: int = Field(128, ge=1, description="most channels")
    blocks: int = Field(1, ge=1, description="residual blocks per grid, both on the way down and on the way up")
    embedding: int = Field(64, ge=1, description="size of the embedding of time and condition")
    sampling_steps: int = Field(8, ge=1, description="steps of the solver from noise to image")
    solver: Literal["euler", "midpoint", "heun", "adams"] = Field(
        "adams", description="euler: order 1; midpoint and heun: order 2; adams: order 2 at half their cost per step"
    )
    guidance: float = Field(
        1.0,
        ge=0,
        description="weight of classifier-free guidance (Ho & Salimans 2022); 1: none, above 1: more typical images",
    )

    @property
    def passes(self) -> int:
        """Number of passes through the network that an image takes."""
        calls = self.sampling_steps * CALLS[self.solver] + (self.solver == "adams")
        return calls * (1 if self.guidance == 1 else 2)


def norm(channels: int) -> nn.GroupNorm:
    """Group norm over groups of about GROUP channels."""
    groups = next(n for n in range(max(1, channels // GROUP), 0, -1) if channels % n == 0)
    return nn.GroupNorm(groups, channels)


class Block(nn.Module):
    """x [N, A, H, W], e [N, E] -> [N, B, H, W]: x plus two convolutions, scaled and shifted by e in between."""

    def __init__(self, a: int, b: int, embedding: int) -> None:
        super().__init__()
        self.first_norm, self.first = norm(a), nn.Conv2d(a, b, 3, padding=1)
        self.second_norm, self.second = norm(b), nn.Conv2d(b, b, 3, padding=1)
        self.affine = nn.Linear(embedding, 2 * b)
        self.skip = nn.Identity() if a == b else nn.Conv2d(a, b, 1)

    def forward(self, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """[N, A, H, W], [N, E] -> [N, B, H, W]."""
        scale, shift = self.affine(e)[:, :, None, None].chunk(2, dim=1)
        y = self.first(F.silu(self.first_norm(x)))
        y = self.second(F.silu(torch.addcmul(shift, self.second_norm(y), scale + 1)))
        total: torch.Tensor = self.skip(x) + y
        return total


class Attention(nn.Module):
    """x [N, C, H, W] -> x plus self-attention between the places of the grid (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = next(n for n in range(max(1, channels // HEAD), 0, -1) if channels % n == 0)
        self.norm, self.enter = norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        n, c, h, w = x.shape
        parts = self.enter(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w).transpose(3, 4)
        seen = F.scaled_dot_product_attention(*parts.unbind(1)).transpose(2, 3).reshape(n, c, h, w)
        total: torch.Tensor = x + self.leave(seen)
        return total


class UNet(nn.Module):
    """x [N, C, H, W], e [N, E] -> [N, C, H, W] over `stages` grids, the finest of them with a place for each patch."""

    def __init__(self, settings: FlowSettings, channels: int, stages: int) -> None:
        super().__init__()
        widths = [min(settings.width * 2**i, settings.widest) for i in range(stages)]
        self.enter = nn.Conv2d(channels * PATCH**2, widths[0], 3, padding=1)
        self.blocks, self.downs, self.ups, skips = settings.blocks, nn.ModuleList(), nn.ModuleList(), [widths[0]]
        for width in (width for width in widths for _ in range(self.blocks)):
            self.downs.append(Block(skips[-1], width, settings.embedding))
            skips.append(width)
        self.middle, last = Attention(widths[-1]), widths[-1]
        for width in (width for width in reversed(widths) for _ in range(self.blocks)):
            self.ups.append(Block(last + skips.pop(), width, settings.embedding))
            last = width
        self.last = Block(last + skips.pop(), widths[0], settings.embedding)
        self.scale = nn.Linear(settings.embedding, widths[0])
        self.leave_norm, self.leave = norm(widths[0]), nn.Conv2d(2 * widths[0], channels * PATCH**2, 3, padding=1)

    def forward(self, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W], [N, E] -> [N, C, H, W]."""
        x = first = self.enter(F.pixel_unshuffle(x, PATCH))
        skips = [x]
        for number, block in enumerate(self.downs):
            x = block(F.avg_pool2d(x, 2) if number and number % self.blocks == 0 else x, e)
            skips.append(x)
        x = self.middle(x)
        for number, block in enumerate(self.ups):
            x = F.interpolate(x, scale_factor=2, mode="nearest") if number and number % self.blocks == 0 else x
            x = block(torch.cat([x, skips.pop()], dim=1), e)
        x = self.last(torch.cat([x, skips.pop()], dim=1), e)
        linear = first * (self.scale(e)[:, :, None, None] + 1)
        return F.pixel_shuffle(self.leave(torch.cat([F.silu(self.leave_norm(x)), linear], dim=1)), PATCH)


class Generator(nn.Module):
    """Noise [N, C·H·W], conditions int64 [N, K] -> images [N, C, H, W], about [-1, 1].

    The images are a differentiable function of the noise. `encode` is its inverse, up to the error of the solver.
    """

    def __init__(self, settings: FlowSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.latent, self.canvas = shape, math.prod(shape), Canvas(*shape[1:])
        self.steps, self.guidance, self.solve = settings.sampling_steps, settings.guidance, SOLVERS[settings.solver]
        self.time = nn.Linear(WAVES, settings.embedding)
        self.embedding = ConditionEmbedding(cardinalities, settings.embedding)
        self.network = UNet(settings, shape[0], self.canvas.stages)

    def velocity(
        self, x: torch.Tensor, times: torch.Tensor, conditions: torch.Tensor, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """x [N, C, H, W] at times [N], conditions [N, K], known [N] (0 hides the condition) -> velocity [N, C, H, W]."""
        t = times[:, None, None, None]
        variance = (1 - t).square() + (t * DEVIATION).square()
        linear = (t * DEVIATION**2 - (1 - t)) / variance
        inner = self.canvas.pad(x * variance.rsqrt())
        output = self.canvas.cut(self.network(inner, self._embedded(times, conditions, known)))
        return linear * x + DEVIATION * variance.rsqrt() * output.float()

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, C·H·W], conditions int64 [N, K] -> images [N, C, H, W]."""
        x = noise.reshape(-1, *self.shape).contiguous(memory_format=torch.channels_last)
        return self.solve(self._field(conditions), x, torch.linspace(0, 1, self.steps + 1, device=x.device))

    def encode(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W], conditions [N, K] -> noise [N, C·H·W]: the equation solved backward in time."""
        times = torch.linspace(1, 0, self.steps + 1, device=images.device)
        return self.solve(self._field(conditions), images, times).flatten(1)

    def _embedded(self, times: torch.Tensor, conditions: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
        """[N], [N, K], [N] -> [N, E]."""
        waves = torch.cos(math.pi * times[:, None] * torch.arange(WAVES, device=times.device))
        e = self.embedding(conditions)
        return F.silu(self.time(waves) + (e if known is None else e * known[:, None]))

    def _field(self, conditions: torch.Tensor) -> VectorField:
        """The velocity as a function of state and time, with guidance: v(without) + weight · (v(with) - v(without))."""

        def field(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            times = time.expand(len(x))
            if self.guidance == 1:
                return self.velocity(x, times, conditions)
            known = torch.cat([torch.zeros_like(times), torch.ones_like(times)])
            both = self.velocity(x.repeat(2, 1, 1, 1), times.repeat(2), conditions.repeat(2, 1), known)
            without, conditional = both.chunk(2)
            return torch.lerp(without, conditional, self.guidance)

        return field
