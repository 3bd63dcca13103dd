"""Splits a CSV file into the blocks of `csv_fast.py` with Python's csv module, or reports what is wrong with it, and where."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

from flows.contract.dialect import DELIMITERS, Dialect
from flows.contract.fit import MisfitError, fit, shown
from flows.contract.model import Table
from flows.errors import DataError
from flows.sniff import delimiter_of, encoding_of
from flows.steps.land.csv_fast import BOM, MAX_FIELD_CHARACTERS, Block

# A line (not a record: quoted fields may span lines) longer than this is refused; it bounds memory. The longest
# field alone has 64 MiB, of characters of four bytes; a VARCHAR holds 128 MB in all.
MAX_LINE_BYTES = 128 * 1024 * 1024
RECORDS_AT_ONCE = 10_000


def exact(path: str, file: BinaryIO, size: int, table: Table, limit: int = 0) -> Iterator[Block]:
    """Yield the blocks of a file of `size` bytes; together they are its bytes, or with a `limit` those of its first `limit`
    records. Ten times slower than `scanned`.

    Raises:
        DataError: empty, header only, not UTF-8, a header that differs from the contract, a record with too few or too many
            fields, a NUL, a field over 16,777,216 characters, a quote that never closes, an escape character before a
            character that needs none, a line end that is not the dialect's; the message names file and line and says what was
            expected.
    """
    dialect = table.dialect
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    taken: list[bytes] = []  # the lines since the last block: csv reads no line beyond the record that it returns
    reader = csv.reader(_lines(file, path, table, taken), **dialect.csv)
    line = 1  # the line where the current record began
    records = 0
    header: list[str] | None = list(table.header)
    try:
        if dialect.header:
            header = next(reader, None)
            if header is None or (not header and size <= len(BOM)):
                expected = dialect.delimiter.join(table.header)
                raise DataError(f"{path}: empty file; expected the header {expected} and at least one record")
            _check_header(path, header, table)
            _check_end(path, 1, taken[-1], dialect)
            if len(taken) > 1 and dialect.sends_header:
                raise DataError(
                    f"{path}, line 1: the header goes on in line 2, within quotes; expected it on one line: COPY skips its "
                    "first line as the header, and no more; export the file with another name for that column"
                )
            line = reader.line_num + 1
        assert header is not None
        yield Block(_joined(taken), 0, tuple(header))
        for record in reader:
            if len(record) != len(header):
                whole = taken[-1].endswith((b"\n", b"\r"))
                raise DataError(_field_count(path, line, record, header, table, whole))
            _check_end(path, reader.line_num, taken[-1], dialect)
            records += 1
            line = reader.line_num + 1
            if records == limit:
                break
            if records % RECORDS_AT_ONCE == 0:
                yield Block(_joined(taken), RECORDS_AT_ONCE)
    except csv.Error as error:
        raise DataError(_csv_error(path, line, reader.line_num, error, dialect)) from error
    if records == 0 and not table.allow_empty and not dialect.header:
        raise DataError(f"{path}: empty file; expected at least one record, or `allowEmpty: true` in the contract")
    if records == 0 and not table.allow_empty:
        raise DataError(
            f"{path}: has a header and no records; expected at least one (send the file once it is filled, or let the table's "
            "entry in the contract say `allowEmpty: true`)"
        )
    if taken:
        yield Block(_joined(taken), records % RECORDS_AT_ONCE or RECORDS_AT_ONCE)


def _check_end(path: str, number: int, line: bytes, dialect: Dialect) -> None:
    """Refuse a record whose last line ends unexpectedly. Before LF and at the file's end, csv skips any number of CRs, but COPY
    only one before LF. Where CR ends a line, csv skips an LF too, which COPY reads as text."""
    if dialect.line_end == "cr":
        if line.rstrip(b"\r").endswith(b"\n"):
            raise DataError(
                f"{path}, line {number}: an LF ends a line; expected CR alone, as the contract's dialect says; say "
                "`lineEnd: lf`, which is LF or CRLF"
            )
        return
    if line.endswith(b"\r\r\n"):
        raise DataError(
            f"{path}, line {number}: ends in CR CR LF; expected LF or CRLF. Open the file with newline='' where it is written: "
            "text mode on Windows makes CR CR LF of CR LF"
        )
    if line.endswith(b"\r"):
        raise DataError(f"{path}, line {number}: a bare CR ends a line; expected LF or CRLF")


def _joined(taken: list[bytes]) -> bytes:
    data = b"".join(taken)
    taken.clear()
    return data


def _lines(file: BinaryIO, path: str, table: Table, taken: list[bytes]) -> Iterator[str]:
    """Yield the file's lines as text and add each to `taken`; bytes that are not text are refused with their line."""
    dialect, done = table.dialect, 0
    escapes = odd_escapes(dialect)
    chunks = _by_cr(file) if dialect.line_end == "cr" else iter(lambda: file.readline(MAX_LINE_BYTES), b"")
    for number, line in enumerate(chunks, 1):
        taken.append(line)
        done += len(line)
        if len(line) >= MAX_LINE_BYTES and not line.endswith((b"\n", b"\r")):
            raise DataError(
                f"{path}, line {number}: longer than {MAX_LINE_BYTES:,} bytes without a line end; expected CSV text: a quote "
                "that never ends, or not a CSV file"
            )
        text = text_of(path, number, line, done - len(line))
        if escapes and (odd := escapes.search(text)):
            seen = dialect.escape if table.is_personal else odd["odd"]
            raise DataError(
                f"{path}, line {number}, column {odd.start('odd') + 1}: {seen!r}: an escape character before what needs "
                f"none, which programs read in different ways; expected it before {dialect.delimiter!r}, "
                f"{dialect.quote!r} or itself; "
                "quote fields with line breaks, or say `escape: none` if the character is text"
            )
        yield text


def text_of(path: str, number: int, line: bytes, before: int) -> str:
    """Decode a line; `before`: the number of bytes before it in the file.

    Raises:
        DataError: it has a NUL, or bytes that are not UTF-8.
    """
    if b"\0" in line:
        seems = encoding_of(line)
        raise DataError(
            f"{path}, line {number}: NUL byte at byte {before + line.index(0):,} of the file; expected text; "
            + (_say("encoding", seems) if seems.startswith("utf-16") else "export the file again as UTF-8 CSV")
        )
    if number == 1 and line.startswith(BOM):
        line = line[len(BOM) :]
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}: byte 0x{line[error.start]:02x} at position {error.start + 1} is not UTF-8; expected "
            f"UTF-8; {_say('encoding', encoding_of(line, whole=True))}"
        ) from None


def _say(key: str, value: str) -> str:
    """Return the fix for a file that seems to have another dialect: what to set in the contract."""
    shown_value = value if value.isalnum() or "-" in value else f"'{value}'"
    return f"it seems to be {value!r}: say `{key}: {shown_value}` in the `dialect` of the table's entry in the contract"


def _by_cr(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file with CR line ends."""
    left = b""
    while more := file.read(MAX_LINE_BYTES // 64):
        *lines, left = (left + more).split(b"\r")
        for line in lines:
            yield line + b"\r"
        if len(left) >= MAX_LINE_BYTES:
            break
    if left:
        yield left


def odd_escapes(dialect: Dialect) -> re.Pattern[str] | None:
    """Return a pattern that finds, as group `odd`, an escape character before a character that needs none; None if the dialect
    has no escape character. MySQL's \\N for NULL is allowed if the dialect has that null word and no quotes."""
    if not dialect.escape:
        return None
    escape, end = re.escape(dialect.escape), r"\r?\n?\Z"
    known = "".join(map(re.escape, {dialect.delimiter, dialect.quote or dialect.escape, dialect.escape}))
    null = rf"(?<![^{re.escape(dialect.delimiter)}]){escape}N(?={re.escape(dialect.delimiter)}|{end})"
    skipped = rf"{escape}[{known}]" + (
        f"|{null}" if not dialect.quote and f"{dialect.escape}N" in dialect.nulls else ""
    )
    return re.compile(rf"\A(?:[^{escape}]|{skipped})*+(?P<odd>{escape}.?)", re.DOTALL)


def _check_header(path: str, header: list[str], table: Table) -> None:
    try:
        fit(table, header)
    except MisfitError as error:
        mark = table.dialect.delimiter
        fix = "Fix the file, or change the table's entry in the contract and run `cxm contract sync`"
        if len(header) == 1 and (seems := delimiter_of(header[0], table.dialect.quote)) != mark and seems in header[0]:
            fix = f"Its delimiter: {_say('delimiter', DELIMITERS[seems])}"
        elif header[0].startswith("\u00ef\u00bb\u00bf"):  # UTF-8's byte-order mark, decoded as Latin-1
            fix = f"Its encoding: {_say('encoding', 'utf-8')}"
        if _may_be_a_record(header, table):
            raise DataError(
                f"{path}, line 1: got {len(header)} fields, none of them the name of a column of the contract; they are not "
                f"shown, because columns of this table are personal; expected the header {mark.join(table.header)}. "
                f"{fix}. If the file has no header, say `header: false` in the `dialect` of the table's entry"
            ) from None
        raise DataError(
            f"{path}, line 1: the header differs from the contract: {error}. Got {mark.join(map(shown, header))[:500]}; expected "
            f"{mark.join(table.header)}. {fix}"
        ) from None


def _may_be_a_record(fields: list[str], table: Table) -> bool:
    """Return whether the first line may be a record with personal data: the table has personal columns, and no field, split at
    any usual delimiter, is a column's name. Only whole fields count: New York City is not the column `city`."""
    parts = {
        part.strip(" '\"\u00ef\u00bb\u00bf\ufeff").lower() for field in fields for part in re.split(r"[,;|\t]", field)
    }
    return table.is_personal and not parts & {header.lower() for header in table.header}


def _field_count(path: str, line: int, record: list[str], header: list[str], table: Table, whole: bool) -> str:
    """Return the message for a record with too few or too many fields. Its beginning is shown if no column of the table is
    personal, since its fields cannot be assigned to columns."""
    dialect = table.dialect
    expected = len(header)
    if not record:
        return f"{path}, line {line}: blank line; expected a record of {expected} fields"
    begins = "" if table.is_personal else f"the record begins {dialect.delimiter.join(record)[:80]!r}; "
    if len(record) < expected and not whole:
        return (
            f"{path}, line {line}: the file ends inside this record, after {len(record)} of {expected} fields; it was cut off on "
            "its way: send it again whole"
        )
    by = {",": "commas"}.get(dialect.delimiter, repr(dialect.delimiter))
    fix = f"quote fields that hold {by}"
    if not dialect.header and len(record) == 1 and (seems := delimiter_of(record[0])) in record[0]:
        fix = f"its delimiter: {_say('delimiter', DELIMITERS[seems])}"
    fields = f"{len(record)} fields, expected {expected} ({', '.join(header)})"
    return f"{path}, line {line}: {fields}; {begins}{fix}"


def _csv_error(path: str, begin: int, line: int, error: csv.Error, dialect: Dialect) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return (
            f"{path}, line {begin}: a quote opens in this record and never closes; expected a closing quote before the file "
            "ends; close it, or send the file again if it was cut off on its way"
        )
    if "field larger than field limit" in text:
        return field_too_long(path, begin)
    if "new-line character seen" in text and dialect.line_end == "cr":
        return f"{path}, line {line}: an LF ends a line; expected CR alone; say `lineEnd: lf`, which is LF or CRLF"
    if "new-line character seen" in text:
        return (
            f"{path}, line {line}: a bare CR ends a line; expected LF or CRLF; if CR ends all of them, say `lineEnd: cr` in the "
            "contract's dialect"
        )
    return (
        f"{path}, line {line}: not valid CSV ({text}); expected RFC 4180: quotes around fields, quotes inside doubled"
    )


def field_too_long(path: str, line: int) -> str:
    """Return the message for a field that is too long."""
    return (
        f"{path}, line {line}: a field is longer than {MAX_FIELD_CHARACTERS:,} characters, the most a Snowflake VARCHAR "
        "holds; shorten it"
    )
