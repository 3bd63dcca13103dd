"""Finds the first rows that broke each failed rule: their numbers in their files, and values that are not personal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flows.clients.snowflake import run
from flows.contract.beside import KINDS, beside, summarize
from flows.contract.broken_rows import broken_rows, shown_columns
from flows.contract.expectations import Expectation, asset_query, expectations, named
from flows.contract.model import Source, Table
from flows.contract.volume import usual, volume
from flows.errors import CxmError
from flows.steps.validate.verdicts import BrokenRow, RuleFailure, TableVerdict, Verdict

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

MOST_ROWS = 10  # of a rule
MOST_RULES = 20  # of a batch, one query each; further rules show after the first ones are fixed


def with_examples(connection: SnowflakeConnection, source: Source, verdict: Verdict) -> Verdict:
    """Add example rows to the verdict: the first rows that broke each of its first rules of error severity.

    A query that fails leaves its rule without rows: the verdict does not depend on them.
    """
    left = MOST_RULES
    tables = []
    for judged in verdict.tables:
        failures = []
        for failure in judged.error_failures:
            failures.append(_shown(connection, source, judged, failure, verdict.batch_id) if left else failure)
            left -= bool(left)
        warnings = [_beside_before(connection, source, judged, f, verdict.batch_id) or f for f in judged.warnings]
        tables.append(replace(judged, error_failures=tuple(failures), warnings=tuple(warnings)))
    return replace(verdict, tables=tuple(tables))


def _shown(
    connection: SnowflakeConnection, source: Source, judged: TableVerdict, failure: RuleFailure, batch_id: str
) -> RuleFailure:
    if beside_before := _beside_before(connection, source, judged, failure, batch_id):
        return beside_before
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
    picked = [
        BrokenRow(
            int(number),
            str(key).rpartition("/")[2],
            tuple((name, None if v is None else str(v)) for name, v in zip(columns, values, strict=True)),
        )
        for number, key, *values in rows
    ]
    return replace(failure, rows=tuple(picked), query=query)


def is_beside_before(failure: RuleFailure) -> bool:
    """Return whether a rule compares a batch with earlier ones, so that its result comes from a query."""
    return failure.rule.partition(".")[2].partition("(")[0] in ("volume", *KINDS)


def _beside_before(
    connection: SnowflakeConnection, source: Source, judged: TableVerdict, failure: RuleFailure, batch_id: str
) -> RuleFailure | None:
    """Return the failure of a rule that compares batches, with the values of both; None for other rules."""
    if not is_beside_before(failure):
        return None
    table = source.table(judged.table)
    name = failure.rule.partition(".")[2]
    rule = next((r for r in table.rules if named(r) == name and r.severity == failure.severity), None)
    if rule is None:
        return failure
    query = volume(source, table, rule) if rule.kind == "volume" else beside(source, table, rule)
    query = query.replace("{batch}", f"({asset_query(source, table, batch_id)})")
    try:
        rows = run(connection, query).rows
    except CxmError:
        return failure
    if not rows:
        return failure
    if rule.kind == "volume":
        now, usually, _ = rows[0]
        observed = f"{int(now):,} rows came, {float(usually):,.0f} is {usual(rule)}"
    else:
        observed = summarize(rule, rows, shown=bool(rule.column and shown_columns(table, [rule.column])))
    return replace(failure, observed=observed, unexpected_count=0, query="")


def _expectation(source: Source, table: Table, failure: RuleFailure) -> Expectation | None:
    """Return the contract's expectation with the name and severity of the failure."""
    for expectation in expectations(source, table):
        if failure.rule == f"{table.name}.{expectation.name}" and expectation.severity == failure.severity:
            return expectation
    return None
