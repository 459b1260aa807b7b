"""Recognise the names of splits in all usual spellings, such as Training, test_set, val2017, seg_train or holdout."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

TRAIN, VALIDATION, TEST = range(3)
WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), TRAIN),
    **dict.fromkeys(("validation", "validate", "valid", "val", "development", "dev", "publictest"), VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout", "privatetest", "evaluation", "eval"), TEST),
}
"""One word, in lower case -> code into `augury.images.SPLITS`."""
UNCLEAR = ("evaluation", "eval")
"""The test split, unless another name is the test split; then validation."""
_FILLER_WORDS = "set sets data dataset datasets image images img imgs pictures photos split part folder samples"
_FILLERS = frozenset(_FILLER_WORDS.split())
_GLUED = re.compile(rf"({'|'.join(sorted(WORDS, key=len, reverse=True))})({'|'.join(_FILLERS)})")
_PREFIX = re.compile(rf"({'|'.join(sorted([*WORDS, 't10k'], key=len, reverse=True))})(?=[-_.]|\d|$)", re.IGNORECASE)


def split_code(name: str) -> int:
    """Return the split that a folder or a value is named after: "Test_Set" -> 2; -1 for none."""
    word, others = _parsed(name)
    return -1 if word is None or others else WORDS[word]


def split_codes(names: Iterable[str]) -> dict[str, int]:
    """Return the split of each name that names one, among names that stand side by side.

    Other words in a name are accepted where at least two names share them and name different splits: seg_train beside
    seg_test. "evaluation" is the test split, or validation where another name is the test split.
    """
    parsed = {name: _parsed(name) for name in names}
    codes = {name: WORDS[word] for name, (word, _) in parsed.items() if word is not None}
    by_others: dict[tuple[str, ...], set[int]] = {}
    for name in codes:
        by_others.setdefault(parsed[name][1], set()).add(codes[name])
    codes = {name: code for name, code in codes.items() if not parsed[name][1] or len(by_others[parsed[name][1]]) > 1}
    unclear = [name for name in codes if parsed[name][0] in UNCLEAR]
    if any(code == TEST for name, code in codes.items() if name not in unclear):
        codes |= dict.fromkeys(unclear, VALIDATION)
    return codes


def is_exact(name: str) -> bool:
    """Whether a name is the word for a split alone, without numbers or other words."""
    return name.strip().casefold() in WORDS


def split_prefix(text: str) -> int:
    """Return the split that a file name begins with: "train-00001.tar" -> 0; -1 for none."""
    match = _PREFIX.match(text)
    return -1 if match is None else WORDS.get(match[1].casefold(), TEST)  # t10k is MNIST's test split


def split_prefixes(paths: Sequence[tuple[str, ...]]) -> list[int] | None:
    """Return the split of each relative path, or None unless every path names one.

    The path components are tried from the outermost folder to the file name, then file names that share other words,
    such as birds-train-000.tar and birds-test-000.tar.
    """
    codes = [next((code for code in map(split_prefix, path) if code >= 0), -1) for path in paths]
    if codes and min(codes) >= 0:
        return codes
    stems = [path[-1].partition(".")[0] for path in paths]
    by_stem = split_codes(stems)
    return [by_stem[stem] for stem in stems] if stems and len(by_stem) == len(set(stems)) else None


@lru_cache(maxsize=4096)
def _parsed(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the word for a split in a name (None unless there is exactly one), and the other words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    tokens = re.findall(r"[^\W\d_]+", spaced.casefold())
    joined = "".join(tokens)
    if joined in WORDS:  # held-out, Public Test
        return joined, ()
    words = [match[1] if (match := _GLUED.fullmatch(token)) else token for token in tokens]
    split_words = list(dict.fromkeys(word for word in words if word in WORDS))
    if len(split_words) != 1:
        return None, ()
    return split_words[0], tuple(word for word in words if word not in WORDS and word not in _FILLERS)
