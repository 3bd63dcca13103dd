"""Snowflake's own errors, as the connector raises them.

what went wrong ──errno, SQL state, wording──▶ snowflake.connector.errors.ProgrammingError

The numbers are those that a Snowflake account answers; the client compares `errno` and `sqlstate`, people read the text.

Long because it is the list of them.
"""

from __future__ import annotations

import re

import duckdb
from snowflake.connector.errors import DatabaseError, Error, ProgrammingError

from flows.embedded.warehouse.text.function_names import KNOWN_FUNCTIONS


def _compilation(message: str, errno: int, sqlstate: str) -> ProgrammingError:
    return ProgrammingError(msg=f"SQL compilation error:\n{message}", errno=errno, sqlstate=sqlstate)


def title(kind: str) -> str:
    """`FILE FORMAT` as Snowflake writes it in a message: `File format`."""
    return kind.capitalize()


def not_found(kind: str, name: str) -> ProgrammingError:
    """002003: no such object, or none that the role may know of."""
    state = "42S02" if kind in ("TABLE", "VIEW") else "02000"
    return _compilation(f"{title(kind)} '{name}' does not exist or not authorized.", 2003, state)


def no_object(name: str) -> ProgrammingError:
    """002003: a query names what is no table or view, or none that the role may know of."""
    return _compilation(f"Object '{name}' does not exist or not authorized.", 2003, "42S02")


def cannot_perform() -> ProgrammingError:
    """002043: what USE answers for a name that is not there."""
    return _compilation("Object does not exist, or operation cannot be performed.", 2043, "02000")


def already_exists(name: str) -> ProgrammingError:
    """002002: the name is taken."""
    return _compilation(f"Object '{name}' already exists.", 2002, "42710")


def insufficient(kind: str, name: str) -> ProgrammingError:
    """003001: the role lacks the privilege (https://docs.snowflake.com/en/user-guide/security-access-control-overview)."""
    return ProgrammingError(
        msg=f"SQL access control error:\nInsufficient privileges to operate on {kind.lower()} '{name}'",
        errno=3001,
        sqlstate="42501",
    )


def unsupported(feature: str) -> ProgrammingError:
    """000002: legal on Snowflake perhaps, refused here; the message names the statement."""
    return ProgrammingError(
        msg=f"Unsupported feature '{feature}' in the embedded warehouse (see architecture/embedded_warehouse.md).",
        errno=2,
        sqlstate="0A000",
    )


def syntax(found: str, position: int = 0) -> ProgrammingError:
    """001003: the text is no statement; `position` counts characters from the start of the statement."""
    shown = found if len(found) <= 80 else found[:77] + "..."
    return _compilation(f"syntax error line 1 at position {position} unexpected '{shown}'.", 1003, "42000")


def unknown_function(name: str) -> ProgrammingError:
    """002140: a function that Snowflake does not have."""
    return _compilation(f"Unknown function {name}.", 2140, "42601")


def unsupported_type(name: str) -> ProgrammingError:
    """002040: a data type that Snowflake does not have."""
    return _compilation(f"Unsupported data type '{name}'.", 2040, "42601")


def invalid_identifier(name: str) -> ProgrammingError:
    """000904: no such column; quoted names differ by case (https://docs.snowflake.com/en/sql-reference/identifiers-syntax)."""
    return _compilation(f"error line 1 at position 0\ninvalid identifier '{name}'", 904, "42000")


def duplicate_column(name: str) -> ProgrammingError:
    """002025: two columns of one name."""
    return _compilation(f"duplicate column name '{name}'", 2025, "42S21")


def try_cast_of(source: str, target: str) -> ProgrammingError:
    """001065: TRY_CAST takes texts alone (https://docs.snowflake.com/en/sql-reference/functions/try_cast#usage-notes)."""
    return _compilation(
        f"Function TRY_CAST cannot be used with arguments of types {source} and {target}", 1065, "22023"
    )


def several_statements(found: int) -> ProgrammingError:
    """000008: more statements in one request than MULTI_STATEMENT_COUNT says
    (https://docs.snowflake.com/en/sql-reference/parameters#multi-statement-count)."""
    return ProgrammingError(
        msg=f"Actual statement count {found} did not match the desired statement count 1.", errno=8, sqlstate="0A000"
    )


def invalid_property(prop: str, kind: str) -> ProgrammingError:
    """001420: an option that the object does not have."""
    return _compilation(f"invalid property '{prop}' for '{kind}'", 1420, "22023")


def invalid_value(value: object, parameter: str) -> ProgrammingError:
    """001008: an option's value is not one of its values."""
    return _compilation(f"invalid value [{value}] for parameter '{parameter}'", 1008, "22023")


def no_current(what: str, command: str) -> ProgrammingError:
    """090105 / 090106: an unqualified name and no current database or schema."""
    errno = 90105 if what == "database" else 90106
    return ProgrammingError(
        msg=f"Cannot perform {command}. This session does not have a current {what}. "
        f"Call 'USE {what.upper()}', or use a qualified name.",
        errno=errno,
        sqlstate="22000",
    )


def argument_count(name: str, expected: int, got: int) -> ProgrammingError:
    """000938, 000939: a function's arguments are too few or too many."""
    found = "not enough" if got < expected else "too many"
    return _compilation(
        f"error line 1 at position 7\n{found} arguments for function [{name}] expected {expected}, got {got}",
        938 if got < expected else 939,
        "22023",
    )


def argument_types(name: str, types: str) -> ProgrammingError:
    """001044: a function does not take values of these types."""
    return _compilation(
        f"error line 1 at position 7\nInvalid argument types for function '{name}': ({types})", 1044, "42P13"
    )


def invalid_in_values(text: str) -> ProgrammingError:
    """002014: what cannot stand in VALUES of an INSERT (https://docs.snowflake.com/en/sql-reference/sql/insert#usage-notes)."""
    return _compilation(f"Invalid expression [{text}] in VALUES clause", 2014, "22000")


def no_order(function: str) -> ProgrammingError:
    """002303: a window function that needs an order."""
    return _compilation(
        f"error line 1 at position 7\nWindow function type [{function}] requires ORDER BY in window specification.",
        2303,
        "0A000",
    )


def missing_column_name() -> ProgrammingError:
    """002022: an expression without a name in a view (https://docs.snowflake.com/en/sql-reference/sql/create-view)."""
    return _compilation("Missing column specification", 2022, "42601")


def column_list_mismatch() -> ProgrammingError:
    """002026: a view's list of columns is longer or shorter than its query's."""
    return _compilation("Invalid column definition list", 2026, "42601")


def invalid_part(part: str, function: str) -> ProgrammingError:
    """001045: no part of a date or a time
    (https://docs.snowflake.com/en/sql-reference/functions-date-time#supported-date-and-time-parts)."""
    return _compilation(
        f"error line 1 at position 7\n'{part}' is not a valid date/time component for function {function}.",
        1045,
        "22023",
    )


def unknown_time_zone(name: str) -> ProgrammingError:
    """100094: a name that the IANA database does not have (https://docs.snowflake.com/en/sql-reference/functions/convert_timezone)."""
    return ProgrammingError(msg=f"Unknown timezone: '{name}'", errno=100094, sqlstate="22000")


# Before the number, state and words of an error that a macro of the engine raises.
RAISED = "CXM:"
_TOO_LARGE = re.compile(r"Could not cast value (\S+) to DECIMAL(\(\d+,\s*\d+\))|Overflow in \w+ of DECIMAL")
_NO_NUMBER = re.compile(r"Could not convert string \"?'?(.*?)'?\"? to DECIMAL", re.S)
_RAISED = re.compile(RAISED + r"(\d{6}):(\w{5}):(.*)", re.S)

_CONVERSIONS = (
    (re.compile(r"timestamp field value out of range: \"(.*?)\"|Could not convert string '(.*?)' to TIMESTAMP", re.S),
     "Timestamp '{}' is not recognized", 100035, "22007"),
    (re.compile(r"date field value out of range: \"(.*?)\"|Could not convert string '(.*?)' to DATE", re.S),
     "Date '{}' is not recognized", 100040, "22007"),
    (re.compile(r"invalid timestamp field format: \"(.*?)\"", re.S), "Timestamp '{}' is not recognized", 100035, "22007"),
    (re.compile(r"invalid date field format: \"(.*?)\"", re.S), "Date '{}' is not recognized", 100040, "22007"),
    (re.compile(r"Non-numeric values (NaN) and INF are not supported", re.S),
     "Boolean value '{}' is not recognized", 100037, "22018"),
    (re.compile(r"Could not convert string '(.*?)' to BOOL", re.S), "Boolean value '{}' is not recognized", 100037, "22018"),
    (re.compile(r"Could not convert string \"?'?(.*?)'?\"? to (?:DECIMAL|U?INT|DOUBLE|FLOAT|HUGEINT|BIGINT)", re.S),
     "Numeric value '{}' is not recognized", 100038, "22018"),
)  # fmt: skip


def duplicate_row() -> ProgrammingError:
    """A row of a MERGE's target that several source rows would change
    (https://docs.snowflake.com/en/sql-reference/parameters#error-on-nondeterministic-merge)."""
    return ProgrammingError(msg="Duplicate row detected during DML action", errno=100090, sqlstate="42P18")


# What DuckDB says of a statement that Snowflake's compiler refuses: (pattern, Snowflake's words, number, state).
_COMPILED = (
    (r"Referenced update column (\S+) not found", "invalid identifier '{}'", 904, "42000"),
    (r'does not have a column with name "(.+?)"', "invalid identifier '{}'", 904, "42000"),
    (r'Referenced column "(.+?)" was not found because', "invalid identifier '{}'", 904, "42000"),
    (r'Ambiguous reference to column name "(.+?)"', "ambiguous column name '{}'", 2028, "42601"),
    (r"columns? but (\d+) values were supplied",
     "Insert value list does not match column list: got {}", 2020, "21S01"),
    (r"(Set operations can only apply to expressions with the same number of result columns)",
     "invalid number of result columns for set operator input branches", 1789, "42601"),
    (r"No function matches the given name and argument types '(\w+\(.*?\))'",
     "Invalid argument types for function: {}", 1044, "42P13"),
    (r"In a DISTINCT aggregate, (ORDER BY) expressions must appear in the argument list",
     "the expression of WITHIN GROUP ({}) is not a valid order by expression beside DISTINCT", 979, "42601"),
    (r"at least one window function must appear in the SELECT column or (QUALIFY) clause",
     "{} needs a window function, in its predicate or in the SELECT list", 2043, "02000"),
    (r"Unconditional WHEN (MATCHED|NOT MATCHED) clause was already defined",
     "syntax error: a WHEN {} clause behind one without AND is never reached", 1003, "42000"),
    (r"(INSERT) statement cannot contain (?:aggregates|window functions)",
     "Invalid expression in VALUES clause of {}", 2014, "22000"),
    (r"(SELECT clause without selection list)", "syntax error: no columns", 1003, "42000"),
    (r"Column (\S+) must have a type", "syntax error: column {} has no type", 1003, "42000"),
)  # fmt: skip


def _compiled(first: str, statement: str) -> ProgrammingError | None:
    """The compiler's error for one that DuckDB's binder raised, or one of a value that it has other words for."""
    for pattern, text, errno, sqlstate in _COMPILED:
        if found := re.search(pattern, first):
            return _compilation(text.format(found[1]), errno, sqlstate)
    if found := re.search(r'column "(.+?)" must appear in the GROUP BY clause', first):
        if "GROUP" in statement.upper():
            return _compilation(
                f"'{found[1]}' in select clause is neither an aggregate nor in the group by clause.", 1104, "42601"
            )
        return _compilation(f"[{found[1]}] is not a valid group by expression", 979, "42601")
    if found := re.search(r'Column with name "?(.+?)"? already exists', first):
        made = statement.lstrip().upper().startswith("CREATE")
        return _compilation(
            f"duplicate column name '{found[1]}'" if made else f"column '{found[1]}' already exists",
            2025 if made else 1430,
            "42S21" if made else "42601",
        )
    if "More than one row returned by a subquery" in first:
        return ProgrammingError(msg="Single-row subquery returns more than one row.", errno=90150, sqlstate="22000")
    if found := re.search(r"Failed to cast value(?: to \w+)?: (.*)", first):
        return ProgrammingError(msg=f"Failed to cast variant value {found[1]} to FIXED", errno=100071, sqlstate="22000")
    if "Malformed JSON" in first:
        return ProgrammingError(msg=f"Error parsing JSON: {first}", errno=100069, sqlstate="22P02")
    if found := re.search(r"time field value out of range: \"(.*?)\"", first):
        return ProgrammingError(msg=f"Time '{found[1]}' is not recognized", errno=100108, sqlstate="22007")
    return None


def from_duckdb(error: Exception, statement: str) -> Error:
    """The Snowflake error for one that DuckDB raised while `statement` ran. Never raises.

    What has no counterpart becomes 000603 (XX000), which is Snowflake's own for an internal error, with DuckDB's text.
    """
    message = str(error.args[0]) if error.args else str(error)
    first = message.split("\n")[0]
    if isinstance(error, duckdb.InterruptException):
        return ProgrammingError(msg="SQL execution canceled", errno=604, sqlstate="57014")
    if found := _TOO_LARGE.search(message):
        type_, value = found[2].replace(" ", "") if found[2] else "(38,0)", found[1] or ""
        return ProgrammingError(
            msg=f"Number out of representable range: type FIXED{type_}, value {value}", errno=100046, sqlstate="22003"
        )
    if (found := _NO_NUMBER.search(message)) and re.fullmatch(
        r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", found[1], re.I
    ):
        return ProgrammingError(msg=f"Numeric value '{found[1]}' is out of range", errno=100039, sqlstate="22003")
    if found := _RAISED.search(message):
        return ProgrammingError(msg=found[3], errno=int(found[1]), sqlstate=found[2])
    for pattern, text, errno, sqlstate in _CONVERSIONS:
        if found := pattern.search(message):
            value = next((g for g in found.groups() if g is not None), "")
            return ProgrammingError(msg=text.format(value), errno=errno, sqlstate=sqlstate)
    if compiled := _compiled(first, statement):
        return compiled
    if "ivision by zero" in first:
        return ProgrammingError(msg="Division by zero", errno=100051, sqlstate="22012")
    if isinstance(error, duckdb.ConstraintException) and (
        found := re.search(r"NOT NULL constraint failed: (\S+)", message)
    ):
        column = found[1].rpartition(".")[2]
        return ProgrammingError(
            msg=f"NULL result in a non-nullable column\nColumn '{column}'", errno=100072, sqlstate="22000"
        )
    if "Duplicate struct entry name" in message or "Duplicate named argument" in message:
        return ProgrammingError(msg=first, errno=100103, sqlstate="22000")
    if found := re.search(
        r'Referenced (?:column|table) "(.+?)" not found|does not have a column named "(.+?)"', message
    ):
        return _compilation(f"invalid identifier '{found[1] or found[2]}'", 904, "42000")
    if found := re.search(
        r"(?:Scalar |Table |Aggregate |Macro )?Function with name \"?(\S+?)\"? does not exist", message
    ):
        name = found[1].upper()
        return unsupported(f"the function {name}") if name in KNOWN_FUNCTIONS else unknown_function(name)
    if found := re.search(
        r"(?:Table|View|Schema|Sequence|Catalog|Database) (?:with name )?\"?(\S+?)\"? does not exist", message
    ):
        return _compilation(f"Object '{found[1].rstrip('!')}' does not exist or not authorized.", 2003, "42S02")
    if found := re.search(r"Unknown TimeZone '(.*?)'", message):
        return unknown_time_zone(found[1])
    if isinstance(error, duckdb.ConnectionException):
        return DatabaseError(msg="Connection is closed", errno=250002, sqlstate="08003")
    if isinstance(error, (duckdb.OutOfRangeException, duckdb.ConversionException)):
        return ProgrammingError(msg=first, errno=100039, sqlstate="22003")
    if isinstance(error, duckdb.TransactionException):
        if "onflict" in message:
            return ProgrammingError(
                msg="Statement conflicts with a transaction that is still open on the same object; it was rolled back. "
                f"({first})",
                errno=625,
                sqlstate="57014",
            )
        return ProgrammingError(
            msg=f"The transaction was given up after an error in it; send ROLLBACK. ({first})",
            errno=603,
            sqlstate="XX000",
        )
    if isinstance(error, (duckdb.ParserException, duckdb.NotImplementedException)):
        return unsupported(f"{statement.strip()[:60]} ({first})")
    if isinstance(error, (duckdb.BinderException, duckdb.CatalogException)):
        return _compilation(first, 2043, "02000")
    return DatabaseError(msg=f"SQL execution internal error: {first}", errno=603, sqlstate="XX000")


def cannot_suspend(name: str) -> ProgrammingError:
    """090064: ALTER WAREHOUSE … SUSPEND of one that is suspended."""
    return ProgrammingError(
        msg=f"Invalid state. Warehouse '{name}' cannot be suspended.", errno=90064, sqlstate="22000"
    )


def role_not_assigned(role: str, user: str, known: bool) -> ProgrammingError:
    """003013 / 002003: USE ROLE of a role that the user does not hold, or that is not there."""
    if not known:
        return not_found("ROLE", role)
    return ProgrammingError(
        msg=f"SQL access control error:\nRequested role '{role}' is not assigned to the executing user '{user}'. "
        "Specify another role to activate.",
        errno=3013,
        sqlstate="42501",
    )


def dependent_grants(kind: str, name: str) -> ProgrammingError:
    """003052: GRANT OWNERSHIP of an object on which other grants stand, without COPY or REVOKE CURRENT GRANTS."""
    return ProgrammingError(
        msg="SQL execution error: Dependent grant of privilege on securable "
        f"'{name}' ({kind.lower()}) must be revoked before transferring ownership, or say COPY CURRENT GRANTS.",
        errno=3052,
        sqlstate="2BP01",
    )


def role_loop(role: str, to: str) -> ProgrammingError:
    """003012: a role that would hold itself."""
    return ProgrammingError(
        msg=f"SQL execution error: Granting role '{role}' to role '{to}' would create a cycle in the role hierarchy.",
        errno=3012,
        sqlstate="42501",
    )


def location_not_allowed(url: str, integration: str) -> ProgrammingError:
    """003167: a stage's URL outside its storage integration."""
    return ProgrammingError(
        msg=f"SQL compilation error:\nLocation '{url}' is not allowed by integration '{integration}'. "
        "Please use DESC INTEGRATION to check out allowed and blocked locations.",
        errno=3167,
        sqlstate="42601",
    )


def storage_denied() -> ProgrammingError:
    """091003: S3 read without a storage integration or keys; what a private bucket answers whom it does not know."""
    return ProgrammingError(
        msg="Failure using stage area. Cause: [Access Denied (Status Code: 403; Error Code: AccessDenied)]",
        errno=91003,
        sqlstate="55000",
    )


def no_object_store(url: str) -> ProgrammingError:
    """000002: a statement that reads an external stage on a server that was started without --s3-endpoint."""
    return unsupported(f"reading {url} (this server was started without --s3-endpoint and --s3-identity)")


def remote_failure(url: str, text: str) -> ProgrammingError:
    """091003: the object store refused or did not answer, as COPY says it."""
    return ProgrammingError(msg=f"Failure using stage area. Cause: [{text} ({url})]", errno=91003, sqlstate="55000")


def empty_statement() -> ProgrammingError:
    """000900: nothing but blanks and comments."""
    return _compilation("Empty SQL statement.", 900, "42601")


def unknown_variable(name: str) -> ProgrammingError:
    """002211: $name that no SET has made."""
    return _compilation(f"Session variable '${name}' does not exist", 2211, "02000")


def locked(name: str, transaction: int, query_id: str, why: str) -> ProgrammingError:
    """000625: another transaction changes rows of the table; `why` is the timeout or the deadlock
    (https://docs.snowflake.com/en/sql-reference/transactions#resource-locking)."""
    return ProgrammingError(
        msg=f"A statement has locked table '{name}' in transaction {transaction} and this lock has not yet been released.\n"
        f"Your statement '{query_id}' was aborted because {why}.",
        errno=625,
        sqlstate="57014",
    )


def canceled() -> ProgrammingError:
    """000604: cancelled by SYSTEM$CANCEL_… or by its client
    (https://docs.snowflake.com/en/user-guide/querying-cancel-statements)."""
    return ProgrammingError(msg="SQL execution canceled", errno=604, sqlstate="57014")


def timed_out(seconds: object) -> ProgrammingError:
    """000630 (https://docs.snowflake.com/en/sql-reference/parameters#statement-timeout-in-seconds)."""
    return ProgrammingError(
        msg=f"Statement reached its statement or warehouse timeout of {seconds} second(s) and was canceled.",
        errno=630,
        sqlstate="57014",
    )


def transaction_aborted(transaction: int) -> ProgrammingError:
    """000625: what a session hears once when its idle transaction stood in another's way and was rolled back
    (https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions)."""
    return ProgrammingError(
        msg=f"Transaction {transaction} was idle, blocked another transaction, and has been aborted and rolled back.",
        errno=625,
        sqlstate="57014",
    )


def from_parser(error: Exception, statement: str) -> ProgrammingError:
    """001003: what the SQL parser could not read, with its place."""
    found = getattr(error, "errors", None) or [{}]
    first = found[0]
    line, column = first.get("line") or 1, first.get("col") or 0
    text = first.get("highlight") or (statement.strip().split() or [""])[0]
    begins = " ".join(statement.split())[:60]
    return _compilation(
        f"syntax error line {line} at position {column} unexpected '{text[:80]}'. The statement begins: {begins}",
        1003,
        "42000",
    )
