"""`cxm provision`: what an account lacks, as SQL and API calls; then made."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from flows.cli.app import current_settings, json_option, main, make_console, run_flow, session, show


@main.command()
@click.option(
    "--plan", "mode", flag_value="plan", default="plan", help="Print the SQL and change nothing (the default)."
)
@click.option("--apply", "mode", flag_value="apply", help="Run it.")
@json_option
def provision(mode: str, as_json: bool) -> None:
    """Bucket, warehouse, database, schemas, roles, stages, ledger and RAW tables; safe to repeat."""
    settings = current_settings()
    from flows.contract.read import read_source, sources
    from flows.contract.render_sql import create_table
    from flows.steps.provision import PREFIXES, statements

    if mode == "plan":
        contracts = [read_source(name) for name in sources()]
        sql = statements(settings, contracts)
        sql += [create_table(t, settings.database, s.schema) for s in contracts for t in s.tables]
        calls = [f"s3:CreateBucket {settings.bucket}", *(f"s3:PutObject {settings.bucket}/{p}" for p in PREFIXES)]
        if as_json:
            click.echo(json.dumps({"aws": calls, "sql": sql}, ensure_ascii=False))
        else:
            click.echo("\n".join(f"-- {call}" for call in calls) + "\n\n" + ";\n\n".join(sql) + ";")
        return
    console = make_console(as_json)
    with session(settings, console):
        from flows import pipeline as flows

        changes = run_flow(flows.provision)
    show(console, as_json, "Provisioned", [asdict(change) for change in changes])
