"""Translates errors of the engine and the parser into Snowflake's errors and wording.

duckdb.Error, sqlglot's ParseError ──pattern──▶ `errors`; what has no counterpart is reported without the engine's own names
"""

from __future__ import annotations

import re

import duckdb
from snowflake.connector.errors import DatabaseError, Error, ProgrammingError

from flows.embedded.warehouse.text.errors import (
    RAISED,
    already_exists,
    argument_count,
    compilation,
    unknown_function,
    unknown_time_zone,
    unsupported,
    wrong_kind,
)
from flows.embedded.warehouse.text.function_names import KNOWN_FUNCTIONS

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
    (re.compile(r"Invalid input for hex digit: (.)"),
     "The following string is not a legal hex-encoded value: '{}'", 100115, "22000"),
    (re.compile(r"((?:missing [\])]|no argument for repetition operator): .*)", re.S),
     "Invalid regular expression: {}", 100048, "2201B"),
    (re.compile(r"cannot take (square root .*|logarithm .*)|(factorial of a negative number)"),
     "Invalid floating point operation: {}", 100049, "22023"),
    # https://docs.snowflake.com/en/sql-reference/functions/object_agg#usage-notes
    (re.compile(r"(Map) keys must be unique"), "Duplicate field key in OBJECT_AGG", 100103, "22000"),
    (re.compile(r"Out of Range Error: (Value out of range)"), "Numeric value is out of range ({})", 100039, "22003"),
    (re.compile(r"Non-numeric values (NaN) and INF are not supported", re.S),
     "Boolean value '{}' is not recognized", 100037, "22018"),
    (re.compile(r"Could not convert string '(.*?)' to BOOL", re.S), "Boolean value '{}' is not recognized", 100037, "22018"),
    (re.compile(r"Could not convert string \"?'?(.*?)'?\"? to (?:DECIMAL|U?INT|DOUBLE|FLOAT|HUGEINT|BIGINT)", re.S),
     "Numeric value '{}' is not recognized", 100038, "22018"),
)  # fmt: skip


# DuckDB's messages for statements that Snowflake's compiler refuses: (pattern, Snowflake's words, number, state).
_COMPILED = (
    (r"Referenced update column (\S+) not found", "invalid identifier '{}'", 904, "42000"),
    (r'does not have a column with name "(.+?)"', "invalid identifier '{}'", 904, "42000"),
    (r'Referenced column "(.+?)" was not found because', "invalid identifier '{}'", 904, "42000"),
    (r'Column "(.+?)" does not exist on (?:left|right) side of join', "invalid identifier '{}'", 904, "42000"),
    (r'Ambiguous reference to column name "(.+?)"', "ambiguous column name '{}'", 2028, "42601"),
    (r'Column "(.+?)" in EXCLUDE list not found', "invalid identifier '{}'", 904, "42000"),
    (r'Multiple assignments to same column "(.+?)"', "duplicate column name '{}'", 2025, "42S21"),
    (r'Duplicate column name "(.+?)" in INSERT', "duplicate column name '{}'", 2025, "42S21"),
    (r'Ambiguous reference to table ".*?(\w+)" \(duplicate alias', "duplicate alias '{}'", 2027, "42601"),
    (r'Duplicate CTE name "(.+?)"', "duplicate alias '{}'", 2027, "42601"),
    (r"WHERE clause cannot contain (aggregate|window function)s", "Invalid {} in where clause", 2043, "42601"),
    (r"(aggregate function) calls cannot be nested", "An {} cannot be nested in another", 2043, "42601"),
    (r"Subquery returns (\d+) columns - expected 1", "a subquery here has one column, got {}", 2043, "42601"),
    (r"ORDER term out of range - should be between 1 and (\d+)",
     "the position is not a valid order by expression: the result has {} columns", 2043, "42601"),
    (r"GROUP BY term out of range - should be between 1 and (\d+)",
     "the position is not a valid group by expression: the result has {} columns", 979, "42601"),
    (r'Cannot extract field \'(\w+)\' from expression', "invalid identifier '{}'", 904, "42000"),
    (r"UNNEST\(\) can only be applied to (lists)", "FLATTEN stands in TABLE(…) or LATERAL, not among expressions", 2043, "42601"),
    (r"(Sample) sample_size .* out of range", "a SAMPLE's size is between 0 and 100 per cent", 1003, "42000"),
    (r"Malformed JSON at byte .* Input: \"(.*)\"", "Invalid argument types for function: ({} is no JSON)", 1044, "42P13"),
    (r"DECIMAL type (width must be between 1 and 38|scale cannot be greater than width)",
     "Invalid precision or scale of a NUMBER: {}", 2040, "42601"),
    (r'Existing object "(.+?)" is of type Table, trying to replace', "Object '{}' already exists as TABLE", 1998, "42710"),
    (r'Sequence with name "(.+?)" already exists', "Object '{}' already exists.", 2002, "42710"),
    (r"VALUES lists must all be the same length, (.*)", "Invalid row of VALUES: {}", 1003, "42000"),
    (r"(\S+) is not an table", "{} is a VIEW, which takes no rows", 2043, "02000"),
    (r"Values were not provided for the following parameters: (\S+)", "Bind variable {} not set.", 2049, "42601"),
    (r"Unimplemented type for cast \((\w+ -> \w+)\)", "Can not convert a value of one type into another ({})", 2016, "22023"),
    (r"Cannot specify both (OR REPLACE and IF NOT EXISTS)", "syntax error: {} exclude each other", 1003, "42000"),
    (r"columns? but (\d+) values were supplied",
     "Insert value list does not match column list: got {}", 2020, "21S01"),
    (r"(Set operations can only apply to expressions with the same number of result columns)",
     "invalid number of result columns for set operator input branches", 1789, "42601"),

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


# Types of values as the engine writes them.
_TYPES = (
    (r"DECIMAL\(", "NUMBER("), (r"INTEGER_LITERAL|BIGINT|HUGEINT|INTEGER|SMALLINT|TINYINT", "NUMBER"),
    (r"STRING_LITERAL", "VARCHAR"), (r"DOUBLE", "FLOAT"), (r"BLOB", "BINARY"), (r"JSON", "VARIANT"),
    (r"STRUCT\(\"?CXM_UTC.*?\)", "TIMESTAMP_TZ"), (r"TIMESTAMP WITH TIME ZONE", "TIMESTAMP_LTZ"),
    (r"TIMESTAMP\b", "TIMESTAMP_NTZ"),
)  # fmt: skip
# Words that no message of Snowflake's contains.
_OWN_WORDS = re.compile(
    r"duckdb|_cxm|_fs_|hugeint|struct\(|\blist_|\bmacro\b|_literal|\budf\b|traceback|python|\bblob\b|catalog|binder|\bparser\b|columns\(\*",
    re.I,
)


def _types(text: str) -> str:
    for pattern, name in _TYPES:
        text = re.sub(pattern, name, text)
    return text


def _plain(first: str) -> str:
    """Strip the engine's sentence of its kind and its advice; return a general one if it names the engine's internals."""
    text = (
        re.sub(r"^[A-Za-z][\w -]*? Error: ?", "", first).split(" You might need")[0].split(" Did you mean")[0].strip()
    )
    return "the statement cannot be run as it is written" if not text or _OWN_WORDS.search(text) else _types(text)


def _called(name: str) -> str:
    """Return a function's name as Snowflake has it; names of the engine's and this package's own functions are hidden."""
    return "of these arguments" if name.startswith(("_cxm", "_fs", "json_", "list_")) else name.upper()


def _compiled(first: str, statement: str) -> ProgrammingError | None:
    """Translate the message of DuckDB's binder, or of a few conversions, into Snowflake's error; None for any other."""
    for pattern, text, errno, sqlstate in _COMPILED:
        if match := re.search(pattern, first):
            return compilation(text.format(match[1]), errno, sqlstate)
    if match := re.search(r"No function matches the given name and argument types '(\S+?)\((.*?)\)'\.", first):
        return compilation(
            f"Invalid argument types for function '{_called(match[1])}': ({_types(match[2])})", 1044, "42P13"
        )
    if match := re.search(r"Macro (\w+)\(\) does not support the supplied arguments", first):
        return compilation(f"Invalid argument types or count for function '{_called(match[1])}'", 1044, "42P13")
    if match := re.search(r'Existing object ".+?" is of type (\w+), trying to drop type (\w+)', first):
        return wrong_kind(match[1], match[2])
    if match := re.search(r'Could not rename ".+?" to "(.+?)": another entry', first):
        return already_exists(match[1])
    if match := re.search(r'Casting value "(.+?)" to type DECIMAL', first):
        return ProgrammingError(msg=f"Numeric value '{match[1]}' is out of range", errno=100039, sqlstate="22003")
    if match := re.search(r'column "(.+?)" must appear in the GROUP BY clause', first):
        if "GROUP" in statement.upper():
            return compilation(
                f"'{match[1]}' in select clause is neither an aggregate nor in the group by clause.", 1104, "42601"
            )
        return compilation(f"[{match[1]}] is not a valid group by expression", 979, "42601")
    if match := re.search(r'Column with name "?(.+?)"? already exists', first):
        made = statement.lstrip().upper().startswith("CREATE")
        return compilation(
            f"duplicate column name '{match[1]}'" if made else f"column '{match[1]}' already exists",
            2025 if made else 1430,
            "42S21" if made else "42601",
        )
    if "More than one row returned by a subquery" in first:
        return ProgrammingError(msg="Single-row subquery returns more than one row.", errno=90150, sqlstate="22000")
    if match := re.search(r"Failed to cast value(?: to \w+)?: (.*)", first):
        return ProgrammingError(msg=f"Failed to cast variant value {match[1]} to FIXED", errno=100071, sqlstate="22000")
    if "Malformed JSON" in first:
        return ProgrammingError(msg=f"Error parsing JSON: {first}", errno=100069, sqlstate="22P02")
    if match := re.search(r"time field value out of range: \"(.*?)\"", first):
        return ProgrammingError(msg=f"Time '{match[1]}' is not recognized", errno=100108, sqlstate="22007")
    return None


def from_duckdb(error: Exception, statement: str) -> Error:
    """Translate an error that DuckDB raised while `statement` ran into Snowflake's. Never raises.

    An error without a counterpart becomes, by its class, 100039, 000625, 000603, 000002 or 002043; any other one 000603 (XX000),
    Snowflake's internal error. Its text is DuckDB's, unless that names the engine's internals.
    """
    message = str(error.args[0]) if error.args else str(error)
    first = message.split("\n")[0]
    if isinstance(error, duckdb.InterruptException):
        return ProgrammingError(msg="SQL execution canceled", errno=604, sqlstate="57014")
    if match := _TOO_LARGE.search(message):
        type_, value = match[2].replace(" ", "") if match[2] else "(38,0)", match[1] or ""
        return ProgrammingError(
            msg=f"Number out of representable range: type FIXED{type_}, value {value}", errno=100046, sqlstate="22003"
        )
    if (match := _NO_NUMBER.search(message)) and re.fullmatch(
        r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", match[1], re.I
    ):
        return ProgrammingError(msg=f"Numeric value '{match[1]}' is out of range", errno=100039, sqlstate="22003")
    if match := _RAISED.search(message):
        return ProgrammingError(msg=match[3], errno=int(match[1]), sqlstate=match[2])
    for pattern, text, errno, sqlstate in _CONVERSIONS:
        if match := pattern.search(message):
            value = next((g for g in match.groups() if g is not None), "")
            return ProgrammingError(msg=text.format(value), errno=errno, sqlstate=sqlstate)
    if compiled := _compiled(first, statement):
        return compiled
    if "ivision by zero" in first:
        return ProgrammingError(msg="Division by zero", errno=100051, sqlstate="22012")
    if isinstance(error, duckdb.ConstraintException) and (
        match := re.search(r"NOT NULL constraint failed: (\S+)", message)
    ):
        column = match[1].rpartition(".")[2]
        return ProgrammingError(
            msg=f"NULL result in a non-nullable column\nColumn '{column}'", errno=100072, sqlstate="22000"
        )
    if "Duplicate struct entry name" in message or "Duplicate named argument" in message:
        return ProgrammingError(msg=first, errno=100103, sqlstate="22000")
    if match := re.search(
        r'Referenced (?:column|table) "(.+?)" not found|does not have a column named "(.+?)"', message
    ):
        return compilation(f"invalid identifier '{match[1] or match[2]}'", 904, "42000")
    if match := re.search(
        r"(?:Scalar |Table |Aggregate |Macro )?Function with name \"?(\S+?)\"? does not exist", message
    ):
        name = match[1].upper()
        return unsupported(f"the function {name}") if name in KNOWN_FUNCTIONS else unknown_function(name)
    if match := re.search(
        r"(?:Table|View|Schema|Sequence|Catalog|Database) (?:with name )?\"?(\S+?)\"? does not exist", message
    ):
        return compilation(f"Object '{match[1].rstrip('!')}' does not exist or not authorized.", 2003, "42S02")
    if match := re.search(r"Unknown TimeZone '(.*?)'", message):
        return unknown_time_zone(match[1])
    if isinstance(error, duckdb.ConnectionException):
        return DatabaseError(msg="Connection is closed", errno=250002, sqlstate="08003")
    if isinstance(error, (duckdb.OutOfRangeException, duckdb.ConversionException)):
        return ProgrammingError(msg=_plain(first), errno=100039, sqlstate="22003")
    if isinstance(error, duckdb.TransactionException):
        if "onflict" in message:
            return ProgrammingError(
                msg="Statement conflicts with a transaction that is still open on the same object; it was rolled back. "
                f"({_plain(first)})",
                errno=625,
                sqlstate="57014",
            )
        return ProgrammingError(
            msg=f"The transaction was given up after an error in it; send ROLLBACK. ({_plain(first)})",
            errno=603,
            sqlstate="XX000",
        )
    if isinstance(error, (duckdb.ParserException, duckdb.NotImplementedException)):
        near = re.search(r'at or near "+(.*?)"+$', first)
        return unsupported(f"{' '.join(statement.split())[:60]} ({f'near {near[1]}' if near else _plain(first)})")
    if isinstance(error, (duckdb.BinderException, duckdb.CatalogException)):
        return compilation(_plain(first), 2043, "02000")
    return DatabaseError(msg=f"SQL execution internal error: {_plain(first)}", errno=603, sqlstate="XX000")


def from_parser(error: Exception, statement: str) -> ProgrammingError:
    """Translate the SQL parser's error into 001003 with its place, or into 000938 or 000939 for an argument count."""
    if arguments := getattr(error, "arguments", None):
        return argument_count(*arguments)
    details = getattr(error, "errors", None) or [{}]
    first = details[0]
    line, column = first.get("line") or 1, first.get("col") or 0
    text = first.get("highlight") or (statement.strip().split() or [""])[0]
    begins = " ".join(statement.split())[:60]
    return compilation(
        f"syntax error line {line} at position {column} unexpected '{text[:80]}'. The statement begins: {begins}",
        1003,
        "42000",
    )
