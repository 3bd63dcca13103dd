"""Turns the bytes of a staged file into UTF-8 text without byte-order mark and header: decompressed, transcoded.

https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv
"""

from __future__ import annotations

import codecs
import io
from typing import Any

import pyarrow as pa

from flows.embedded.warehouse.copy.csv_format import OTHER_COMPRESSIONS, CsvFormat
from flows.embedded.warehouse.text import errors


def text_of(source: Any, name: str, options: CsvFormat) -> tuple[Any, int]:
    """Open the text after the header; return its stream and the header's lines. Under AUTO, `name` shows a deflated file."""
    stream = _decompressed(source, name, options.compression)
    if options.encoding != "utf-8":
        invalid = "replace" if options.replace_invalid_characters else "cxm-invalid"
        stream = io.BufferedReader(_Transcoded(stream, options.encoding, invalid), 1 << 20)
    peeked = io.BufferedReader(stream, 1 << 20)
    if options.skip_byte_order_mark and peeked.peek(3)[:3] == codecs.BOM_UTF8:
        peeked.read(3)
    lines = 0
    while lines < options.skip_header and peeked.readline():
        # The header is whole lines, whatever the delimiters: "it simply skips the specified number of CRLF-delimited
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
        elif name.endswith((OTHER_COMPRESSIONS["DEFLATE"], OTHER_COMPRESSIONS["RAW_DEFLATE"])):
            raise errors.unsupported(f"COPY of {name}, a deflated file (gzip, zstd and bzip2 are read here)")
    match compression:
        case "GZIP":
            import gzip

            return gzip.GzipFile(fileobj=source)
        case "BZ2":
            import bz2

            return bz2.BZ2File(source)
        case "ZSTD":
            return pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
    return source


class _Transcoded(io.RawIOBase):
    """A stream of text in another character set, as UTF-8; UTF-16's own byte-order mark is dropped."""

    def __init__(self, source: Any, encoding: str, invalid: str) -> None:
        self._source, self._left = source, b""
        self._decoder = codecs.getincrementaldecoder(encoding)(invalid)
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left and not self._ended:
            data = self._source.read(1 << 18)
            self._ended = not data
            self._left = self._decoder.decode(data, final=self._ended).encode("utf-8", "surrogatepass")
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


# Bytes that are invalid in the file's character set become a lone surrogate: its UTF-8 is invalid, so the error names its place.
codecs.register_error("cxm-invalid", lambda error: ("\udcff", error.end))  # type: ignore[attr-defined]
