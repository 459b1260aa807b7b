"""The cost model and the simulation of failures behind docs/cost.md, against closed forms and against the networks."""

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import ndtr
from torch import nn

from augury.pipeline.cost import drawing_share
from augury.training import checkpoints
from augury.training.recipes import RECIPES

BENCH = Path(__file__).parents[2] / "bench"
NAMES = ("failure_model", "at_scale", "cost")
HOUR = 3600.0


@pytest.fixture(scope="module")
def bench() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield {name: importlib.import_module(name) for name in NAMES}


@pytest.fixture(scope="module")
def model(bench: dict[str, ModuleType]) -> ModuleType:
    return bench["failure_model"]


def close(draws: list[float], expected: float) -> bool:
    """Whether the mean of some draws is within four standard errors of what is expected."""
    return abs(np.mean(draws) - expected) < 4 * np.std(draws, ddof=1) / math.sqrt(len(draws))


@pytest.mark.parametrize(("workers", "shards"), [(1, 5), (4, 8), (4, 9), (7, 3)])
def test_without_failures_the_workers_take_equal_turns(model: ModuleType, workers: int, shards: int) -> None:
    outcome = model.simulate(model.Fleet(workers, fixed=3.0), shards, 20.0, np.random.default_rng(0))
    turns = math.ceil(shards / workers)
    assert outcome.seconds == 23.0 * turns
    assert (outcome.lost, outcome.attempts, outcome.fixed) == (0.0, shards, 3.0 * shards)
    assert outcome.idle == pytest.approx(23.0 * (turns * workers - shards))


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_simulated_shards_take_the_expected_time(model: ModuleType, spread: float) -> None:
    fleet = model.Fleet(1, mtbf=100.0, restart=7.0, fixed=5.0, spread=spread)
    random = np.random.default_rng(1)
    draws = [model.simulate(fleet, 1, 60.0, random).seconds for _ in range(4000)]
    assert close(draws, model.expected_shard(fleet, 60.0))
    if not spread:
        assert model.expected_shard(fleet, 60.0) == pytest.approx(model.expected_seconds(65.0, 100.0, 7.0))
        assert model.expected_seconds(65.0, 100.0, 7.0) == pytest.approx(107.0 * (math.exp(0.65) - 1))


def test_every_second_of_every_worker_is_accounted_for(model: ModuleType) -> None:
    fleet = model.Fleet(8, mtbf=300.0, restart=20.0, fixed=4.0, spread=0.3)
    outcome = model.simulate(fleet, 400, 50.0, np.random.default_rng(2))
    failures = outcome.attempts - 400
    assert failures > 20
    assert outcome.restarting == 20.0 * failures and outcome.fixed == 4.0 * 400
    assert outcome.useful == pytest.approx(400 * 50.0, rel=0.05)
    assert outcome.lost < 54.0 * failures * 1.5
    # all but the last shards keep all workers busy; a failed last attempt may end after the last shard
    assert -20.0 * 8 < outcome.idle < 8 * 3 * 54.0


def test_small_shards_pay_for_starts_and_large_ones_for_failures(model: ModuleType) -> None:
    fleet = model.Fleet(4, mtbf=1000.0, restart=10.0, fixed=10.0)
    best = math.sqrt(2 * 10.0 * 1000.0)
    overhead = {
        factor: model.expected_shard(fleet, factor * best - 10.0) / (factor * best - 10.0) for factor in (0.2, 1.0, 5.0)
    }
    assert overhead[1.0] < overhead[0.2] and overhead[1.0] < overhead[5.0]


def test_a_simulated_training_takes_the_expected_time(model: ModuleType) -> None:
    random = np.random.default_rng(3)
    draws = [model.simulate_training(50, 60.0, 5.0, 400.0, 30.0, random) for _ in range(3000)]
    assert close(draws, model.expected_training(3000.0, 60.0, 5.0, 400.0, 30.0))


@pytest.mark.parametrize(("cost", "mtbf"), [(0.2, 64 * HOUR), (5.0, 2 * HOUR), (60.0, HOUR)])
def test_the_best_interval_is_that_of_least_expected_time(model: ModuleType, cost: float, mtbf: float) -> None:
    def seconds(interval: float) -> float:
        return float(model.expected_training(1e6, interval, cost, mtbf, 100.0))

    found = minimize_scalar(seconds, bounds=(cost / 10, mtbf), method="bounded", options={"xatol": 1e-3})
    exact = model.best_interval(cost, mtbf)
    assert exact == pytest.approx(found.x, rel=1e-3)
    assert model.daly(cost, mtbf) == pytest.approx(exact, rel=2e-3)
    assert model.young(cost, mtbf) == pytest.approx(exact, rel=0.15)
    assert model.young(cost, mtbf) == pytest.approx(math.sqrt(2 * cost * mtbf))


def test_a_step_waits_for_its_slowest_worker(model: ModuleType) -> None:
    for spread in (0.05, 0.4):
        # the larger of two equal lognormal variables of mean 1 has the mean 2 Phi(spread / sqrt 2)
        assert model.slowest(2, spread) == pytest.approx(2 * ndtr(spread / math.sqrt(2)), rel=1e-6)
    normal = np.random.default_rng(4).standard_normal((5000, 64))
    largest = np.exp(0.3 * normal - 0.045).max(axis=1)
    assert close(largest.tolist(), model.slowest(64, 0.3))
    assert model.slowest(1, 0.3) == pytest.approx(1.0, rel=1e-6)


def test_a_ring_sends_as_many_bytes_as_the_plan_says(bench: dict[str, ModuleType]) -> None:
    workers = 4
    values = np.random.default_rng(5).integers(0, 9, (workers, 8 * workers)).astype(np.float32)
    chunks = [np.split(each.copy(), workers) for each in values]
    sent, messages = 0, 0
    for adds, rounds in ((True, workers - 1), (False, workers - 1)):
        for turn in range(rounds):
            first = 0 if adds else 1
            passed = [(w, (w - turn + first) % workers) for w in range(workers)]
            copies = [chunks[w][at].copy() for w, at in passed]
            for (w, at), copy in zip(passed, copies, strict=True):
                target = chunks[(w + 1) % workers]
                target[at] = target[at] + copy if adds else copy
            sent, messages = sent + copies[0].nbytes, messages + 1
    for each in chunks:
        assert np.array_equal(np.concatenate(each), values.sum(axis=0))
    seconds = bench["at_scale"].all_reduce_seconds(values[0].nbytes, workers, link=2.0, latency=3.0)
    assert seconds == pytest.approx(sent / 2.0 + messages * 3.0)


def test_the_model_of_a_step_recovers_its_constants(bench: dict[str, ModuleType]) -> None:
    cost = bench["cost"]
    true = cost.Constants(0.02, 5e10)
    found = cost.fitted((1e9, 4e10), (true.seconds(1e9), true.seconds(4e10)))
    assert (found.fixed, found.rate) == (pytest.approx(0.02), pytest.approx(5e10))
    through_zero = cost.fitted((1e9, 4e9), (0.01, 0.1))
    assert through_zero.fixed == 0.0 and through_zero.seconds(4e9) == pytest.approx(0.1)


def test_operations_and_bytes_are_those_of_the_networks(bench: dict[str, ModuleType], tmp_path: Path) -> None:
    cost = bench["cost"]
    count = cost.counted("gan", 16)
    side = cost.Side("gan", 16, 4)
    linear = [m for m in side.trainer.state.average.module.modules() if isinstance(m, nn.Linear)]
    assert count.draw == cost.LANES * sum(2 * m.in_features * m.out_features for m in linear)
    weights = sum(p.numel() for network in side.trainer.state.networks.values() for p in network.parameters())
    assert count.trained == weights and count.gradients == 4 * weights
    side.train_step(0)
    file = tmp_path / "checkpoint-0000001.safetensors"
    checkpoints.save(file, side.trainer.state.tensors(), {})
    header = 8 + int.from_bytes(file.read_bytes()[:8], "little")
    assert count.checkpoint == file.stat().st_size - header
    assert count.image == 3 * 16 * 16 and count.shown == cost.BATCH


def test_critic_steps_multiply_what_a_step_costs(bench: dict[str, ModuleType]) -> None:
    cost = bench["cost"]
    plain, critic = cost.counted("dcgan", 16), cost.counted("wgan", 16)
    generator = 4 * critic.averaged
    assert critic.shown == 5 * plain.shown
    assert critic.gradients - generator == 5 * (plain.gradients - generator)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_the_plan_of_a_run_expects_at_least_the_operations_of_drawing(bench: dict[str, ModuleType], name: str) -> None:
    count = bench["cost"].counted(name, 16)
    drawn, trained = count.draw / bench["cost"].LANES, count.step / count.shown
    assert drawn <= 1.1 * drawing_share(RECIPES[name]) * trained


def test_a_queue_gives_slow_workers_fewer_shards(model: ModuleType) -> None:
    fleet = model.Fleet(16, mtbf=5000.0, restart=30.0, fixed=1.0, slow=0.3)
    queue, equal = (
        model.simulate(fleet, 16 * 50, 20.0, np.random.default_rng(6), queue=queue) for queue in (True, False)
    )
    random = np.random.default_rng(6)
    speeds = np.exp(0.3 * random.standard_normal(16) - 0.045)
    ideal = 50 * 16 * 20.0 / (1 / speeds).sum()
    assert queue.capacity == pytest.approx((1 / speeds).sum())
    assert ideal < queue.seconds < 1.15 * ideal + 60
    assert equal.seconds > 50 * 20.0 * speeds.max()
    assert equal.idle > 3 * queue.idle >= 0
