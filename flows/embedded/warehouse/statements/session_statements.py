"""Parameters and variables of a session: ALTER SESSION, SHOW PARAMETERS, SET (which `execute.variables` runs), UNSET.

ALTER SESSION SET … ──▶ the session

https://docs.snowflake.com/en/sql-reference/parameters
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

from flows.embedded.warehouse.account.parameters import SESSION_DEFAULTS, shown
from flows.embedded.warehouse.session.result import Result, status, table
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words, like, quote

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def alter_session(conn: WarehouseConnection, words: Words) -> Result:
    """ALTER SESSION SET <parameter> = <value> … | UNSET <parameter>, … (https://docs.snowflake.com/en/sql-reference/sql/alter-session)."""
    words.expect("ALTER", "SESSION")
    if words.accept("UNSET"):
        while not words.at_end:
            conn.unset_parameter(words.part())
            words.accept(",")
    else:
        words.expect("SET")
        for name, value in words.options().items():
            conn.set_parameter(name, "" if value is None else value)
    words.finish()
    return status()


_LONGEST_VARIABLE = 256  # bytes of a text


def assigned_variables(words: Words) -> tuple[list[str], str]:
    """Parse SET name = expression | (name, …) = (expression, …) | (name, …) = (SELECT …) into the names and the query of their
    values, which is run once (https://docs.snowflake.com/en/sql-reference/sql/set)."""
    words.expect("SET")
    names = []
    several = words.accept("(")
    while True:
        names.append(words.part())
        if not (several and words.accept(",")):
            break
    if several:
        words.expect(")")
    words.expect("=")
    if words.peek() is None:
        raise words.unexpected()
    start = words.peek()
    text = words.sql[start.start if start else 0 :].strip().rstrip(";").strip()
    if several:
        if not (text.startswith("(") and text.endswith(")")):
            raise words.unexpected()
        words.expect("(")
        text = text[1:-1]
        if words.upper() in ("SELECT", "WITH"):
            return names, text
    return names, f"SELECT {text}"


def variable_literal(name: str, value: object, type_: str) -> str:
    """Return a variable's value as the SQL constant that replaces it; a text may have at most 256 bytes
    (https://docs.snowflake.com/en/sql-reference/session-variables#initializing-variables)."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, (int, Decimal)):
        return f"({value:f})" if value < 0 else f"{value:f}" if isinstance(value, Decimal) else str(value)
    if isinstance(value, float):
        return f"{value!r}::FLOAT" if value >= 0 else f"({value!r})::FLOAT"
    if isinstance(value, str) and type_.upper().startswith("VARCHAR"):
        if len(value.encode()) > _LONGEST_VARIABLE:
            raise errors.compilation(
                f"Assignment to '{name}' not done because value exceeds size limit for variables. "
                f"Its size is {len(value.encode())}; the limit is {_LONGEST_VARIABLE} (internal storage size in bytes).",
                1412,
                "22000",
            )
        return quote(value.replace("\\", "\\\\"))
    if isinstance(value, datetime):
        return f"'{value.isoformat(sep=' ')}'::{'TIMESTAMP_LTZ' if value.tzinfo else 'TIMESTAMP_NTZ'}"
    if isinstance(value, date):
        return f"'{value.isoformat()}'::DATE"
    if isinstance(value, time):
        return f"'{value.isoformat()}'::TIME"
    raise errors.unsupported(f"SET {name} to a value of type {type_}")


def unset_variables(conn: WarehouseConnection, words: Words) -> Result:
    """UNSET name | (name, …) (https://docs.snowflake.com/en/sql-reference/sql/unset)."""
    words.expect("UNSET")
    bracket = words.accept("(")
    while True:
        name = words.part()
        for known in [k for k in conn.variables if k.upper() == name]:
            del conn.variables[known]
        if not words.accept(","):
            break
    if bracket:
        words.expect(")")
    words.finish()
    return status()


def show_parameters(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW PARAMETERS [LIKE '…'] [IN {SESSION | ACCOUNT | USER [name] | WAREHOUSE name}] (https://docs.snowflake.com/en/sql-reference/sql/show-parameters)."""
    words.expect("SHOW", "PARAMETERS")
    pattern = words.string() if words.accept("LIKE") else "%"
    scope = "SESSION"
    if words.accept_any("IN", "FOR"):
        scope = words.accept_any("SESSION", "ACCOUNT", "USER", "WAREHOUSE", "DATABASE", "SCHEMA", "TABLE")
        if scope == "WAREHOUSE":
            return _warehouse_parameters(conn, words, pattern)
        if scope not in ("SESSION", "ACCOUNT", "USER"):
            raise errors.unsupported(f"SHOW PARAMETERS IN {scope or words.upper()}")
        if scope == "USER" and not words.at_end:
            words.part()
    words.finish()
    user = conn.account.find("USER", conn.user)
    rows = []
    for name, parameter in SESSION_DEFAULTS.items():
        if not like(pattern, name):
            continue
        value, level = parameter.default, ""
        if name == "TIMEZONE":
            level = "ACCOUNT"  # set for the embedded account; Snowflake's own default is below
        if user and scope != "ACCOUNT" and name in user.properties:
            value, level = user.properties[name], "USER"
        if scope == "SESSION" and name in conn.parameters:
            value, level = conn.parameters[name], "SESSION"
        default = "America/Los_Angeles" if name == "TIMEZONE" else shown(parameter.default)
        rows.append({"key": name, "value": shown(value), "default": default, "level": level,
                     "description": parameter.description, "type": parameter.type})  # fmt: skip
    return table(rows, ["key", "value", "default", "level", "description", "type"])


# https://docs.snowflake.com/en/sql-reference/parameters#object-parameters: name → default.
_WAREHOUSE_PARAMETERS = {
    "MAX_CONCURRENCY_LEVEL": 8,
    "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": 0,
    "STATEMENT_TIMEOUT_IN_SECONDS": 172800,
}


def _warehouse_parameters(conn: WarehouseConnection, words: Words, pattern: str) -> Result:
    name = words.part()
    words.finish()
    item = conn.account.find("WAREHOUSE", name)
    if item is None or not conn.may_see("WAREHOUSE", name):
        raise errors.not_found("WAREHOUSE", name)
    rows = [
        {"key": key, "value": shown(item.properties.get(key, default)), "default": shown(default),
         "level": "WAREHOUSE" if key in item.properties else "", "description": "", "type": "NUMBER"}
        for key, default in _WAREHOUSE_PARAMETERS.items()
        if like(pattern, key)
    ]  # fmt: skip
    return table(rows, ["key", "value", "default", "level", "description", "type"])
