"""Arms of further images, such as those without labels, take part where the classifier allows them."""

import numpy as np
import pytest

from augury.proof import UNLABELLED, prove
from augury.settings import ProveSettings
from tests.helpers.proof_data import part, synthetic


@pytest.mark.parametrize(
    ("classifier", "further"),
    [("linear_probe:pixels", {"pseudo_labels"}), ("cnn", {"pseudo_labels", "fixmatch"})],
)
def test_images_without_labels_add_the_arms_that_can_be_trained(classifier: str, further: set[str]) -> None:
    train, validation, test = (part((12, 12), seed) for seed in (1, 2, 3))
    generated, unlabelled = (
        synthetic(np.asarray(part((8, 8), seed).images), part((8, 8), seed).labels) for seed in (4, 5)
    )
    settings = ProveSettings(arms=("balanced", "gan"), seeds=2, steps=3, batch=8, ratios=(0.5,), classifier=classifier)
    verdict = prove(train, validation, test, generated, settings, extra={UNLABELLED: unlabelled})
    assert set(verdict.arms) == {"balanced", "gan"} | further
