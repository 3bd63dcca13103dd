"""`python -m tests.torture FOLDER…` puts every CSV file below through draft, landing and COPY's reader: read exactly, or refused.

Each file is read with four delimiters, three encodings, with and without a header: what landing accepts has to come out of COPY
as Python's csv module reads it, cell by cell. The counts are for each file's own dialect, with the delimiter that cuts its first
record into most fields. Collections to run it on, and the results: tests/README.md.
"""

from __future__ import annotations

import collections
import csv
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

from flows.contract.dialect import Dialect
from flows.contract.model import Column, Table
from flows.errors import CxmError, DataError
from flows.places import local
from flows.steps.draft import profile_files
from flows.steps.land.csv_fast import MAX_FIELD_CHARACTERS
from tests.dialects import by_csv, sent
from tests.unit.test_dialects import copied

NAMES = re.compile(r"\.(csv|tsv|psv)(\.gz|\.zst|\.bz2)?$", re.IGNORECASE)
DIALECTS = [
    Dialect(delimiter=delimiter, encoding=encoding, header=header)
    for delimiter, encoding, header in product(",;\t|", ("utf-8", "windows-1252", "utf-16"), (True, False))
]


@dataclass(frozen=True)
class Outcome:
    """The result of reading a file in a dialect."""

    kind: Literal["exact", "refused", "wrong"]
    why: str = ""


def outcome(path: Path, data: bytes, dialect: Dialect) -> Outcome:
    """Land the file with a contract made from its first record, and read what would be sent as COPY does."""
    first = first_record(data, dialect)
    if not first:
        return Outcome("refused", "no first record")
    if dialect.header and (len(set(first)) < len(first) or not all(is_name(name) for name in first)):
        return Outcome("refused", "a header that no contract can have")
    try:
        landed = sent(path, table_of(path.name, first, dialect))
    except DataError as error:
        return Outcome("refused", str(error))
    try:
        expected = by_csv(data, dialect)
    except (csv.Error, UnicodeDecodeError) as error:
        return Outcome("wrong", f"landing accepts what csv refuses: {error}")
    try:
        got = copied(landed, dialect, len(first))
    except AssertionError as error:
        return Outcome("wrong", f"COPY refuses what landing accepts: {str(error)[:200]}")
    if got != expected:
        at = next(
            (n for n, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), min(len(got), len(expected))
        )
        return Outcome("wrong", f"record {at + 1}: COPY {got[at : at + 1]!r:.200}, csv {expected[at : at + 1]!r:.200}")
    return Outcome("exact")


def is_name(header: str) -> bool:
    """Return whether a contract may have a column with this header."""
    return bool(header.strip()) and header.splitlines() == [header]


def first_record(data: bytes, dialect: Dialect) -> list[str]:
    """Return the fields of the first record; none if it cannot be read."""
    try:
        text = data.decode(dialect.codec).removeprefix("\ufeff")
        return next(csv.reader(io.StringIO(text, newline="\n"), **dialect.csv), [])
    except (csv.Error, UnicodeDecodeError):
        return []


def table_of(file: str, first: list[str], dialect: Dialect) -> Table:
    """Return a table with a text column for each field."""
    columns = tuple(
        Column(f"C{n}", name if dialect.header else f"c{n}", n, "string", f"c{n}", "…", False, "internal", "none")
        for n, name in enumerate(first, 1)
    )
    return Table("t", "D_T", file, "t", "…", "snapshot", columns, (), dialect=dialect, allow_empty=True)


def own_dialect(data: bytes) -> Dialect:
    """Guess the dialect of a file: its encoding, and the delimiter that gives the most fields."""
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    encoding = "utf-16" if utf16 else "utf-8" if is_utf8(data) else "windows-1252"
    every = [one for one in DIALECTS if one.encoding == encoding and one.header]
    return max(every, key=lambda one: len(first_record(data, one)))


def is_utf8(data: bytes) -> bool:
    """Return whether the bytes are text in UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def drafted(path: Path) -> str:
    """Draft a contract for a file; return `drafted`, `refused`, or `fault: …` for an error without a message for the user."""
    try:
        profile_files([path])
    except CxmError:
        return "refused"
    except Exception as error:
        return f"fault: {type(error).__name__}: {error}"[:300]
    return "drafted"


def files(folders: list[Path]) -> Iterator[Path]:
    """Yield every file in the folders and below whose name is that of a CSV file."""
    for folder in folders:
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and NAMES.search(path.name))


def main(folders: list[Path]) -> int:
    """Print the counts and each wrong result; return how many are wrong."""
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    counts: collections.Counter[str] = collections.Counter()
    wrong = tried = 0
    for path in files(folders):
        place = local(path.parent)
        try:
            with (place / path.name).open() as opened:
                data = opened.file.read()
        except DataError as error:
            counts["refused: packed badly"] += 1
            print(f"refused  {path}: {error}")  # noqa: T201
            continue
        own = own_dialect(data)
        for dialect in dict.fromkeys((own, replace(own, header=False), *DIALECTS)):
            tried += 1
            result = outcome(path, data, dialect)
            if dialect == own:
                counts[result.kind] += 1
            if result.kind == "wrong":
                wrong += 1
                print(f"WRONG    {path} as {dialect.file_text or 'the default'}: {result.why}")  # noqa: T201
        draft = drafted(path)
        counts[f"draft {draft.partition(':')[0]}"] += 1
        if draft.startswith("fault"):
            wrong += 1
            print(f"WRONG    {path}: draft: {draft}")  # noqa: T201
    print(  # noqa: T201
        f"{sum(counts[k] for k in ('exact', 'refused', 'wrong'))} files, {tried} readings, {wrong} wrong; {dict(counts)}"
    )
    return wrong


if __name__ == "__main__":
    sys.exit(main([Path(text) for text in sys.argv[1:]]) > 0)
