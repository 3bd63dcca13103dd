"""Renders the volume rule: a SELECT that compares a batch's number of rows with earlier batches, as counted in the ledger."""

from __future__ import annotations

from flows.contract.file_names import day_in
from flows.contract.model import Rule, Source, Table
from flows.contract.sql import ident, literal


def usual(rule: Rule) -> str:
    """Describe what a volume rule compares with."""
    days = " of the same weekday" if rule.argument("weekday") else ""
    return f"the median of the last {rule.argument('window')} published batches{days}"


def volume(source: Source, table: Table, rule: Rule) -> str:
    """Render the SELECT of (rows of the batch, median before, number of batches); it has no row until there are enough batches.

    Rows are those of the files, as counted in the ledger, so rows that were set aside count on both sides. The weekday of a daily
    table is that of the day in the file's name; otherwise it is the day on which the batch began.
    """
    of_table = f"l.SOURCE = {literal(source.name)} AND l.TABLE_NAME = {literal(table.raw_name)}"
    ledger = f"{ident(source.schema)}.LOAD_LEDGER AS l WHERE {of_table}"
    in_name = day_in("l.FILE_NAME") if table.has_parts else "LEFT(RIGHT(l.FILE_NAME, 14), 10)"
    day = f"TO_DATE({in_name}, 'YYYY-MM-DD')" if table.daily else "TO_DATE(l.STARTED_AT)"
    same = (
        f" AND DAYOFWEEK({day}) = (SELECT MAX(DAYOFWEEK({day})) FROM {ledger}"
        " AND l.BATCH_ID = (SELECT MAX(b._BATCH_ID) FROM {batch} AS b))"
    ) * bool(rule.argument("weekday"))
    window = int(rule.argument("window"))
    history = (
        f"SELECT SUM(l.FILE_RECORDS) AS ROWS_THEN FROM {ledger} AND l.STATUS = 'validated'{same} GROUP BY l.BATCH_ID"
        f" QUALIFY ROW_NUMBER() OVER (ORDER BY MAX(COALESCE(l.BATCH_SEQUENCE, 0)) DESC, l.BATCH_ID DESC) <= {window}"
    )
    # Before the verdict, only broken lines have been set aside; they are not in RAW, so they are added.
    lines = (
        f"(SELECT COALESCE(SUM(l.ROWS_SET_ASIDE), 0) FROM {ledger} AND l.STATUS = 'loaded'"
        " AND l.BATCH_ID = (SELECT MAX(b._BATCH_ID) FROM {batch} AS b))"
    )
    now = f"(SELECT COUNT(*) FROM {{batch}} AS b){f' + {lines}' * bool(table.bad_rows and table.bad_rows.broken_lines)}"
    return (
        f"SELECT v.ROWS_NOW, v.USUAL, v.BATCHES FROM (SELECT {now} AS ROWS_NOW,"
        f" MEDIAN(h.ROWS_THEN) AS USUAL, COUNT(*) AS BATCHES FROM ({history}) AS h) AS v WHERE v.BATCHES >= {window}"
    )
