"""Publishes a batch (marks its `loaded` ledger rows `validated`) or quarantines it, in one transaction: all of it or nothing.

If the contract allows it, rows that break a rule are first moved to `RAW.<TABLE>_REJECTED`, in the same transaction:

    rows that break a rule on their own values ──▶ set aside
    rows whose parent is missing ──▶ set aside, repeated until none is left
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.clients.snowflake import run
from flows.contract.expectations import current_parents, published_batches
from flows.contract.fit import raw_columns
from flows.contract.model import Source, Table
from flows.contract.set_aside import (
    BETWEEN_RULES,
    broken_by_links,
    broken_by_rules,
    links,
    may_set_aside,
    row_rules,
    set_aside,
    stranded,
)
from flows.contract.sql import template
from flows.errors import BusyError, DataError
from flows.lease import fenced
from flows.ledger import Entry, Ledger, RunInfo, Status


@dataclass(frozen=True, slots=True)
class SetAside:
    """The rows of one table that were set aside: how many, `of` how many in the file, and how many broke each rule."""

    table: str
    rows: int
    of: int
    rules: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class RowsToSetAside:
    """The bad rows of a batch, as Great Expectations counted them; the contract lets all of them be set aside."""

    source: Source
    tables: tuple[str, ...]  # the tables of this batch
    counted: Mapping[str, Mapping[str, int]]  # table → rule → rows; without broken lines, which are set aside already

    @classmethod
    def from_counts(
        cls, source: Source, counted: Mapping[str, Mapping[str, int]], broken_lines: bool = False
    ) -> RowsToSetAside | None:
        """Return the bad rows, if there are any (or broken lines, set aside before) and the contract lets all of them be set
        aside; else None."""
        if not any(counted.values()) and not broken_lines:
            return None
        allowed = all(
            not rules or may_set_aside(source, source.table(name), tuple(rules)) for name, rules in counted.items()
        )
        return cls(source, tuple(counted), counted) if allowed else None

    @property
    def setting_aside(self) -> list[Table]:
        """The tables that may set rows aside. One without a bad row counts too: its rows may point at rows that are set aside."""
        return [table for table in self.source.tables if table.bad_rows and table.name in self.tables]

    def within_limits(self, of: Mapping[str, int]) -> bool:
        """Return whether no single rule is broken by more rows than the contract allows; `of`: number of rows in each table."""
        worst = {name: max(rules.values(), default=0) for name, rules in self.counted.items()}
        return all(
            table.bad_rows.allows(worst.get(table.name, 0), of.get(table.name, 0))
            for table in self.setting_aside
            if table.bad_rows
        )

    @property
    def others(self) -> list[Table]:
        """The tables that never set rows aside."""
        return [table for table in self.source.tables if not table.bad_rows and table.name in self.tables]


def publish(
    ledger: Ledger,
    info: RunInfo,
    tables: Sequence[str],
    bad: RowsToSetAside | None = None,
    source: Source | None = None,
) -> tuple[SetAside, ...]:
    """Publish these RAW tables of the batch, without the `bad` rows, and return what was set aside.

    Repeating it is safe: if it was done before (the answer was lost, and the task retries), it only returns the result again.

    `source`: also check its tables that are not in this batch; their published rows may point at rows that this batch replaces.

    Raises:
        BusyError: another run took over this source, or undid what this one loaded; nothing is published.
        DataError: more rows are bad than the contract allows, a table that sets none aside points at some of them, or a table
            outside this batch points at rows that would disappear. Nothing is published and nothing set aside.
    """
    before = [e for e in ledger.entries(info.batch_id) if e.key]
    assert not any(e.is_trial for e in before), "a trial is never published"
    fresh = any(e.status == "loaded" for e in before)
    others = _others(ledger, source, before) if source and fresh else []
    # Queried before the transaction, to keep that short; the lease keeps the published batches unchanged meanwhile.
    parents = _parents(ledger, bad.source) if bad and fresh else {}
    with fenced(ledger, info) as lock:
        if bad and fresh:
            _set_aside(ledger, info, bad, parents)
        _refuse_stranded(ledger, others)
        lock()
        entries = [e for e in ledger.entries(info.batch_id) if e.key]
        states = {table: {e.status for e in entries if e.table == table} for table in tables}
        wrong = [t for t, seen in states.items() if not seen or seen - {"loaded", "validated"}]
        if wrong:
            got = ", ".join(f"{t} is {' and '.join(sorted(states[t])) or 'not in the ledger'}" for t in wrong)
            raise BusyError(
                f"source {ledger.source}: batch {info.batch_id}: expected each of its tables loaded, got {got}; nothing is "
                "published: run again"
            )
        aside: tuple[SetAside, ...] = ()
        rows: Mapping[str, int] = {}
        if bad:
            loaded = Counter({t.raw_name: 0 for t in bad.setting_aside})
            for entry in entries:
                loaded[entry.table] += entry.rows_loaded
            aside, rows = _counted(ledger, info, bad, loaded)
        if fresh:
            _check(bad, aside)
            if rows:
                ledger.set_aside(info, rows)
        ledger.mark(info.batch_id, "validated", ("loaded",), sum(e.status == "loaded" for e in entries))
    return aside


def _parents(ledger: Ledger, source: Source) -> dict[str, list[str]]:
    """Run the `current_parents` query of each relationship of severity error: query → the batches that it returns."""
    asked = {current_parents(source, link) for table in source.tables for _, link in links(source, table)}
    return {sql: [str(batch) for (batch,) in run(ledger.connection, sql).rows] for sql in asked}


def _others(ledger: Ledger, source: Source, entries: Sequence[Entry]) -> list[tuple[Table, str]]:
    """Return the tables outside this batch that point at a table in it, each with the SELECT of its published rows that would
    point at nothing once the batch is published. A parent with a newer published batch does not change (as when an old batch is
    loaded again), so it is left out."""
    came = {e.table for e in entries}
    newest: dict[str, int] = {}
    for (name, _), known in ledger.published().items():
        newest[name] = max(known.sequence, newest.get(name, 0))
    replaced = {e.table for e in entries if e.sequence >= newest.get(e.table, 0)}
    queries = []
    for table in source.tables:
        if table.raw_name in came or table.raw_name not in newest:
            continue
        asked = {
            current_parents(source, link)
            for _, link in links(source, table)
            if link.parent in replaced and source.parent(link)[0].name == source.name
        }
        if not asked:
            continue
        parents = {sql: [str(batch) for (batch,) in run(ledger.connection, sql).rows] for sql in asked}
        batches = [str(batch) for (batch,) in run(ledger.connection, published_batches(source, table)).rows]
        if query := stranded(source, table, batches, parents):
            queries.append((table, query))
    return queries


def _refuse_stranded(ledger: Ledger, others: Sequence[tuple[Table, str]]) -> None:
    for table, query in others:
        rows, first = run(ledger.connection, f"SELECT COUNT(*), MIN(b._RULES) FROM ({query}) AS b").rows[0]
        if int(rows):
            raise DataError(
                f"{table.name}: its file did not change, and {int(rows):,} of its published rows point at rows that this batch "
                f"takes away ({first}); send {table.file} again without them, or the rows they point at"
            )


def _set_aside(ledger: Ledger, info: RunInfo, bad: RowsToSetAside, parents: Mapping[str, Sequence[str]]) -> None:
    for table in bad.setting_aside:
        if broken := broken_by_rules(bad.source, table, info.batch_id):
            _move(ledger, info, table, broken)
    moved = True
    while moved:  # ends, because each round removes rows
        moved = False
        for table in bad.setting_aside:
            if broken := broken_by_links(bad.source, table, info.batch_id, parents):
                moved = bool(_move(ledger, info, table, broken)) or moved
    for table in bad.others:
        if broken := broken_by_links(bad.source, table, info.batch_id, parents):
            rows = int(run(ledger.connection, f"SELECT COUNT(*) FROM ({broken}) AS b").rows[0][0])
            if rows:
                raise DataError(
                    f"{table.name}: {rows:,} rows point at rows that were set aside, and its contract sets none aside; "
                    "add badRows to it, or fix the rows they point at"
                )


def _move(ledger: Ledger, info: RunInfo, table: Table, broken: str) -> int:
    """Set aside the rows that the query `broken` selects; returns how many."""
    new: list[str] = []
    if table.on_new_column == "add":  # RAW has columns that the contract does not have yet
        entry = next(e for e in ledger.entries(info.batch_id, table.raw_name) if e.key)
        new = [name for name in raw_columns(entry.columns) if name not in {c.name for c in table.columns}]
    inserted = run(ledger.connection, set_aside(table, ledger.database, info.batch_id, broken, new))
    rows = int(inserted.rows[0][0])
    if rows:
        names = {"table": table.raw_name, "rejected": table.rejected.raw_name}
        run(
            ledger.connection,
            template("raw/delete_set_aside.sql", database=ledger.database, **names),
            (info.batch_id,),
        )
    return rows


def _counted(
    ledger: Ledger, info: RunInfo, bad: RowsToSetAside, loaded: Mapping[str, int]
) -> tuple[tuple[SetAside, ...], dict[str, int]]:
    """Count the rows of this batch that were set aside, by table and by object."""
    counts, rows = [], Counter[str]()
    for table in bad.setting_aside:
        sql = template("raw/count_set_aside.sql", database=ledger.database, rejected=table.rejected.raw_name)
        rules, of_table = Counter[str](), 0
        for key, broken, count in run(ledger.connection, sql, (info.batch_id,)).rows:
            rows[str(key)] += int(count)
            of_table += int(count)
            for rule in str(broken).split(BETWEEN_RULES):
                rules[rule] += int(count)
        if of_table:
            counts.append(SetAside(table.name, of_table, loaded[table.raw_name], tuple(sorted(rules.items()))))
    return tuple(counts), dict(rows)


def _check(bad: RowsToSetAside | None, aside: Sequence[SetAside]) -> None:
    """Check that as many rows were set aside as Great Expectations counted, and no more than the contract allows."""
    if bad is None:
        return
    by_table = {one.table: one for one in aside}
    for table in bad.setting_aside:
        of_table = by_table.get(table.name)
        rules = dict(of_table.rules) if of_table else {}
        for expectation, _ in row_rules(bad.source, table):
            judged, moved = bad.counted.get(table.name, {}).get(expectation.name, 0), rules.get(expectation.name, 0)
            if judged != moved:
                raise DataError(
                    f"{table.name}: {expectation.name}: Great Expectations counted {judged:,} rows, {moved:,} would be set "
                    "aside; none was; run `cxm contract sync`, then `cxm replay` the batch"
                )
        if not of_table or table.bad_rows is None:
            continue
        why = ", ".join(f"{rule}: {rows:,}" for rule, rows in of_table.rules)
        least = max(
            [int(r.argument("min")) for r in table.rules if r.kind == "row_count" and r.severity == "error"] + [1]
        )
        if not table.bad_rows.allows(of_table.rows, of_table.of):
            raise DataError(
                f"{table.name}: {of_table.rows:,} of {of_table.of:,} rows break a rule ({why}), more than the contract sets "
                f"aside ({table.bad_rows.limit})"
            )
        if of_table.of - of_table.rows < least:
            raise DataError(
                f"{table.name}: {of_table.rows:,} of {of_table.of:,} rows break a rule ({why}); what is left is less than the "
                f"{least:,} rows that the contract asks for"
            )


def quarantine(ledger: Ledger, info: RunInfo, reason: str) -> None:
    """Quarantine the batch's landed and loaded objects, with the reason.

    Raises:
        BusyError: another run took over this source.
    """
    before: tuple[Status, ...] = ("landed", "loaded")
    with fenced(ledger, info) as lock:
        lock()
        expected = sum(e.status in before for e in ledger.entries(info.batch_id))
        ledger.mark(info.batch_id, "quarantined", before, expected, reason)
