"""`cxm contract`: the contracts under data_dictionary/ and the files that derive from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.app import Group, json_option, main, make_console, plain, show
from flows.errors import ConfigurationError

if TYPE_CHECKING:
    from flows.contract.sync import Difference


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
    if changed and not as_json:
        click.echo("Before you commit, `cxm contract lineage` brings the columns' lineage up to date as well.")


@contract.command()
@json_option
def check(as_json: bool) -> None:
    """Fail (exit code 2) when a derived file differs from what the contract gives."""
    from flows.contract import sync as contract_sync
    from flows.settings import PROJECT

    _tell(contract_sync.check(PROJECT), as_json, "cxm contract sync")


@contract.command()
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Write nothing; fail (exit code 2) when the page is not as it should be.",
)
@json_option
def lineage(only_check: bool, as_json: bool) -> None:
    """Write data_dictionary/lineage.md: of each column, what it becomes and is made of, from file to mart.

    Read from the models' SQL as `dbt compile` gives it; needs no server and takes some seconds.
    """
    from flows.contract import lineage as columns
    from flows.contract import render_lineage
    from flows.contract import sync as contract_sync
    from flows.settings import PROJECT
    from flows.steps.handoff import compiled

    contracts = contract_sync.contracts_of(PROJECT)
    # dbt-bouncer reads what dbt leaves there: `make lint` has dbt read the project once.
    manifest = compiled(PROJECT / "dbt" / "cxm_medtech", PROJECT / ".cxm" / "compiled")
    page = render_lineage.render(columns.trace(manifest, contracts), contracts)
    wanted = {Path(path): text for path, text in page.items()}
    if only_check:
        _tell(contract_sync.compare(PROJECT, wanted), as_json, "cxm contract lineage")
        return
    written = [{"written": str(path)} for path in contract_sync.write(PROJECT, wanted)]
    show(make_console(as_json), as_json, "Derived files written", written, empty="the lineage is up to date")


def _tell(differences: Sequence[Difference], as_json: bool, fix: str) -> None:
    if as_json:
        click.echo(json.dumps([plain(d) for d in differences], ensure_ascii=False))
    for difference in differences if not as_json else ():
        click.echo(f"{difference.path}: {difference.reason}\n{difference.diff}")
    if differences:
        raise ConfigurationError(f"{len(differences)} derived files differ from what they derive from; run `{fix}`")
    if not as_json:
        click.echo("every derived file is as it should be")
