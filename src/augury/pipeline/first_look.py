"""A first look: a run within a short time, with smaller images where the time does not suffice at their size."""

from __future__ import annotations

import os

from augury.data.decoding.resize import Size
from augury.pipeline.cost import TooShortError
from augury.pipeline.inputs import Callbacks
from augury.pipeline.run_folder import Run
from augury.pipeline.stages import run
from augury.settings import RunSettings

SMALLEST = 12
"""Fewest pixels of a side that a first look chooses."""


def first_look(
    path: str | os.PathLike[str] | None,
    folder: str | os.PathLike[str],
    *,
    settings: RunSettings,
    time: float,
    until: str = "report",
    callbacks: Callbacks | None = None,
) -> Run:
    """Run within a time; halve the size of the images until it suffices.

    The size that was chosen is stored as data.size, with the steps that fit. A second call therefore repeats it, whatever the
    speed of the machine is then.

    Parameters
    ----------
    path
        Path of the images; None: those of the folder, or the embedded sample.
    folder
        Run folder.
    settings
        Settings of the run. A data.size among them is kept, and so is that of a folder that holds a run.
    time
        Seconds for the whole run.
    until
        Name of the last stage.
    callbacks
        Receive the progress, and a note of the chosen size.

    Returns
    -------
    The Run.

    Raises
    ------
    SettingsError
        When the time does not suffice at the smallest size either.
    """
    callbacks = callbacks or Callbacks()
    fixed = settings.data.size is not None or (Run(folder) / "run.json").exists()
    while True:
        try:
            return run(path, folder, settings=settings, until=until, time=time, callbacks=callbacks)
        except TooShortError as error:
            smaller = error.size[0] // 2, error.size[1] // 2
            if fixed or min(smaller) < SMALLEST:
                raise
            callbacks.note(
                f"Images of {_spoken(error.size)} px do not fit into this time on this machine ({error.needed}); they are used at "
                f"{_spoken(smaller)}. This is stored as data.size; --size chooses another, and --time a longer time."
            )
            data = settings.data.model_copy(update={"size": smaller[0] if smaller[0] == smaller[1] else smaller})
            settings = settings.model_copy(update={"data": data})


def _spoken(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
