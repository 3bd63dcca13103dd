"""The bytes of a staged file → UTF-8 text without mark and header: decompressed, transcoded.

https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv
"""

from __future__ import annotations

import codecs
import io
import zlib
from typing import Any

import pyarrow as pa

from flows.embedded.warehouse.copy.csv_format import CsvFormat


def text_of(source: Any, name: str, options: CsvFormat) -> tuple[Any, int]:
    """A stream of the text behind the header, and how many lines the header took. `name` chooses the compression under AUTO."""
    stream = _decompressed(source, name, options.compression)
    if options.encoding != "utf-8":
        errors = "replace" if options.replace_invalid_characters else "cxm-invalid"
        stream = io.BufferedReader(_Transcoded(stream, options.encoding, errors), 1 << 20)
    peeked = io.BufferedReader(stream, 1 << 20)
    if options.skip_byte_order_mark and peeked.peek(3)[:3] == codecs.BOM_UTF8:
        peeked.read(3)
    lines = 0
    while lines < options.skip_header and peeked.readline():
        # The header is whole lines whatever the delimiters are: "it simply skips the specified number of CRLF-delimited
        # lines in the file" (create-file-format, SKIP_HEADER).
        lines += 1
    return peeked, lines


def _decompressed(source: Any, name: str, compression: str) -> Any:
    head = source.read(4)
    source.seek(0)
    if compression == "AUTO":
        # "Compression algorithm detected automatically, except for Brotli-compressed files" (create-file-format).
        if head[:2] == b"\x1f\x8b":
            compression = "GZIP"
        elif head == b"\x28\xb5\x2f\xfd":
            compression = "ZSTD"
        elif head[:3] == b"BZh":
            compression = "BZ2"
        elif name.endswith(".deflate"):
            compression = "DEFLATE"
        elif name.endswith(".raw_deflate"):
            compression = "RAW_DEFLATE"
    match compression:
        case "GZIP":
            import gzip

            return gzip.GzipFile(fileobj=source)
        case "BZ2":
            import bz2

            return bz2.BZ2File(source)
        case "ZSTD":
            return pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
        case "DEFLATE":
            return io.BufferedReader(_Inflated(source, zlib.MAX_WBITS), 1 << 20)
        case "RAW_DEFLATE":
            return io.BufferedReader(_Inflated(source, -zlib.MAX_WBITS), 1 << 20)
    return source


class _Raw(io.RawIOBase):
    """A readable stream over `_more()`, which gives the next bytes or b"" at the end."""

    def __init__(self, source: Any) -> None:
        self._source, self._left = source, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = self._more()
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def _more(self) -> bytes:
        raise NotImplementedError


class _Inflated(_Raw):
    def __init__(self, source: Any, wbits: int) -> None:
        super().__init__(source)
        self._inflate = zlib.decompressobj(wbits)

    def _more(self) -> bytes:
        while data := self._source.read(1 << 18):
            if out := self._inflate.decompress(data):
                return out
        return self._inflate.flush()


class _Transcoded(_Raw):
    """Text of another character set as UTF-8; UTF-16 and UTF-32 drop their own mark."""

    def __init__(self, source: Any, encoding: str, errors: str) -> None:
        super().__init__(source)
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._ended = False

    def _more(self) -> bytes:
        while not self._ended:
            data = self._source.read(1 << 18)
            self._ended = not data
            if text := self._decoder.decode(data, final=self._ended):
                return text.encode("utf-8", "surrogatepass")
        return b""


# Bytes that are no text in the file's character set become a lone surrogate, whose UTF-8 is refused at its place.
codecs.register_error("cxm-invalid", lambda error: ("\udcff", error.end))  # type: ignore[attr-defined]
