"""Snowflake's own errors, as the connector raises them.

what went wrong ──errno, SQL state, wording──▶ snowflake.connector.errors.ProgrammingError

The numbers are those that a Snowflake account answers; the client compares `errno` and `sqlstate`, people read the text.
"""

from __future__ import annotations

from snowflake.connector.errors import ProgrammingError


def compilation(message: str, errno: int, sqlstate: str) -> ProgrammingError:
    """Return an error of the compiler."""
    return ProgrammingError(msg=f"SQL compilation error:\n{message}", errno=errno, sqlstate=sqlstate)


def title(kind: str) -> str:
    """Write `FILE FORMAT` as Snowflake's messages do: `File format`."""
    return kind.capitalize()


def not_found(kind: str, name: str) -> ProgrammingError:
    """002003: an object that does not exist or that the role may not see."""
    state = "42S02" if kind in ("TABLE", "VIEW") else "02000"
    return compilation(f"{title(kind)} '{name}' does not exist or not authorized.", 2003, state)


def no_object(name: str) -> ProgrammingError:
    """002003: a query names something that is not a table or view, or that the role may not see."""
    return compilation(f"Object '{name}' does not exist or not authorized.", 2003, "42S02")


def wrong_kind(actual: str, named: str) -> ProgrammingError:
    """002203: a table where a view is named, or the other way round (recorded in arnoN7/dbt-incremental-stream, issue 8)."""
    return compilation(
        f"Object found is of type '{actual.upper()}', not specified type '{named.upper()}'.", 2203, "02000"
    )


def cannot_perform() -> ProgrammingError:
    """002043: what USE answers for a name that does not exist."""
    return compilation("Object does not exist, or operation cannot be performed.", 2043, "02000")


def already_exists(name: str) -> ProgrammingError:
    """002002: the name is taken."""
    return compilation(f"Object '{name}' already exists.", 2002, "42710")


def insufficient(kind: str, name: str) -> ProgrammingError:
    """003001: the role lacks the privilege (https://docs.snowflake.com/en/user-guide/security-access-control-overview)."""
    return ProgrammingError(
        msg=f"SQL access control error:\nInsufficient privileges to operate on {kind.lower()} '{name}'",
        errno=3001,
        sqlstate="42501",
    )


def unsupported(feature: str) -> ProgrammingError:
    """000002: a feature that is refused here, though Snowflake may have it; the message names the statement."""
    return ProgrammingError(
        msg=f"Unsupported feature '{feature}' in the embedded warehouse (see architecture/embedded_warehouse.md).",
        errno=2,
        sqlstate="0A000",
    )


def syntax(unexpected: str, position: int = 0) -> ProgrammingError:
    """001003: the text is not a statement; `position` counts characters from the start of the statement."""
    shown = unexpected if len(unexpected) <= 80 else unexpected[:77] + "..."
    return compilation(f"syntax error line 1 at position {position} unexpected '{shown}'.", 1003, "42000")


def unknown_function(name: str) -> ProgrammingError:
    """002140: a function that Snowflake does not have."""
    return compilation(f"Unknown function {name}.", 2140, "42601")


def unsupported_type(name: str) -> ProgrammingError:
    """002040: a data type that Snowflake does not have."""
    return compilation(f"Unsupported data type '{name}'.", 2040, "42601")


def invalid_identifier(name: str) -> ProgrammingError:
    """000904: a missing column; quoted names differ by case (https://docs.snowflake.com/en/sql-reference/identifiers-syntax)."""
    return compilation(f"error line 1 at position 0\ninvalid identifier '{name}'", 904, "42000")


def duplicate_column(name: str) -> ProgrammingError:
    """002025: two columns with the same name."""
    return compilation(f"duplicate column name '{name}'", 2025, "42S21")


def not_positive(what: str, given: int) -> ProgrammingError:
    """100050: a place in a text, or a number of buckets, that is not a positive whole number."""
    return ProgrammingError(
        msg=f"Invalid {what}: {given} (a positive whole number is expected)", errno=100050, sqlstate="22023"
    )


def not_numeric(text: str) -> ProgrammingError:
    """100038: a text that is used as a number and is not one
    (https://docs.snowflake.com/en/sql-reference/data-type-conversion#implicit-casting-coercion)."""
    return ProgrammingError(msg=f"Numeric value '{text}' is not recognized", errno=100038, sqlstate="22018")


def default_type(column: str) -> ProgrammingError:
    """002023: a DEFAULT of another type than its column."""
    return compilation(f"Default value data type does not match data type for column {column}", 2023, "22000")


def too_long(text: str) -> ProgrammingError:
    """100078: a text that is longer than its column (https://docs.snowflake.com/en/sql-reference/data-types-text#varchar)."""
    return ProgrammingError(msg=f"String '{text}' is too long and would be truncated", errno=100078, sqlstate="22000")


def try_cast_of(source: str, target: str) -> ProgrammingError:
    """001065: TRY_CAST takes only texts (https://docs.snowflake.com/en/sql-reference/functions/try_cast#usage-notes)."""
    return compilation(f"Function TRY_CAST cannot be used with arguments of types {source} and {target}", 1065, "22023")


def several_statements(count: int) -> ProgrammingError:
    """000008: more statements in one request than MULTI_STATEMENT_COUNT allows
    (https://docs.snowflake.com/en/sql-reference/parameters#multi-statement-count)."""
    return ProgrammingError(
        msg=f"Actual statement count {count} did not match the desired statement count 1.", errno=8, sqlstate="0A000"
    )


def invalid_property(prop: str, kind: str) -> ProgrammingError:
    """001420: an option that the object does not have."""
    return compilation(f"invalid property '{prop}' for '{kind}'", 1420, "22023")


def invalid_value(value: object, parameter: str) -> ProgrammingError:
    """001008: an option's value is not one of its values."""
    return compilation(f"invalid value [{value}] for parameter '{parameter}'", 1008, "22023")


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
    fault = "not enough" if got < expected else "too many"
    return compilation(
        f"error line 1 at position 7\n{fault} arguments for function [{name}] expected {expected}, got {got}",
        938 if got < expected else 939,
        "22023",
    )


def argument_types(name: str, types: str) -> ProgrammingError:
    """001044: a function does not take values of these types."""
    return compilation(
        f"error line 1 at position 7\nInvalid argument types for function '{name}': ({types})", 1044, "42P13"
    )


def invalid_in_values(text: str) -> ProgrammingError:
    """002014: what VALUES of an INSERT may not hold (https://docs.snowflake.com/en/sql-reference/sql/insert#usage-notes)."""
    return compilation(f"Invalid expression [{text}] in VALUES clause", 2014, "22000")


def duplicate_key(key: str) -> ProgrammingError:
    """100103: an object with a key twice (https://docs.snowflake.com/en/sql-reference/functions/object_construct)."""
    return ProgrammingError(msg=f"Duplicate field key '{key}'", errno=100103, sqlstate="22000")


def no_order(function: str) -> ProgrammingError:
    """002303: a window function that needs an order."""
    return compilation(
        f"error line 1 at position 7\nWindow function type [{function}] requires ORDER BY in window specification.",
        2303,
        "0A000",
    )


def no_condition(type_: str, text: str) -> ProgrammingError:
    """002016: something that is not a BOOLEAN, and cannot become one, where a condition is expected."""
    return compilation(f"Invalid data type [{type_}] for predicate [{text}]", 2016, "22023")


def missing_column_name() -> ProgrammingError:
    """002022: an expression without a name in a view (https://docs.snowflake.com/en/sql-reference/sql/create-view)."""
    return compilation("Missing column specification", 2022, "42601")


def column_list_mismatch() -> ProgrammingError:
    """002026: a view's list of columns is longer or shorter than its query's."""
    return compilation("Invalid column definition list", 2026, "42601")


def invalid_part(part: str, function: str) -> ProgrammingError:
    """001045: a name that is not a part of a date or time
    (https://docs.snowflake.com/en/sql-reference/functions-date-time#supported-date-and-time-parts)."""
    return compilation(
        f"error line 1 at position 7\n'{part}' is not a valid date/time component for function {function}.",
        1045,
        "22023",
    )


def unknown_time_zone(name: str) -> ProgrammingError:
    """100094: a name that the IANA database does not have (https://docs.snowflake.com/en/sql-reference/functions/convert_timezone)."""
    return ProgrammingError(msg=f"Unknown timezone: '{name}'", errno=100094, sqlstate="22000")


# The prefix of an error that a macro of the engine raises; number, state and text follow it.
RAISED = "CXM:"


def duplicate_row() -> ProgrammingError:
    """100090: a target row that several source rows would change
    (https://docs.snowflake.com/en/sql-reference/parameters#error-on-nondeterministic-merge)."""
    return ProgrammingError(msg="Duplicate row detected during DML action", errno=100090, sqlstate="42P18")


def cannot_suspend(name: str) -> ProgrammingError:
    """090064: ALTER WAREHOUSE … SUSPEND of one that is suspended."""
    return ProgrammingError(
        msg=f"Invalid state. Warehouse '{name}' cannot be suspended.", errno=90064, sqlstate="22000"
    )


def cannot_resume(name: str) -> ProgrammingError:
    """090063: ALTER WAREHOUSE … RESUME of one that runs, without IF SUSPENDED."""
    return ProgrammingError(msg=f"Invalid state. Warehouse '{name}' cannot be resumed.", errno=90063, sqlstate="22000")


def role_not_assigned(role: str, user: str, known: bool) -> ProgrammingError:
    """003013 / 002003: USE ROLE of a role that the user does not hold, or that does not exist."""
    if not known:
        return not_found("ROLE", role)
    return ProgrammingError(
        msg=f"SQL access control error:\nRequested role '{role}' is not assigned to the executing user '{user}'. "
        "Specify another role to activate.",
        errno=3013,
        sqlstate="42501",
    )


def dependent_grants(kind: str, name: str) -> ProgrammingError:
    """003052: GRANT OWNERSHIP of an object that has other grants, without COPY or REVOKE CURRENT GRANTS."""
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
    """091003: S3 read without a storage integration or keys, as a private bucket answers."""
    return ProgrammingError(
        msg="Failure using stage area. Cause: [Access Denied (Status Code: 403; Error Code: AccessDenied)]",
        errno=91003,
        sqlstate="55000",
    )


def no_object_store(url: str) -> ProgrammingError:
    """000002: a statement that reads an external stage on a server that was started without --s3-endpoint."""
    return unsupported(f"reading {url} (this server was started without --s3-endpoint and --s3-identity)")


def remote_failure(url: str, text: str) -> ProgrammingError:
    """091003: the object store refused or did not answer, as COPY reports it."""
    return ProgrammingError(msg=f"Failure using stage area. Cause: [{text} ({url})]", errno=91003, sqlstate="55000")


def empty_statement() -> ProgrammingError:
    """000900: nothing but blanks and comments."""
    return compilation("Empty SQL statement.", 900, "42601")


def unknown_variable(name: str) -> ProgrammingError:
    """002211: a $name that was never SET."""
    return compilation(f"Session variable '${name}' does not exist", 2211, "02000")


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
    """000630: timeout (https://docs.snowflake.com/en/sql-reference/parameters#statement-timeout-in-seconds)."""
    return ProgrammingError(
        msg=f"Statement reached its statement or warehouse timeout of {seconds} second(s) and was canceled.",
        errno=630,
        sqlstate="57014",
    )


def transaction_aborted(transaction: int) -> ProgrammingError:
    """000625: raised once in a session whose idle transaction blocked another and was rolled back
    (https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions)."""
    return ProgrammingError(
        msg=f"Transaction {transaction} was idle, blocked another transaction, and has been aborted and rolled back.",
        errno=625,
        sqlstate="57014",
    )
