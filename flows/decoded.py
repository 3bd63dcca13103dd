"""Converts a stream of another encoding to UTF-8, strictly.

A byte that is not valid in the encoding is reported with its line and column. The SHA-256 is that of the original bytes.
"""

from __future__ import annotations

import codecs
import hashlib
import io
from typing import BinaryIO, cast

from flows.contract.dialect import Dialect
from flows.errors import DataError
from flows.streams import Rewindable

READ_BYTES = 1024 * 1024
_MARK = "\ufeff"
_UTF16_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Decoded(Rewindable):
    """The text of `source` in UTF-8, without a byte-order mark. `file` is a buffered reader of it, rewound by `seek(0)`.

    Raises, while it is read:
        DataError: a byte is not valid in the encoding, UTF-16 has no byte-order mark, or the file is UTF-8 throughout although
            the contract says another encoding (each accented letter would turn into two or three).
    """

    def __init__(self, path: str, source: BinaryIO, dialect: Dialect) -> None:
        self._path, self._source, self._dialect = path, source, dialect
        self._begin()
        self.file = cast(BinaryIO, io.BufferedReader(self, READ_BYTES))

    def _begin(self) -> None:
        self._digest = hashlib.sha256()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._utf8 = None if self._dialect.encoding.startswith("utf-") else codecs.getincrementaldecoder("utf-8")()
        self._is_ascii = True
        self._left, self._ended = b"", False
        self._lines = self._column = self.bytes = 0

    @property
    def sha256(self) -> str:
        """The hex digest of the bytes read so far."""
        return self._digest.hexdigest()

    def _position(self) -> int:
        return self.bytes

    def _rewind(self) -> None:
        self._source.seek(0)
        self._begin()

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        while not self._left and not self._ended:
            self._left = self._more()
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def _more(self) -> bytes:
        data = self._source.read(READ_BYTES)
        self._digest.update(data)
        first, self.bytes, self._ended = not self.bytes, self.bytes + len(data), not data
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder(self._codec(data))("strict")
        self._refuse_utf8(data)
        try:
            text = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise DataError(self._refusal(error)) from None
        newline = text.rfind("\n")
        self._lines += text.count("\n")
        self._column = len(text) - newline - 1 if newline >= 0 else self._column + len(text)
        return (text.removeprefix(_MARK) if first else text).encode()

    def _codec(self, data: bytes) -> str:
        """Return the codec to decode with. UTF-16's byte order is read from the file's mark; without one it would be a guess."""
        if self._dialect.encoding != "utf-16":
            return self._dialect.codec
        codec = _UTF16_MARKS.get(data[:2])
        if data and not codec:
            raise DataError(
                f"{self._path}: no byte-order mark; expected UTF-16 with one, as the contract's dialect says; say "
                "`encoding: utf-16le` or `utf-16be` if it is UTF-16 without a mark"
            )
        return codec or "utf-16-le"

    def _refuse_utf8(self, data: bytes) -> None:
        """Raise DataError if the whole file is UTF-8, which text of another encoding almost never is, unless it is pure ASCII."""
        self._is_ascii = self._is_ascii and data.isascii()
        if self._utf8 is None:
            return
        try:
            self._utf8.decode(data, final=self._ended)
        except UnicodeDecodeError:
            self._utf8 = None
            return
        if self._ended and not self._is_ascii:
            raise DataError(
                f"{self._path}: every byte of it is UTF-8, expected {self._dialect.encoding}, as the contract's dialect says: "
                "read so, each accented letter would become two; say `encoding: utf-8`"
            )

    def _refusal(self, error: UnicodeDecodeError) -> str:
        codec = "latin-1" if error.encoding == "charmap" else error.encoding
        before = error.object[: error.start].decode(codec, "ignore")
        newline = before.rfind("\n")
        line = self._lines + before.count("\n") + 1
        column = len(before) - newline if newline >= 0 else self._column + len(before) + 1
        shown = " ".join(f"0x{byte:02x}" for byte in error.object[error.start : error.end][:4])
        return (
            f"{self._path}, line {line}, column {column}: {shown} is no character of {self._dialect.encoding}, which the "
            "contract's dialect says; correct the file, or say its `encoding`"
        )
