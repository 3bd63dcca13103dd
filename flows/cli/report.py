"""`cxm report`: writes the history page of the loads."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from flows.cli.app import current_settings, json_option, jsonable, known_source, main, make_console, session


@main.command()
@click.option("--source", help="Only this contract; by default all.")
@click.option(
    "--days", type=click.IntRange(1, 3660), default=35, show_default=True, help="Number of days to look back."
)
@json_option
def report(source: str | None, days: int, as_json: bool) -> None:
    """Write the history page: batches by table and day, rows compared with the usual volume, quarantined batches, freshness."""
    from flows import blocks
    from flows.history import page

    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    with (
        session(settings, console, services=("s3", "warehouse")),
        blocks.snowflake(settings, settings.loader_role, {"step": "report"}) as connection,
    ):
        path, histories = page.make(connection, settings, source, days)
    if as_json:
        facts = [
            {"source": h.source.name, "loads": [asdict(load) for load in h.loads], "broken_rules": h.broken_rules()}
            for h in histories
        ]
        click.echo(json.dumps({"page": str(path), "sources": facts}, ensure_ascii=False, default=jsonable))
        return
    for history in histories:
        bad = sum(batch.state == "quarantined" for batch in history.batches)
        console.print(f"{history.source.name}: {len(history.batches)} batches in {days} days, {bad} quarantined")
    console.print(f"History: {path}", soft_wrap=True)
