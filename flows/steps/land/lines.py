"""Splits a CSV file into blocks of records and single broken lines, which are set aside (badRows, brokenLines).

    block of whole lines ──scan──▶ records alone; else, line by line with csv ──▶ records and broken lines

Every record must be one line: a quote that never closes looks like the beginning of a field with line breaks, so otherwise a
broken line would swallow the next ones. Reading continues with the line after it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from flows.contract.dialect import Dialect
from flows.contract.model import BadRows, Table
from flows.errors import DataError
from flows.landing import BrokenLine
from flows.steps.land import csv_fast
from flows.steps.land.csv_fast import MAX_FIELD_CHARACTERS, Block, UnusualError, whole_records
from flows.steps.land.csv_strict import MAX_LINE_BYTES, exact, field_too_long, odd_escapes, text_of


def by_line(path: str, file: BinaryIO, table: Table, allowed: BadRows) -> Iterator[Block]:
    """Yield the blocks of a file; together they are its bytes. One pass, and memory does not grow with the file.

    Raises:
        DataError: more lines are broken than the contract sets aside, the file is cut off in its last line, or has no record; or,
            as for `exact`, the header differs, bytes are not UTF-8, or there is a NUL or a field or line that is too long.
    """
    line = file.readline(MAX_LINE_BYTES) if table.dialect.header else b""
    header = next(exact(path, io.BytesIO(line), len(line), table))
    yield header
    judge = _Judge(path, header, table.dialect, allowed)
    carry = b""
    while more := file.read(max(csv_fast.BLOCK_BYTES, len(carry))):
        data = carry + more
        cut = data.rfind(b"\n") + 1
        if cut:
            yield from judge.blocks(data[:cut])
        carry = data[cut:]
        if len(carry) > MAX_LINE_BYTES:
            raise DataError(
                f"{path}, line {judge.line}: longer than {MAX_LINE_BYTES:,} bytes without a line end; expected CSV text"
            )
    if carry:
        yield judge.last(carry)
    judge.check()
    if not judge.records and (judge.broken or not table.allow_empty):
        raise DataError(
            f"{path}: has a header and no records; expected at least one; send the file once it is filled, or let the table's "
            "entry in the contract say `allowEmpty: true`"
        )


class _Feed:
    """An iterator of one line for the csv module, so that a record cannot continue in the next line."""

    line: str | None = None

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line, self.line = self.line, None
        if line is None:
            raise StopIteration
        return line


class _Judge:
    """Decides which lines after the header are records of `width` fields, and which are broken."""

    def __init__(self, path: str, header: Block, dialect: Dialect, allowed: BadRows) -> None:
        self.line = 2 if dialect.header else 1  # number of the next line
        self.records = self.broken = 0
        self._path, self._width, self._allowed = path, len(header.header), allowed
        self._done = len(header.data)
        self._first: list[str] = []
        self._feed = _Feed()
        self._csv = csv.reader(self._feed, **dialect.csv)
        self._dialect, self._escapes = dialect, odd_escapes(dialect)
        csv.field_size_limit(MAX_FIELD_CHARACTERS)

    def blocks(self, data: bytes) -> Iterator[Block]:
        """Split whole lines into blocks: one block if all are records, else a separate block for each broken line."""
        lines = data.count(b"\n")
        try:
            # With one column, a blank line would look like a record with an empty field.
            whole = self._width > 1 and whole_records(data, self._width, self._dialect) == (lines, len(data))
        except UnusualError:
            whole = False
        if whole:
            self.line += lines
            self._done += len(data)
            yield from self._taken(data, lines)
            return
        begin = end = records = 0
        while end < len(data):
            start, end = end, data.index(b"\n", end) + 1
            if not (reason := self._reason(data[start:end])):
                records += 1
            else:
                yield from self._taken(data[begin:start], records)
                yield Block(data[start:end], 0, broken=BrokenLine(self.line, reason))
                self._count(reason)
                begin, records = end, 0
            self.line += 1
            self._done += end - start
        yield from self._taken(data[begin:], records)

    def last(self, line: bytes) -> Block:
        """Handle a last line without line end. If it is not a record, the file was truncated, by an unknown amount."""
        if reason := self._reason(line):
            raise DataError(
                f"{self._path}, line {self.line}: the file ends without a line end, and its last line is no record ({reason}); "
                "it was cut off on its way: send it again whole"
            )
        self.records += 1
        return Block(line, 1)

    def check(self) -> None:
        """Check that no more lines are broken than the contract allows."""
        if self.broken and not self._allowed.allows(self.broken, self.records + self.broken):
            self._refuse(f"{self.broken:,} of {self.records + self.broken:,} lines")

    def _taken(self, data: bytes, records: int) -> Iterator[Block]:
        if data:
            self.records += records
            yield Block(data, records)

    def _count(self, reason: str) -> None:
        self.broken += 1
        if len(self._first) < 3:
            self._first.append(f"line {self.line:,} ({reason})")
        if self._allowed.max_rows is not None and self.broken > self._allowed.max_rows:
            self._refuse(f"{self.broken:,} lines and maybe more")

    def _refuse(self, lines: str) -> None:
        named = ", ".join(self._first) + " …" * (self.broken > len(self._first))
        raise DataError(
            f"{self._path}: {lines} are no record, more than the contract sets aside ({self._allowed.limit}): {named}; correct "
            "the file, or, where its fields hold line breaks, take `brokenLines` out of the contract"
        )

    def _reason(self, line: bytes) -> str:
        """Return why a line is broken; empty if it is a record."""
        text = text_of(self._path, self.line, line, self._done)
        if len(text) > MAX_FIELD_CHARACTERS:
            raise DataError(field_too_long(self._path, self.line))
        if text.endswith(("\r\r\n", "\r")):
            return "ends in CR CR LF" if text.endswith("\n") else "a bare CR ends it"
        if self._escapes and self._escapes.search(text):
            return "an escape character before what needs none"
        self._feed.line = text
        try:
            record = next(self._csv)
        except csv.Error as error:
            said = str(error)
            if "unexpected end of data" in said:
                return "a quote opens and does not close in this line"
            return "a bare CR in it" if "new-line" in said else "text after a closing quote"
        if not record:
            return "a blank line"
        got = len(record)
        return "" if got == self._width else f"{got} field{'s' * (got > 1)}, expected {self._width}"
