"""GRANT and REVOKE; SHOW GRANTS is in `grants_shown`.

GRANT <privileges> ON <object | ALL … | FUTURE …> TO ROLE r ──▶ Account.grant; GRANT ROLE a TO ROLE b ──▶ the hierarchy

https://docs.snowflake.com/en/sql-reference/sql/grant-privilege, …/grant-role, …/grant-ownership, …/revoke-privilege,
…/revoke-role, …/show-grants; the privileges of each kind: https://docs.snowflake.com/en/user-guide/security-access-control-privileges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flows.embedded.warehouse.account.account import objects_inside
from flows.embedded.warehouse.account.objects import Grant
from flows.embedded.warehouse.session.result import Result, status
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words
from flows.embedded.warehouse.translate.account_usage import VIEWERS

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

PRIVILEGES: dict[str, tuple[str, ...]] = {
    "ACCOUNT": (
        "APPLY MASKING POLICY", "APPLY TAG", "CREATE DATABASE", "CREATE INTEGRATION", "CREATE RESOURCE MONITOR", "CREATE ROLE",
        "CREATE USER", "CREATE WAREHOUSE", "EXECUTE TASK", "IMPORT SHARE", "MANAGE GRANTS", "MANAGE WAREHOUSES",
        "MONITOR EXECUTION", "MONITOR ROLE", "MONITOR USAGE", "MONITOR USER", "MONITOR", "RESOLVE ALL",
    ),
    "WAREHOUSE": ("APPLYBUDGET", "MODIFY", "MONITOR", "OPERATE", "USAGE"),
    "DATABASE": ("APPLYBUDGET", "CREATE SCHEMA", "CREATE DATABASE ROLE", "IMPORTED PRIVILEGES", "MODIFY", "MONITOR", "USAGE"),
    "SCHEMA": (
        "ADD SEARCH OPTIMIZATION", "APPLYBUDGET", "CREATE DYNAMIC TABLE", "CREATE EXTERNAL TABLE",
        "CREATE FILE FORMAT", "CREATE FUNCTION",
        "CREATE MASKING POLICY", "CREATE MATERIALIZED VIEW", "CREATE PIPE", "CREATE PROCEDURE", "CREATE ROW ACCESS POLICY",
        "CREATE SEQUENCE", "CREATE STAGE", "CREATE STREAM", "CREATE TABLE", "CREATE TAG", "CREATE TASK", "CREATE TEMPORARY TABLE",
        "CREATE VIEW", "MODIFY", "MONITOR", "USAGE",
    ),
    "TABLE": ("APPLYBUDGET", "DELETE", "EVOLVE SCHEMA", "INSERT", "REBUILD", "REFERENCES", "SELECT", "TRUNCATE", "UPDATE"),
    "VIEW": ("DELETE", "INSERT", "REBUILD", "REFERENCES", "SELECT", "TRUNCATE", "UPDATE"),
    "STAGE": ("READ", "USAGE", "WRITE"),
    "FILE FORMAT": ("USAGE",),
    "SEQUENCE": ("USAGE",),
    "INTEGRATION": ("USAGE", "USE_ANY_ROLE"),
    "RESOURCE MONITOR": ("MODIFY", "MONITOR"),
    "USER": ("MONITOR",),
    "ROLE": ("USAGE",),
    "TAG": ("APPLY", "READ"),
    "MASKING POLICY": ("APPLY",),
}  # fmt: skip

# Kinds that have no objects here: grants on ALL or FUTURE of them are stored and have no effect yet.
EMPTY_KINDS = (
    "DYNAMIC TABLE", "EXTERNAL TABLE", "MATERIALIZED VIEW", "FUNCTION", "PROCEDURE", "STREAM", "TASK", "PIPE",
    "ICEBERG TABLE", "EVENT TABLE",
)  # fmt: skip

_ON = ("FILE FORMAT", "RESOURCE MONITOR", "STORAGE INTEGRATION", "DATABASE", "SCHEMA", "TABLE", "VIEW", "STAGE",
       "SEQUENCE", "INTEGRATION", "WAREHOUSE", "USER", "ROLE", "TAG",
       "MASKING POLICY")  # fmt: skip


def _plural(kind: str) -> str:
    return kind[:-1] + "IES" if kind.endswith("Y") else kind + "S"


def accept_kind(words: Words, plural: bool = False) -> str:
    """Move past the kind of object that comes next, TABLE where it is left out."""
    choices = {(_plural(k) if plural else k): k for k in (*_ON, *EMPTY_KINDS)}
    word = words.accept_any(*choices)
    if not word and not plural and words.upper(1) in ("", ".", "TO", "FROM", ";"):
        return "TABLE"  # the kind may be left out before a table's or view's name
    if not word:
        raise words.unexpected()
    return choices[word].replace("STORAGE ", "")


def grant(conn: WarehouseConnection, words: Words) -> Result:
    """GRANT privileges, ownership or a role."""
    return _change(conn, words, give=True)


def revoke(conn: WarehouseConnection, words: Words) -> Result:
    """REVOKE privileges or a role; [CASCADE | RESTRICT] has no effect, as dependent grants do not exist here."""
    return _change(conn, words, give=False)


def _change(conn: WarehouseConnection, words: Words, give: bool) -> Result:
    words.expect("GRANT" if give else "REVOKE")
    option_only = not give and words.accept("GRANT", "OPTION", "FOR")
    if words.accept("DATABASE", "ROLE"):
        return _change_viewer(conn, words, give)
    if words.accept("APPLICATION", "ROLE"):
        raise errors.unsupported("application roles")
    if words.sees("ROLE") and words.upper(1) not in (",", "ON"):
        return _change_role(conn, words, give)
    privileges = [_privilege(words)]
    while words.accept(","):
        privileges.append(_privilege(words))
    words.expect("ON")
    targets, future = _targets(conn, words)
    words.expect("TO" if give else "FROM")
    to_kind, to_name = grantee(conn, words)
    if to_kind == "USER":
        raise errors.unsupported("privileges that are granted to a user (grant them to a role)")
    option = give and words.accept("WITH", "GRANT", "OPTION")
    current = words.accept_any("COPY CURRENT GRANTS", "REVOKE CURRENT GRANTS")
    words.accept_any("CASCADE", "RESTRICT")
    words.finish()
    for kind, name in targets:
        if not future and conn.account.find(kind, name) is None and kind != "ACCOUNT":
            raise errors.not_found(kind, name)
        for privilege in privileges:
            if not future:
                _may_grant(conn, privilege, kind, name)
            else:
                conn.require("MANAGE GRANTS", "ACCOUNT", "") if not _owns_scope(conn, name) else None
    if "OWNERSHIP" in privileges and not future:
        if not give:
            raise errors.unsupported("REVOKE OWNERSHIP (grant it to another role)")
        for kind, name in targets:
            item = conn.account.find(kind, name)
            assert item is not None
            others = [
                g
                for g in conn.account.grants()
                if (g.on_kind, g.on_name) == (kind, name) and g.privilege != "OWNERSHIP"
            ]
            if others and not current and item.owner != to_name:
                raise errors.dependent_grants(kind, name)
            conn.account.own(item, to_name, keep=current != "REVOKE CURRENT GRANTS")
        return status()
    made = [
        Grant(privilege, kind, name, to_kind, to_name, future, option, conn.role)
        for kind, name in targets
        for privilege in _expand(privileges, kind)
    ]
    if give:
        conn.account.grant(made)
    elif option_only:
        held = {g.key: g for g in conn.account.grants()}
        again = [replace(held[g.key], grant_option=False) for g in made if g.key in held]
        conn.account.revoke(again)
        conn.account.grant(again)
    else:
        conn.account.revoke(made)
    return status()


def _privilege(words: Words) -> str:
    """Parse one privilege of one or more words: `CREATE FILE FORMAT`, `ALL [PRIVILEGES]`."""
    parts: list[str] = []
    while words.upper() not in (",", "ON", ""):
        parts.append(words.part())
    if not parts:
        raise words.unexpected()
    if parts[0] == "ALL":
        return "ALL"
    if words.sees("("):
        raise errors.unsupported("privileges on columns")
    return " ".join(parts)


def _expand(privileges: list[str], kind: str) -> list[str]:
    known = PRIVILEGES.get(kind)
    out: list[str] = []
    for privilege in privileges:
        if privilege == "ALL":
            out += known or ["ALL PRIVILEGES"]
        elif known is not None and privilege not in known and privilege != "OWNERSHIP":
            raise errors.syntax(f"{privilege} (not a privilege on {kind})")
        else:
            out.append(privilege)
    return list(dict.fromkeys(out))


def _targets(conn: WarehouseConnection, words: Words) -> tuple[list[tuple[str, str]], bool]:
    """Parse what follows ON: [(kind, name), …] and whether it is FUTURE (then the name is the database's or schema's)."""
    if words.accept("ACCOUNT"):
        return [("ACCOUNT", "")], False
    scope = words.accept_any("ALL", "FUTURE")
    if not scope:
        kind = accept_kind(words)
        parts = words.name()
        if words.sees("("):
            raise errors.unsupported(f"grants on {kind} signatures")
        name = conn.full_name(kind, parts, "GRANT")
        if kind == "TABLE" and conn.account.find("TABLE", name) is None and conn.account.find("VIEW", name):
            kind = "VIEW"  # Snowflake accepts a view as a table here
        return [(kind, name)], False
    kind = accept_kind(words, plural=True)
    words.expect("IN")
    where = words.accept_any("DATABASE", "SCHEMA")
    if not where:
        raise words.unexpected()
    place = conn.full_name(where, words.name(), "GRANT")
    if conn.account.find(where, place) is None:
        raise errors.not_found(where, place)
    if scope == "FUTURE":
        return [(kind, place)], True
    return [(kind, o.name) for o in objects_inside(conn.account, place, kind)], False


def grantee(conn: WarehouseConnection, words: Words) -> tuple[str, str]:
    """Parse [ROLE | USER] <name>; raises 002003 if it does not exist."""
    if words.accept("DATABASE", "ROLE") or words.accept("APPLICATION") or words.accept("SHARE"):
        raise errors.unsupported("grants to database roles, applications and shares")
    kind = words.accept_any("ROLE", "USER") or "ROLE"
    name = words.part()
    if conn.account.find(kind, name) is None:
        raise errors.not_found(kind, name)
    return kind, name


def _owns_scope(conn: WarehouseConnection, name: str) -> bool:
    database = name.split(".")[0]
    if conn.may("OWNERSHIP", "DATABASE", database):
        return True
    return "." in name and conn.may("OWNERSHIP", "SCHEMA", name)


def _may_grant(conn: WarehouseConnection, privilege: str, kind: str, name: str) -> None:
    """Require ownership (of the schema, if its access is managed), MANAGE GRANTS, or the privilege WITH GRANT OPTION
    (https://docs.snowflake.com/en/user-guide/security-access-control-configure#creating-managed-access-schemas)."""
    schema = conn.account.find("SCHEMA", ".".join(name.split(".", 2)[:2])) if name.count(".") > 1 else None
    managed = schema is not None and bool(schema.properties.get("managed"))
    if conn.may("MANAGE GRANTS", "ACCOUNT", "") or (
        kind != "ACCOUNT"
        and (schema.owner if managed and schema else conn.account.owner(kind, name)) in conn.active_roles()
    ):
        return
    roles = conn.active_roles()
    for g in conn.account.grants():
        if g.grant_option and g.to_name in roles and (g.privilege, g.on_kind, g.on_name) == (privilege, kind, name):
            return
    raise errors.insufficient(kind, name or "ACCOUNT")


def _change_viewer(conn: WarehouseConnection, words: Words, give: bool) -> Result:
    """GRANT DATABASE ROLE SNOWFLAKE.<role> TO ROLE r: only the database roles that read ACCOUNT_USAGE exist
    (https://docs.snowflake.com/en/sql-reference/sql/grant-database-role, …/snowflake-db-roles)."""
    name = ".".join(words.name())
    if name not in VIEWERS:
        raise errors.unsupported(f"database role {name}")
    words.expect("TO" if give else "FROM")
    to_kind, to_name = grantee(conn, words)
    words.finish()
    if not conn.may("USAGE", "DATABASE ROLE", name) or not conn.may("MANAGE GRANTS", "ACCOUNT", ""):
        raise errors.not_found("DATABASE ROLE", name)
    made = [Grant("USAGE", "DATABASE ROLE", name, to_kind, to_name, granted_by=conn.role)]
    conn.account.grant(made) if give else conn.account.revoke(made)
    return status()


def _change_role(conn: WarehouseConnection, words: Words, give: bool) -> Result:
    words.expect("ROLE")
    role = words.part()
    words.expect("TO" if give else "FROM")
    to_kind = words.accept_any("ROLE", "USER")
    if not to_kind:
        raise words.unexpected()
    to_name = words.part()
    words.finish()
    for kind, name in (("ROLE", role), (to_kind, to_name)):
        if conn.account.find(kind, name) is None:
            raise errors.not_found(kind, name)
    if not conn.may("MANAGE GRANTS", "ACCOUNT", ""):
        conn.require("OWNERSHIP", "ROLE", role)
    if give and to_kind == "ROLE" and to_name in conn.account.roles_of(role):
        raise errors.role_loop(role, to_name)
    made = [Grant("USAGE", "ROLE", role, to_kind, to_name, granted_by=conn.role)]
    conn.account.grant(made) if give else conn.account.revoke(made)
    return status()
