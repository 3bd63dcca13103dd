"""Computes regular expressions as Snowflake does, where DuckDB's differ: from a position, the nth match, a group of it.

DuckDB ──native function `_cxm_regexp_…`──▶ here: texts and numbers in, a text or a number out; NULL for NULL

https://docs.snowflake.com/en/sql-reference/functions-regexp
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from flows.embedded.warehouse.translate.json_values import dumps, fail

_POSIX = {
    "[:alpha:]": "a-zA-Z", "[:digit:]": "0-9", "[:alnum:]": "a-zA-Z0-9", "[:space:]": r"\s", "[:upper:]": "A-Z",
    "[:lower:]": "a-z", "[:punct:]": re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), "[:blank:]": " \t",
    "[:xdigit:]": "0-9A-Fa-f", "[:word:]": r"\w", "[:cntrl:]": r"\x00-\x1f\x7f", "[:print:]": r"\x20-\x7e",
    "[:graph:]": r"\x21-\x7e",
}  # fmt: skip


@lru_cache(maxsize=512)
def pattern(text: str, parameters: str = "c") -> re.Pattern[str]:
    """Compile a POSIX pattern with its parameters
    (https://docs.snowflake.com/en/sql-reference/functions-regexp#label-regexp-parameters-argument)."""
    flags = re.ASCII
    for parameter in parameters:
        if parameter in "ims":
            flags |= {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}[parameter]
        elif parameter == "c":
            flags &= ~re.IGNORECASE
        elif parameter != "e":
            raise fail(f"Invalid regular expression parameter: '{parameter}'", 100050, "22000")
    for name, characters in _POSIX.items():
        text = text.replace(name, characters)
    try:
        return re.compile(text, flags)
    except re.error as e:
        raise fail(f"Invalid regular expression: '{text}', {e}", 100048, "2201B") from e


def check_place(position: int, occurrence: int, least: int = 1) -> None:
    """Check that a position is at least 1, an occurrence at least `least`
    (https://docs.snowflake.com/en/sql-reference/functions/regexp_substr#arguments)."""
    if position < 1 or occurrence < least:
        what, given = ("position", position) if position < 1 else ("occurrence", occurrence)
        raise fail(f"Invalid {what}: {given} (a positive whole number is expected)", 100050, "22023")


def regexp_replace(
    subject: str | None,
    text: str | None,
    by: str | None,
    position: int | None,
    occurrence: int | None,
    parameters: str | None,
) -> str | None:
    """Compute REGEXP_REPLACE: from a position, one occurrence or (0) all of them; \\1 is a group."""
    if subject is None or text is None or by is None or position is None or occurrence is None or parameters is None:
        return None
    check_place(position, occurrence, 0)
    if not text:
        return subject
    made = re.sub(r"\\(\d)", r"\\g<\1>", re.sub(r"\\(?!\d)", r"\\\\", by))
    head, tail = subject[: position - 1], subject[position - 1 :]
    compiled = pattern(text, parameters)
    if not occurrence:
        return head + compiled.sub(made, tail)
    for number, match in enumerate(compiled.finditer(tail), 1):
        if number == occurrence:
            return head + tail[: match.start()] + match.expand(made) + tail[match.end() :]
    return subject


def _matches(subject: str, text: str, position: int, parameters: str) -> list[re.Match[str]]:
    return list(pattern(text, parameters).finditer(subject, position - 1)) if text else []


def _group_number(group: int, parameters: str, compiled: re.Pattern[str]) -> int:
    """Choose the group to return: the given one, the first if the parameter e asks for one, else 0, the whole match."""
    return group if group >= 0 else 1 if "e" in parameters and compiled.groups else 0


def _matches_from(
    subject: str | None,
    text: str | None,
    position: int | None,
    occurrence: int | None,
    parameters: str | None,
    group: int | None,
) -> tuple[list[re.Match[str]], int] | None:
    """Find the matches from the `occurrence`-th on, and the number of the group to return; None if an argument is NULL."""
    if subject is None or text is None or position is None or occurrence is None or parameters is None or group is None:
        return None
    check_place(position, occurrence)
    matches = _matches(subject, text, position, parameters)[occurrence - 1 :]
    return matches, _group_number(group, parameters, pattern(text, parameters))


def regexp_substr(
    subject: str | None,
    text: str | None,
    position: int | None,
    occurrence: int | None,
    parameters: str | None,
    group: int | None,
) -> str | None:
    """Compute REGEXP_SUBSTR; `group` is 0 for the whole match, -1 if neither e nor a group is given."""
    matches, number = _matches_from(subject, text, position, occurrence, parameters, group) or ([], 0)
    return matches[0][number] if matches and number <= matches[0].re.groups else None


def regexp_substr_all(
    subject: str | None,
    text: str | None,
    position: int | None,
    occurrence: int | None,
    parameters: str | None,
    group: int | None,
) -> str | None:
    """Compute REGEXP_SUBSTR_ALL, as JSON."""
    hits = _matches_from(subject, text, position, occurrence, parameters, group)
    if hits is None:
        return None
    matches, number = hits
    return dumps([match[number] for match in matches])


def regexp_instr(
    subject: str | None, text: str | None, position: int | None, occurrence: int | None, option: int | None,
    parameters: str | None, group: int | None,
) -> int | None:  # fmt: skip
    """Compute REGEXP_INSTR: where the match begins, or (option 1) the character after it; 0 without a match."""
    if subject is None or text is None or position is None or occurrence is None or option is None:
        return None
    check_place(position, occurrence)
    matches = _matches(subject, text, position, parameters or "c")
    if len(matches) < occurrence:
        return 0
    match = matches[occurrence - 1]
    number = _group_number(group or -1, parameters or "", match.re)
    number = number if number <= match.re.groups else 0
    return (match.end(number) if option else match.start(number)) + 1


def regexp_count(subject: str | None, text: str | None, position: int | None, parameters: str | None) -> int | None:
    """Compute REGEXP_COUNT."""
    if subject is None or text is None or position is None:
        return None
    check_place(position, 1)
    return len(_matches(subject, text, position, parameters or "c"))


def regexp_like(subject: str | None, text: str | None, parameters: str | None) -> bool | None:
    """Compute REGEXP_LIKE and RLIKE, which match the whole subject."""
    if subject is None or text is None:
        return None
    return pattern(text, parameters or "c").fullmatch(subject) is not None


_T, _N = "VARCHAR", "BIGINT"
FUNCTIONS: tuple[tuple[str, Any, tuple[str, ...], str], ...] = (
    ("_cxm_regexp_replace", regexp_replace, (_T, _T, _T, _N, _N, _T), _T),
    ("_cxm_regexp_substr", regexp_substr, (_T, _T, _N, _N, _T, _N), _T),
    ("_cxm_regexp_substr_all", regexp_substr_all, (_T, _T, _N, _N, _T, _N), _T),
    ("_cxm_regexp_instr", regexp_instr, (_T, _T, _N, _N, _N, _T, _N), _N),
    ("_cxm_regexp_count", regexp_count, (_T, _T, _N, _T), _N),
    ("_cxm_regexp_like", regexp_like, (_T, _T, _T), "BOOLEAN"),
)
