"""Reads a text as a number by SQL's format models: ('9,999.99', '3,741.72') → 3741.72, None if no alternative matches.

https://docs.snowflake.com/en/sql-reference/sql-format-models#parsing-numbers-using-fixed-position-formats-and-the-modifiers
"""

from __future__ import annotations

import re
from decimal import Decimal, localcontext
from functools import lru_cache

from flows.embedded.warehouse.text.number_formats import EXACT, Kind, Model, models


def read(format_: str, text: str) -> Decimal | None:
    """Read a text as a number by the first of a format's alternatives that matches it; None if none does."""
    for model in models(format_):
        match = re.fullmatch(_pattern(model), text, re.I)
        if match is None:
            continue
        digits = (match["number"] or "").replace(",", "").strip() or "0"
        with localcontext(EXACT):
            value = Decimal(int(digits, 16)) if model.hexadecimal else Decimal(digits)
            if match.groupdict().get("exponent"):
                value = value.scaleb(int(match["exponent"]))
            if model.percent:
                value = value.scaleb(-2)
        return -value if "-" in (match["sign"] or "") else value
    return None


@lru_cache(maxsize=512)
def _pattern_of(parts: tuple[tuple[Kind, str], ...], number: str, signed: bool) -> str:
    made = [r"\s*"]
    if not signed:
        made.append("(?P<sign>[-+]?) *")
    at = [kind for kind, _ in parts].index("digits")
    for place, (kind, what) in enumerate(parts):
        if kind == "text":
            made.append(re.escape(what).replace(r"\ ", " +"))
        elif kind == "dollar":
            made.append(r"\$")
        elif kind == "sign":
            made.append("(?P<sign>[-+]?) *" if place < at else "(?P<sign>[-+ ]?)")
        else:
            made.append(number)
    return "".join([*made, r"\s*"])


def _pattern(model: Model) -> str:
    return _pattern_of(tuple(model.parts), _number_pattern(model), bool(model.signed))


def _number_pattern(model: Model) -> str:
    if model.minimal:
        exponent = r"(?:[eE](?P<exponent>[-+]?\d+))"
        tail = {"TM9": "", "TME": exponent}.get(model.minimal.upper(), exponent + "?")
        return rf"(?P<number>\d+\.?\d*|\.\d+){tail}"
    digit = "[0-9a-f]" if model.hexadecimal else r"\d"
    places = model.before
    if "," in places:
        before = _grouped_pattern(places)
    else:
        least = len(places) - places.index("0") if "0" in places else 0 if model.blank_zero or not places else 1
        before = f" *{digit}{{{least},{len(places)}}}" if places else ""
    after = ""
    if model.point:
        least = model.after.rfind("0") + 1
        after = rf"\.\d{{{least},{len(model.after)}}}" if least else rf"(?:\.\d{{0,{len(model.after)}}})?"
    exponent = r"[eE](?P<exponent>[-+]?\d{1,3})" if model.exponent else ""
    return f"(?P<number>{before}{after}){exponent}"


def _grouped_pattern(places: str) -> str:
    """Match digits with or without their separators; between two separators no digit may be missing."""
    groups = places.split(",")
    zero = places.find("0")
    pattern, at = "", 0
    alternatives: list[str] = []
    total = len(places.replace(",", ""))
    for first in range(len(groups)):
        at = sum(len(g) + 1 for g in groups[:first])
        least = 1 if zero < 0 else max(1, len(groups[first]) - max(0, zero - at) if zero >= at else len(groups[first]))
        if 0 <= zero < at:
            break
        rest = "".join(f",\\d{{{len(g)}}}" for g in groups[first + 1 :])
        alternatives.append(f"\\d{{{least},{len(groups[first])}}}{rest}")
    least = total - places.replace(",", "").index("0") if zero >= 0 else 1
    alternatives.append(f"\\d{{{least},{total}}}")
    pattern = "|".join(alternatives)
    return f" *(?:{pattern})"
