"""`cxm env` and `cxm dbt`: the environment in which tools reach this home's servers, as `export` lines or for dbt."""

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
    """Print the variables with which tools reach this home's running servers, logins included: eval "$(cxm env)"

    `prefect`, dbt and Great Expectations then use this home's servers. The lines contain secrets: use them only in a shell.
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
    """Run dbt in dbt/cxm_medtech on the configured warehouse, with the transformer's role: cxm dbt build --select marts

    The exit code is dbt's: 0 success, 1 a model or test failed, 2 dbt could not run. For dbt's help: cxm dbt -- --help
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
