"""What a statement may touch: syntax tree + current role → nothing, or 003001 (42501).

SELECT / INSERT / UPDATE / DELETE / MERGE / COPY / CREATE / ALTER / DROP ──authorize──▶ WarehouseConnection.require

USAGE on the database and schema, then the privilege on the object:
https://docs.snowflake.com/en/user-guide/security-access-control-privileges. A view is read with its owner's rights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlglot import Expr, exp

from flows.embedded.warehouse import errors
from flows.embedded.warehouse.account import ACCOUNTADMIN

if TYPE_CHECKING:
    from flows.embedded.warehouse.connection import WarehouseConnection


def parts_of(table: exp.Table) -> tuple[str, ...]:
    """The parts of a table's name, normalised."""
    return tuple(folded(p) for p in (table.args.get("catalog"), table.args.get("db"), table.this) if p)


def folded(node: Expr) -> str:
    """An identifier as Snowflake stores it."""
    return node.name if node.args.get("quoted") else node.name.upper()


def is_named(table: exp.Table) -> bool:
    """Whether a table node is a name, not a function, a stage or a parameter."""
    return isinstance(table.this, exp.Identifier) and not table.name.startswith("@")


def sources(expression: Expr, target: exp.Table | None = None) -> Iterator[exp.Table]:
    """The tables and views that a statement reads; `target` is left out, and so are the names of its WITH clauses."""
    ctes = {folded(c.args["alias"].this) for c in expression.find_all(exp.CTE) if c.args.get("alias")}
    for table in expression.find_all(exp.Table):
        if table is target or not is_named(table):
            continue
        if not table.args.get("db") and folded(table.this) in ctes:
            continue
        yield table


def target_of(expression: Expr) -> exp.Table | None:
    """The table that a DML or DDL statement writes, alters or drops."""
    this = expression.args.get("this")
    if this is None and isinstance(expression, exp.Drop):
        this = next(iter(expression.args.get("tables") or []), None)
    if isinstance(this, exp.Schema):
        this = this.this
    return this if isinstance(this, exp.Table) else None


def exists(conn: WarehouseConnection, name: tuple[str, str, str]) -> str:
    """ "TABLE", "VIEW" or "" for what stands under a name, temporary tables of the session included."""
    if name in conn.temporary_tables:
        return conn.temporary_tables[name]
    database, schema, short = name
    found = conn._duck_conn.execute(
        "SELECT 'TABLE' FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ? "
        "UNION ALL SELECT 'VIEW' FROM duckdb_views() WHERE database_name = ? AND schema_name = ? AND view_name = ?",
        [database, schema, short] * 2,
    ).fetchone()
    return str(found[0]) if found else ""


def authorize(conn: WarehouseConnection, expression: Expr) -> None:
    """Raise 003001 (42501) for the first object that the current role may not use as the statement wants to."""
    if ACCOUNTADMIN in conn.active_roles():
        return
    target = target_of(expression)
    if isinstance(expression, exp.Create):
        _create(conn, expression, target)
    elif isinstance(expression, (exp.Alter, exp.Drop, exp.Comment)):
        names = [target] if target is not None else []
        names += [
            t
            for t in (expression.args.get("tables") or [])[1 if target is not None else 0 :]
            if isinstance(t, exp.Table)
        ]
        for one in names:
            _owned(conn, one)
        return
    elif isinstance(expression, exp.Insert):
        wanted = ["INSERT", "DELETE"] if expression.args.get("overwrite") else ["INSERT"]
        _object(conn, target, *wanted)
    elif isinstance(expression, exp.Update):
        _object(conn, target, "UPDATE")
    elif isinstance(expression, exp.Delete):
        _object(conn, target, "DELETE")
    elif isinstance(expression, exp.TruncateTable):
        for table in expression.expressions:
            _object(conn, table, "TRUNCATE")
        return
    elif isinstance(expression, exp.Merge):
        kinds = {type(w.args.get("then")) for w in expression.find_all(exp.When)}
        wanted = ["INSERT"] if exp.Insert in kinds else []
        wanted += ["UPDATE"] if exp.Update in kinds else []
        wanted += (
            ["DELETE"] if any(isinstance(w.args.get("then"), exp.Var) for w in expression.find_all(exp.When)) else []
        )
        _object(conn, target, "SELECT", *wanted)
    elif isinstance(expression, exp.Copy):
        _object(conn, target, "INSERT")
        return
    elif isinstance(expression, (exp.Describe, exp.Show)):
        if isinstance(expression, exp.Describe) and target is not None and is_named(target):
            database, schema, name = conn.qualify(parts_of(target))
            kind = _kind(conn, f"{database}.{schema}.{name}")
            if schema != "INFORMATION_SCHEMA" and not conn.may_see(kind, f"{database}.{schema}.{name}"):
                raise errors.insufficient(kind, name)
        return
    elif not isinstance(expression, exp.Query):
        return
    for table in sources(expression, None if isinstance(expression, exp.Query) else target):
        _object(conn, table, "SELECT")


def _kind(conn: WarehouseConnection, full: str) -> str:
    return "VIEW" if conn.account.find("VIEW", full) else "TABLE"


def _object(conn: WarehouseConnection, table: exp.Table | None, *privileges: str) -> None:
    if table is None or not is_named(table):
        return
    database, schema, name = conn.qualify(parts_of(table))
    if (database, schema, name) in conn.temporary_tables:
        return
    if schema in ("INFORMATION_SCHEMA", "_FS_INFORMATION_SCHEMA"):
        conn.require_use_of(database)
        return
    conn.require_use_of(database, schema)
    full = f"{database}.{schema}.{name}"
    kind = _kind(conn, full)
    if conn.account.find(kind, full) is None and conn.account.find("SEQUENCE", full):
        kind, privileges = "SEQUENCE", ("USAGE",)
    if conn.account.find(kind, full) is None and not exists(conn, (database, schema, name)):
        return  # the statement itself will say that there is no such object
    for privilege in privileges:
        conn.require(privilege, kind, full)


def _create(conn: WarehouseConnection, expression: exp.Create, target: exp.Table | None) -> None:
    kind = str(expression.args.get("kind") or "").upper()
    if target is None or kind not in ("TABLE", "VIEW", "SEQUENCE"):
        return
    database, schema, name = conn.qualify(parts_of(target), f"CREATE {kind}")
    conn.require_use_of(database, schema)
    full = f"{database}.{schema}.{name}"
    if expression.find(exp.TemporaryProperty):
        # "Note that creating a temporary table does not require the CREATE TABLE privilege":
        # https://docs.snowflake.com/en/sql-reference/sql/create-table#access-control-requirements
        return
    conn.require(f"CREATE {kind}", "SCHEMA", f"{database}.{schema}")
    if expression.args.get("replace") and conn.account.find(kind, full):
        conn.require("OWNERSHIP", kind, full)


def _owned(conn: WarehouseConnection, table: exp.Table) -> None:
    if not is_named(table):
        return
    database, schema, name = conn.qualify(parts_of(table))
    if (database, schema, name) in conn.temporary_tables:
        return
    conn.require_use_of(database, schema)
    full = f"{database}.{schema}.{name}"
    kind = "SEQUENCE" if conn.account.find("SEQUENCE", full) else _kind(conn, full)
    if conn.account.find(kind, full) is None and not exists(conn, (database, schema, name)):
        return  # DROP … IF EXISTS of nothing; anything else will say that there is no such object
    conn.require("OWNERSHIP", kind, full)
