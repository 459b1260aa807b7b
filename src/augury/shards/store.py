"""Where shards lie: a local folder, or a folder behind any fsspec address. A file is there as a whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, final

from augury.data.decoding.safety import extra
from augury.errors import RunFolderError
from augury.files import atomic_path, check_folder_name, explained, sweep

REMOTE = "://"
"""What an fsspec address has in it: s3://bucket/folder, gs://, memory://, …"""


class ShardStore(ABC):
    """A folder of files that are written as a whole. `address` is its path as given."""

    address: str

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Name -> bytes of each file, without hidden ones."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of one file; None where there is no such file."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """A file to read; raises FileNotFoundError."""

    @abstractmethod
    def writing(self, name: str) -> Any:
        """Context manager: a local path to write to; the file appears under its name when the block ends without an error."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file if it exists."""

    @abstractmethod
    def tidy(self) -> None:
        """Remove what killed processes left unfinished. Call it only when no process writes."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is no such file."""
        try:
            with self.open(name) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole."""
        with self.writing(name) as temporary:
            temporary.write_bytes(content)


@final
class LocalStore(ShardStore):
    """A folder of this machine, or of a shared file system."""

    def __init__(self, folder: Path) -> None:
        self.address, self.folder = str(folder), folder
        if folder.exists() and not folder.is_dir():
            raise RunFolderError(f"{folder}: a file is in the way of this folder; choose another folder with -o")

    def sizes(self) -> dict[str, int]:
        """As `ShardStore.sizes`."""
        if not self.folder.is_dir():
            return {}
        sizes = {}
        for path in self.folder.iterdir():
            if not path.name.startswith("."):
                with suppress(FileNotFoundError):  # another process has just removed it
                    sizes[path.name] = path.stat().st_size
        return sizes

    def size(self, name: str) -> int | None:
        """As `ShardStore.size`."""
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, name: str) -> IO[bytes]:
        """As `ShardStore.open`."""
        return (self.folder / name).open("rb")

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """As `ShardStore.writing`: a temporary sibling is renamed."""
        with atomic_path(self.folder / name) as temporary:
            yield temporary

    def remove(self, name: str) -> None:
        """As `ShardStore.remove`."""
        (self.folder / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """As `ShardStore.tidy`."""
        sweep(self.folder)


@final
class RemoteStore(ShardStore):
    """A folder behind an fsspec address. A file is written on this machine first and then stored in one call."""

    def __init__(self, address: str) -> None:
        fsspec = extra("fsspec", f"writing to {address}", "scale")
        self.address = address.rstrip("/")
        try:
            self.files, self.root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise RunFolderError(
                f"{address}: fsspec cannot open this address ({error}); install the package that it names, or choose another with -o"
            ) from error

    def sizes(self) -> dict[str, int]:
        """As `ShardStore.sizes`."""
        self.files.invalidate_cache()
        with self._explained("list"):
            entries = self.files.ls(self.root, detail=True) if self.files.exists(self.root) else []
        named = {str(entry["name"]).rpartition("/")[2]: int(entry["size"] or 0) for entry in entries}
        return {name: size for name, size in named.items() if name and not name.startswith(".")}

    def size(self, name: str) -> int | None:
        """As `ShardStore.size`."""
        self.files.invalidate_cache()
        try:
            with self._explained("read"):
                return int(self.files.info(f"{self.root}/{name}")["size"] or 0)
        except FileNotFoundError:
            return None

    def open(self, name: str) -> IO[bytes]:
        """As `ShardStore.open`."""
        with self._explained("read"):
            file: IO[bytes] = self.files.open(f"{self.root}/{name}", "rb")
            return file

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """As `ShardStore.writing`."""
        with explained(Path(os.environ.get("TMPDIR", "/tmp"))):
            folder = Path(tempfile.mkdtemp())
        try:
            with explained(folder.parent):
                yield folder / name
            with self._explained("write"):
                self.files.makedirs(self.root, exist_ok=True)
                self.files.put_file(str(folder / name), f"{self.root}/{name}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self, name: str) -> None:
        """As `ShardStore.remove`."""
        with self._explained("change"):
            if self.files.exists(f"{self.root}/{name}"):
                self.files.rm_file(f"{self.root}/{name}")

    def tidy(self) -> None:
        """As `ShardStore.tidy`; there is nothing to remove."""

    @contextmanager
    def _explained(self, purpose: str) -> Iterator[None]:
        """Turn any exception of a file system's package into RunFolderError; a file to read may be missing."""
        try:
            yield
        except Exception as error:
            if purpose == "read" and isinstance(error, FileNotFoundError):
                raise
            message = " ".join(str(error).split())[:300] or type(error).__name__
            raise RunFolderError(
                f"{self.address}: this address cannot be used to {purpose} ({message}); check credentials and permissions, and run the "
                "same command again: finished shards are kept"
            ) from error


def open_store(address: str) -> ShardStore:
    """The folder at a path or fsspec address.

    Parameters
    ----------
    address
        Path of a folder, new or not, or an address such as s3://bucket/folder.

    Returns
    -------
    Its store; nothing is created yet.

    Raises
    ------
    MissingExtraError
        For an address without fsspec.
    SettingsError
        For a path that ends as a file does.
    RunFolderError
        For an address that fsspec cannot open, and a file in the way of the folder.
    """
    if REMOTE in address:
        return RemoteStore(address)
    check_folder_name(Path(address))
    return LocalStore(Path(address))


def absolute(output: str | os.PathLike[str]) -> str:
    """The path or address as every worker finds it."""
    text = os.fspath(output)
    return text if REMOTE in text else str(Path(text).resolve())
