"""Training by several processes: one step computes what a step of one process computes on the same batch.

In double precision, in which the order of summation changes nothing that counts. In single precision it does: the first step of
Adam has the size of the learning rate however small a gradient is.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.several_processes import cases, read_steps, stepped, together, write_steps

CLOSE = 1e-9
"""Largest difference, as a share of the largest number. In single precision 1e-5 would be equal."""
ZERO = 1e-7
"""Gradients below this share of the largest one of a network are zero but for rounding, as those of a bias before a norm."""


@pytest.fixture(scope="module", params=[2, 4])
def steps(request, tmp_path_factory) -> tuple[Path, int]:
    """A folder with a step of each case in so many processes."""
    folder = tmp_path_factory.mktemp(f"{request.param}-processes")
    together(write_steps, request.param, folder)
    return folder, request.param


@pytest.mark.slow
@pytest.mark.parametrize("name", cases())
def test_a_step_of_several_processes_is_that_of_one(steps, name: str) -> None:
    folder, size = steps
    expected, (first, *others) = stepped(cases()[name]), read_steps(folder, name, size)
    for (
        other
    ) in others:  # the weights, their average, the state of ADA and the reports are the same bits in all processes
        assert other.keys() == first.keys() and all(torch.equal(first[key], other[key]) for key in other)
    assert first.keys() == expected.keys()

    gradients = {key: value for key, value in expected.items() if key.startswith("gradient.")}
    networks = {key.split(".")[1] for key in gradients}
    largest = {n: max(float(v.abs().max()) for k, v in gradients.items() if k.split(".")[1] == n) for n in networks}
    assert "generator" in networks and all(value > 0 for value in largest.values())
    for key, value in gradients.items():
        torch.testing.assert_close(first[key], value, rtol=0, atol=CLOSE * largest[key.split(".")[1]])

    for key, value in expected.items():
        if key.startswith(("gradient.", "optimiser.")):
            continue
        difference = (first[key].double() - value.double()).abs() / value.double().abs().max().clamp(min=1)
        weight = key.replace("average.", "generator.")
        if f"gradient.{weight}" in gradients:
            difference = difference[gradients[f"gradient.{weight}"].abs() > ZERO * largest[weight.split(".")[0]]]
        assert not (difference > CLOSE).any(), key
