"""Parses the options of a COPY INTO <table> statement as Snowflake documents them; raises Snowflake's errors for invalid ones.

https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#optional-parameters
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from flows.embedded.warehouse.session.context import SessionContext, UrlStorage
from flows.embedded.warehouse.text.grammar import split_name

MAX_FILES = 1000
METADATA = (
    "METADATA$FILENAME", "METADATA$FILE_ROW_NUMBER", "METADATA$FILE_CONTENT_KEY", "METADATA$FILE_LAST_MODIFIED",
    "METADATA$START_SCAN_TIME",
)  # fmt: skip


def fail(code: int, state: str, message: str) -> ProgrammingError:
    """Return the error that the connector would raise."""
    return ProgrammingError(msg=message, errno=code, sqlstate=state)


def compilation(code: int, state: str, message: str) -> ProgrammingError:
    """Return the error for a statement that does not compile."""
    return fail(code, state, f"SQL compilation error:\n{message}")


def invalid(name: str, value: object) -> ProgrammingError:
    """Return the error for a value that the option does not take."""
    return compilation(1008, "22023", f"invalid value [{value}] for parameter '{name}'")


@dataclass(frozen=True, slots=True)
class Options:
    """Copy options with Snowflake's defaults (copy-into-table#copy-options-copyoptions)."""

    files: tuple[str, ...] | None = None
    pattern: str | None = None
    on_error: str = "ABORT_STATEMENT"
    skip_at: float | None = None  # SKIP_FILE_<n>: number of errors; SKIP_FILE_<n>%: minus their share of the records
    force: bool = False
    purge: bool = False
    size_limit: int | None = None
    enforce_length: bool = True
    match_by: str = "NONE"
    include_metadata: tuple[tuple[str, str], ...] = ()
    return_failed_only: bool = False
    load_uncertain_files: bool = False
    validation: str | None = None
    file_format: Mapping[str, object] | None = None


def _value(node: Any, session: SessionContext) -> Any:
    """Convert an option's value to str, int, float, bool, None for NULL, or a list if in parentheses; binds are resolved."""
    match node:
        case exp.Boolean():
            return bool(node.this)
        case exp.Literal() if node.is_string:
            return node.this
        case exp.Literal():
            return float(node.this) if "." in node.this else int(node.this)
        case exp.Neg():
            return -_value(node.this, session)
        case exp.Paren():
            return [_value(node.this, session)]
        case exp.Tuple() | exp.Array():
            return [_value(item, session) for item in node.expressions]
        case exp.Null():
            return None
        case exp.Placeholder():
            return bound(node, session)
        case exp.Var() | exp.Identifier() | exp.Column():
            return node.name
    raise compilation(1003, "42000", f"syntax error: unexpected '{node}' as the value of an option")


def bound(node: exp.Placeholder, session: SessionContext) -> Any:
    """Return the value bound to a placeholder: by name, by the number of `:n`, or by the place of `?` in the statement."""
    bindings = session.bindings
    if isinstance(bindings, Mapping):
        key = str(node.this or node.name)
        if key in bindings:
            return bindings[key]
    elif bindings is not None:
        root = node.root()
        places = list(root.find_all(exp.Placeholder, bfs=False))
        index = int(node.name) - 1 if node.name.isdigit() else next(i for i, p in enumerate(places) if p is node)
        if index < len(bindings):
            return bindings[index]
    raise compilation(2049, "42601", "Bind variable for a placeholder is not set.")


def file_format(param: exp.CopyParameter, session: SessionContext) -> dict[str, object]:
    """Read FILE_FORMAT = (FORMAT_NAME = … options | TYPE = … options), or FILE_FORMAT = name, into option names and values.

    Options beside FORMAT_NAME change the named format for this statement (copy-into-table#optional-parameters calls the two
    mutually exclusive and the result of both "unexpected behavior"; this is what accounts do).
    """
    if param.expression is not None and not isinstance(param.expression, exp.Null):
        return dict(session.file_format(_dotted(param.expression, session)))
    options: dict[str, object] = {}
    for item in param.expressions:
        if not isinstance(item, exp.Property):
            raise compilation(1003, "42000", f"syntax error: unexpected '{item}' in FILE_FORMAT")
        name = item.this.name.upper()
        node = item.args.get("value")
        if name == "FORMAT_NAME":
            options[name] = _dotted(node, session)
            continue
        value = _value(node, session)
        options[name] = None if isinstance(node, exp.Var) and str(value).upper() == "NONE" else value
    named = options.pop("FORMAT_NAME", None)
    return options if named is None else {**session.file_format(str(named)), **options}


def _dotted(node: Any, session: SessionContext) -> str:
    if isinstance(node, (exp.Literal, exp.Placeholder)):
        return str(_value(node, session))
    return node.sql(dialect="snowflake") if node is not None else ""


def read_options(statement: exp.Copy, session: SessionContext) -> Options:
    options: dict[str, Any] = {}
    named: set[str] = set()
    for param in statement.args.get("params") or []:
        name = param.this.name.upper()
        if name in named or (name == "TRUNCATECOLUMNS" and "ENFORCE_LENGTH" in named):
            raise compilation(1006, "42601", f"conflicting values for copy option '{name}'")
        named.add(name)
        if name == "FILE_FORMAT":
            options["file_format"] = file_format(param, session)
            continue
        if name == "INCLUDE_METADATA":
            options["include_metadata"] = _include_metadata(param.expression)
            continue
        if name == "STORAGE_INTEGRATION":
            continue  # `url_storage` reads it, wherever the statement has it
        value = _value(param.expression, session)
        word = str(value).upper()
        match name:
            case "FILES":
                files = value if isinstance(value, list) else [value]
                if len(files) > MAX_FILES:
                    raise compilation(
                        1018, "22023", f"too many values in parameter 'FILES': {len(files)}, at most {MAX_FILES}"
                    )
                options["files"] = tuple(str(f) for f in files)
            case "PATTERN":
                options["pattern"] = str(value)
            case "ON_ERROR":
                options["on_error"], options["skip_at"] = _on_error(word)
            case "FORCE" | "PURGE" | "RETURN_FAILED_ONLY" | "LOAD_UNCERTAIN_FILES" | "ENFORCE_LENGTH":
                options[name.lower()] = _boolean(name, value)
            case "TRUNCATECOLUMNS":
                options["enforce_length"] = not _boolean(name, value)
            case "SIZE_LIMIT":
                if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value <= 0):
                    raise invalid(name, value)
                options["size_limit"] = value
            case "MATCH_BY_COLUMN_NAME":
                if word not in ("NONE", "CASE_SENSITIVE", "CASE_INSENSITIVE"):
                    raise invalid(name, value)
                options["match_by"] = word
            case "VALIDATION_MODE":
                if not re.fullmatch(r"RETURN_(\d+_ROWS|ERRORS|ALL_ERRORS)", word):
                    raise invalid(name, value)
                options["validation"] = word
            case _:
                raise compilation(1006, "42601", f"invalid parameter '{param.this.name}'")
    return Options(**options)


def url_storage(statement: exp.Copy, session: SessionContext) -> UrlStorage:
    """Read STORAGE_INTEGRATION = name or CREDENTIALS = (…) of a COPY from a URL
    (https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#additional-cloud-provider-parameters)."""
    beside = statement.args.get("credentials")
    integration = beside.args.get("storage") if beside is not None else None
    for param in statement.args.get("params") or []:
        if param.this.name.upper() == "STORAGE_INTEGRATION":
            integration = param.expression
    keys = (beside.args.get("credentials") if beside is not None else None) or []
    credentials = {item.this.name.upper(): str(_value(item.args.get("value"), session)) for item in keys}
    name = None
    if isinstance(integration, exp.Identifier):
        name = folded(integration)
    elif integration is not None:
        name = split_name(integration.sql(dialect="snowflake"))[-1]
    return UrlStorage(name, credentials or None)


def _boolean(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).upper() not in ("TRUE", "FALSE"):
        raise invalid(name, value)
    return str(value).upper() == "TRUE"


def _on_error(word: str) -> tuple[str, float | None]:
    """Read ON_ERROR's five forms (copy-into-table#copy-options-copyoptions): the mode and, for SKIP_FILE_<n>[%], its limit."""
    if word in ("ABORT_STATEMENT", "CONTINUE", "SKIP_FILE"):
        return word, 1 if word == "SKIP_FILE" else None
    match = re.fullmatch(r"SKIP_FILE_(\d+)(%?)", word)
    if not match or (match[2] and int(match[1]) > 100) or int(match[1]) == 0:
        raise invalid("ON_ERROR", word)
    return "SKIP_FILE", -int(match[1]) / 100 if match[2] else int(match[1])


def _include_metadata(node: Any) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in (
        node.expressions if isinstance(node, exp.Tuple) else [node.this if isinstance(node, exp.Paren) else node]
    ):
        if not isinstance(item, exp.EQ) or item.expression.name.upper() not in METADATA:
            raise invalid("INCLUDE_METADATA", item)
        pairs.append((folded(item.this.this), item.expression.name.upper()))
    return tuple(pairs)


def folded(identifier: Any) -> str:
    """Return an identifier's name as Snowflake stores it: upper case unless it is in double quotes."""
    return str(identifier.name) if identifier.args.get("quoted") else str(identifier.name).upper()
