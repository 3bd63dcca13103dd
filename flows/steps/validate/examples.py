"""Rules that failed → the first row that broke each: its number in its file, and its values where they are not personal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.clients.snowflake import run
from flows.contract.broken_rows import first_broken_row, shown_columns
from flows.contract.expectations import Expectation, expectations
from flows.contract.model import Source, Table
from flows.errors import CxmError
from flows.steps.validate.verdicts import RuleFailure, TableVerdict, Verdict

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

MOST = 20  # queries for a batch: who mends the first rules looks again
_LONGEST = 60  # characters of a value


def with_examples(connection: SnowflakeConnection, source: Source, verdict: Verdict) -> Verdict:
    """The verdict, each of its first failures of error severity with the first row that broke the rule.

    A query that fails leaves its rule without an example: the verdict stands without it.
    """
    left = MOST
    tables = []
    for judged in verdict.tables:
        failures = []
        for failure in judged.error_failures:
            example = _example(connection, source, judged, failure, verdict.batch_id) if left else ""
            left -= bool(left)
            failures.append(replace(failure, example=example))
        tables.append(replace(judged, error_failures=tuple(failures)))
    return replace(verdict, tables=tuple(tables))


def _example(
    connection: SnowflakeConnection, source: Source, judged: TableVerdict, failure: RuleFailure, batch_id: str
) -> str:
    table = source.table(judged.table)
    expectation = _expectation(source, table, failure)
    sql = first_broken_row(source, table, expectation, batch_id) if expectation else None
    if expectation is None or sql is None:
        return ""
    try:
        rows = run(connection, sql).rows
    except CxmError:
        return ""
    return _in_words(rows[0], shown_columns(table, expectation)) if rows else ""


def _expectation(source: Source, table: Table, failure: RuleFailure) -> Expectation | None:
    """What the contract asked for, by the columns and the kind of rule in the failure's name."""
    for expectation in expectations(source, table):
        columns = ", ".join(expectation.columns)
        named = failure.rule == f"{table.name}.{expectation.rule}" + (f"({columns})" if columns else "")
        if named and expectation.severity == failure.severity:
            return expectation
    return None


def _in_words(row: Sequence[Any], columns: Sequence[str]) -> str:
    number, key, *values = row
    shown = [f"{name} is {_short(value)}" for name, value in zip(columns, values, strict=True)]
    return f"row {number} of {str(key).rpartition('/')[2]}" + (f": {', '.join(shown)}" if shown else "")


def _short(value: Any) -> str:
    if value is None:
        return "empty"
    text = str(value)
    return repr(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")
