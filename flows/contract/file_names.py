"""Matches file names to a contract's `fileName` pattern: `orders_{date}_{part}.csv` matches `orders_2026-11-27_07.csv`.

| in the pattern | matches |
|---|---|
| `{date}` | the day, `YYYY-MM-DD`; at most once, before the wildcards |
| `{part}` | one or more letters, digits, `_` or `-`; at most once |
| `*` | any characters except `/`, or none |
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache

DATE, PART, ANY = "{date}", "{part}", "*"
# The day in a file's name. Snowflake's REGEXP_SUBSTR takes the first match, so nothing before the day may look like one.
DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"

_PLACEHOLDER = re.compile(r"(\{date\}|\{part\}|\*)")
_STANDS_FOR = {DATE: f"(?P<day>{DAY})", PART: r"[\w-]+", ANY: "[^/]*"}
_NAME = re.compile(r"(?:[A-Za-z0-9_-]|\{date\}|\{part\}|\*)+\.csv")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*(?:_\{date\})?\.csv")  # one file, or one file per day


def is_name(pattern: str) -> bool:
    """Return whether this is a valid `fileName`."""
    if not is_pattern(pattern):
        return _PLAIN.fullmatch(pattern) is not None
    day, part, wild = (pattern.find(each) for each in (DATE, PART, ANY))
    first = min(place for place in (part, wild) if place >= 0)
    dates = re.search(DAY, pattern.replace(DATE, "2026-11-27"))
    return (
        _NAME.fullmatch(pattern) is not None
        and pattern.count(DATE) <= 1
        and pattern.count(PART) <= 1
        and day < first
        and (dates.start() if dates else -1) == day
    )


def is_pattern(name: str) -> bool:
    """Return whether several files of one day may match this name."""
    return PART in name or ANY in name


def matches(pattern: str, name: str, ignore_case: bool = False) -> bool:
    """Return whether a file name matches the pattern; both must be in the same Unicode form."""
    match = _compiled(pattern, ignore_case).fullmatch(name)
    return match is not None and (DATE not in pattern or _is_day(match["day"]))


def day_of(pattern: str, name: str) -> date | None:
    """Return the day in a file name that matches a pattern with `{date}`; else None."""
    match = _compiled(pattern, False).fullmatch(name) if DATE in pattern else None
    return date.fromisoformat(match["day"]) if match and _is_day(match["day"]) else None


def covers(general: str, special: str) -> bool:
    """Return whether every file name that matches `special` matches `general` too."""
    # Wildcards are replaced by a character that no pattern contains as literal text.
    samples = [special.replace(DATE, "2026-11-27").replace(PART, "ſ").replace(ANY, any_) for any_ in ("", "ſ", "ſ.ſ")]
    return all(matches(general, sample) for sample in samples)


def stem(name: str) -> str:
    """Return a file name without `.csv`, day and wildcards, which names the folder of its objects; may be empty."""
    bare = name.removesuffix(".csv")
    if not is_pattern(name):
        return bare.removesuffix("_" + DATE)
    return re.sub("[^A-Za-z0-9]+", "_", _PLACEHOLDER.sub("_", bare)).strip("_")


def day_in(column: str) -> str:
    """Render SQL for the day in a file's name, as text: what `{date}` matched."""
    return f"REGEXP_SUBSTR({column}, '{DAY}')"


@cache
def _compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    parts = (_STANDS_FOR.get(part) or re.escape(part) for part in _PLACEHOLDER.split(pattern))
    return re.compile("".join(parts), re.IGNORECASE if ignore_case else 0)


def _is_day(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False
