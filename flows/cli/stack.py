"""`cxm up`, `down`, `status` and `sql`: the embedded stack, and a query on the configured warehouse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from flows.cli.app import current_settings, json_option, main, make_console, plain, quiet_environment, session, show

if TYPE_CHECKING:
    from flows.settings import Settings


@main.command()
@click.argument("statement")
@json_option
def sql(statement: str, as_json: bool) -> None:
    """A query on the configured warehouse, in the transformer's role (it reads every schema and cannot write RAW)."""
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, services=("s3", "warehouse")):
        from flows import blocks
        from flows.clients.snowflake import run as run_sql

        with blocks.snowflake(settings, settings.transformer_role, {"step": "cxm sql"}) as connection:
            rows = run_sql(connection, statement)
    show(console, as_json, "", [dict(zip(rows.columns, row, strict=True)) for row in rows.rows], empty="no rows")


@main.command()
@click.option(
    "--only", multiple=True, type=click.Choice(["s3", "warehouse", "prefect", "docs"]), help="Start just these."
)
@json_option
def up(only: tuple[str, ...], as_json: bool) -> None:
    """Start the embedded stack and leave it running."""
    from flows.embedded import stack

    settings = current_settings()
    quiet_environment()
    stack.up(settings, only or None)
    _status(settings, as_json)


@main.command()
@json_option
def down(as_json: bool) -> None:
    """Stop the embedded stack; its data stays."""
    from flows.embedded import stack

    stopped = stack.down(current_settings())
    click.echo(json.dumps({"stopped": stopped}) if as_json else "stopped" if stopped else "nothing was running")


@main.command()
@json_option
def status(as_json: bool) -> None:
    """What of the embedded stack runs, where, since when."""
    _status(current_settings(), as_json)


def _status(settings: Settings, as_json: bool) -> None:
    from flows.embedded import stack

    show(
        make_console(as_json), as_json, f"Embedded stack in {settings.home}", [plain(s) for s in stack.status(settings)]
    )
