"""SNOWFLAKE.ACCOUNT_USAGE.QUERY_ATTRIBUTION_HISTORY: the statements that this server remembers, without credits.

As documented (https://docs.snowflake.com/en/sql-reference/account-usage/query_attribution_history) it has the statements that ran
on a warehouse, except those of about 100 milliseconds or less, for a role that was granted USAGE_VIEWER or GOVERNANCE_VIEWER
(https://docs.snowflake.com/en/sql-reference/snowflake-db-roles). Here nothing is billed: credits are NULL, and there is no delay.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import Expr, exp

from flows.embedded.warehouse.session.privileges import folded
from flows.embedded.warehouse.text import errors

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

VIEW = ("SNOWFLAKE", "ACCOUNT_USAGE", "QUERY_ATTRIBUTION_HISTORY")
CALL = "$QUERY_ATTRIBUTION_HISTORY"  # stands in for the view until its rows do; a statement cannot call this name
VIEWERS = ("SNOWFLAKE.USAGE_VIEWER", "SNOWFLAKE.GOVERNANCE_VIEWER")
SHORTEST = timedelta(milliseconds=100)
_INSTANT = pa.timestamp("us", tz="UTC")
_COLUMNS = pa.schema(
    [(n, pa.string()) for n in ("QUERY_ID", "PARENT_QUERY_ID", "ROOT_QUERY_ID")]
    + [("WAREHOUSE_ID", pa.int64())]
    + [(n, pa.string()) for n in ("WAREHOUSE_NAME", "QUERY_HASH", "QUERY_PARAMETERIZED_HASH", "QUERY_TAG", "USER_NAME")]
    + [("START_TIME", _INSTANT), ("END_TIME", _INSTANT)]
    + [(n, pa.float64()) for n in ("CREDITS_ATTRIBUTED_COMPUTE", "CREDITS_USED_QUERY_ACCELERATION")]
)


def rewrite(conn: WarehouseConnection, tree: Expr) -> Expr:
    """Replace the view with a call that `functions` answers, for a role that may read it; `tree` is changed and returned.

    Raises:
        ProgrammingError: 002003, the role may not read the view.
    """
    for table in list(tree.find_all(exp.Table)):
        if tuple(folded(part) for part in table.parts) != VIEW:
            continue
        if not any(conn.may("USAGE", "DATABASE ROLE", viewer) for viewer in VIEWERS):
            raise errors.no_object(".".join(VIEW))
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(VIEW[-1]))
        table.replace(exp.TableFromRows(this=exp.Anonymous(this=CALL), alias=alias))
    return tree


def rows(conn: WarehouseConnection) -> pa.Table:
    """Return the view's rows, from the server's history."""
    history = [
        {
            "QUERY_ID": r.query_id,
            "WAREHOUSE_NAME": r.warehouse_name,
            "QUERY_TAG": r.query_tag,
            "USER_NAME": r.user_name,
            "START_TIME": r.start_time,
            "END_TIME": r.end_time,
        }
        for r in conn.registry.history.all()
        if r.warehouse_name and r.end_time - r.start_time > SHORTEST
    ]
    return pa.Table.from_pylist(history, schema=_COLUMNS)
