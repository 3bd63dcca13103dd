"""SHOW and DESCRIBE of databases and schemas.

https://docs.snowflake.com/en/sql-reference/sql/show-databases, …/show-schemas
"""

from __future__ import annotations

from datetime import UTC

from flows.embedded.warehouse.account.objects import AccountObject
from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.session.result import TIMESTAMP_LTZ, Result, table
from flows.embedded.warehouse.session.visibility import may_show
from flows.embedded.warehouse.statements.show_filter import show_filter
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words


def show_databases(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW [TERSE] DATABASES: those the role may know of (https://docs.snowflake.com/en/sql-reference/sql/show-databases)."""
    words.expect("SHOW")
    terse = words.accept("TERSE")
    words.expect("DATABASES")
    filter_ = show_filter(words)
    rows: list[dict[str, object]] = [
        {
            "created_on": d.created_on.astimezone(UTC), "name": d.name, "is_default": "N",
            "is_current": "Y" if d.name == conn.database else "N", "origin": "", "owner": d.owner, "comment": d.comment,
            "options": "TRANSIENT" if d.properties.get("transient") else "",
            "retention_time": str(d.properties.get("DATA_RETENTION_TIME_IN_DAYS", 1)),
            "kind": "STANDARD", "budget": None, "owner_role_type": "ROLE", "object_visibility": None,
            "database_name": None, "schema_name": None,
        }
        for d in conn.account.all("DATABASE")
        if filter_.admits(d.name) and may_show(conn, "DATABASE", d.name)
    ]  # fmt: skip
    rows = filter_.cut(rows)
    if terse:
        return table(rows, [("created_on", TIMESTAMP_LTZ), "name", "kind", "database_name", "schema_name"])
    return table(rows, [("created_on", TIMESTAMP_LTZ), "name", "is_default", "is_current", "origin", "owner",
        "comment", "options",
                        "retention_time", "kind", "budget", "owner_role_type", "object_visibility"])  # fmt: skip


def show_schemas(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW [TERSE] SCHEMAS [IN {ACCOUNT | [DATABASE] <name>}] (https://docs.snowflake.com/en/sql-reference/sql/show-schemas)."""
    words.expect("SHOW")
    terse = words.accept("TERSE")
    words.expect("SCHEMAS")
    filter_ = show_filter(words)
    if filter_.scope and conn.account.find("DATABASE", filter_.scope[-1]) is None:
        raise errors.cannot_perform()
    one = filter_.scope[-1] if filter_.scope else conn.database if filter_.scope_kind != "ACCOUNT" else None
    rows: list[dict[str, object]] = []
    for database in [one] if one else conn.engine.databases():
        if not may_show(conn, "DATABASE", database):
            continue
        for schema in sorted([*conn.engine.schemas(database), "INFORMATION_SCHEMA"]):
            item = conn.account.find("SCHEMA", f"{database}.{schema}")
            if not filter_.admits(schema) or (
                schema != "INFORMATION_SCHEMA" and not may_show(conn, "SCHEMA", f"{database}.{schema}")
            ):
                continue
            home = conn.account.find("DATABASE", database)
            created = item.created_on if item else home.created_on if home else None
            rows.append({
                "created_on": created and created.astimezone(UTC), "name": schema, "is_default": "N",
                "is_current": "Y" if (database, schema) == (conn.database, conn.schema) else "N", "database_name": database,
                "owner": item.owner if item else "", "comment": item.comment if item else "",
                "options": _options(item),
                "retention_time": str(item.properties.get("DATA_RETENTION_TIME_IN_DAYS", 1)) if item else "",
                "owner_role_type": "ROLE" if item else "", "budget": None, "kind": None, "schema_name": None,
            })  # fmt: skip
    rows = filter_.cut(rows)
    if terse:
        return table(rows, [("created_on", TIMESTAMP_LTZ), "name", "kind", "database_name", "schema_name"])
    return table(rows, [("created_on", TIMESTAMP_LTZ), "name", "is_default", "is_current", "database_name", "owner",
        "comment", "options",
                        "retention_time", "owner_role_type", "budget"])  # fmt: skip


def _options(schema: AccountObject | None) -> str:
    """TRANSIENT, MANAGED ACCESS (https://docs.snowflake.com/en/sql-reference/sql/show-schemas#output)."""
    p = schema.properties if schema else {}
    return ", ".join(text for key, text in (("transient", "TRANSIENT"), ("managed", "MANAGED ACCESS")) if p.get(key))


def describe(conn: WarehouseConnection, words: Words) -> Result:
    """DESC DATABASE: its schemas; DESC SCHEMA: its tables and views (https://docs.snowflake.com/en/sql-reference/sql/desc-database)."""
    words.accept_any("DESCRIBE", "DESC")
    kind = words.accept_any("DATABASE", "SCHEMA")
    parts = words.name()
    words.finish()
    columns: list[str | tuple[str, str]] = [("created_on", TIMESTAMP_LTZ), "name", "kind"]
    full = conn.full_name(kind, parts, f"DESCRIBE {kind}")
    home = conn.account.find(kind, full)
    if home is None or not conn.may_see(kind, full):
        raise errors.not_found(kind, full)
    if kind == "DATABASE":
        names = [(s, "SCHEMA") for s in sorted([*conn.engine.schemas(full), "INFORMATION_SCHEMA"])]
    else:
        names = [
            (o.name.rpartition(".")[2], k)
            for k in ("TABLE", "VIEW")
            for o in conn.account.all(k)
            if o.name.startswith(f"{full}.")
        ]
    return table([{"created_on": home.created_on.astimezone(UTC), "name": n, "kind": k} for n, k in names], columns)
