"""Export a classifier as ONNX, with its preprocessing, calibration and novelty distance in the graph."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import torch

from augury.errors import MissingExtraError, TrainingError
from augury.files import atomic_path
from augury.prediction.deployed import Deployed

PACKAGES = ("onnx", "onnxscript")
EXTRA = "pip install 'augury[onnx]'"
OPSET = 18
"""The first version whose Resize can reduce without aliasing."""
INPUT, OUTPUTS = "images", ("probabilities", "distance")


def onnx_installed() -> bool:
    """Whether the packages of the extra are installed; imports nothing."""
    return all(find_spec(package) is not None for package in PACKAGES)


def export_onnx(deployed: Deployed, shape: tuple[int, int, int], path: Path) -> None:
    """Write an ONNX file.

    Its input `images` is uint8 [N, C, H, W] for any N. Its outputs are `probabilities` float32 [N, K], calibrated, and `distance`
    float32 [N].

    Parameters
    ----------
    deployed
        The network in use; it is exported from the CPU.
    shape
        C, H, W.
    path
        The file, replaced atomically.

    Raises
    ------
    MissingExtraError
        Without onnx and onnxscript.
    TrainingError
        When the network uses operations that ONNX cannot express.
    """
    if not onnx_installed():
        raise MissingExtraError(f"writing ONNX needs the packages onnx and onnxscript; install them with: {EXTRA}")
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    device = next(deployed.parameters()).device
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with atomic_path(path) as temporary, warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                deployed.cpu().eval(),
                (example,),
                temporary,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_shapes=({0: torch.export.Dim("images_in_batch")},),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter raises many kinds, also its own
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise TrainingError(f"this network cannot be written as ONNX: {first[:200]}") from error
        finally:
            deployed.to(device)
