"""Keys of a table: foreign keys at CREATE TABLE, keys and clustering when ALTER TABLE renames or drops columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
from sqlglot import Expr, exp

from flows.embedded.warehouse.statements import table_masks
from flows.embedded.warehouse.storage import described
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import quote_name

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def rename_in_keys(conn: WarehouseConnection, kind: str, full: str, expression: exp.Alter) -> None:
    """Rename a renamed column in the keys that it is part of; delete the keys of a dropped one
    (https://docs.snowflake.com/en/sql-reference/sql/alter-table#table-column-actions-tablecolumnaction)."""
    for action in expression.args.get("actions") or []:
        for old, new in table_masks.renamed(action):
            item = conn.account.find(kind, full)
            keys = item.properties.get("keys") if item else None
            if item is None or not isinstance(keys, list):
                continue
            left = [
                [what, name, [new if column == old else column for column in columns], *to]
                for what, name, columns, *to in keys
                if new is not None or old not in columns
            ]
            conn.account.put(replace(item, properties={**item.properties, "keys": left}))


def check_unclustered(conn: WarehouseConnection, full: str, action: Expr) -> None:
    """Refuse to drop a column of the clustering key (https://docs.snowflake.com/en/sql-reference/sql/alter-table#usage-notes);
    and to rename it: the key is kept as a text here."""
    item = conn.account.find("TABLE", full)
    key = str(item.properties.get("cluster_by") or "") if item else ""
    for old, new in table_masks.renamed(action) if key else []:
        if re.search(rf"\b{re.escape(old)}\b", key, re.IGNORECASE):
            what = "dropped" if new is None else "renamed"
            raise errors.unsupported(f"a column of the clustering key {key} {what} (DROP CLUSTERING KEY first)")


def check_references(
    conn: WarehouseConnection,
    duck: duckdb.DuckDBPyConnection,
    own: tuple[str, str, str],
    keys: Sequence[Sequence[object]],
) -> None:
    """Check that foreign keys' columns exist (https://docs.snowflake.com/en/sql-reference/sql/create-table-constraint)."""
    for _, _, _, *reference in keys:
        if len(reference) < 2 or not isinstance(reference[0], list) or not isinstance(reference[1], list):
            continue
        name = conn.qualify([str(part) for part in reference[0]])
        if name == own or not reference[1]:
            continue
        try:
            existing = {column for column, _ in described.columns(duck, ".".join(map(quote_name, name)))}
        except duckdb.Error:
            continue  # a missing table is refused where privileges are checked
        for column in reference[1]:
            if column not in existing:
                raise errors.invalid_identifier(str(column))
