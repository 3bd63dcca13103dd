"""`cxm up`, `down` and `status`: start, stop and show the embedded stack."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.app import (
    complete,
    current_settings,
    json_option,
    looking,
    main,
    make_console,
    plain,
    quiet_environment,
    show,
)
from flows.cli.run import generate_for
from flows.errors import ConfigurationError
from flows.places import below, is_remote, local

if TYPE_CHECKING:
    from flows.settings import Settings


@main.command()
@click.option(
    "--only", multiple=True, type=click.Choice(["s3", "warehouse", "prefect", "docs"]), help="Start only these servers."
)
@json_option
def up(only: tuple[str, ...], as_json: bool) -> None:
    """Start the embedded stack with its deployments and a worker, and leave it running.

    The worker runs deployed flows, on their schedules or by hand (`prefect deployment run pipeline/olist --watch`). With
    --only nothing is deployed.

    A process of some 400 MB has the imports done, and `cxm run` is forked from it: with the stack up a run starts at once.
    """
    from flows.embedded import stack
    from flows.embedded.supervisor import SERVICES, WORKER

    settings = current_settings()
    console = make_console(as_json)
    quiet_environment()
    if only:
        stack.up(settings, only)
        _status(settings, as_json)
        return
    if settings.target != "embedded":
        raise ConfigurationError(
            f"CXM_TARGET={settings.target}: `cxm up` starts the embedded stack; for your own Prefect server use "
            "`cxm blocks register`, `prefect --no-prompt deploy --all` and `prefect worker start --pool cxm-process`"
        )
    from concurrent.futures import ThreadPoolExecutor

    from flows.clients import dbt

    dbt.warm()
    with console.status("starting the embedded stack"):
        beside_prefect = [service for service in SERVICES if service != "prefect"]
        with stack.hold_servers(settings, SERVICES, beside_prefect):
            os.environ.update(stack.starting_prefect_environment(settings))
            looked = looking(settings)
            if not is_remote(own := below(settings.data, "olist")) and not local(Path(own)).entries():
                generate_for(settings, console)  # runs read these files while that folder is empty
            from flows import automations, deployment

            stack.wait(settings, SERVICES)
            stack.up(settings)
    with console.status("provisioning, deploying, writing the dbt docs"), ThreadPoolExecutor(1, "dbt docs") as aside:
        from flows.settings import PROJECT
        from flows.steps.dbt import dbt_environment, document

        complete(settings, looked)
        project, docs = PROJECT / "dbt" / "cxm_medtech", settings.home / "docs" / "dbt_docs"
        written = aside.submit(document, project, dbt_environment(settings), settings.home / "dbt", docs)
        deployment.register(settings, "process")
        deployment.deploy()
        waiting = deployment.hold_back(settings)
        automations.apply(settings, None)
        stack.up(settings, [*SERVICES, WORKER])
        written.result()
    _status(settings, as_json)
    if not as_json:
        for source in waiting:
            console.print(
                f"{source} is not scheduled yet: put its files into {below(settings.data, source)} and run `cxm up` again"
            )
        api, docs = settings.stack["prefect"], settings.stack["docs"]["url"]
        auth = settings.home / "secrets" / "prefect.auth"
        login = settings.prefect_auth.get_secret_value() if console.is_terminal else f"the line in {auth}"
        console.print(f"Prefect UI  {api['ui_url']} (log in with {login})", soft_wrap=True)
        console.print(f"Data Docs   {docs}/data_docs/ (after the first run)")
        console.print(f"dbt docs    {docs}/dbt_docs/")
        console.print(f"History     {docs}/history/ (after the first run)")
        console.print('prefect, dbt by hand:  eval "$(.venv/bin/cxm env)"')


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
    """Show which servers of the embedded stack run, at which address, and since when."""
    _status(current_settings(), as_json)


def _status(settings: Settings, as_json: bool) -> None:
    from flows.embedded import stack

    show(
        make_console(as_json), as_json, f"Embedded stack in {settings.home}", [plain(s) for s in stack.status(settings)]
    )
