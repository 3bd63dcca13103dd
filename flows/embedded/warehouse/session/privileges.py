"""Checks the privileges for a statement: syntax tree + current role → nothing, or 002003, 003001 (42501).

SELECT / INSERT / UPDATE / DELETE / MERGE / COPY / CREATE / ALTER / DROP ──authorize──▶ WarehouseConnection.require

USAGE on the database and schema, then the privilege on the object:
https://docs.snowflake.com/en/user-guide/security-access-control-privileges. A view is read with its owner's rights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlglot import Expr, exp

from flows.embedded.warehouse.account.objects import ACCOUNTADMIN
from flows.embedded.warehouse.text import errors

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def parts_of(table: exp.Table) -> tuple[str, ...]:
    """Return the parts of a table's name, normalised."""
    return tuple(folded(p) for p in (table.args.get("catalog"), table.args.get("db"), table.this) if p)


def folded(node: Expr) -> str:
    """Return an identifier as Snowflake stores it."""
    return node.name if node.args.get("quoted") else node.name.upper()


def is_named(table: exp.Table) -> bool:
    """Whether a table node is a name, not a function, a stage or a parameter."""
    return isinstance(table.this, exp.Identifier) and not table.name.startswith("@")


def sources(expression: Expr, target: exp.Table | None = None) -> Iterator[exp.Table]:
    """Yield the tables and views that a statement reads, without `target` and without names that mean a WITH clause's query."""
    for table in expression.find_all(exp.Table):
        if table is not target and is_named(table) and not _is_cte(table):
            yield table


def _is_cte(table: exp.Table) -> bool:
    """Whether a name means a query of a WITH clause around it: one before its own, or a recursive one in its second half.

    https://docs.snowflake.com/en/user-guide/queries-cte. In doubt it is a table, whose privileges are then checked.
    """
    if table.args.get("db"):
        return False
    name = folded(table.this)
    node: Expr = table
    own: exp.CTE | None = None
    in_second_half = False
    while (parent := node.parent) is not None:
        if isinstance(node, exp.CTE):
            own = node
        elif isinstance(parent, exp.SetOperation) and isinstance(parent.parent, exp.CTE):
            in_second_half = parent.expression is node
        clause = parent.args.get("with_")
        if isinstance(clause, exp.With):
            for cte in clause.expressions:
                same = folded(cte.args["alias"].this) == name
                if node is clause and cte is own:
                    if same and in_second_half and clause.args.get("recursive"):
                        return True
                    break
                if same:
                    return True
            own, in_second_half = None, False
        node = parent
    return False


def target_of(expression: Expr) -> exp.Table | None:
    """Return the table that a DML or DDL statement writes, alters or drops."""
    this = expression.args.get("this")
    if this is None and isinstance(expression, exp.Drop):
        this = next(iter(expression.args.get("tables") or []), None)
    if isinstance(this, exp.Schema):
        this = this.this
    return this if isinstance(this, exp.Table) else None


def exists(conn: WarehouseConnection, name: tuple[str, str, str]) -> str:
    """Return what a name means: "TABLE", "VIEW" or "" for nothing; temporary tables of the session included."""
    if name in conn.temporary_tables:
        return conn.temporary_tables[name]
    database, schema, short = name
    row = conn.duck.execute(
        "SELECT 'TABLE' FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ? "
        "UNION ALL SELECT 'VIEW' FROM duckdb_views() WHERE database_name = ? AND schema_name = ? AND view_name = ?",
        [database, schema, short] * 2,
    ).fetchone()
    return str(row[0]) if row else ""


def look_in_public(conn: WarehouseConnection, expression: Expr) -> Expr:
    """Put tables that a statement names without a schema, and the current schema lacks, in PUBLIC if they exist there; in place
    (https://docs.snowflake.com/en/sql-reference/name-resolution#unqualified-objects)."""
    if conn.database is None or conn.schema in (None, "PUBLIC"):
        return expression
    target = None if isinstance(expression, (exp.Query, exp.Describe)) else target_of(expression)
    for table in sources(expression, target):
        parts = parts_of(table)
        if len(parts) > 1 or any(t[2] == parts[0] for t in conn.temporary_tables) or exists(conn, conn.qualify(parts)):
            continue
        if exists(conn, (conn.database, "PUBLIC", parts[0])):
            table.set("db", exp.to_identifier("PUBLIC", quoted=True))
    return expression


def spelled_otherwise(conn: WarehouseConnection, name: tuple[str, str, str]) -> str:
    """Return the table, view or sequence whose name differs only by case, or "": two objects on Snowflake, one to DuckDB."""
    full, home = ".".join(name), f"{name[0]}.{name[1]}."
    for kind in ("TABLE", "VIEW", "SEQUENCE"):
        for item in conn.account.all(kind):
            if item.name.startswith(home) and item.name != full and item.name.casefold() == full.casefold():
                return item.name.removeprefix(home)
    return next(
        (
            t[2]
            for t in conn.temporary_tables
            if t != name and t[2] != name[2] and t[2].casefold() == name[2].casefold()
        ),
        "",
    )


def authorize(conn: WarehouseConnection, expression: Expr) -> None:
    """Raise 002003 for a name that is not an object of the account, 003001 (42501) if the role lacks the privilege on one.

    Names must match the registry exactly: catalogs and files that only the engine knows do not exist.
    """
    _sequences(conn, expression)
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
        privileges = ["INSERT", "DELETE"] if expression.args.get("overwrite") else ["INSERT"]
        _object(conn, target, *privileges)
    elif isinstance(expression, exp.Update):
        _object(conn, target, "UPDATE")
    elif isinstance(expression, exp.Delete):
        _object(conn, target, "DELETE")
    elif isinstance(expression, exp.TruncateTable):
        for table in expression.expressions:
            if not expression.args.get("exists") or exists(conn, conn.qualify(parts_of(table))):
                _object(conn, table, "TRUNCATE")
        return
    elif isinstance(expression, exp.Merge):
        kinds = {type(w.args.get("then")) for w in expression.find_all(exp.When)}
        privileges = ["INSERT"] if exp.Insert in kinds else []
        privileges += ["UPDATE"] if exp.Update in kinds else []
        privileges += (
            ["DELETE"] if any(isinstance(w.args.get("then"), exp.Var) for w in expression.find_all(exp.When)) else []
        )
        _object(conn, target, "SELECT", *privileges)
    elif isinstance(expression, exp.MultitableInserts):
        raise errors.unsupported("INSERT of several tables")
    elif isinstance(expression, exp.Copy):
        _object(conn, target, "INSERT")
        return
    elif isinstance(expression, exp.Show):
        return
    for table in sources(expression, None if isinstance(expression, (exp.Query, exp.Describe)) else target):
        if isinstance(expression, exp.Create) and parts_of(table) == parts_of(target or table):
            continue  # a key that refers to the table itself
        _object(conn, table, "SELECT")


def _sequences(conn: WarehouseConnection, expression: Expr) -> None:
    """Require USAGE on each sequence whose NEXTVAL is read (https://docs.snowflake.com/en/user-guide/querying-sequences)."""
    for column in expression.find_all(exp.Column):
        if not column.args.get("table") or folded(column.this) != "NEXTVAL":
            continue
        parts = [folded(p) for p in (column.args.get("catalog"), column.args.get("db"), column.args["table"]) if p]
        database, schema, name = conn.qualify(parts)
        conn.require_use_of(database, schema)
        if conn.account.find("SEQUENCE", f"{database}.{schema}.{name}") is None:
            raise errors.not_found("SEQUENCE", ".".join(parts))
        conn.require("USAGE", "SEQUENCE", f"{database}.{schema}.{name}")


def _kind(conn: WarehouseConnection, full: str) -> str:
    return "VIEW" if conn.account.find("VIEW", full) else "TABLE"


# The views of https://docs.snowflake.com/en/sql-reference/info-schema that exist here, and those that are refused by name.
INFORMATION_SCHEMA = ("COLUMNS", "DATABASES", "LOAD_HISTORY", "SCHEMATA", "TABLES", "VIEWS")
_NOT_HERE = (
    "APPLICABLE_ROLES", "ENABLED_ROLES", "FILE_FORMATS", "FUNCTIONS", "OBJECT_PRIVILEGES", "PACKAGES", "PIPES", "PROCEDURES",
    "REFERENTIAL_CONSTRAINTS", "SEQUENCES", "STAGES", "TABLE_CONSTRAINTS", "TABLE_PRIVILEGES", "TABLE_STORAGE_METRICS",
    "USAGE_PRIVILEGES",
)  # fmt: skip


def place_of(conn: WarehouseConnection, table: exp.Table) -> tuple[str, str, str]:
    """Return (database, schema, name). Raises 002003 if the database or schema does not exist, 003001 without USAGE."""
    database, schema, name = conn.qualify(parts_of(table))
    if conn.account.find("DATABASE", database) is None:
        if database == "SNOWFLAKE" and ACCOUNTADMIN in conn.active_roles():
            raise errors.unsupported(f"{database}.{schema}.{name} (QUERY_ATTRIBUTION_HISTORY is here)")
        raise errors.not_found("DATABASE", database)
    if not conn.has_schema(database, schema):
        raise errors.not_found("SCHEMA", f"{database}.{schema}")
    conn.require_use_of(database, schema)
    return database, schema, name


def _object(conn: WarehouseConnection, table: exp.Table | None, *privileges: str) -> None:
    if table is None or not is_named(table):
        return
    if conn.qualify(parts_of(table)) in conn.temporary_tables:
        return
    database, schema, name = place_of(conn, table)
    if schema == "INFORMATION_SCHEMA":
        if name in _NOT_HERE:
            raise errors.unsupported(f"INFORMATION_SCHEMA.{name}")
        if name not in INFORMATION_SCHEMA or privileges != ("SELECT",):
            raise errors.no_object(".".join(parts_of(table)))
        if not table.args.get("db"):  # it is the current schema
            table.set("db", exp.to_identifier("INFORMATION_SCHEMA"))
        return
    full = f"{database}.{schema}.{name}"
    kind = _kind(conn, full)
    if conn.account.find(kind, full) is None and conn.account.find("SEQUENCE", full):
        kind, privileges = "SEQUENCE", ("USAGE",)
    if conn.account.find(kind, full) is None:
        raise errors.no_object(".".join(parts_of(table)))
    for privilege in privileges:
        conn.require(privilege, kind, full)


def _create(conn: WarehouseConnection, expression: exp.Create, target: exp.Table | None) -> None:
    kind = str(expression.args.get("kind") or "").upper()
    if target is None or kind not in ("TABLE", "VIEW", "SEQUENCE"):
        return
    database, schema, name = conn.qualify(parts_of(target), f"CREATE {kind}")
    database, schema, name = place_of(conn, target)
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
    place_of(conn, table)
    full = f"{database}.{schema}.{name}"
    kind = "SEQUENCE" if conn.account.find("SEQUENCE", full) else _kind(conn, full)
    if conn.account.find(kind, full) is None and not exists(conn, (database, schema, name)):
        return  # DROP … IF EXISTS may name nothing; other statements raise the error themselves
    conn.require("OWNERSHIP", kind, full)
