"""Nothing that is read is executed: no pickle, no unsafe YAML, no shell; and nothing is allocated before it is checked."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import augury
from augury.errors import RunFolderError
from augury.pipeline.run_folder import Run
from tests.helpers.fuzzing import photos, small_run

SOURCE = Path(augury.__file__).parent
UNPICKLERS = {"dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """(dotted name, call) of every call in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> object:
    """The constant that a call gives for a keyword; None without it."""
    return next(
        (each.value.value for each in call.keywords if each.arg == name and isinstance(each.value, ast.Constant)), None
    )


def unsafe(tree: ast.AST) -> Iterator[str]:
    """What in a module could execute what it reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                {alias.name.split(".")[0] for alias in node.names}
                if isinstance(node, ast.Import)
                else {str(node.module)}
            )
            yield from (f"imports {name}" for name in names & UNPICKLERS)
    for name, call in calls(tree):
        last = name.rpartition(".")[2]
        if name in ("eval", "exec", "os.system", "os.popen") or keyword(call, "shell"):
            yield f"calls {name}"
        if name in ("pickle.load", "pickle.loads", "pickle.Unpickler", "yaml.unsafe_load", "yaml.full_load"):
            yield f"calls {name}"
        if name in ("torch.load", "torch.hub.load") and keyword(call, "weights_only") is not True:
            yield f"calls {name} without weights_only=True"
        if name in ("np.load", "numpy.load", "np.lib.format.read_array") and keyword(call, "allow_pickle") is not False:
            yield f"calls {name} without allow_pickle=False"
        if name == "yaml.load" and ast.unparse(call.args[1]) not in ("_Loader", "yaml.SafeLoader"):
            yield "calls yaml.load without a safe loader"
        if last == "extractall" and keyword(call, "filter") is None:
            yield f"calls {name} without a filter"


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_no_module_executes_what_it_reads(file: Path) -> None:
    assert list(unsafe(ast.parse(file.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import joblib",
        "from dill import load",
        "pickle.loads(b'')",
        "torch.load(f)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "yaml.load(t, yaml.Loader)",
        "eval('1')",
        "subprocess.run('ls', shell=True)",
        "tarfile.open(f).extractall(p)",
    ],
)
def test_the_check_finds(line: str) -> None:
    assert list(unsafe(ast.parse(line)))


def test_the_loader_of_settings_is_a_safe_one() -> None:
    import yaml

    from augury.pipeline.settings_file import _Loader

    assert issubclass(_Loader, yaml.SafeLoader)


HOOK = """
    import sys
    unpickled = []

    def audit(event, arguments):
        if event == "pickle.find_class":
            unpickled.append(arguments)

    sys.addaudithook(audit)
    import pickle
    pickle.loads(pickle.dumps(pickle.PicklingError))  # the hook works
    assert unpickled, "the hook does not work"
    unpickled.clear()
    from augury.cli.commands import main
    for words in {commands}:
        sys.argv = ["augury", *words]
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, (words, ended.code)
    assert not unpickled, unpickled
"""


@pytest.mark.slow
def test_a_whole_run_and_what_follows_unpickle_nothing(tmp_path: Path) -> None:
    """An audit hook of the interpreter sees every class that an unpickler looks up."""
    data, given = tmp_path / "photos.npz", photos()
    np.savez(data, images=given.images[:, 0], labels=given.labels)
    commands = [
        ["inspect", str(data)],
        ["run", str(data), "-o", str(tmp_path / "again"), "--steps", "3", "--set", "prove.steps=2",
         "--set", "prove.seeds=2", "--set", "prove.arms=randaugment,gan", "--classifier", "cnn"],
        ["generate", str(tmp_path / "again"), "-o", str(tmp_path / "more"), "--number", "4"],
        ["predict", str(tmp_path / "again"), str(tmp_path / "more"), "-o", str(tmp_path / "table.csv")],
        ["report", str(tmp_path / "again")],
    ]  # fmt: skip
    code = textwrap.dedent(HOOK).format(commands=commands)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory.mktemp("security") / "run")


@pytest.mark.parametrize("part", ["synthesizer", "classifier"])
def test_a_card_that_asks_for_a_huge_network_is_refused_before_it_is_built(part: str, run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "r")
    file = tmp_path / "r" / part / "card.json"
    card = json.loads(file.read_text())
    if part == "synthesizer":
        card["settings"]["width"] = 2**20
    else:
        card["classes"] = [str(i) for i in range(2**22)]
    file.write_text(json.dumps(card))
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RunFolderError, match=r"card and weights|card does not fit|classes"):
        getattr(Run(tmp_path / "r"), part)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 700, f"{grown:.0f} MiB more"


def test_the_pages_state_the_limit_of_uploads() -> None:
    pytest.importorskip("starlette", reason="the extra [explore] is not installed")
    from augury.explorer.uploads import UPLOAD_LIMIT

    docs, limit = Path(__file__).parents[2] / "docs", f"{UPLOAD_LIMIT / 2**20:g} MB"
    assert f"Uploads are limited to {limit} and" in (docs / "security.md").read_text(encoding="utf-8")
    assert f"A file may have {limit} and" in (docs / "explorer.md").read_text(encoding="utf-8")
