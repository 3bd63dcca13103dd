"""`cxm provision`: plans and makes changes in the AWS and Snowflake accounts, or destroys an environment."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from flows.cli.app import apply_plan, current_settings, json_option, main, make_console, session, show


@main.command()
@click.option(
    "--plan", "mode", flag_value="plan", default="plan", help="Print the differences; change nothing (the default)."
)
@click.option("--apply", "mode", flag_value="apply", help="Make the changes.")
@click.option("--plan-role", "mode", flag_value="role", help="Print the SQL that creates CXM_PLAN_ROLE; send nothing.")
@click.option("--destroy", is_flag=True, help="Destroy this environment instead; never production.")
@click.option(
    "--drop-with-data",
    "named",
    multiple=True,
    metavar="NAME",
    help="A database or bucket that may be dropped with its data.",
)
@json_option
def provision(mode: str, destroy: bool, named: tuple[str, ...], as_json: bool) -> None:
    """Create or update bucket, IAM, warehouse, database, schemas, roles, users, stages, ledger and RAW tables.

    A plan only reads, and prints AWS calls for a shell and SQL for a worksheet, grouped by the role that runs it. It reads with
    the Snowflake role CXM_PLAN_ROLE, by default ACCOUNTADMIN; `--plan-role` prints SQL that creates a role that may only read.
    `--apply` needs ACCOUNTADMIN. It is safe to repeat and to interrupt; it never replaces or drops anything that holds data.

    `--destroy` lists what would be lost, and with `--apply` drops it: a database with rows or a bucket with objects only if
    an option names it.
    """
    settings = current_settings()
    console = make_console(as_json)
    if mode == "role":
        from flows.steps.provision.plan_role import plan_role_sql

        sql = plan_role_sql(settings)
        click.echo(json.dumps({"sql": sql}, ensure_ascii=False) if as_json else sql, nl=as_json)
        return
    if destroy:
        _destroy(mode == "apply", named, as_json)
        return
    services = ("s3", "warehouse") if mode == "plan" else ("s3", "warehouse", "prefect")
    with session(settings, console, services):
        from flows import admin_clients

        if mode == "apply":
            changes = apply_plan(admin_clients.plan(settings))
            show(console, as_json, "Provisioned", [asdict(change) for change in changes])
            return
        plan = admin_clients.plan(settings, role=settings.plan_role)
    click.echo(json.dumps(plan.json(), ensure_ascii=False) if as_json else plan.text(), nl=as_json)


def _destroy(apply: bool, named: tuple[str, ...], as_json: bool) -> None:
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, ("s3", "warehouse")):
        from flows import admin_clients
        from flows.steps import provision as step

        admin = admin_clients.administrator(settings)
        role = step.ADMINISTRATOR if apply else admin.plan_role
        with admin_clients.connection(admin, "destroy", role) as connection:
            cloud = admin_clients.cloud(admin, settings.aws_block)
            plan = step.make_destroy_plan(cloud, connection, admin, admin_clients.contracts())
            if apply:
                changes = step.destroy(plan, cloud, connection, named)
                show(console, as_json, "Taken down", [asdict(change) for change in changes], "nothing existed")
                return
    click.echo(json.dumps(plan.json(), ensure_ascii=False) if as_json else plan.text(), nl=as_json)
