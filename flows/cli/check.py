"""`cxm check`: checks files as a run would, without sending anything or starting a server."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.app import current_settings, json_option, known_source, main, make_console, readable, show
from flows.cli.generate import DAY
from flows.cli.run import data_place
from flows.errors import ConfigurationError, DataError
from flows.escape import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from flows.check import FileReport, Report
    from flows.steps.validate import RuleFailure


@main.command()
@click.option("--source", default="olist", show_default=True, help="The contract: data_dictionary/<source>.odcs.yaml.")
@click.option(
    "--data",
    help="Where the source's files are, as in `cxm run`.  [default: data/<source>]",
)
@click.option("--day", type=DAY, help="For a source with daily files: the day.  [default: yesterday, UTC]")
@click.argument("tables", nargs=-1, metavar="[TABLE]…")
@json_option
def check(source: str, data: str | None, day: datetime | None, tables: tuple[str, ...], as_json: bool) -> None:
    """Check files before they are loaded, by the same code as a run.

    It checks the header, the records, and every rule of the contract that needs only the files; all tables, or those
    named. Nothing is sent and no server is started. Exit code 3: a run would refuse or quarantine the files.
    """
    known_source(source)
    settings = current_settings()
    console = make_console(as_json)

    from flows import check as checks
    from flows.contract.read import read_source
    from flows.generated import source_place
    from flows.places import is_remote, local, resolved
    from flows.unpack import Limits

    contract = read_source(source)
    try:
        chosen = [contract.table(name) for name in tables]
    except KeyError as error:
        raise ConfigurationError(str(error.args[0])) from None
    where = data_place(settings, source, data, 0, console) if data else source_place(settings, source)
    if is_remote(where):
        from flows import located

        place = located.place(settings, where)
    else:
        place = resolved(local(Path(where), Limits(settings.unpack_ratio, settings.unpack_bytes)))
    if not place.entries():
        raise ConfigurationError(
            f"{place}: expected the files of {source}, got none; put them there, or name their place with --data"
        )
    when = day.date() if day else datetime.now(UTC).date() - timedelta(days=1)
    with console.status("reading") as status:

        def tell(table: str, _phase: str, done: int, total: int) -> None:
            status.update(f"reading {table} {100 * done // max(total, done, 1)} %")

        report = checks.check(contract, place, when, chosen, tell)
    code = 0 if report.passed else DataError.exit_code
    if as_json:
        click.echo(json.dumps({**_document(report), "exit_code": code}, ensure_ascii=False))
    else:
        _show(console, report)
    sys.exit(code)


def _document(report: Report) -> dict[str, Any]:
    files = [
        {**asdict(f), "broken": [_rule(r) for r in f.broken], "warnings": [_rule(r) for r in f.warnings]}
        for f in report.files
    ]
    return {**asdict(report), "files": files, "passed": report.passed}


def _rule(failure: RuleFailure) -> dict[str, Any]:
    rows = [{"row": row.row, "values": dict(row.values)} for row in failure.rows]
    return {"rule": failure.rule, "observed": failure.observed, "rows": failure.unexpected_count, "first": rows}


def _show(console: Console, report: Report) -> None:
    shown = [
        {
            "table": f.table,
            "file": ", ".join(f.files),
            "rows": f"{f.rows:,}" if f.rules else "",
            "packed": f.packed,
            "columns": f.columns,
            "rules": f"{f.rules} checked" + _rule_counts(f) if f.rules else "",
            "": f.status,
        }
        for f in report.files
    ]
    show(console, False, f"{report.source}: {report.place}", shown)
    for file in report.files:
        if file.error:
            console.print(f"[red]refused[/]  {terminal(file.error)}", soft_wrap=True)
        for failure in file.broken:
            what = "[yellow]set aside[/]" if file.status == "set aside" else "[red]bad[/]"
            console.print(f"{what}  {terminal(failure.summary)}", soft_wrap=True)
        for failure in file.warnings:
            console.print(f"[yellow]warning[/]  {terminal(failure.summary)}", soft_wrap=True)
    if report.refused:
        console.print(f"[red]bad[/]  {terminal(report.refused)}", soft_wrap=True)
    if report.ignored:
        console.print(f"Not of this contract, ignored: {terminal(report.ignored)}", soft_wrap=True)
    unjudged = ", ".join((*report.unjudged, "freshness, and whether these files are published already"))
    console.print(f"Not checked, because it needs the warehouse: {terminal(unjudged)}", soft_wrap=True)
    verdict = (
        "[green]good[/]: a run would publish them" if report.passed else "[red]bad[/]: a run would not publish them"
    )
    console.print(f"{len(report.files)} files, {readable(sum(f.rows for f in report.files))} rows, {verdict}")


def _rule_counts(file: FileReport) -> str:
    parts = [f", {len(file.broken)} broken"] if file.broken else []
    parts += [f", {len(file.warnings)} warned"] if file.warnings else []
    return "".join(parts)
