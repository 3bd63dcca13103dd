"""`cxm doctor`: checks every account, key, region, grant and version that a run needs, and prints fixes."""

from __future__ import annotations

from dataclasses import asdict

import click

from flows.cli.app import current_settings, json_option, main, make_console, session, show


@main.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check what a run needs, with the logins of a run. Exit code 2 if a check fails."""
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, ("s3", "warehouse", "prefect")):
        from flows.doctor import examine

        findings = examine(settings)
    show(console, as_json, "Doctor", [asdict(one) for one in findings])
    if any(one.status == "fail" for one in findings):
        ctx.exit(2)
