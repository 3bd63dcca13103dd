"""A zip or tar archive as a place. The archive may be in any other place; its files may be in any folder inside it."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from flows.errors import ConfigurationError, DataError
from flows.places.base import Place, PlaceEntry, Raw, is_hidden
from flows.unpack import ZIP, Bounded, Limits, raising_data_errors, unpacked

# Where a tar's first header has its magic, https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
_TAR, _TAR_AT = b"ustar", 257
_EXPECTED = "expected a folder or an archive of the source's CSV files"


@dataclass(frozen=True, slots=True)
class Archive(Place):
    """The files of the archive `name`, which is in the place `where`."""

    where: Place
    name: str

    @property
    def limits(self) -> Limits:  # type: ignore[override]
        return self.where.limits

    def __str__(self) -> str:
        return self.where.path_of(self.name)

    def path_of(self, name: str) -> str:
        return f"{self}/{name}"

    def entries(self) -> list[PlaceEntry]:
        return [entry for path, entry in self._members() if not is_hidden(path)]

    def find(self, names: tuple[str, ...]) -> list[PlaceEntry]:
        # The generator's marker is a hidden file in the root and must match. macOS adds a hidden `__MACOSX/…` twin of each file,
        # with the same name; those must not.
        return [e for path, e in self._members() if e.name in names and (e.name == path or not is_hidden(path))]

    def open_raw(self, entry: PlaceEntry, expected: str, stack: ExitStack) -> Raw:
        whole = self._whole(expected, stack)
        member = entry.path.removeprefix(f"{self}/")
        with raising_data_errors(entry.path):
            if _head(whole.file, len(ZIP)) == ZIP:
                inside = stack.enter_context(zipfile.ZipFile(whole.file))
                file = cast(BinaryIO, stack.enter_context(inside.open(member)))
                packed = inside.getinfo(member).compress_size
            else:
                again = _TarMember(whole, member, self.limits)
                stack.callback(again.close)
                file, packed = cast(BinaryIO, again), whole.size
        return Raw(entry.path, Bounded.over(entry.path, file, packed, self.limits), entry.size, whole.state)

    def dispose(self, entries: Sequence[PlaceEntry], folder: str = "") -> int:
        """Dispose of the archive as a whole, if it has not changed since these files were listed."""
        whole = [one for one in self.where.find((self.name,)) if entries and one.version == entries[0].version]
        return self.where.dispose(whole, folder)

    def _members(self) -> list[tuple[str, PlaceEntry]]:
        """Each file with its path within the archive; empty if the archive does not exist.

        Raises:
            DataError: the archive is damaged.
            ConfigurationError: the file is not an archive.
        """
        if not (entries := self.where.find((self.name,))):
            return []
        members = _listed(self.where, entries[0])
        return [
            (
                path,
                PlaceEntry(PurePosixPath(path).name, size, entries[0].changed, self.path_of(path), entries[0].version),
            )
            for path, size in members
        ]

    def _whole(self, expected: str, stack: ExitStack) -> Raw:
        if not (entries := self.where.find((self.name,))):
            raise DataError(f"{self}: no such file; {expected}; put it there, or name another place with --data")
        return self.where.open_raw(entries[0], expected, stack)


def resolved(place: Place) -> Place:
    """The archive in a place, if that is all it holds, as with Kaggle's download; else the place itself."""
    only = None if isinstance(place, Archive) else place.only()
    return Archive(place, only.name) if only and is_archive(place, only.name) else place


def is_archive(place: Place, name: str) -> bool:
    """Whether this file is a zip or a tar, packed or not. A zip of a single CSV file is both an archive and a packed file."""
    with suppress(DataError), ExitStack() as stack:
        entries = [entry for entry in place.find((name,)) if not entry.is_folder]
        return bool(entries) and _kind(place.open_raw(entries[0], _EXPECTED, stack), place.limits) != ""
    return False


def _head(file: BinaryIO, size: int) -> bytes:
    head = file.read(size)
    file.seek(0)
    return head


def _kind(raw: Raw, limits: Limits) -> str:
    """`zip`, `tar`, or empty if it is neither."""
    if _head(raw.file, len(ZIP)) == ZIP:
        return "zip"
    with ExitStack() as stack:
        inner, _ = unpacked(raw.path, raw.file, raw.size, limits, stack)
        head = inner.read(_TAR_AT + len(_TAR))
    raw.file.seek(0)
    return "tar" if head[_TAR_AT:] == _TAR else ""


@lru_cache(maxsize=8)
def _listed(where: Place, entry: PlaceEntry) -> tuple[tuple[str, int], ...]:
    """Path and size of an archive's files. A tar has no index, so it is read through once."""
    with ExitStack() as stack:
        raw = where.open_raw(entry, _EXPECTED, stack)
        with raising_data_errors(raw.path):
            kind = _kind(raw, where.limits)
            if kind == "zip":
                inside = stack.enter_context(zipfile.ZipFile(raw.file))
                return tuple((i.filename, i.file_size) for i in inside.infolist() if not i.is_dir())
            if kind == "tar":
                inner, _ = unpacked(raw.path, raw.file, raw.size, where.limits, stack)
                stream = stack.enter_context(tarfile.open(fileobj=inner, mode="r|"))
                return tuple((m.name, m.size) for m in stream if m.isreg())
    raise ConfigurationError(f"{entry.path}: neither a folder nor a zip or tar archive; {_EXPECTED}")


class _TarMember(io.RawIOBase):
    """One member of a tar, reached by reading the tar from its start; `seek(0)` starts over."""

    def __init__(self, whole: Raw, member: str, limits: Limits) -> None:
        self._whole, self._member, self._limits = whole, member, limits
        self._begin()

    def _begin(self) -> None:
        self._stack = ExitStack()
        self._whole.file.seek(0)
        inner, _ = unpacked(self._whole.path, self._whole.file, self._whole.size, self._limits, self._stack)
        stream = self._stack.enter_context(tarfile.open(fileobj=inner, mode="r|"))  # noqa: SIM115
        for member in stream:
            if member.name == self._member and member.isreg():
                file = stream.extractfile(member)
                assert file is not None  # a regular member
                self._file = file
                return
        raise DataError(f"{self._whole.path}: changed while it was read: {self._member} is gone; run again")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes of the member."""
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Seek to the start; no other position is supported."""
        if (offset, whence) != (0, os.SEEK_SET):
            raise io.UnsupportedOperation("a member of a tar is read from its start")
        self._stack.close()
        self._begin()
        return 0

    def close(self) -> None:
        """Close the archive."""
        self._stack.close()
        super().close()
