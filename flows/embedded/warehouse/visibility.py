"""What a role may know of: SHOW's rows, a user's properties, INFORMATION_SCHEMA's rows.

SHOW … ──may_show──▶ each object; SHOW GRANTS ──may_show_grant──▶ each grant; SELECT … INFORMATION_SCHEMA ──filtered──▶ SELECT

https://docs.snowflake.com/en/sql-reference/sql/show#general-usage-notes: any privilege on the object, one on its schema and one
on its database; whoever has MANAGE GRANTS sees every object. So does whoever has RESOLVE ALL, in SHOW:
https://docs.snowflake.com/en/user-guide/security-access-control-privileges#global-privileges-account-privileges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import Expr, exp, parse_one

from flows.embedded.warehouse.account import ACCOUNTADMIN, GLOBAL_KINDS, Grant
from flows.embedded.warehouse.grammar import quote
from flows.embedded.warehouse.privileges import parts_of, sources

if TYPE_CHECKING:
    from flows.embedded.warehouse.connection import WarehouseConnection


def may_show(conn: WarehouseConnection, kind: str, name: str) -> bool:
    """Whether SHOW tells the current role of an object. Names of users and roles are everyone's
    (https://docs.snowflake.com/en/sql-reference/sql/show-users#access-control-requirements, …/sql/show-roles)."""
    if kind in ("ROLE", "USER") or any(conn.may(p, "ACCOUNT", "") for p in ("RESOLVE ALL", "MANAGE GRANTS")):
        return True
    places = [] if kind in GLOBAL_KINDS else name.split(".")[:-1]
    around = [(("DATABASE", "SCHEMA")[i], ".".join(places[: i + 1])) for i in range(len(places))]
    return all(conn.may_see(*one) for one in [*around, (kind, name)])


def may_show_grant(conn: WarehouseConnection, grant: Grant) -> bool:
    """Whether SHOW GRANTS lists a grant: where the role is told of its object, of its database or schema for a future one
    (https://docs.snowflake.com/en/sql-reference/sql/show-grants#usage-notes)."""
    kind = grant.on_kind
    if grant.future:
        kind = "SCHEMA" if "." in grant.on_name else "DATABASE"
    return kind == "ACCOUNT" or may_show(conn, kind, grant.on_name)


def may_see_user(conn: WarehouseConnection, name: str) -> bool:
    """Whether the current role sees a user's properties: it has OWNERSHIP, or on the account MANAGE GRANTS or MONITOR USER
    (https://docs.snowflake.com/en/sql-reference/sql/show-users#access-control-requirements,
    https://docs.snowflake.com/en/user-guide/security-access-control-privileges#global-privileges-account-privileges)."""
    wide = any(conn.may(privilege, "ACCOUNT", "") for privilege in ("MANAGE GRANTS", "MONITOR USER"))
    return wide or conn.may("OWNERSHIP", "USER", name)


def filtered(conn: WarehouseConnection, expression: Expr) -> Expr:
    """A query in which INFORMATION_SCHEMA's TABLES, VIEWS and COLUMNS hold what the role has privileges on
    (https://docs.snowflake.com/en/sql-reference/info-schema#general-usage-notes)."""
    if not isinstance(expression, exp.Query) or ACCOUNTADMIN in conn.active_roles():
        return expression
    for table in list(sources(expression)):
        parts = parts_of(table)
        if parts[-2:-1] != ("INFORMATION_SCHEMA",) or parts[-1] not in ("TABLES", "VIEWS", "COLUMNS"):
            continue
        database = conn.qualify(parts)[0]
        seen = [
            item.name.removeprefix(f"{database}.")
            for kind in ("TABLE", "VIEW")
            for item in conn.account.all(kind)
            if item.name.startswith(f"{database}.") and conn.may_see(kind, item.name)
        ]
        within = f"TABLE_SCHEMA || '.' || TABLE_NAME IN ({', '.join(map(quote, seen))})" if seen else "FALSE"
        alias = table.args.get("alias") or exp.TableAlias(this=table.this.copy())
        table.set("alias", None)
        query = parse_one(f"SELECT * FROM {table.sql(dialect='snowflake')} WHERE {within}", read="snowflake")
        table.replace(exp.Subquery(this=query, alias=alias))
    return expression
