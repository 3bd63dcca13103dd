"""A folder on this machine as a place."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.errors import ConfigurationError, DataError
from flows.places.base import Place, PlaceEntry, Raw
from flows.unpack import DEFAULT, READ_BYTES, Limits


@dataclass(frozen=True, slots=True)
class Folder(Place):
    """The files of a folder, without those of its subfolders."""

    path: Path
    limits: Limits = DEFAULT

    def __str__(self) -> str:
        return str(self.path)

    def path_of(self, name: str) -> str:
        return str(self.path / name)

    def entries(self) -> list[PlaceEntry]:
        try:
            with os.scandir(self.path) as scan:
                names = sorted(one.name for one in scan if not one.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _refused(self.path, error, "expected a folder of CSV files") from error
        return [entry for name in names if (entry := self._entry(name))]

    def find(self, names: tuple[str, ...]) -> list[PlaceEntry]:
        return [entry for name in names if (entry := self._entry(name))]

    def open_raw(self, entry: PlaceEntry, expected: str, stack: ExitStack) -> Raw:
        path = self.path / entry.name
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise DataError(f"{path}: {'a directory' if path.is_dir() else 'not a regular file'}; {expected}")
            file = stack.enter_context(path.open("rb", buffering=READ_BYTES))
        except OSError as error:
            raise _refused(path, error, expected) from None

        def state() -> str:
            about = os.fstat(file.fileno())
            return f"{about.st_size:,} bytes of {_time(about)} ({about.st_mtime_ns % 10**9:09d} ns)"

        return Raw(str(path), file, os.fstat(file.fileno()).st_size, state)

    def dispose(self, entries: Sequence[PlaceEntry], folder: str = "") -> int:
        done = 0
        for entry in entries:
            if self._entry(entry.name) != entry:
                continue
            try:
                if folder:
                    (self.path / folder).mkdir(parents=True, exist_ok=True)
                    (self.path / entry.name).rename(self.path / folder / entry.name)
                else:
                    (self.path / entry.name).unlink()
            except OSError as error:
                raise ConfigurationError(
                    f"{entry.path}: cannot be {'moved' if folder else 'deleted'} ({error.strerror}); let the run's user write to "
                    "its folder, or leave the files: after: left"
                ) from error
            done += 1
        return done

    def _entry(self, name: str) -> PlaceEntry | None:
        path = self.path / name
        try:
            about = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _refused(path, error, f"expected the file {name}") from None
        folder = stat.S_ISDIR(about.st_mode)
        size = 0 if folder else about.st_size
        return PlaceEntry(name + "/" * folder, size, _time(about), str(path), str(about.st_mtime_ns))


def _time(about: os.stat_result) -> datetime:
    return datetime.fromtimestamp(about.st_mtime_ns // 10**9, UTC)


def _refused(path: Path, error: OSError, expected: str) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file; {expected}; put it there, or name another place with --data")
    if isinstance(error, PermissionError):
        return DataError(f"{path}: may not be read by this user (permission denied); {expected}; chmod it")
    return DataError(f"{path}: cannot be read ({error.strerror}); {expected}")
