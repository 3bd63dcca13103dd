"""Splits a CSV file into blocks of whole records and counts them, at the speed of memory.

Quotes, delimiters and line ends are found as bits, 64 bytes of text to a word, as simdjson does (Langdale and Lemire, Parsing
Gigabytes of JSON per Second, https://arxiv.org/abs/1902.08318), with numpy, so that other threads run meanwhile. Only what
RFC 4180 allows is read, with the table's delimiter and quote; anything else, such as an escape character,
raises `UnusualError`, and `csv_strict.py` reads the file with Python's csv module.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from flows.contract.dialect import Dialect
from flows.contract.fit import Layout, MisfitError, fit
from flows.contract.model import Table
from flows.landing import BrokenLine

# A VARCHAR without a length holds at most 16,777,216 characters, https://docs.snowflake.com/en/sql-reference/data-types-text
MAX_FIELD_CHARACTERS = 16_777_216
BOM = b"\xef\xbb\xbf"
BLOCK_BYTES = 1024 * 1024

_Words = NDArray[np.uint64]
_ONE, _TOP = np.uint64(1), np.uint64(63)


class UnusualError(Exception):
    """The file breaks the contract, or only the csv module can read it."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive bytes of the file, ending where a record ends. The first block is the header line and counts 0 records (of a
    file without one it is empty); it alone has a `header`, field by field. A broken line that is set
    aside is a separate block, with `broken`."""

    data: bytes
    records: int
    header: tuple[str, ...] = ()
    broken: BrokenLine | None = None


def scanned(file: BinaryIO, table: Table) -> Iterator[Block]:
    """Yield the blocks of a file; together they are its bytes.

    Raises:
        UnusualError: the file must be read again with `exact`.
    """
    dialect = table.dialect
    line = file.readline(BLOCK_BYTES) if dialect.header else b""
    layout = layout_of(line, table)
    width = len(layout.fields) if layout else 0
    # With one column, a blank line would look like a record with an empty field.
    if layout is None or width < 2 or dialect.line_end != "lf":
        raise UnusualError
    yield Block(line, 0, tuple(header for header, _ in layout.fields))
    carry = b""
    while more := file.read(max(BLOCK_BYTES, len(carry))):
        data = carry + more
        records, cut = whole_records(data, width, dialect)
        if cut:
            yield Block(data[:cut], records)
        carry = data[cut:]
        if len(carry) > 4 * MAX_FIELD_CHARACTERS:
            raise UnusualError
    if carry:  # the last line has no line end
        if carry.endswith(b"\r"):
            raise UnusualError
        records, cut = whole_records(carry + b"\n", width, dialect)
        if cut != len(carry) + 1:
            raise UnusualError
        yield Block(carry, records)


def layout_of(line: bytes, table: Table) -> Layout | None:
    """Return the layout of a file with this first line (with its line end); None if the header does not fit. Without a header the
    fields are in the contract's order."""
    if not table.dialect.header:
        return fit(table, table.header)
    try:
        header = next(csv.reader([line.removeprefix(BOM).decode()], **table.dialect.csv), [])
        layout = fit(table, header)
    except (csv.Error, UnicodeDecodeError, MisfitError):
        return None
    return layout if line.endswith(b"\n") and not line.endswith(b"\r\r\n") else None


def whole_records(data: bytes, width: int, dialect: Dialect) -> tuple[int, int]:
    """Return how many whole records of `width` fields `data` begins with, and where the last of them ends.

    Raises:
        UnusualError: the file must be read again with `exact`.
    """
    if dialect.escape and dialect.escape.encode() in data:
        raise UnusualError
    text = np.frombuffer(data, np.uint8)
    comma, end = _where(text, ord(dialect.delimiter)), _where(text, 10)
    quote = _where(text, ord(dialect.quote)) if dialect.quote else np.zeros_like(end)
    inside = _parity(quote) if dialect.quote and dialect.quote.encode() in data else np.zeros_like(quote)
    comma &= ~inside
    end &= ~inside
    ends = np.flatnonzero(np.unpackbits(end.view(np.uint8), bitorder="little").view(np.bool_))
    if not len(ends):
        return 0, 0
    cut = int(ends[-1]) + 1
    if b"\0" in data or (not data.isascii() and not _is_utf8(data[:cut])):
        raise UnusualError
    if b"\r" in data:
        bare = _where(text, 13) & ~inside & ~_left(end)
        if _first(bare) < cut:
            raise UnusualError
        after = comma | end | _where(text, 13)
    else:
        after = comma | end
    # Each opening quote begins a field and each closing quote ends one, except a doubled quote, which closes and opens.
    opening, closing = quote & inside, quote & ~inside
    stray = (opening & ~_right(comma | end | closing, 1)) | (closing & ~_left(after | opening))
    if _first(stray) < cut:
        raise UnusualError
    commas = np.concatenate(([0], np.cumsum(np.bitwise_count(comma), dtype=np.int64)))
    word, bit = ends >> 6, (ends & 63).astype(np.uint64)
    before = commas[word] + np.bitwise_count(comma[word] & ((_ONE << bit) - _ONE))
    if (np.diff(before, prepend=0) != width - 1).any() or np.diff(ends, prepend=-1).max() > MAX_FIELD_CHARACTERS:
        raise UnusualError
    return len(ends), cut


def _where(text: NDArray[np.uint8], mark: int) -> _Words:
    """Set a bit for each byte that equals `mark`, the first byte in the lowest bit; zeros fill the last word."""
    bits = np.packbits(text == mark, bitorder="little")
    words = np.zeros(-(-len(text) // 64), "<u8")
    words.view(np.uint8)[: len(bits)] = bits
    return words


def _parity(bits: _Words) -> _Words:
    """Set each bit for which the number of set bits up to and including it is odd."""
    bits = bits.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        bits ^= bits << np.uint64(shift)
    carried = np.bitwise_xor.accumulate(bits >> _TOP)
    bits[1:] ^= np.uint64(0) - carried[:-1]
    return bits


def _right(bits: _Words, into: int) -> _Words:
    """Move each bit to the next byte of the text; the first byte gets `into`."""
    moved = bits << _ONE
    moved[1:] |= bits[:-1] >> _TOP
    moved[0] |= np.uint64(into)
    return moved


def _left(bits: _Words) -> _Words:
    """Move each bit to the previous byte of the text."""
    moved = bits >> _ONE
    moved[:-1] |= bits[1:] << _TOP
    return moved


def _first(bits: _Words) -> int:
    """Return the position of the first set bit; a position past the end if none is set."""
    words = np.flatnonzero(bits)
    if not len(words):
        return 64 * len(bits)
    word = int(bits[words[0]])
    return 64 * int(words[0]) + (word & -word).bit_length() - 1


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
