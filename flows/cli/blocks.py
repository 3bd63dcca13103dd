"""`cxm blocks register`: saves the Prefect blocks, variables and the work pool that deployments use."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from flows.cli.app import current_settings, json_option, main, make_console, prefect_server, session, show

if TYPE_CHECKING:
    from flows.deployment import PoolType


@main.group()
def blocks() -> None:
    """The Prefect blocks with which flows log in."""


@blocks.command()
@click.option(
    "--pool",
    type=click.Choice(["process", "docker", "ecs", "kubernetes"]),
    help="Create this work pool; the next `prefect deploy` uses it.  [default: as before; at first process]",
)
@json_option
def register(pool: PoolType | None, as_json: bool) -> None:
    """Create or update the blocks, variables and the work pool named cxm on a Prefect server: the one that
    PREFECT_API_URL or your Prefect profile names, else the embedded one.

    AwsCredentials, S3Bucket, SnowflakeCredentials and SnowflakeConnector come from the CXM_ variables; the server keeps secrets
    encrypted. Afterwards run `prefect --no-prompt deploy --all`.
    """
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, services=("s3", "warehouse", "prefect"), named_server=True):
        from flows import deployment

        server = prefect_server()
        done = deployment.register(settings, pool)
    show(console, as_json, f"Registered with {server}", [asdict(one) for one in done])
