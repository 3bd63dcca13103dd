"""Reads how long data is kept from a contract's `slaProperties`: `property: retention`, for the source or for single tables.

The standard has the property, its value and its unit, and names tables by `element`
(https://bitol-io.github.io/open-data-contract-standard/latest/service-level-agreement/). The standard's example names a
column whose dates count; here the last delivery of a load counts, so that a load is deleted as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from open_data_contract_standard.model import OpenDataContractStandard, ServiceLevelAgreementProperty

from flows.contract.model import Retention, RetentionUnit
from flows.contract.position import Position, show

_NAMES = ("retention", "re")  # the standard's name and its synonym; case does not matter
_UNITS: dict[str, RetentionUnit] = {
    **dict.fromkeys(("d", "day", "days"), "day"),
    **dict.fromkeys(("m", "mo", "month", "months"), "month"),
    **dict.fromkeys(("y", "yr", "year", "years"), "year"),
}
_LONGEST: dict[RetentionUnit, int] = {"day": 36_500, "month": 1_200, "year": 100}


def retentions(contract: OpenDataContractStandard, tables: Sequence[str], place: Position) -> dict[str, Retention]:
    """Read how long each table's data is kept, by table name; a table that is missing keeps its data.

    Raises:
        ConfigurationError: an entry names something that is not a table, a table has two, or a value or unit does not fit.
    """
    of_source: list[Retention] = []
    own: dict[str, Retention] = {}
    for entry in contract.slaProperties or ():
        if str(entry.property).lower() not in _NAMES:
            continue
        retention = _retention(entry, place)
        if not entry.element:
            of_source.append(retention)
            continue
        for name in (part.strip() for part in entry.element.split(",")):
            if name not in tables:
                place.fail(
                    f"slaProperties, retention, element: got {show(name)}, expected a table: {', '.join(tables)}; a load is "
                    "deleted as a whole, by its last delivery and by no column"
                )
            if name in own:
                place.fail(f"slaProperties, retention: got two entries for {name}, expected one")
            own[name] = retention
    if len(of_source) > 1:
        place.fail(
            f"slaProperties, retention: got {len(of_source)} entries without an element, expected one; name tables in the others"
        )
    return {name: own.get(name) or of_source[0] for name in tables if of_source or name in own}


def _retention(entry: ServiceLevelAgreementProperty, place: Position) -> Retention:
    unit = _UNITS.get(str(entry.unit).lower())
    if unit is None:
        place.fail(
            f"slaProperties, retention, unit: got {show(entry.unit)}, expected d (days), m (months) or y (years)"
        )
    if type(entry.value) is not int or not 1 <= entry.value <= _LONGEST[unit]:
        place.fail(
            f"slaProperties, retention, value: got {show(entry.value)}, expected a whole number of {unit}s from 1 to "
            f"{_LONGEST[unit]:,}; without a limit remove the entry"
        )
    return Retention(entry.value, unit)
