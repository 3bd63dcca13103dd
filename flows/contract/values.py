"""SQL for the values that staging makes from RAW's text. It uses dbt's macros, so that rules check the values of staging.

    dbt/cxm_medtech/macros/casts.sql ──Jinja──▶ try_cast(nullif(trim(t.PRICE, …), '') as number(38, 9))

The macros are plain Jinja and belong to the project: changing them changes staging and, after `cxm contract sync`, the suites.
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

# The most digits before the point. Nine fewer than NUMBER(38, 0) and NUMBER(38, 9) hold, so that a sum over a billion rows fits.
MOST_DIGITS = {"integer": 29, "number": 20}

# The first year that Snowflake recommends; systems without a date write years like 0000 or 0001
# (https://docs.snowflake.com/en/sql-reference/data-types-datetime#date-and-time-data-types).
FIRST_YEAR = 1582

# The formats that the macros of dates and timestamps read by default.
_FORMATS = {"date": "YYYY-MM-DD", "timestamp": "YYYY-MM-DD HH24:MI:SS"}
# No {n} quantifiers: Great Expectations would take braces for placeholders.
_PARTS = {"YYYY": "[0-9][0-9][0-9][0-9]", **dict.fromkeys(("HH24", "MM", "DD", "MI", "SS"), "[0-9][0-9]")}


def text(column: str) -> str:
    """Render SQL for the text of a column as staging reads it: trimmed, and NULL if it is then empty."""
    return str(_casts().text(column)).strip()


def value(kind: str, column: str, how: Mapping[str, object] = MappingProxyType({})) -> str:
    """Render SQL for the value of a column of a logical type in staging; NULL if the cast fails. `how`: other arguments."""
    return text(column) if kind == "string" else str(_casts().typed(kind, column, dict(how))).strip()


def reading(rule: Rule) -> dict[str, object]:
    """Return how the text that a type rule checks is parsed, if not by default: arguments of the macro."""
    arguments = {name: rule.argument(name) for name in ("decimal", "format", "words")}
    return {k: v for k, v in arguments.items() if v is not None and v != _FORMATS.get(rule.kind)}


def unread(rule: Rule, column: str) -> str:
    """Render SQL for the text of a column if it breaks its type rule, else NULL.

    It breaks the rule if staging cannot cast it, would change it (round a fraction to a whole number, complete a date), or if the
    number is too large to be summed.

    Raises:
        ValueError: a date or timestamp of an unknown format.
    """
    return unread_of(rule, text(column), *readings(rule, column))


def read(rule: Rule, column: str) -> str:
    """Render SQL for the value of a column if it satisfies its type rule, else NULL, so that a 1.5, which staging would round to
    2, does not count as a repeated 2."""
    return read_of(rule, text(column), *readings(rule, column))


def readings(rule: Rule, column: str) -> tuple[str, str]:
    """Render SQL for the value of a column with a type rule and, for whole numbers, for the number before it is rounded."""
    kind, how = type_of(rule), reading(rule)
    return value(kind, column, how), value("number", column, how) if kind == "integer" else ""


def unread_of(rule: Rule, said: str, held: str, number: str) -> str:
    """Render `unread` from the text and its readings."""
    return f"IFF({_wrong(rule, said, held, number)}, {said}, NULL)"


def read_of(rule: Rule, said: str, held: str, number: str) -> str:
    """Render `read` from the text and its readings."""
    return f"IFF({_wrong(rule, said, held, number)}, NULL, {held})"


def trimmed(sql: str, column: str) -> str:
    """Simplify SQL of this module for a column that is trimmed already."""
    return sql.replace(text(column), column)


def _wrong(rule: Rule, said: str, held: str, number: str) -> str:
    kind, how = type_of(rule), reading(rule)
    assert kind
    wrong = [f"{held} IS NULL"]
    match kind:
        case "integer":
            # Not compared with `held`: an integer may have more digits before the point than a NUMBER(38, 9) holds.
            wrong += [f"{number} IS NULL", f"{number} <> TRUNC({number})"]
        case "boolean" if not how:  # with `words`, the macro accepts only those
            wrong.append(f"{said} NOT IN ('true', 'false')")
        case "date" | "timestamp":
            spelled = checked_format(rule)
            if how:
                wrong.append(f"NOT REGEXP_LIKE({said}, {literal(shape(spelled))})")
            else:
                wrong.append(f"LENGTH({said}) <> {len(spelled.replace('HH24', 'HH'))}")
            wrong.append(f"YEAR({held}) < {FIRST_YEAR}")
    if kind in MOST_DIGITS:
        wrong.append(f"ABS({held}) >= 1{'0' * MOST_DIGITS[kind]}")  # not 1e20, a float to which 20 nines are equal
    return " OR ".join(wrong)


def checked_format(rule: Rule) -> str:
    """Return the format of a rule on a date or timestamp.

    Raises:
        ValueError: the format is unknown.
    """
    text = str(rule.argument("format"))
    if re.sub("|".join(_PARTS), "", text).strip("-/.: ") or "YYYY" not in text:
        raise ValueError("expected a format of YYYY, MM, DD, HH24, MI and SS")
    return text


def shape(spelled: str) -> str:
    """Return the regular expression, without backslashes, for texts in a format."""
    return re.sub("|".join([*_PARTS, "[.]"]), lambda part: _PARTS.get(part[0], "[.]"), spelled)


def said(rule: Rule) -> str:
    """Describe what a type rule requires, in words that continue "… must be".

    Raises:
        ValueError: a date or timestamp of an unknown format.
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
    """Return the logical type that a type rule requires; empty for other rules."""
    if rule.kind == "number":
        return "integer" if rule.argument("integer") else "number"
    return rule.kind if rule.kind in ("timestamp", "date", "boolean") else ""


def kind_of(table: Table, column: str) -> str:
    """Return the logical type by which a column's values are compared: the contract's, or for text that of a rule."""
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
