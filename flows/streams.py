"""Base classes of the project's byte streams: they define how a stream seeks; each kind of stream adds how it reads."""

from __future__ import annotations

import io
import os


class Rewindable(io.RawIOBase):
    """A stream that is read from its start: `seek(0)` rewinds it, no other position is supported."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Seek to the start, or return the position."""
        if (offset, whence) == (0, os.SEEK_CUR):
            return self._position()
        if (offset, whence) != (0, os.SEEK_SET):
            raise io.UnsupportedOperation("this file is read from its start")
        self._rewind()
        return 0

    def _position(self) -> int:
        raise NotImplementedError

    def _rewind(self) -> None:
        raise NotImplementedError


class Seekable(io.RawIOBase):
    """A stream of `size` bytes that can be read from any position; `_at` is the position of the next read."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Seek to a byte."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at
