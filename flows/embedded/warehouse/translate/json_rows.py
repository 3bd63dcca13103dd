"""Parses texts into values (PARSE_JSON's own grammar), turns values into rows (FLATTEN), and groups equal values.

DuckDB ──native functions `_cxm_parsed_json`, `_cxm_flattened`──▶ here

https://docs.snowflake.com/en/sql-reference/functions/parse_json, …/functions/flatten
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from flows.embedded.warehouse.text.errors import RAISED
from flows.embedded.warehouse.translate.json_values import Exponent, comparable, dumps, fail, loads, number

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_STEP = re.compile(r"""\[(?:(\d+)|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]|\.?(?:"([^"]*)"|([^.\[\]"]+))""")


# ---- GROUP BY, DISTINCT


def grouped(value: str | None) -> str | None:
    """Return the text that shows a group of equal VARIANTs. Refuses FLOATs: their text beside a NUMBER is not documented."""
    if value is None:
        return None
    if _has_float(loads(value)):
        raise fail("GROUP BY, DISTINCT or a set operation of VARIANTs that hold a FLOAT (cast them)")
    return comparable(value)


def with_floats(text: str | None, keys: str | None) -> str | None:
    """Mark numbers of an array or object as FLOATs: all of them, or those of these keys
    (https://docs.snowflake.com/en/sql-reference/data-types-semistructured)."""
    if text is None or keys is None:
        return None
    value, of = loads(text), json.loads(keys)
    if isinstance(value, list):
        return dumps([_floating(item) for item in value])
    if isinstance(value, dict):
        return dumps({key: _floating(item) if not of or key in of else item for key, item in value.items()})
    return text


def _floating(value: Any) -> Any:
    return Exponent(value) if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else value


def _has_float(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, Exponent) or any(map(_has_float, parts))


# ---- PARSE_JSON

_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_$][\w$]*)(\s*:)")
_PIECES = re.compile(r'("(?:[^"\\]|\\.)*")', re.S)


def try_parsed(text: str | None) -> str | None:
    """Compute TRY_PARSE_JSON: NULL for a text that is not JSON."""
    try:
        return parsed(text)
    except ValueError as e:
        if f"{RAISED}100069" in str(e):
            return None
        raise


def parsed(text: str | None) -> str | None:
    """Parse a text as PARSE_JSON does, which also reads keys without quotes. Raises 100069 for a text that is not JSON.

    https://docs.snowflake.com/en/sql-reference/functions/parse_json
    """
    if text is None or not text.strip():
        return None
    pieces = _PIECES.split(text)
    joined_ = "".join(p if i % 2 else _BARE_KEY.sub(r'\1"\2"\3', p) for i, p in enumerate(pieces))
    try:
        return dumps(json.loads(joined_, parse_float=number, parse_constant=_no_constant, object_pairs_hook=_once))
    except ValueError as e:
        if re.search(r"[\[,]\s*[,\]]", joined_):
            raise fail("an array with elements that are left out (undefined)") from None
        raise fail(f"Error parsing JSON: {text[:200]}", 100069, "22P02") from e


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; raise ValueError if a key comes twice
    (https://docs.snowflake.com/en/sql-reference/functions/parse_json#usage-notes)."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("duplicate object attribute")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(name)


# ---- FLATTEN


def flattened(text: str | None, path: str, outer: bool, recursive: bool, mode: str) -> list[dict[str, Any]]:
    """Return the rows of FLATTEN for one value (https://docs.snowflake.com/en/sql-reference/functions/flatten).

    With RECURSIVE the rows have THIS, which differs from row to row. Otherwise `holder` returns it once for all of them: a value
    of ten thousand elements would be repeated ten thousand times.
    """
    value, exists = _at(loads(text), path) if text is not None else (None, False)
    rows = list(_expanded(value, path, recursive, mode)) if exists else []
    if rows or not outer:
        return rows
    this = dumps(value) if recursive and isinstance(value, (list, dict)) else None
    return [{"KEY": None, "PATH": path, "INDEX": None, "VALUE": None, "THIS": this}]


def holder(text: str | None, path: str) -> str | None:
    """Return THIS of FLATTEN without RECURSIVE: the value whose elements the rows are."""
    value = _at(loads(text), path)[0] if text is not None else None
    return dumps(value) if isinstance(value, (list, dict)) else None


def _at(value: Any, path: str) -> tuple[Any, bool]:
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise fail(f"the path '{path}' of FLATTEN")
        at = step.end()
        index, quoted, doubled, named, plain = step.groups()
        key = next((k for k in (quoted, doubled, named, plain) if k is not None), None)
        if index is not None and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        elif key is not None and isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return None, False
    return value, True


def _expanded(value: Any, path: str, recursive: bool, mode: str) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and mode != "ARRAY":
        items: list[tuple[str | None, int | None, str, Any]]
        items = [(key, None, _joined_path(path, key), value[key]) for key in sorted(value)]
    elif isinstance(value, list) and mode != "OBJECT":
        items = [(None, i, f"{path}[{i}]", item) for i, item in enumerate(value)]
    else:
        return
    this = dumps(value) if recursive else None
    for key, index, where, item in items:
        yield {"KEY": key, "PATH": where, "INDEX": index, "VALUE": dumps(item), "THIS": this}
        if recursive:
            yield from _expanded(item, where, recursive, mode)


def _joined_path(path: str, key: str) -> str:
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}['{key}']"
    return f"{path}.{key}" if path else key
