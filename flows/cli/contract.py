"""`cxm contract`: the contracts under data_dictionary/ and the files that derive from them."""

from __future__ import annotations

import json

import click

from flows.cli.app import Group, json_option, main, make_console, plain, show
from flows.errors import ConfigurationError


@main.group(cls=Group)
def contract() -> None:
    """The contracts under data_dictionary/ and what derives from them."""


@contract.command()
@json_option
def sync(as_json: bool) -> None:
    """Write the derived files: dbt sources, Great Expectations suites, the readable dictionary."""
    from flows.contract import sync as contract_sync
    from flows.settings import PROJECT

    changed = [{"written": str(path)} for path in contract_sync.sync(PROJECT)]
    show(make_console(as_json), as_json, "Derived files written", changed, empty="every derived file is up to date")


@contract.command()
@json_option
def check(as_json: bool) -> None:
    """Fail (exit code 2) when a derived file differs from what the contract gives."""
    from flows.contract import sync as contract_sync
    from flows.settings import PROJECT

    differences = contract_sync.check(PROJECT)
    if as_json:
        click.echo(json.dumps([plain(d) for d in differences], ensure_ascii=False))
    for difference in differences if not as_json else ():
        click.echo(f"{difference.path}: {difference.reason}\n{difference.diff}")
    if differences:
        raise ConfigurationError(f"{len(differences)} derived files differ from the contracts; run `cxm contract sync`")
    if not as_json:
        click.echo("every derived file is what its contract gives")
