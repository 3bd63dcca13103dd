"""Session parameters: names, types, Snowflake's defaults.

ALTER SESSION SET QUERY_TAG = '…' ──check_parameter──▶ the session's own values; SHOW PARAMETERS ◀── all of them

https://docs.snowflake.com/en/sql-reference/parameters. A parameter that is not listed here is refused, not ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

from flows.embedded.warehouse.text import errors


@dataclass(frozen=True)
class Parameter:
    """One parameter: its type as SHOW PARAMETERS writes it, default and description."""

    type: str
    default: object
    description: str = ""


SESSION_DEFAULTS: dict[str, Parameter] = {
    "ABORT_DETACHED_QUERY": Parameter("BOOLEAN", False, "abort queries of a session that lost its connection"),
    "AUTOCOMMIT": Parameter("BOOLEAN", True, "each statement outside a transaction commits by itself"),
    "BINARY_INPUT_FORMAT": Parameter("STRING", "HEX", "format of VARCHAR to BINARY"),
    "BINARY_OUTPUT_FORMAT": Parameter("STRING", "HEX", "format of BINARY to VARCHAR"),
    "CLIENT_MEMORY_LIMIT": Parameter("NUMBER", 1536, "client's memory for results, in MB"),
    "CLIENT_METADATA_REQUEST_USE_CONNECTION_CTX": Parameter("BOOLEAN", False, "narrow driver metadata calls"),
    "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": Parameter("BOOLEAN", False, "client telemetry"),
    "CLIENT_PREFETCH_THREADS": Parameter("NUMBER", 4, "client's download threads"),
    "CLIENT_RESULT_CHUNK_SIZE": Parameter("NUMBER", 160, "client's chunk size, in MB"),
    "CLIENT_RESULT_PREFETCH_SLOTS": Parameter("NUMBER", 2, "client's prefetch slots"),
    "CLIENT_SESSION_KEEP_ALIVE": Parameter("BOOLEAN", False, "client keeps the session alive"),
    "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY": Parameter("NUMBER", 3600, "seconds between heartbeats"),
    "CLIENT_TELEMETRY_ENABLED": Parameter("BOOLEAN", False, "client telemetry; never collected here"),
    "CLIENT_TIMESTAMP_TYPE_MAPPING": Parameter("STRING", "TIMESTAMP_LTZ", "type of bound timestamps"),
    "DATE_INPUT_FORMAT": Parameter("STRING", "AUTO", "input format for DATE"),
    "DATE_OUTPUT_FORMAT": Parameter("STRING", "YYYY-MM-DD", "display format for DATE"),
    "DEFAULT_NULL_ORDERING": Parameter("STRING", "LAST", "where NULL stands in an ORDER BY"),
    "ERROR_ON_NONDETERMINISTIC_MERGE": Parameter("BOOLEAN", True, "MERGE fails when a row matches twice"),
    "ERROR_ON_NONDETERMINISTIC_UPDATE": Parameter("BOOLEAN", False, "UPDATE fails when a row matches twice"),
    "GEOGRAPHY_OUTPUT_FORMAT": Parameter("STRING", "GeoJSON", "display format for GEOGRAPHY"),
    "JSON_INDENT": Parameter("NUMBER", 2, "width of indentation in JSON output"),
    "LOCK_TIMEOUT": Parameter("NUMBER", 43200, "seconds to wait for a lock"),
    "MULTI_STATEMENT_COUNT": Parameter("NUMBER", 1, "number of statements in one request"),
    "PYTHON_CONNECTOR_QUERY_RESULT_FORMAT": Parameter("STRING", "ARROW", "result format for the Python connector"),
    "QUERY_TAG": Parameter("STRING", "", "string that is attached to the session's queries"),
    "QUOTED_IDENTIFIERS_IGNORE_CASE": Parameter("BOOLEAN", False, "If true, the case of quoted identifiers is ignored"),
    "ROWS_PER_RESULTSET": Parameter("NUMBER", 0, "maximum number of rows in a result set; 0 is no limit"),
    "SEARCH_PATH": Parameter("STRING", "$current, $public", "search path for unqualified object references"),
    "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": Parameter("NUMBER", 0, "seconds a statement may queue; 0 is no limit"),
    "STATEMENT_TIMEOUT_IN_SECONDS": Parameter("NUMBER", 172800, "seconds a statement may run; 0 is the maximum"),
    "STRICT_JSON_OUTPUT": Parameter("BOOLEAN", False, "strict JSON output"),
    "TIMESTAMP_DAY_IS_ALWAYS_24H": Parameter("BOOLEAN", False, "a day is 24 h when daylight saving changes"),
    "TIMESTAMP_INPUT_FORMAT": Parameter("STRING", "AUTO", "input format for timestamps"),
    "TIMESTAMP_LTZ_OUTPUT_FORMAT": Parameter("STRING", "", "display format for TIMESTAMP_LTZ"),
    "TIMESTAMP_NTZ_OUTPUT_FORMAT": Parameter("STRING", "YYYY-MM-DD HH24:MI:SS.FF3", "display format for TIMESTAMP_NTZ"),
    "TIMESTAMP_OUTPUT_FORMAT": Parameter("STRING", "YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM", "display format for timestamps"),
    "TIMESTAMP_TYPE_MAPPING": Parameter("STRING", "TIMESTAMP_NTZ", "which type TIMESTAMP is"),
    "TIMESTAMP_TZ_OUTPUT_FORMAT": Parameter("STRING", "", "display format for TIMESTAMP_TZ"),
    "TIMEZONE": Parameter("STRING", "Etc/UTC", "time zone"),
    "TIME_INPUT_FORMAT": Parameter("STRING", "AUTO", "input format for TIME"),
    "TIME_OUTPUT_FORMAT": Parameter("STRING", "HH24:MI:SS", "display format for TIME"),
    "TRANSACTION_ABORT_ON_ERROR": Parameter("BOOLEAN", False, "a failed statement aborts its transaction"),
    "TRANSACTION_DEFAULT_ISOLATION_LEVEL": Parameter("STRING", "READ COMMITTED", "isolation level"),
    "TWO_DIGIT_CENTURY_START": Parameter("NUMBER", 1970, "first year of two-digit years"),
    "UNSUPPORTED_DDL_ACTION": Parameter("STRING", "ignore", "what unsupported constraint options do"),
    "USE_CACHED_RESULT": Parameter("BOOLEAN", True, "reuse of persisted results"),
    "WEEK_OF_YEAR_POLICY": Parameter("NUMBER", 0, "how weeks of the year are counted"),
    "WEEK_START": Parameter("NUMBER", 0, "first day of the week"),
}  # fmt: skip

# The embedded warehouse does only what the default of these says, so another value is refused.
FIXED = frozenset(
    {
        "ERROR_ON_NONDETERMINISTIC_MERGE",
        "BINARY_INPUT_FORMAT",
        "BINARY_OUTPUT_FORMAT",
        "DATE_INPUT_FORMAT",
        "TIMESTAMP_INPUT_FORMAT",
        "TIME_INPUT_FORMAT",
        "QUOTED_IDENTIFIERS_IGNORE_CASE",
        "DEFAULT_NULL_ORDERING",
        "TRANSACTION_DEFAULT_ISOLATION_LEVEL",
        "TIMESTAMP_TYPE_MAPPING",
        "TWO_DIGIT_CENTURY_START",
        "WEEK_OF_YEAR_POLICY",
        "WEEK_START",
        "JSON_INDENT",
        "ROWS_PER_RESULTSET",
        "SEARCH_PATH",
        "STRICT_JSON_OUTPUT",
        "TIMESTAMP_DAY_IS_ALWAYS_24H",
        "TRANSACTION_ABORT_ON_ERROR",
        "UNSUPPORTED_DDL_ACTION",
    }
)


# The largest values of parameters that have one (https://docs.snowflake.com/en/sql-reference/parameters).
_MOST = {"JSON_INDENT": 16, "STATEMENT_TIMEOUT_IN_SECONDS": 604800, "WEEK_OF_YEAR_POLICY": 1, "WEEK_START": 7,
         "TWO_DIGIT_CENTURY_START": 2100}  # fmt: skip


def check_parameter(name: str, value: object) -> object:
    """Convert a value to its parameter's type; None means UNSET.

    Raises ProgrammingError 001420 for an unknown parameter, 001008 for a value of the wrong type,
    000002 (0A000) for a value whose effect is not emulated.
    """
    known = SESSION_DEFAULTS.get(name)
    if known is None:
        raise errors.invalid_property(name, "SESSION")
    if value is None:
        return known.default
    if known.type == "BOOLEAN":
        if str(value).lower() not in ("true", "false"):
            raise errors.invalid_value(value, name)
        value = str(value).lower() == "true"
    elif known.type == "NUMBER":
        if not str(value).isdigit():
            raise errors.invalid_value(value, name)
        value = int(str(value))
        if value > _MOST.get(name, value):
            raise errors.invalid_value(value, name)
    else:
        value = str(value)
    if name == "QUERY_TAG" and len(str(value)) > 2000:
        raise errors.invalid_value(value, name)
    if name in FIXED and value != known.default:
        raise errors.unsupported(f"{name} = {value}")
    return value


def shown(value: object) -> str:
    """Return a parameter's value as SHOW PARAMETERS writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
