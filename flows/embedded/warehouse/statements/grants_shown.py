"""SHOW GRANTS: on an object, to a role or user, of a role, future ones.

https://docs.snowflake.com/en/sql-reference/sql/show-grants
"""

from __future__ import annotations

from datetime import UTC

from flows.embedded.warehouse.account.objects import Grant
from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.session.result import TIMESTAMP_LTZ, Result, table
from flows.embedded.warehouse.session.visibility import may_show, may_show_grant
from flows.embedded.warehouse.statements.grants import accept_kind, grantee
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words

_AT = ("created_on", TIMESTAMP_LTZ)
_ON_COLUMNS: list[str | tuple[str, str]] = [
    _AT,
    "privilege",
    "granted_on",
    "name",
    "granted_to",
    "grantee_name",
    "grant_option",
    "granted_by",
    "granted_by_role_type",
]


def show_grants(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW [FUTURE] GRANTS [ON … | TO … | OF ROLE … | IN …]: those on objects that SHOW lists to the role
    (https://docs.snowflake.com/en/sql-reference/sql/show-grants#usage-notes)."""
    words.expect("SHOW")
    future = words.accept("FUTURE")
    words.expect("GRANTS")
    every = [g for g in conn.account.grants() if may_show_grant(conn, g)]
    if future:
        return _show_future(conn, words, every)
    if words.at_end:
        chosen = [g for g in every if g.on_kind == "ROLE" and (g.to_kind, g.to_name) == ("USER", conn.user)]
        return _role_rows(chosen)
    if words.accept("ON"):
        if words.accept("ACCOUNT"):
            chosen = [g for g in every if g.on_kind == "ACCOUNT"]
        else:
            kind = accept_kind(words)
            parts = words.name()
            name = conn.full_name(kind, parts, "SHOW GRANTS")
            if kind == "TABLE" and conn.account.find(kind, name) is None:
                kind = "VIEW"
            if conn.account.find(kind, name) is None or not may_show(conn, kind, name):
                raise errors.not_found("TABLE" if kind == "VIEW" else kind, name)
            chosen = [
                g for g in every if (g.on_kind, g.on_name) == (kind, name) and not g.future and g.on_kind != "ROLE"
            ]
        words.finish()
        return _object_rows(chosen)
    if words.accept("TO"):
        kind, name = grantee(conn, words)
        words.finish()
        chosen = [g for g in every if (g.to_kind, g.to_name) == (kind, name) and not g.future]
        return _role_rows(chosen) if kind == "USER" else _object_rows(chosen)
    words.expect("OF")
    words.accept("ROLE")
    role = words.part()
    words.finish()
    if conn.account.find("ROLE", role) is None:
        raise errors.not_found("ROLE", role)
    return _role_rows([g for g in every if (g.on_kind, g.on_name) == ("ROLE", role) and g.privilege == "USAGE"])


def _object_rows(grants: list[Grant]) -> Result:
    rows = [
        {
            "created_on": g.created_on.astimezone(UTC), "privilege": g.privilege, "granted_on": g.on_kind.replace(" ", "_"),
            "name": g.on_name or "CXM_EMBEDDED", "granted_to": g.to_kind, "grantee_name": g.to_name,
            "grant_option": str(g.grant_option).lower(), "granted_by": g.granted_by, "granted_by_role_type": "ROLE",
        }
        for g in grants
    ]  # fmt: skip
    return table(rows, _ON_COLUMNS)


def _role_rows(grants: list[Grant]) -> Result:
    rows = [
        {"created_on": g.created_on.astimezone(UTC), "role": g.on_name, "granted_to": g.to_kind, "grantee_name": g.to_name,
         "granted_by": g.granted_by}
        for g in grants
    ]  # fmt: skip
    return table(rows, [_AT, "role", "granted_to", "grantee_name", "granted_by"])


def _show_future(conn: WarehouseConnection, words: Words, every: list[Grant]) -> Result:
    if words.accept("IN"):
        where = words.accept_any("DATABASE", "SCHEMA")
        if not where:
            raise words.unexpected()
        place = conn.full_name(where, words.name(), "SHOW GRANTS")
        chosen = [g for g in every if g.future and g.on_name == place]
    else:
        words.expect("TO")
        kind, name = grantee(conn, words)
        chosen = [g for g in every if g.future and (g.to_kind, g.to_name) == (kind, name)]
    words.finish()
    rows = [
        {"created_on": g.created_on.astimezone(UTC), "privilege": g.privilege, "grant_on": g.on_kind.replace(" ", "_"),
         "name": f"{g.on_name}.<{g.on_kind}>", "grant_to": g.to_kind, "grantee_name": g.to_name,
         "grant_option": str(g.grant_option).lower()}
        for g in chosen
    ]  # fmt: skip
    return table(rows, [_AT, "privilege", "grant_on", "name", "grant_to", "grantee_name", "grant_option"])
