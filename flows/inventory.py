"""Matches the file names of a place to the tables of a contract: which file belongs to which table, what is missing or ignored.

{"orders_1.csv", "orders_2.csv.gz", "Items.csv", "notes.txt"} + `Source` ──inventory──▶ `Inventory`. Pure: no I/O.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from flows.contract import file_names
from flows.contract.model import Source, Table
from flows.errors import DataError
from flows.unpack import SUFFIXES

SHOWN = 10  # ignored files named in a message: a place may hold thousands of other files


@dataclass(frozen=True, slots=True)
class Missing:
    """A table without a file. `expected` is the name or pattern of its file, for the day that was asked for."""

    table: Table
    expected: str
    near: str = ""  # a file whose name differs only in letter case


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file that belongs to no table. `hint` says why, if its name is close to an expected one."""

    name: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The files of a source in a place.

    `files`: contract name of each table → the names of its files, sorted, without an ending such as `.gz`, in Unicode's composed
    form (NFC); empty if it has none. `entries`: those names → the names as the place spells them."""

    files: Mapping[str, tuple[str, ...]]
    entries: Mapping[str, str]
    missing: tuple[Missing, ...]
    ignored: tuple[Ignored, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every table that is not optional has a file."""
        return all(missing.table.optional for missing in self.missing)

    @property
    def summary(self) -> str:
        """The ignored files in words: the first names and how many more. Empty if none is ignored."""
        names = [f"{i.name} ({i.hint})" if i.hint else i.name for i in self.ignored[:SHOWN]]
        more = len(self.ignored) - len(names)
        return ", ".join(names) + (f" and {more:,} more" if more else "")


def inventory(source: Source, names: Iterable[str], day: date | None = None) -> Inventory:
    """Match file names to tables. For tables with a file per day, only files of `day` are taken.

    Hidden files (with a leading dot) are skipped. A file of another day belongs to a table, so it does not count as ignored.

    Raises:
        DataError: a file matches two tables, or a table's pattern except for letter case.
    """
    entries = _entries(names)
    files: dict[str, list[str]] = {table.name: [] for table in source.tables}
    ignored = []
    for name in entries:
        owners = [table for table in source.tables if file_names.matches(table.file, name)]
        if len(owners) > 1:
            raise DataError(
                f"{name}: a file of {' and of '.join(f'{t.name} ({t.file})' for t in owners)}; expected each file in one table; "
                "rename it, or narrow a fileName in the contract"
            )
        if not owners:
            ignored.append(_ignored(source, name, entries))
        elif file_names.matches(_on(owners[0], day), name):
            files[owners[0].name].append(name)
    matched = {table: tuple(sorted(of_table)) for table, of_table in files.items()}
    missing = [_missing(table, _on(table, day), entries) for table in source.tables if not matched[table.name]]
    return Inventory(matched, entries, tuple(missing), tuple(sorted(ignored, key=lambda i: (not i.hint, i.name))))


def days(source: Source, names: Iterable[str]) -> tuple[date, ...]:
    """List the days for which one of these names is a file of the source, in order."""
    entries = _entries(names)
    covered = {file_names.day_of(table.file, name) for table in source.tables if table.daily for name in entries}
    return tuple(sorted(day for day in covered if day))


def _on(table: Table, day: date | None) -> str:
    return table.file if day is None else table.file_on(day)


def _entries(names: Iterable[str]) -> dict[str, str]:
    """Map file names as the contract spells them to the names as the place spells them.

    If a file exists twice, plain and packed, the plain name wins: opening it reports both."""
    by_name: dict[str, str] = {}
    for entry in sorted(names):
        if entry.startswith("."):
            continue
        suffix = next((s for s in SUFFIXES if entry.lower().endswith(f".csv{s}")), "")
        name = unicodedata.normalize("NFC", entry[: len(entry) - len(suffix)])
        before = by_name.get(name, entry)
        if before != entry and unicodedata.normalize("NFC", before) == unicodedata.normalize("NFC", entry):
            raise DataError(
                f"{name}: exists twice, spelt with other Unicode characters; expected it once; remove the one that is not to "
                "be loaded"
            )
        by_name.setdefault(name, entry)
    return by_name


def _missing(table: Table, expected: str, entries: Mapping[str, str]) -> Missing:
    near = next((entry for name, entry in entries.items() if file_names.matches(expected, name, ignore_case=True)), "")
    return Missing(table, expected, near)


def _ignored(source: Source, name: str, entries: Mapping[str, str]) -> Ignored:
    """Return an ignored file with its hint.

    Raises:
        DataError: the name matches a table's pattern except for letter case; ignoring it would silently leave out rows.
    """
    for table in source.tables:
        if not file_names.matches(table.file, name, ignore_case=True):
            continue
        if table.has_parts:
            raise DataError(
                f"{entries[name]}: differs in letter case from {table.file}, the files of {table.name}; expected names as "
                "the contract spells them; rename it, or move it away if it is not to be loaded"
            )
        return Ignored(entries[name], f"differs in letter case from {table.file}")
    absent = [t.file for t in source.tables if not t.has_parts and not t.daily and t.file not in entries]
    near = difflib.get_close_matches(name, absent, n=1, cutoff=0.85)
    return Ignored(entries[name], f"{near[0]} is missing" if near else "")
