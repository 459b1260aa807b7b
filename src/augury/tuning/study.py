"""The study: trials in a file or a database, which several processes share and which outlives each of them."""

from __future__ import annotations

import json
import os
import socket
import time
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from augury.errors import MissingExtraError, RunFolderError, SettingsError
from augury.files import check_folder_name
from augury.tuning.objectives import OBJECTIVES
from augury.tuning.space import RECIPE, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

FORMAT = 1
"""Version of what a study stores about a search."""
EXTRA = "pip install 'augury[tune]'"
WORKER = "worker"
"""Attribute of a trial that says which process works on it."""
WITHDRAWN = "withdrawn"
"""Attribute of a trial that waited and was put behind another."""
NAME = "augury"
"""Name of the study where a database address states none."""
ATTEMPTS = 3
"""How often a database is opened before that fails."""
SILENT = 600.0
"""Seconds without a sign of life after which a trial of another machine counts as killed, or ten times its training time."""
STARTS = 6
"""Random trials near the default configuration. Trials from the whole space are nearly always worse than it."""
PLAIN = 6
"""Fewest trials from which the sampler learns; those at the beginning count among them."""
COMPARED = 4
"""Fewest other trials that have come as far, before a trial is stopped early."""
KEPT = 67.0
"""Percentage of trials that are not stopped early. The score while training is the kernel distance, which need not agree with the
objective, so only the worst third ends."""
FIRST_TENTH = 3
"""No trial is stopped early before this tenth of its training."""


@dataclass(frozen=True)
class Identity:
    """What a study belongs to.

    Parameters
    ----------
    data
        Digest of the train and validation images and of how they are split.
    space
        `Space.key` of the search.
    objective
        Name in OBJECTIVES.
    fixed
        Names of the dimensions that the user does not want searched. A repeated command keeps them.
    """

    data: str
    space: str
    objective: str
    fixed: tuple[str, ...] = ()


def optuna() -> Any:
    """The package optuna, with its messages off; MissingExtraError where it is not installed."""
    try:
        import optuna as package
    except ImportError as error:
        raise MissingExtraError(f"augury tune needs the package optuna; install it with: {EXTRA}") from error
    package.logging.set_verbosity(package.logging.ERROR)
    return package


def storage(address: str) -> tuple[Any, str]:
    """(storage of Optuna, name of the study) for an address.

    Parameters
    ----------
    address
        A path that ends in .journal, or an address of a database: sqlite:///FILE or postgresql://…, with #NAME for the name of
        the study.

    Raises
    ------
    SettingsError
        For another address, and for a database that cannot be opened.
    MissingExtraError
        Where the driver of a database is not installed.
    """
    package = optuna()
    location, _, name = address.partition("#")
    if "://" not in location:
        if not location.endswith(".journal"):
            raise SettingsError(
                f"--study {address}: a file of a study ends in .journal; give FILE.journal, sqlite:///FILE.db or postgresql://USER@HOST/NAME"
            )
        path = Path(location)
        if path.is_dir() or not path.parent.is_dir():
            raise SettingsError(
                f"--study {address}: its folder does not exist, or it is a folder itself; give another path"
            )
        journal = package.storages.journal
        return package.storages.JournalStorage(journal.JournalFileBackend(str(path))), name or NAME
    if location.partition("://")[0].partition("+")[0] not in ("sqlite", "postgresql", "mysql"):
        raise SettingsError(f"--study {address}: give FILE.journal, sqlite:///FILE.db or postgresql://USER@HOST/NAME")
    try:
        return _database(location), name or NAME
    except ImportError as error:
        raise MissingExtraError(
            f"--study {location}: the driver of this database is not installed ({error.__cause__ or error}); for PostgreSQL: "
            "pip install 'psycopg[binary]'"
        ) from error
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(
            f"--study {location}: the database cannot be opened ({first}); check its address"
        ) from error


def _database(location: str) -> Any:
    """The storage in a database. Processes that create its tables at the same time fail, so it is tried again."""
    for attempt in range(ATTEMPTS):
        try:
            return optuna().storages.RDBStorage(location)
        except ImportError:
            raise
        except Exception:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(1.0)
    return None


def turns(address: str) -> AbstractContextManager[Any]:
    """A context in which one process at a time asks a study for a trial.

    SQLite does not lock single rows, so that two processes could take the same waiting trial. Other storages need no turns.
    """
    file = address.partition("#")[0].partition("sqlite:///")[2]
    return FileLock(f"{file}.lock") if file and file != ":memory:" else nullcontext()


def opened(address: str, identity: Identity, seed: int) -> Study:
    """Open a study, or create it.

    Parameters
    ----------
    address
        As in `storage`.
    identity
        What the study must belong to.
    seed
        Seed of the sampler.

    Raises
    ------
    SettingsError
        For a study of other data, another search space or another objective.
    """
    package = optuna()
    where, name = storage(address)
    higher = OBJECTIVES[identity.objective].higher
    with warnings.catch_warnings():  # three of these options are marked as experimental
        warnings.simplefilter("ignore", package.exceptions.ExperimentalWarning)
        sampler = package.samplers.TPESampler(
            seed=seed,
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=PLAIN,
        )
    pruner = package.pruners.PercentilePruner(
        KEPT, n_startup_trials=COMPARED, n_warmup_steps=FIRST_TENTH, n_min_trials=COMPARED
    )
    study: Study = package.create_study(
        storage=where,
        study_name=name,
        sampler=sampler,
        pruner=pruner,
        direction="maximize" if higher else "minimize",
        load_if_exists=True,
    )
    _check(study, identity, address)
    return study


def stored_facts(address: str) -> dict[str, Any]:
    """What an existing study stores of its `Identity`; empty for a new one."""
    package = optuna()
    where, name = storage(address)
    if name not in package.get_all_study_names(where):
        return {}
    return dict(package.load_study(study_name=name, storage=where).user_attrs)


def _check(study: Study, identity: Identity, address: str) -> None:
    """Store what a new study belongs to; raises SettingsError where an existing one belongs to something else."""
    known = study.user_attrs
    if "format" not in known:
        if study.trials:
            raise SettingsError(f"--study {address}: this study was not made by augury tune; give another file or name")
        for name, value in {"format": FORMAT, **identity.__dict__}.items():
            study.set_user_attr(name, value)
        return
    if known["format"] != FORMAT:
        raise SettingsError(
            f"--study {address}: written in format {known['format']}, and this version reads {FORMAT}; give another file or name"
        )
    reasons = {  # the search space depends on the objective, so that comes first
        "objective": f"the objective {known.get('objective')}, not {identity.objective}",
        "data": "other images, or images that are split in another way",
        "space": "another search space or other settings",
    }
    for name, reason in reasons.items():
        if known.get(name) != getattr(identity, name):
            raise SettingsError(
                f"--study {address}: this study is about {reason}; repeat its command without changes, or give another -o or --study"
            )


def sign_of_life() -> dict[str, Any]:
    """What a running trial stores under WORKER: the process that works on it, and the time."""
    return {"host": socket.gethostname(), "process": os.getpid(), "seen": time.time()}


def fail_killed(study: Study, seconds: float) -> list[int]:
    """Mark trials as failed whose process has ended without a result.

    Parameters
    ----------
    study
        The study.
    seconds
        Training time of a trial.

    Returns
    -------
    Numbers of these trials.
    """
    state = optuna().trial.TrialState
    killed = []
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        if not _alive(trial, max(SILENT, 10 * seconds)):
            study.tell(trial.number, state=state.FAIL, skip_if_finished=True)
            killed.append(trial.number)
    return killed


def _alive(trial: FrozenTrial, silent: float) -> bool:
    """Whether the process of a running trial exists, as far as can be known."""
    worker = trial.user_attrs.get(WORKER, {})
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    recent = time.time() - worker.get("seen", started) < silent
    if worker.get("host") != socket.gethostname():
        return bool(recent)
    if worker["process"] == os.getpid():
        return False  # this process begins its work, so an equal number is that of an ended one
    try:
        os.kill(worker["process"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process
        pass
    return bool(recent)


def enqueue_defaults(study: Study, space: Space) -> None:
    """Put the default configuration first in the queue, then the other recipes with their own settings, then trials near it.

    A configuration that a finished, running or waiting trial has is left out, so a killed one comes again. Where that is the
    default configuration, the trials that wait are withdrawn and put behind it.
    """
    state, default = optuna().trial.TrialState, space.neutral(space.default)

    def seen() -> list[dict[str, Any]]:
        trials = study.get_trials(deepcopy=False)
        return [_parameters(trial) for trial in trials if trial.state != state.FAIL or "reason" in trial.user_attrs]

    if default not in seen():
        for _ in study.get_trials(deepcopy=False, states=(state.WAITING,)):
            trial = study.ask()
            trial.set_user_attr(WITHDRAWN, True)
            study.tell(trial, state=state.FAIL, skip_if_finished=True)
    known = seen()
    for candidate in space.candidates.values():
        values = space.neutral(candidate)
        if values not in known:
            study.enqueue_trial(values, user_attrs={"default": candidate.name})
    for number in range(STARTS):
        if (values := space.start(number)) not in known:
            study.enqueue_trial(values)


def _parameters(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters of a trial; of one that was put in the queue, those that it has or will have.

    A running trial gets its parameters one after another, so another process may see only some of them.
    """
    fixed: Mapping[str, Any] = trial.system_attrs.get("fixed_params", {})
    return dict(fixed) or dict(trial.params)


def recipe_of(trial: FrozenTrial, space: Space) -> str:
    """The recipe that a trial trains."""
    return str(trial.params.get(RECIPE, space.default.name))


def refuse_folder(folder: Path, ours: frozenset[str]) -> None:
    """Raise RunFolderError for a folder that holds something else than a search."""
    if not folder.exists():
        check_folder_name(folder)
        return
    if not folder.is_dir():
        raise RunFolderError(f"{folder}: a file is in the way of this folder; choose another with -o")
    others = sorted(path.name for path in folder.iterdir() if path.name not in ours and not path.name.startswith("."))
    others = [name for name in others if not name.endswith((".journal", ".journal.lock"))]
    if others:
        raise RunFolderError(
            f"{folder}: holds {', '.join(others[:3])}, so it is not a folder of augury tune; choose another with -o"
        )


def plain(trial: FrozenTrial) -> dict[str, Any]:
    """A trial as plain JSON, for the table of trials."""
    start, end = trial.datetime_start, trial.datetime_complete
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value if trial.state.name == "COMPLETE" else None,
        "parameters": dict(trial.params),
        "seconds": round((end - start).total_seconds(), 1) if start and end else None,
        **{name: trial.user_attrs.get(name) for name in ("default", "changes", "steps", "kid", "reason", WITHDRAWN)},
        "curve": {str(tenth): value for tenth, value in sorted(trial.intermediate_values.items())},
    }


def as_text(trial: FrozenTrial) -> str:
    """The changes of a trial against the default, on one line."""
    changes = trial.user_attrs.get("changes", {})
    return ", ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in changes.items()
    )
