"""Records the parts of a table's DDL besides its columns' types: comments, clustering, keys, owners.

CREATE TABLE … (COMMENT, CLUSTER BY, PRIMARY KEY …) ──take_apart──▶ DDL that DuckDB runs + TableSpec ──register──▶ the account

https://docs.snowflake.com/en/sql-reference/sql/create-table. Keys are kept and shown, and never enforced, as on Snowflake
(https://docs.snowflake.com/en/sql-reference/constraints-overview); NOT NULL is enforced.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlglot import Expr, exp

from flows.embedded.warehouse.account.objects import AccountObject, Grant
from flows.embedded.warehouse.session.privileges import exists, folded, is_named, parts_of, target_of
from flows.embedded.warehouse.statements import table_masks
from flows.embedded.warehouse.statements.table_keys import check_unclustered, rename_in_keys
from flows.embedded.warehouse.storage import described
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import quote, quote_name
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.legal import drops_clustering

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.statements.table_changes import check_added, check_type_change, unset
from flows.embedded.warehouse.statements.table_specs import (
    DROPPED_PROPERTIES,
    TableSpec,
    check_clustering,
    clustering_text,
    retention,
    take_column_apart,
    tracks,
)


def resolve_temporary(conn: WarehouseConnection, expression: Expr, made: exp.Table | None = None) -> Expr:
    """Name the session's temporary tables and views as DuckDB knows them: without database and schema.

    `made`, the table that the statement makes, is left as it is.

    A permanent table that shares only the last part of its name with a temporary one is written in full
    (https://docs.snowflake.com/en/user-guide/tables-temp-transient#potential-naming-conflicts-with-other-table-types).
    """
    if not conn.temporary_tables:
        return expression
    shorts = {name[2] for name in conn.temporary_tables}
    ctes = {folded(c.args["alias"].this) for c in expression.find_all(exp.CTE) if c.args.get("alias")}
    for table in expression.find_all(exp.Table):
        if table is made or not is_named(table) or folded(table.this) not in shorts:
            continue
        if not table.args.get("db") and folded(table.this) in ctes:
            continue
        name = conn.qualify(parts_of(table))
        if name in conn.temporary_tables:
            table.set("db", None)
            table.set("catalog", None)
        else:
            table.set("catalog", exp.to_identifier(name[0], quoted=True))
            table.set("db", exp.to_identifier(name[1], quoted=True))
    return expression


def register(conn: WarehouseConnection, spec: TableSpec) -> None:
    """Register a table or view that DuckDB has made, with what `take_apart` moved out; future grants become grants."""
    if spec.temporary:
        conn.temporary_tables[spec.name] = spec.kind
        conn.temporary_since[spec.name] = datetime.now(UTC)
        return
    target = ".".join(quote_name(p) for p in spec.name)
    if spec.kind == "TABLE":
        for column, text in spec.columns.items():
            conn.duck.execute(f"COMMENT ON COLUMN {target}.{quote_name(column)} IS {quote(text)}")
    grants = []
    for kind in ("TABLE", "VIEW"):
        if conn.account.find(kind, spec.full):
            if spec.copy_grants:
                grants += [
                    g
                    for g in conn.account.grants()
                    if (g.on_kind, g.on_name) == (kind, spec.full) and g.privilege != "OWNERSHIP"
                ]
            conn.account.drop(kind, spec.full)
    properties: dict[str, object] = {"transient": spec.transient, "keys": spec.keys}
    if spec.cluster_by:
        properties["cluster_by"] = spec.cluster_by
    if spec.kind == "VIEW":
        properties |= {"columns": spec.columns, "secure": spec.secure}
    properties |= {"ordered": spec.ordered} if spec.ordered else {}
    properties |= {"retention": spec.retention} if spec.retention is not None else {}
    properties |= {"tracks": spec.tracks} if spec.tracks else {}
    made = AccountObject(spec.kind, spec.full, conn.role, spec.comment, properties=properties)
    try:
        made = table_masks.registered(conn, spec, made)
    except BaseException:
        conn.duck.execute(f"DROP {spec.kind} {target}")
        raise
    conn.account.create(made)
    if grants:
        conn.account.grant([replace(g, on_kind=spec.kind) for g in grants])
    write_comment(conn, spec.name, spec.comment)


def write_comment(conn: WarehouseConnection, name: tuple[str, str, str], comment: str) -> None:
    """Write a table's or view's comment where fakesnow's INFORMATION_SCHEMA reads it."""
    with conn.engine.duck.cursor() as duck:
        duck.execute(
            "INSERT INTO _fs_global._fs_information_schema._fs_tables_ext VALUES (?, ?, ?, ?) "
            "ON CONFLICT (ext_table_catalog, ext_table_schema, ext_table_name) DO UPDATE SET comment = excluded.comment",
            [*name, comment or None],
        )


def write_lengths(conn: WarehouseConnection, name: tuple[str, str, str], lengths: list[tuple[str, int]]) -> None:
    """Write lengths of VARCHAR columns, outside the session's transaction, which may write to another file."""
    rows = [[*name, column, size, min(max(size, 0) * 4, 16777216)] for column, size in lengths]
    with conn.engine.duck.cursor() as duck:
        duck.executemany(
            "INSERT INTO _fs_global._fs_information_schema._fs_columns_ext VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT "
            "(ext_table_catalog, ext_table_schema, ext_table_name, ext_column_name) DO UPDATE SET "
            "ext_character_maximum_length = excluded.ext_character_maximum_length, "
            "ext_character_octet_length = excluded.ext_character_octet_length",
            rows,
        )


def lengths(conn: WarehouseConnection, name: tuple[str, str, str]) -> dict[str, int]:
    """Return the lengths of a table's VARCHAR columns, if any, and the marks of its semi-structured ones (`types.MARKS`)."""
    if name in conn.temporary_tables:
        return conn.temporary_lengths.get(name, {})
    with conn.engine.duck.cursor() as duck:
        rows = duck.execute(
            "SELECT ext_column_name, ext_character_maximum_length FROM _fs_global._fs_information_schema._fs_columns_ext "
            "WHERE ext_table_catalog = ? AND ext_table_schema = ? AND ext_table_name = ? AND ext_character_maximum_length < ?",
            [*name, types.LONGEST_TEXT],
        ).fetchall()
    return dict(rows)


def alter(conn: WarehouseConnection, expression: exp.Alter) -> TableSpec | None:
    """Check ALTER TABLE or VIEW (changed in place) and move out what DuckDB does not know; None if it names no table."""
    target = target_of(expression)
    if target is None or not is_named(target):
        return None
    spec = TableSpec("TABLE", conn.qualify(parts_of(target), "ALTER TABLE"))
    remaining: list[Expr] = []
    for action in expression.args.get("actions") or []:
        check_unclustered(conn, spec.full, action)
        if isinstance(action, exp.ColumnDef):
            check_added(action)
            take_column_apart(action, spec)
        elif isinstance(action, exp.AlterColumn) and action.args.get("default") is not None:
            # https://docs.snowflake.com/en/sql-reference/sql/alter-table-column#usage-notes: a sequence only, not emulated
            raise errors.unsupported("ALTER COLUMN … SET DEFAULT")
        elif isinstance(action, exp.AlterColumn) and action.args.get("dtype") is not None:
            check_type_change(conn, spec, action)
        elif isinstance(action, exp.AlterColumn) and (comment := action.args.get("comment")):
            spec.columns[folded(action.this)] = comment.name
            continue
        elif isinstance(action, exp.ClusterProperty):
            place = spec.name[2:] if spec.name in conn.temporary_tables else spec.name
            columns = described.columns(conn.duck, ".".join(map(quote_name, place)))
            check_clustering(action.expressions, {column for column, _ in columns})
            spec.cluster_by = clustering_text(action.expressions)
        elif isinstance(action, exp.Set) and action.args.get("unset"):
            unset(action, spec)
            continue
        elif drops_clustering(action):
            spec.unclustered = True
            continue
        elif isinstance(action, exp.AddConstraint):  # the engine would enforce it
            raise errors.unsupported("ALTER TABLE … ADD a key (CREATE TABLE with its keys is here)")
        elif isinstance(action, exp.AlterSet) and action.find(exp.SecureProperty):
            raise errors.unsupported("ALTER VIEW … SET SECURE (CREATE OR REPLACE SECURE VIEW is here)")
        elif isinstance(action, exp.AlterSet) and (found_properties := list(action.find_all(exp.Property))):
            for prop in found_properties:
                if isinstance(prop, exp.SchemaCommentProperty):
                    spec.comment, spec.comments = prop.this.name, True
                elif prop.name.upper() not in DROPPED_PROPERTIES:
                    raise errors.invalid_property(prop.name.upper(), "TABLE")
                else:
                    spec.retention = retention(prop, spec.retention)
                    spec.tracks = tracks(prop, spec.tracks)
            continue
        remaining.append(action)
    expression.set("actions", remaining)
    return spec


def altered(conn: WarehouseConnection, spec: TableSpec, expression: exp.Alter) -> None:
    """Record an ALTER TABLE or VIEW that has run: comments, tags, keys, properties, the new name, the time."""
    for column, text in spec.columns.items():
        comment_column(conn, spec.name, column, text)
    kind = "VIEW" if conn.account.find("VIEW", spec.full) else "TABLE"
    table_masks.altered(conn, spec, kind, expression)
    rename_in_keys(conn, kind, spec.full, expression)
    for action in expression.args.get("actions") or []:
        if isinstance(action, exp.AlterRename) and isinstance(action.this, exp.Table):
            to = conn.qualify(parts_of(action.this))
            moved(conn, spec.name, to, kind)
            spec.name = to
    kept: dict[str, object] = {
        "cluster_by": "" if spec.unclustered else spec.cluster_by,
        "retention": spec.retention,
        "tracks": spec.tracks,
    }
    kept = {
        key: value for key, value in kept.items() if value or value == 0 or (key == "cluster_by" and spec.unclustered)
    }
    if kept and (item := conn.account.find(kind, spec.full)):
        conn.account.put(replace(item, properties={**item.properties, **kept}))
    if spec.comments:
        set_comment(conn, kind, spec.name, spec.comment)
    touched(conn, kind, spec.full)


def moved(conn: WarehouseConnection, old: tuple[str, str, str], new: tuple[str, str, str], kind: str) -> None:
    """Rename a table or view in the account, with its grants, comment and text lengths."""
    if conn.account.find(kind, ".".join(old)):
        conn.account.rename(kind, ".".join(old), ".".join(new))
    with conn.engine.duck.cursor() as duck:
        for table in ("_fs_tables_ext", "_fs_columns_ext"):
            where = "ext_table_catalog = ? AND ext_table_schema = ? AND ext_table_name = ?"
            rows = duck.execute(
                f"SELECT * FROM _fs_global._fs_information_schema.{table} WHERE {where}", [*old]
            ).fetchall()
            duck.execute(f"DELETE FROM _fs_global._fs_information_schema.{table} WHERE {where} ", [*old])
            duck.execute(f"DELETE FROM _fs_global._fs_information_schema.{table} WHERE {where} ", [*new])
            for row in rows:
                marks = ", ".join("?" * len(row))
                duck.execute(
                    f"INSERT INTO _fs_global._fs_information_schema.{table} VALUES ({marks})", [*new, *row[3:]]
                )


def dropped(conn: WarehouseConnection, name: tuple[str, str, str], kind: str) -> None:
    """Delete a dropped table, view or sequence from the account, with the foreign keys that refer to it."""
    if name in conn.temporary_tables:
        del conn.temporary_tables[name]
        conn.temporary_lengths.pop(name, None)
        return
    conn.account.drop(kind, ".".join(name))
    if kind == "TABLE":
        for item in conn.account.all("TABLE"):
            keys = item.properties.get("keys") or []
            assert isinstance(keys, list)
            if left := [key for key in keys if refers_to(item.name, key, name)]:
                conn.account.put(
                    replace(item, properties={**item.properties, "keys": [key for key in keys if key not in left]})
                )
    with conn.engine.duck.cursor() as duck:
        for table in ("_fs_tables_ext", "_fs_columns_ext"):
            duck.execute(
                f"DELETE FROM _fs_global._fs_information_schema.{table} "
                "WHERE ext_table_catalog = ? AND ext_table_schema = ? AND ext_table_name = ?",
                [*name],
            )


def refers_to(holder: str, key: list[object], name: tuple[str, str, str]) -> bool:
    """Whether a key of the table `holder` is a foreign key to the table `name`."""
    to = key[3] if len(key) > 3 else None
    return isinstance(to, list) and (*holder.split(".", 2)[: 3 - len(to)], *to) == name


def touched(conn: WarehouseConnection, kind: str, full: str) -> None:
    """Record when an object was last altered (INFORMATION_SCHEMA.TABLES.LAST_ALTERED)."""
    if item := conn.account.find(kind, full):
        conn.account.put(replace(item, properties={**item.properties, "altered": datetime.now(UTC).isoformat()}))


def ownership(conn: WarehouseConnection, kind: str, full: str, comment: str = "", replaces: bool = False) -> None:
    """Register an object that needs nothing but an owner and a comment (a sequence)."""
    if replaces:
        conn.account.drop(kind, full)
    if conn.account.find(kind, full) is None:
        conn.account.create(AccountObject(kind, full, conn.role, comment))
        conn.account.grant([Grant("OWNERSHIP", kind, full, "ROLE", conn.role, False, True, conn.role)])


def comment_column(conn: WarehouseConnection, name: tuple[str, str, str], column: str, text: str) -> None:
    """Set a column's comment; a view's comments are stored in the account."""
    kind = exists(conn, name)
    if not kind:
        raise errors.not_found("TABLE", ".".join(name))
    if kind == "TABLE":
        target = ".".join(quote_name(p) for p in name)
        conn.duck.execute(f"COMMENT ON COLUMN {target}.{quote_name(column)} IS {quote(text) if text else 'NULL'}")
    elif item := conn.account.find("VIEW", ".".join(name)):
        columns = dict(item.properties.get("columns") or {})  # type: ignore[call-overload]
        conn.account.put(replace(item, properties={**item.properties, "columns": {**columns, column: text}}))


def set_comment(conn: WarehouseConnection, kind: str, name: tuple[str, str, str], text: str) -> None:
    """Set a table's or view's comment."""
    if item := conn.account.find(kind, ".".join(name)):
        conn.account.put(replace(item, comment=text))
    write_comment(conn, name, text)
