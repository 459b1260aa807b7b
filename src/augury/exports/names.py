"""Class names, which are external input, as folder names that are safe on every common file system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 100
"""Longest folder name in UTF-8 bytes; file systems allow 255."""
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
"""Device names that Windows refuses, with any extension."""
KINDS_REFUSED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that folder names exclude: control, format (such as right-to-left overrides), surrogate,
unassigned.
"""


def folder_name(name: str) -> str:
    """One class name -> one path component: never empty, hidden, reserved, "." or "..", and without separators."""
    kinds = ((c, unicodedata.category(c)) for c in unicodedata.normalize("NFC", name))
    text = "".join("_" if kind in KINDS_REFUSED else " " if kind == "Zs" else c for c, kind in kinds)
    text = re.sub(r'[/\\:*?"<>|]', "_", text).strip()
    text = re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), text)
    text = text.encode()[:LONGEST].decode(errors="ignore").rstrip(". ")
    if text.partition(".")[0].strip().casefold() in RESERVED:
        text = f"_{text}"
    return text or "unnamed"


def folder_names(classes: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """A folder name for each class. All differ from each other and from `taken`, even if case and accent forms are
    ignored.

    The second of two equal names gets "-2", and so on.
    """
    used = {_key(name) for name in taken}
    # classes whose name needs no change keep it, whatever the order of the classes
    names = {c: name for c, name in enumerate(classes) if folder_name(name) == name}
    for c in sorted(range(len(classes)), key=lambda c: c not in names):
        base = name = folder_name(classes[c])
        number = 2
        while _key(name) in used:
            name, number = f"{base}-{number}", number + 1
        names[c] = name
        used.add(_key(name))
    return [names[c] for c in range(len(classes))]


def _key(name: str) -> str:
    """Equal for two names that some file system treats as the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
