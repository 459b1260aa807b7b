"""The trackers, one class each. Each imports its package when it starts."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

PROJECT = "augury"
"""Project in Weights & Biases and experiment in MLflow, unless their environment variables name another."""
LONGEST = 500
"""Most characters of a parameter in MLflow."""


class Tracker(Protocol):
    """Where the rows of a log go.

    It is called as `Tracker(folder, title, settings, identity)`. `folder` holds what is stored locally, and `identity` is that of
    an earlier part of the same training, "" for a new one.
    """

    identity: str

    def __init__(self, folder: Path, title: str, settings: Mapping[str, Any], identity: str) -> None: ...

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers of a row."""

    def image(self, step: int, path: Path) -> None:
        """Send a PNG of samples."""

    def flush(self) -> None:
        """Write what has been sent."""

    def close(self) -> None:
        """End this part of the training."""


class TensorBoard:
    """Event files in `folder`/tensorboard."""

    def __init__(self, folder: Path, title: str, settings: Mapping[str, Any], identity: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.identity = identity or title
        self.writer: Any = SummaryWriter(str(folder / "tensorboard"))
        if not identity:
            lines = "\n".join(f"    {name}: {value}" for name, value in settings.items())
            self.writer.add_text("settings", lines or "    defaults", 0)

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Add scalars."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def image(self, step: int, path: Path) -> None:
        """Add the picture `samples`."""
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            self.writer.add_image("samples", np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def flush(self) -> None:
        """Write the event file."""
        self.writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self.writer.close()


class MLflow:
    """A run on the server of MLFLOW_TRACKING_URI; without that variable, in the database `folder`/mlflow.db."""

    def __init__(self, folder: Path, title: str, settings: Mapping[str, Any], identity: str) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import mlflow

        self.entities: Any = mlflow.entities
        address = os.environ.get("MLFLOW_TRACKING_URI", "")
        self.client: Any = mlflow.MlflowClient(tracking_uri=address or f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        if identity:
            self.identity = identity
            self.client.update_run(identity, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self.client.get_experiment_by_name(name)
        files = None if address else (folder / "mlflow").resolve().as_uri()
        number = (
            experiment.experiment_id if experiment else self.client.create_experiment(name, artifact_location=files)
        )
        self.identity = str(self.client.create_run(number, run_name=title).info.run_id)
        parameters = [self.entities.Param(key, str(value)[:LONGEST]) for key, value in settings.items()]
        self.client.log_batch(self.identity, params=parameters)

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Add metrics."""
        now = int(1000 * time.time())
        metrics = [self.entities.Metric(name, value, now, step) for name, value in values.items()]
        self.client.log_batch(self.identity, metrics=metrics)

    def image(self, step: int, path: Path) -> None:
        """Add the picture to the folder `samples` of the artifacts."""
        self.client.log_artifact(self.identity, str(path), "samples")

    def flush(self) -> None:
        """Nothing to do: each call is stored at once."""

    def close(self) -> None:
        """Mark the run as finished."""
        self.client.set_terminated(self.identity)


QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Environment variables of MLflow, unless the user sets them: no usage statistics, and a server that does not answer must
not stop a training for minutes."""


class WeightsAndBiases:
    """A run of the project WANDB_PROJECT. Without an API key it stays in `folder`/wandb; upload it with: wandb sync."""

    def __init__(self, folder: Path, title: str, settings: Mapping[str, Any], identity: str) -> None:
        import wandb

        self.package: Any = wandb  # so that types are the same where it is not installed
        known = os.environ.get("WANDB_API_KEY") or self.package.api.api_key
        self.run: Any = self.package.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=title,
            id=identity or None,
            dir=str(folder),
            config=dict(settings),
            resume="allow" if identity else None,
            mode=os.environ.get("WANDB_MODE") or (None if known else "offline"),
            settings=self.package.Settings(silent=True, console="off"),
        )
        self.identity = str(self.run.id)

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers."""
        self.run.log(dict(values), step=step)

    def image(self, step: int, path: Path) -> None:
        """Log the picture `samples`."""
        self.run.log({"samples": self.package.Image(str(path))}, step=step)

    def flush(self) -> None:
        """Nothing to do: a process of the package writes."""

    def close(self) -> None:
        """End the run."""
        self.run.finish()


TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WeightsAndBiases}
"""Name, which is also that of the package -> tracker."""
