"""The base class of places, where a source's files are: lists files, and opens each as a stream of unpacked bytes.

Landing reads files only through this. A subclass lists its files and opens the stored bytes of one; finding a file by its name
in the contract, unpacking, and error messages are shared. Nothing is written to disk, and no file is held in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO

from flows.errors import ConfigurationError, DataError
from flows.unpack import SUFFIXES, Limits, packing, unpacked

DONE = "done"  # the folder of a place into which loaded files are moved


@dataclass(frozen=True, slots=True)
class PlaceEntry:
    """A file or folder in a place. Listing an unchanged file twice gives equal entries."""

    name: str  # without folders; a folder's name ends in "/"
    size: int  # stored bytes, so the packed size of a packed file; 0 for a folder
    changed: datetime  # in UTC; for a file within an archive, the archive's time
    path: str  # for messages: the place, then the file, with its folders within an archive
    version: str = ""  # anything else that changes with the content, such as an ETag

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder. Runs do not descend into folders."""
        return self.name.endswith("/")


@dataclass(slots=True)
class Raw:
    """An open file as it is stored, so still packed if it was. `file` is seekable."""

    path: str
    file: BinaryIO
    size: int
    state: Callable[[], str]  # describes the stored file now; a different text means that somebody wrote to it


@dataclass(slots=True)
class Opened:
    """An open file, unpacked.

    `file` can be read again after `file.seek(0)`. `path` is for messages; in an archive it is the archive's path, then the
    file's. `size` is the unpacked size, estimated if the packed file does not record it."""

    path: str
    file: BinaryIO
    size: int
    _state: Callable[[], str] = field(repr=False)  # of the stored file, or of its archive
    _before: str = field(repr=False)
    packed: str = ""  # gzip, zstd, bzip2 or zip; empty: not packed

    def refuse_changed(self) -> None:
        """Raise DataError if somebody has written to the file (or to its archive) since it was opened."""
        now = self._state()
        if now != self._before:
            raise DataError(
                f"{self.path}: changed while it was read: expected {self._before} as at its start, got {now}; nothing of it was "
                "landed; run again once whatever writes it has finished"
            )


@dataclass(frozen=True, slots=True)
class File:
    """A file of a place by its name in the contract. The stored file may be packed; its name then ends in `.gz` or the like.
    `entry`: the name as the place spells it, if that is in another Unicode form."""

    place: Place
    name: str
    entry: str = ""

    def __str__(self) -> str:
        return self.place.path_of(self.name)

    def open(self, expected: str = "") -> AbstractContextManager[Opened]:
        """As `Place.open`."""
        return self.place.open(self.entry or self.name, expected)


class Place(ABC):
    """Where files are. `str(place)` is its path or URL, without secrets.

    Listing and opening raise ConfigurationError if access is denied, InfrastructureError if the place does not answer, and
    DataError if something is wrong with a file.
    """

    limits: Limits

    def __truediv__(self, name: str) -> File:
        return File(self, name)

    def file(self, name: str, entry: str) -> File:
        """The file `name`, which the place lists as `entry`. `entry` is kept only if it is spelt in another Unicode form."""
        return File(self, name, "" if entry.startswith(name) else entry)

    @abstractmethod
    def entries(self) -> list[PlaceEntry]:
        """The files and folders by name, without hidden ones; empty if the place does not exist."""

    @abstractmethod
    def path_of(self, name: str) -> str:
        """The path of a file for messages, whether the file exists or not."""

    @abstractmethod
    def open_raw(self, entry: PlaceEntry, expected: str, stack: ExitStack) -> Raw:
        """Open a file as it is stored, until `stack` closes; `expected` says in messages what it should be."""

    def find(self, names: tuple[str, ...]) -> list[PlaceEntry]:
        """The files with one of these names, including hidden ones."""
        return [entry for entry in self.entries() if entry.name in names]

    @contextmanager
    def open(self, name: str, expected: str = "") -> Iterator[Opened]:
        """Open the file `name`, packed or not; `expected` says in messages what it should be.

        Raises:
            DataError: the file does not exist, exists twice, may not be read, is damaged or packed twice, or unpacks to more
                than the limits. May also be raised while the file is read.
        """
        expected = expected or f"expected the file {name}"
        with ExitStack() as stack:
            raw = self.open_raw(self._one(name, expected), expected, stack)
            before = raw.state()
            kind = packing(raw.file)
            file, size = unpacked(raw.path, raw.file, raw.size, self.limits, stack)
            packed = "" if file is raw.file else kind
            yield Opened(raw.path, file, size, raw.state, before, packed)

    def only(self) -> PlaceEntry | None:
        """The only entry of the place; None if it holds several, or nothing."""
        entries = [entry for entry in self.entries() if entry.name != f"{DONE}/"]  # where `dispose` moves loaded files
        return entries[0] if len(entries) == 1 else None

    def dispose(self, entries: Sequence[PlaceEntry], folder: str = "") -> int:
        """Move files into a folder of the place, or delete them if no folder is named. Returns how many.

        Files that were changed or removed since they were listed are skipped, so repeating the call changes nothing.

        Raises:
            ConfigurationError: moving or deleting is not allowed here; the message says how to allow it.
        """
        raise ConfigurationError(f"{self}: files of this kind of place cannot be moved; leave them: after: left")

    def size_of(self, name: str) -> int:
        """The stored size of a file; 0 if it does not exist."""
        return next((entry.size for entry in self.find(packed_names(name))), 0)

    def read_small(self, name: str, most: int = 1024 * 1024) -> bytes | None:
        """The bytes of a small file that is not packed; None if it does not exist, or exists several times."""
        entries = self.find((name,))
        if len(entries) != 1:
            return None
        with ExitStack() as stack:
            return self.open_raw(entries[0], f"expected the file {name}", stack).file.read(most)

    def _one(self, name: str, expected: str) -> PlaceEntry:
        names = packed_names(name)
        entries = self.find(names)
        if len(entries) == 1:
            return entries[0]
        if entries:
            twice = " and ".join(entry.path.removeprefix(f"{self}/") for entry in entries)
            raise DataError(f"{self}: holds {twice}; {expected} once; remove the one that is not to be loaded")
        path = self.path_of(name)
        folded = {one.casefold() for one in names}
        if near := [entry.name for entry in self.entries() if entry.name.casefold() in folded]:
            raise DataError(f"{path}: no such file, but {near[0]}, which differs in letter case; {expected}; rename it")
        raise DataError(f"{path}: no such file; {expected}; put it there, or name another place with --data")


def packed_names(name: str) -> tuple[str, ...]:
    """The names under which a file may be stored whose name in the contract is `name`."""
    return (name, *(name + suffix for suffix in SUFFIXES))


def is_hidden(path: str) -> bool:
    """Whether an operating system created this file, not the sender: `__MACOSX/`, `._name`, `.DS_Store`."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(path).parts)
