"""Reads freshness limits from a contract's `slaProperties`: those of the source, and those of single tables.

The standard's `element` names the tables of an entry
(https://bitol-io.github.io/open-data-contract-standard/latest/service-level-agreement/); an entry without it is for the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from open_data_contract_standard.model import OpenDataContractStandard, ServiceLevelAgreementProperty

from flows.contract.model import Limits
from flows.contract.position import Position, show

_ENDS = ("freshness_warning", "freshness_error")


def source_limits(contract: OpenDataContractStandard, place: Position) -> Limits:
    """Read the limits of the source, for every table without its own.

    Raises:
        ConfigurationError: a limit is missing, repeated, or not a whole number of hours; or the warning is later than the error.
    """
    of_source = [p for p in contract.slaProperties or () if not p.element]
    return _limits([[p for p in of_source if p.id == end] for end in _ENDS], _ENDS, place)


def table_limits(
    contract: OpenDataContractStandard, tables: Sequence[str], place: Position
) -> dict[str, Limits | Literal["none"]]:
    """Read the limits of the tables that have their own, by table name; `none`: the table is never late.

    Raises:
        ConfigurationError: an entry names an unknown table, or a table's limits are invalid.
    """
    entries: dict[str, list[ServiceLevelAgreementProperty]] = {}
    for entry in contract.slaProperties or ():
        if entry.property == "freshness" and entry.element:
            for name in (part.strip() for part in entry.element.split(",")):
                if name not in tables:
                    place.fail(f"slaProperties, element: got {show(name)}, expected a table: {', '.join(tables)}")
                entries.setdefault(name, []).append(entry)
    limits: dict[str, Limits | Literal["none"]] = {}
    for name, own in entries.items():
        if len(own) == 1 and own[0].value == "none":
            limits[name] = "none"
            continue
        ends = [f"{name}_{end}" for end in _ENDS]
        limits[name] = _limits([[p for p in own if str(p.id).endswith(end)] for end in _ENDS], ends, place)
    return limits


def _limits(
    agreements: Sequence[Sequence[ServiceLevelAgreementProperty]], names: Sequence[str], place: Position
) -> Limits:
    hours = []
    for entries, name in zip(agreements, names, strict=True):
        one = entries[0] if len(entries) == 1 else None
        value = one.value if one and (one.property, one.unit) == ("freshness", "h") else None
        if type(value) is not int or value < 1:
            place.fail(
                f"slaProperties: got {len(entries)} with id {name}, expected one, with property freshness, unit h and a whole "
                "number of hours from 1 on as its value (of a table that is never late one entry, with `value: none`)"
            )
        hours.append(value)
    if hours[0] > hours[1]:
        place.fail(f"slaProperties: {names[0]} is {hours[0]} h, expected at most {names[1]}'s {hours[1]} h")
    return Limits(*hours)
