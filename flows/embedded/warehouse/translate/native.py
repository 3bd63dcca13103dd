"""The functions that DuckDB calls in Python, where its SQL cannot compute what Snowflake documents: `_cxm_json1` …

Engine ──at its start──▶ DuckDB knows each by its name; the macros and the translated statements call them

Rare functions only: DuckDB calls Python once for each row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from snowflake.connector.errors import ProgrammingError

from flows.embedded.warehouse.text import number_formats, number_reading
from flows.embedded.warehouse.text.errors import RAISED
from flows.embedded.warehouse.translate import bit_functions, json_rows, json_values, regular_expressions, text_values

_ROWS = 'STRUCT("KEY" VARCHAR, "PATH" VARCHAR, "INDEX" BIGINT, "VALUE" VARCHAR, "THIS" VARCHAR)[]'
_T = "VARCHAR"


@dataclass(frozen=True)
class Native:
    """A DuckDB function that is written in Python; it also receives NULL arguments."""

    name: str
    run: Callable[..., Any]
    parameters: tuple[str, ...]
    returns: str


def _number_text(format_: str | None, number: str | None, floating: bool) -> str | None:
    if format_ is None or number is None:
        return None
    try:
        return number_formats.write(format_, number, floating)
    except ProgrammingError as e:
        raise _raised(e) from None


def _raised(error: ProgrammingError) -> ValueError:
    return ValueError(f"{RAISED}{error.errno:06d}:{error.sqlstate}:{error.raw_msg}")


def _number_read(format_: str | None, text: str | None, attempt: bool) -> str | None:
    if format_ is None or text is None:
        return None
    try:
        number = number_reading.read(format_, text)
    except ProgrammingError as e:
        raise _raised(e) from None
    if number is None and not attempt:
        raise json_values.fail(f"Can't parse '{text}' as number with format '{format_}'", 100140, "22007")
    return None if number is None else f"{number:f}"


FUNCTIONS = (
    Native("_cxm_json1", lambda name, a: json_values.call(name, a), (_T,) * 2, _T),
    Native("_cxm_json2", lambda name, a, b: json_values.call(name, a, b), (_T,) * 3, _T),
    Native("_cxm_json3", lambda name, a, b, c: json_values.call(name, a, b, c), (_T,) * 4, _T),
    Native("_cxm_json_many", lambda name, texts: json_values.call(name, *texts), (_T, f"{_T}[]"), _T),
    Native("_cxm_array_contains", json_values.contains, (_T, _T), "BOOLEAN"),
    Native("_cxm_array_position", json_values.position, (_T, _T), "BIGINT"),
    Native("_cxm_array_text", json_values.joined, (_T, _T), _T),
    Native("_cxm_compact_text", json_values.compact_text, (_T,), _T),
    Native("_cxm_same_json", json_values.comparable, (_T,), _T),
    Native("_cxm_grouped_json", json_rows.grouped, (_T,), _T),
    Native("_cxm_with_floats", json_rows.with_floats, (_T, _T), _T),
    Native("_cxm_json_text", json_values.json_text, (_T,), _T),
    Native("_cxm_parsed_json", json_rows.parsed, (_T,), _T),
    Native("_cxm_try_parsed_json", json_rows.try_parsed, (_T,), _T),
    Native("_cxm_holder", json_rows.holder, (_T, _T), _T),
    Native("_cxm_flattened", json_rows.flattened, (_T, _T, "BOOLEAN", "BOOLEAN", _T), _ROWS),
    Native("_cxm_number_text", _number_text, (_T, _T, "BOOLEAN"), _T),
    Native("_cxm_number_read", _number_read, (_T, _T, "BOOLEAN"), _T),
    *(
        Native(name, run, parameters, returns)
        for name, run, parameters, returns in (
            *regular_expressions.FUNCTIONS,
            *text_values.FUNCTIONS,
            *bit_functions.FUNCTIONS,
        )
    ),
)
