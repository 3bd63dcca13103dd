"""Reads one record at a time, with every option of a file format: for the chunks that `csv_cutter` cannot read.

https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flows.embedded.warehouse.copy.csv_format import CsvFormat


def _delimiter_shown(delimiter: bytes | None) -> str:
    return (delimiter or b"").decode("utf-8", "replace").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


@dataclass(slots=True)
class Field:
    raw: bytes  # without the enclosing quotes, with its escapes
    start: int
    enclosed: bool


@dataclass(slots=True)
class Record:
    fields: list[Field]
    end: int  # first byte after the record delimiter
    error: tuple[int, str, int] | None = None  # position, message, code


class Tokenizer:
    """Reads one record at a time, with any combination of options."""

    def __init__(self, options: CsvFormat, expect: int | None = None) -> None:
        self.options, self.expect = options, expect
        self.escape_in = options.escape
        self.escape_out = options.escape or options.escape_unenclosed
        # "New line" is logical: \r\n ends a record too (create-file-format, RECORD_DELIMITER).
        newline = options.record_delimiter in (b"\n", b"\r\n")
        record = (
            rb"\r?\n|\r\Z" if newline else re.escape(options.record_delimiter) if options.record_delimiter else rb"(?!)"
        )
        delimiter = re.escape(options.field_delimiter) if options.field_delimiter else rb"(?!)"
        self.newline = newline
        escaped = re.escape(self.escape_out) if self.escape_out else rb"(?!)"
        self.outside = re.compile(rb"(?P<f>" + delimiter + rb")|(?P<r>" + record + rb")|(?P<e>" + escaped + rb")")
        self.after = re.compile(rb"(?P<f>" + delimiter + rb")|(?P<r>" + record + rb")")
        alternatives = [delimiter, record]
        if options.enclosed_by:
            inner = re.escape(options.enclosed_by) + (b"|" + re.escape(self.escape_in) if self.escape_in else b"")
            self.inside = re.compile(inner)
            alternatives += [re.escape(options.enclosed_by)]
        self.unescape_out = re.compile(escaped + b"(" + b"|".join([*alternatives, escaped]) + b")")
        # In an enclosed field a doubled quote is one quote with and without ESCAPE, which only adds a second way to write it
        # (create-file-format: "can use the ESCAPE character"). One pass from the left: of two escapes the second is text.
        inner = re.escape(self.escape_in) if self.escape_in else rb"(?!)"
        quote = re.escape(options.enclosed_by) if options.enclosed_by else rb"(?!)"
        escapes = inner + b"(" + b"|".join([*alternatives, inner]) + b")"
        self.unescape_in = re.compile(escapes + b"|" + quote + b"(" + quote + b")")
        self.spaces = re.compile(rb"[ ]*" if options.field_delimiter == b"\t" else rb"[ \t]*")
        self.record_delimiter = re.compile(record)
        self.lookahead = max(len(options.field_delimiter or b""), len(options.record_delimiter or b""), 2)

    def record(self, data: bytes, position: int, final: bool) -> Record | None:
        """Read the record that starts at `position`; None when more data is needed, which cannot be if `data` is `final`."""
        fields: list[Field] = []
        quote = self.options.enclosed_by
        while True:
            start = position
            if self.options.trim_space:
                start = self.spaces.match(data, start).end()  # type: ignore[union-attr]
            if start >= len(data) and not final:
                return None
            if quote and data.startswith(quote, start):
                closed = self._closing(data, start + 1, final)
                if closed is None:
                    return None
                if closed < 0:
                    message = f"matching enclosing character '{quote.decode()}' not found before end of file"
                    return Record(fields, len(data), (start, message, 100068))
                fields.append(Field(data[start + 1 : closed], start, True))
                if not self.options.multi_line and self.record_delimiter.search(data, start + 1, closed):
                    # MULTI_LINE = FALSE: a record delimiter inside a field is an error (create-file-format, MULTI_LINE).
                    end = self.record_delimiter.search(data, start + 1).end()  # type: ignore[union-attr]
                    message = f"matching enclosing character '{quote.decode()}' not found before end of record"
                    return Record(fields[:-1], end, (start, message, 100068))
                position = self.spaces.match(data, closed + 1).end()  # type: ignore[union-attr]
                if position + self.lookahead > len(data) and not final:
                    return None
                if position >= len(data):
                    return Record(fields, position)
                match = self.after.match(data, position)
                if match is None:
                    wrong = data[position : position + 4].decode("utf-8", "replace")[:1]
                    if self.expect is not None and len(fields) == self.expect:
                        expected = f"record delimiter '{_delimiter_shown(self.options.record_delimiter)}'"
                    else:
                        expected = f"field delimiter '{_delimiter_shown(self.options.field_delimiter)}'"
                    message = f"Found character '{wrong}' instead of {expected}"
                    end = self.outside_record(data, position, final)
                    if end is None and not final:
                        return None
                    fields.pop()
                    return Record(fields, len(data) if end is None else end, (position, message, 100016))
            else:
                scan = position
                while True:
                    match = self.outside.search(data, scan)
                    if match is None or match["e"] is None:
                        break
                    # The escaped character is skipped; an escaped \r\n counts as one (create-file-format,
                    # ESCAPE_UNENCLOSED_FIELD: a backslash at the end of a row joins it with the next).
                    scan = match.end() + (2 if self.newline and data.startswith(b"\r\n", match.end()) else 1)
                    if scan > len(data):
                        match = None
                        break
                if match is None or (match.end() + self.lookahead > len(data) and not final):
                    if not final:
                        return None
                    if match is None:
                        if position < len(data) or fields:
                            fields.append(self._unenclosed(data, position, len(data)))
                        return Record(fields, len(data))
                fields.append(self._unenclosed(data, position, match.start()))
            position = match.end()
            if match["r"] is not None:
                return Record(fields, position)

    def outside_record(self, data: bytes, position: int, final: bool) -> int | None:
        """Return where the next record delimiter ends, whatever comes before it; None if that is not within `data`."""
        match = self.record_delimiter.search(data, position)
        if match is None or (match.end() + self.lookahead > len(data) and not final):
            return None
        return match.end()

    def _closing(self, data: bytes, position: int, final: bool) -> int | None:
        """Find the enclosed field's closing quote; return -1 when the file ends before it, None when more data is needed."""
        quote = self.options.enclosed_by or b""
        while match := self.inside.search(data, position):
            if match.group() == quote and self.escape_in != quote:
                if match.end() >= len(data) and not final:
                    return None
                if not data.startswith(quote, match.end()):
                    return match.start()
                position = match.end() + 1
            elif self.escape_in == quote:
                if not data.startswith(quote, match.end()):
                    return match.start()
                position = match.end() + 1
            else:
                position = match.end() + 1
        return -1 if final else None

    def _unenclosed(self, data: bytes, start: int, end: int) -> Field:
        raw = data[start:end]
        if self.options.trim_space:
            raw = raw.strip(b" " if self.options.field_delimiter == b"\t" else b" \t")
        return Field(raw, start, False)

    def text(self, part: Field) -> bytes:
        """Return the field's bytes with escapes and doubled quotes resolved."""
        raw = part.raw
        quote = self.options.enclosed_by
        escape = self.escape_in if part.enclosed else self.escape_out
        if escape and escape in raw:
            # A delimiter, a line break, the quote or the escape character itself is taken literally; before any other
            # character the escape character stays.
            return (self.unescape_in if part.enclosed else self.unescape_out).sub(lambda m: m[m.lastindex or 1], raw)
        if part.enclosed and quote:
            return raw.replace(quote * 2, quote)
        return raw

    def value(self, part: Field) -> str | None:
        """Return the field as COPY loads it, None for SQL NULL. Raises UnicodeDecodeError when it is not UTF-8."""
        if not part.raw and not part.enclosed and self.options.empty_field_as_null:
            return None
        text = self.text(part)
        # Snowflake's default NULL_IF is \N while \ is also the escape character, so the field is compared unresolved too.
        if text in self.options.null_if or part.raw in self.options.null_if:
            return None
        return text.decode("utf-8", "replace" if self.options.replace_invalid_characters else "strict")
