"""A CSV file's bytes → the blocks of `scan.py`, by Python's csv module; or what is wrong with the file, and where."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from flows.contract.fit import MisfitError, fit, shown
from flows.contract.model import Table
from flows.errors import DataError
from flows.steps.land.scan import BOM, MAX_FIELD_CHARACTERS, Block

# A line (not a record: quoted fields may span lines) longer than this is no CSV line of ours; it bounds memory. The longest
# field alone has 64 MiB, of characters of four bytes; a VARCHAR holds 128 MB in all.
MAX_LINE_BYTES = 128 * 1024 * 1024
RECORDS_AT_ONCE = 10_000


def exact(path: str, file: BinaryIO, size: int, table: Table) -> Iterator[Block]:
    """The blocks of a file of `size` bytes; together they are its bytes. Ten times slower than `scanned`.

    Raises:
        DataError: empty, header only, not UTF-8, a header that differs from the contract, a record with too few or too many
            fields, a NUL, a field over 16,777,216 characters, a quote that never ends, a line end that is neither LF nor
            CRLF; the message names file and line and says what was wanted.
    """
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    taken: list[
        bytes
    ] = []  # the lines of the records since the last block: csv asks for none beyond the record it gives
    reader = csv.reader(_lines(file, path, taken), strict=True)
    line = 1  # where the record being read began
    records = 0
    try:
        header = next(reader, None)
        if header is None or (not header and size <= len(BOM)):
            raise DataError(f"{path}: empty file; wanted the header {','.join(table.header)} and at least one record")
        _check_header(path, header, table)
        _check_end(path, 1, taken[-1])
        yield Block(_joined(taken), 0, tuple(header))
        line = reader.line_num + 1
        for record in reader:
            if len(record) != len(header):
                raise DataError(_field_count(path, line, record, header, whole=taken[-1].endswith(b"\n")))
            _check_end(path, reader.line_num, taken[-1])
            records += 1
            line = reader.line_num + 1
            if records % RECORDS_AT_ONCE == 0:
                yield Block(_joined(taken), RECORDS_AT_ONCE)
    except csv.Error as error:
        raise DataError(_csv_error(path, line, reader.line_num, error)) from error
    if records == 0 and not table.allow_empty:
        raise DataError(
            f"{path}: has a header and no records; wanted at least one (send the file once it is filled, or let the table's "
            "entry in the contract say `allowEmpty: true`)"
        )
    if taken:
        yield Block(_joined(taken), records % RECORDS_AT_ONCE)


def _check_end(path: str, number: int, line: bytes) -> None:
    """The end of a record's last line: csv passes over every CR before LF and at the file's end, COPY over one before LF."""
    if line.endswith(b"\r\r\n"):
        raise DataError(
            f"{path}, line {number}: ends in CR CR LF; expected LF or CRLF. Open the file with newline='' where it is written: "
            "text mode on Windows makes CR CR LF of CR LF"
        )
    if line.endswith(b"\r"):
        raise DataError(f"{path}, line {number}: a bare CR ends a line; wanted LF or CRLF")


def _joined(taken: list[bytes]) -> bytes:
    data = b"".join(taken)
    taken.clear()
    return data


def _lines(file: BinaryIO, path: str, taken: list[bytes]) -> Iterator[str]:
    """The file's lines as text, each added to `taken`; what cannot be text is refused with its line."""
    done = number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        taken.append(line)
        done += len(line)
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise DataError(
                f"{path}, line {number}: longer than {MAX_LINE_BYTES:,} bytes without a line end; wanted CSV text: a quote "
                "that never ends, or not a CSV file"
            )
        if b"\0" in line:
            raise DataError(
                f"{path}, line {number}: NUL byte at byte {done - len(line) + line.index(0):,} of the file; wanted text; "
                "export the file again as UTF-8 CSV"
            )
        if number == 1 and line.startswith(BOM):
            line = line[len(BOM) :]
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {number}: byte 0x{line[error.start]:02x} at position {error.start + 1} is not UTF-8; wanted "
                "UTF-8 (a Latin-1 file converts with `iconv -f LATIN1 -t UTF-8`)"
            ) from None


def _check_header(path: str, found: list[str], table: Table) -> None:
    try:
        fit(table, found)
    except MisfitError as error:
        raise DataError(
            f"{path}, line 1: the header differs from the contract: {error}. Found {','.join(map(shown, found))[:500]}; wanted "
            f"{','.join(table.header)}. Mend the file, or change the table's entry in the contract and run `cxm contract sync`"
        ) from None


def _field_count(path: str, line: int, record: list[str], header: list[str], whole: bool) -> str:
    wanted = len(header)
    if not record:
        return f"{path}, line {line}: blank line; wanted a record of {wanted} fields"
    begin = ",".join(record)[:80]
    if len(record) < wanted and not whole:
        return (
            f"{path}, line {line}: the file ends inside this record, after {len(record)} of {wanted} fields; it was cut off on "
            "its way: send it again whole"
        )
    return (
        f"{path}, line {line}: {len(record)} fields, wanted {wanted} ({', '.join(header)}); the record begins {begin!r}; "
        "quote fields that hold commas"
    )


def _csv_error(path: str, begin: int, line: int, error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return (
            f"{path}, line {begin}: a quote opens in this record and never closes; wanted a closing quote before the file ends; "
            "close it, or send the file again if it was cut off on its way"
        )
    if "field larger than field limit" in text:
        return (
            f"{path}, line {begin}: a field is longer than {MAX_FIELD_CHARACTERS:,} characters, the most a Snowflake VARCHAR "
            "holds; shorten it"
        )
    if "new-line character seen" in text:
        return f"{path}, line {line}: a bare CR ends a line; wanted LF or CRLF"
    return f"{path}, line {line}: not valid CSV ({text}); wanted RFC 4180: quotes around fields, quotes inside doubled"
