"""The embedded sample: a long-tailed Fashion-MNIST, so that everything can be tried without a data set."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files

from augury.data import npz, policy
from augury.data.resize import Fit, Size
from augury.images import LabelledImages


def sample(*, size: int | Size | None = None, fit: Fit = "crop") -> LabelledImages:
    """Ten classes of 28 x 28 grey garments: 500 down to 10 train images a class, 250 test images each.

    notes["flips"] is True: a horizontal flip keeps the class. Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), MIT.
    """
    with as_file(files("augury.data").joinpath("sample", "fashion_long_tail.npz")) as path:
        data = npz.read(path, policy.checked(size=size, fit=fit))
    notes = {
        **data.notes,
        "source": "embedded sample: Fashion-MNIST, Zalando SE, long-tailed (500 down to 10 train images a class)",
        "licence": "MIT",
        "flips": True,
    }
    return replace(data, notes=notes)
