"""`cxm inbox`: polls a source's place once, like the scheduled deployment of that name."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from flows.cli.app import current_settings, json_option, known_source, main, make_console, run_flow, session, show


@main.command()
@click.option("--source", default="olist", show_default=True, help="The contract: data_dictionary/<source>.odcs.yaml.")
@click.option("--data", help="Where the source's files arrive, as in `cxm run`.  [default: data/<source>]")
@click.option(
    "--settle",
    type=float,
    default=60,
    show_default=True,
    help="Seconds for which a set must not change, over several polls.",
)
@click.option("--marker", default="", help="A file that marks a set as complete, such as _SUCCESS.")
@click.option(
    "--after",
    type=click.Choice(["left", "done", "delete"]),
    help="What to do with files after they are published.  [default: CXM_INBOX_AFTER]",
)
@click.option(
    "--late",
    type=click.Choice(["joins", "waits"]),
    default="joins",
    show_default=True,
    help="A file that comes after its set was loaded: its own batch, or together with the next files.",
)
@json_option
def inbox(
    source: str, data: str | None, settle: float, marker: str, after: str | None, late: str, as_json: bool
) -> None:
    """Poll a source's place once, and start a run on the worker for each complete set of new files.

    A set starts only one run. The state between polls is on the Prefect server.
    """
    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, services=("s3", "warehouse", "prefect"), named_server=True):
        from flows.inbox import inbox as look

        sets = run_flow(look, source=source, data=data, settle_seconds=settle, marker=marker, after=after, late=late)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in sets], ensure_ascii=False))
        return
    rows = [
        {"set": one.day or source, "files": one.files, "": one.status, "what": one.summary, "run": one.run}
        for one in sets
    ]
    show(console, False, f"{source}: what has come", rows, empty="no file of the source has come")
