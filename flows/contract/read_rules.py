"""Reads a contract's rules on values from logicalTypeOptions and `quality`; refuses those that not every renderer can check."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, cast, get_args

from open_data_contract_standard.model import DataQuality

from flows.contract.dialect import Dialect
from flows.contract.model import Column, Rule, Severity
from flows.contract.position import Position, show
from flows.contract.read_dialect import FORMATS

_OPTIONS = {
    "string": {"pattern"},
    "integer": {"minimum", "maximum"},
    "number": {"minimum", "maximum"},
    "timestamp": {"format"},
    "date": {"format"},
    "boolean": set(),
}
_BETWEEN = "expect_column_values_to_be_between"


def typed_rules(column: Column, options: dict[str, Any], written: Dialect, place: Position) -> list[Rule]:
    """Read the rules of logicalType and logicalTypeOptions, all of severity error, for values as the table's dialect writes them.

    Raises:
        ConfigurationError: an option that the pipeline does not check, or a value that does not fit.
    """
    known = _OPTIONS[column.logical_type]
    unknown = sorted(set(options) - known)
    if unknown:
        place.fail(f"logicalTypeOptions: got {', '.join(unknown)}, expected only {', '.join(sorted(known)) or 'none'}")
    rules = []
    if column.logical_type == "timestamp" or column.logical_type == "date":
        formats = FORMATS[column.logical_type]
        spelled = written.timestamps if column.logical_type == "timestamp" else written.dates
        if "format" in options or not spelled:
            spelled = formats[place.one_of(options.get("format"), "logicalTypeOptions, format", formats)]
        rules.append(Rule(column.logical_type, "error", column.name, arguments=(("format", spelled),)))
    if column.logical_type == "boolean":
        words = (("words", written.booleans),) if written.booleans else ()
        rules.append(Rule("boolean", "error", column.name, arguments=words))
    if column.logical_type in ("integer", "number"):
        mark = (("decimal", written.decimal),) if written.decimal != "." else ()
        whole = ("integer", column.logical_type == "integer")
        rules.append(Rule("number", "error", column.name, arguments=(*mark, whole)))
    if "pattern" in options:
        rules.append(Rule("regex", "error", column.name, arguments=_regex(options["pattern"], place)))
    if "minimum" in options or "maximum" in options:
        rules.append(Rule("between", "error", column.name, arguments=_range(options, "minimum", "maximum", place)))
    return rules


def _regex(pattern: object, place: Position) -> tuple[tuple[str, object], ...]:
    ok = isinstance(pattern, str) and pattern.startswith("^") and pattern.endswith("$")
    if not isinstance(pattern, str) or not ok or "\\" in pattern or "(?" in pattern:
        place.fail(
            f"pattern: got {show(pattern)}, expected ^…$ without backslashes and (?…), which the engines read differently; "
            "write [0-9] for a digit and [.] for a dot"
        )
    try:
        re.compile(pattern)
    except re.error as error:
        place.fail(f"pattern: got {show(pattern)}, which is no regular expression: {error}")
    return (("pattern", pattern),)


def _range(options: dict[str, Any], low: str, high: str, place: Position) -> tuple[tuple[str, object], ...]:
    bounds = {"max": options.get(high), "min": options.get(low)}
    for value in bounds.values():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            place.fail(f"{low}, {high}: got {show(value)}, expected a number")
    arguments = tuple((name, value) for name, value in bounds.items() if value is not None)
    if not arguments or (len(arguments) == 2 and arguments[1][1] > arguments[0][1]):
        place.fail(f"{low}, {high}: got {bounds['min']} and {bounds['max']}, expected one or both, the smaller first")
    return arguments


def quality_rules(quality: DataQuality, column: Column | None, headers: dict[str, str], place: Position) -> list[Rule]:
    """Read the rule of one entry of `quality`, for a column or (None) the table. An entry of type text is documentation: no rule.

    Raises:
        ConfigurationError: no severity, or a check that the pipeline cannot carry out.
    """
    if quality.type == "text":
        return []
    severity = cast(Severity, place.one_of(quality.severity, "quality, severity", get_args(Severity)))
    rule = (
        _table_rule(quality, severity, headers, place)
        if column is None
        else _column_rule(quality, severity, column, place)
    )
    if rule is None:
        place.fail(
            f"quality: got {show(quality.model_dump(exclude_none=True))}, expected rowCount of the table with mustBeGreaterThan; "
            "duplicateValues of the table with arguments properties, or nullValues, duplicateValues or invalidValues of a column "
            "(with arguments validValues or pattern), each with mustBe 0; or, of a column of numbers, type custom, engine "
            f"greatExpectations and an implementation with type {_BETWEEN} and kwargs min_value, max_value"
        )
    return [replace(rule, description=(quality.description or "").strip())]


def _table_rule(quality: DataQuality, severity: Severity, headers: dict[str, str], place: Position) -> Rule | None:
    least = quality.mustBeGreaterOrEqualTo
    if quality.mustBeGreaterThan is not None:
        least = int(quality.mustBeGreaterThan) + 1
    if quality.metric == "rowCount" and least is not None:
        return Rule("row_count", severity, arguments=(("min", int(least)),))
    if quality.metric == "duplicateValues" and _none_allowed(quality):
        listed = (quality.arguments or {}).get("properties")
        if not isinstance(listed, list) or not listed or not all(name in headers for name in listed):
            place.fail(f"quality, arguments, properties: got {show(listed)}, expected a list of {', '.join(headers)}")
        return Rule("unique", severity, columns=tuple(headers[name] for name in listed))
    return None


def _column_rule(quality: DataQuality, severity: Severity, column: Column, place: Position) -> Rule | None:
    if quality.type == "custom" and quality.engine == "greatExpectations":
        return _between(quality, severity, column, place)
    arguments = quality.arguments or {}
    if not _none_allowed(quality):
        return None
    match quality.metric, list(arguments):
        case "nullValues", []:
            return Rule("not_null", severity, column.name)
        case "duplicateValues", []:
            return Rule("unique", severity, column.name)
        case "invalidValues", ["validValues"]:
            values = arguments["validValues"]
            if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
                place.fail(
                    f"quality, validValues: got {show(values)}, expected a list of texts; put quotes around each"
                )
            return Rule("in_set", severity, column.name, arguments=(("values", tuple(values)),))
        case "invalidValues", ["pattern"]:
            return Rule("regex", severity, column.name, arguments=_regex(arguments["pattern"], place))
    return None


def _between(quality: DataQuality, severity: Severity, column: Column, place: Position) -> Rule | None:
    # ODCS's own metrics have no range with a severity; this is the standard's form for an engine's expectation.
    implementation = quality.implementation if isinstance(quality.implementation, dict) else {}
    kwargs = implementation.get("kwargs")
    known = isinstance(kwargs, dict) and set(kwargs) <= {"min_value", "max_value"}
    if implementation.get("type") != _BETWEEN or not known or column.logical_type not in ("integer", "number"):
        return None
    return Rule("between", severity, column.name, arguments=_range(dict(kwargs or {}), "min_value", "max_value", place))


def _none_allowed(quality: DataQuality) -> bool:
    return type(quality.mustBe) is int and quality.mustBe == 0 and quality.unit in (None, "rows")
