"""Projected GAN (Sauer, Chitta, Müller & Geiger 2021): discriminators that see images through a frozen pretrained network.

The feature network is EfficientNet-Lite0 up to its maps of stride 4, 8, 16 and 32. Fixed random 1×1 convolutions mix the
channels of each map. Fixed random 3×3 convolutions and bilinear upsampling add each coarser map to the next finer one.
Each of the four mixed maps has a small discriminator with spectral norm, which scores the positions of a grid of about
4×4. Only these discriminators are trained.

The generator has the design of FastGAN (Liu, Zhu, Song & Elgammal 2021): one upsampling convolution with norm and gated
linear unit for each size, and skip-layer excitation, by which a coarse map scales the channels of a fine one. Here the
upsampling is a transposed convolution, and the norms depend on the condition.
"""

from __future__ import annotations

import itertools
import math

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from augury.errors import SettingsError
from augury.networks.canvas import Canvas
from augury.networks.conditioning import ConditionEmbedding, ProjectionHead
from augury.networks.dcgan import ConditionalNorm
from augury.networks.discriminator import Features, constrain, gathered
from augury.networks.pretrained import LITE0_CHANNELS, backbone, frozen
from augury.validation import StrictSettings

LEAST = 64
"""Shortest side in px at which the feature network sees images by default; its coarsest map then is 2×2."""
GRID = 4
"""Discriminators halve a map while its short side is at least twice this long."""
REACH = 3
"""Stages between a coarse map and the fine one whose channels it scales, where there are as many."""
DEVIATIONS = (9.0, 8.0, 6.5, 3.0)
"""Standard deviations of the four maps of photographs, measured at 64 px. Divided by them, all maps have one scale."""


class ProjectedSettings(StrictSettings):
    """Settings of the projected GAN."""

    latent: int = Field(128, ge=1, description="size of the noise")
    width: int = Field(16, ge=1, description="channels at full resolution, doubled at each halving up to widest")
    widest: int = Field(256, ge=1, description="most channels")
    embedding: int = Field(64, ge=1, description="size of a condition")
    feature_size: int = Field(
        0,
        ge=0,
        description="short side in px at which the pretrained network sees the images; 0: their own, but at least 64. "
        "Time grows with its square",
    )
    judge_width: int = Field(128, ge=1, description="channels of the four discriminators")


class Excitation(nn.Module):
    """Coarse map [N, A, h, w], fine map [N, B, H, W] -> the fine map with channels scaled by the coarse one.

    Skip-layer excitation (Liu et al. 2021, section 3.1): pooled to 4×4, a convolution to one position, and a 1×1
    convolution to a factor between 0 and 1 for each channel.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(coarse, fine, 4, bias=False)
        self.factors = nn.Conv2d(fine, fine, 1)
        nn.init.kaiming_normal_(self.squeeze.weight, a=0.1)
        nn.init.normal_(self.factors.weight, std=0.02)

    def forward(self, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        """[N, A, h, w], [N, B, H, W] -> [N, B, H, W]."""
        pooled = F.leaky_relu(self.squeeze(F.adaptive_avg_pool2d(coarse, 4)), 0.1)
        scaled: torch.Tensor = fine * torch.sigmoid(self.factors(pooled))
        return scaled


class Generator(nn.Module):
    """noise [N, Z], conditions int64 [N, K] -> images [N, C, H, W] in [-1, 1].

    The condition enters by the norms alone. Beside the noise in the first layer it outgrew the noise within fifty steps,
    and all images of a class became alike.
    """

    def __init__(
        self, settings: ProjectedSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.canvas, self.latent = Canvas(*shape[1:]), settings.latent
        widths = [min(settings.width * 2**i, settings.widest) for i in range(self.canvas.stages, -1, -1)]
        self.coarsest = (2 * widths[0], self.canvas.rows, self.canvas.columns)
        self.embedding = ConditionEmbedding(cardinalities, settings.embedding)
        self.first = nn.Linear(settings.latent, math.prod(self.coarsest), bias=False)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(a, 2 * b, 4, 2, 1, bias=False) for a, b in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(ConditionalNorm(2 * w, settings.embedding, True) for w in widths)
        self.reach = min(REACH, self.canvas.stages)
        pairs = zip(widths, widths[self.reach :], strict=False) if self.reach else ()
        self.excitations = nn.ModuleList(Excitation(a, b) for a, b in pairs)
        self.last = nn.Conv2d(widths[-1], shape[0], 3, 1, 1)
        for layer in (self.first, *self.ups, self.last):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z], conditions int64 [N, K] -> [N, C, H, W] in [-1, 1]."""
        e = self._embedded(conditions)
        x = self.first(noise).unflatten(1, self.coarsest)
        maps = [F.glu(self.norms[0](x.contiguous(memory_format=torch.channels_last), e), dim=1)]
        for number, (up, norm) in enumerate(zip(self.ups, self.norms[1:], strict=True), 1):
            x = F.glu(norm(up(maps[-1]), e), dim=1)
            if number >= self.reach:
                x = self.excitations[number - self.reach](maps[number - self.reach], x)
            maps.append(x)
        return self.canvas.cut(torch.tanh(self.last(maps[-1])))

    def first_weights(self) -> torch.Tensor:
        """Weights [D, Z] of the first layer, by which the noise enters."""
        return self.first.weight

    def _embedded(self, conditions: torch.Tensor) -> torch.Tensor:
        """Conditions [N, K] -> [N, E], of length about 1. At the length of a normal vector a step of Adam would change
        what the condition does many times as much as what the noise does.
        """
        embedded: torch.Tensor = self.embedding(conditions)
        return embedded / math.sqrt(embedded.shape[1])

    def gains(self, classes: int) -> list[torch.Tensor]:
        """Gains and biases [classes, W] of every conditional norm, for each class with the first value of any
        attribute.
        """
        conditions = torch.zeros(classes, len(self.embedding.tables), dtype=torch.long, device=self.first.weight.device)
        conditions[:, 0] = torch.arange(classes)
        e = self._embedded(conditions)
        pairs = [norm.affine(e).chunk(2, dim=1) for norm in self.norms]  # type: ignore[operator]
        return [parameter for gain, bias in pairs for parameter in (gain + 1, bias)]


class Projection(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> four mixed maps [N, W, h, w] of stride 4, 8, 16 and 32, finest first.

    Nothing in it is trained. The pretrained weights are not part of the state; the random ones are. The random weights are
    normal with variance 1 / fan in, so that they preserve the scale of their input.
    """

    def __init__(self, shape: tuple[int, int, int], size: int) -> None:
        super().__init__()
        if shape[0] not in (1, 3):
            raise SettingsError(
                f"the pretrained network of recipe projected sees grey or colour images, but these have {shape[0]} channels; use "
                "another recipe, such as rpgan"
            )
        height, width = shape[1:]
        short = size or max(LEAST, min(height, width))
        self.size = tuple(round(side * short / min(height, width)) for side in (height, width))
        if short < LEAST // 2:
            raise SettingsError(
                f"feature_size={size}: the coarsest map needs {LEAST // 2} px; raise it, or leave it out"
            )
        self.resizes = self.size != (height, width)
        self.network = frozen(backbone("lite0", folded=True))
        for number, width in enumerate(LITE0_CHANNELS):
            self.register_buffer(f"channels_{number}", _random(width, width, 1))
        for number, (fine, coarse) in enumerate(itertools.pairwise(LITE0_CHANNELS)):
            self.register_buffer(f"scales_{number}", _random(fine, coarse, 3))

    @property
    def grids(self) -> list[tuple[int, int]]:
        """Height and width of each map."""
        return [(self.size[0] // stride, self.size[1] // stride) for stride in (4, 8, 16, 32)]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """[N, C, H, W] -> [N, W, h, w] of each stride."""
        if self.resizes:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True, align_corners=False)
        mixed: list[torch.Tensor] = []
        for number, x in reversed(list(enumerate(self._maps(images)))):
            x = F.conv2d(x, getattr(self, f"channels_{number}") / DEVIATIONS[number])
            if mixed:
                coarse = F.conv2d(mixed[-1], getattr(self, f"scales_{number}"), padding=1)
                coarse = F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
                x = (x + coarse) * 0.5**0.5
            mixed.append(x)
        return mixed[::-1]

    def _maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The pretrained network's maps. Where gradients reach the images on a CPU they are computed in fp32: the
        gradients of its depthwise convolutions take longer in bf16.
        """
        kind = images.device.type
        slow = kind == "cpu" and images.requires_grad
        with torch.autocast(kind, torch.bfloat16, enabled=torch.is_autocast_enabled(kind) and not slow):
            return self.network.maps(images)


def _random(out: int, channels: int, kernel: int) -> torch.Tensor:
    """A random convolution weight [out, channels, kernel, kernel] with variance 1 / fan in (He et al. 2015)."""
    return torch.randn(out, channels, kernel, kernel) / math.sqrt(channels * kernel**2)


class Judge(nn.Module):
    """A mixed map [N, A, h, w] -> features [N, P, D] of the positions of a grid: strided convolutions down to GRID, and
    one that keeps the size.

    Batch norm after each convolution makes up for the scale that spectral norm takes. Each of `apart` batches is
    normalised by itself.
    """

    def __init__(self, channels: int, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        halvings = int(math.log2(max(1.0, min(grid) / GRID)))
        widths = [channels, *[width] * halvings]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in itertools.pairwise(widths))
        self.layers.append(nn.Conv2d(widths[-1], width, 3, 1, 1, bias=False))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in self.layers)

    def forward(self, x: torch.Tensor, apart: int) -> torch.Tensor:
        """[N, A, h, w] -> [N, P, D]."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.leaky_relu(torch.cat([norm(batch) for batch in layer(x).chunk(apart)]), 0.2)
        return gathered(x, True)


class Discriminator(nn.Module):
    """Images [N, C, H, W] in [-1, 1], conditions int64 [N, K] -> scores [N, S], higher for real: one for each of four maps
    and each position of its grid.

    Batch norm makes scores depend on the batch in training.
    """

    def __init__(
        self, settings: ProjectedSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.projection = Projection(shape, settings.feature_size)
        width = settings.judge_width
        self.judges = nn.ModuleList(
            Judge(channels, grid, width) for channels, grid in zip(LITE0_CHANNELS, self.projection.grids, strict=True)
        )
        self.heads = nn.ModuleList(ProjectionHead(width, cardinalities) for _ in LITE0_CHANNELS)
        constrain(self)

    def features(self, images: torch.Tensor, apart: int = 1) -> Features:
        """Images [N, C, H, W], `apart` equal batches one after another -> a [N, P, D] for each map."""
        return [judge(x, apart) for judge, x in zip(self.judges, self.projection(images), strict=True)]

    def head(self, features: Features, conditions: torch.Tensor) -> torch.Tensor:
        """The output of `features`, conditions int64 [N, K] -> scores [N, S]."""
        scores = [head(x, conditions) for head, x in zip(self.heads, features, strict=True)]
        return torch.cat(scores, dim=1)

    def forward(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W], conditions int64 [N, K] -> scores [N, S]."""
        return self.head(self.features(images), conditions)
