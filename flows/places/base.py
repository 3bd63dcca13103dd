"""A place where a source's files lie → what is there, and one stream of bytes for each file, unpacked.

Landing knows no other way to read a file. A kind of place says what it holds and opens one file as it lies there; finding a file
by its contract's name, unpacking it and the words for what is amiss are the same for all. Nothing is written to the disk, and no
file is held in memory.
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

DONE = "done"  # the folder of a place into which files go that were loaded


@dataclass(frozen=True, slots=True)
class Entry:
    """What a place holds under a name. Two looks at a file that nobody wrote to in between give equal entries."""

    name: str  # without folders; a folder's ends in "/"
    size: int  # bytes as they lie there, so packed ones of a packed file; 0 of a folder
    changed: datetime  # in UTC; of a file within an archive: the archive's
    path: str  # for messages: the place, then the file, with its folders within an archive
    version: str = ""  # what else tells one content from another, such as an ETag

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder of files, which no run looks into."""
        return self.name.endswith("/")

    @property
    def contract_name(self) -> str:
        """The name that a contract gives the file: without `.gz` and the like."""
        return next((self.name.removesuffix(s) for s in SUFFIXES if self.name.endswith(s)), self.name)


@dataclass(slots=True)
class Raw:
    """A file as it lies in its place, being read: still packed, if it is; `file` can be read from any byte of it again."""

    path: str
    file: BinaryIO
    size: int
    state: Callable[[], str]  # what the place says of the file now; other words mean that somebody wrote to it


@dataclass(slots=True)
class Opened:
    """A file that is being read: its unpacked bytes, which may be read again after `file.seek(0)`; its path for messages (of a
    file in an archive: the archive's, then the file's); how many bytes it has, or about how many where that is not known."""

    path: str
    file: BinaryIO
    size: int
    _state: Callable[[], str] = field(repr=False)  # of the file as it lies there, or of its archive
    _before: str = field(repr=False)
    packed: str = ""  # gzip, zstd, bzip2, zip; empty: it is not

    def refuse_changed(self) -> None:
        """Raise DataError where somebody has written to the file (or to its archive) since it was opened."""
        now = self._state()
        if now != self._before:
            raise DataError(
                f"{self.path}: changed while it was read: expected {self._before} as at its start, got {now}; nothing of it was "
                "landed; run again once whatever writes it has finished"
            )


@dataclass(frozen=True, slots=True)
class File:
    """A place's file by the name that the contract gives it; the file itself may be packed, its name ending in `.gz` then.
    `entry`: how the place spells the name, where that is in another of Unicode's forms."""

    place: Place
    name: str
    entry: str = ""

    def __str__(self) -> str:
        return self.place.path_of(self.name)

    def open(self, expected: str = "") -> AbstractContextManager[Opened]:
        """As `Place.open`."""
        return self.place.open(self.entry or self.name, expected)


class Place(ABC):
    """Where files lie. `str(place)` is what names it: a path, or an address that holds no secret.

    Listing and opening raise ConfigurationError where the place may not be looked into, InfrastructureError where it does not
    answer; DataError tells what is wrong with a file.
    """

    limits: Limits

    def __truediv__(self, name: str) -> File:
        return File(self, name)

    def file(self, name: str, entry: str) -> File:
        """A file that a listing has as `entry`; which says no more than the name, unless it is spelt in another form."""
        return File(self, name, "" if entry.startswith(name) else entry)

    @abstractmethod
    def entries(self) -> list[Entry]:
        """What is there, by name, hidden files left out; nothing where there is no such place."""

    @abstractmethod
    def path_of(self, name: str) -> str:
        """How messages name a file of this place, whether it is there or not."""

    @abstractmethod
    def open_raw(self, entry: Entry, expected: str, stack: ExitStack) -> Raw:
        """Open a file as it lies there, until `stack` ends; `expected` says in messages what it should be."""

    def find(self, names: tuple[str, ...]) -> list[Entry]:
        """The files with one of these names, hidden ones too."""
        return [entry for entry in self.entries() if entry.name in names]

    @contextmanager
    def open(self, name: str, expected: str = "") -> Iterator[Opened]:
        """Open the file `name`, packed or not; `expected` says in messages what it should be.

        Raises:
            DataError: there is no such file, two of them, it may not be read, it is packed badly or twice, or unpacks to more
                than the limits; also while it is read.
        """
        expected = expected or f"expected the file {name}"
        with ExitStack() as stack:
            raw = self.open_raw(self._one(name, expected), expected, stack)
            before = raw.state()
            kind = packing(raw.file)
            file, size = unpacked(raw.path, raw.file, raw.size, self.limits, stack)
            packed = "" if file is raw.file else kind
            yield Opened(raw.path, file, size, raw.state, before, packed)

    def only(self) -> Entry | None:
        """What the place holds, if that is one thing alone."""
        found = [entry for entry in self.entries() if entry.name != f"{DONE}/"]  # where `dispose` puts what was loaded
        return found[0] if len(found) == 1 else None

    def dispose(self, entries: Sequence[Entry], folder: str = "") -> int:
        """Move files into a folder of the place, or delete them where none is named; how many. What somebody has written to
        since, or what is gone, is left: done twice, it changes nothing more.

        Raises:
            ConfigurationError: that may not be done here; the message says what it takes.
        """
        raise ConfigurationError(f"{self}: files of this kind of place cannot be moved; leave them: after: left")

    def size_of(self, name: str) -> int:
        """About how large a file is, as it lies there; 0 where there is none."""
        return next((entry.size for entry in self.find(packed_names(name))), 0)

    def read_small(self, name: str, most: int = 1024 * 1024) -> bytes | None:
        """The bytes of a small file that is not packed; None where there is none, or several."""
        found = self.find((name,))
        if len(found) != 1:
            return None
        with ExitStack() as stack:
            return self.open_raw(found[0], f"expected the file {name}", stack).file.read(most)

    def _one(self, name: str, expected: str) -> Entry:
        names = packed_names(name)
        found = self.find(names)
        if len(found) == 1:
            return found[0]
        if found:
            twice = " and ".join(entry.path.removeprefix(f"{self}/") for entry in found)
            raise DataError(f"{self}: holds {twice}; {expected} once; remove the one that is not to be loaded")
        path = self.path_of(name)
        folded = {one.casefold() for one in names}
        if near := [entry.name for entry in self.entries() if entry.name.casefold() in folded]:
            raise DataError(f"{path}: no such file, but {near[0]}, which differs in letter case; {expected}; rename it")
        raise DataError(f"{path}: no such file; {expected}; put it there, or name another place with --data")


def packed_names(name: str) -> tuple[str, ...]:
    """The names that a file may have whose name in the contract is `name`."""
    return (name, *(name + suffix for suffix in SUFFIXES))


def is_hidden(path: str) -> bool:
    """Whether a system put this there and not whoever fills the place: `__MACOSX/`, `._name`, `.DS_Store`."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(path).parts)
