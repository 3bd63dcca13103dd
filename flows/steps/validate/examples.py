"""Rules that failed → the first rows that broke each: their numbers in their files, and values that are not personal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flows.clients.snowflake import run
from flows.contract.broken_rows import broken_rows, shown_columns
from flows.contract.expectations import Expectation, asset_query, expectations
from flows.contract.model import Source, Table
from flows.contract.volume import usual, volume
from flows.errors import CxmError
from flows.steps.validate.verdicts import BrokenRow, RuleFailure, TableVerdict, Verdict

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

MOST_ROWS = 10  # of a rule
MOST_RULES = 20  # of a batch, a query for each: who mends the first rules looks again


def with_examples(connection: SnowflakeConnection, source: Source, verdict: Verdict) -> Verdict:
    """The verdict, each of its first failures of error severity with the first rows that broke the rule.

    A query that fails leaves its rule without rows: the verdict stands without them.
    """
    left = MOST_RULES
    tables = []
    for judged in verdict.tables:
        failures = []
        for failure in judged.error_failures:
            failures.append(_shown(connection, source, judged, failure, verdict.batch_id) if left else failure)
            left -= bool(left)
        warnings = [
            _volume(connection, source, judged, f, verdict.batch_id) if f.rule.endswith(".volume") else f
            for f in judged.warnings
        ]
        tables.append(replace(judged, error_failures=tuple(failures), warnings=tuple(warnings)))
    return replace(verdict, tables=tuple(tables))


def _shown(
    connection: SnowflakeConnection, source: Source, judged: TableVerdict, failure: RuleFailure, batch_id: str
) -> RuleFailure:
    if failure.rule.endswith(".volume"):
        return _volume(connection, source, judged, failure, batch_id)
    table = source.table(judged.table)
    expectation = _expectation(source, table, failure)
    query = broken_rows(source, table, expectation, batch_id) if expectation else None
    if expectation is None or query is None:
        return failure
    try:
        rows = run(connection, f"{query} LIMIT {MOST_ROWS}").rows
    except CxmError:
        return replace(failure, query=query)
    columns = shown_columns(table, expectation.columns)
    found = [
        BrokenRow(
            int(number),
            str(key).rpartition("/")[2],
            tuple((name, None if v is None else str(v)) for name, v in zip(columns, values, strict=True)),
        )
        for number, key, *values in rows
    ]
    return replace(failure, rows=tuple(found), query=query)


def _volume(
    connection: SnowflakeConnection, source: Source, judged: TableVerdict, failure: RuleFailure, batch_id: str
) -> RuleFailure:
    """The failure, with how many rows came and how many are usual."""
    table = source.table(judged.table)
    rule = next((r for r in table.rules if r.kind == "volume" and r.severity == failure.severity), None)
    if rule is None:
        return failure
    query = volume(source, table, rule).replace("{batch}", f"({asset_query(source, table, batch_id)})")
    try:
        ((now, usually, _),) = run(connection, query).rows
    except (CxmError, ValueError):
        return failure
    observed = f"{int(now):,} rows came, {float(usually):,.0f} is {usual(rule)}"
    return replace(failure, observed=observed, unexpected_count=0, query="")


def _expectation(source: Source, table: Table, failure: RuleFailure) -> Expectation | None:
    """What the contract asked for, by the name and the severity of the failure."""
    for expectation in expectations(source, table):
        if failure.rule == f"{table.name}.{expectation.name}" and expectation.severity == failure.severity:
            return expectation
    return None
