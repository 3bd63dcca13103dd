"""Writes the history page: one self-contained HTML file with data, styles and the plotting library (Vega) inline."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flows.contract.read import read_source, sources
from flows.docs_place import DocsPlace, data_docs
from flows.errors import CxmError
from flows.escape import visible
from flows.history import DAYS, TOLERANCE, WINDOW, BatchSummary, Delivery, History, by_source, charts, cost, loads
from flows.history.cost import Costs, Sum

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from flows.settings import Settings

SHOWN = 50  # newest batches in the list
DEAREST = 15  # rows in each table of costs
log = logging.getLogger(__name__)
DocsOf = Callable[[str, BatchSummary], str]  # a source and a batch → the address of its Data Docs, or empty
_WORDS = {
    "published": "published",
    "unchanged": "delivered, unchanged",
    "quarantined": "quarantined",
    "undone": "undone",
    "open": "without a verdict",
    "missing": "nothing came, and the contract expects it",
}


def make(
    connection: SnowflakeConnection, settings: Settings, source: str | None = None, days: int = DAYS
) -> tuple[Path, list[History]]:
    """Write the page of all sources to `docs/history/index.html` of the home, or that of one source to `<source>.html` beside it.
    Returns the path and the histories on the page.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`.
    """
    contracts = [read_source(name) for name in ([source] if source else sources())]
    now = datetime.now(UTC)
    histories = by_source(contracts, loads(connection, settings.database, source, days), now, days)
    docs = settings.home / "docs"
    path = docs / "history" / f"{source or 'index'}.html"
    page = render(
        histories,
        library(settings.home / "cache"),
        days,
        f"{now:%Y-%m-%d %H:%M}",
        _docs_of(settings, docs, now),
        _costs(connection, settings, source, days),
    )
    write(path, page)
    return path, histories


def _costs(connection: SnowflakeConnection, settings: Settings, source: str | None, days: int) -> Costs | None:
    """What the loads cost; None, and a page without costs, if that cannot be read."""
    try:
        return cost.read(connection, settings, source, days)
    except CxmError as error:
        log.warning("the history page has no costs: %s", error)
        return None


def _docs_of(settings: Settings, docs: Path, now: datetime) -> DocsOf:
    place = DocsPlace.of(settings)
    if place is None:
        beside = "../data_docs/index.html" if (docs / "data_docs" / "index.html").exists() else ""
        return lambda source, batch: beside
    oldest = now - timedelta(days=settings.docs_days)
    return lambda source, batch: place.link(data_docs(source, batch.batch_id)) if batch.started > oldest else ""


def _no_docs(source: str, batch: BatchSummary) -> str:
    return ""


def write(path: Path, page: str) -> None:
    """Write what `render` returns to `path` atomically: a reader sees the old page or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(page, encoding="utf-8")
    new.replace(path)


def library(cache_folder: Path) -> str:
    """The script of Vega, Vega-Lite and Vega-Embed for a page. Bundling it takes seconds, so it is cached for each version."""
    cached = cache_folder / f"vega-{version('vl-convert-python')}.js"
    if not cached.exists():
        import vl_convert

        cache_folder.mkdir(parents=True, exist_ok=True)
        new = cached.with_name(f".{cached.name}.{os.getpid()}")
        new.write_text(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"), encoding="utf-8")
        new.replace(cached)
    return cached.read_text(encoding="utf-8")


def render(
    histories: Sequence[History],
    library: str,
    days: int,
    now: str,
    docs: DocsOf = _no_docs,
    costs: Costs | None = None,
) -> str:
    """The page's HTML.

    Args:
        library: the script of Vega, Vega-Lite and Vega-Embed, as `library` returns it.
        docs: returns the address of a batch's Data Docs.
        costs: what the loads cost; None: the page has no section on costs.
    """
    specs: dict[str, Any] = {}
    views = []
    for history in histories:
        name = history.source.name
        volumes = {table: loads for table in history.source.tables if (loads := history.volumes(table))}
        specs[f"{name}-calendar"] = charts.calendar(history)
        specs[f"{name}-seconds"] = charts.seconds(history.batches)
        specs |= {f"{name}-{table.name}": charts.volume(table, of_table) for table, of_table in volumes.items()}
        views.append(_view(history, [table.name for table in volumes], docs, costs))
    if costs and costs.queries:
        specs["cost"] = charts.cost(costs)
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            histories=views,
            costs=_cost_view(costs),
            states=charts.STATES,
            words=_WORDS,
            days=days,
            now=now,
            library=library.replace("</script", "<\\/script"),
            charts=json.dumps(specs).replace("<", "\\u003c"),
        )
    )


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)


def _view(history: History, volumes: Sequence[str], docs: DocsOf, costs: Costs | None) -> dict[str, Any]:
    name = history.source.name
    batches = list(reversed(history.batches))
    spent = {one.name: one for one in costs.by_batch()} if costs else {}
    unit = costs.unit if costs and costs.queries else ""
    return {
        "name": name,
        "tiles": _tiles(history),
        "volumes": volumes,
        "band": _band(history),
        "quarantined": [
            {"id": b.batch_id, "url": _link(b.run_url), "reason": visible(b.reason)}
            for b in batches
            if b.state == "quarantined"
        ],
        "rules": history.broken_rules(),
        "deliveries": [_delivery(one, history) for one in history.deliveries()],
        "batches": [
            {**_batch(batch, docs(name, batch)), "cost": _amount(spent.get(batch.batch_id), unit)}
            for batch in batches[:SHOWN]
        ],
        "unit": unit,
    }


def _tiles(history: History) -> list[dict[str, str]]:
    last = history.batches[-1]
    deliveries = history.deliveries()
    judged = [one for one in deliveries if one.state != "no limit"]
    fresh = sum(one.state == "fresh" for one in judged)
    states = [batch.state for batch in history.batches]
    published = [batch for batch in history.batches if batch.state == "published"]
    unusual = sum(v.unusual for table in history.source.tables for v in history.volumes(table))
    return [
        {"title": "last batch", "value": last.state, "note": last.batch_id},
        {"title": "fresh", "value": f"{fresh} of {len(judged)}", "note": "tables that have a limit"},
        {"title": "quarantined", "value": str(states.count("quarantined")), "note": f"of {len(states)} batches"},
        {"title": "published", "value": f"{sum(b.rows for b in published):,}", "note": "rows in these days"},
        {"title": "unusual", "value": str(unusual), "note": "loads outside their band"},
    ]


def _band(history: History) -> str:
    ruled = [table.name for table in history.source.tables if any(rule.kind == "volume" for rule in table.rules)]
    eye = f"The band is the median of up to {WINDOW} published batches before, divided and multiplied by {TOLERANCE:g}"
    if not ruled:
        return f"{eye}; the contract has no rule on the volume, so it decides nothing."
    return f"The band is that of the contract's rule ({', '.join(ruled)}). Of other tables: {eye[0].lower()}{eye[1:]}."


def _delivery(one: Delivery, history: History) -> dict[str, str]:
    limits = history.source.limits(one.table)
    return {
        "table": one.table.name,
        "at": f"{one.at:%Y-%m-%d %H:%M}" if one.at else "",
        "age": "" if one.hours is None else f"{one.hours:.1f} h" if one.hours < 48 else f"{one.hours / 24:.1f} days",
        "limits": f"{limits.warn_after_hours} h, {limits.error_after_hours} h" if limits else "none",
        "state": one.state,
    }


def _batch(batch: BatchSummary, docs: str) -> dict[str, Any]:
    links = [("run", _link(batch.run_url)), ("Data Docs", docs if batch.state in ("published", "quarantined") else "")]
    return {
        "id": batch.batch_id,
        "state": batch.state,
        "rows": f"{batch.rows:,}",
        "bytes": f"{batch.bytes:,}",
        "seconds": "" if batch.seconds is None else f"{batch.seconds:,.1f}",
        "links": [(text, url) for text, url in links if url],
    }


def _amount(one: Sum | None, unit: str) -> str:
    if one is None:
        return ""
    if unit != "credits":
        return f"{one.seconds:.1f}"
    return "" if one.credits is None else f"{one.credits:.4f}"


def _cost_view(costs: Costs | None) -> dict[str, Any] | None:
    if costs is None:
        return None
    parts = (("step", costs.by_step()), ("table", costs.by_table()), ("dbt model", costs.by_model()))
    return {
        "unit": costs.unit,
        "hidden": costs.queries is None,
        "tables": [
            (
                title,
                [(s.name, f"{s.queries:,}", f"{s.seconds:,.1f}", _amount(s, "credits")) for s in sums[:DEAREST]],
            )
            for title, sums in parts
            if sums
        ],
        "sent": [
            (s.source, s.table, f"{s.objects:,}", f"{s.bytes:,}", f"{s.requests:,}") for s in costs.sent_by_table()
        ],
    }


def _link(url: str) -> str:
    """The URL if it is http or https, else empty: a `javascript:` link would run in the browser."""
    return quote(url, safe=":/?#&=%") if urlsplit(url).scheme in ("http", "https") else ""
