"""Images come to the classifier as in training, and every change is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.errors import DataError
from augury.images import LabelledImages
from augury.prediction import Predictor
from tests.helpers.classifier_data import CLASSES, small_classifier, squares


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return small_classifier(steps=30)


def written(folder: Path, images: np.ndarray, names: list[str]) -> Path:
    """Images [N, C, H, W] as PNG files."""
    for image, name in zip(images, names, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(folder / name)
    return folder


def test_files_give_the_probabilities_of_their_pixels(predictor: Predictor, tmp_path: Path) -> None:
    new = squares(6, 5).images
    written(tmp_path / "new", new, [f"{i}.png" for i in range(6)])
    np.savez(tmp_path / "new.npz", new)
    expected = predictor.predict(new)
    for source in ("new", "new.npz"):
        predictions = predictor.predict(tmp_path / source)
        assert (predictions.probabilities == expected.probabilities).all() and not predictions.notes, source
        assert (predictions.distance == expected.distance).all() and predictions.truth is None
    assert predictor.predict(tmp_path / "new" / "3.png").names == ("3.png",)
    assert predictor.predict(tmp_path / "new").names[:2] == ("0.png", "1.png")


def test_images_of_another_size_are_resized_as_in_training_and_reported(predictor: Predictor, tmp_path: Path) -> None:
    large = np.repeat(np.repeat(squares(4, 6, size=12).images, 3, axis=2), 3, axis=3)
    folder = written(tmp_path, large, [f"{i}.png" for i in range(4)])
    of_files, of_array = predictor.predict(folder), predictor.predict(large)
    small = np.stack(
        [np.asarray(Image.fromarray(image[0]).resize((12, 12), Image.Resampling.BICUBIC)) for image in large]
    )
    assert np.allclose(of_files.probabilities, predictor.predict(small[:, None]).probabilities)
    assert (of_files.probabilities == of_array.probabilities).all()
    for predictions in (of_files, of_array):
        assert any(
            "36x36" in note and "resized to 12x12 as in training: crop; bicubic" in note for note in predictions.notes
        )


def test_images_of_another_mode_are_converted_and_reported(predictor: Predictor, tmp_path: Path) -> None:
    grey = squares(4, 6).images
    coloured = predictor.predict(np.concatenate([grey, grey // 2, grey], 1))
    assert any("in colour, and the classifier was trained on grey images" in note for note in coloured.notes)
    of_colour = small_classifier(channels=3, steps=10)
    repeated = of_colour.predict(grey)
    assert any("grey was repeated in three channels" in note for note in repeated.notes)
    assert (repeated.probabilities == of_colour.predict(np.repeat(grey, 3, 1)).probabilities).all()


def test_unreadable_files_are_left_out_counted_and_listed(predictor: Predictor, tmp_path: Path) -> None:
    written(tmp_path, squares(3, 5).images, ["a.png", "b/c.png", "d.png"])
    (tmp_path / "e.png").write_bytes(b"no image")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "notes.txt").write_text("hello")
    predictions = predictor.predict(tmp_path)
    assert predictions.names == ("a.png", "b/c.png", "d.png") and set(predictions.skipped or {}) == {"e.png", "cut.png"}
    assert predictions.summary()["skipped"].keys() == {"e.png", "cut.png"}
    assert any("1 file was skipped: 1 .txt" in note for note in predictions.notes)


def test_an_empty_input_is_a_prediction_error(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no image file"):
        predictor.predict(tmp_path)
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"x\.png: is damaged, .*No image is left to predict"):
        predictor.predict(tmp_path)
    with pytest.raises(DataError, match="there are 0 images to predict"):
        predictor.predict(np.empty((0, 1, 12, 12), np.uint8))
    with pytest.raises(DataError, match="there is no such file or folder"):
        predictor.predict(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"uint8 \[N, C, H, W\]"):
        predictor.predict(np.zeros((2, 1, 12, 12), np.float32))


def test_folders_called_as_the_classes_give_the_accuracy(predictor: Predictor, tmp_path: Path) -> None:
    new = squares(9, 5)
    written(tmp_path, new.images, [f"{CLASSES[label]}/{i}.png" for i, label in enumerate(new.labels)])
    predictions = predictor.predict(tmp_path)
    summary = predictions.summary()
    assert predictions.truth is not None and summary["accuracy"] == (predictions.labels == predictions.truth).mean()
    assert np.diag(summary["confusion"]).sum() == round(9 * summary["accuracy"]) and np.sum(summary["confusion"]) == 9
    other = LabelledImages(new.images, new.labels, ("right", "both", "left"))
    assert predictor.predict(other).truth is not None
    assert (predictor.predict(other).truth == np.array([1, 2, 0])[new.labels]).all(), "classes are matched by name"
    written(tmp_path, new.images[:1], ["elsewhere/0.png"])
    assert predictor.predict(tmp_path).truth is None


def test_the_rows_of_a_table_say_what_the_arrays_say(predictor: Predictor) -> None:
    predictions = predictor.predict(squares(5, 5))
    row = predictions.rows()[2]
    assert list(row) == [
        "file",
        "predicted",
        "probability",
        "unlike_training",
        "distance",
        "p_left",
        "p_right",
        "p_both",
    ]
    assert row["predicted"] == predictions.predicted[2] and row[f"p_{row['predicted']}"] == row["probability"]
    assert row["unlike_training"] == ("yes" if predictions.unlike[2] else "no")
    assert repr(predictions).startswith("Predictions(5 images, 3 classes, ")
