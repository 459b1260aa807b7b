"""What a run's discriminator has learnt, as the beginning of a classifier of one's own."""

from __future__ import annotations

import os

from augury import training
from augury.errors import RunFolderError
from augury.files import read_json
from augury.runfolder import Run
from augury.training import Layers, Plan


def pretrained(run: str | os.PathLike[str]) -> Layers:
    """The layers of the discriminator that `run` has trained: called with (channels, classes) they are a new network
    (torch.nn.Module), images [N, C, H, W] in [-1, 1] -> logits [N, K], to be trained on real images; the verdict's arm
    "discriminator" says whether that pays. Images have the size of the run's.

    Raises RunFolderError when `run` is no run folder, or has trained no discriminator.
    """
    place = Run(run)
    shape, plan = place.about["data"]["shape"], place / "train" / "plan.json"
    found, why = None, "its generator is not trained yet"
    if plan.exists():
        found, why = training.layers(place / "train", Plan.from_dict(read_json(plan)["plan"]), tuple(shape))
    if found is None:
        raise RunFolderError(f"{place.path}: no discriminator to begin with: {why}; train one with: augury run")
    return found
