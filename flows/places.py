"""Where a source's files are: a folder, or a zip or tar archive → one stream of bytes for each file, unpacked.

A file may be packed (gzip, zstd, bzip2, a zip of one file), in a folder as in an archive. What a file is, its first bytes say,
not its name. Nothing is written to the disk, and no file is held in memory.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from flows.errors import ConfigurationError, DataError
from flows.unpack import DEFAULT, READ_BYTES, SUFFIXES, ZIP, Bounded, Limits, told, unpacked

# Where a tar's first header has its magic, https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
_TAR, _TAR_AT = b"ustar", 257


@dataclass(slots=True)
class Opened:
    """A file that is being read: its unpacked bytes, which may be read again after `file.seek(0)`; its path (within an archive:
    the archive's, then the member's); how many bytes it has, or about how many where that is not known."""

    path: Path
    file: BinaryIO
    size: int
    _whole: BinaryIO = field(repr=False)  # the file on the disk
    _before: os.stat_result = field(repr=False)

    def refuse_changed(self) -> None:
        """Raise DataError where somebody has written to the file (or to its archive) since it was opened."""
        before, now = self._before, os.fstat(self._whole.fileno())
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise DataError(
                f"{self.path}: changed while it was read ({before.st_size:,} bytes before, {now.st_size:,} now); nothing of it "
                "was landed; run again once whatever writes it has finished"
            )


@dataclass(frozen=True, slots=True)
class _Member:
    name: str  # within the archive, with its folders
    size: int


def resolve(folder: Path) -> Path:
    """The place that a source's folder stands for: the archive in it where that is all that it holds, as Kaggle's download."""
    names = holds(folder) if folder.is_dir() else []
    if len(names) == 1 and is_archive(folder / names[0]):
        return folder / names[0]
    return folder


def is_archive(path: Path) -> bool:
    """Whether this is a zip of several files or a tar, packed or not."""
    with suppress(OSError, DataError), path.open("rb") as file:
        return _archive_kind(path, file) != ""
    return False


def holds(place: Path) -> list[str]:
    """The names of a place's files (of an archive: without their folders), hidden ones left out; none where there is no such
    place."""
    if place.is_dir():
        return sorted(p.name for p in place.iterdir() if not p.name.startswith("."))
    return sorted({PurePosixPath(m.name).name for m in _members(place)}) if place.is_file() else []


def size_of(place: Path, name: str) -> int:
    """About how large a file is, as it is on the disk; 0 where there is none."""
    if place.is_dir():
        paths = [place / (name + suffix) for suffix in ("", *SUFFIXES)]
        return next((path.stat().st_size for path in paths if path.is_file()), 0)
    if not place.is_file():
        return 0
    sizes = {PurePosixPath(m.name).name: m.size for m in _members(place)}
    return next((sizes[name + suffix] for suffix in ("", *SUFFIXES) if name + suffix in sizes), 0)


def read_small(place: Path, name: str, most: int = 1024 * 1024) -> bytes | None:
    """The bytes of a small file that is not packed; None where there is none."""
    if place.is_dir():
        path = place / name
        return path.read_bytes()[:most] if path.is_file() else None
    found = [m for m in _members(place, hidden=True) if PurePosixPath(m.name).name == name] if place.is_file() else []
    if len(found) != 1:
        return None
    with ExitStack() as stack:
        whole = stack.enter_context(place.open("rb", buffering=READ_BYTES))
        return _in_archive(place, whole, found[0], DEFAULT, stack).read(most)


@contextmanager
def opened(place: Path, name: str, limits: Limits = DEFAULT, expected: str = "") -> Iterator[Opened]:
    """Open the file `name` of a place, packed or not; `expected` says in messages what it should be.

    Raises:
        DataError: there is no such file, two of them, it may not be read, it is packed badly or twice, or unpacks to more than
            the limits; also while it is read.
    """
    expected = expected or f"expected the file {name}"
    with ExitStack() as stack:
        if _is_file(place):
            member = _member(place, name, expected)
            path = place / member.name
            whole = stack.enter_context(_open(place, expected))
            packed, size = _in_archive(place, whole, member, limits, stack), member.size
        else:
            path = _path(place, name, expected)
            whole = stack.enter_context(_open(path, expected))
            packed, size = whole, os.fstat(whole.fileno()).st_size
        before = os.fstat(whole.fileno())
        file, size = unpacked(path, packed, size, limits, stack)
        yield Opened(path, file, size, whole, before)


def _is_file(place: Path) -> bool:
    """Whether a place is a file, so an archive; a folder that may not be looked into is none."""
    with suppress(OSError):
        return place.is_file()
    return False


def _path(folder: Path, name: str, expected: str) -> Path:
    try:
        found = [folder / (name + s) for s in ("", *SUFFIXES) if (folder / (name + s)).exists()]
        there = holds(folder) if folder.is_dir() else []
    except OSError:
        return folder / name  # `_open` says why it cannot be read
    if len(found) > 1:
        raise DataError(_twice(folder, [p.name for p in found], expected))
    if found:
        return found[0]
    raise DataError(_missing(folder / name, name, there, expected))


def _member(archive: Path, name: str, expected: str) -> _Member:
    members = _members(archive)
    found = [m for m in members if PurePosixPath(m.name).name in {name + s for s in ("", *SUFFIXES)}]
    if len(found) > 1:
        raise DataError(_twice(archive, [m.name for m in found], expected))
    if found:
        return found[0]
    raise DataError(_missing(archive / name, name, [PurePosixPath(m.name).name for m in members], expected))


def _twice(place: Path, names: list[str], expected: str) -> str:
    return f"{place}: holds {' and '.join(names)}; {expected} once; remove the one that is not to be loaded"


def _missing(path: Path, name: str, there: list[str], expected: str) -> str:
    near = [one for one in there if one.casefold() in {(name + s).casefold() for s in ("", *SUFFIXES)}]
    if near:
        return f"{path}: no such file, but {near[0]}, which differs in letter case; {expected}; rename it"
    return f"{path}: no such file; {expected}; put it there, or name another folder or archive with --data"


def _open(path: Path, expected: str) -> BinaryIO:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: {'a directory' if path.is_dir() else 'not a regular file'}; {expected}")
        return path.open("rb", buffering=READ_BYTES)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {expected}; put it there, or name another folder with --data") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read by this user (permission denied); {expected}; chmod it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {expected}") from error


def _archive_kind(path: Path, file: BinaryIO) -> str:
    """`zip`, `tar` or nothing; a zip of one CSV file beside others is a packed file, but alone it is an archive as well."""
    head = file.read(16)
    if head.startswith(ZIP):
        return "zip"
    file.seek(0)
    with ExitStack() as stack:
        inner, _ = unpacked(path, file, os.fstat(file.fileno()).st_size, DEFAULT, stack)
        return "tar" if inner.read(_TAR_AT + len(_TAR))[_TAR_AT:] == _TAR else ""


def _members(archive: Path, hidden: bool = False) -> tuple[_Member, ...]:
    """The files of an archive; what a system hides in it (`__MACOSX/`, `._name`, `.DS_Store`) left out unless `hidden`.

    Raises:
        DataError: the archive is damaged.
        ConfigurationError: this file is no archive.
    """
    about = archive.stat()
    found = _listed(archive, about.st_size, about.st_mtime_ns)
    if hidden:
        return found
    return tuple(m for m in found if not any(p.startswith((".", "__MACOSX")) for p in PurePosixPath(m.name).parts))


@lru_cache(maxsize=8)
def _listed(archive: Path, size: int, _changed: int) -> tuple[_Member, ...]:
    """A tar has no list of its members: it is read through once."""
    with archive.open("rb", buffering=READ_BYTES) as file, told(archive):
        kind = _archive_kind(archive, file)
        file.seek(0)
        if kind == "zip":
            with zipfile.ZipFile(file) as inside:
                return tuple(_Member(i.filename, i.file_size) for i in inside.infolist() if not i.is_dir())
        if kind == "tar":
            with ExitStack() as stack:
                inner, _ = unpacked(archive, file, size, DEFAULT, stack)
                with tarfile.open(fileobj=inner, mode="r|") as stream:
                    return tuple(_Member(m.name, m.size) for m in stream if m.isreg())
    raise ConfigurationError(
        f"{archive}: neither a folder nor a zip or tar archive; expected the place of the source's CSV files"
    )


def _in_archive(archive: Path, whole: BinaryIO, member: _Member, limits: Limits, stack: ExitStack) -> BinaryIO:
    """The bytes of a member as they are in the archive: still packed, if it was packed before it was put there."""
    path = archive / member.name
    with told(path):
        if whole.peek(4).startswith(ZIP):  # type: ignore[attr-defined]
            inside = stack.enter_context(zipfile.ZipFile(whole))
            info = inside.getinfo(member.name)
            file = cast(BinaryIO, stack.enter_context(inside.open(info)))
            return Bounded.over(path, file, info.compress_size, limits)
        size = os.fstat(whole.fileno()).st_size
        again = _TarMember(archive, whole, member, limits)
        stack.callback(again.close)
        return Bounded.over(path, cast(BinaryIO, again), size, limits)


class _TarMember(io.RawIOBase):
    """One member of a tar, found by reading through; `seek(0)` begins anew."""

    def __init__(self, archive: Path, whole: BinaryIO, member: _Member, limits: Limits) -> None:
        self._archive, self._whole, self._member, self._limits = archive, whole, member, limits
        self._begin()

    def _begin(self) -> None:
        self._stack = ExitStack()
        self._whole.seek(0)
        size = os.fstat(self._whole.fileno()).st_size
        inner, _ = unpacked(self._archive, self._whole, size, self._limits, self._stack)
        stream = self._stack.enter_context(tarfile.open(fileobj=inner, mode="r|"))  # noqa: SIM115
        for found in stream:
            if found.name == self._member.name and found.isreg():
                file = stream.extractfile(found)
                assert file is not None  # a regular member
                self._file = file
                return
        raise DataError(f"{self._archive}: changed while it was read: {self._member.name} is gone; run again")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes of the member."""
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """To the start, no other place."""
        if (offset, whence) != (0, os.SEEK_SET):
            raise io.UnsupportedOperation("a member of a tar is read from its start")
        self._stack.close()
        self._begin()
        return 0

    def close(self) -> None:
        """Let go of the archive."""
        self._stack.close()
        super().close()
