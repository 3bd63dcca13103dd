"""Keys and clustering of a table whose columns ALTER TABLE renames or drops."""

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
    """A renamed column is renamed in the keys that it is part of; a dropped one takes them along
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
    """A column of the clustering key is not dropped (https://docs.snowflake.com/en/sql-reference/sql/alter-table#usage-notes);
    nor is it renamed here, where the key is kept as a text."""
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
    """A foreign key refers to existing columns (https://docs.snowflake.com/en/sql-reference/sql/create-table-constraint)."""
    for _, _, _, *reference in keys:
        if len(reference) < 2 or not isinstance(reference[0], list) or not isinstance(reference[1], list):
            continue
        name = conn.qualify([str(part) for part in reference[0]])
        if name == own or not reference[1]:
            continue
        try:
            existing = {column for column, _ in described.columns(duck, ".".join(map(quote_name, name)))}
        except duckdb.Error:
            continue  # a missing table is refused where rights are looked at
        for column in reference[1]:
            if column not in existing:
                raise errors.invalid_identifier(str(column))
