"""CSV as Snowflake's COPY reads it: bytes of one staged file → Arrow batches of text columns c1 … cN.

    raw bytes ─decompress─▶ ─transcode, drop BOM, skip header─▶ chunks of whole records ─▶ RecordBatch(n, line, c1 … cN)

Two ways through a chunk, with the same answer. Where the options allow it and every quote stands where a writer that
follows RFC 4180 puts it, numpy finds the separators outside quotes and Arrow cuts the fields. Anything else, a stray
quote, an escape character, a delimiter of several bytes, goes record by record through `csv_tokenizer`, ten times slower.

Options and defaults: https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv

Long because what is here is one pass over a chunk; options and tokenizer have files of their own.
"""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.embedded.warehouse.copy.csv_format import CsvFormat
from flows.embedded.warehouse.copy.csv_tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 8 << 20  # bytes read at a time; a record that does not fit makes its chunk grow
MAX_RECORD = (
    160 << 20
)  # beyond Snowflake's 128 MB for one value, an enclosed field without its closing quote is given up
LF, CR = 10, 13


@dataclass(frozen=True, slots=True)
class RowError:
    """One record that could not be read. `line` and `character` count from 1 in the file, `record` from 1 after the header.

    `column` counts fields from 1; `code` and `sqlstate` are Snowflake's.
    """

    record: int
    line: int
    character: int
    column: int
    code: int
    sqlstate: str
    message: str


@dataclass(slots=True)
class Batch:
    """Records read from one chunk: `rows` has columns n, line (int64) and c1 … cN (string); `parsed` counts the bad ones too."""

    rows: pa.RecordBatch
    parsed: int
    errors: list[RowError] = field(default_factory=list)


def schema(width: int) -> pa.Schema:
    """The Arrow schema of a batch with `width` text columns: n, line, c1 … c`width`."""
    fields = [pa.field("n", pa.int64()), pa.field("line", pa.int64())]
    return pa.schema(fields + [pa.field(f"c{i}", pa.string()) for i in range(1, width + 1)])


def read_header(source: BinaryIO, name: str, options: CsvFormat) -> list[str]:
    """The names in the file's first record, for PARSE_HEADER; empty for an empty file."""
    stream, _ = _text(source, name, options)
    return _header(stream, options)[0]


def read_csv(
    source: BinaryIO, name: str, options: CsvFormat, width: int, *, expect: int | None = None
) -> Iterator[Batch]:
    """Read one staged file's bytes and yield its records in order.

    `name` is the file's name (its extension chooses the compression under AUTO); `width` is how many fields are wanted:
    a record with fewer gives NULLs, further fields are passed over. With `expect`, a record with another number of
    fields is an error (ERROR_ON_COLUMN_COUNT_MISMATCH). `n` counts records from 1, the header not counted.

    Raises OSError, EOFError or zlib.error when the compressed bytes are broken.
    """
    stream, skipped_lines = _text(source, name, options)
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
    """The first record's fields, the bytes read behind it, and the number of lines that it took."""
    tokenizer = Tokenizer(options)
    buffer = b""
    while True:
        more = stream.read(1 << 16)
        buffer += more
        record = tokenizer.record(buffer, 0, final=not more)
        if record is not None:
            names = [tokenizer.text(part).decode("utf-8", "replace") for part in record.fields] if buffer else []
            return names, buffer[record.end :], buffer.count(b"\n", 0, record.end)


# --- bytes → UTF-8 text without mark and header ---------------------------------------------------------------------


def _text(source: Any, name: str, options: CsvFormat) -> tuple[Any, int]:
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


# --- chunks → batches -----------------------------------------------------------------------------------------------


class _Reader:
    """Cuts chunks that start at a record's first byte; keeps how many records and lines were seen."""

    def __init__(self, options: CsvFormat, width: int, expect: int | None, line: int) -> None:
        self.options, self.width, self.expect = options, width, expect
        self.schema = schema(width)
        self.records, self.line = 0, line
        self.tokenizer = Tokenizer(options, expect)
        delimiter = options.field_delimiter
        self.simple = (
            delimiter is not None
            and len(delimiter) == 1
            and options.record_delimiter in (b"\n", b"\r\n")
            and options.multi_line
            and not options.trim_space
        )
        escape = options.escape or options.escape_unenclosed
        self.special = {e for e in (options.escape, escape) if e is not None}

    def chunk(self, data: bytes, *, final: bool) -> tuple[Batch | None, int]:
        """Read the whole records in `data`; the number of bytes used comes second."""
        found = None
        if self.simple and not any(e in data for e in self.special):
            found = self._cut(data, final)
        if found is None:
            return self._tokenize(data, final)
        return found

    def give_up(self, size: int) -> Batch:
        """The batch for a record that never ends: one error."""
        self.records += 1
        error = RowError(self.records, self.line, 1, 1, 100082, "22000",
                         f"Max LOB size (134217728) exceeded, actual size of parsed column is {size}")  # fmt: skip
        return Batch(pa.RecordBatch.from_pylist([], schema=self.schema), 1, [error])

    def _cut(self, data: bytes, final: bool) -> tuple[Batch | None, int] | None:
        """The vectorised way; None when this chunk needs the tokenizer."""
        delimiter = self.options.field_delimiter
        assert delimiter is not None
        if final and not data.endswith(b"\n"):
            data += b"\n"
        b = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero((b == delimiter[0]) | (b == LF))
        quotes: NDArray[np.int64] | None = None
        if self.options.enclosed_by is not None and self.options.enclosed_by in data:
            quotes = np.flatnonzero(b == self.options.enclosed_by[0])
            # Inside or outside an enclosed field is the parity of the quotes so far; a doubled quote leaves and enters.
            ends = ends[(np.searchsorted(quotes, ends) & 1) == 0]
        is_last = b[ends] == LF
        last = np.flatnonzero(is_last)  # index of each record's last field
        if not len(last):
            return None if final else (None, 0)
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
        numbers = np.arange(self.records + 1, self.records + 1 + total, dtype=np.int64)
        lines = self.line + lines_before
        errors: list[RowError] = []
        keep: NDArray[np.bool_] | None = None
        if blank.any():
            if self.options.skip_blank_lines:
                numbers = self.records + np.cumsum(~blank)
            else:
                errors += [_blank_line(int(numbers[i]), int(lines[i])) for i in np.flatnonzero(blank)]
            keep = ~blank
        if self.expect is not None:
            bad = counts != self.expect
            if keep is not None:
                bad &= keep
            if bad.any():
                errors += [
                    _mismatch(int(numbers[i]), int(lines[i]), int(counts[i]), self.expect) for i in np.flatnonzero(bad)
                ]
                keep = ~bad if keep is None else keep & ~bad
        parsed = total if not self.options.skip_blank_lines else int((~blank).sum())
        self.records += parsed
        self.line += int(np.count_nonzero(b == LF))
        if keep is not None:
            first, counts, numbers, lines = first[keep], counts[keep], numbers[keep], lines[keep]
        rows = self._columns(data, b, starts, ends, first, counts, numbers, lines, escaped, enclosed=quotes is not None)
        errors.sort(key=lambda e: e.record)
        return Batch(rows, parsed, errors), used

    def _regular(self, b: NDArray[np.uint8], quotes: NDArray[np.int64], delimiter: int) -> NDArray[np.int64] | None:
        """Where doubled quotes stand; None unless every quote opens at a field's start, closes at its end, or is doubled."""
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
        # One string array over the whole chunk: fields at even places, what separates them at odd ones.
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

    def _tokenize(self, data: bytes, final: bool) -> tuple[Batch | None, int]:
        """Record by record, for everything that the vectorised way leaves."""
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
                error = _blank_line(self.records, here)
            elif self.expect is not None and len(record.fields) != self.expect:
                error = _mismatch(self.records, here, len(record.fields), self.expect)
            else:
                for column, part in enumerate(record.fields[: self.width], start=1):
                    try:
                        values.append(self.tokenizer.value(part))
                    except UnicodeDecodeError as found:
                        error = RowError(
                            self.records, here + data.count(b"\n", start, part.start),
                            _character_in_line(data, start, part.start), column, 100144, "22000",
                            f"Invalid UTF8 detected in string '{_shown(found.object)}'",
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
        return Batch(pa.RecordBatch.from_arrays(columns, schema=self.schema), parsed, errors), position


def _shown(raw: bytes) -> str:
    """Bytes in an error message the way Snowflake writes them: text where it is ASCII, 0xNN elsewhere."""
    return "".join(chr(c) if 32 <= c < 127 else f"0x{c:02X}" for c in raw[:100])


def _character_in_line(data: bytes, start: int, at: int) -> int:
    return at - max(data.rfind(b"\n", start, at) + 1, start) + 1


def _blank_line(record: int, line: int) -> RowError:
    """Blank lines are errors unless SKIP_BLANK_LINES is TRUE (create-file-format: "produce an end-of-record error")."""
    return RowError(record, line, 1, 1, 100063, "22000", "End of record reached while expected to parse column")


def _mismatch(record: int, line: int, found: int, wanted: int) -> RowError:
    return RowError(
        record, line, 1, min(found, wanted) + 1, 100080, "22000",
        f"Number of columns in file ({found}) does not match that of the corresponding table ({wanted}), "
        "use file format option error_on_column_count_mismatch=false to ignore this error",
    )  # fmt: skip
