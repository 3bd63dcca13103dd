"""Tags and masking policies that CREATE TABLE, CREATE VIEW and ALTER TABLE set or move.

TableSpec ──complete──▶ full names, checked before the engine makes anything ──registered──▶ the object, never without them

https://docs.snowflake.com/en/sql-reference/sql/create-table, …/create-view: WITH TAG (…), WITH MASKING POLICY … [USING (…)].
A clone has its source's (https://docs.snowflake.com/en/user-guide/security-column-intro), a replaced table none of the old one's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import Expr, exp

from flows.embedded.warehouse.session.privileges import folded, parts_of
from flows.embedded.warehouse.statements import policies, tags
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import split_name
from flows.embedded.warehouse.translate import masking

if TYPE_CHECKING:
    from flows.embedded.warehouse.account.objects import AccountObject
    from flows.embedded.warehouse.session.connection import WarehouseConnection
    from flows.embedded.warehouse.statements.table_specs import TableSpec


def complete(conn: WarehouseConnection, spec: TableSpec, expression: Expr) -> None:
    """Complete the spec: full names of tags and policies, which must exist and which the role may set, a view's text, a clone's
    source."""
    if spec.temporary and (spec.tags or spec.policies):
        raise errors.unsupported("tags and masking policies on a temporary table")
    for key, values in spec.tags.items():
        spec.tags[key] = {".".join(conn.qualify(split_name(tag))): value for tag, value in values.items()}
        for tag, value in spec.tags[key].items():
            tags.check(conn, tag, value)
    for column, (name, using) in spec.policies.items():
        spec.policies[column] = (policies.required(conn, ".".join(conn.qualify(split_name(name)))), using)
    if spec.kind == "VIEW":
        spec.statement = (str(expression.meta.get(masking.VIEW_TEXT, "")), f"{conn.database}.{conn.schema}")
    clone = expression.args.get("clone")
    if clone and isinstance(clone.this, exp.Table):
        spec.cloned = ".".join(conn.qualify(parts_of(clone.this)))


def registered(conn: WarehouseConnection, spec: TableSpec, made: AccountObject) -> AccountObject:
    """Add tags and policies to an object before it is registered. Raises 003551 for a policy whose type is not the column's."""
    properties = dict(made.properties)
    if spec.kind == "VIEW":
        properties["statement"] = [*spec.statement]
    if (source := conn.account.find("TABLE", spec.cloned)) is not None:
        properties |= {what: source.properties[what] for what in ("tags", "policies") if what in source.properties}
    if spec.tags:
        properties["tags"] = spec.tags
    made = replace(made, properties=properties)
    for column, (name, using) in spec.policies.items():
        made = policies.with_policy(conn, made, column, name, using)
    return made


def altered(conn: WarehouseConnection, spec: TableSpec, kind: str, expression: exp.Alter) -> None:
    """Update tags and policies after ALTER TABLE, for columns that were added, renamed or dropped."""
    if spec.tags or spec.policies:
        complete(conn, spec, expression)
    for key, values in spec.tags.items():
        if item := conn.account.find(kind, spec.full):
            tags.put(conn, item, {key: dict(values)})
    for column, (policy, using) in spec.policies.items():
        if item := conn.account.find(kind, spec.full):
            conn.account.put(policies.with_policy(conn, item, column, policy, using))
    for action in expression.args.get("actions") or []:
        for old, new in renamed(action):
            if item := conn.account.find(kind, spec.full):
                conn.account.put(tags.moved(item, old, new))


def renamed(action: Expr) -> list[tuple[str, str | None]]:
    """Return the columns that an action of ALTER TABLE renames, as (old, new), or drops, as (old, None)."""
    if isinstance(action, exp.RenameColumn):
        return [(folded(action.this.this), folded(action.args["to"].this))]
    if isinstance(action, exp.Drop) and str(action.args.get("kind")).upper() == "COLUMN":
        gone = action.args.get("tables") or []
        return [(folded(c.this if isinstance(c, (exp.Column, exp.Table)) else c), None) for c in gone]
    return []
