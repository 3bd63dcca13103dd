"""Reads the custom property `dialect` of a contract or of one of its tables; a table's values override the contract's."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import Any, NoReturn

from flows.contract.dialect import DELIMITERS, ENCODINGS, Dialect
from flows.contract.position import Position, show

# ODCS's spelling of formats, which is the JDK's → Snowflake's.
_DAYS = {
    **{
        order.replace("-", mark): order.replace("-", mark).upper()
        for order in ("yyyy-MM-dd", "dd-MM-yyyy", "MM-dd-yyyy")
        for mark in ("-", "/", ".")
    },
    "yyyyMMdd": "YYYYMMDD",
}
_TIMES = {"HH:mm:ss": "HH24:MI:SS", "HH:mm": "HH24:MI"}
FORMATS = {
    "date": _DAYS,
    "timestamp": {
        f"{day} {time}": f"{ours} {theirs}" for day, ours in _DAYS.items() for time, theirs in _TIMES.items()
    },
}
NONE = "none"
_MARK = re.compile(r"[!-/:-@\[-`{-~]")  # printable ASCII except letters, digits and the blank
# No commas, quotes or brackets: DESC FILE FORMAT prints lists as [a, b] without quoting their members.
_NULL = re.compile(r"[^\s,'\"\[\]()](?:[^\t\r\n,'\"\[\]()]*[^\s,'\"\[\]()])?")
_WORD = re.compile(r"[^\W_](?:[\w .+-]*[\w.+-])?|[+-]")


def dialect(given: object, base: Dialect, place: Position) -> Dialect:
    """Return `base`, overridden by the property's value `given`.

    Raises:
        ConfigurationError: an unknown key, or a value that does not fit.
    """
    if given is None:
        return base
    if not isinstance(given, dict):
        place.fail(f"customProperties, dialect: got {show(given)}, expected keys such as `delimiter: ';'`")
    values: dict[str, Any] = {}
    for key, value in given.items():
        match key:
            case "delimiter":
                values["delimiter"] = _delimiter(value, place)
            case "quote":
                values["quote"] = _one_of(value, key, ('"', "'", NONE), place).replace(NONE, "")
            case "escape":
                values["escape"] = "" if value == NONE else _mark(value, key, place)
            case "encoding":
                values["encoding"] = _one_of(value, key, tuple(ENCODINGS), place)
            case "header":
                if not isinstance(value, bool):
                    _refuse(value, key, "true or false", place)
                values["header"] = value
            case "lineEnd":
                values["line_end"] = _one_of(value, key, ("lf", "cr"), place)
            case "nulls":
                values["nulls"] = _words(value, key, place)
            case "decimal":
                values["decimal"] = _one_of(value, key, (".", ","), place)
            case "dates" | "timestamps":
                formats = FORMATS[key.removesuffix("s")]
                values[key] = formats[_one_of(value, key, tuple(formats), place)]
            case "booleans":
                values["booleans"] = _booleans(value, place)
            case _:
                _refuse_key(key, place)
    made = replace(base, **values)
    marks = [mark for mark in (made.delimiter, made.quote, made.escape) if mark]
    if len(set(marks)) < len(marks):
        place.fail(
            f"customProperties, dialect: got {show(made.delimiter)}, {show(made.quote)} and {show(made.escape)}, expected a "
            "delimiter, quote and escape that differ",
            at=("dialect",),
        )
    return made


KEYS = (
    "delimiter",
    "quote",
    "escape",
    "encoding",
    "header",
    "lineEnd",
    "nulls",
    "decimal",
    "dates",
    "timestamps",
    "booleans",
)


def _refuse_key(key: object, place: Position) -> NoReturn:
    near = difflib.get_close_matches(str(key), KEYS, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]}?" if near else ""
    place.fail(
        f"customProperties, dialect: got the key {show(key)}, expected only {', '.join(KEYS)}{meant}",
        at=("dialect", str(key)),
    )


def _refuse(value: object, key: str, expected: str, place: Position) -> NoReturn:
    place.fail(f"customProperties, dialect, {key}: got {show(value)}, expected {expected}", at=("dialect", key))


def _one_of(value: object, key: str, known: tuple[str, ...], place: Position) -> str:
    if isinstance(value, str) and value in known:
        return value
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in known}
    aliases = {"cp": "windows", "latin1": "iso88591", "latin": "iso8859", "ansi": "windows1252", "ascii": "utf8"}
    said = re.sub(r"[^a-z0-9]", "", str(value).lower())
    for alias, name in aliases.items():
        said = re.sub(rf"^{alias}(?=[0-9]|$)", name, said)
    near = [plain[said]] if said in plain and said else difflib.get_close_matches(str(value), known, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    names = ", ".join(name if name[0].isalnum() else repr(name) for name in known)
    _refuse(value, key, f"one of {names}{meant}", place)


def _delimiter(value: object, place: Position) -> str:
    named = {name: mark for mark, name in DELIMITERS.items()}
    if isinstance(value, str):
        value = named.get(value, value)
    return "\t" if value == "\t" else _mark(value, "delimiter", place)


def _mark(value: object, key: str, place: Position) -> str:
    if not isinstance(value, str) or not _MARK.fullmatch(value):
        also = f", or {', '.join(DELIMITERS.values())}" if key == "delimiter" else f", or {NONE}"
        _refuse(value, key, f"one character that is no letter, digit or blank{also}", place)
    return value


def _words(value: object, key: str, place: Position) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) and _NULL.fullmatch(word) for word in value):
        _refuse(
            value,
            key,
            "a list of texts without commas, quotes, brackets and blanks around them, such as ['NULL', '-']; an empty field is "
            "NULL in any case",
            place,
        )
    return tuple(dict.fromkeys(value))


def _booleans(value: object, place: Position) -> tuple[tuple[str, str], ...]:
    pairs = [str(pair).split("/") for pair in (value if isinstance(value, list) else [value])]
    words = [word for pair in pairs for word in pair]
    yes, no = {pair[0] for pair in pairs}, {pair[-1] for pair in pairs}
    if any(len(pair) != 2 for pair in pairs) or not all(map(_WORD.fullmatch, words)) or yes & no or not pairs:
        _refuse(value, "booleans", "the words for yes and no, such as `Ja/Nein`, or a list of such pairs", place)
    return tuple(dict.fromkeys((pair[0], pair[1]) for pair in pairs))
