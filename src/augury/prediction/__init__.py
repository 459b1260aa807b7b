"""The classifier to take away: chosen among the arms of a trial, calibrated, measured, stored, and used on new images."""

from augury.prediction.card import CARD, FORMAT, MODEL, WEIGHTS, ClassifierCard
from augury.prediction.choice import Choice, choose
from augury.prediction.measuring import measured
from augury.prediction.onnx import EXTRA, export_onnx, onnx_installed
from augury.prediction.predictions import Predictions
from augury.prediction.predictor import Predictor, finished
from augury.prediction.reading import read_images
from augury.prediction.readme import readme

__all__ = [
    "CARD",
    "EXTRA",
    "FORMAT",
    "MODEL",
    "WEIGHTS",
    "Choice",
    "ClassifierCard",
    "Predictions",
    "Predictor",
    "choose",
    "export_onnx",
    "finished",
    "measured",
    "onnx_installed",
    "read_images",
    "readme",
]
