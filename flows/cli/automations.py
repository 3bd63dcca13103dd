"""`cxm automations apply`: creates the Prefect automations for failures, stale sources, and runs that do not start or crash."""

from __future__ import annotations

from dataclasses import asdict

import click

from flows.cli.app import current_settings, json_option, main, make_console, prefect_server, session, show


@main.group()
def automations() -> None:
    """Prefect automations: what happens when a run fails, is late or crashes."""


@automations.command()
@click.option(
    "--notify",
    required=True,
    metavar="TYPE/NAME",
    help="The notification block to notify, for example slack-webhook/ops.",
)
@json_option
def apply(notify: str, as_json: bool) -> None:
    """Create or update five automations: a run failed, a source is stale, a run did not start, does not end, or crashed.

    With CXM_RESTARTS_PER_HOUR a sixth restarts crashed runs of `pipeline`; without it, the sixth is removed.
    """
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, services=("prefect",), named_server=True):
        from flows import automations as code

        server = prefect_server()
        done = code.apply(settings, notify)
    show(console, as_json, f"Automations of {server}", [asdict(one) for one in done])
