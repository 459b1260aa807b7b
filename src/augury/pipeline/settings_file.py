"""Settings as a YAML file: what `--config` reads, and the settings.yaml of a run folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from augury.errors import SettingsError
from augury.files import write_text
from augury.settings import RunSettings, refuse_without_unit
from augury.validation import validated

LARGEST = 256 * 1024
"""Most bytes of a settings file. A longer one is no settings file, and parsing it would take long."""
EXAMPLE = "write, for example, 'train:' on one line and '  steps: 500' on the next"
HEADER = "# The settings of this run. To repeat it: augury run PATH -o NEW --config settings.yaml\n"
NOT_PLAIN = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML reads in quotes only as escapes."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Plain values by the core schema of YAML 1.2, without tags, aliases and duplicate keys.

    PyYAML follows YAML 1.1, where `no` is false, `1:30` is 90 and `1e-3` is text.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _error("anchors (&) and aliases (*) are not read; repeat the value", event)
        if getattr(event, "tag", None) is not None:
            raise _error(f"the tag {event.tag} is not read; write a plain value", event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error("a name must be plain text", key)
            if key.value in names:
                raise _error(f"'{key.value}' appears twice; keep one of them", key)
            names.add(key.value)
        return super().construct_mapping(node, deep)


def _error(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


for tag, pattern, first in (
    ("null", r"(?:~|null|Null|NULL|)$", [*"~nN", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)$", [*"tTfF"]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)$", [*"-+0123456789"]),
    ("float", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", [*"-+.0123456789"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)


def read_settings(path: Path) -> dict[str, Any]:
    """Read settings by section, as {"train": {"steps": 500}}.

    Parameters
    ----------
    path
        A YAML file. A section or setting may be missing.

    Returns
    -------
    The plain values of the file, each checked alone.

    Raises
    ------
    SettingsError
        When the file cannot be read, is no YAML mapping, or has a setting that does not exist or is out of range.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise SettingsError(
                f"{path}: larger than {LARGEST // 1024} KiB, so it is no settings file; give another file"
            )
        values = yaml.load(content.decode("utf-8"), _Loader)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); give a YAML file of settings") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{path}{line}: {error.problem}; {EXAMPLE}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: no YAML file of settings ({str(error).splitlines()[0]}); {EXAMPLE}") from error
    if not isinstance(values, dict | None):
        raise SettingsError(f"{path}: holds a {type(values).__name__}, not sections of settings; {EXAMPLE}")
    sections = {str(name): {} if value is None else value for name, value in (values or {}).items()}
    refuse_without_unit(sections, str(path))
    validated(RunSettings, sections, source=str(path))
    return sections


def write_settings(path: Path, settings: RunSettings, header: str = HEADER) -> None:
    """Write all settings atomically, in a form that `read_settings` reads. Paths stay as they are in the settings.

    Parameters
    ----------
    path
        The file to write.
    settings
        The settings.
    header
        Comment lines at the beginning.
    """
    lines = []
    for section, values in settings.model_dump(mode="json").items():
        if isinstance(values, dict):
            lines += [f"{section}:", *(f"  {name}: {_written(value)}" for name, value in values.items())]
        else:
            lines.append(f"{section}: {_written(values)}")
    write_text(path, header + "\n".join(lines) + "\n")


def _written(value: Any) -> str:
    """A value as JSON, which is YAML as well. Characters that YAML does not read as they are become escapes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return NOT_PLAIN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
