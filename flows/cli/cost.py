"""`cxm cost`: the cost of the loads and builds of the last days."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from flows.cli.app import current_settings, json_option, jsonable, main, make_console, session, show

SHOWN = 20  # rows of each table in a terminal


@main.command()
@click.option("--days", type=click.IntRange(1, 365), default=7, show_default=True, help="Number of days to look back.")
@json_option
def cost(days: int, as_json: bool) -> None:
    """Show credits and seconds of queries by step, table, dbt model and batch, and what was sent to S3.

    Query costs are from Snowflake's QUERY_ATTRIBUTION_HISTORY, which is up to eight hours late and omits queries of about 100
    milliseconds or less, idle time, cloud services, serverless features and storage. CXM_QUERY_COSTS=true grants it.
    """
    from flows import blocks
    from flows.history import cost as costs_of

    settings = current_settings()
    console = make_console(as_json)
    with (
        session(settings, console, services=("s3", "warehouse")),
        blocks.snowflake(settings, settings.loader_role, {"step": "cost"}) as connection,
    ):
        costs = costs_of.read(connection, settings, None, days)
    parts: dict[str, Sequence[costs_of.Sum]] = {
        "step": costs.by_step(),
        "table": costs.by_table(),
        "model": costs.by_model(),
        "batch": costs.by_batch(),
    }
    if as_json:
        queries = (
            None if costs.queries is None else {f"by_{part}": [asdict(s) for s in sums] for part, sums in parts.items()}
        )
        document = {"days": days, "queries": queries, "s3": [asdict(one) for one in costs.sent]}
        click.echo(json.dumps(document, ensure_ascii=False, default=jsonable))
        return
    if costs.queries is None:
        console.print("Queries: not read; set CXM_QUERY_COSTS=true and run `cxm provision --apply` as ACCOUNTADMIN")
    for part, sums in parts.items():
        if sums:
            rows = [
                {part: s.name, "queries": s.queries, "seconds": s.seconds, "credits": s.credits} for s in sums[:SHOWN]
            ]
            show(console, False, f"By {part}, {days} days", rows)
    sent = [{k: v for k, v in asdict(one).items() if k != "batch_id"} for one in costs.sent_by_table()]
    show(console, False, f"Sent to S3, {days} days", sent, empty=f"Nothing was sent to S3 in {days} days")
