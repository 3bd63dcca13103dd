"""CREATE TABLE … LIKE: an empty table with the columns, defaults and keys of another.

CREATE TABLE L LIKE T ──DESCRIBE TABLE T, keys of T──▶ CREATE TABLE L (A NUMBER(38,0) NOT NULL DEFAULT 5 …, PRIMARY KEY (A))

https://docs.snowflake.com/en/sql-reference/sql/create-table#create-table-like
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from flows.embedded.warehouse.session.privileges import exists, parts_of, target_of
from flows.embedded.warehouse.statements import relations
from flows.embedded.warehouse.text import dialect, errors
from flows.embedded.warehouse.text.grammar import Words, quote, quote_name

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

_IDENTITY = re.compile(r"IDENTITY (START -?\d+ INCREMENT -?\d+ (?:NO)?ORDER)")
_CONSTANT = re.compile(r"-?\d+(?:\.\d+)?|'(?:[^']|'')*'|TRUE|FALSE|NULL|CURRENT_(?:TIMESTAMP|DATE)\(\)", re.IGNORECASE)


def with_columns_of(conn: WarehouseConnection, create: exp.Create) -> exp.Create:
    """Replace LIKE by the other table's columns; a statement without LIKE stays as it is."""
    like = create.find(exp.LikeProperty)
    target = target_of(create)
    if like is None or not isinstance(like.this, exp.Table) or target is None:
        return create
    source = conn.qualify(parts_of(like.this))
    full = ".".join(map(quote_name, source))
    if exists(conn, source) == "VIEW":
        raise errors.wrong_kind("VIEW", "TABLE")
    described = relations.describe(conn, Words(f"DESCRIBE TABLE {full}"))
    assert described is not None
    names = [name for name, _ in described.columns]
    columns = [_column(dict(zip(names, row, strict=True)), full) for row in described.rows]
    item = conn.account.find("TABLE", ".".join(source))
    properties = item.properties if item else {}
    keys = properties.get("keys") or []
    assert isinstance(keys, list)
    text = f"CREATE TABLE {full} ({', '.join([*columns, *map(_key, keys)])})"
    if clustered := properties.get("cluster_by"):
        text += f" CLUSTER BY ({str(clustered).removeprefix('LINEAR(').removesuffix(')')})"
    made = dialect.parse(text)
    assert isinstance(made.this, exp.Schema)
    given = [part for part in create.args["properties"].expressions if part is not like]
    own = list(made.args["properties"].expressions) if made.args.get("properties") else []
    if not any(isinstance(part, exp.Cluster) for part in given):
        given += own
    create.set("this", exp.Schema(this=target.copy(), expressions=made.this.expressions))
    create.set("properties", exp.Properties(expressions=given) if given else None)
    return create


def _column(described: dict[str, object], table: str) -> str:
    """Return a column's definition, from its row of DESCRIBE TABLE."""
    if described["policy name"]:
        raise errors.unsupported(f"CREATE TABLE … LIKE {table}, which has masking policies")
    type_, default = str(described["type"]), described["default"]
    text = f"{quote_name(str(described['name']))} {'BINARY' if type_.startswith('BINARY') else type_}"
    if default is not None:
        identity = _IDENTITY.fullmatch(str(default))
        if identity is None and not _CONSTANT.fullmatch(str(default)):
            raise errors.unsupported(f"CREATE TABLE … LIKE {table}, which has the default {default}")
        text += f" AUTOINCREMENT {identity[1]}" if identity else f" DEFAULT {default}"
    text += " NOT NULL" if described["null?"] == "N" else ""
    return text + (f" COMMENT {quote(str(described['comment']))}" if described["comment"] else "")


def _key(key: list[object]) -> str:
    """Return a key as CREATE TABLE writes it."""
    kind, name, columns, *to = key
    assert isinstance(columns, list)
    text = f"CONSTRAINT {quote_name(str(name))} " if name else ""
    text += f"{kind} ({', '.join(map(quote_name, columns))})"
    if to:
        table, referred = to
        assert isinstance(table, list)
        assert isinstance(referred, list)
        text += f" REFERENCES {'.'.join(map(quote_name, table))}"
        text += f" ({', '.join(map(quote_name, referred))})" if referred else ""
    return text
