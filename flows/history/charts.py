"""The charts of a source's history, as Vega-Lite specifications (https://vega.github.io/vega-lite/docs/) in plain dictionaries.

Colours are placeholders that the page replaces by those of its light or dark theme: `@published`, `@line` …
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.contract.model import Table
from flows.history import BatchSummary, History, State, Volume
from flows.history.cost import Costs

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
STATES: tuple[State, ...] = ("published", "unchanged", "quarantined", "undone", "open", "missing")
Spec = dict[str, Any]


def _colours(field: str, title: str | None = None) -> Spec:
    scale = {"domain": list(STATES), "range": [f"@{state}" for state in STATES]}
    return {"field": field, "type": "nominal", "scale": scale, "title": title, "legend": None}


def _chart(height: int | Spec, values: Sequence[Spec], **rest: Any) -> Spec:
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": list(values)},
        **rest,
    }


_DATES = {"format": "%b %d", "grid": False, "labelOverlap": True}  # an axis of moments
# An axis of days: without whole days as ticks, a short history would name one day several times.
_DAYS = {**_DATES, "tickCount": {"interval": "day", "step": 1}}
_DAY = {"field": "day", "timeUnit": "utcyearmonthdate", "type": "temporal", "title": None, "axis": _DAYS}


def calendar(history: History) -> Spec:
    """A square for each table and day, coloured by state."""
    values = [
        {"table": table.name, "day": day.isoformat(), "state": state}
        for table in history.source.tables
        for day, state in sorted(history.calendar(table).items())
    ]
    return _chart(
        {"step": 24},
        values,
        mark={"type": "rect", "cornerRadius": 3, "stroke": "@page", "strokeWidth": 2},
        encoding={
            "x": {**_DAY, "bandPosition": 0.5},
            "y": {
                "field": "table",
                "type": "nominal",
                "title": None,
                "sort": [table.name for table in history.source.tables],
                "axis": {"labelLimit": 130, "grid": False, "ticks": False, "domain": False},
            },
            "color": _colours("state"),
            "tooltip": [
                {"field": "table", "type": "nominal"},
                {"field": "day", "type": "temporal", "timeUnit": "utcyearmonthdate", "format": "%a %Y-%m-%d"},
                {"field": "state", "type": "nominal"},
            ],
        },
    )


def volume(table: Table, volumes: Sequence[Volume]) -> Spec:
    """The rows of a table's batches over time, above a band of the usual range; unusual batches have large marks."""
    values = [
        {
            "at": one.load.started.isoformat(),
            "rows": one.load.rows,
            "low": one.low,
            "high": one.high,
            "state": one.load.state,
            "unusual": one.unusual,
            "batch": one.load.batch_id,
        }
        for one in volumes
    ]
    x = {
        "field": "at",
        "type": "temporal",
        "scale": {"type": "utc"},
        "title": None,
        "axis": {**_DATES, "tickCount": 4},
    }
    y = {"type": "quantitative", "title": None, "axis": {"format": "~s", "tickCount": 4}}
    shape = {"condition": {"test": "datum.unusual", "value": "triangle-up"}, "value": "circle"}
    return _chart(
        140,
        values,
        encoding={"x": x},
        layer=[
            {
                "transform": [{"filter": "isValid(datum.low)"}],
                "mark": {"type": "area", "color": "@band", "opacity": 0.5, "interpolate": "monotone"},
                "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {"mark": {"type": "line", "color": "@line"}, "encoding": {"y": {**y, "field": "rows"}}},
            {
                "mark": {"type": "point", "filled": True, "opacity": 1},
                "encoding": {
                    "y": {**y, "field": "rows", "scale": {"zero": True}},
                    "color": _colours("state"),
                    "shape": shape,
                    "size": {"condition": {"test": "datum.unusual", "value": 160}, "value": 40},
                    "tooltip": [
                        {"field": "batch", "type": "nominal"},
                        {"field": "rows", "type": "quantitative", "format": ","},
                        {"field": "low", "type": "quantitative", "format": ",.0f", "title": "usual from"},
                        {"field": "high", "type": "quantitative", "format": ",.0f", "title": "to"},
                        {"field": "state", "type": "nominal"},
                    ],
                },
            },
        ],
        title={"text": table.name, "anchor": "start"},
    )


def seconds(batches: Sequence[BatchSummary]) -> Spec:
    """How long each batch took, from its first object to its verdict."""
    values = [
        {
            "at": batch.started.isoformat(),
            "seconds": round(batch.seconds, 1),
            "state": batch.state,
            "batch": batch.batch_id,
            "rows": batch.rows,
        }
        for batch in batches
        if batch.seconds is not None
    ]
    return _chart(
        140,
        values,
        mark={"type": "bar", "width": 6, "cornerRadiusEnd": 2},
        encoding={
            "x": {
                "field": "at",
                "type": "temporal",
                "scale": {"type": "utc"},
                "title": None,
                "axis": _DATES,
            },
            "y": {"field": "seconds", "type": "quantitative", "title": "seconds"},
            "color": _colours("state"),
            "tooltip": [
                {"field": "batch", "type": "nominal"},
                {"field": "seconds", "type": "quantitative"},
                {"field": "rows", "type": "quantitative", "format": ","},
                {"field": "state", "type": "nominal"},
            ],
        },
    )


def cost(costs: Costs) -> Spec:
    """What each day's queries cost, by step: in credits if the warehouse reports them, else in seconds."""
    values = [
        {"day": day.isoformat(), "step": step, "amount": round(amount, 6)} for day, step, amount in costs.by_day()
    ]
    return _chart(
        170,
        values,
        mark={"type": "bar", "cornerRadiusEnd": 2},
        encoding={
            "x": _DAY,
            "y": {"field": "amount", "type": "quantitative", "title": costs.unit},
            "color": {
                "field": "step",
                "type": "nominal",
                "title": None,
                "scale": {"scheme": "tableau10"},
                "legend": {"orient": "bottom", "columns": 5, "symbolType": "square"},
            },
            "tooltip": [
                {"field": "day", "type": "temporal", "timeUnit": "utcyearmonthdate", "format": "%a %Y-%m-%d"},
                {"field": "step", "type": "nominal"},
                {"field": "amount", "type": "quantitative", "format": ",.4f", "title": costs.unit},
            ],
        },
    )
