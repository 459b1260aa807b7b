"""A user's own network, named as `package.module:function` on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import torch

from augury.errors import SettingsError
from augury.proof.classifiers import Build, checked_logits, new_model

PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
CLASSES = 3
"""Number of classes of the network that is built as a check."""


def names_function(classifier: str) -> bool:
    """Whether the name has the form `package.module:function`."""
    return PATTERN.fullmatch(classifier) is not None


def user_network(classifier: str, shape: tuple[int, int, int]) -> Build:
    """Import a function (channels, classes) -> network, and check one network that it builds.

    Parameters
    ----------
    classifier
        `package.module:function`. Modules of the working directory are found after the installed ones.
    shape
        (C, H, W) of the images.

    Returns
    -------
    Build
        The function.

    Raises
    ------
    SettingsError
        When the module or function does not exist or cannot be called, or when the network gives something else than
        logits [N, K] for images of this shape.
    """
    module_name, _, name = classifier.partition(":")
    module = _imported(module_name, classifier)
    if not hasattr(module, name):
        functions = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise SettingsError(
            f"prove.classifier={classifier}: {_file(module)} has no '{name}'; it has: {', '.join(functions[:8]) or 'no function'}"
        )
    build: Any = getattr(module, name)
    if not callable(build):
        raise SettingsError(
            f"prove.classifier={classifier}: '{name}' is a {type(build).__name__}, not a function; name a function or class "
            "(channels, classes) -> torch.nn.Module"
        )
    try:
        inspect.signature(build).bind(shape[0], CLASSES)
    except TypeError as error:
        raise SettingsError(
            f"prove.classifier={classifier}: '{name}' cannot be called with (channels, classes): {error}; give it these two "
            "arguments"
        ) from error
    with torch.random.fork_rng(devices=[]):
        network = new_model(build, shape[0], CLASSES)
        with torch.inference_mode():
            checked_logits(network.eval(), torch.zeros(2, *shape), (2, CLASSES))
    return build  # type: ignore[no-any-return]


def source_of(classifier: str) -> str:
    """The source text of the module of `package.module:function`; "" where there is none."""
    module_name, _, _ = classifier.partition(":")
    file = getattr(_imported(module_name, classifier), "__file__", None)
    return Path(file).read_text(encoding="utf-8") if file and file.endswith(".py") else ""


def _imported(module_name: str, classifier: str) -> Any:
    """The module, installed or from the working directory."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise SettingsError(
                f"prove.classifier={classifier}: there is no module '{error.name}', neither installed nor in {Path.cwd()}; call "
                "augury in the folder that holds it, or install it"
            ) from error
        raise SettingsError(
            f"prove.classifier={classifier}: the module '{module_name}' imports '{error.name}', which is not installed; "
            "install it"
        ) from error
    except Exception as error:
        raise SettingsError(
            f"prove.classifier={classifier}: the module '{module_name}' cannot be imported ({type(error).__name__}: {error}); "
            f"try: python -c 'import {module_name}'"
        ) from error


def _file(module: Any) -> str:
    return str(getattr(module, "__file__", None) or module.__name__)
