"""`cxm env` and `cxm dbt`: what a tool needs to reach this home's servers by hand → `export` lines, or the environment of dbt."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import click

from flows.cli.app import current_settings, json_option, main, make_console, session
from flows.errors import ConfigurationError


@main.command()
@json_option
def env(as_json: bool) -> None:
    """Print what a shell needs to talk to this home's running servers, its logins included: eval "$(cxm env)"

    `prefect`, dbt and Great Expectations then mean this home and no other one. Only for a shell: the lines hold secrets.
    """
    from flows.embedded.stack import tool_environment
    from flows.steps.dbt import dbt_environment

    settings = current_settings()
    if settings.target != "embedded":
        raise ConfigurationError(
            f"CXM_TARGET={settings.target}: `cxm env` prints the embedded stack's variables; for your own accounts the shell has "
            "CXM_SNOWFLAKE_… and PREFECT_API_URL from you, and `cxm dbt` adds what dbt needs."
        )
    values = tool_environment(settings)
    if "warehouse" in settings.stack:
        values |= dbt_environment(settings)
    if as_json:
        click.echo(json.dumps(values))
        return
    for name, value in values.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="ARGUMENTS…")
def dbt(arguments: tuple[str, ...]) -> None:
    """Run dbt in dbt/cxm_medtech on the configured warehouse, in the transformer's role: cxm dbt build --select marts

    dbt's own exit code is passed on: 0 good, 1 a model or test failed, 2 dbt could not run. dbt's help: cxm dbt -- --help
    """
    settings = current_settings()
    with session(settings, make_console(as_json=True), services=("s3", "warehouse")):
        from flows import blocks
        from flows.settings import PROJECT
        from flows.steps.dbt import dbt_environment

        project = PROJECT / "dbt" / "cxm_medtech"
        own = {"DBT_PROJECT_DIR": str(project), "DBT_PROFILES_DIR": str(project)}
        command = [sys.executable, "-c", "from dbt.cli.main import cli; cli(prog_name='dbt')", *arguments]
        environment = {**os.environ, **dbt_environment(blocks.with_login(settings)), **own}
        code = subprocess.run(command, cwd=project, env=environment, check=False).returncode
    sys.exit(code)
