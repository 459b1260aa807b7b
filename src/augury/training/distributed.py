"""Training by several processes, one per device: which rows of a batch are whose, and sums over all processes.

A step of N processes computes what a step of one process computes on the same batch, except for the order of summation. Every
process draws the random numbers of the whole batch and uses those of its own rows. Each computes its share of the loss, so that
the sum of the gradients is the gradient of the whole loss.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import nn

from augury.errors import SettingsError
from augury.training.devices import out_of_memory, use_own_gpu
from augury.training.failure_watch import FailureWatch, PeerError

CPU = torch.device("cpu")
ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables that torchrun sets for each process."""
JOINING, WAITING = timedelta(minutes=10), timedelta(days=7)
"""How long a process waits for the others to start; and in a collective, such as while the first process evaluates. The
FailureWatch notices a failure earlier."""
OUT_OF_MEMORY, NOT_FINITE = "out of memory", "not finite"
FAILURES = (OUT_OF_MEMORY, NOT_FINITE)
"""Failures of a step from which a training recovers; the first one that any process has counts."""
HEAD = 1024
"""Numbers of the message with which every collective begins."""

Stored = tuple[dict[str, torch.Tensor], dict[str, str]]
"""Tensors and facts, as in a checkpoint."""


class StepFailedError(Exception):
    """A process could not finish this step; raised in all processes that wait for it."""

    def __init__(self, failure: str) -> None:
        super().__init__(failure)
        self.failure = failure


@dataclass(frozen=True)
class World:
    """The processes that train together. In a world of size 1, every method returns at once what it was given.

    Every collective begins with a message of HEAD numbers, which says whether a process has failed in this step. A process
    that has failed sends only this message, so that all leave the step together, wherever in it they are.

    Parameters
    ----------
    rank, size
        Number of this process, and of all.
    device
        Where the collectives of a step are computed: gloo on a CPU, NCCL on GPUs.
    store, watch
        What the processes share without a collective; and what says there why a process has failed.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    store: Any = None
    watch: FailureWatch | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> World:
        return self  # so that a network can be copied

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size} ({socket.gethostname()})"

    # Rows

    def rows(self, total: int) -> slice:
        """The rows of this process in a batch of `total`: neighbours, as many as those of every other process, or one more."""
        each, more = divmod(total, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def rows_of_parts(self, total: int, parts: int) -> npt.NDArray[np.int64]:
        """The rows of this process in a batch that is split into so many micro-batches, each of which all processes share."""
        return np.concatenate([piece[self.rows(len(piece))] for piece in np.array_split(np.arange(total), parts)])

    # Sums

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of `values` over all processes, differentiable any number of times."""
        summed: torch.Tensor = values if self.size == 1 else _Sum.apply(self, values)  # type: ignore[no-untyped-call]
        return summed

    def sums(self, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The sum of each scalar over all processes, without gradients."""
        if self.size == 1:
            return values
        return dict(zip(values, self.summed(torch.stack(list(values.values()))).unbind(), strict=True))

    def gather(self, own: torch.Tensor, total: int) -> torch.Tensor:
        """The rows of all processes [total, …] from those of each, without gradients."""
        if self.size == 1:
            return own.detach()
        every = own.new_zeros((total, *own.shape[1:]))
        every[self.rows(total)] = own.detach()
        return self.summed(every)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradients by their sums over all processes, in one message."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        length = self.summed(torch.tensor([float(len(flat))], device=self.device))
        assert length.item() == self.size * len(flat), "the processes have gradients of different parameters"
        self._run(dist.all_reduce, flat)
        for gradient, piece in zip(gradients, torch.split(flat, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(piece.view(gradient.shape))

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of `values` over all processes, without gradients. They are added in double precision."""
        flat = values.detach().to(self.device, torch.float64).flatten()
        head, room = self._head(), HEAD - len(FAILURES)
        fitting, rest = flat[:room], flat[room:].clone()
        head[len(FAILURES) : len(FAILURES) + len(fitting)] = fitting
        self._send(head)
        if len(rest):
            self._run(dist.all_reduce, rest)
        fitting = head[len(FAILURES) : len(FAILURES) + len(fitting)]
        return torch.cat([fitting, rest]).view(values.shape).to(values.device, values.dtype)

    # Decisions

    def first(self, flag: bool) -> bool:
        """The flag of the first process, such as one that depends on a clock."""
        if self.size == 1:
            return flag
        return bool(self.summed(torch.tensor([float(flag and self.rank == 0)])))

    def every(self, flag: bool) -> bool:
        """Whether the flag is true in all processes."""
        return flag if self.size == 1 else not self.summed(torch.tensor([float(not flag)]))

    def announce(self, failure: str) -> str:
        """Tell the other processes that this one could not finish its step; returns the failure that counts for all."""
        if self.size == 1:
            return failure
        head = self._head()
        head[FAILURES.index(failure)] = 1
        try:
            self._send(head)
        except StepFailedError as error:
            return error.failure
        raise AssertionError("a failure was sent and not received")

    # Messages

    def share(self, value: Any, source: int = 0) -> Any:
        """The JSON value of one process, by default the first."""
        if self.size == 1:
            return value
        return json.loads(self._broadcast(json.dumps(value).encode(), source))

    def shared(self, values: dict[str, Any]) -> dict[str, Any]:
        """The JSON values of all processes together."""
        return {name: value for rank in range(self.size) for name, value in self.share(values, rank).items()}

    def share_stored(self, stored: Stored | None) -> Stored | None:
        """The tensors and facts of the first process, or None where it has none."""
        if self.size == 1:
            return stored
        facts = self.share(None if stored is None else stored[1])
        if facts is None:
            return None
        own = {} if stored is None or self.rank else {k: v.cpu().contiguous().clone() for k, v in stored[0].items()}
        return load(self._broadcast(save(own), 0)), facts

    def meet(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            self.shared({})

    def _broadcast(self, data: bytes, source: int) -> bytes:
        length = torch.tensor([len(data)])
        self._run(dist.broadcast, length, source)
        sent = torch.frombuffer(bytearray(data), dtype=torch.uint8) if self.rank == source else None
        buffer = torch.empty(int(length), dtype=torch.uint8) if sent is None else sent
        self._run(dist.broadcast, buffer, source)
        return buffer.numpy().tobytes()

    def _head(self) -> torch.Tensor:
        return torch.zeros(HEAD, dtype=torch.float64, device=self.device)

    def _send(self, head: torch.Tensor) -> None:
        """Add up the heads of all processes. Raises StepFailedError in all of them when one has failed."""
        self._run(dist.all_reduce, head)
        for failure, processes in zip(FAILURES, head[: len(FAILURES)].tolist(), strict=True):
            if processes:
                raise StepFailedError(failure)

    def _run(self, collective: Callable[..., Any], *arguments: Any) -> None:
        try:
            collective(*arguments)
        except RuntimeError as error:
            if out_of_memory(error) or self.watch is None:
                raise
            raise PeerError(self.watch.diagnosis(f"the connection to another process is lost ({error})")) from error


class _Sum(torch.autograd.Function):
    """The sum over all processes. Each process computes its share of the loss, so that the gradients are added as well."""

    @staticmethod
    def forward(ctx: Any, world: World, values: torch.Tensor) -> torch.Tensor:
        ctx.world = world
        return world.summed(values)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, ctx.world.sum(gradients[0])


ALONE = World()


@cache
def start() -> World:
    """Join the processes that torchrun has started. Without torchrun, or with one process, the world is ALONE.

    Each process uses the GPU with the number LOCAL_RANK, where there are GPUs.

    Returns
    -------
    The world, without a watch.

    Raises
    ------
    SettingsError
        When there are more processes than GPUs on this machine, or they do not come together.
    """
    if any(name not in os.environ for name in ENVIRONMENT) or os.environ["WORLD_SIZE"] == "1":
        return ALONE
    if not dist.is_available():
        raise SettingsError("this build of PyTorch has no torch.distributed; run without torchrun")
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    backend = "cpu:gloo,cuda:nccl" if use_own_gpu(int(os.environ.get("LOCAL_RANK", "0"))) else "gloo"
    try:
        shared, rank, size = next(rendezvous("env://", timeout=JOINING))
        store = PrefixStore(f"augury {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", shared)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=WAITING)
    except (RuntimeError, ValueError) as error:
        raise SettingsError(
            f"the {os.environ['WORLD_SIZE']} processes do not come together at {os.environ['MASTER_ADDR']}:"
            f"{os.environ['MASTER_PORT']} ({error}); check the rendezvous options of torchrun"
        ) from error
    atexit.register(dist.destroy_process_group)
    return World(rank, size, store=store)


def watching(world: World, number: int) -> FailureWatch:
    """A watch over the processes of a world; `number` counts the watches of this process."""
    from torch.distributed.distributed_c10d import PrefixStore

    return FailureWatch(PrefixStore(f"watch {number}", world.store), world.rank, world.size)
