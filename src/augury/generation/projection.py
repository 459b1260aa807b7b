"""Inversion of real images into the space in which images are edited, with a measure of how well it worked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from augury.errors import DataError, SettingsError
from augury.generation.latent import Pace, descend
from augury.images import AnyImages, Codes, Images, as_images
from augury.training import Encoder, LatentImages, LatentSpace, Synthesizer, as_float
from augury.training.card import Labels

Floats = npt.NDArray[np.float64]
FeatureMap = Callable[[torch.Tensor], torch.Tensor]
"""Images float [N, C, H, W] in [-1, 1] -> features [N, D], differentiable."""

TOGETHER = 64
"""Images that are inverted at a time."""
COMPARED = 128
"""Drawn images whose distances, from each other and from the original, are the usual ones."""
CENTRE = 512
"""Drawn points whose mean is where the search begins."""
CLOSE, ALIKE = 0.35, 0.55
"""Distance from the original, as a share of that of other drawn images, up to which an inversion is close, or similar."""
RATE = 0.1
"""Largest learning rate, in standard deviations of the latents."""


@dataclass(frozen=True)
class Projection:
    """Images as a generator can draw them.

    `points` are their latents, and `images` uint8 [N, C, H, W] what the generator draws of these. `psnr` float64 [N] is in
    dB. `distance` float64 [N] is the distance from the original, as a share of the usual distance of other drawn images from it:
    the larger one of those over `measured` ("pixels and features", or "pixels"). `conditions` of the points are those of the
    call, or the nearest.
    """

    points: LatentImages
    images: Images
    psnr: Floats
    distance: Floats
    measured: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def failed(self) -> npt.NDArray[np.bool_]:
        """Whether the image drawn is not recognisable as the original, bool [N]."""
        return self.distance > ALIKE

    @property
    def ratings(self) -> list[str]:
        """How well each image was found: "close", "similar" or "failed"."""
        return ["close" if d <= CLOSE else "similar" if d <= ALIKE else "failed" for d in self.distance.tolist()]

    @property
    def measures(self) -> list[str]:
        """PSNR and distance of each image, in words."""
        return [
            f"PSNR {psnr:.1f} dB; distance {distance:.2f} of that of other drawn images ({self.measured})"
            for psnr, distance in zip(self.psnr.tolist(), self.distance.tolist(), strict=True)
        ]

    def sentences(self) -> list[str]:
        """How well each image was found, in words."""
        lines = []
        for rating, measure in zip(self.ratings, self.measures, strict=True):
            if rating == "close":
                lines.append(f"close: {measure}")
            elif rating == "similar":
                lines.append(f"similar, with details lost: {measure}")
            else:
                lines.append(
                    f"failed: {measure}. The generator cannot draw this image, so edits show another one; crop it like the "
                    "training images, train longer, or use --space w+ (recipe stylegan)"
                )
        return lines


def project(
    synthesizer: Synthesizer,
    images: AnyImages,
    conditions: Labels | None = None,
    *,
    space: str | None = None,
    features: FeatureMap | None = None,
    encoder: Encoder | None = None,
    steps: int = 300,
    starts: int = 8,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    pace: Pace = lambda share: share,
) -> Projection:
    """Find the points of the latent space whose images are closest to the given ones.

    Adam lowers the squared error of the pixels, plus that of features where there are any, each divided by its usual value
    between two drawn images (Karras et al. 2020a, appendix D). The search begins at the best of the mean latent, `starts`
    random ones and the encoder's code. Noise per pixel is zero: it could paint what the generator has not learnt.

    Parameters
    ----------
    synthesizer
        The generator.
    images
        uint8 [N, C, H, W] or a set of images, of the generator's size.
    conditions
        Labels as for `Synthesizer.sample`. None with a mapping network: any, as w contains the condition.
    space
        "w": one style for all layers; "w+": one for each layer, which fits better and edits less reliably (Abdal et al. 2019).
        None: w, or the only space of a generator without mapping network.
    features
        Images float [N, C, H, W] in [-1, 1] -> features [N, D], such as `metrics.feature_map`.
    encoder
        The encoder of an autoencoder; with steps=0 its code is the result.
    steps
        Updates of Adam.
    starts
        Random points tried for each image.
    seed
        Seed of these points.
    on_progress
        Called with (images done, all images).
    pace
        Share of the updates of a batch of images -> the share that the learning rate follows; from 1 on, the search ends with
        the best points so far. It can limit the time.

    Returns
    -------
    The points, their images, and how close these are.

    Raises
    ------
    DataError
        For images of another shape, and conditions that do not fit.
    SettingsError
        For an unknown space, missing conditions, and a synthesizer without a latent space.
    """
    of_latents, targets = LatentSpace(synthesizer), as_images(images)
    wide = _wide(of_latents, space)
    if targets.shape[1:] != synthesizer.card.shape or not len(targets):
        raise DataError(
            f"images have shape {list(targets.shape)}, but this generator draws [N, {', '.join(map(str, synthesizer.card.shape))}]; "
            "resize or convert them first"
        )
    if conditions is None and of_latents.name != "w":
        raise SettingsError(
            f"the recipe {synthesizer.card.recipe} draws an image from its noise and its class, so inversion needs the class; give "
            f"--label, one of: {', '.join(synthesizer.card.classes[:8])}"
        )
    codes = None if conditions is None else synthesizer.card.conditions(conditions)
    if codes is not None and len(codes) != len(targets):
        raise DataError(f"{len(targets)} images but {len(codes)} conditions; give one for each image")
    search = _Search(of_latents, features, encoder, wide, steps, starts, seed, pace)
    parts = []
    for begin in range(0, len(targets), TOGETHER):
        rows = slice(begin, begin + TOGETHER)
        parts.append(search(targets[rows], None if codes is None else codes[rows]))
        on_progress(min(begin + TOGETHER, len(targets)), len(targets))
    latents, nearest = (np.concatenate([part[i] for part in parts]) for i in range(2))
    noise = np.zeros((len(targets), synthesizer.latent), np.float32)
    points = LatentImages(latents, noise, nearest, np.arange(len(targets), dtype=np.int64))
    drawn = of_latents.images(points)
    error = np.square(drawn.astype(np.float64) - targets).mean((1, 2, 3))
    psnr = 10 * np.log10(255**2 / np.maximum(error, 1e-3))
    distance = search.distances(as_float(drawn), as_float(targets))
    return Projection(points, drawn, psnr, distance, "pixels" if features is None else "pixels and features")


def _wide(space: LatentSpace, name: str | None) -> bool:
    """Whether each layer has its own style. Raises SettingsError for a space that this generator does not have."""
    if name in (None, space.name):
        return False
    if name == "w+" and space.name == "w":
        return True
    spaces = (
        "w or w+"
        if space.name == "w"
        else f"{space.name} (w and w+ need a mapping network: train with recipe stylegan)"
    )
    raise SettingsError(f"there is no space '{name}' for this generator; it has {spaces}")


class _Search:
    """The search for the points of some images."""

    def __init__(
        self,
        space: LatentSpace,
        features: FeatureMap | None,
        encoder: Encoder | None,
        wide: bool,
        steps: int,
        starts: int,
        seed: int,
        pace: Pace,
    ) -> None:
        self.pace = pace
        self.space, self.features, self.encoder = space, features, encoder
        self.wide, self.steps, self.starts, self.seed = wide, steps, starts, seed
        latents, codes = space.sampled(COMPARED, seed)
        self.scale = max(float(latents.std(0).mean()), 1e-6)
        with torch.no_grad():
            points, labels = (torch.from_numpy(values).to(space.device) for values in (latents, codes))
            drawn = self._render(points, labels).clamp(-1, 1)
            self.others = drawn
            a, b = drawn[0::2], drawn[1::2]
            self.other_features = torch.cat([features(a), features(b)]) if features else torch.empty(0, 0)
            apart = (self.other_features[: len(a)] - self.other_features[len(a) :]).square().sum(1).sqrt()
            self.usual = _usual((a - b).square().mean((1, 2, 3)).sqrt()), _usual(apart) if features else 1.0

    def __call__(self, images: Images, conditions: Codes | None) -> tuple[npt.NDArray[np.float32], Codes]:
        """Latents [n, L] or [n, layers, L], and conditions int64 [n, K]."""
        space, targets = self.space, as_float(images, self.space.device)
        goal = None
        if self.features is not None:
            with torch.no_grad():
                goal = self.features(targets)
        starts, codes_of = self._starts(targets, conditions)

        def losses(latents: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
            drawn = _as_stored(self._render(latents, codes), targets)
            loss = (drawn - targets).square().mean((1, 2, 3)) / self.usual[0] ** 2
            if self.features is not None and goal is not None:
                loss = loss + (self.features(drawn) - goal).square().sum(1) / self.usual[1] ** 2
            return loss

        with torch.no_grad():
            first = torch.stack([losses(*pair) for pair in zip(starts, codes_of, strict=True)]).argmin(0)
        rows = torch.arange(len(images), device=space.device)
        begin, codes = starts[first, rows], codes_of[first, rows]
        if self.wide:
            begin = begin[:, None].repeat(1, space.layers, 1)
        moved = torch.zeros_like(begin).requires_grad_()
        best, _ = descend(moved, lambda x: losses(begin + self.scale * x, codes), self.steps, _rate, pace=self.pace)
        return (begin + self.scale * best).cpu().numpy(), codes.cpu().numpy()

    def distances(self, drawn: torch.Tensor, targets: torch.Tensor) -> Floats:
        """Distance of each image from its target, as a share of the median distance of other drawn images from that target.

        The larger of those of pixels and features: features of a classifier ignore what its classes do not depend on, such as
        who is in the picture.
        """
        shares = []
        for a, b in zip(torch.split(drawn, TOGETHER), torch.split(targets, TOGETHER), strict=True):
            a, b = a.to(self.space.device), b.to(self.space.device)
            each = [self._share(a.flatten(1), b.flatten(1), self.others.flatten(1))]
            if self.features is not None:
                with torch.no_grad():
                    each.append(self._share(self.features(a), self.features(b), self.other_features))
            shares.append(torch.stack(each).amax(0).cpu().double().numpy())
        return np.concatenate(shares)

    def _share(self, drawn: torch.Tensor, targets: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Distances of vectors [n, D] from targets [n, D], divided by the median distances of others [M, D] from these."""
        usual = torch.cdist(targets, others).median(1).values.clamp(min=1e-6)
        return (drawn - targets).square().sum(1).sqrt() / usual

    def _starts(self, targets: torch.Tensor, conditions: Codes | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Points [S, n, L] to begin at and their conditions [S, n, K]."""
        space, n = self.space, len(targets)
        repeated = None if conditions is None else np.tile(conditions, (self.starts, 1))
        latents, codes = space.sampled(self.starts * n, self.seed, repeated)
        centre, kinds = space.sampled(CENTRE, self.seed)
        if conditions is None:
            centres, own = np.repeat(centre.mean(0)[None], n, axis=0), np.repeat(kinds[:1], n, axis=0)
        else:
            unique, which = np.unique(conditions, axis=0, return_inverse=True)
            means = [space.sampled(CENTRE, self.seed, np.tile(kind, (CENTRE, 1)))[0].mean(0) for kind in unique]
            centres, own = np.stack(means)[which.reshape(-1)], conditions
        points = [centres[None], latents.reshape(self.starts, n, -1)]
        labels = [own[None], codes.reshape(self.starts, n, -1)]
        if self.encoder is not None:
            encoded = self.encoder(targets, torch.from_numpy(own).to(space.device))
            points, labels = [encoded.cpu().numpy()[None], *points], [own[None], *labels]
        return (
            torch.from_numpy(np.concatenate(points).astype(np.float32)).to(space.device),
            torch.from_numpy(np.concatenate(labels)).to(space.device),
        )

    def _render(self, latents: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        noise = torch.zeros(len(latents), self.space.synthesizer.latent, device=self.space.device)
        return self.space.render(latents, noise, codes)


def _as_stored(drawn: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Drawn images without what 8 bits cut off: beyond black and white they equal a target that is black or white."""
    return torch.where((targets.abs() >= 1) & (drawn * targets > 1), targets, drawn)


def _usual(distances: torch.Tensor) -> float:
    """The median distance of pairs [N], which is used as a divisor."""
    return max(float(distances.median()), 1e-6)


def _rate(done: float) -> float:
    """The learning rate after a share of the updates: it rises over the first 5 % and falls over the last 25 %."""
    fall = min(1.0, (1 - done) / 0.25)
    return RATE * min(1.0, done / 0.05 + 0.1) * (0.5 - 0.5 * math.cos(math.pi * fall))
