"""Parses the parts of a table's DDL besides its columns' types: comments, clustering, keys.

CREATE TABLE … (COMMENT, CLUSTER BY, PRIMARY KEY …) ──take_apart──▶ DDL that DuckDB runs + TableSpec, which `tables` registers

https://docs.snowflake.com/en/sql-reference/sql/create-table. Keys are kept and shown, and never enforced, as on Snowflake
(https://docs.snowflake.com/en/sql-reference/constraints-overview); NOT NULL is enforced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import Expr, exp

from flows.embedded.warehouse.session.privileges import folded, parts_of, target_of
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.expressions import declared

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


@dataclass
class TableSpec:
    """What DuckDB does not know of a CREATE TABLE or VIEW. `keys`: kind, constraint name, columns, foreign table and columns."""

    kind: str
    name: tuple[str, str, str]
    temporary: bool = False
    replaces: bool = False
    copy_grants: bool = False
    comment: str = ""
    cluster_by: str = ""
    transient: bool = False
    comments: bool = False  # ALTER … SET COMMENT: `comment` counts even when it is empty
    columns: dict[str, str] = field(default_factory=dict)
    keys: list[list[object]] = field(default_factory=list)
    statement: tuple[str, str] = ("", "")  # a view's text as it was sent, and the schema that completes its names
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    policies: dict[str, tuple[str, list[str]]] = field(default_factory=dict)  # column → masking policy and USING
    cloned: str = ""
    secure: bool = False
    ordered: list[str] = field(default_factory=list)  # columns with AUTOINCREMENT … ORDER
    unclustered: bool = False  # ALTER TABLE … DROP CLUSTERING KEY
    tracks: bool | None = None  # CHANGE_TRACKING
    retention: int | None = None  # DATA_RETENTION_TIME_IN_DAYS

    @property
    def full(self) -> str:
        """DATABASE.SCHEMA.NAME."""
        return ".".join(self.name)


_LONGEST_RETENTION = 90  # days (https://docs.snowflake.com/en/user-guide/data-time-travel#data-retention-period)
DROPPED_PROPERTIES = {
    "DATA_RETENTION_TIME_IN_DAYS", "MAX_DATA_EXTENSION_TIME_IN_DAYS", "CHANGE_TRACKING", "ENABLE_SCHEMA_EVOLUTION",
    "DEFAULT_DDL_COLLATION",
}  # fmt: skip


def take_apart(conn: WarehouseConnection, expression: exp.Create) -> TableSpec:
    """Move out of a CREATE TABLE or VIEW (changed in place) what DuckDB does not know, and return it."""
    kind = str(expression.args["kind"]).upper()
    target = target_of(expression)
    assert target is not None
    spec = TableSpec(
        kind, conn.qualify(parts_of(target), f"CREATE {kind}"), replaces=bool(expression.args.get("replace"))
    )
    remaining: list[Expr] = []
    clustering: list[Expr] = []
    properties = expression.args.get("properties")
    for prop in properties.expressions if properties else []:
        if isinstance(prop, exp.SchemaCommentProperty):
            spec.comment = prop.this.name
        elif isinstance(prop, exp.TransientProperty):
            spec.transient = True
        elif isinstance(prop, exp.CopyGrantsProperty):
            spec.copy_grants = True
        elif isinstance(prop, (exp.Cluster, exp.ClusterProperty, exp.ClusteredByProperty)):
            clustering = prop.expressions
            spec.cluster_by = clustering_text(clustering)
        elif isinstance(prop, exp.Tags):
            spec.tags["SELF"] = tag_values(prop)
        elif isinstance(prop, exp.TemporaryProperty):
            spec.temporary = True
            remaining.append(prop)
        elif isinstance(prop, exp.GlobalProperty):  # GLOBAL TEMPORARY is TEMPORARY
            continue
        elif isinstance(prop, exp.SecureProperty):
            spec.secure = True
        elif isinstance(prop, exp.Property) and prop.name.upper() in DROPPED_PROPERTIES:
            spec.retention = retention(prop, spec.retention)
            spec.tracks = tracks(prop, spec.tracks)
        else:
            raise errors.unsupported(f"CREATE {kind} with {prop.sql(dialect='snowflake') or type(prop).__name__}")
    if spec.transient and (spec.retention or 0) > 1:  # https://docs.snowflake.com/en/user-guide/tables-temp-transient
        raise errors.invalid_value(spec.retention, "DATA_RETENTION_TIME_IN_DAYS")
    if properties:
        expression.set("properties", exp.Properties(expressions=remaining) if remaining else None)
    if isinstance(expression.this, exp.Schema):
        _columns(expression.this, spec)
        if expression.expression is None:
            check_clustering(clustering, {folded(c.this) for c in expression.this.find_all(exp.ColumnDef)})
        if kind == "TABLE" and isinstance(expression.expression, exp.Query):
            _name_columns(expression, target)
    if spec.temporary:
        if any(n[2] == spec.name[2] and n != spec.name for n in conn.temporary_tables):
            raise errors.unsupported(f"two temporary tables called {spec.name[2]} in one session")
        # DuckDB keeps temporary tables in its own `temp` database
        target.set("db", None)
        target.set("catalog", None)
    return spec


def clustering_text(keys: list[Expr]) -> str:
    """CLUSTER BY as SHOW TABLES shows it."""
    return f"LINEAR({', '.join(e.sql(dialect='snowflake') for e in keys)})"


def check_clustering(keys: list[Expr], columns: set[str]) -> None:
    """Check that a clustering key's columns exist (https://docs.snowflake.com/en/user-guide/tables-clustering-keys)."""
    for key in keys:
        for column in [key] if isinstance(key, exp.Identifier) else key.find_all(exp.Column):
            if folded(column if isinstance(column, exp.Identifier) else column.this) not in columns:
                raise errors.invalid_identifier(column.sql(dialect="snowflake"))


def _columns(schema: exp.Schema, spec: TableSpec) -> None:
    remaining: list[Expr] = []
    for item in schema.expressions:
        if isinstance(item, exp.ColumnDef):
            take_column_apart(item, spec)
            remaining.append(item)
        elif isinstance(item, exp.Constraint):
            for inner in item.expressions:
                _key(inner, folded(item.this), spec)
        elif isinstance(item, (exp.PrimaryKey, exp.UniqueColumnConstraint, exp.ForeignKey)):
            _key(item, "", spec)
        else:
            remaining.append(item)
    schema.set("expressions", remaining)
    _check_keys(remaining, spec)


def _check_keys(columns: list[Expr], spec: TableSpec) -> None:
    """Check that keys consist of the table's own columns, and that there is at most one PRIMARY KEY."""
    names = {folded(column.this) for column in columns if isinstance(column, exp.ColumnDef)}
    for _, _, keyed, *_ in spec.keys:
        for name in keyed if isinstance(keyed, list) else []:
            if names and name not in names:
                raise errors.invalid_identifier(name)
    if sum(key[0] == "PRIMARY KEY" for key in spec.keys) > 1:
        raise errors.compilation(f"Table {spec.name[2]} has several primary keys", 2025, "42S21")


def take_column_apart(column: exp.ColumnDef, spec: TableSpec) -> None:
    """Move comment, tags, keys and policy out of one column's definition."""
    remaining: list[Expr] = []
    for constraint in column.args.get("constraints") or []:
        kind = constraint.args.get("kind")
        if isinstance(kind, exp.CommentColumnConstraint):
            spec.columns[folded(column.this)] = kind.this.name
        elif isinstance(kind, exp.PrimaryKeyColumnConstraint):
            spec.keys.append(["PRIMARY KEY", "", [folded(column.this)]])
            remaining.append(exp.ColumnConstraint(kind=exp.NotNullColumnConstraint()))
        elif isinstance(kind, exp.Tags):
            spec.tags[f"COLUMN {folded(column.this)}"] = tag_values(kind)
        elif isinstance(kind, exp.MaskingPolicyColumnConstraint):
            using = [folded(c) for c in kind.expressions or []]
            spec.policies[folded(column.this)] = (kind.this.sql(dialect="snowflake"), using)
        elif isinstance(kind, exp.UniqueColumnConstraint):
            spec.keys.append(["UNIQUE", "", [folded(column.this)]])
        elif isinstance(kind, exp.Reference):
            spec.keys.append(["FOREIGN KEY", "", [folded(column.this)], *_reference(kind)])
        elif isinstance(kind, exp.CheckColumnConstraint):  # the engine would enforce it
            raise errors.unsupported(f"the constraint {kind.sql(dialect='snowflake')}")
        else:
            if isinstance(kind, (exp.AutoIncrementColumnConstraint, exp.GeneratedAsIdentityColumnConstraint)):
                _check_identity(column, kind, spec)
            if isinstance(kind, exp.DefaultColumnConstraint):
                _check_default(column, kind.this)
            remaining.append(constraint)
    column.set("constraints", remaining)


def retention(prop: exp.Property, before: int | None) -> int | None:
    """Return the days of DATA_RETENTION_TIME_IN_DAYS, which SHOW TABLES shows; `before` for any other property."""
    if prop.name.upper() != "DATA_RETENTION_TIME_IN_DAYS":
        return before
    value = prop.args["value"]
    if not isinstance(value, exp.Literal) or not value.name.isdigit() or int(value.name) > _LONGEST_RETENTION:
        raise errors.invalid_value(value.sql(dialect="snowflake"), "DATA_RETENTION_TIME_IN_DAYS")
    return int(value.name)


def tracks(prop: exp.Property, before: bool | None) -> bool | None:
    """Return the value of CHANGE_TRACKING, which SHOW TABLES shows; `before` for any other property."""
    if prop.name.upper() != "CHANGE_TRACKING":
        return before
    return prop.args["value"].name.upper() == "TRUE" or prop.args["value"].args.get("this") is True


def _check_identity(column: exp.ColumnDef, kind: Expr, spec: TableSpec) -> None:
    """Allow AUTOINCREMENT for numbers only (https://docs.snowflake.com/en/sql-reference/sql/create-table#optional-parameters)."""
    type_ = declared(column.args["kind"]) if column.args.get("kind") is not None else None
    if type_ is not None and type_.kind not in ("NUMBER", "FLOAT"):
        raise errors.default_type(folded(column.this))
    if any(isinstance(kind.args.get(key), exp.Neg) for key in ("start", "increment")):
        raise errors.unsupported("AUTOINCREMENT that counts down or begins below zero")
    if kind.args.get("order"):
        spec.ordered.append(folded(column.this))


def _check_default(column: exp.ColumnDef, value: Expr) -> None:
    """Check the type of a DEFAULT (https://docs.snowflake.com/en/sql-reference/sql/create-table#optional-parameters)."""
    type_ = declared(column.args["kind"]) if column.args.get("kind") is not None else None
    if isinstance(value, (exp.Neg, exp.Paren)):
        value = value.this
    kind = ""
    if isinstance(value, exp.Literal):
        kind = "VARCHAR" if value.is_string else "NUMBER"
    elif isinstance(value, exp.Boolean):
        kind = "BOOLEAN"
    if type_ is not None and type_.kind in _NOT_MADE_OF and isinstance(value, _NOT_MADE_OF[type_.kind]):
        raise errors.default_type(folded(column.this))
    if type_ is None or not kind:
        return
    if kind != ("NUMBER" if type_.kind == "FLOAT" else type_.kind):
        raise errors.default_type(folded(column.this))
    if type_.length and len(value.name) > type_.length and kind == "VARCHAR":
        raise errors.too_long(value.name)


_TEXTS = (exp.Upper, exp.Lower, exp.DPipe, exp.Concat, exp.Uuid)
_STAMPS = (exp.CurrentTimestamp, exp.Localtimestamp)
# The functions whose values a column of a kind does not take as its DEFAULT.
_NOT_MADE_OF: dict[str, tuple[type[Expr], ...]] = {
    "VARCHAR": (exp.CurrentDate, exp.CurrentTime, *_STAMPS),
    "DATE": (*_TEXTS, *_STAMPS, exp.CurrentTime),
    "TIME": (*_TEXTS, *_STAMPS, exp.CurrentDate),
    "TIMESTAMP_NTZ": (*_TEXTS, exp.CurrentTime), "TIMESTAMP_LTZ": (*_TEXTS, exp.CurrentTime),
    "TIMESTAMP_TZ": (*_TEXTS, exp.CurrentTime), "NUMBER": _TEXTS, "FLOAT": _TEXTS, "BOOLEAN": _TEXTS,
}  # fmt: skip


def tag_values(clause: exp.Tags) -> dict[str, str]:
    """Return `(name = 'value', …)` as a dict, with the names as they are written."""
    return {p.this.sql(dialect="snowflake"): p.args["value"].name for p in clause.expressions}


def _name_columns(create: exp.Create, target: exp.Table) -> None:
    """Move the names of CREATE TABLE … (a WITH TAG (…), b) AS SELECT …, which have no types, into the query."""
    columns = create.this.expressions
    if any(isinstance(column, exp.ColumnDef) and column.args.get("kind") for column in columns):
        return
    query: Expr = create.expression.unnest() if isinstance(create.expression, exp.Subquery) else create.expression
    assert isinstance(query, exp.Query)
    if not query.is_star and len(query.selects) != len(columns):
        raise errors.column_list_mismatch()
    names = [(column.this if isinstance(column, exp.ColumnDef) else column).copy() for column in columns]
    named = exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier("CXM_NEW"), columns=names))
    create.set("this", target)
    create.set("expression", exp.select("*").from_(named))


def _key(item: Expr, name: str, spec: TableSpec) -> None:
    if isinstance(item, exp.PrimaryKey):
        spec.keys.append(["PRIMARY KEY", name, [folded(e) for e in item.expressions]])
    elif isinstance(item, exp.UniqueColumnConstraint):
        columns = item.this.expressions if isinstance(item.this, exp.Schema) else item.expressions
        spec.keys.append(["UNIQUE", name, [folded(e) for e in columns]])
    elif isinstance(item, exp.ForeignKey):
        spec.keys.append(
            ["FOREIGN KEY", name, [folded(e) for e in item.expressions], *_reference(item.args["reference"])]
        )
    else:
        raise errors.unsupported(f"constraint {item.sql(dialect='snowflake')}")


def _reference(reference: Expr) -> list[object]:
    to = reference.this
    if isinstance(to, exp.Schema):
        return [list(parts_of(to.this)), [folded(e) for e in to.expressions]]
    return [list(parts_of(to)), []]
