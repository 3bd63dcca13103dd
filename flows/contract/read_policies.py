"""Reads the custom properties for bad rows and for comparisons with earlier batches: `badRows`, `volume`, `newValues` …"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, cast, get_args

from flows.contract.model import BadRows, Rule, Severity
from flows.contract.position import Position, show

_WINDOW = re.compile(r"([1-9][0-9]{0,2}) (batches|weekdays)")


def bad_rows(given: object, place: Position) -> BadRows | None:
    """Read how many rows that break a rule a table may set aside; None: it sets none aside, and the batch is quarantined.

    Raises:
        ConfigurationError: an unknown key or policy, or `set-aside` without a limit.
    """
    if given is None:
        return None
    keys = _keys(given, "badRows", ("policy", "maxShare", "maxRows", "brokenLines"), place)
    policy = place.one_of(keys.get("policy"), "customProperties, badRows, policy", ("quarantine-batch", "set-aside"))
    share, rows, lines = keys.get("maxShare"), keys.get("maxRows"), keys.get("brokenLines", False)
    if policy == "quarantine-batch":
        if share is not None or rows is not None:
            place.fail("customProperties, badRows: got a limit with quarantine-batch, expected none; remove it")
        if "brokenLines" in keys:
            place.fail(
                "customProperties, badRows: got brokenLines with quarantine-batch, which sets nothing aside; remove it, or set "
                "`policy: set-aside`"
            )
        return None
    if not isinstance(lines, bool):
        place.fail(f"customProperties, badRows, brokenLines: got {show(lines)}, expected true or false")
    if share is not None and (type(share) not in (int, float) or not 0 < share < 1):
        place.fail(f"customProperties, badRows, maxShare: got {show(share)}, expected a part of 1, such as 0.01")
    if rows is not None and (type(rows) is not int or rows < 1):
        place.fail(f"customProperties, badRows, maxRows: got {show(rows)}, expected a whole number from 1 on")
    if share is None and rows is None:
        place.fail(
            "customProperties, badRows: got no limit, expected maxShare, maxRows or both: more bad rows quarantine the batch; "
            "add `maxShare: 0.01`"
        )
    return BadRows(None if share is None else float(share), rows, lines)


def volume(given: object, place: Position) -> list[Rule]:
    """Read the rule that compares a batch's number of rows with earlier batches.

    Raises:
        ConfigurationError: an unknown key, or a value that does not fit.
    """
    if given is None:
        return []
    keys = _keys(given, "volume", ("window", "tolerance", "severity"), place)
    severity = _severity(keys, "volume", place)
    window = _WINDOW.fullmatch(str(keys.get("window")))
    if not window:
        place.fail(
            f"customProperties, volume, window: got {show(keys.get('window'))}, expected `8 batches`, the last that were "
            "published, or `4 weekdays`, the last of the same day of the week"
        )
    tolerance = keys.get("tolerance")
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 1 < tolerance < math.inf:
        place.fail(
            f"customProperties, volume, tolerance: got {show(tolerance)}, expected a number above 1: 3 means from a third of the "
            "usual number of rows to three times as many"
        )
    arguments = (("tolerance", tolerance), ("weekday", window[2] == "weekdays"), ("window", int(window[1])))
    return [Rule("volume", severity, arguments=arguments)]


def beside_before(own: Mapping[str, Any], column: str, place: Position) -> list[Rule]:
    """Read the rules that compare a column's values with those of the batch published before: `newValues`, `emptyShare`.

    Raises:
        ConfigurationError: an unknown key, or a value that does not fit.
    """
    rules = []
    if (given := own.get("newValues")) is not None:
        keys = _keys(given, "newValues", ("severity",), place)
        rules.append(Rule("new_values", _severity(keys, "newValues", place), column))
    if (given := own.get("emptyShare")) is not None:
        keys = _keys(given, "emptyShare", ("tolerance", "severity"), place)
        tolerance = keys.get("tolerance")
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < 1:
            place.fail(
                f"customProperties, emptyShare, tolerance: got {show(tolerance)}, expected a number from 0 to 1: 0.05 lets the "
                "share of empty ones go from 10% of the rows to 15%, or to 5%"
            )
        arguments = (("tolerance", float(tolerance)),)
        rules.append(Rule("empty_share", _severity(keys, "emptyShare", place), column, arguments=arguments))
    return rules


def _severity(keys: Mapping[str, Any], name: str, place: Position) -> Severity:
    return cast(Severity, place.one_of(keys.get("severity"), f"customProperties, {name}, severity", get_args(Severity)))


def _keys(given: object, name: str, known: tuple[str, ...], place: Position) -> dict[str, Any]:
    if not isinstance(given, dict) or set(given) - set(known):
        place.fail(f"customProperties, {name}: got {show(given)}, expected the keys {', '.join(known)}")
    return given
