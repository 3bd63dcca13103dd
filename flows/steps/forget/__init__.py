"""Finds and deletes a person's rows in RAW, in landed objects, and in the tables that dbt keeps.

    search: RAW and objects, parents first ──▶ the keys that children refer by ──▶ … until nothing new is found
    forget: a note of dbt's rows ──▶ dbt's tables ──▶ objects, children first ──▶ for each source one transaction: RAW, ledger,
            a note of RAW's rows and the objects' records

If killed anywhere, a second call completes it: rows that lead to others (parents, and RAW) are deleted last, and a rewritten
object's metadata names the one it replaces, so that the second call's note counts its deleted records. dbt's tables are noted
before they are changed, because the loader's note and the transformer's DELETE cannot be one transaction. Values are bound, so
they appear in no SQL text, message, log or note.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flows.clients.snowflake import Rows, run, transaction
from flows.contract.model import REJECTED
from flows.contract.person import Holder, Key, Reach, Values
from flows.contract.person import condition as person_condition
from flows.contract.sql import template
from flows.landing import key_in_raw
from flows.ledger import Ledger
from flows.steps.forget.objects import Matches, PersonMatcher, StoredObject, gather, landed_objects, rewrite

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from snowflake.connector import SnowflakeConnection

_IN_RAW = ("loaded", "validated", "quarantined")


@dataclass(frozen=True, slots=True)
class PlaceRows:
    """The number of a person's rows in a RAW table, in a folder of the bucket with its number of objects, or in a dbt table."""

    place: str
    rows: int
    objects: int = 0


@dataclass(slots=True)
class Person:
    """The persons' rows found so far."""

    reach: Reach
    starts: Values
    values: Values
    # (source, RAW table) → object's key → rows.
    rows: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    # Table of rows set aside → (key, row number) of each broken line.
    lines: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    # RAW table → the objects with records of the persons.
    objects: dict[str, list[tuple[StoredObject, Matches]]] = field(default_factory=dict)
    # (schema, table) → columns, rows.
    dbt_tables: dict[tuple[str, str], tuple[dict[str, Key], int]] = field(default_factory=dict)

    @property
    def places(self) -> tuple[PlaceRows, ...]:
        """The places with rows, in the order of the data path; a rewritten object that is not in the ledger yet has none."""
        found = [(landed.place, of.records) for objects in self.objects.values() for landed, of in objects]
        rows = _folders(found)[::-1]
        rows += [PlaceRows(f"RAW.{t}", sum(rows.values())) for (_, t), rows in self.rows.items() if rows]
        return (*rows, *self.dbt_places)

    @property
    def dbt_places(self) -> tuple[PlaceRows, ...]:
        """The tables that dbt has built with rows of the persons."""
        return tuple(PlaceRows(f"{s}.{t}", rows) for (s, t), (_, rows) in self.dbt_tables.items() if rows)


def _folders(objects: Iterable[tuple[str, int]]) -> list[PlaceRows]:
    """Sum up objects by folder, ordered by name. `objects`: the folder of each, and a number of records."""
    folders: dict[str, list[int]] = defaultdict(list)
    for folder, records in objects:
        folders[folder].append(records)
    return [PlaceRows(folder, sum(records), len(records)) for folder, records in sorted(folders.items())]


def search(
    ledgers: Mapping[str, Ledger],
    client: S3Client,
    bucket: str,
    reach: Reach,
    starts: Values,
    on_table: Callable[[str], None] = lambda _: None,
) -> Person:
    """Find the rows of the persons in `starts`, in RAW and in landed objects. `ledgers`: by source. `on_table` gets each table.

    Raises:
        DataError: an object is not CSV, or was overwritten meanwhile.
        ConfigurationError, InfrastructureError: S3 or the warehouse refused or did not answer.
    """
    person = Person(reach, starts, {key: set(known) for key, known in starts.items()})
    ledger = next(iter(ledgers.values()))
    relations = {
        str(name) for _, name in run(ledger.connection, template("relations.sql", database=ledger.database)).rows
    }
    known = {name: {str(row["s3_key"]): row for row in one.objects()} for name, one in ledgers.items()}
    # Objects are listed once per table, and read again when more keys are known.
    listed: dict[str, list[StoredObject]] = {}
    scanned: dict[str, int] = {}
    while True:
        before = dict(scanned)
        for holder in reversed(reach.holders):
            size = sum(len(person.values.get(key, ())) for key, _ in holder.found_by)
            if not size or scanned.get(holder.name) == size:
                continue
            scanned[holder.name] = size
            on_table(holder.name)
            matcher = PersonMatcher(holder, person.values, starts)
            _search_raw(ledger, holder, matcher, person, relations)
            if holder.name not in listed:
                listed[holder.name] = landed_objects(client, bucket, holder, known[holder.source.name])
            read = [(one, gather(client, bucket, one, matcher, person.values)) for one in listed[holder.name]]
            person.objects[holder.name] = [(landed, of) for landed, of in read if of.records or landed.replaced]
        if scanned == before:
            return person


def _search_raw(ledger: Ledger, holder: Holder, matcher: PersonMatcher, person: Person, relations: set[str]) -> None:
    for table in (holder.name, f"{holder.name}{REJECTED}"):
        if f"{holder.source.schema}.{table}" not in relations:
            continue
        condition, bound = person_condition(holder.found_by, person.values)
        where = {"database": ledger.database, "schema": holder.source.schema, "table": table}
        counted = run(ledger.connection, template("person/rows.sql", condition=condition, **where), bound)
        rows = {str(key): int(count) for key, count in counted.rows}
        for key in holder.gives:
            sql = template("person/keys.sql", condition=condition, names=key.columns, **where)
            given = run(ledger.connection, sql, bound).rows if rows else ()
            values = (tuple(str(v or "").strip(" ") for v in row) for row in given)
            person.values.setdefault(key, set()).update(value for value in values if all(value))
        if table != holder.name:
            lines = run(ledger.connection, template("person/lines.sql", **where)).rows
            hit = [(str(key), int(number)) for key, number, text in lines if matcher.in_line(str(text))]
            person.lines[table] = hit
            for of, _ in hit:
                rows[of] = rows.get(of, 0) + 1
        person.rows[holder.source.name, table] = rows


def search_dbt_tables(
    connection: SnowflakeConnection, database: str, person: Person, columns: Mapping[tuple[str, str], Key]
) -> None:
    """Find the person's rows in the tables that dbt has built. `columns`: (relation, column) → the key that it holds.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`.
    """
    held: dict[tuple[str, str], dict[str, Key]] = defaultdict(dict)
    for schema, table, column in run(connection, template("person/dbt_columns.sql", database=database)).rows:
        if (key := columns.get((str(table), str(column)))) and person.values.get(key):
            held[str(schema), str(table)][str(column)] = key
    for (schema, table), of in held.items():
        counted = _query_dbt_table(connection, database, person, schema, table, of, "person/count.sql")
        person.dbt_tables[schema, table] = (of, int(counted.rows[0][0]))


def _query_dbt_table(
    connection: SnowflakeConnection,
    database: str,
    person: Person,
    schema: str,
    table: str,
    columns: Mapping[str, Key],
    name: str,
) -> Rows:
    condition, bound = person_condition([(key, (column,)) for column, key in columns.items()], person.values)
    sql = template(name, database=database, schema=schema, table=table, condition=condition)
    return run(connection, sql, bound)


def forget_in_dbt_tables(connection: SnowflakeConnection, database: str, person: Person) -> tuple[PlaceRows, ...]:
    """Delete the person's rows from dbt's tables, in one transaction.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`; nothing is deleted.
    """
    done = []
    if any(rows for _, rows in person.dbt_tables.values()):
        with transaction(connection):
            for (schema, table), (columns, rows) in person.dbt_tables.items():
                if rows:
                    gone = _query_dbt_table(connection, database, person, schema, table, columns, "person/delete.sql")
                    done.append(PlaceRows(f"{schema}.{table}", int(gone.rows[0][0])))
    return tuple(done)


def forget_objects(client: S3Client, bucket: str, person: Person, still: Callable[[StoredObject], None]) -> None:
    """Rewrite the objects with records of the person: children's before parents', and within a table the objects
    that name the person last, because they lead to the others. `still` raises if the lease of an object's source is lost.

    Raises:
        DataError: an object was overwritten.
        BusyError: another run took over.
        ConfigurationError, InfrastructureError: S3 refused or did not answer.
    """
    for holder in person.reach.holders:
        objects = person.objects.get(holder.name, [])
        matcher = PersonMatcher(holder, person.values, person.starts)
        for n, (landed, of) in sorted(enumerate(objects), key=lambda one: one[1][1].named):
            if of.records:
                still(landed)
                size, etag, left = rewrite(client, bucket, landed, matcher, of)
                objects[n] = (StoredObject(landed.key, size, etag, holder, landed.entry, bool(landed.entry), left), of)


def forget_rows(
    ledger: Ledger,
    person: Person,
    fenced: Callable[[], AbstractContextManager[Callable[[], None]]],
    note: Callable[[Iterable[PlaceRows]], None],
) -> tuple[PlaceRows, ...]:
    """Delete the person's rows of one source from RAW, record its rewritten objects in the ledger, and call `note`, in one
    transaction. Do nothing if the source has no rows of the person.

    Raises:
        BusyError: another run took over; nothing is deleted.
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`; nothing is deleted.
    """
    holders = [h for h in person.reach.holders if h.source.name == ledger.source]
    objects = [one for h in holders for one in person.objects.get(h.name, [])]
    in_raw = any(rows for (source, _), rows in person.rows.items() if source == ledger.source)
    if not (objects or in_raw):
        return ()
    done = []
    with fenced() as lock:
        for holder in holders:
            for table in (holder.name, f"{holder.name}{REJECTED}"):
                if rows := person.rows.get((ledger.source, table)):
                    _delete(ledger, holder, table, person)
                    done.append(PlaceRows(f"RAW.{table}", sum(rows.values())))
        lock()
        ledger.rewritten(_changed(ledger, person, objects))
        done += _folders((landed.place, _deleted_records(landed, of)) for landed, of in objects)
        note(done)
    return tuple(done)


def _delete(ledger: Ledger, holder: Holder, table: str, person: Person) -> None:
    where = {"database": ledger.database, "schema": holder.source.schema, "table": table}
    condition, bound = person_condition(holder.found_by, person.values)
    run(ledger.connection, template("person/delete.sql", condition=condition, **where), bound)
    if lines := person.lines.get(table):
        pairs = Key(table, ("_SOURCE_FILENAME", "_SOURCE_ROW_NUMBER"))
        numbers: Values = {pairs: {(key, str(number)) for key, number in lines}}
        condition, bound = person_condition([(pairs, pairs.columns)], numbers)
        run(ledger.connection, template("person/delete.sql", condition=condition, **where), bound)


def _deleted_records(landed: StoredObject, of: Matches) -> int:
    """Count the records deleted from an object since its ledger row was written: by this call, and by a killed one before it."""
    before = landed.entry["file_records"] if landed.entry and landed.replaced else None
    return of.records if before is None else int(before) - landed.left


def _changed(ledger: Ledger, person: Person, objects: Sequence[tuple[StoredObject, Matches]]) -> list[dict[str, Any]]:
    """Return the changes of ledger rows: for rewritten objects, and for others with deleted rows in RAW."""
    changed: dict[str, dict[str, Any]] = {}
    # Read again, since the lease is locked by now: an object that maintenance moved after the search has another key.
    entries = {str(row["s3_key"]): row for row in ledger.objects()}
    in_raw = {key for key, row in entries.items() if row["status"] in _IN_RAW}
    for landed, _ in objects:
        if landed.entry is None or not landed.replaced:
            continue
        before = landed.entry["file_records"]
        gone = 0 if before is None else int(before) - landed.left
        row: dict[str, Any] = {"s3_key": landed.key, "bytes": landed.size, "etag": landed.etag, "records_gone": gone}
        changed[landed.key] = {**row, "rows_gone": 0 if landed.key in in_raw else gone, "aside_gone": 0}
    of_key = {key_in_raw(key): key for key in entries}
    for (source, table), rows in person.rows.items():
        if source != ledger.source:
            continue
        for raw_key, count in rows.items():
            if not (key := of_key.get(key_in_raw(raw_key))):
                continue  # rows that were inserted by hand
            of = changed.setdefault(key, {"s3_key": key, "records_gone": 0, "rows_gone": 0, "aside_gone": 0})
            of["rows_gone"] += count
            of["aside_gone"] += count if table.endswith(REJECTED) else 0
    return list(changed.values())


def hashes(starts: Values, secret: str) -> list[dict[str, str]]:
    """Return the column and keyed hash of each value that identifies a person."""
    return [
        {
            "column_name": key.text,
            "value_hash": hmac.new(secret.encode(), "\n".join((key.text, *value)).encode(), hashlib.sha256).hexdigest(),
        }
        for key in sorted(starts)
        for value in sorted(starts[key])
    ]


def places_text(places: Iterable[PlaceRows]) -> str:
    """Format places and their rows as JSON, for the note."""
    return json.dumps({place.place: place.rows for place in places}, separators=(",", ":"))
