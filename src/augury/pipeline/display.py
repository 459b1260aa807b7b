"""Progress on a terminal, in a notebook or in a file: one bar for the whole run, one for the stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO, TYPE_CHECKING

from augury.pipeline.inputs import Callbacks
from augury.pipeline.progress import RunCost

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Bars

    from augury.training import Progress

REFRESH = 0.2
"""Seconds between two changes of a bar."""
LINE_EVERY = 15.0
"""Seconds between two lines within a stage where there is no terminal."""
FIRST_SHARE = 0.03
"""Share of a run or stage that must be done before its time left is computed from its pace."""

_open: list[Display] = []
"""Displays whose bars may be on the terminal."""


def clock(seconds: float) -> str:
    """Seconds as 1:05 or 2:03:10."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def close_displays() -> None:
    """Remove the bars from the terminal, so that an error message begins on a line of its own."""
    while _open:
        _open.pop().close()


class Display:
    """Shows the progress of a run.

    On a terminal there are two bars, which are never wider than it. One is for the whole run with the time left, once there is
    a plan, and one for the stage. Below them are the losses of a training. Finished stages and notes stay as lines above.
    Elsewhere the same is written as plain lines, within a stage at most one each LINE_EVERY seconds.

    Parameters
    ----------
    stream
        Where to write; standard error by default, or standard output in a notebook.
    monotonic
        The clock.
    """

    def __init__(self, stream: IO[str] | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.now = monotonic
        self.stream = stream or (sys.stdout if _in_notebook() else sys.stderr)
        self.live = self.stream.isatty() and not _in_notebook()
        self.bars: Bars | None = None
        self.shares: dict[str, float] = {}
        self.left: float | None = None
        self.done = 0.0
        self.stage, self.began, self.shown, self.cached = "", 0.0, 0.0, False
        self.run_began = 0.0

    def callbacks(self) -> Callbacks:
        """The callbacks that feed the display."""
        return Callbacks(self.begin, self.training, self.amount, self.end, self.note, self.plan)

    def plan(self, cost: RunCost) -> None:
        """Write the plan; the bar of the whole run follows its estimates."""
        self.note(
            "Plan, by the speed measured on this machine just now:\n" + "\n".join(f"  {row}" for row in cost.lines())
        )
        total = max(cost.seconds, 1e-9)
        self.shares = {name: stage.seconds / total / cost.times.get(name, 1) for name, stage in cost.stages.items()}
        self.left, self.done, self.run_began = cost.seconds, 0.0, self.now()

    def begin(self, stage: str, cached: bool) -> None:
        """A stage begins, or is done already."""
        self.stage, self.began, self.shown, self.cached = stage, self.now(), self.now(), cached
        if cached or not self.live:
            self.note(f"{stage}{' (done before)' if cached else ''}")
        if self.live and not cached:
            self._show(0.0, "", "", force=True)

    def training(self, progress: Progress) -> None:
        """A training advances."""
        numbers = [f"{name} {value:+.3f}" for name, value in progress.losses.items() if name.startswith("loss")]
        losses = "  ".join([*numbers, f"{progress.images_per_second:,.0f} images/s"])
        self._advance(
            progress.step / progress.steps,
            f"{progress.step:,}/{progress.steps:,} steps",
            losses,
            progress.seconds_left,
            force=progress.step == progress.steps,
        )

    def amount(self, unit: str, done: int, total: int) -> None:
        """So many of the images or trainings of a stage are done."""
        share = done / max(total, 1)
        left = (self.now() - self.began) / max(share, 1e-9) * (1 - share)
        self._advance(share, f"{done:,}/{total:,} {unit}", "", left, force=done == total)

    def end(self, stage: str) -> None:
        """A stage ends."""
        spent = self.now() - self.began
        self.done += 0.0 if self.cached else self.shares.get(stage, 0.0)
        self.close()
        if self.live and spent >= 1:
            self.note(f"{stage:<8}  {clock(spent)}")
        self.stage = ""

    def note(self, text: str) -> None:
        """Write a message above the bars."""
        if self.live:
            self.console.print(text, markup=False, highlight=False)
        else:
            self.stream.write(text + "\n")
            self.stream.flush()

    @cached_property
    def console(self) -> Console:
        """The terminal, with its width."""
        from rich.console import Console

        return Console(file=self.stream)

    def close(self) -> None:
        """Remove the bars."""
        if self.bars is not None:
            self.bars.stop()
            self.bars = None
        if self in _open:
            _open.remove(self)

    def run_left(self, share: float) -> float:
        """Seconds left of the run when this share of it is done, by its pace, or by the plan while little is done."""
        spent = self.now() - self.run_began
        return spent * (1 - share) / share if share > FIRST_SHARE else (self.left or 0.0) * (1 - share)

    def _advance(self, share: float, work: str, below: str, left: float, force: bool = False) -> None:
        if not force and self.now() - self.shown < (REFRESH if self.live else LINE_EVERY):
            return
        self.shown = self.now()
        if self.live:
            self._show(share, f"{work}  {clock(left)} left", below, force=force)
        else:
            self.note("  " + "  ".join(part for part in (work, below, f"{clock(left)} left") if part))

    def _show(self, share: float, work: str, below: str, *, force: bool) -> None:
        """Draw the bars, when a stage has come so far."""
        if self.bars is None:
            self.bars = _bars(self.console)
            _open.append(self)
            for name in ("run", self.stage):
                self.bars.add_task(
                    name, total=1.0, text="", below="", visible=name != "run" or self.stage in self.shares
                )
            self.bars.start()
        whole = min(1.0, self.done + share * self.shares.get(self.stage, 0.0))
        run, stage = self.bars.task_ids
        self.bars.update(run, completed=whole, text=f"{whole:.0%}  {clock(self.run_left(whole))} left")
        self.bars.update(stage, completed=share, text=work, below=below)
        self.bars.refresh()


@contextmanager
def showing(verbose: bool, callbacks: Callbacks | None) -> Iterator[Callbacks]:
    """The callbacks, and with `verbose` those of a display as well, which is closed at the end."""
    hooks = callbacks or Callbacks()
    if not verbose:
        yield hooks
        return
    display = Display()
    try:
        yield display.callbacks().and_also(hooks)
    finally:
        display.close()


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


def _bars(console: Console) -> Bars:
    """Bars that fit into the width of the terminal; text that does not fit is cut."""
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column
    from rich.text import Text

    class WithLosses(Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            for below in (task.fields["below"] for task in self.tasks if task.fields["below"]):
                yield Text(below, no_wrap=True, overflow="ellipsis")

    def cut() -> Column:
        return Column(no_wrap=True, overflow="ellipsis")

    return WithLosses(
        TextColumn("{task.description:<8}", markup=False, table_column=cut()),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
        TextColumn("{task.fields[text]}", markup=False, table_column=cut()),
        console=console,
        auto_refresh=False,
        transient=True,
        expand=True,
    )
