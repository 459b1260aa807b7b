"""Solvers against equations with a known solution."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from augury.networks.solvers import CALLS, SOLVERS

ORDERS = {"euler": 1, "midpoint": 2, "heun": 2, "adams": 2}


def error(name: str, times: torch.Tensor) -> float:
    """Of dx/dt = x cos t from x(0) = 1, whose solution is exp(sin t)."""
    x = SOLVERS[name](lambda x, t: x * t.cos(), torch.ones(1, dtype=torch.float64), times)
    return abs(float(x) - math.exp(math.sin(float(times[-1]))))


def test_every_solver_has_an_order() -> None:
    assert ORDERS.keys() == CALLS.keys() == SOLVERS.keys()


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_halving_the_steps_divides_the_error_by_two_to_the_order(name: str, power: float) -> None:
    """With equal steps, and with steps that grow along t²."""
    errors = [error(name, 2 * torch.linspace(0, 1, n + 1, dtype=torch.float64) ** power) for n in (64, 128, 256)]
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(ORDERS[name], abs=0.15)
    assert errors[-1] < (2e-2 if ORDERS[name] == 1 else 2e-4)


@pytest.mark.parametrize("name", SOLVERS)
def test_one_step_of_growth_by_hand(name: str) -> None:
    """dx/dt = x over a step of 1/2 gives the Taylor series of e^(1/2) up to the solver's order."""
    x = SOLVERS[name](lambda x, t: x, torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.5]))
    torch.testing.assert_close(x, torch.tensor([1.0, 2.0]) * (1.5 if ORDERS[name] == 1 else 1.625))


@pytest.mark.parametrize("name", SOLVERS)
def test_the_cost_of_a_step(name: str) -> None:
    calls = []
    SOLVERS[name](lambda x, t: calls.append(t) or x, torch.ones(1), torch.linspace(0, 1, 9))
    assert len(calls) == 8 * CALLS[name] + (name == "adams")


@pytest.mark.parametrize("name", SOLVERS)
def test_backward_in_time_leads_to_where_it_began(name: str) -> None:
    times, start = torch.linspace(0, 1, 401, dtype=torch.float64), torch.tensor([0.3, -2.0], dtype=torch.float64)
    forward = SOLVERS[name](lambda x, t: x.cos() + t, start, times)
    backward = SOLVERS[name](lambda x, t: x.cos() + t, forward, times.flip(0))
    torch.testing.assert_close(backward, start, rtol=0, atol=1e-2 if ORDERS[name] == 1 else 1e-4)
