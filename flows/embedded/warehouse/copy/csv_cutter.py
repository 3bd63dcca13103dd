"""The vectorized reader of a chunk: numpy finds the separators outside quotes, Arrow cuts the fields.

chunk of whole records, quotes where a writer that follows RFC 4180 puts them ──Cutter.cut──▶ RecordBatch(n, line, c1 … cN)

`csv_tokenizer`, ten times slower, reads all others: those with a stray quote, an escape character, a delimiter of several bytes.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.embedded.warehouse.copy.csv_format import CsvFormat
from flows.embedded.warehouse.copy.csv_records import ParsedChunk, RowError, blank_line, mismatch, schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

LF, CR = 10, 13


class Cutter:
    """Cuts chunks that start at a record's first byte."""

    def __init__(self, options: CsvFormat, width: int, expect: int | None) -> None:
        self.options, self.width, self.expect = options, width, expect
        self.schema = schema(width)
        delimiter = options.field_delimiter
        self.can = (
            delimiter is not None
            and len(delimiter) == 1
            and options.record_delimiter in (b"\n", b"\r\n")
            and options.multi_line
            and not options.trim_space
        )
        escape = options.escape or options.escape_unenclosed
        self.special = {e for e in (options.escape, escape) if e is not None}

    def takes(self, data: bytes) -> bool:
        """Whether the options and the chunk's characters let it be cut; `cut` checks its quotes."""
        return self.can and not any(e in data for e in self.special)

    def cut(self, data: bytes, final: bool, records: int, line: int) -> tuple[ParsedChunk | None, int, int] | None:
        """Cut the whole records in `data`; return them, their bytes and their line feeds, or None when the tokenizer is needed.

        `records` is the number of records before `data`, `line` the line in which it begins.
        """
        delimiter = self.options.field_delimiter
        assert delimiter is not None
        if final and not data.endswith(b"\n"):
            data += b"\n"
        b = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero((b == delimiter[0]) | (b == LF))
        quotes: NDArray[np.int64] | None = None
        if self.options.enclosed_by is not None and self.options.enclosed_by in data:
            quotes = np.flatnonzero(b == self.options.enclosed_by[0])
            # An odd number of quotes so far means inside an enclosed field; a doubled quote leaves it and enters it again.
            ends = ends[(np.searchsorted(quotes, ends) & 1) == 0]
        is_last = b[ends] == LF
        last = np.flatnonzero(is_last)  # index of each record's last field
        if not len(last):
            return None if final else (None, 0, 0)
        used = int(ends[last[-1]]) + 1
        if final and used != len(data):
            return None  # a quote was never closed
        ends, is_last = ends[: last[-1] + 1], is_last[: last[-1] + 1]
        if used != len(b):
            b = b[:used]
            quotes = None if quotes is None else quotes[quotes < used]
        starts = np.empty_like(ends)
        starts[0], starts[1:] = 0, ends[:-1] + 1
        doubled = np.zeros(0, dtype=np.int64)
        if quotes is not None and len(quotes):
            regular = self._regular(b, quotes, delimiter[0])
            if regular is None:
                return None
            doubled = regular
        try:
            codecs.utf_8_decode(memoryview(data)[:used], "strict", True)
        except UnicodeDecodeError:
            return None
        escaped = np.zeros(len(ends), dtype=bool)
        escaped[np.searchsorted(ends, doubled)] = True
        crlf = last[(ends[last] > starts[last]) & (b[ends[last] - 1] == CR)]
        ends = ends.copy()
        ends[crlf] -= 1

        first = np.empty_like(last)
        first[0], first[1:] = 0, last[:-1] + 1
        counts = last - first + 1
        begins = starts[first]
        lines_before = self._lines(b, begins, enclosed=quotes is not None)
        blank = (counts == 1) & (ends[last] == starts[last])
        total = len(last)
        numbers = np.arange(records + 1, records + 1 + total, dtype=np.int64)
        lines = line + lines_before
        errors: list[RowError] = []
        keep: NDArray[np.bool_] | None = None
        if blank.any():
            if self.options.skip_blank_lines:
                numbers = records + np.cumsum(~blank)
            else:
                errors += [blank_line(int(numbers[i]), int(lines[i])) for i in np.flatnonzero(blank)]
            keep = ~blank
        if self.expect is not None:
            bad = counts != self.expect
            if keep is not None:
                bad &= keep
            if bad.any():
                errors += [
                    mismatch(int(numbers[i]), int(lines[i]), int(counts[i]), self.expect) for i in np.flatnonzero(bad)
                ]
                keep = ~bad if keep is None else keep & ~bad
        parsed = total if not self.options.skip_blank_lines else int((~blank).sum())
        if keep is not None:
            first, counts, numbers, lines = first[keep], counts[keep], numbers[keep], lines[keep]
        rows = self._columns(data, b, starts, ends, first, counts, numbers, lines, escaped, enclosed=quotes is not None)
        errors.sort(key=lambda e: e.record)
        return ParsedChunk(rows, parsed, errors), used, int(np.count_nonzero(b == LF))

    def _regular(self, b: NDArray[np.uint8], quotes: NDArray[np.int64], delimiter: int) -> NDArray[np.int64] | None:
        """Return the positions of doubled quotes.

        None unless every quote opens a field at its start, closes it at its end, or is doubled.
        """
        if len(quotes) % 2:
            return None
        opening, closing = quotes[0::2], quotes[1::2]
        doubled = closing[:-1] + 1 == opening[1:]
        before = b[opening - 1]  # for opening 0 this wraps to the chunk's last byte, a line feed
        opens = (before == delimiter) | (before == LF)
        opens[1:] |= doubled
        after = b[closing + 1]
        closes = (after == delimiter) | (after == LF)
        closes |= (after == CR) & (b[np.minimum(closing + 2, len(b) - 1)] == LF)
        closes[:-1] |= doubled
        return closing[:-1][doubled] if opens.all() and closes.all() else None

    def _lines(self, b: NDArray[np.uint8], begins: NDArray[np.int64], *, enclosed: bool) -> NDArray[np.int64]:
        if not enclosed:
            return np.arange(len(begins), dtype=np.int64)
        return np.searchsorted(np.flatnonzero(b == LF), begins).astype(np.int64)

    def _columns(
        self, data: bytes, b: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64],
        first: NDArray[np.int64], counts: NDArray[np.int64], numbers: NDArray[np.int64], lines: NDArray[np.int64],
        escaped: NDArray[np.bool_], *, enclosed: bool,
    ) -> pa.RecordBatch:  # fmt: skip
        quoted = np.zeros(len(starts), dtype=bool)
        if enclosed:
            quoted = (b[starts] == self.options.enclosed_by[0]) & (ends > starts)  # type: ignore[index]
            starts, ends = starts + quoted, ends - quoted
        # One string array over the whole chunk: fields at even positions, separators at odd ones.
        offsets = np.empty(2 * len(starts), dtype=np.int32)
        offsets[0::2], offsets[1::2] = starts, ends
        pieces = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))
        quote = self.options.enclosed_by.decode() if self.options.enclosed_by else ""
        columns: list[pa.Array] = [pa.array(numbers), pa.array(lines)]
        for j in range(self.width):
            missing = counts <= j
            at = np.where(missing, 0, first + j)
            null = missing | self._null(b, starts[at], ends[at], quoted[at])
            values = pieces.take(pa.array(at * 2, mask=null))
            if escaped.any():
                mask = escaped[at] & ~null
                if mask.any():
                    plain = pc.replace_substring(values.filter(pa.array(mask)), quote * 2, quote)
                    values = pc.replace_with_mask(values, pa.array(mask), plain)
            columns.append(values)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _null(
        self, b: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], quoted: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        length = ends - starts
        null = np.zeros(len(starts), dtype=bool)
        if self.options.empty_field_as_null:
            null |= (length == 0) & ~quoted
        for text in self.options.null_if:
            at = np.flatnonzero(length == len(text))
            for k, byte in enumerate(text):
                at = at[b[starts[at] + k] == byte]
            null[at] = True
        return null
