"""Runs SQL on Snowflake: statements with bound values, transactions, and Snowflake's errors translated into ours.

Functions take a plain `snowflake.connector` connection, one per task: connections are never shared across threads.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.clients.unquoted import without_values
from flows.errors import ConfigurationError, CxmError, DataError, InfrastructureError

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

log = logging.getLogger("flows.sql")

_MAY_READ = "let the storage integration's AWS role read the stage's objects: `cxm doctor`"
# Snowflake error numbers, https://docs.snowflake.com/en/developer-guide/sql-api/reference and the connector's errorcode module.
_CONFIGURATION = {
    3001: "grant the privilege to the role: `cxm provision --apply`",
    2003: "create the object or grant its use: `cxm provision --apply`",
    2043: "create the object or grant its use: `cxm provision --apply`",
    606: "set CXM_WAREHOUSE to a warehouse that the role may use",
    100089: _MAY_READ,  # Failed to access remote file: access denied
}
_KEY = (
    "no such user, or the key is not its own: check CXM_SNOWFLAKE_USER; `cxm keys create`, then `cxm provision --apply`, sets "
    "another key"
)
_USER = "set CXM_SNOWFLAKE_USER to a user that exists and log in with its key"
_ROLE = (
    "grant the role to the user: `cxm provision --apply`, or on the embedded stack the first `cxm run`, makes it too"
)
_ACCOUNT = (
    "set CXM_SNOWFLAKE_ACCOUNT to <organization>-<account>, which `SELECT CURRENT_ORGANIZATION_NAME() || '-' || "
    "CURRENT_ACCOUNT_NAME()` tells"
)
# Refused logins. Some versions of the connector pass on the server's number, others report 250001, as if the server were down, so
# the text is matched as well (snowflake/connector/auth/_auth.py; 394300 to 394306 are its CREDENTIAL_REJECTION_GS_CODES).
_REFUSED = {
    390100: _USER,
    390101: "an administrator enables the user: ALTER USER … SET DISABLED = FALSE",
    390102: "the user is locked after failed logins; wait 15 minutes, or ALTER USER … SET MINS_TO_UNLOCK = 0",
    390144: _KEY,
    390186: _ROLE,
    390189: _ROLE,
    390201: _ROLE,
    390422: "the network policy does not let this address in: an administrator allows it",
    **dict.fromkeys(range(394300, 394307), _KEY),
    290403: _ACCOUNT,
    290404: _ACCOUNT,
}
_REFUSED_TEXT = (
    (re.compile(r"JWT token|public key", re.I), _KEY),
    (re.compile(r"incorrect username or password|user (?:is empty|does not exist)", re.I), _USER),
    (re.compile(r"\brole\b.*(?:not granted|not authorized|not assigned|does not exist)", re.I | re.S), _ROLE),
    (re.compile(r"user access disabled", re.I), _REFUSED[390101]),
    (re.compile(r"temporarily locked", re.I), _REFUSED[390102]),
    (re.compile(r"not allowed to access|network policy", re.I), _REFUSED[390422]),
    (re.compile(r"verify the account name|40[34] (?:Forbidden|Not Found)", re.I), _ACCOUNT),
)
_LOGIN = (250001, 250003)  # numbers that a refused login may be reported with; 403 is reported as 540001
# LOCK_TIMEOUT: longer than the five minutes after which the server aborts an idle transaction that others wait for, and much
# shorter than the default of half a day.
LOCK_SECONDS = 360
# Errors that a retry may cure. 390111: the session has expired; 604: cancelled; 615: the transaction was aborted
# (snowflake-connector-net#560); 625: lock timeout, deadlock, or more than 20 statements waiting for the lock; 630: statement
# timeout (https://docs.snowflake.com/en/sql-reference/transactions#resource-locking).
_UNREACHED = "the server was not reached or ended the session: run again"
_TRANSIENT = {
    **dict.fromkeys((250001, 250002, 250003, 250005, 253012, 390111, 390112, 390114, 390195, 604), _UNREACHED),
    603: "the server failed at it: look at its log, give its disk room if that is full, and run again",
    615: "its transaction was given up by the server: run again",
    625: "another transaction holds the lock: run again. If it stays: SHOW LOCKS, SELECT SYSTEM$ABORT_TRANSACTION(<its id>)",
    630: "its time was up: run again; if it happens again, raise the warehouse's size or STATEMENT_TIMEOUT_IN_SECONDS",
}
# "Failure using stage area. Cause: [Access Denied (Status Code: 403; Error Code: AccessDenied)]": S3's answer decides
# (https://docs.snowflake.com/en/user-guide/data-load-snowpipe-ts).
_STAGE = 91003
_STAGE_REFUSED = re.compile(
    r"\b40[0134]\b|AccessDenied|Access Denied|NoSuchBucket|Invalid|SignatureDoesNotMatch|not allowed"
)
# Errors of COPY about a file's records, and of casts: each number with the place where its message is published. No other number
# is taken for the data's fault: the run fails and nothing is quarantined.
_DATA = frozenset(
    (
        # Pages of https://docs.snowflake.com/en/sql-reference
        100016,  # Field delimiter ',' found while expecting record delimiter: functions/validate
        100068,  # End of record reached while expected to parse column: functions/validate
        100088,  # NULL result in a non-nullable column, of an empty field: functions/validate
        100082,  # Max LOB size exceeded: release notes of larger data types
        100037,  # Boolean value … is not recognized: functions/booland_agg
        100038,  # Numeric value … is not recognized: functions/bitand_agg
        100039,  # Numeric value … is out of range: functions/to_decimal
        100069,  # Error parsing JSON: functions/parse_json
        100078,  # String … is too long and would be truncated: functions/cast
        # Threads and tests of its clients
        100074,  # User character length limit exceeded by string: snowflake-connector-python#41
        100072,  # NULL result in a non-nullable column, of an INSERT: snowflake-sqlalchemy, test_suite.py
        100096,  # Can't parse … as timestamp with format …: ibis, test_temporal.py
        100112,  # Remote file … was not found: brooklyn-data/dbt_artifacts#111
        91016,  # Remote file … was not found, a file that FILES names: fakesnow's tests of COPY
        # Logs of dbt and Airflow runs in public repositories
        100035,  # Timestamp … is not recognized
        100040,  # Date … is not recognized
        100046,  # Number out of representable range
        100071,  # Failed to cast variant value
        100080,  # Number of columns in file does not match that of the corresponding table
    )
)


@dataclass(frozen=True, slots=True)
class Rows:
    """The result of a statement: its query id, column names (as the server spells them) and rows as tuples."""

    query_id: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def dicts(self) -> list[dict[str, Any]]:
        """Return the rows as dicts with lower-case keys."""
        names = [name.lower() for name in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def session_parameters(tag: Mapping[str, str]) -> dict[str, Any]:
    """Return the session parameters of every connection: AUTOCOMMIT, lock timeout, UTC, the JSON query tag, no telemetry.

    AUTOCOMMIT is set because an account or a user may have turned it off: a statement outside BEGIN … COMMIT would then be rolled
    back at the end of the session (https://docs.snowflake.com/en/sql-reference/parameters#autocommit).

    The tag shows in QUERY_HISTORY (https://docs.snowflake.com/en/sql-reference/parameters#query-tag, at most 2,000 characters).
    """
    return {
        "AUTOCOMMIT": True,
        "LOCK_TIMEOUT": LOCK_SECONDS,
        "TIMEZONE": "UTC",
        "QUERY_TAG": json.dumps({"app": "medtech-cxm", **tag}, separators=(",", ":"), sort_keys=True)[:2000],
        "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False,
        "CLIENT_TELEMETRY_ENABLED": False,
    }


def run(connection: SnowflakeConnection, sql: str, values: Sequence[Any] = (), shows_values: bool = False) -> Rows:
    """Run one statement, with `:1`, `:2` … bound by the server to `values`, and read its whole result.

    `shows_values`: errors may quote values of the data, because no column that the statement reads is personal, or because the
    caller may see them anyway.

    Raises:
        ConfigurationError, DataError, InfrastructureError: as `translate_error` classifies them.
    """
    log.debug("%s", sql)
    with connection.cursor() as cursor:
        try:
            cursor.execute(sql, tuple(values) or None)
            names = tuple(column.name for column in cursor.description or ())
            rows = tuple(tuple(row) for row in cursor.fetchall())
        except Exception as error:
            # Without its cause, because a traceback in the log would print Snowflake's message with its values.
            raise translate_error(error, sql, shows_values) from (error if shows_values else None)
        return Rows(str(cursor.sfqid or ""), names, rows)


@contextmanager
def transaction(connection: SnowflakeConnection) -> Iterator[None]:
    """Run the block in a transaction: COMMIT at its end, ROLLBACK if it raises."""
    run(connection, "BEGIN")
    try:
        yield
    except BaseException:
        try:
            run(connection, "ROLLBACK")
        except CxmError:  # the session has ended, and its transaction with it; the first error is the one to report
            log.warning("ROLLBACK failed; the server ends the transaction with the session")
        raise
    run(connection, "COMMIT")


def _build_fix(text: str, sql: str) -> str:
    """Return the fix if the missing object is one that dbt builds; else empty."""
    missing = re.search(r"'([\w$.\"]*)' does not exist", text)
    if not missing:
        return ""
    # Snowflake repeats the name as it is in the statement, or only its last part.
    name = re.escape(missing[1].replace('"', "").rpartition(".")[2])
    schema = rf"\b(STG|INT|MARTS|SNAPSHOTS|SEEDS)\.{name}\b"
    return "build it: `cxm dbt build`" if re.search(schema, f"{missing[1]} {sql}".replace('"', ""), re.I) else ""


def translate_error(error: Exception, sql: str, shows_values: bool = False) -> Exception:
    """Translate the connector's `error` into one of ours; other exceptions are returned unchanged. Values of the data that it
    quotes are left out, unless `shows_values`."""
    from snowflake.connector import errors

    head = _statement(sql)
    if isinstance(error, OSError):  # a truncated response: the connector passes on the error of `requests`
        return InfrastructureError(f"the warehouse's answer to `{head}` broke off: {error}; run again")
    if not isinstance(error, errors.Error):
        return error
    number = int(error.errno or -1)
    said = str(error.raw_msg or error.msg)
    said = said if shows_values else without_values(number, said)
    text = f"Snowflake error {number} ({error.sqlstate or 'no SQL state'}) in `{head}`: {said}"
    if getattr(error, "sfqid", None):
        text += f" (query {error.sfqid})"
    if fix := _REFUSED.get(number) or _CONFIGURATION.get(number):
        fix = _build_fix(text, sql) or fix
        return ConfigurationError(f"{text}; {fix}")
    if number in _LOGIN or "Failed to connect to DB" in said:
        for pattern, fix in _REFUSED_TEXT:
            if pattern.search(said):
                return ConfigurationError(f"{text}; {fix}")
    if number == _STAGE and _STAGE_REFUSED.search(said):
        return ConfigurationError(f"{text}; {_MAY_READ}")
    if number == _STAGE:
        return InfrastructureError(f"{text}; S3 did not answer the warehouse: run again")
    if number in _TRANSIENT:
        return InfrastructureError(f"{text}; {_TRANSIENT[number]}")
    if isinstance(error, errors.OperationalError | errors.InterfaceError):
        return InfrastructureError(f"{text}; {_UNREACHED}")
    if number in _DATA:
        return DataError(text)
    if isinstance(error, errors.ProgrammingError):  # the statement itself is wrong: a retry gives the same error
        return ConfigurationError(text)
    return InfrastructureError(text)


def _statement(sql: str) -> str:
    """Return the beginning of the statement for a message: on one line, without leading comments."""
    bare = re.sub(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", "", sql, flags=re.S)
    return " ".join((bare or sql).split())[:120]
