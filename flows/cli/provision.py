"""`cxm provision`: what two accounts lack or have otherwise, as SQL and AWS calls; then made, or taken down again."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from flows.cli.app import current_settings, json_option, main, make_console, run_flow, session, show


@main.command()
@click.option(
    "--plan", "mode", flag_value="plan", default="plan", help="Print what differs; change nothing (the default)."
)
@click.option("--apply", "mode", flag_value="apply", help="Make and mend it.")
@json_option
def provision(mode: str, as_json: bool) -> None:
    """Bucket, IAM, warehouse, database, schemas, roles, users, stages, ledger and RAW tables.

    The plan reads only, and prints AWS calls for a shell and SQL for a worksheet, grouped by the role that runs it. Applying is
    safe to repeat and to interrupt; nothing that holds data is replaced or dropped.
    """
    settings = current_settings()
    console = make_console(as_json)
    services = ("s3", "warehouse") if mode == "plan" else ("s3", "warehouse", "prefect")
    with session(settings, console, services):
        if mode == "apply":
            from flows import pipeline as flows

            changes = run_flow(flows.provision)
            show(console, as_json, "Provisioned", [asdict(change) for change in changes])
            return
        from flows import provisioning
        from flows.steps.provision import make_plan

        admin = provisioning.administrator(settings)
        with provisioning.connection(admin, "plan") as connection:
            cloud = provisioning.cloud(admin, settings.aws_block)
            plan = make_plan(cloud, connection, admin, provisioning.contracts())
    click.echo(json.dumps(plan.json(), ensure_ascii=False) if as_json else plan.text(), nl=as_json)
