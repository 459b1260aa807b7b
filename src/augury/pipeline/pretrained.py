"""The trained discriminator of a run as the initialisation of a classifier."""

from __future__ import annotations

import os
from dataclasses import replace

from augury import training
from augury.errors import RunFolderError
from augury.files import read_json
from augury.pipeline.run_folder import Run
from augury.proof import seen_by
from augury.training import Plan, PretrainedBackbone


def pretrained(run: str | os.PathLike[str]) -> PretrainedBackbone:
    """The layers of the discriminator that a run has trained, to initialise a classifier.

    Call the result with (channels, classes). It returns a new torch.nn.Module from images [N, C, H, W] in [-1, 1] to logits
    [N, K], to be trained on real images. The images must have the size of the run's images. The verdict's
    arm "discriminator_init" says whether this initialisation helps.

    Parameters
    ----------
    run
        Path of a run folder whose training has ended.

    Returns
    -------
    PretrainedBackbone.

    Raises
    ------
    RunFolderError when `run` is no run folder, or has trained no discriminator.
    """
    run_folder = Run(run)
    backbone: PretrainedBackbone | str = "its training has not ended; resume it with the same command"
    shape = run_folder.metadata["data"]["shape"]
    if "train" in run_folder.state():
        plan = Plan.from_dict(read_json(run_folder / "train" / "plan.json")["plan"])
        backbone = training.layers(run_folder / "train", plan, tuple(shape))
    if isinstance(backbone, str):
        raise RunFolderError(f"{run_folder.path}: no discriminator to start from: {backbone}")
    seen = seen_by("generator", str(run_folder.path))
    return replace(
        backbone, seen={name.replace("generator", "discriminator"): image_hashes for name, image_hashes in seen.items()}
    )
