"""Renders SELECTs of the rows of a batch that break a rule of severity error, for `RAW.<TABLE>_REJECTED`.

Each returns (_SOURCE_FILENAME, _SOURCE_ROW_NUMBER, _RULES). `broken_rows` defines what breaks a rule, in the same way as the
suites. If a key is repeated, all its rows break the rule, even if one of them breaks another rule too, because no row is known to
be the right one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flows.contract.broken_rows import breaks, orphans, shown_columns
from flows.contract.expectations import Expectation, asset_query, current_parents, expectations
from flows.contract.model import BROKEN_RULE, Relationship, Source, Table
from flows.contract.sql import ident, literal, template

BETWEEN_RULES = "; "
_ROW = ("_SOURCE_FILENAME", "_SOURCE_ROW_NUMBER")


def row_rules(source: Source, table: Table) -> list[tuple[Expectation, str]]:
    """Return the rules of severity error on a row's own values, each with the condition for rows `r` that break it."""
    rules = [(e, breaks(e)) for e in expectations(source, table) if e.severity == "error"]
    return [(expectation, condition) for expectation, condition in rules if condition]


def links(source: Source, table: Table) -> list[tuple[Expectation, Relationship]]:
    """Return the relationships of severity error, each after its expectation."""
    asked = [e for e in expectations(source, table) if e.rule == "relationship"]
    return [pair for pair in zip(asked, table.relationships, strict=True) if pair[0].severity == "error"]


def may_set_aside(source: Source, table: Table, names: Sequence[str]) -> bool:
    """Return whether the contract lets the rows that break these rules of a table be set aside."""
    able = {e.name for e, _ in row_rules(source, table)} | {e.name for e, _ in links(source, table)}
    return table.bad_rows is not None and set(names) <= able


def broken_by_rules(source: Source, table: Table, batch_id: str) -> str | None:
    """Render the SELECT of rows that break rules on their own values; None if the table has no such rule."""
    rules = row_rules(source, table)
    if not rules:
        return None
    named = " || ".join(
        f"IFF({condition}, {literal(BETWEEN_RULES + expectation.name)}, '')" for expectation, condition in rules
    )
    columns = ", ".join(f"r.{name}" for name in _ROW)
    return (
        f"SELECT * FROM (SELECT {columns}, SUBSTR({named}, {len(BETWEEN_RULES) + 1}) AS _RULES"
        f" FROM ({asset_query(source, table, batch_id)}) AS r) AS judged WHERE judged._RULES <> ''"
    )


def broken_by_links(source: Source, table: Table, batch_id: str, parents: Mapping[str, Sequence[str]]) -> str | None:
    """Render the SELECT of rows whose parent does not exist; None if the table has no relationship of severity error. `parents`:
    `current_parents` query of each relationship → the batches that it returned, which stay the same while the lease is held."""
    return _broken(source, table, links(source, table), [batch_id], parents)


def stranded(
    source: Source, table: Table, batch_ids: Sequence[str], parents: Mapping[str, Sequence[str]]
) -> str | None:
    """Render `broken_by_links` for several batches, and only for the relationships in `parents`."""
    pairs = [pair for pair in links(source, table) if current_parents(source, pair[1]) in parents]
    return _broken(source, table, pairs, batch_ids, parents)


def _broken(
    source: Source,
    table: Table,
    pairs: Sequence[tuple[Expectation, Relationship]],
    batch_ids: Sequence[str],
    parents: Mapping[str, Sequence[str]],
) -> str | None:
    each = []
    for expectation, link in pairs:
        query = orphans(source, table, expectation, batch_ids, _ROW)
        current = current_parents(source, link)
        query = query.replace(f"({current})", f"({', '.join(map(literal, parents[current])) or 'NULL'})")
        each.append(query.replace(" FROM ", f", {literal(expectation.name)} AS _RULE FROM ", 1))
    if not each:
        return None
    columns = ", ".join(f"o.{name}" for name in _ROW)
    return (
        f"SELECT {columns}, LISTAGG(o._RULE, {literal(BETWEEN_RULES)}) WITHIN GROUP (ORDER BY o._RULE) AS _RULES"
        f" FROM ({' UNION ALL '.join(each)}) AS o GROUP BY {columns}"
    )


def set_aside(table: Table, database: str, batch_id: str, broken: str, new_columns: Sequence[str] = ()) -> str:
    """Render the INSERT of the rows that the query `broken` selects, with all their columns. `new_columns`: RAW columns that are
    not in the contract yet."""
    return template(
        "raw/set_aside.sql",
        database=database,
        table=table.raw_name,
        rejected=table.rejected.raw_name,
        columns=[{"name": name} for name in (*(c.name for c in table.columns), *new_columns)],
        batch_id=batch_id,
        broken=broken,
    )


def all_broken(source: Source, table: Table, batch_id: str, parents: Mapping[str, Sequence[str]]) -> str | None:
    """Render the SELECT of rows in RAW that break any rule of severity error: file, number, rules, then the columns that are not
    personal."""
    by_rules, by_links = broken_by_rules(source, table, batch_id), broken_by_links(source, table, batch_id, parents)
    queries = [query for query in (by_rules, by_links) if query]
    if not queries:
        return None
    keys = ", ".join(f"f.{name}" for name in _ROW)
    each = " UNION ALL ".join(f"SELECT * FROM ({query}) AS q{n}" for n, query in enumerate(queries))
    broken = (
        f"SELECT {keys}, LISTAGG(f._RULES, {literal(BETWEEN_RULES)}) WITHIN GROUP (ORDER BY f._RULES) AS _RULES"
        f" FROM ({each}) AS f GROUP BY {keys}"
    )
    return (
        f"SELECT t._SOURCE_FILENAME, t._SOURCE_ROW_NUMBER, b._RULES{_shown(table)}"
        f" FROM {ident(source.schema)}.{ident(table.raw_name)} AS t INNER JOIN ({broken}) AS b"
        " ON t._SOURCE_FILENAME = b._SOURCE_FILENAME AND t._SOURCE_ROW_NUMBER = b._SOURCE_ROW_NUMBER"
        f" WHERE t._BATCH_ID = {literal(batch_id)} ORDER BY t._SOURCE_FILENAME, t._SOURCE_ROW_NUMBER"
    )


def all_set_aside(source: Source, table: Table, batch_id: str) -> str:
    """Render the SELECT of a batch's rows that were set aside, with the same columns as `all_broken`."""
    return (
        f"SELECT t._SOURCE_FILENAME, t._SOURCE_ROW_NUMBER, t._RULES{_shown(table)}"
        f" FROM {ident(source.schema)}.{ident(table.rejected.raw_name)} AS t"
        f" WHERE t._BATCH_ID = {literal(batch_id)} AND t._RULES <> {literal(BROKEN_RULE)}"
        " ORDER BY t._SOURCE_FILENAME, t._SOURCE_ROW_NUMBER"
    )


def all_broken_lines(source: Source, table: Table, batch_id: str) -> str:
    """Render the SELECT of a batch's broken lines (not valid records): object, number, reason, and, if no column of the table is
    personal, the line."""
    text = "NULL" if table.is_personal else "t._REJECTED_TEXT"
    return (
        f"SELECT t._SOURCE_FILENAME, TO_NUMBER(t._REJECTED_LINE) AS LINE, t._REJECTED_REASON, {text} AS LINE_TEXT"
        f" FROM {ident(source.schema)}.{ident(table.rejected.raw_name)} AS t"
        f" WHERE t._BATCH_ID = {literal(batch_id)} AND t._RULES = {literal(BROKEN_RULE)} ORDER BY t._SOURCE_FILENAME, LINE"
    )


def _shown(table: Table) -> str:
    return "".join(f", t.{ident(name)}" for name in shown_columns(table, [c.name for c in table.columns]))
