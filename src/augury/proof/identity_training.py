"""Networks that embed images so that those of one group (person, patient, track) are near each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from augury.augment import Policy, policy
from augury.errors import TrainingError
from augury.generation.filter_context import Features
from augury.generation.identity import FOLDS
from augury.images import Codes, Images, LabelledImages
from augury.networks import Classifier
from augury.proof.classifiers import input_tensor, seeded
from augury.randomness import derived_seed, rng, stream
from augury.training import keep_memory, placed
from augury.training.schedules import cosine

IDENTITY_STEPS = 300
PAIRS = 64
"""Pairs of images of one group in a batch."""
DIMENSION = 64
TEMPERATURE = 0.1
"""Of the loss; the value of Khosla et al. 2020."""
RATE, DECAY = 3e-3, 1e-2
"""Learning rate and weight decay, those of the trial's classifiers."""


def supervised_contrastive(embedded: Tensor, groups: Tensor) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2), the mean over the batch.

    Parameters
    ----------
    embedded
        [B, D], unit vectors; each has another one of its group in the batch.
    groups
        int64 [B].
    """
    itself = torch.eye(len(embedded), dtype=torch.bool, device=embedded.device)
    logits = (embedded @ embedded.T / TEMPERATURE).masked_fill(itself, -torch.inf)
    positive = (groups[:, None] == groups[None, :]) & ~itself
    log_shares = logits - logits.logsumexp(1, keepdim=True)
    return -(log_shares.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()


def pairs_of_groups(members: Sequence[Codes], conditions: Codes, draw: np.random.Generator) -> tuple[Codes, Codes]:
    """Draw PAIRS pairs of images of one group, all groups equally often.

    The images of a pair differ in class or attributes where the group has such images, so that the network learns to ignore
    them.

    Parameters
    ----------
    members
        The images of each group, at least two.
    conditions
        int64 [N, K], of all images.
    draw
        The random numbers.

    Returns
    -------
    Rows int64 [PAIRS] of the first and of the second images.
    """
    order = np.concatenate([draw.permutation(len(members)) for _ in range(-(-PAIRS // len(members)))])[:PAIRS]
    first, second = [], []
    for number in order:
        row = draw.choice(members[number])
        others = members[number][members[number] != row]
        different = others[(conditions[others] != conditions[row]).any(1)]
        first.append(row)
        second.append(draw.choice(different if len(different) else others))
    return np.array(first, np.int64), np.array(second, np.int64)


def identity_networks(
    train: LabelledImages,
    condition: tuple[str, ...],
    folds: Codes,
    *,
    seed: int,
    device: torch.device,
    flips: bool,
) -> list[Classifier]:
    """Train a network for each fold, on the images of the other folds.

    Parameters
    ----------
    train
        The train split, with groups.
    condition
        Names of the attributes that the networks learn to ignore, as they do the class.
    folds
        int64 [N], from `augury.generation.group_folds`.
    seed
        Determines weights, batches and augmentation.
    device
        Where to train.
    flips
        Whether augmentation may mirror images.

    Returns
    -------
    list of Classifier
        Frozen networks with DIMENSION outputs, one for each fold.
    """
    keep_memory()
    assert train.groups is not None, "images without groups have no identity"
    _, groups, counts = np.unique(train.groups, return_inverse=True, return_counts=True)
    groups = groups.reshape(-1).astype(np.int64)
    usable, augment = counts[groups] > 1, policy("classical", flips=flips)
    networks = []
    for fold in range(FOLDS):
        rows = np.flatnonzero(usable & (folds != fold))
        rows = rows[np.argsort(groups[rows], kind="stable")].astype(np.int64)
        fold_seed = derived_seed(seed, "identity", fold)
        networks.append(_fitted(train, groups, train.conditions(condition), rows, augment, fold_seed, device))
    return networks


def _fitted(
    train: LabelledImages,
    groups: Codes,
    conditions: Codes,
    rows: Codes,
    augment: Policy,
    seed: int,
    device: torch.device,
) -> Classifier:
    """The network trained on the images `rows`, which are sorted by group, with AdamW and a cosine schedule."""
    members = np.split(rows, np.flatnonzero(np.diff(groups[rows])) + 1)
    with seeded(seed, device):
        network = placed(Classifier(train.shape[0], DIMENSION), device)
    network.train()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=RATE, weight_decay=DECAY, fused=device.type in ("cpu", "cuda")
    )
    for step in range(IDENTITY_STEPS):
        optimiser.param_groups[0]["lr"] = RATE * cosine(step / IDENTITY_STEPS, 0.02)
        chosen = np.concatenate(pairs_of_groups(members, conditions, rng(seed, "pairs", step)))
        images = input_tensor(np.ascontiguousarray(train.images[chosen]), device)
        images = augment(images, stream(seed, "classical", step))
        embedded = F.normalize(network(images), dim=1)
        loss = supervised_contrastive(embedded, torch.from_numpy(groups[chosen]).to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def embedded(networks: Sequence[Classifier], images: Images, fold: int) -> Features:
    """Embed images uint8 [N, C, H, W] by the network of a fold: unit vectors float32 [N, DIMENSION].

    Raises TrainingError when the network returns NaN or infinity.
    """
    network = networks[fold]
    device = next(network.parameters()).device
    parts = [F.normalize(network(input_tensor(images[i : i + 256], device)), dim=1) for i in range(0, len(images), 256)]
    vectors = torch.cat(parts).float().cpu().numpy()
    if not np.isfinite(vectors).all():
        raise TrainingError(
            "the network that tells groups apart gives no number for some images; leave the filter 'identity' out of "
            "generate.filters"
        )
    return vectors
