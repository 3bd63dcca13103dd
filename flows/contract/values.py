"""What staging makes of RAW's text, as SQL: dbt's own macros, so that a rule judges what staging will hold.

    dbt/cxm_medtech/macros/casts.sql ──Jinja──▶ try_cast(nullif(trim(t.PRICE, …), '') as number(38, 9))

The macros are plain Jinja, and the project's: who changes them changes staging and, with `cxm contract sync`, the suites.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import jinja2

from flows.contract.model import Rule, Table
from flows.contract.sql import literal
from flows.errors import ConfigurationError
from flows.project import PROJECT

CASTS = "dbt/cxm_medtech/macros/casts.sql"

# Digits before the point that leave nine more in a NUMBER(38, 0) and a NUMBER(38, 9): a sum over a billion rows still fits.
MOST_DIGITS = {"integer": 29, "number": 20}

# Where Snowflake advises years to begin: 0000 and 0001 are what systems write that have no date
# (https://docs.snowflake.com/en/sql-reference/data-types-datetime#date-and-time-data-types).
FIRST_YEAR = 1582

# What the macros of dates and timestamps read without a format.
_FORMATS = {"date": "YYYY-MM-DD", "timestamp": "YYYY-MM-DD HH24:MI:SS"}
# No braces: Great Expectations takes them for places to fill.
_PARTS = {"YYYY": "[0-9][0-9][0-9][0-9]", **dict.fromkeys(("HH24", "MM", "DD", "MI", "SS"), "[0-9][0-9]")}


def text(column: str) -> str:
    """The text that staging reads in a column: trimmed, and NULL where nothing is left."""
    return str(_casts().text(column)).strip()


def value(kind: str, column: str, how: Mapping[str, object] = MappingProxyType({})) -> str:
    """The value that staging makes of a column of a logical type; NULL where it cannot. `how`: what the macro takes besides."""
    return text(column) if kind == "string" else str(_casts().typed(kind, column, dict(how))).strip()


def reading(rule: Rule) -> dict[str, object]:
    """How the text is read that a rule of type judges, where not by default: arguments of the macro."""
    found = {name: rule.argument(name) for name in ("decimal", "format", "words")}
    return {k: v for k, v in found.items() if v is not None and v != _FORMATS.get(rule.kind)}


def unread(rule: Rule, column: str) -> str:
    """The text of a column that breaks its rule of type, NULL where it breaks none: what staging makes no value of, or another
    one than the text says (a whole number that it would round, a day that it would complete), and what is too great to add up.

    Raises:
        ValueError: a date or timestamp of a format that we do not know.
    """
    return unread_of(rule, text(column), *readings(rule, column))


def read(rule: Rule, column: str) -> str:
    """The value of a column that keeps its rule of type, else NULL: a 1.5 that staging would round to 2 is no second 2."""
    return read_of(rule, text(column), *readings(rule, column))


def readings(rule: Rule, column: str) -> tuple[str, str]:
    """What is made of a column that a rule of type judges: the value, and of whole numbers also the number that stands there."""
    kind, how = type_of(rule), reading(rule)
    return value(kind, column, how), value("number", column, how) if kind == "integer" else ""


def unread_of(rule: Rule, said: str, held: str, number: str) -> str:
    """`unread`, from the text and its readings."""
    return f"IFF({_wrong(rule, said, held, number)}, {said}, NULL)"


def read_of(rule: Rule, said: str, held: str, number: str) -> str:
    """`read`, from the text and its readings."""
    return f"IFF({_wrong(rule, said, held, number)}, NULL, {held})"


def trimmed(sql: str, column: str) -> str:
    """SQL of this module over a column, where that holds already what `text` makes of it."""
    return sql.replace(text(column), column)


def _wrong(rule: Rule, said: str, held: str, number: str) -> str:
    kind, how = type_of(rule), reading(rule)
    assert kind
    wrong = [f"{held} IS NULL"]
    match kind:
        case "integer":
            # Not compared with `held`, which may have more digits before the point than a number with nine behind it.
            wrong += [f"{number} IS NULL", f"{number} <> TRUNC({number})"]
        case "boolean" if not how:  # with words, staging knows no others
            wrong.append(f"{said} NOT IN ('true', 'false')")
        case "date" | "timestamp":
            spelled = checked_format(rule)
            if how:
                wrong.append(f"NOT REGEXP_LIKE({said}, {literal(shape(spelled))})")
            else:
                wrong.append(f"LENGTH({said}) <> {len(spelled.replace('HH24', 'HH'))}")
            wrong.append(f"YEAR({held}) < {FIRST_YEAR}")
    if kind in MOST_DIGITS:
        wrong.append(f"ABS({held}) >= 1{'0' * MOST_DIGITS[kind]}")  # 1e20 would be a float, and 20 nines equal to it
    return " OR ".join(wrong)


def checked_format(rule: Rule) -> str:
    """The format of a rule on a date or timestamp.

    Raises:
        ValueError: it is none that we know.
    """
    found = str(rule.argument("format"))
    if re.sub("|".join(_PARTS), "", found).strip("-/.: ") or "YYYY" not in found:
        raise ValueError("expected a format of YYYY, MM, DD, HH24, MI and SS")
    return found


def shape(spelled: str) -> str:
    """What a text of a format looks like, as a regular expression without backslashes."""
    return re.sub("|".join([*_PARTS, "[.]"]), lambda part: _PARTS.get(part[0], "[.]"), spelled)


def said(rule: Rule) -> str:
    """What a rule of type asks for, as a person says it: "… must be" this.

    Raises:
        ValueError: a date or timestamp of a format that we do not know.
    """
    match kind := type_of(rule):
        case "boolean":
            return ", or ".join(f"{yes} or {no}" for yes, no in rule.argument("words") or (("true", "false"),))
        case "integer" | "number":
            digits = MOST_DIGITS[kind]
            number = f"a whole number of at most {digits} digits" if kind == "integer" else f"a number below 1e{digits}"
            return number + ", with a decimal comma" * bool(rule.argument("decimal"))
        case "date":
            return f"a day that exists, from {FIRST_YEAR} on, as {checked_format(rule)}"
    return f"a point in time that exists, from {FIRST_YEAR} on, as {checked_format(rule)}"


def type_of(rule: Rule) -> str:
    """The logical type that a rule of type asks for; empty for any other rule."""
    if rule.kind == "number":
        return "integer" if rule.argument("integer") else "number"
    return rule.kind if rule.kind in ("timestamp", "date", "boolean") else ""


def kind_of(table: Table, column: str) -> str:
    """The logical type as which a column's values are compared: the contract's, or what a rule on its text asks for."""
    logical = next(c.logical_type for c in table.columns if c.name == column)
    rules = [rule for rule in table.rules if rule.column == column]
    asked = [type_of(rule) for rule in rules if type_of(rule)] + ["number"] * any(r.kind == "between" for r in rules)
    return logical if logical != "string" or not asked else asked[0]


@cache
def _casts() -> Any:
    path = PROJECT / CASTS
    try:
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
        return environment.from_string(path.read_text(encoding="utf-8")).module
    except (OSError, jinja2.TemplateError) as error:
        raise ConfigurationError(
            f"{path}: its macros cannot be read: {error}; expected plain Jinja, one macro for each logical type, as `cxm init` "
            "writes it"
        ) from error
