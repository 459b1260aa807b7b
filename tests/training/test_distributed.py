"""Training by several processes: one step computes what a step of one process computes on the same batch.

In double precision, in which the order of summation changes nothing that counts. In single precision it does: the first step of
Adam has the size of the learning rate however small a gradient is.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from augury.errors import SettingsError
from augury.training import World, train_plan
from tests.helpers.several_processes import (
    ADAPTIVE,
    cases,
    read_steps,
    stepped,
    together,
    write_adaptive,
    write_recovered,
    write_steps,
)
from tests.helpers.training_data import planned, small

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


@pytest.mark.slow
def test_the_probability_of_augmentation_is_that_of_one_process(tmp_path: Path) -> None:
    together(write_adaptive, 2, tmp_path)
    expected, (first, other) = stepped(ADAPTIVE, steps=9), read_steps(tmp_path, "adaptive", 2)
    assert all(torch.equal(first[key], other[key]) for key in first)
    assert 0 < float(expected["extra.p"]) < 1
    for key in ("extra.p", "extra.signs", "extra.pairwise_accuracy"):
        torch.testing.assert_close(first[key], expected[key])


@pytest.mark.slow
def test_all_processes_recover_from_the_failure_of_one_and_the_first_alone_writes(tmp_path: Path) -> None:
    together(write_recovered, 2, tmp_path)
    first, other = read_steps(tmp_path, "recovered", 2)
    assert all(torch.equal(first[key], other[key]) and first[key].isfinite().all() for key in first)
    events = [(tmp_path / f"events-{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    assert events[0] == events[1]
    assert "out of memory: from step 2 on, each batch of 16 is split into 2 micro-batches" in events[0][0]
    assert "learning rates halved (rollback 1 of 3)" in events[0][1]
    assert (tmp_path / "files-0" / "log.jsonl").exists() and list((tmp_path / "files-0").glob("checkpoint-*"))
    assert not list((tmp_path / "files-1").iterdir())


@pytest.mark.parametrize("total", [7, 8, 64])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_processes_share_all_rows_of_a_batch(total: int, parts: int) -> None:
    own = [World(rank, 3).rows_of_parts(total, parts) for rank in range(3)]
    assert sorted(row for rows in own for row in rows) == list(range(total))
    assert max(map(len, own)) - min(map(len, own)) <= parts


def test_a_batch_that_is_too_small_for_the_processes_is_refused() -> None:
    with pytest.raises(SettingsError, match="5 processes that share a batch need at least 10 images, two each, but 8"):
        train_plan(planned(small()), small(), world=World(0, 5))
