"""Prompts of a pretrained pipeline: templates with {class} and attributes, checked against the names in the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import TYPE_CHECKING, Any

from augury.errors import DataError, SettingsError

if TYPE_CHECKING:
    from augury.networks.pipelines import PipelineSettings


def placeholders(template: str) -> list[str]:
    """The names in braces of a prompt. Raises SettingsError for braces that name nothing."""
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise SettingsError(
            f"prompt '{template}': {error}; write {{{{ and }}}} for braces that stand for themselves"
        ) from error
    if any(spec or conversion for _, _, spec, conversion in parsed):
        raise SettingsError(f"prompt '{template}': a placeholder is a name alone, such as {{class}}")
    return [name for _, name, _, _ in parsed if name is not None]


def filled(prompt: str | Mapping[str, str], named: Mapping[str, str]) -> str:
    """A prompt with its placeholders replaced.

    Parameters
    ----------
    prompt
        A template, or one for each class.
    named
        The class ("label") and attribute values by name.

    Returns
    -------
    The text for the pipeline.

    Raises
    ------
    DataError
        When the prompt needs a class or attribute that `named` does not have.
    """
    if not isinstance(prompt, str) and "label" not in named:
        raise DataError("each class has its own prompt, so name the class of the result: --change label=CLASS")
    template = prompt if isinstance(prompt, str) else prompt[named["label"]]
    values = {**named, **({"class": named["label"]} if "label" in named else {})}
    if lacking := [name for name in placeholders(template) if name not in values]:
        option = "label" if lacking[0] == "class" else lacking[0]
        raise DataError(f"the prompt names {{{lacking[0]}}}, so name that of the result too: --change {option}=VALUE")
    return "".join(
        text + (values[name] if name is not None else "") for text, name, _, _ in Formatter().parse(template)
    )


def check_condition(settings: PipelineSettings, needed: Sequence[str], accepted: Mapping[str, Any]) -> None:
    """Check that the prompt, or the labels, tell the images of every class and attribute value apart.

    Parameters
    ----------
    settings
        With `columns` and `values`, the names of the classes and attribute values.
    needed
        Columns in which images are requested: "label" and attributes.
    accepted
        Arguments of the pipeline's call.

    Raises
    ------
    SettingsError
        For unknown placeholders, classes that are missing or unknown, and columns that the prompt does not name.
    """
    classes, names = settings.values[0], settings.columns
    if "prompt" not in accepted:
        if "class_labels" not in accepted:
            raise SettingsError(
                "this pipeline takes neither a prompt nor class_labels, so no class can be requested from it; use one that does"
            )
        _check_classes("class_labels", settings.class_labels, classes)
        if settings.prompt or len(needed) > 1:
            raise SettingsError("this pipeline takes class_labels alone; leave prompt and train.condition out")
        if len(set(settings.class_labels.values())) < len(classes):
            raise SettingsError("class_labels gives two classes the same label; give each its own")
        return
    if settings.class_labels:
        raise SettingsError("this pipeline takes a prompt and no class_labels; leave class_labels out")
    if not settings.prompt:
        raise SettingsError("train.overrides needs a prompt, such as 'a photo of {class}'")
    if isinstance(settings.prompt, dict):
        _check_classes("prompt", settings.prompt, classes)
    templates = [settings.prompt] if isinstance(settings.prompt, str) else list(settings.prompt.values())
    known = ["class", *names]
    for template in templates:
        fields = placeholders(template)
        if unknown := [name for name in fields if name not in known]:
            raise SettingsError(
                f"prompt '{template}': there is no {{{unknown[0]}}}; there are: {', '.join(f'{{{name}}}' for name in known if name != 'label')}"
                ". Attributes count when train.condition names them"
            )
        if lacking := [name for name in needed if name != "label" and name not in fields]:
            raise SettingsError(
                f"prompt '{template}' does not name {{{lacking[0]}}}, so all its values would get the same prompt; add it, or leave "
                "it out of train.condition"
            )
        if isinstance(settings.prompt, str) and "label" in needed and not {"class", "label"} & set(fields):
            raise SettingsError(
                f"prompt '{template}' does not name {{class}}, so all classes would get the same prompt; add it, give a prompt for "
                "each class, or to change attributes alone set class_moves=false (recipe diffusers_img2img)"
            )
    if (
        len(set(templates)) < len(templates)
        and "label" in needed
        and not all("class" in placeholders(t) for t in templates)
    ):
        raise SettingsError("prompt gives two classes the same text; give each its own")


def _check_classes(setting: str, mapping: Mapping[str, Any], classes: Sequence[str]) -> None:
    """Raise SettingsError unless a mapping has exactly the classes as keys."""
    if missing := [name for name in classes if name not in mapping]:
        raise SettingsError(
            f"{setting} has no entry for the class '{missing[0]}'; give one for each of: {', '.join(classes)}"
        )
    if unknown := [name for name in mapping if name not in classes]:
        raise SettingsError(f"{setting} names '{unknown[0]}', which is no class; the classes are: {', '.join(classes)}")
