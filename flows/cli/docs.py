"""`cxm docs`: writes and checks the reference pages derived from settings and commands."""

from __future__ import annotations

from flows.cli.app import Group, json_option, main, make_console, show
from flows.cli.contract import tell_differences


@main.group(cls=Group)
def docs() -> None:
    """The reference pages under architecture/ that are derived from settings and commands."""


@docs.command()
@json_option
def sync(as_json: bool) -> None:
    """Write the reference pages of settings and commands."""
    from flows.cli.reference import pages
    from flows.contract.sync import write
    from flows.settings import PROJECT

    written = [{"written": str(path)} for path in write(PROJECT, pages(main))]
    show(make_console(as_json), as_json, "Pages written", written, empty="every page is up to date")


@docs.command()
@json_option
def check(as_json: bool) -> None:
    """Fail (exit code 2) if a reference page is out of date."""
    from flows.cli.reference import pages
    from flows.contract.sync import compare
    from flows.settings import PROJECT

    tell_differences(compare(PROJECT, pages(main)), as_json, "cxm docs sync")
