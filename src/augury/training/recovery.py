"""Training steps that survive numbers that are not finite, and a lack of memory."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from augury.errors import TrainingError
from augury.training.checkpoint_manager import CheckpointManager
from augury.training.devices import out_of_memory
from augury.training.distributed import NOT_FINITE, OUT_OF_MEMORY, StepFailedError
from augury.training.micro_batches import Draw, refuse_parts

MOST_ROLLBACKS = 3


class Recovery:
    """Run training steps. A failure returns the training to the last good state, `manager.good`, with a remedy.

    Losses or weights that are not finite halve the learning rates. A lack of memory splits each batch into twice as many
    micro-batches. `on_event` reports each remedy, and the log repeats it. Of several processes, all do the same when one has
    failed.

    Every method raises TrainingError when there have been MOST_ROLLBACKS rollbacks, or no smaller micro-batch is possible.
    """

    def __init__(self, manager: CheckpointManager, on_event: Callable[[str], None]) -> None:
        self.manager, self.on_event = manager, on_event

    def train_step(self, step: int, progress: float, draw: Draw) -> dict[str, torch.Tensor] | None:
        """The trainer's step; None where it failed and the training must continue from the last good state."""
        world = self.manager.trainer.state.world
        try:
            return self.manager.trainer.train_step(step, progress, draw)
        except StepFailedError as error:  # in another process
            failure = error.failure
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # spectral control cannot decompose weights with NaN
            failure = world.announce(NOT_FINITE)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            failure = world.announce(OUT_OF_MEMORY)
        # not in the except clauses, because the error holds the memory of the failed step
        self.on_event(self._split_batch(step) if failure == OUT_OF_MEMORY else self._rollback(step, {}))
        return None

    def accept(self, step: int, losses: dict[str, float]) -> bool:
        """Whether these losses and all weights are finite; otherwise the training must continue from the last good state.

        Finite losses are not enough: they precede the update, and the update may have made weights non-finite.
        """
        state = self.manager.trainer.state
        if state.world.every(all(map(math.isfinite, losses.values())) and state.all_finite()):
            return True
        self.on_event(self._rollback(step, losses))
        return False

    def _rollback(self, step: int, losses: dict[str, float]) -> str:
        """Return to the last good state at half the learning rates; returns the message."""
        manager = self.manager
        spoilt = "weights" if all(map(math.isfinite, losses.values())) else "losses"
        times = 1 - round(math.log2(float(manager.trainer.state.extra["slower"])))
        if times > MOST_ROLLBACKS:
            rule = manager.plan.rule
            raise TrainingError(
                f"the {spoilt} of step {step} are no longer finite ({losses}), even at {0.5**MOST_ROLLBACKS:g} of the learning "
                f"rates; lower generator_lr ({rule.generator_lr}) and discriminator_lr ({rule.discriminator_lr}), or add "
                "--penalty r1=1"
            )
        manager.restore_good("slower", 0.5**times)
        return manager.warn(
            f"rescue {times}",
            step,
            f"{spoilt} were no longer finite: rollback to step {manager.good[0]}, learning rates halved "
            f"(rollback {times} of {MOST_ROLLBACKS})",
        )

    def _split_batch(self, step: int) -> str:
        """Return to the last good state, with every batch split into twice as many micro-batches; returns the message."""
        manager = self.manager
        parts = 2 * manager.trainer.state.parts
        refuse_parts(manager.plan.batch, parts * manager.trainer.state.world.size)
        manager.restore_good("parts", parts)
        return manager.warn(
            f"memory {parts}",
            step,
            f"out of memory: from step {manager.good[0]} on, each batch of {manager.plan.batch} is split into {parts} micro-batches "
            "whose gradients are accumulated; a smaller --set train.batch would be faster",
        )
