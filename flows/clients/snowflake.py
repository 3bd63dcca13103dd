"""Snowflake: SQL text and bound values → rows and a query id; transactions; errors told apart.

Functions take a plain `snowflake.connector` connection, one per task: connections are never shared across threads.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.errors import ConfigurationError, CxmError, DataError, InfrastructureError

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

log = logging.getLogger("flows.sql")

# Snowflake error numbers, https://docs.snowflake.com/en/developer-guide/sql-api/reference and the connector's errorcode module.
_CONFIGURATION = {
    390100: "check the user and its key (`ALTER USER … SET RSA_PUBLIC_KEY`)",
    390144: "the JWT was refused: the key pair does not match the user's RSA_PUBLIC_KEY",
    390186: "grant the login role to the user",
    390189: "grant the login role to the user",
    390201: "grant the login role to the user",
    3001: "grant the privilege to the role: `cxm provision --apply`",
    2003: "create the object or grant its use: `cxm provision --apply`",
    2043: "create the object or grant its use: `cxm provision --apply`",
    606: "set CXM_WAREHOUSE to a warehouse that the role may use",
}
# 390111: the session is gone, the server closed it; a step that is tried again logs in anew.
_TRANSIENT = {250001, 250002, 250003, 250005, 390111, 390112, 390114, 390195, 604, 253012}


@dataclass(frozen=True, slots=True)
class Rows:
    """What a statement gave: its query id, column names (as the server spells them) and rows as tuples."""

    query_id: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dicts with lower-case keys."""
        names = [name.lower() for name in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def session_parameters(tag: Mapping[str, str]) -> dict[str, Any]:
    """Session parameters of every connection: UTC, the JSON query tag, no out-of-band telemetry.

    The tag shows in QUERY_HISTORY (https://docs.snowflake.com/en/sql-reference/parameters#query-tag, at most 2,000 characters).
    """
    return {
        "TIMEZONE": "UTC",
        "QUERY_TAG": json.dumps({"app": "medtech-cxm", **tag}, separators=(",", ":"), sort_keys=True)[:2000],
        "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False,
        "CLIENT_TELEMETRY_ENABLED": False,
    }


def run(connection: SnowflakeConnection, sql: str, values: Sequence[Any] = ()) -> Rows:
    """Run one statement, with `:1`, `:2` … bound by the server to `values`, and read its whole result.

    Raises:
        ConfigurationError, DataError, InfrastructureError: as `explain` tells them apart.
    """
    log.debug("%s", sql)
    with connection.cursor() as cursor:
        try:
            cursor.execute(sql, tuple(values) or None)
            names = tuple(column.name for column in cursor.description or ())
            rows = tuple(tuple(row) for row in cursor.fetchall())
        except Exception as error:
            raise explain(error, sql) from error
        return Rows(str(cursor.sfqid or ""), names, rows)


@contextmanager
def transaction(connection: SnowflakeConnection) -> Iterator[None]:
    """BEGIN … COMMIT around the block; ROLLBACK when it raises, so that all of it happens or none."""
    run(connection, "BEGIN")
    try:
        yield
    except BaseException:
        try:
            run(connection, "ROLLBACK")
        except CxmError:  # the session is gone, and its open transaction with it; the first error is the one to tell
            log.warning("ROLLBACK failed; the server ends the transaction with the session")
        raise
    run(connection, "COMMIT")


def explain(error: Exception, sql: str) -> Exception:
    """The error of ours that the connector's `error` means; anything that is not the connector's comes back as it is."""
    from snowflake.connector import errors
    from snowflake.connector.vendored.requests.exceptions import RequestException

    if isinstance(error, RequestException):  # an answer that breaks off in its middle: the connector lets it through
        head = " ".join(sql.split())[:120]
        return InfrastructureError(f"the warehouse's answer to `{head}` broke off: {error}; run again")
    if not isinstance(error, errors.Error):
        return error
    number = int(error.errno or -1)
    head = " ".join(sql.split())[:120]
    text = f"Snowflake error {number} ({error.sqlstate or 'no SQL state'}) in `{head}`: {error.raw_msg or error.msg}"
    if getattr(error, "sfqid", None):
        text += f" (query {error.sfqid})"
    if number in _CONFIGURATION:
        return ConfigurationError(f"{text}; {_CONFIGURATION[number]}")
    if number in _TRANSIENT or isinstance(error, errors.OperationalError | errors.InterfaceError):
        return InfrastructureError(f"{text}; the server was not reached or ended the session: run again")
    # Value and file errors of COPY and casts; 91016: a file that COPY names is not on the stage.
    if 100000 <= number < 101000 or number == 91016:
        return DataError(text)
    if isinstance(error, errors.ProgrammingError):  # the statement itself: another try gives the same answer
        return ConfigurationError(text)
    return InfrastructureError(text)
