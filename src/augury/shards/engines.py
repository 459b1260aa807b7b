"""Who makes the shards: this process, processes of this machine, or the tasks of a Ray cluster. The bytes are equal."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

from augury.data.decoding.safety import extra
from augury.errors import AuguryError, RunFolderError, SettingsError, shortened
from augury.shards.making import Job, make_shard
from augury.shards.manifests import Manifest

Make = Callable[[Job, int], Manifest]
"""What an engine does for each shard."""
Progress = Callable[[int, int], None]
RETRIES = 5
"""Times that Ray makes a shard again when its worker was killed."""
AHEAD = 2
"""Tasks that Ray is given for each worker, so that none waits for the next."""


class Engine(Protocol):
    """Who makes the shards."""

    def __call__(
        self, job: Job, shards: Sequence[int], workers: int | None, on_progress: Progress, make: Make = make_shard
    ) -> list[Manifest]:
        """Do `make` for each of the shards, by so many workers or as many as there is room for."""
        ...


def local(
    job: Job, shards: Sequence[int], workers: int | None, on_progress: Progress, make: Make = make_shard
) -> list[Manifest]:
    """Make shards in this process (one worker), or in processes of this machine.

    Without a number there is a worker for each core that this process may use, and one for a GPU. Every process computes on one
    thread, so that the rounding of sums does not depend on the number of cores.
    """
    usual = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = min(workers or (usual if job.device == "cpu" else 1), len(shards))
    if number <= 1:
        manifests = []
        for done, shard in enumerate(shards, 1):
            manifests.append(make(job, shard))
            on_progress(done, len(shards))
        return manifests
    spawning = multiprocessing.get_context("spawn")  # a forked process would share the threads of PyTorch
    with _single_threaded(), ProcessPoolExecutor(number, mp_context=spawning) as pool:
        futures = [pool.submit(make, job, shard) for shard in shards]
        try:
            return _collected(futures, on_progress)
        except BrokenProcessPool as error:
            raise RunFolderError(
                f"{job.output}: a worker process was killed, perhaps by the system for want of memory; run the same command again, "
                "with fewer --workers: finished shards are kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _collected(futures: list[Future[Manifest]], on_progress: Progress) -> list[Manifest]:
    waiting, done = set(futures), 0
    while waiting:
        ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in ready:
            future.result()  # raises the error of the worker
        done += len(ready)
        on_progress(done, len(futures))
    return [future.result() for future in futures]


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes that start in this block compute on one thread."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def on_ray(
    job: Job, shards: Sequence[int], workers: int | None, on_progress: Progress, make: Make = make_shard
) -> list[Manifest]:
    """Make shards as tasks of the Ray cluster of RAY_ADDRESS, or of a Ray of this machine.

    A task needs one core, or one GPU where the device is one. Ray makes a shard again when its worker is killed. Without a number
    of workers, the cluster has as many tasks at a time as it has room for, also while it grows.

    Raises
    ------
    MissingExtraError
        Without Ray.
    SettingsError
        When no cluster answers at RAY_ADDRESS.
    RunFolderError
        When the worker of a shard is killed each time.
    """
    ray = extra("ray", "the engine ray", "scale")
    started = not ray.is_initialized()
    if started:
        _connect(ray)
    try:
        needs = {"num_cpus": 1} if job.device == "cpu" else {"num_cpus": 1, "num_gpus": 1}
        task = ray.remote(max_retries=RETRIES, **needs)(make)
        return _by_tasks(ray, task, job, shards, workers, on_progress)
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any) -> None:
    """Join the cluster of RAY_ADDRESS, or start a Ray of this machine."""
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        ray.init(include_dashboard=False, log_to_driver=False)
    except (
        ConnectionError,
        RuntimeError,
        ValueError,
        AssertionError,
    ) as error:  # the last two: no address at all, as http://…
        if not (address or isinstance(error, ConnectionError)):
            raise
        reason = shortened(" ".join(str(error).split()), 200) or type(error).__name__
        if address:
            raise SettingsError(
                f"RAY_ADDRESS={address}: no Ray cluster can be reached there ({reason}); correct the address, start the cluster, or "
                "unset RAY_ADDRESS for a Ray of this machine"
            ) from error
        raise RunFolderError(
            f"Ray cannot be started on this machine ({reason}); end what an earlier Ray has left with: ray stop, or use --engine local"
        ) from error


def _by_tasks(
    ray: Any, task: Any, job: Job, shards: Sequence[int], workers: int | None, on_progress: Progress
) -> list[Manifest]:
    manifests: dict[int, Manifest] = {}
    running: dict[Any, int] = {}
    to_do = list(reversed(shards))
    while to_do or running:
        room = workers or AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))  # a cluster grows and shrinks
        while to_do and len(running) < room:
            shard = to_do.pop()
            running[task.remote(job, shard)] = shard
        ready, _ = ray.wait(list(running), num_returns=1)
        for reference in ready:
            shard = running.pop(reference)
            manifests[shard] = _result(ray, reference, job, shard)
        on_progress(len(manifests), len(shards))
    return [manifests[shard] for shard in shards]


def _result(ray: Any, reference: Any, job: Job, shard: int) -> Manifest:
    try:
        manifest: Manifest = ray.get(reference)
        return manifest
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, AuguryError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:  # its worker or its machine is gone
        raise RunFolderError(
            f"{job.output}: the worker of shard {shard} was lost {RETRIES + 1} times ({type(error).__name__}); see Ray's logs, and run "
            "the same command again: finished shards are kept"
        ) from error


ENGINES: dict[str, Engine] = {
    "local": local,
    "ray": on_ray,
}
"""Name of --engine -> (job, shards, number of workers or None, progress, what is done for a shard) -> manifests of the shards."""


def engine_of(name: str, workers: int | None) -> Engine:
    """The engine of this name; raises SettingsError for an unknown one, and for less than one worker."""
    if name not in ENGINES:
        raise SettingsError(f"--engine {name}: there is no such engine; choose one of: {', '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise SettingsError(f"--workers {workers}: give at least 1")
    return ENGINES[name]
