"""`cxm build`: builds the marts, like the deployment `dbt-build`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from flows.cli.app import current_settings, fail, json_option, known_source, main, make_console, run_flow, session, show
from flows.errors import DataError


@main.command()
@click.option("--source", help="Only nodes that read this contract's tables.")
@click.option("--select", help="A dbt selector instead: marts, dim_accounts+.")
@click.option("--retry", is_flag=True, help="Only the nodes that failed in the last build, and those downstream.")
@json_option
def build(source: str | None, select: str | None, retry: bool, as_json: bool) -> None:
    """Build STG, INT, MARTS and SNAPSHOTS and run their tests; each node is a task run in the Prefect UI.

    A node downstream of a failed one is not built and keeps its old data. Exit code 3 if a node failed.
    """
    if sum(map(bool, (source, select, retry))) > 1:
        raise click.UsageError("--source, --select and --retry each say what to build; name one of them")
    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console):
        from flows import marts

        error: DataError | None = None
        try:
            with console.status("dbt build"):
                result = run_flow(marts.dbt_build, source=source, select=select, retry=retry)
        except marts.BuildError as failed:
            result, error = failed.result, failed
    if as_json:
        click.echo(json.dumps({**asdict(result), "error": str(error) if error else ""}, ensure_ascii=False))
    else:
        rows = [
            {
                "node": f"{node.kind} {node.name}",
                "outcome": node.outcome,
                "seconds": f"{node.seconds:.1f}",
                "message": node.message,
            }
            for node in result.nodes
            if node.outcome != "pass"
        ]
        if rows:
            show(console, False, "Nodes that did not pass", rows)
        console.print(marts.summarize(result))
    if error:
        if as_json:
            sys.exit(error.exit_code)
        fail(error, as_json)
