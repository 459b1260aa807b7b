"""Files that a reader skipped: counted by extension or reason, and described with the next step."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from augury.data.decoding.codecs import extension
from augury.images import LabelledImages

HIDDEN, SYSTEM = "hidden", "system folders"
OUTSIDE, LOOP = "links that lead outside", "links in a loop"
IN_ROOT, UNNAMED, MASKS = "images directly in the root", "images that no row names", "masks"
LABELS_ONLY = "label files without an image"
NO_EXTENSION = "without an extension"
SYSTEM_FOLDERS = frozenset(
    ("__MACOSX", "__pycache__", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information")
)
"""Folders of operating systems, which hold no images of the user's."""
_CONVERT = "convert to JPEG or PNG"
_DEVELOP = "save as JPEG, PNG or TIFF from a raw converter"
_UNPACK = "unpack beside the images, or give the archive as the data"
NEXT_STEPS: Mapping[str, str] = {
    **dict.fromkeys((".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".tga", ".psd", ".svg", ".avif"), _CONVERT),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".raw"), _DEVELOP),
    **dict.fromkeys((".zip", ".rar", ".7z", ".tar", ".tgz"), _UNPACK),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), "save frames as images"),
    **dict.fromkeys((".nii", ".nii.gz", ".mha", ".nrrd"), "save slices as PNG or DICOM"),
    **dict.fromkeys((".npy", ".npz", ".mat", ".h5", ".hdf5"), "save the arrays in one .npz with images and labels"),
    ".pdf": "save the pages as images",
    **dict.fromkeys((".csv", ".tsv", ".parquet"), "give this file as the data if it names the classes"),
    OUTSIDE: "copy their files, or allow the folder where they lie with --follow-links FOLDER (follow_links=)",
    MASKS: "beside the images that they belong to; rename them if they are images of their own",
    IN_ROOT: "put into class folders",
    UNNAMED: "add rows if they belong to the data",
    LABELS_ONLY: "give each the name of its image up to the first dot",
}
"""What the user can do, by extension or reason."""
DOCUMENTS = frozenset(
    (".txt", ".md", ".markdown", ".rst", ".html", ".htm", ".css", ".js", ".pdf", ".doc", ".docx", ".odt", ".tex", ".bib", ".log", ".py",
     ".ipynb", ".sh", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".xml", ".csv", ".tsv", ".xlsx")
)  # fmt: skip
"""Extensions of documents, programs and tables, of which no image is lost when they are skipped."""
_BLANKS = re.compile(r"(?<=[^\W\d_])[\s_-]+|[\s_-]+(?=[^\W\d_])")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".z")
_UNREMARKABLE = (HIDDEN, SYSTEM)


@dataclass
class SkippedFiles:
    """What a reader met and skipped.

    Parameters
    ----------
    counts
        Number of files (or links) by extension or reason.
    folders
        Every folder met, as the components of its path, with the counts of what was skipped directly in it.
    """

    counts: Counter[str] = field(default_factory=Counter)
    folders: dict[tuple[str, ...], Counter[str]] = field(default_factory=dict)

    def enter(self, folder: Sequence[str]) -> None:
        """Record a folder, and the folders that contain it."""
        if (whole := tuple(folder)) in self.folders:
            return
        for depth in range(1, len(whole) + 1):
            self.folders.setdefault(whole[:depth], Counter())

    def add(self, reason: str, folder: Sequence[str] = (), count: int = 1) -> None:
        """Count files that were skipped in a folder."""
        if count:
            self.counts[reason] += count
            self.enter(folder)
            if folder:
                self.folders[tuple(folder)][reason] += count

    def add_file(self, name: str, folder: Sequence[str] = ()) -> None:
        """Count a file that is no image, by its extension."""
        self.add(extension(name) or NO_EXTENSION, folder)

    def by_class(self, labels: Mapping[tuple[str, ...], str]) -> dict[str, int]:
        """Count the skipped files of each class, without hidden ones.

        `labels` maps the path of each image to its class. A folder belongs to the class of all images in it or, where it
        holds none, in the folder around it; files of folders that several classes share are not counted.
        """
        owners: dict[tuple[str, ...], set[str]] = {}
        for path, label in labels.items():
            for depth in range(1, len(path)):
                owners.setdefault(path[:depth], set()).add(label)
        total: Counter[str] = Counter()
        for folder, counts in self.folders.items():
            around = (folder[:depth] for depth in range(len(folder), 0, -1))
            classes = next((owners[path] for path in around if path in owners), set())
            if len(classes) == 1:
                total[next(iter(classes))] += sum(n for reason, n in counts.items() if reason not in _UNREMARKABLE)
        return dict(+total)

    def within(self, folder: Sequence[str]) -> str:
        """Describe what was skipped in a folder and below it: "30 .heic", or "empty"."""
        return listed(self._below(folder)) or "empty"

    def documents_alone(self, folder: Sequence[str]) -> bool:
        """Whether a folder and those below it hold documents, and beside them at most files without an extension."""
        reasons = self._below(folder).keys() - set(_UNREMARKABLE)
        return bool(reasons & DOCUMENTS) and reasons <= DOCUMENTS | {NO_EXTENSION}

    def _below(self, folder: Sequence[str]) -> Counter[str]:
        """Counts of what was skipped in a folder and below it."""
        top = tuple(folder)
        total: Counter[str] = Counter()
        for path, counts in self.folders.items():
            if path[: len(top)] == top:
                total += counts
        return total


def others(folder: Path, used: Collection[str]) -> Counter[str]:
    """Count the files of a folder that are not `used`, by extension."""
    skipped = SkippedFiles()
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            skipped.add(HIDDEN)
        elif entry.name not in used and entry.is_file():
            skipped.add_file(entry.name)
    return skipped.counts


def next_step(reason: str) -> str:
    """Return what the user can do about files skipped for this reason or extension; "" for nothing."""
    return NEXT_STEPS.get(reason) or (_UNPACK if reason.startswith(".") and reason.endswith(_PACKED) else "")


def listed(counts: Mapping[str, int], *, steps: int = 0, most: int = 8) -> str:
    """Return counts as text, the largest first, with the next step for the first `steps` that have one.

    "30 .heic (convert to JPEG or PNG), 2 hidden"
    """
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    helped = [reason for reason, _ in ranked if next_step(reason)][:steps]
    shown = [
        f"{count:,} {reason}" + (f" ({next_step(reason)})" if reason in helped else "") for reason, count in ranked
    ]
    return ", ".join([*shown, *(["…"] if len(counts) > most else [])])


def skipped_lines(data: LabelledImages, subject: str = "") -> list[str]:
    """Return sentences for the user about skipped files, classes without images, and names that look alike.

    `subject` begins each sentence ("synthetic images: ").
    """
    lines = []
    counts: Mapping[str, int] = data.notes.get("ignored", {})
    if set(counts) - set(_UNREMARKABLE):
        total = sum(counts.values())
        lines.append(f"{total:,} {'file was' if total == 1 else 'files were'} skipped: {listed(counts, steps=2)}")
    if empty := data.notes.get("empty_classes"):
        lines.append(f"no image was read for {_shown(empty)}; the data have no such class")
    if documents := data.notes.get("document_folders"):
        lines.append(f"folders without any image are no classes: {_shown(documents)}")
    named = {"classes": similar(data.classes), "groups": data.notes.get("similar_groups", [])}
    named |= {f"values of '{name}'": similar(attribute.values) for name, attribute in data.attributes.items()}
    for what, clusters in named.items():
        for names in clusters[:3]:
            lines.append(
                f"the {what} {' and '.join(repr(name) for name in names)} differ by case, blanks or the like alone; give them one "
                "name if they mean the same"
            )
    return [subject + line for line in lines]


def empty_complaint(empty: Mapping[str, str], counts: Mapping[str, int]) -> str:
    """Return the error about class folders that yield no image. `counts` are those of all skipped files."""
    lying = {reason: count for reason, count in counts.items() if any(reason in content for content in empty.values())}
    helped = [reason for reason in sorted(lying, key=lambda reason: -lying[reason]) if next_step(reason)][:2]
    steps = "".join(f"{reason}: {next_step(reason)}. " for reason in helped)
    return (
        f"no image can be read in {'these class folders' if len(empty) > 1 else 'this class folder'}: {_shown(empty)}. {steps}"
        "Add images, remove the folder, or go on without it with on_bad='skip' (--on-bad skip)"
    )


def similar(names: Sequence[str]) -> list[list[str]]:
    """Group the names that differ by case, blanks, dashes or underscores alone."""
    by_key: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        by_key.setdefault(plain_name(name), []).append(name)
    return [same for key, same in by_key.items() if key and len(same) > 1]


def plain_name(name: str) -> str:
    """Return a name in one Unicode form without case, and without blanks, dashes and underscores beside letters."""
    return _BLANKS.sub("", unicodedata.normalize("NFKC", name).casefold()).strip()


def _shown(empty: Mapping[str, str], most: int = 5) -> str:
    shown = ", ".join(f"'{name}' ({content})" for name, content in list(empty.items())[:most])
    return shown + (f" and {len(empty) - most:,} more" if len(empty) > most else "")
