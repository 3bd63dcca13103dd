"""Reads a table's `fileName` (a name or a pattern), and refuses tables whose files could be confused."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from flows.contract import file_names
from flows.contract.model import Load, Table
from flows.contract.position import Position, show


def file_name(given: object, load: Load, place: Position) -> str:
    """Read the name of the table's file, or the pattern of its files.

    Raises:
        ConfigurationError: it is not a valid name, or it has `{date}` although the table has no files by day, or vice versa.
    """
    daily = load == "append"
    if not isinstance(given, str) or not file_names.is_name(given) or (file_names.DATE in given) != daily:
        example = "tickets_{date}.csv" if daily else "olist_orders_dataset.csv"
        by_day = " and, before .csv, _{date}: a table that is loaded as append has a file for each day" * daily
        place.fail(
            f"customProperties, fileName: got {show(given)}, expected a .csv file's name of letters, digits and _{by_day}; "
            f"add `- {{property: fileName, value: '{example}'}}`; where several files make up "
            f"{'a day' if daily else 'the table'}, add {{part}} or *{' behind {date}' * daily}: "
            f"'{example.replace('.csv', '_{part}.csv')}'"
        )
    return given


def refuse_overlaps(tables: Sequence[Table], place: Position) -> None:
    """Make sure that no pattern matches another table's files, and that no two tables share a folder for their objects. Overlaps
    that only certain file names show are refused by the run that meets such a file.

    Raises:
        ConfigurationError: two tables overlap; the message names both.
    """
    for table, other in permutations(tables, 2):
        if table.has_parts and file_names.covers(table.file, other.file):
            place.fail(
                f"schema, fileNames: {table.file} of {table.name} names the files of {other.name} ({other.file}) as well; "
                f"expected each file in one table; narrow it, such as {table.name}_{{part}}.csv"
            )
        if table.has_parts and table.stem.casefold() == other.stem.casefold():
            place.fail(
                f"schema, fileNames: {table.file} of {table.name} and {other.file} of {other.name} would both lie in S3 under "
                f"{table.stem}/; expected a folder for each table; begin one of the names with other text"
            )
