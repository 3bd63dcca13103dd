"""SYSTEM$CANCEL_QUERY and SYSTEM$CANCEL_ALL_QUERIES: stop the named statements.

https://docs.snowflake.com/en/user-guide/querying-cancel-statements
"""

from __future__ import annotations

import re

from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.session.result import Result
from flows.embedded.warehouse.session.running import Owner, Statement
from flows.embedded.warehouse.text import errors

_CANCEL = re.compile(
    r"\s*(?:SELECT|CALL)\s+(SYSTEM\$CANCEL_(QUERY|ALL_QUERIES)\s*\(\s*('?)([\w-]*)\3\s*\))(?:\s+(?:AS\s+)?(\w+))?\s*;?\s*",
    re.IGNORECASE,
)


def cancels(command: str) -> bool:
    """Whether a statement begins as SYSTEM$CANCEL_… does; its argument may still be a bind."""
    return re.match(r"\s*(?:SELECT|CALL)\s+SYSTEM\$CANCEL_", command, re.IGNORECASE) is not None


def cancellation(command: str) -> re.Match[str] | None:
    """Match SELECT | CALL SYSTEM$CANCEL_…, which does not wait for the statement that its own session runs."""
    return _CANCEL.fullmatch(command)


def cancel(conn: WarehouseConnection, call: re.Match[str], own: Statement | None) -> Result:
    """SYSTEM$CANCEL_QUERY('<query id>'), SYSTEM$CANCEL_ALL_QUERIES(<session id>): end the named statements with 000604.

    For the user's own statements, or with OWNERSHIP of the other user, OPERATE or OWNERSHIP on the warehouse, or ACCOUNTADMIN
    (https://docs.snowflake.com/en/sql-reference/functions/system_cancel_query#usage-notes,
    https://docs.snowflake.com/en/sql-reference/functions/system_cancel_all_queries).
    """
    running, requested = conn.registry.running, call[4]
    if call[2].upper() == "QUERY":
        one = running.get(requested)
        statements = [one] if one is not None else []
        answer = (
            f"query [{requested}] terminated." if statements else "Identified SQL statement is not currently executing."
        )
    else:
        if not requested.isdigit():
            raise errors.invalid_value(requested, "session id")
        statements = [s for s in running.of_session(int(requested)) if s is not own]
        answer = f"cancelled {len(statements)} queries."
    for statement in statements:
        _require(conn, statement.conn)
        statement.stop(errors.canceled())
    return Result([(call[5] or call[1].upper(), "VARCHAR")], [[answer]])


def _require(conn: WarehouseConnection, other: Owner) -> None:
    if other.user == conn.user or conn.may("OWNERSHIP", "USER", other.user):
        return
    if other.warehouse and any(conn.may(p, "WAREHOUSE", other.warehouse) for p in ("OPERATE", "OWNERSHIP")):
        return
    raise errors.insufficient("USER", other.user)
