"""Snowflake's functions of arrays and objects, on JSON texts: ARRAY_INSERT('[0,2]', 1, '1') → '[0,1,2]'.

DuckDB ──native function `_cxm_json('ARRAY_INSERT', …)`──▶ here: texts in, a text or NULL out

DuckDB has no functions for most of them, and its JSON has no order of keys.
https://docs.snowflake.com/en/sql-reference/functions-semistructured
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from flows.embedded.warehouse.text.errors import RAISED


def fail(text: str, number: int = 2, state: str = "0A000") -> ValueError:
    """Return an error that reaches the client with Snowflake's number."""
    if number == 2:
        text = f"Unsupported feature '{text}' in the embedded warehouse"
    return ValueError(f"{RAISED}{number:06d}:{state}:{text}")


class Exponent(Decimal):
    """A number that was written with an exponent: a FLOAT, shown as 1.912000000000000e+02."""


def number(text: str) -> Decimal:
    """Read a number of a JSON text with all of its digits."""
    return Exponent(text) if "e" in text.lower() else Decimal(text)


def loads(text: str | None) -> Any:
    """Parse a JSON text; numbers keep their digits."""
    return None if text is None else json.loads(text, parse_float=number)


def pretty(value: Any, indent: str = "\n") -> str:
    """Write an array or object over several lines, as a client shows it."""
    if not isinstance(value, (dict, list)) or not value:
        return dumps(value)
    deeper = indent + "  "
    if isinstance(value, list):
        return "[" + ",".join(deeper + pretty(item, deeper) for item in value) + indent + "]"
    pairs = (f"{deeper}{dumps(key)}: {pretty(value[key], deeper)}" for key in sorted(value))
    return "{" + ",".join(pairs) + indent + "}"


def dumps(value: Any) -> str:
    """Write a value as Snowflake does in one line: keys in order, 1.50 as 1.5."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{dumps(k)}:{dumps(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    if isinstance(value, Exponent):
        return f"{float(value):.15e}"
    if isinstance(value, Decimal):
        return _number(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _number(value: Decimal) -> str:
    if not -15 <= value.adjusted() <= 37:
        return str(value).lower()
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def text_of(value: Any) -> str | None:
    """Write a value as TO_VARCHAR does: a text without its quotes."""
    if value is None or isinstance(value, str):
        return value
    return f"{float(value):.10g}" if isinstance(value, Exponent) else dumps(value)  # a FLOAT's text


def kind_of(value: Any) -> str:
    """Return the kind of a value: only values of one kind may be equal."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, Decimal, float)):
        return "number"
    return {type(None): "null", str: "text", list: "array", dict: "object"}[type(value)]


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal; TRUE is not 1."""
    if kind_of(a) != kind_of(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


def _array(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise fail(f"{name} of {kind_of(value)}, not an array")
    return value


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise fail(f"{name} of {kind_of(value)}, not an object")
    return value


def _index(value: Any) -> int:
    return int(Decimal(value).to_integral_value())


# ---- functions of arrays: each takes values and returns one; SQL's NULL never reaches them


def _place(array: list[Any], value: Any) -> int:
    return next((i for i, item in enumerate(array) if same(item, value)), -1)


def _without(array: list[Any], others: list[Any]) -> tuple[list[Any], list[Any]]:
    """Split an array into what `others` leaves and what it takes; each of `others` takes one element."""
    left, taken, rest = [], [], list(others)
    for item in array:
        if (at := _place(rest, item)) >= 0:
            rest.pop(at)
            taken.append(item)
        else:
            left.append(item)
    return left, taken


def _insert(array: list[Any], at: Any, value: Any) -> list[Any]:
    place = _index(at)
    if not -len(array) <= place <= len(array):
        raise fail("ARRAY_INSERT beyond the end of an array (undefined elements)")
    return [*array[:place], value, *array[place:]] if place >= 0 or array else [value]


def _remove_at(array: list[Any], at: Any) -> list[Any]:
    place = _index(at)
    if not -len(array) <= place < len(array):
        return array
    return [item for i, item in enumerate(array) if i != place % len(array)]


def _distinct(array: list[Any]) -> list[Any]:
    made: list[Any] = []
    for item in array:
        if _place(made, item) < 0:
            made.append(item)
    return made


def _order(a: Any, b: Any) -> int:
    if kind_of(a) != kind_of(b) or isinstance(a, (list, dict)):
        raise fail("the order of array elements of several kinds")
    return int(a > b) - int(a < b)


def _sorted(array: list[Any], ascending: Any = True, nulls_first: Any = None) -> list[Any]:
    """Sort elements; JSON's null is the highest. The third argument concerns only SQL's NULL, which no array has here
    (https://docs.snowflake.com/en/sql-reference/functions/array_sort#arguments)."""
    nulls = [item for item in array if item is None]
    others = sorted((item for item in array if item is not None), key=cmp_to_key(_order), reverse=not ascending)
    return [*others, *nulls] if ascending else [*nulls, *others]


_NOTHING = object()  # SQL's NULL, where None is JSON's


def _extreme(array: list[Any], last: bool) -> Any:
    ordered = _sorted(array)
    return ordered[-1 if last else 0] if ordered else _NOTHING


def _flattened(array: list[Any]) -> list[Any]:
    if any(not isinstance(item, list) for item in array):
        text = "Not an array: 'Input argument to ARRAY_FLATTEN is not an array of arrays'"
        raise fail(text, 100107, "22000")
    return [item for part in array for item in part]


def _range(start: Any, stop: Any, step: Any = 1) -> list[int]:
    if not _index(step):
        raise fail("ARRAY_GENERATE_RANGE with a step of 0")
    return list(range(_index(start), _index(stop), _index(step)))


def _zipped(*arrays: list[Any]) -> list[dict[str, Any]]:
    size = max((len(a) for a in arrays), default=0)
    if not size:
        return [{}]
    return [{f"${n}": a[i] if i < len(a) else None for n, a in enumerate(arrays, 1)} for i in range(size)]


def _to_object(keys: list[Any], values: list[Any]) -> dict[str, Any]:
    if len(keys) != len(values):
        raise fail("Key array and value array had unequal lengths in ARRAYS_TO_OBJECT", 215001, "22000")
    if any(not isinstance(key, (str, type(None))) for key in keys):
        raise fail("Key supplied for ARRAYS_TO_OBJECT does not have string type", 215002, "22000")
    return {k: v for k, v in zip(keys, values, strict=True) if k is not None}


def _inserted(before: dict[str, Any], key: str, value: Any, update: Any = False) -> dict[str, Any]:
    if key in before and not update:
        raise fail(f"OBJECT_INSERT of the key {key}, which exists already")
    return {**before, key: value}


def _keys(keys: tuple[Any, ...]) -> set[Any]:
    return {k for key in keys for k in (key if isinstance(key, list) else [key])}


def _tokens(text: str, characters: str = " ") -> list[str]:
    return [t for t in re.split("[" + re.escape(characters) + "]", text) if t] if characters else [text]


def _ignoring_case(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        if key in value:
            return value[key]
        return next((v for k, v in value.items() if k.upper() == str(key).upper()), None)
    return None


_ARRAYS: dict[str, Callable[..., Any]] = {
    "ARRAY_APPEND": lambda a, v: [*a, v],
    "ARRAY_PREPEND": lambda a, v: [v, *a],
    "ARRAY_CAT": lambda a, b: [*a, *_array(b, "ARRAY_CAT")],
    "ARRAY_INSERT": _insert,
    "ARRAY_REMOVE": lambda a, v: [item for item in a if not same(item, v)],
    "ARRAY_REMOVE_AT": _remove_at,
    "ARRAY_SLICE": lambda a, start, stop: a[_index(start) : _index(stop)],
    "ARRAY_DISTINCT": _distinct,
    "ARRAY_COMPACT": lambda a: [item for item in a if item is not None],
    "ARRAY_SORT": _sorted,
    "ARRAY_REVERSE": lambda a: a[::-1],
    "ARRAY_MAX": lambda a: _extreme(a, True),
    "ARRAY_MIN": lambda a: _extreme(a, False),
    "ARRAY_EXCEPT": lambda a, b: _without(a, _array(b, "ARRAY_EXCEPT"))[0],
    "ARRAY_INTERSECTION": lambda a, b: _without(a, _array(b, "ARRAY_INTERSECTION"))[1],
    "ARRAYS_OVERLAP": lambda a, b: any(_place(_array(b, "ARRAYS_OVERLAP"), item) >= 0 for item in a),
    "ARRAY_FLATTEN": _flattened,
    "ARRAYS_ZIP": _zipped,
    "ARRAYS_TO_OBJECT": _to_object,
}
_OBJECTS: dict[str, Callable[..., Any]] = {
    "OBJECT_KEYS": lambda o: sorted(o),
    "OBJECT_INSERT": _inserted,
    "OBJECT_DELETE": lambda o, *keys: {k: v for k, v in o.items() if k not in _keys(keys)},
    "OBJECT_PICK": lambda o, *keys: {k: v for k, v in o.items() if k in _keys(keys)},
}


def _got(value: Any, step: Any) -> Any:
    if isinstance(value, list) and kind_of(step) == "number" and 0 <= _index(step) < len(value):
        return value[_index(step)]
    return value.get(step) if isinstance(value, dict) and isinstance(step, str) else None


_OTHERS: dict[str, Callable[..., Any]] = {
    "GET": _got,
    "TO_ARRAY": lambda v: v if isinstance(v, list) else [v],
    "TO_OBJECT": lambda v: _object(v, "TO_OBJECT"),
    "_CXM_ONLY_ARRAY": lambda v: _array(v, "an ARRAY column"),
    "_CXM_ONLY_OBJECT": lambda v: _object(v, "an OBJECT column"),
    "ARRAY_GENERATE_RANGE": _range,
    "GET_IGNORE_CASE": _ignoring_case,
    "STRTOK_TO_ARRAY": _tokens,
}


# The argument that becomes an element of an array: JSON has no element for SQL's NULL.
_UNDEFINED = {"ARRAY_APPEND": 1, "ARRAY_PREPEND": 1, "ARRAY_INSERT": 2}


def call(name: str, *texts: str | None) -> str | None:
    """Call a function with arguments as JSON texts, and return its result as one; NULL for NULL."""
    if name in _UNDEFINED and texts[0] is not None and texts[_UNDEFINED[name]] is None:
        raise fail(f"a NULL in {name} (undefined)")
    if name == "OBJECT_INSERT" and len(texts) == 3 and None not in texts[:2] and texts[2] is None:
        return texts[0]  # https://docs.snowflake.com/en/sql-reference/functions/object_insert#usage-notes
    if any(text is None for text in texts):
        return None
    values = [loads(text) for text in texts]
    if name in _ARRAYS:
        _array(values[0], name)
        result = _ARRAYS[name](*values)
        return None if result is _NOTHING else dumps(result)
    if name in _OBJECTS:
        _object(values[0], name)
        return dumps(_OBJECTS[name](*values))
    made = _OTHERS[name](*values)
    return None if made is None else dumps(made)


def contains(value: str | None, array: str | None) -> bool | None:
    """Compute ARRAY_CONTAINS (https://docs.snowflake.com/en/sql-reference/functions/array_contains)."""
    place = position(value, array)
    return None if value is None or array is None else place is not None


def position(value: str | None, array: str | None) -> int | None:
    """Compute ARRAY_POSITION: from 0, NULL if the value is missing."""
    if value is None or array is None:
        return None
    at = _place(_array(loads(array), "ARRAY_POSITION"), loads(value))
    return None if at < 0 else at


def joined(array: str | None, separator: str | None) -> str | None:
    """Compute ARRAY_TO_STRING; a null in the array is an empty text."""
    if array is None or separator is None:
        return None
    return separator.join(text_of(item) or "" for item in _array(loads(array), "ARRAY_TO_STRING"))


def json_text(value: str | None) -> str | None:
    """Write a VARIANT as TO_JSON does."""
    return None if value is None else dumps(loads(value))


def compact_text(value: str | None) -> str | None:
    """Write a VARIANT as TO_VARCHAR does."""
    return None if value is None else text_of(loads(value))


def comparable(value: str | None) -> str | None:
    """Return a VARIANT as a text that equal ones share: 1, 1.0 and 1e0 are equal."""
    return None if value is None else dumps(_plain(loads(value)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return Decimal(value).normalize() if kind_of(value) == "number" else value
