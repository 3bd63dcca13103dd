"""Rules that compare a column with the batch published before: new values, the share of empty values. Renders their SELECTs.

A SELECT without a row means that the rule is not broken. That is the case until a batch is published whose column has values, and
after that batch is pruned from RAW.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.contract import values
from flows.contract.model import Rule, Source, Table
from flows.contract.sql import ident, literal

KINDS = ("new_values", "empty_share")
MOST_SHOWN = 10


def beside(source: Source, table: Table, rule: Rule) -> str:
    """Render the SELECT of what breaks a rule: each new value, or (share of empty values, share before), with the
    placeholder `{batch}`."""
    assert rule.column
    column = ident(rule.column)
    before = _before(source, table)
    if rule.kind == "new_values":
        known = f"SELECT {values.text(f'p.{column}')} AS KNOWN FROM {before}"
        return (
            f"SELECT DISTINCT n.{column} AS NEW_VALUE FROM {{batch}} AS n LEFT JOIN (SELECT DISTINCT k.KNOWN FROM ({known}) AS k)"
            f" AS k ON n.{column} = k.KNOWN WHERE n.{column} IS NOT NULL AND k.KNOWN IS NULL"
            f" AND EXISTS (SELECT 1 FROM ({known}) AS h WHERE h.KNOWN IS NOT NULL)"
        )
    shares = [f"AVG(IFF({text} IS NULL, 1, 0))" for text in (f"n.{column}", values.text(f"p.{column}"))]
    return (
        f"SELECT v.NOW, v.BEFORE FROM (SELECT (SELECT {shares[0]} FROM {{batch}} AS n) AS NOW, {shares[1]} AS BEFORE"
        f" FROM {before}) AS v WHERE ABS(v.NOW - v.BEFORE) > {rule.argument('tolerance')}"
    )


def sentence(rule: Rule) -> str:
    """Describe the rule in words."""
    if rule.kind == "new_values":
        return f"{rule.column} must have no value that the batch published before had not."
    return (
        f"The share of empty {rule.column} must be within {rule.argument('tolerance'):.1%} of all rows of that in the batch "
        "published before."
    )


def summarize(rule: Rule, rows: Sequence[tuple[Any, ...]], shown: bool) -> str:
    """Describe the rows that `beside` selected; values are named only if they may be `shown`."""
    if rule.kind == "empty_share":
        now, before = (float(str(share)) for share in rows[0])
        return f"{now:.1%} are empty, {before:.1%} were in the batch before"
    head = f"{len(rows):,} new value{'s' * (len(rows) > 1)}"
    named = ", ".join(repr(str(value)) for (value,) in rows[:MOST_SHOWN]) + " …" * (len(rows) > MOST_SHOWN)
    return f"{head}: {named}" if shown else head


def _before(source: Source, table: Table) -> str:
    """Render the FROM clause for the rows `p` of the batch published before the one being validated."""
    batch = (
        f"SELECT l.BATCH_ID FROM {ident(source.schema)}.LOAD_LEDGER AS l WHERE l.SOURCE = {literal(source.name)}"
        f" AND l.TABLE_NAME = {literal(table.raw_name)} AND l.STATUS = 'validated'"
        " AND l.BATCH_ID <> (SELECT MAX(b._BATCH_ID) FROM {batch} AS b)"
        " QUALIFY ROW_NUMBER() OVER (ORDER BY COALESCE(l.BATCH_SEQUENCE, 0) DESC, l.BATCH_ID DESC) = 1"
    )
    return f"{ident(source.schema)}.{ident(table.raw_name)} AS p WHERE p._BATCH_ID = ({batch})"
