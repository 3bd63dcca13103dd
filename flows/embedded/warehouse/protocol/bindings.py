"""Converts a statement's binds from a request into Python values.

{"1": {"type": "FIXED", "value": "7"}} ──read──▶ [7]; if each value is a list, it is an array binding: a row for each position
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(sent: dict[str, Any] | None) -> tuple[Any, list[tuple[Any, ...]] | None]:
    """Read binds as (values of one execution, or None; rows of an array binding, or None)."""
    if not sent:
        return None, None
    if not all(k.isdigit() for k in sent):
        return {name: _value(b) for name, b in sent.items()}, None
    ordered = [sent[str(i)] for i in range(1, len(sent) + 1)]
    if any(isinstance(b["value"], list) for b in ordered):
        return None, list(zip(*[[_value({**b, "value": v}) for v in b["value"]] for b in ordered], strict=True))
    return tuple(_value(b) for b in ordered), None


def _value(binding: dict[str, Any]) -> Any:
    text = binding.get("value")
    if text is None:
        return None
    match binding.get("type"):
        case "FIXED":
            return int(text)
        case "REAL":
            return float(text)
        case "BINARY":
            return bytes.fromhex(text)
        case "BOOLEAN":
            return text.lower() == "true"
        case "DATE":
            return _date(text)
        case "TIME":
            return _time(text)
        case "TIMESTAMP_NTZ":
            return _instant(text).replace(tzinfo=None)
        case "TIMESTAMP_LTZ":
            return _instant(text)
        case "TIMESTAMP_TZ":
            return _zoned(text)
    return text


def _date(milliseconds: str) -> date:
    return (EPOCH + timedelta(milliseconds=int(milliseconds))).date()


def _time(nanoseconds: str) -> time:
    return _instant(nanoseconds).time()


def _instant(nanoseconds: str) -> datetime:
    return EPOCH + timedelta(microseconds=int(nanoseconds) // 1000)


def _zoned(text: str) -> datetime:
    """Parse `<nanoseconds since 1970> <offset in minutes + 1440>`."""
    nanoseconds, _, offset = text.partition(" ")
    at = _instant(nanoseconds)
    return at.astimezone(timezone(timedelta(minutes=int(offset) - 1440))) if offset else at
