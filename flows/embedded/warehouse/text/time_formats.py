"""Converts Snowflake's formats of dates and times to the engine's: "YYYY-MM-DD HH24:MI" → "%Y-%m-%d %H:%M".

https://docs.snowflake.com/en/sql-reference/date-time-input-output#about-the-elements-used-in-input-and-output-formats
"""

from __future__ import annotations

import re

from flows.embedded.warehouse.text import errors

_ELEMENTS = {
    "YYYY": "%Y", "YY": "%y", "MMMM": "%B", "MON": "%b", "MM": "%m", "DD": "%d", "DY": "%a", "HH24": "%H", "HH12": "%I",
    "HH": "%H", "H24": "%-H", "H12": "%-I", "H": "%-H", "MO": "%-m", "D": "%-d", "ME": "%-M", "S": "%-S",
    "AM": "%p", "PM": "%p", "MI": "%M", "SS": "%S", "TZH": "\x01", "TZM": "\x02", "UUUU": "%Y",
}  # fmt: skip
_FRACTIONS = {"": "%n", "9": "%n", "6": "%f", "3": "%g", "0": ""}
# H24 to S, the last of the list, are elements only where no letter is beside them: "hours" is text.
_TOKEN = re.compile(
    r'"([^"]*)"|(YYYY|YY|UUUU|MMMM|MON|MM|DD|DY|HH24|HH12|AM|PM|MI|SS|TZH|TZM'
    r"|(?<![A-Za-z])(?:H24|H12|HH|MO|ME|H|D|S)(?![A-Za-z]))|FF(\d?)|(.)",
    re.I | re.S,
)


def written(format_: str) -> str:
    """Convert a format for writing; characters 1 and 2 mean the zone's hours and minutes. 000002 for an unsupported element."""
    made = []
    for text, element, fraction, other in _tokens(format_):
        if element:
            made.append(_ELEMENTS[element.upper()])
        elif fraction is not None:
            made.append(_fraction(fraction))
        elif other:
            made.append(_plain(other, format_))
        else:
            made.append(text.replace("%", "%%"))
    return "".join(made)


def read(format_: str) -> tuple[str, bool]:
    """Convert a format for reading; returns it without its zone, and whether it has one."""
    shown, zoned = [], False
    for text, element, fraction, other in _tokens(format_):
        name = element.upper()
        if name in ("TZH", "TZM"):
            zoned = True
        elif element:
            shown.append(_ELEMENTS[name].replace("-", ""))
        elif fraction is not None:
            shown.append("%f")
        elif other == ":" and zoned:
            continue
        else:
            shown.append((text or other).replace("%", "%%"))
    return "".join(shown).rstrip() if zoned else "".join(shown), zoned


def _tokens(format_: str) -> list[tuple[str, str, str | None, str]]:
    return [
        (m[1] or "", m[2] or "", m[3] if m[0][:2].upper() == "FF" and not m[2] and m[1] is None else None, m[4] or "")
        for m in _TOKEN.finditer(format_)
    ]


def _fraction(digits: str) -> str:
    if digits not in _FRACTIONS:
        # character 3, the number of digits, then six digits, which are cut to that number after writing
        return f"%f{'0' * (int(digits) - 6)}" if int(digits) > 6 else f"\x03{digits}%f"
    return _FRACTIONS[digits]


def _plain(character: str, format_: str) -> str:
    if character.isupper() and character not in "TZUC":  # UTC is text, as dbt's catalogue has it
        raise errors.unsupported(f"'{character}' in the format '{format_}'")
    return character.replace("%", "%%")
