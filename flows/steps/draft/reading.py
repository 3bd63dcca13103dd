"""Reads a file that has no contract yet: its text in UTF-8, and its probable CSV dialect.

Encoding, delimiter and quote are guessed from its bytes, the decimal mark from its columns of numbers.
"""

from __future__ import annotations

import codecs
import csv
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import duckdb

from flows.contract.dialect import Dialect
from flows.decoded import Decoded
from flows.errors import DataError
from flows.places import local
from flows.sniff import delimiter_of, encoding_of, quote_of

HEAD_BYTES = 256 * 1024
_GROUPS = "[0-9]{1,3}([.][0-9]{3})+"
# The numbers that staging reads with a decimal comma; a point separates thousands.
COMMA_NUMBER = f"[-+]?({_GROUPS}|[0-9]{{1,20}})(,[0-9]*)?|[-+]?,[0-9]+"
COMMA_INTEGER = "[-+]?([0-9]{1,18}|[0-9]{1,3}([.][0-9]{3}){1,5})"
_ENGLISH_THOUSANDS = "[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+"  # ambiguous: the comma of 1,234 may be a decimal mark or not
# A number, a day or a time, however it is written.
TYPED = "[-+]?[0-9][0-9.,]*|[-+]?[.,][0-9]+|[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}([ T][0-9:.]+)?"
# Words that files contain for a missing value, as a contract may spell them.
_NULL_WORDS = ("NULL", "Null", "NA", "N/A", "n/a", "#N/A", "\\N", "None", "nil", "NaN", "nan", "-", "--", "?")
_POINT_NUMBER = "[-+]?[0-9]*[.][0-9]+"


@dataclass(frozen=True, slots=True)
class Readable:
    """A file that DuckDB can read: `path` is the text of `named`, unpacked and in UTF-8; `dialect` is its probable dialect."""

    named: Path
    path: Path
    dialect: Dialect
    header: tuple[str, ...]


def readable(path: Path, folder: Path, name: str) -> Readable:
    """Prepare a file for DuckDB: the file itself, or a copy in `folder` if it is packed or not in UTF-8.

    Raises:
        DataError: a file is missing, empty, or has a header with an empty or repeated name.
    """
    text = path
    with (local(path.parent) / path.name).open("name a CSV file") as opened:
        encoding = _encoding(opened.file)
        opened.file.seek(0)
        head = opened.file.read(16)
        opened.file.seek(0)
        if encoding != "utf-8" or head != _first(path):
            text = folder / f"{name}.csv"
            plain = encoding == "utf-8"
            file = opened.file if plain else Decoded(str(path), opened.file, Dialect(encoding=encoding)).file
            with text.open("wb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
    with text.open(encoding="utf-8-sig", newline="") as lines:
        start = lines.read(HEAD_BYTES)
    end: Literal["lf", "cr"] = "cr" if "\r" in start and "\n" not in start else "lf"
    delimiter = delimiter_of(start.partition("\r" if end == "cr" else "\n")[0])
    dialect = replace(Dialect(delimiter=delimiter, quote=quote_of(start, delimiter)), encoding=encoding, line_end=end)
    try:
        with text.open(encoding="utf-8-sig", newline="") as lines:
            records = csv.reader(lines, **dialect.csv)
            header, second = next(records, []), next(records, [])
    except csv.Error as error:
        raise DataError(f"{path}, line 1: not valid CSV ({error})") from None
    if _is_record(header, second):
        dialect, header = replace(dialect, header=False), [f"c{n}" for n in range(1, len(header) + 1)]
    _check(path, header)
    return Readable(path, text, dialect, tuple(header))


def _first(path: Path) -> bytes:
    """Return the first bytes of a file as stored on disk."""
    with path.open("rb") as file:
        return file.read(16)


def _encoding(file: BinaryIO) -> str:
    """Guess the encoding from the whole file, because the first character beyond ASCII may come late."""
    head = file.read(HEAD_BYTES)
    encoding = encoding_of(head)
    if encoding.startswith("utf-16"):
        return encoding
    strange = b""
    decoder = codecs.getincrementaldecoder("utf-8")()
    data = head
    while encoding == "utf-8":
        try:
            decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            encoding = ""
        if not data:
            break
        strange = strange or data if not encoding else b""
        data = file.read(1 << 20) if encoding else b""
    return encoding or encoding_of(strange, whole=True)


def _is_record(first: list[str], second: list[str]) -> bool:
    """Return whether a file's first line is a record, not a header: it holds a number or a date, and no word above a number or
    date in the second line. A whole number of four digits does not count, since a year may be a column's name."""
    above = [(one, below) for one, below in zip(first, second, strict=False) if one and one not in _NULL_WORDS]
    typed = any(re.fullmatch(TYPED, one) and not re.fullmatch("[0-9]{4}", one) for one in first)
    named = any(re.fullmatch(TYPED, below) and not re.fullmatch(TYPED, one) for one, below in above)
    return typed and not named


def null_words(duck: duckdb.DuckDBPyConnection, name: str, columns: int) -> tuple[str, ...]:
    """Find the words for missing values: those in columns that otherwise hold only numbers or dates."""
    words = ", ".join(f"'{word}'" for word in _NULL_WORDS)
    parts = []
    for c in (f"c{n}" for n in range(1, columns + 1)):
        other = f"{c} NOT IN ({words})"
        parts += [f"count(*) FILTER ({c} IN ({words}))", f"count(*) FILTER ({other})"]
        parts += [f"count(*) FILTER ({other} AND NOT regexp_full_match({c}, '{TYPED}'))"]
    row = duck.execute(f"SELECT {', '.join(parts)} FROM {name}").fetchone() or ()
    seen: set[str] = set()
    for n in range(columns):
        said, others, strange = row[3 * n : 3 * n + 3]
        if said and others and not strange:
            query = f"SELECT DISTINCT c{n + 1} FROM {name} WHERE c{n + 1} IN ({words})"
            seen |= {word for (word,) in duck.execute(query).fetchall()}
    return tuple(word for word in _NULL_WORDS if word in seen)


def _check(path: Path, header: list[str]) -> None:
    if not header:
        raise DataError(f"{path}: empty file; expected a header and records")
    for number, name in enumerate(header, 1):
        if not name.strip() or name != name.strip() or not name.isprintable():
            raise DataError(
                f"{path}, line 1: column {number} is called {name!r}; expected a name without line breaks and without space "
                "around it; correct the header"
            )
        if header.count(name) > 1:
            raise DataError(f"{path}, line 1: two columns are called {name!r}; expected each name once; rename one")


def decimal_of(duck: duckdb.DuckDBPyConnection, name: str, columns: int) -> Literal[".", ","]:
    """Guess the decimal mark: a comma if a column of only numbers has one that cannot separate thousands, and no column has a
    decimal point; else a point."""
    parts = []
    for c in (f"c{n}" for n in range(1, columns + 1)):
        all_are = f"count({c}) > 0 AND count(*) FILTER (NOT regexp_full_match({c}, '{{}}')) = 0"
        comma = f"contains({c}, ',') AND NOT regexp_full_match({c}, '{_ENGLISH_THOUSANDS}')"
        point = f"regexp_full_match({c}, '{_POINT_NUMBER}') AND NOT regexp_full_match({c}, '[-+]?{_GROUPS}')"
        parts += [f"{all_are.replace('{}', COMMA_NUMBER)} AND count(*) FILTER ({comma}) > 0"]
        parts += [f"{all_are.replace('{}', '[-+0-9.eE]+')} AND count(*) FILTER ({point}) > 0"]
    row = duck.execute(f"SELECT {', '.join(parts)} FROM {name}").fetchone() or ()
    return "," if any(row[0::2]) and not any(row[1::2]) else "."
