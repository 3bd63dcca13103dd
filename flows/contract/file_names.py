"""A contract's `fileName` → the names of files that it stands for: `orders_{date}_{part}.csv` ↔ `orders_2026-11-27_07.csv`.

| in the name | stands for |
|---|---|
| `{date}` | the day, `YYYY-MM-DD`, once, before what follows |
| `{part}` | letters, digits, `_`, `-`: at least one, once |
| `*` | any characters but `/`, or none |
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache

DATE, PART, ANY = "{date}", "{part}", "*"
# The day in a file's name, as Snowflake's REGEXP_SUBSTR reads it as well: the first one, so nothing before it may look like one.
DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"

_PLACEHOLDER = re.compile(r"(\{date\}|\{part\}|\*)")
_STANDS_FOR = {DATE: f"(?P<day>{DAY})", PART: r"[\w-]+", ANY: "[^/]*"}
_NAME = re.compile(r"(?:[A-Za-z0-9_-]|\{date\}|\{part\}|\*)+\.csv")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*(?:_\{date\})?\.csv")  # one file, or one for each day


def is_name(pattern: str) -> bool:
    """Whether a contract may have this `fileName`."""
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
    """Whether several files may have a name of this form, on one day."""
    return PART in name or ANY in name


def matches(pattern: str, name: str, ignore_case: bool = False) -> bool:
    """Whether a file of this name is one that the pattern stands for; both in one Unicode form."""
    found = _compiled(pattern, ignore_case).fullmatch(name)
    return found is not None and (DATE not in pattern or _is_day(found["day"]))


def day_of(pattern: str, name: str) -> date | None:
    """The day of a file that a pattern with `{date}` stands for."""
    found = _compiled(pattern, False).fullmatch(name) if DATE in pattern else None
    return date.fromisoformat(found["day"]) if found and _is_day(found["day"]) else None


def covers(general: str, special: str) -> bool:
    """Whether each file that `special` stands for is one of `general`'s as well."""
    # A character that no literal text has stands for what a wildcard may be.
    samples = [special.replace(DATE, "2026-11-27").replace(PART, "ſ").replace(ANY, any_) for any_ in ("", "ſ", "ſ.ſ")]
    return all(matches(general, sample) for sample in samples)


def stem(name: str) -> str:
    """The text of a name without `.csv`, day and wildcards: the folder of its objects; empty where it has none."""
    bare = name.removesuffix(".csv")
    if not is_pattern(name):
        return bare.removesuffix("_" + DATE)
    return re.sub("[^A-Za-z0-9]+", "_", _PLACEHOLDER.sub("_", bare)).strip("_")


def day_in(column: str) -> str:
    """SQL: the day in a file's name, as text; the same that `{date}` stands for."""
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
