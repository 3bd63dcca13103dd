"""Reads CSV as Snowflake's COPY does: bytes of one staged file → Arrow batches of text columns c1 … cN.

    raw bytes ─csv_bytes─▶ text without mark and header ─▶ chunks of whole records ─▶ RecordBatch(n, line, c1 … cN)

`csv_cutter` reads a chunk if it can, otherwise `csv_tokenizer` reads it record by record; both give the same result.

Options and defaults: https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from flows.embedded.warehouse.copy.csv_bytes import text_of
from flows.embedded.warehouse.copy.csv_cutter import Cutter
from flows.embedded.warehouse.copy.csv_format import CsvFormat
from flows.embedded.warehouse.copy.csv_records import ParsedChunk, RowError, blank_line, mismatch, schema
from flows.embedded.warehouse.copy.csv_tokenizer import Tokenizer

CHUNK = 8 << 20  # bytes read at a time; a record that does not fit makes its chunk grow
MAX_RECORD = (
    160 << 20
)  # more than Snowflake's 128 MB for one value: then reading gives up on an enclosed field without its closing quote


def read_header(source: BinaryIO, name: str, options: CsvFormat) -> list[str]:
    """Return the names in the file's first record, for PARSE_HEADER; an empty list for an empty file."""
    stream, _ = text_of(source, name, options)
    return _header(stream, options)[0]


def read_csv(
    source: BinaryIO, name: str, options: CsvFormat, width: int, *, expect: int | None = None
) -> Iterator[ParsedChunk]:
    """Read one staged file's bytes and yield its records in order.

    `name` is the file's name (under AUTO its extension shows a deflated file); `width` is how many fields to return:
    a record with fewer gives NULLs, further fields are ignored. With `expect`, a record with another number of
    fields is an error (ERROR_ON_COLUMN_COUNT_MISMATCH). `n` counts records from 1, the header not counted.

    Raises OSError, EOFError or zlib.error when the compressed bytes are broken.
    """
    stream, skipped_lines = text_of(source, name, options)
    pending = b""
    if options.parse_header:
        _, pending, skipped_lines = _header(stream, options)
    reader = _Reader(options, width, expect, line=1 + skipped_lines)
    size = CHUNK
    while True:
        more = stream.read(size)
        pending += more
        if not pending:
            return
        batch, used = reader.chunk(pending, final=not more)
        if batch is not None:
            yield batch
        if not more:
            return
        pending = pending[used:]
        # An unfinished record makes the next read larger, so that a huge field is not scanned again and again.
        size = max(CHUNK, len(pending))
        if len(pending) > MAX_RECORD:
            yield reader.give_up(len(pending))
            return


def _header(stream: Any, options: CsvFormat) -> tuple[list[str], bytes, int]:
    """Read the first record; return its fields, the bytes read after it, and its number of lines."""
    tokenizer = Tokenizer(options)
    buffer = b""
    while True:
        more = stream.read(1 << 16)
        buffer += more
        record = tokenizer.record(buffer, 0, final=not more)
        if record is not None:
            names = [tokenizer.text(part).decode("utf-8", "replace") for part in record.fields] if buffer else []
            return names, buffer[record.end :], buffer.count(b"\n", 0, record.end)


class _Reader:
    """Reads chunks that start at a record's first byte, and counts records and lines."""

    def __init__(self, options: CsvFormat, width: int, expect: int | None, line: int) -> None:
        self.options, self.width, self.expect = options, width, expect
        self.schema = schema(width)
        self.records, self.line = 0, line
        self.cutter = Cutter(options, width, expect)
        self.tokenizer = Tokenizer(options, expect)

    def chunk(self, data: bytes, *, final: bool) -> tuple[ParsedChunk | None, int]:
        """Read the whole records in `data`; return them and the number of bytes that they have."""
        cut = self._cut(data, final) if self.cutter.takes(data) else None
        return self._tokenize(data, final) if cut is None else cut

    def give_up(self, size: int) -> ParsedChunk:
        """Return a chunk with one error, for a record that does not end."""
        self.records += 1
        error = RowError(self.records, self.line, 1, 1, 100082, "22000",
                         f"Max LOB size (134217728) exceeded, actual size of parsed column is {size}")  # fmt: skip
        return ParsedChunk(pa.RecordBatch.from_pylist([], schema=self.schema), 1, [error])

    def _cut(self, data: bytes, final: bool) -> tuple[ParsedChunk | None, int] | None:
        cut = self.cutter.cut(data, final, self.records, self.line)
        if cut is None:
            return None
        batch, used, lines = cut
        if batch is not None:
            self.records += batch.parsed
            self.line += lines
        return batch, used

    def _tokenize(self, data: bytes, final: bool) -> tuple[ParsedChunk | None, int]:
        """Read, record by record, a chunk that the cutter cannot read."""
        table: list[list[str | None]] = [[] for _ in range(self.width)]
        numbers: list[int] = []
        lines: list[int] = []
        errors: list[RowError] = []
        position = parsed = 0
        line = self.line
        while position < len(data):
            record = self.tokenizer.record(data, position, final)
            if record is None:
                break
            here, line = line, line + data.count(b"\n", position, record.end)
            start, position = position, record.end
            blank = len(record.fields) == 1 and not record.fields[0].raw and not record.fields[0].enclosed
            if blank and self.options.skip_blank_lines:
                continue
            self.records += 1
            parsed += 1
            error = None
            values: list[str | None] = []
            if record.error is not None:
                at, message, code = record.error
                error = RowError(
                    self.records, here + data.count(b"\n", start, at), _character_in_line(data, start, at),
                    len(record.fields) + 1, code, "22000", message,
                )  # fmt: skip
            elif blank:
                error = blank_line(self.records, here)
            elif self.expect is not None and len(record.fields) != self.expect:
                error = mismatch(self.records, here, len(record.fields), self.expect)
            else:
                for column, part in enumerate(record.fields[: self.width], start=1):
                    try:
                        values.append(self.tokenizer.value(part))
                    except UnicodeDecodeError as e:
                        error = RowError(
                            self.records, here + data.count(b"\n", start, part.start),
                            _character_in_line(data, start, part.start), column, 100144, "22000",
                            f"Invalid UTF8 detected in string '{_shown(e.object)}'",
                        )  # fmt: skip
                        break
            if error is not None:
                errors.append(error)
                continue
            values += [None] * (self.width - len(values))
            for held, value in zip(table, values, strict=True):
                held.append(value)
            numbers.append(self.records)
            lines.append(here)
        if not position:
            return None, 0
        self.line = line
        columns = [pa.array(numbers, pa.int64()), pa.array(lines, pa.int64())]
        columns += [pa.array(held, pa.string()) for held in table]
        return ParsedChunk(pa.RecordBatch.from_arrays(columns, schema=self.schema), parsed, errors), position


def _shown(raw: bytes) -> str:
    """Write bytes as Snowflake's error messages do: ASCII as text, other bytes as 0xNN; at most 100 bytes."""
    return "".join(chr(c) if 32 <= c < 127 else f"0x{c:02X}" for c in raw[:100])


def _character_in_line(data: bytes, start: int, at: int) -> int:
    return at - max(data.rfind(b"\n", start, at) + 1, start) + 1
