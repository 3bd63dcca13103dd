"""Reads a statement's text before it is parsed: its kind, `$variables`, binds.

"SELECT $day, ?" ──variables_inlined, with_literals──▶ "SELECT '2018-01-01', 7"; ──query_type──▶ SELECT
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from snowflake.connector.errors import ProgrammingError

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.function_names import KNOWN_FUNCTIONS
from flows.embedded.warehouse.text.grammar import Words, quote, replaced


def variables_inlined(sql: str, variables: Mapping[str, Any]) -> str:
    """Replace $name outside strings, quoted names and comments by its value
    (https://docs.snowflake.com/en/sql-reference/session-variables#using-variables-in-sql)."""
    if "$" not in sql:
        return sql
    values = {name.upper(): value for name, value in variables.items()}

    def value(text: str) -> str:
        name = text[1:].upper()
        if name not in values:
            raise errors.unknown_variable(name)
        return str(values[name])

    return replaced(sql, "variable", value)


def with_literals(command: str, bindings: Any) -> str:
    """Replace server-side binds (`?`, `:1`, `:name`) by constants, in statements that DuckDB never sees."""
    if not bindings:
        return command
    left = list(bindings.values() if isinstance(bindings, dict) else bindings)

    def literal(mark: str) -> str:
        if mark == "?":
            value = left.pop(0) if left else None
        else:
            value = bindings[mark[1:]] if isinstance(bindings, dict) else bindings[int(mark[1:]) - 1]
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else quote(str(value))

    return replaced(command, "bind", literal)


def with_numbered_binds(command: str) -> str:
    """Replace each `?` by `:1`, `:2` …, so that a query made from a part of the statement still names its own binds."""
    if "?" not in command:
        return command
    number = itertools.count(1)
    return replaced(command, "bind", lambda mark: f":{next(number)}" if mark == "?" else mark)


# https://docs.snowflake.com/en/sql-reference/sql-all: what a statement may begin with on an account
_VERBS = frozenset({
    "ALTER", "BEGIN", "CALL", "COMMENT", "COMMIT", "COPY", "CREATE", "DECLARE", "DELETE", "DESC", "DESCRIBE", "DROP",
    "EXECUTE", "EXPLAIN", "GET", "GRANT", "INSERT", "LIST", "LS", "MERGE", "PUT", "REMOVE", "REVOKE", "RM", "ROLLBACK",
    "SELECT", "SET", "SHOW", "START", "TRUNCATE", "UNDROP", "UNSET", "UPDATE", "USE", "WITH",
})  # fmt: skip


def refused(command: str) -> ProgrammingError:
    """Return the error for a statement that could not be parsed: Snowflake does not know it either, or it is not emulated."""
    words = Words(command)
    verb = words.upper()
    if verb == "CALL":
        words.take()
        name = ".".join(words.name())
        return errors.unsupported(f"CALL {name}") if name in KNOWN_FUNCTIONS else errors.unknown_function(name)
    return errors.unsupported(summary(command)) if verb in _VERBS else words.unexpected()


# What may follow a block's BEGIN (https://docs.snowflake.com/en/developer-guide/snowflake-scripting/blocks).
_IN_BLOCKS = frozenset({
    "LET", "RETURN", "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "DROP", "IF", "FOR", "WHILE", "EXECUTE", "CALL",
})  # fmt: skip


def check_form(words: Words) -> None:
    """Refuse a statement by its words alone: 000008 for several statements, 000002 for blocks, UNDROP, CREATE OR ALTER and others
    that are not emulated, 001003 for other systems' forms of COPY, INSERT and SET."""
    if words.upper() == "DECLARE" or (words.upper() == "BEGIN" and words.upper(1) in _IN_BLOCKS):
        raise errors.unsupported(f"a Snowflake Scripting block ({summary(words.sql)})")
    at = 3 if words.sees("CREATE", "OR", "REPLACE") else 1
    if words.sees("CREATE") and words.upper(at + (words.upper(at) == "ROW")) == "ACCESS":
        raise errors.unsupported(summary(words.sql))
    if words.sees("UNDROP"):
        raise errors.unsupported(summary(words.sql))
    if words.sees("MERGE") and _has(words, "ALL", "BY", "NAME"):
        raise errors.unsupported("MERGE … ALL BY NAME")
    if "->>" in words.sql and _has(words, "-", ">", ">"):
        raise errors.unsupported("the flow operator ->>")
    if (count := statement_count(words.sql)) > 1:
        raise errors.several_statements(count)
    if words.sees("CREATE", "OR", "ALTER"):
        raise errors.unsupported(summary(words.sql))
    if words.sees("COPY") and not words.sees("COPY", "INTO"):
        words.take()
        raise words.unexpected()
    if words.sees("CREATE", "OR", "REPLACE"):
        _check_replaces(words)
    if words.sees("INSERT"):
        _check_insert(words)
    if words.sees("SET") and words.upper(1) != "(" and words.upper(2) != "=":
        words.take()
        words.take()
        raise words.unexpected()


def _has(words: Words, *wanted: str) -> bool:
    """Whether the statement has these words, one after the other."""
    texts: list[str] = []
    while words.peek(len(texts)) is not None:
        texts.append(words.upper(len(texts)) or words.peek(len(texts)).text)  # type: ignore[union-attr]
    return any(tuple(texts[at : at + len(wanted)]) == wanted for at in range(len(texts)))


def _check_replaces(words: Words) -> None:
    """Refuse OR REPLACE with IF NOT EXISTS (https://docs.snowflake.com/en/sql-reference/sql/create-table#usage-notes)."""
    at = 3
    while words.upper(at).isalpha() and words.upper(at) not in ("IF", "AS"):
        at += 1
    if words.upper(at) == "IF" and (words.upper(at + 1), words.upper(at + 2)) == ("NOT", "EXISTS"):
        raise errors.syntax("IF NOT EXISTS: OR REPLACE and IF NOT EXISTS exclude each other")


def _check_insert(words: Words) -> None:
    """Refuse MySQL's INSERT INTO t SET a = 1 (https://docs.snowflake.com/en/sql-reference/sql/insert#syntax)."""
    if words.upper(1) not in ("INTO", "OVERWRITE", "ALL", "FIRST", "OR"):
        words.take()
        raise words.unexpected()
    at = 1
    while words.upper(at) in ("OVERWRITE", "INTO"):
        at += 1
    while (token := words.peek(at)) is not None and words.upper(at + 1) == ".":
        at += 2
    if token is not None and (word := words.upper(at + 1)) in ("SET", "TABLE"):
        raise errors.syntax(word, words.peek(at + 1).start)  # type: ignore[union-attr]


def refused_description(words: Words) -> ProgrammingError:
    """Return the error for a DESCRIBE that is not supported; DESCRIBE of a query or a file is a syntax error
    (https://docs.snowflake.com/en/sql-reference/sql/desc)."""
    text = words.sql
    words.take()
    described = words.upper()
    if described.isalpha() and described not in ("SELECT", "WITH", "VALUES", "TABLE", "VIEW") and words.peek(1):
        return errors.unsupported(summary(text))
    return words.unexpected()


def statement_count(command: str) -> int:
    """Count the statements of a text, without empty ones."""
    if ";" not in command.rstrip().rstrip(";"):
        return 1
    words, count, begun = Words(command), 0, False
    while words.peek() is not None:
        ends = words.take().text == ";"
        count += not ends and not begun
        begun = not ends
    return count


def summary(command: str) -> str:
    """Return the statement's first six words, to name it in messages."""
    words = Words(command)
    shown: list[str] = []
    while len(shown) < 6 and words.peek():
        shown.append(words.take().text)
    return " ".join(shown)[:80]


def query_type(command: str) -> str:
    """QUERY_TYPE of QUERY_HISTORY: SELECT, INSERT, CREATE_TABLE …"""
    words = Words(command)
    first = words.upper()
    if first == "WITH":
        return "SELECT"
    if first in ("CREATE", "ALTER", "DROP"):
        at = 3 if words.upper(1) == "OR" else 1
        while words.upper(at) in ("TRANSIENT", "TEMPORARY", "TEMP"):
            at += 1
        return f"{first}_{words.upper(at)}"
    return {"BEGIN": "BEGIN_TRANSACTION", "DESC": "DESCRIBE", "LS": "LIST_FILES", "LIST": "LIST_FILES"}.get(
        first, first
    )
