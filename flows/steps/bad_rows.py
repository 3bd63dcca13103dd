"""Lists the rows of a batch that break rules: from RAW if the batch is quarantined, else from the rows that were set aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from flows.clients.snowflake import run
from flows.contract.broken_rows import shown_columns
from flows.contract.expectations import current_parents, expectations
from flows.contract.model import BROKEN_RULE, Source, Table
from flows.contract.set_aside import BETWEEN_RULES, all_broken, all_broken_lines, all_set_aside, links
from flows.landing import key_in_raw, names_broken_lines
from flows.ledger import Entry, Ledger

_IN_RAW = ("loaded", "validated", "quarantined")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that breaks rules. `values` are those of the rules' columns, without personal ones.

    For a broken line (not a valid record), `row` is its number in the file, and `values` are the reason and, if no column of the
    table is personal, the line itself."""

    table: str
    file: str  # the object's name in S3
    row: int
    state: Literal["quarantined", "set aside"]
    rules: tuple[str, ...]
    values: dict[str, str | None]


def find(ledger: Ledger, source: Source, batch_id: str, tables: tuple[Table, ...]) -> Iterator[BadRow]:
    """Find every row of a batch that breaks a rule of severity error, ordered by table, file and row number.

    A quarantined batch is checked by the contract's current rules. For a published batch, the rows that were set aside are listed
    with the rules that they broke then.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`.
    """
    entries = ledger.entries(batch_id)
    for table in tables:
        of_table = [e for e in entries if e.table == table.raw_name]
        yield from _broken_lines(ledger, source, table, batch_id, of_table)
        if any(e.rows_set_aside and e.status == "validated" for e in of_table):
            yield from _read(ledger, source, table, all_set_aside(source, table, batch_id), "set aside")
        elif any(e.status in ("loaded", "quarantined") for e in of_table):
            parents = _parents(ledger, source, table, batch_id, {e.table for e in entries if e.key})
            if query := all_broken(source, table, batch_id, parents):
                yield from _read(ledger, source, table, query, "quarantined")


def _broken_lines(
    ledger: Ledger, source: Source, table: Table, batch_id: str, entries: list[Entry]
) -> Iterator[BadRow]:
    files = {key_in_raw(e.key): e.file for e in entries if e.key and names_broken_lines(e.key) and e.status in _IN_RAW}
    if not files:
        return
    for key, line, reason, text in run(ledger.connection, all_broken_lines(source, table, batch_id)).rows:
        values: dict[str, str | None] = {"reason": str(reason)}
        values |= {} if text is None else {"text": str(text)}
        yield BadRow(table.name, files[key], int(line), "set aside", (BROKEN_RULE,), values)


def _parents(ledger: Ledger, source: Source, table: Table, batch_id: str, came: set[str]) -> dict[str, list[str]]:
    """Return the batches in which the rules looked up each parent, by query: the published ones, and this one if the parent
    `came` with it; a snapshot that came replaces the published ones."""
    parents = {}
    for _, link in links(source, table):
        owner, parent = source.parent(link)
        sql = current_parents(source, link)
        own = owner.name == source.name and parent.raw_name in came
        published = [] if own and parent.load == "snapshot" else [str(b) for (b,) in run(ledger.connection, sql).rows]
        parents[sql] = [*published, *[batch_id] * own]
    return parents


def _read(
    ledger: Ledger, source: Source, table: Table, query: str, state: Literal["quarantined", "set aside"]
) -> Iterator[BadRow]:
    columns = shown_columns(table, [c.name for c in table.columns])
    named = {e.name: e.columns for e in expectations(source, table)}
    for key, number, said, *values in run(ledger.connection, query).rows:
        rules = tuple(str(said).split(BETWEEN_RULES))
        of_rules = {column for rule in rules for column in named.get(rule, ())}
        shown = {
            name: None if v is None else str(v) for name, v in zip(columns, values, strict=True) if name in of_rules
        }
        yield BadRow(table.name, str(key).rpartition("/")[2], int(number), state, rules, shown)
