"""Which objects a role may see: rows of SHOW, a user's properties, rows of INFORMATION_SCHEMA.

SHOW … ──may_show──▶ each object; SHOW GRANTS ──may_show_grant──▶ each grant; SELECT … INFORMATION_SCHEMA ──filtered──▶ SELECT

https://docs.snowflake.com/en/sql-reference/sql/show#general-usage-notes: any privilege on the object, one on its schema and one
on its database; a role with MANAGE GRANTS sees every object. So does one with RESOLVE ALL, in SHOW:
https://docs.snowflake.com/en/user-guide/security-access-control-privileges#global-privileges-account-privileges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot import Expr, exp, parse_one

from flows.embedded.warehouse.account.account import GLOBAL_KINDS
from flows.embedded.warehouse.account.objects import ACCOUNTADMIN, Grant
from flows.embedded.warehouse.session.privileges import exists, parts_of, sources
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import like, quote

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def may_show(conn: WarehouseConnection, kind: str, name: str) -> bool:
    """Whether SHOW lists an object to the current role. Every role sees the names of users and roles
    (https://docs.snowflake.com/en/sql-reference/sql/show-users#access-control-requirements, …/sql/show-roles)."""
    if kind in ("ROLE", "USER") or any(conn.may(p, "ACCOUNT", "") for p in ("RESOLVE ALL", "MANAGE GRANTS")):
        return True
    places = [] if kind in GLOBAL_KINDS else name.split(".")[:-1]
    around = [(("DATABASE", "SCHEMA")[i], ".".join(places[: i + 1])) for i in range(len(places))]
    return all(conn.may_see(*one) for one in [*around, (kind, name)])


def may_show_grant(conn: WarehouseConnection, grant: Grant) -> bool:
    """Whether SHOW GRANTS lists a grant: if the role may see its object, its database or schema for a future one
    (https://docs.snowflake.com/en/sql-reference/sql/show-grants#usage-notes)."""
    kind = grant.on_kind
    if grant.future:
        kind = "SCHEMA" if "." in grant.on_name else "DATABASE"
    return kind in ("ACCOUNT", "DATABASE ROLE") or may_show(conn, kind, grant.on_name)


def may_see_user(conn: WarehouseConnection, name: str) -> bool:
    """Whether the current role sees a user's properties: it has OWNERSHIP, or on the account MANAGE GRANTS or MONITOR USER
    (https://docs.snowflake.com/en/sql-reference/sql/show-users#access-control-requirements,
    https://docs.snowflake.com/en/user-guide/security-access-control-privileges#global-privileges-account-privileges)."""
    wide = any(conn.may(privilege, "ACCOUNT", "") for privilege in ("MANAGE GRANTS", "MONITOR USER"))
    return wide or conn.may("OWNERSHIP", "USER", name)


def sees_table(conn: WarehouseConnection, full: str) -> bool:
    """Whether a table exists and the current role may know of it; true for the session's temporary tables."""
    if any(".".join(name) == full for name in conn.temporary_tables):
        return True
    return conn.account.find("TABLE", full) is not None and conn.may_see("TABLE", full)


# The columns of INFORMATION_SCHEMA's views that name the object of a row.
_TELL_OF = {
    "TABLES": ("TABLE_SCHEMA", "TABLE_NAME"), "VIEWS": ("TABLE_SCHEMA", "TABLE_NAME"), "COLUMNS": ("TABLE_SCHEMA", "TABLE_NAME"),
    "LOAD_HISTORY": ("SCHEMA_NAME", "TABLE_NAME"), "SCHEMATA": ("SCHEMA_NAME",), "DATABASES": ("DATABASE_NAME",),
}  # fmt: skip


def filtered(conn: WarehouseConnection, expression: Expr) -> Expr:
    """Restrict INFORMATION_SCHEMA's views in a query to the objects that the role has privileges on
    (https://docs.snowflake.com/en/sql-reference/info-schema#general-usage-notes)."""
    if isinstance(expression, exp.Show):
        check_shown(conn, expression)
    if ACCOUNTADMIN in conn.active_roles():
        return expression
    for table in list(sources(expression)):
        parts = parts_of(table)
        if parts[-2:-1] != ("INFORMATION_SCHEMA",) or parts[-1] not in _TELL_OF:
            continue
        database, columns = conn.qualify(parts)[0], _TELL_OF[parts[-1]]
        kinds = (
            ("TABLE", "VIEW") if len(columns) == 2 else ("SCHEMA",) if columns[0] == "SCHEMA_NAME" else ("DATABASE",)
        )
        seen = [
            item.name.removeprefix(f"{database}.")
            for kind in kinds
            for item in conn.account.all(kind)
            if (kind == "DATABASE" or item.name.startswith(f"{database}.")) and conn.may_see(kind, item.name)
        ]
        if kinds == ("SCHEMA",):
            seen.append("INFORMATION_SCHEMA")
        named = " || '.' || ".join(columns)
        within = f"{named} IN ({', '.join(map(quote, seen))})" if seen else "FALSE"
        alias = table.args.get("alias") or exp.TableAlias(this=table.this.copy())
        table.set("alias", None)
        query = parse_one(f"SELECT * FROM {table.sql(dialect='snowflake')} WHERE {within}", read="snowflake")
        table.replace(exp.Subquery(this=query, alias=alias))
    return expression


def check_shown(conn: WarehouseConnection, tree: exp.Show) -> None:
    """Check that the object that SHOW COLUMNS IN … names exists, for the role."""
    scope, kind = tree.args.get("scope"), str(tree.args.get("scope_kind") or "").upper()
    if tree.name.upper() != "COLUMNS" or not isinstance(scope, exp.Table):
        return
    parts = parts_of(scope)
    if kind in ("TABLE", "VIEW"):
        name = conn.qualify(parts, "SHOW COLUMNS")
        actual = exists(conn, name)
        if name not in conn.temporary_tables and not (actual and may_show(conn, actual, ".".join(name))):
            raise errors.not_found(kind, ".".join(name))
        return
    if kind == "SCHEMA":
        known = conn.has_schema(*conn.qualify_schema(parts, "SHOW COLUMNS"))
    else:
        known = conn.account.find("DATABASE", parts[-1]) is not None
    if not known:
        raise errors.cannot_perform()


def shown_columns(conn: WarehouseConnection, rows: Any, tree: exp.Show) -> Any:
    """Filter the rows of SHOW COLUMNS by LIKE and by the role's privileges on tables and views; write NULL, a view's comments and
    AUTOINCREMENT as Snowflake does
    (https://docs.snowflake.com/en/sql-reference/sql/show-columns)."""
    if rows.num_rows == 0 or "column_name" not in rows.schema.names:
        return rows
    pattern = tree.args.get("like")
    everyone = ACCOUNTADMIN in conn.active_roles()
    seen = {o.name for kind in ("TABLE", "VIEW") for o in conn.account.all(kind) if conn.may_see(kind, o.name)}
    views = {o.name: o.properties.get("columns") for o in conn.account.all("VIEW")}
    kept = []
    for row in rows.to_pylist():
        full = ".".join(str(row[n]) for n in ("database_name", "schema_name", "table_name"))
        if (everyone or full in seen) and (pattern is None or like(pattern.name, str(row["column_name"]))):
            comments = views.get(full)
            comment = comments.get(row["column_name"]) if isinstance(comments, dict) else None
            null = "NOT_NULL" if row["null?"] == "false" else row["null?"]
            type_ = str(row["data_type"]).replace('_LTZ","nullable"', '_LTZ","precision":0,"scale":9,"nullable"')
            counts = _autoincrement(conn, full, row)
            kept.append(
                {
                    **row,
                    "data_type": type_,
                    "null?": null,
                    "comment": comment or row["comment"],
                    "autoincrement": counts,
                }
            )
    return pa.Table.from_pylist(kept, schema=rows.schema)


def _autoincrement(conn: WarehouseConnection, table: str, row: dict[str, Any]) -> Any:
    """Return how SHOW COLUMNS describes an AUTOINCREMENT: with ORDER if it was made with it
    (https://docs.snowflake.com/en/sql-reference/sql/show-columns#output)."""
    shown = row.get("autoincrement")
    item = conn.account.find("TABLE", table) if shown else None
    if item is not None and row["column_name"] in (item.properties.get("ordered") or []):  # type: ignore[operator]
        return str(shown).removesuffix("NOORDER") + "ORDER"
    return shown
