"""Removes the values that Snowflake's messages about data quote: `Numeric value '…' is not recognized`.

A message does not say which column the value belongs to, so values are shown only if the caller knows that no column is personal.
What helps to find the value stays: the error's number, the file, its line, the row and the column's name.
"""

from __future__ import annotations

import re
from typing import Any

NOT_RECOGNIZED = 100038  # the error number of a value that is not valid for its type
# Messages about data have the numbers 100000 to 100999; these of them quote names, delimiters and sizes, and no value:
# https://docs.snowflake.com/en/sql-reference/functions/validate, …/data-load-considerations-load
_QUOTE_NO_VALUE = frozenset((100016, 100068, 100072, 100080, 100082, 100088, 100089, 100112))
# The value's place, and COPY's advice; they are always at the end.
_PLACE = re.compile(
    r"\s+File '[^']*', line \d+, character \d+\s+Row \d+(?: starts at line \d+)?, column [^\n]*\s*(?:If you would like to.*)?\Z",
    re.S,
)
_QUOTED = re.compile(r"(?<![A-Za-z])'.*'|\".*\"", re.S)
_BARE = (
    (re.compile(r"(Error parsing JSON:).*", re.S), r"\1 …"),
    (re.compile(r"(\bvariant value ).*( to [A-Z]\w*)\Z", re.S), r"\1…\2"),
    (re.compile(r"(, value ).*", re.S), r"\1…"),
    (re.compile(r"(Invalid UUID format:).*", re.S), r"\1 …"),
)

_ERROR = re.compile(r"\b(100\d{3})( \(\w{5}\): )(.*?)(?=\n\[SQL|\Z)", re.S)


def without_values(number: int, said: str) -> str:
    """Replace each value in Snowflake's message `said` of error `number` by `…`."""
    if not 100000 <= number < 101000 or number in _QUOTE_NO_VALUE:
        return said
    place = _PLACE.search(said)
    head = said[: place.start()] if place else said
    for pattern, text in _BARE:
        head = pattern.sub(text, head)
    return _QUOTED.sub("'…'", head) + (place[0] if place else "")


def without_values_in(text: str) -> str:
    """Remove the values from such messages anywhere in a text, in the connector's form: `100038 (22018): …`."""
    return _ERROR.sub(lambda match: match[1] + match[2] + without_values(int(match[1]), match[3]), text)


def say_no_values() -> None:
    """Make every connection of this process raise errors without values: for dbt, which opens its own connections and writes
    error messages into its log and its results."""
    from snowflake.connector.errors import Error

    raising: Any = Error.default_errorhandler

    def handler(connection: Any, cursor: Any, error_class: Any, error_value: dict[str, Any]) -> None:
        number = int(error_value.get("errno") or 0)
        raising(
            connection, cursor, error_class, {**error_value, "msg": without_values(number, str(error_value.get("msg")))}
        )

    Error.default_errorhandler = staticmethod(handler)
