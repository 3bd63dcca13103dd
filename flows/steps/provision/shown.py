"""Compares a property's value in CREATE with its printed form in SHOW or DESC."""

from __future__ import annotations

import re


def members(says: str) -> list[str]:
    """Return the members of a list in a statement, or the single value: `('', 'null')` → ["", "null"]."""
    return _said(says)[0]


def same(kind: str, shown: str, says: str) -> bool:
    """Return whether a property printed by SHOW or DESC equals its value in CREATE.

    The forms are recorded in `tests/cloud/account_forms.yaml`: lists by their members, numbers by value, words in any case,
    strings letter by letter. DESC FILE FORMAT alone escapes what it prints.
    """
    meant, exact = _said(says)
    got = shown.strip()
    if says.strip().startswith("("):
        got = got[1:-1] if got[:1] + got[-1:] == "[]" else got
        parts = [part.strip() for part in got.split(",")] if got else []
        parts = [part[1:-1] if len(part) > 1 and part[0] == part[-1] == '"' else part for part in parts]
    else:
        parts = [got]
    if kind == "FILE FORMAT":
        parts = [_unescaped(part) for part in parts]
    if exact:
        # DESC prints a list without members like a list with one empty member
        # (https://registry.terraform.io/providers/snowflakedb/snowflake/latest/docs/resources/file_format).
        return parts == meant or (not parts and meant == [""])
    return [_number(part).casefold() for part in parts] == [_number(member).casefold() for member in meant]


def _said(says: str) -> tuple[list[str], bool]:
    """Return the members of a list in a statement, or the single value; and whether it is text, which is compared exactly.

    `('', 'null')` → (["", "null"], True); `TRUE` → (["TRUE"], False).
    """
    text = says.strip()
    strings = re.findall(r"'((?:[^'\\]|\\.|'')*)'", text, re.S)
    if text.startswith("("):
        return [_unescaped(s.replace("''", "'")) for s in strings], True
    return ([_unescaped(strings[0].replace("''", "'"))], True) if strings else ([text], False)


def _unescaped(text: str) -> str:
    known = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
    return re.sub(r"\\(.)", lambda m: known.get(m[1], m[1]), text, flags=re.S)


def _number(text: str) -> str:
    """Shorten `20.00` to `20`: SHOW RESOURCE MONITORS prints credits with decimals."""
    return str(int(float(text))) if re.fullmatch(r"\d+\.0+", text) else text
