"""Curves and sample images of a training in TensorBoard, MLflow or Weights & Biases, fed from its log."""

from augury.tracking.feed import Feed, check, tracked
from augury.tracking.trackers import TRACKERS, MLflow, TensorBoard, Tracker, WeightsAndBiases

__all__ = ["TRACKERS", "Feed", "MLflow", "TensorBoard", "Tracker", "WeightsAndBiases", "check", "tracked"]
