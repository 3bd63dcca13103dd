"""Unpacks gzip, zstd, bzip2 and zips of one file, recognized by their first bytes. Limits the size and explains errors."""

from __future__ import annotations

import bz2
import io
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from flows.errors import DataError
from flows.streams import Rewindable

READ_BYTES = 1024 * 1024
# The ratio is checked only above this size: a small file of blanks has a huge ratio and is harmless.
FREE_BYTES = 64 * 1024 * 1024
# Estimates the unpacked size, for progress and the number of objects, if the file does not record it: CSV packs to about a fifth.
GUESSED_RATIO = 5
SUFFIXES = (".gz", ".zst", ".bz2", ".zip")

ZIP = b"PK\x03\x04"
_GZIP, _ZSTD, _BZIP2, _XZ = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a packed file may unpack to: `ratio` times its packed size (above 64 MiB), and at most `bytes`."""

    ratio: int = 200
    bytes: int = 100 * 10**9


DEFAULT = Limits()


def unpacked(path: str, packed: BinaryIO, size: int, limits: Limits, stack: ExitStack) -> tuple[BinaryIO, int]:
    """Open the unpacked stream of a gzip, zstd, bzip2 or zip of one file. Returns it with its size, which is a guess except for a
    zip; a file that is not packed is returned as it is."""
    head = packed.read(16)
    packed.seek(0)
    with raising_data_errors(path):
        if head.startswith(ZIP):
            if isinstance(packed, io.BufferedReader) and isinstance(packed.raw, Bounded):  # read from its start only
                raise DataError(
                    f"{path}: a zip within an archive; expected the CSV file in it, or packed with gzip, zstd or bzip2"
                )
            inside = stack.enter_context(zipfile.ZipFile(packed))
            names = [info for info in inside.infolist() if not info.is_dir()]
            if len(names) != 1:
                raise DataError(
                    f"{path}: a zip of {len(names)} files in place of one; expected a zip of the CSV file alone; name the zip "
                    "itself with --data if it holds all files of the source"
                )
            member = stack.enter_context(inside.open(names[0]))
            return Bounded.over(path, cast(BinaryIO, member), size, limits), names[0].file_size
        if unpack := _unpacker(head):
            file = stack.enter_context(unpack(packed))
            return Bounded.over(path, file, size, limits), size * GUESSED_RATIO
    if head.startswith(_XZ):
        raise DataError(f"{path}: packed with xz; expected gzip, zstd, bzip2 or zip; pack it with one of those")
    return packed, size


def packing(file: BinaryIO) -> str:
    """Return how a file is packed, by its first bytes: gzip, zstd, bzip2, zip, or empty if it is not."""
    head = file.read(16)
    file.seek(0)
    if head.startswith(_BZIP2) and head[4:10] == b"1AY&SY":
        return "bzip2"
    marks = {"gzip": _GZIP, "zstd": _ZSTD, "zip": ZIP}
    return next((name for name, mark in marks.items() if head.startswith(mark)), "")


def _unpacker(head: bytes) -> Callable[[BinaryIO], BinaryIO] | None:
    if head.startswith(_GZIP):
        from isal import igzip

        return lambda packed: cast(BinaryIO, igzip.IGzipFile(fileobj=packed, mode="rb"))  # type: ignore[no-untyped-call]
    if head.startswith(_ZSTD):
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        return lambda packed: cast(BinaryIO, zstd.ZstdFile(packed, "rb"))
    if head.startswith(_BZIP2) and head[4:10] == b"1AY&SY":
        return lambda packed: cast(BinaryIO, bz2.BZ2File(packed, "rb"))
    return None


class Bounded(Rewindable):
    """A stream from an unpacker that raises DataError above the limits and for damaged files."""

    def __init__(self, path: str, file: BinaryIO, packed_size: int, limits: Limits) -> None:
        self._path, self._file, self._packed, self._limits = path, file, packed_size, limits
        self._most = min(limits.bytes, max(FREE_BYTES, packed_size * limits.ratio))
        self._done = 0

    @classmethod
    def over(cls, path: str, file: BinaryIO, packed_size: int, limits: Limits) -> BinaryIO:
        """Make one with a buffer, so that lines can be read."""
        return io.BufferedReader(cls(path, file, packed_size, limits), READ_BYTES)

    def _position(self) -> int:
        return self._done

    def _rewind(self) -> None:
        with raising_data_errors(self._path):
            self._file.seek(0)
        self._done = 0

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        with raising_data_errors(self._path):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._done += len(data)
        if self._done > self._most:
            raise DataError(
                f"{self._path}: unpacks to more than {self._most:,} bytes from {self._packed:,}; expected at most "
                f"{self._limits.ratio} times its size and {self._limits.bytes:,} bytes; a larger file is let through by "
                "CXM_UNPACK_RATIO and CXM_UNPACK_BYTES"
            )
        return len(data)


@contextmanager
def raising_data_errors(path: str) -> Iterator[None]:
    """Turn the errors of unpackers into DataErrors that say what to do."""
    try:
        yield
    except EOFError:
        raise DataError(f"{path}: ends early, in the middle of its packed bytes; send it again whole") from None
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{path}: packed badly ({error}); expected a whole, undamaged file; send it again") from error
    except (NotImplementedError, RuntimeError) as error:  # zipfile raises these for other methods and for passwords
        raise DataError(f"{path}: cannot be unpacked ({error}); pack it without a password, by deflate") from error
    except OSError as error:
        if error.errno is not None:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        raise DataError(f"{path}: packed badly ({error}); expected a whole, undamaged file; send it again") from error
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
        raise DataError(f"{path}: packed badly ({error}); expected a whole, undamaged file; send it again") from error
