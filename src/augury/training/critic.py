"""The discriminator of a training, taken up again to judge images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from augury.errors import RunFolderError
from augury.images import Codes, Images, LabelledImages
from augury.networks import NETWORKS, build
from augury.networks.stylegan import Trunk
from augury.training import checkpoints
from augury.training.batches import as_float
from augury.training.devices import placed
from augury.training.plan import Plan, seen

Scores = npt.NDArray[np.float64]
BATCH = 256


def discriminator(
    folder: Path, plan: Plan, data: LabelledImages, device: torch.device | str = "cpu"
) -> tuple[Callable[[Images, Codes], Scores] | None, str]:
    """(function, "") from images uint8 [N, C, H, W] and conditions int64 [N, K] to scores float64 [N], higher for real, by
    the discriminator in the newest readable checkpoint of a training's `folder`; or (None, why there is none).

    It is the discriminator of the last step, also where the generator kept is an earlier, better one. Each image is judged
    alone: a discriminator that looks at the deviation within a batch is shown none. `data` are those trained on.
    """
    if NETWORKS[plan.rule.network].method != "adversarial":
        return None, f"the recipe {plan.recipe} trains none"
    state: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("checkpoint-*.safetensors"), reverse=True):
        try:
            tensors, _ = checkpoints.load(file)
        except RunFolderError:
            continue
        prefix = "discriminator."
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        break
    if not state:
        return None, f"there is no checkpoint of the training in {folder}"
    data = seen(plan, data)
    network = build(plan.rule.network, plan.rule.settings, data.shape, data.cardinalities(plan.condition))[1]
    network.load_state_dict(state)
    network = placed(network, device).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, Trunk):
            module.group = 1

    @torch.inference_mode()
    def judge(images: Images, conditions: Codes) -> Scores:
        parts = [np.empty(0)]
        for at in range(0, len(images), BATCH):
            given = torch.from_numpy(np.ascontiguousarray(conditions[at : at + BATCH])).to(device)
            found = network(as_float(images[at : at + BATCH], device), given)
            parts.append(found.double().flatten(1).mean(1).cpu().numpy())
        return np.concatenate(parts)

    return judge, ""
