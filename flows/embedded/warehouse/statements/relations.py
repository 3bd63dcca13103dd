"""Tables and views in the account's registry: SHOW TABLES | VIEWS | OBJECTS | … KEYS, DESC TABLE, INFORMATION_SCHEMA.TABLES.

DuckDB's catalogue + owners, comments, times, keys of the account ──▶ Snowflake's columns

https://docs.snowflake.com/en/sql-reference/sql/show-tables, …/show-views, …/show-objects, …/show-primary-keys, …/desc-table,
https://docs.snowflake.com/en/sql-reference/info-schema/tables.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

from flows.embedded.warehouse.session.privileges import exists
from flows.embedded.warehouse.session.result import TIMESTAMP_LTZ, Result, status, table
from flows.embedded.warehouse.session.visibility import may_show
from flows.embedded.warehouse.statements import policies, tables, tags
from flows.embedded.warehouse.statements.defaults import shown_default
from flows.embedded.warehouse.statements.show_filter import in_scope, show_filter
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words, quote_name
from flows.embedded.warehouse.translate import masking, types

if TYPE_CHECKING:
    from flows.embedded.warehouse.account.objects import AccountObject
    from flows.embedded.warehouse.session.connection import WarehouseConnection

_AT = ("created_on", TIMESTAMP_LTZ)
# What SHOW TABLES, VIEWS and OBJECTS show for an object without its own value.
_OF_ALL = {
    "retention_time": "1", "change_tracking": "OFF", "search_optimization": "OFF", "is_external": "N",
    "enable_schema_evolution": "N", "owner_role_type": "ROLE", "is_event": "N", "is_hybrid": "N", "is_iceberg": "N",
    "is_dynamic": "N", "is_immutable": "N", "reserved": "", "is_materialized": "false",
}  # fmt: skip
_COLUMNS: dict[str, list[str | tuple[str, str]]] = {
    "TABLES": [
        _AT, "name", "database_name", "schema_name", "kind", "comment", "cluster_by", ("rows", "BIGINT"), ("bytes",
            "BIGINT"), "owner",
        "retention_time", "automatic_clustering", "change_tracking", "search_optimization", "search_optimization_progress",
        "search_optimization_bytes", "is_external", "enable_schema_evolution", "owner_role_type", "is_event", "budget",
        "is_hybrid",
        "is_iceberg", "is_dynamic", "is_immutable",
    ],
    "VIEWS": [
        _AT, "name", "reserved", "database_name", "schema_name", "owner", "comment", "text", "is_secure", "is_materialized",
        "owner_role_type", "change_tracking",
    ],
    "OBJECTS": [
        _AT, "name", "database_name", "schema_name", "kind", "comment", "cluster_by", ("rows", "BIGINT"), ("bytes",
            "BIGINT"), "owner",
        "retention_time", "owner_role_type", "budget", "is_hybrid", "is_dynamic", "is_iceberg",
    ],
}  # fmt: skip
_TERSE: list[str | tuple[str, str]] = [_AT, "name", "kind", "database_name", "schema_name"]


def show(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW [TERSE] TABLES | VIEWS | OBJECTS [LIKE …] [IN …] [STARTS WITH …] [LIMIT …]: what the role may know of."""
    words.expect("SHOW")
    terse = words.accept("TERSE")
    what = words.accept_any("TABLES", "VIEWS", "OBJECTS")
    filter_ = show_filter(words)
    if (
        filter_.scope
        and filter_.scope_kind in ("DATABASE", "NAME")
        and len(filter_.scope) == 1
        and conn.account.find("DATABASE", filter_.scope[0])
    ):
        filter_ = replace(filter_, scope_kind="DATABASE")
    elif filter_.scope:
        database, schema = (
            conn.qualify_schema(filter_.scope, "SHOW") if filter_.scope_kind != "DATABASE" else (filter_.scope[0], None)
        )
        if conn.account.find("DATABASE", database) is None or (
            schema is not None and not conn.has_schema(database, schema)
        ):
            raise errors.cannot_perform()
    kinds = {"TABLES": "('TABLE')", "VIEWS": "('VIEW')", "OBJECTS": "('TABLE', 'VIEW')"}[what]
    relations = conn.duck.execute(
        f"""
        SELECT * FROM (
            SELECT database_name, schema_name, table_name, 'TABLE' AS kind, estimated_size, temporary,
                NULL AS text FROM duckdb_tables()
            UNION ALL
            SELECT database_name, schema_name, view_name, 'VIEW', NULL, temporary, sql FROM duckdb_views() WHERE NOT internal
        ) WHERE kind IN {kinds} AND schema_name NOT IN ('main', '_fs_information_schema', 'account') AND NOT temporary
        ORDER BY 1, 2, 3
        """
    ).fetchall()
    rows: list[dict[str, object]] = []
    for database, schema, name, kind, size, _, text in relations:
        full = f"{database}.{schema}.{name}"
        if not filter_.admits(name) or not in_scope(conn, filter_, full) or not may_show(conn, kind, full):
            continue
        item = conn.account.find(kind, full)
        p = item.properties if item else {}
        if kind == "TABLE":  # DuckDB's own figure still counts deleted rows
            size = conn.duck.execute(
                f"SELECT count(*) FROM {'.'.join(map(quote_name, (database, schema, name)))}"
            ).fetchall()[0][0]
        rows.append({
            "created_on": item.created_on.astimezone(UTC) if item else None, "name": name, "database_name": database,
            "schema_name": schema,
            "kind": "TRANSIENT" if what == "TABLES" and p.get("transient") else kind, "comment": item.comment if item else "",
            "cluster_by": p.get("cluster_by", ""), "rows": size, "bytes": None if size is None else 0,
            "owner": conn.account.owner(kind, full),
            "automatic_clustering": "ON" if p.get("cluster_by") else "OFF",
            "text": (p.get("statement") or [text])[0], "is_secure": str(bool(p.get("secure"))).lower(),  # type: ignore[index]
            **_OF_ALL, **({"retention_time": str(p["retention"])} if "retention" in p else {}),
            **({"change_tracking": "ON"} if p.get("tracks") else {}),
        })  # fmt: skip
    for (database, schema, name), kind in sorted(conn.temporary_tables.items()):
        full = f"{database}.{schema}.{name}"
        if kind not in kinds or not filter_.admits(name) or not in_scope(conn, filter_, full):
            continue
        size = (
            conn.duck.execute(f"SELECT count(*) FROM {quote_name(name)}").fetchall()[0][0] if kind == "TABLE" else None
        )
        rows.append({
            "created_on": conn.temporary_since.get((database, schema, name)), "name": name, "database_name": database,
            "schema_name": schema, "kind": "TEMPORARY" if what == "TABLES" else kind,
            "comment": "", "cluster_by": "", "rows": size, "bytes": None if size is None else 0, "owner": conn.role,
            "automatic_clustering": "OFF", "is_secure": "false", **_OF_ALL,
        })  # fmt: skip
    return table(filter_.cut(rows), _TERSE if terse else _COLUMNS[what])


_KEY_COLUMNS: dict[str, list[str | tuple[str, str]]] = {
    "PRIMARY": [_AT, "database_name", "schema_name", "table_name", "column_name", ("key_sequence", "BIGINT"),
    "constraint_name", "rely", "comment"],
    "UNIQUE": [_AT, "database_name", "schema_name", "table_name", "column_name", ("key_sequence", "BIGINT"),
    "constraint_name", "rely", "comment"],
    "IMPORTED": [
        _AT, "pk_database_name", "pk_schema_name", "pk_table_name", "pk_column_name", "fk_database_name",
        "fk_schema_name", "fk_table_name",
        "fk_column_name", ("key_sequence", "BIGINT"), "update_rule", "delete_rule", "fk_name", "pk_name",
        "deferrability", "rely", "comment",
    ],
}  # fmt: skip


def show_keys(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW PRIMARY | UNIQUE | IMPORTED | EXPORTED KEYS [IN {ACCOUNT | DATABASE | SCHEMA | TABLE} …]."""
    words.expect("SHOW")
    words.accept("TERSE")
    what = words.accept_any("PRIMARY", "UNIQUE", "IMPORTED", "EXPORTED")
    words.expect("KEYS")
    scope, place = "", ""
    if words.accept("IN"):
        scope = words.accept_any("ACCOUNT", "DATABASE", "SCHEMA", "TABLE") or "TABLE"
        if scope != "ACCOUNT" and not words.at_end:
            place = conn.full_name("TABLE" if scope == "TABLE" else scope, words.name(), "SHOW")
    words.finish()
    if not place and scope != "ACCOUNT":
        place = ".".join(p for p in (conn.database, conn.schema if scope != "DATABASE" else None) if p)
    kind = {"PRIMARY": "PRIMARY KEY", "UNIQUE": "UNIQUE"}.get(what, "FOREIGN KEY")
    rows: list[dict[str, object]] = []
    for item in conn.account.all("TABLE"):
        if place and item.name != place and not item.name.startswith(f"{place}.") and what != "EXPORTED":
            continue
        for number, (key, name, columns, *reference) in enumerate(_keys(item)):
            if key != kind:
                continue
            shown = str(name) if name else f"SYS_CONSTRAINT_{zlib.crc32(f'{item.name}.{number}'.encode()):010d}"
            rows += _key_rows(item, shown, columns, reference)
    if what == "EXPORTED":
        rows = [
            r for r in rows if f"{r['pk_database_name']}.{r['pk_schema_name']}.{r['pk_table_name']}".startswith(place)
        ]
    return table(rows, _KEY_COLUMNS["IMPORTED" if kind == "FOREIGN KEY" else what])


def _keys(item: AccountObject) -> list[list[object]]:
    keys = item.properties.get("keys") or []
    assert isinstance(keys, list)
    return keys


def _key_rows(item: AccountObject, name: str, columns: object, reference: list[object]) -> list[dict[str, object]]:
    database, schema, short = item.name.split(".", 2)
    assert isinstance(columns, list)
    at = item.created_on.astimezone(UTC)
    if not reference:
        return [
            {"created_on": at, "database_name": database, "schema_name": schema, "table_name": short, "column_name": c,
            "key_sequence": i,
             "constraint_name": name, "rely": "false", "comment": None}
            for i, c in enumerate(columns, 1)
        ]  # fmt: skip
    to, to_columns = reference
    assert isinstance(to, list)
    assert isinstance(to_columns, list)
    pk = [*[database, schema][: 3 - len(to)], *to]
    return [
        {"created_on": at, "pk_database_name": pk[0], "pk_schema_name": pk[1], "pk_table_name": pk[2],
         "pk_column_name": to_columns[i - 1] if i <= len(to_columns) else None, "fk_database_name": database,
         "fk_schema_name": schema,
         "fk_table_name": short, "fk_column_name": c, "key_sequence": i, "update_rule": "NO ACTION", "delete_rule": "NO ACTION",
         "fk_name": name, "pk_name": None, "deferrability": "NOT DEFERRABLE", "rely": "false", "comment": None}
        for i, c in enumerate(columns, 1)
    ]  # fmt: skip


_DESCRIBED = ["name", "type", "kind", "null?", "default", "primary key", "unique key", "check", "expression",
    "comment", "policy name",
              ("privacy domain", "JSON")]  # fmt: skip


def describe(conn: WarehouseConnection, words: Words) -> Result | None:
    """DESC[RIBE] TABLE | VIEW <name>, keys and comments included; None for INFORMATION_SCHEMA, which fakesnow describes."""
    words.accept_any("DESCRIBE", "DESC")
    words.accept_any("TABLE", "VIEW")
    name = conn.qualify(words.name(), "DESCRIBE TABLE")
    if words.accept("TYPE", "=") and not words.accept("COLUMNS"):
        raise errors.unsupported("DESCRIBE TABLE TYPE = STAGE")
    words.finish()
    if name[1] == "INFORMATION_SCHEMA":
        return None
    kind = exists(conn, name)
    full = ".".join(name)
    if not kind:
        raise errors.not_found("TABLE", full)
    temporary = name in conn.temporary_tables
    if not temporary and not conn.may_see(kind, full):
        raise errors.insufficient(kind, name[2])
    item = conn.account.find(kind, full)
    keys = _keys(item) if item else []
    primary = {c for k, _, columns, *_ in keys if k == "PRIMARY KEY" for c in columns}  # type: ignore[attr-defined]
    unique = {c for k, _, columns, *_ in keys if k == "UNIQUE" for c in columns}  # type: ignore[attr-defined]
    comments = dict(item.properties.get("columns") or {}) if item and kind == "VIEW" else {}  # type: ignore[call-overload]
    masks = dict(item.properties.get("policies") or {}) if item else {}  # type: ignore[call-overload]
    ordered = (item.properties.get("ordered") or []) if item else []
    assert isinstance(ordered, list)
    described = conn.duck.execute(
        """
        SELECT column_name,
            CASE data_type WHEN 'NUMBER' THEN 'NUMBER(' || numeric_precision || ',' || numeric_scale || ')'
                WHEN 'TEXT' THEN 'VARCHAR(' || coalesce(character_maximum_length, 16777216) || ')'
                WHEN 'TIMESTAMP_NTZ' THEN 'TIMESTAMP_NTZ(9)' WHEN 'TIMESTAMP_LTZ' THEN 'TIMESTAMP_LTZ(9)'
                WHEN 'TIMESTAMP_TZ' THEN 'TIMESTAMP_TZ(9)' WHEN 'TIME' THEN 'TIME(9)'
                WHEN 'BINARY' THEN 'BINARY(8388608)' WHEN 'HUGEINT' THEN 'NUMBER(38,0)' ELSE data_type END,
            is_nullable, column_default, comment
        FROM _fs_global._fs_information_schema._fs_columns
        WHERE table_catalog = ? AND table_schema = ? AND table_name = ? ORDER BY ordinal_position
        """,
        ["temp", "main", name[2]] if temporary else [*name],
    ).fetchall()
    kept = conn.temporary_lengths.get(name, {})
    rows = [
        {
            "name": column, "type": _of_temporary(type_, kept.get(column)), "kind": "COLUMN",
            "null?": "Y" if nullable == "YES" else "N",
            "default": shown_default(conn, default, column in ordered),
            "primary key": "Y" if column in primary else "N", "unique key": "Y" if column in unique else "N", "check": None,
            "expression": None, "comment": comments.get(column) or comment,
            "policy name": (masks.get(column) or {}).get("policy"), "privacy domain": None,
        }
        for column, type_, nullable, default, comment in described
    ]  # fmt: skip
    return table(rows, _DESCRIBED)  # type: ignore[arg-type]


def _of_temporary(shown: str, kept: int | None) -> str:
    """Return the type of a temporary table's column, with the length or mark that the session keeps."""
    if kept is None or not (shown.startswith("VARCHAR") or shown == "VARIANT"):
        return shown
    return str(types.as_declared(types.Type("VARIANT") if shown == "VARIANT" else types.VARCHAR, kept))


def alter_details(conn: WarehouseConnection, words: Words) -> Result | None:
    """ALTER TABLE | VIEW <name> with SET | UNSET TAG, SET | UNSET MASKING POLICY or columns' comments; None for any other ALTER.

    https://docs.snowflake.com/en/sql-reference/sql/alter-table#set-tag (a tag must exist and admit the value),
    https://docs.snowflake.com/en/sql-reference/sql/alter-table-column (`ALTER [COLUMN] a COMMENT '…', [COLUMN] b COMMENT '…'`).
    """
    words.expect("ALTER")
    kind = words.accept_any("TABLE", "VIEW")
    if_exists = words.accept("IF", "EXISTS")
    name = conn.qualify(words.name(), f"ALTER {kind}")
    if if_exists and not exists(conn, name):
        return status()
    column = ""
    comments: dict[str, str] = {}
    if words.accept_any("ALTER", "MODIFY"):
        words.accept("(")
        words.accept("COLUMN")
        column = words.part()
        while words.accept("COMMENT"):
            comments[column] = words.string()
            if not words.accept(","):
                break
            words.accept_any("ALTER", "MODIFY")
            words.accept("COLUMN")
            column = words.part()
    if comments:
        words.accept(")")
        if not words.at_end:  # other changes too
            return None
        _owned(conn, kind, name)
        for one, text in comments.items():
            tables.comment_column(conn, name, one, text)
        return status()
    if tags.sees(words):
        item = _owned(conn, kind, name, "APPLY TAG")
        if item is not None and column and column not in masking.columns_of(conn, item):
            raise errors.invalid_identifier(column)
        tags.change(conn, words, item, f"COLUMN {column}" if column else "SELF")
        return status()
    if column and (words.sees("SET", "MASKING") or words.sees("UNSET", "MASKING")):
        item = _owned(conn, kind, name, "APPLY MASKING POLICY")
        if item is None:
            raise errors.unsupported("a masking policy on a temporary table")
        policies.alter_column(conn, words, item, column)
        return status()
    return None


def _owned(conn: WarehouseConnection, kind: str, name: tuple[str, str, str], instead: str = "") -> AccountObject | None:
    """Return the table or view. Raises 003001 unless the role owns it or has the privilege `instead` on the account."""
    actual = exists(conn, name)
    if not actual:
        raise errors.not_found(kind, ".".join(name))
    if name not in conn.temporary_tables:
        conn.require_use_of(*name[:2])
        if not (instead and conn.may(instead, "ACCOUNT", "")):
            conn.require("OWNERSHIP", actual, ".".join(name))
    return conn.account.find(actual, ".".join(name))
