"""`cxm quarantine show`: lists the rows that broke rules, as a table, JSON or CSV."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.app import current_settings, json_option, known_source, main, make_console, session, show
from flows.cli.batches import source_of
from flows.errors import ConfigurationError
from flows.failures import meaning

if TYPE_CHECKING:
    from flows.steps.bad_rows import BadRow

MOST_SHOWN = 100  # rows in a terminal


@main.group()
def quarantine() -> None:
    """Rows that broke a rule: those of a quarantined batch, or those set aside."""


@quarantine.command("show")
@click.argument("batch")
@click.option("--source", help="The contract; needed only if two sources have the same batch id.")
@click.option("--table", help="Only this table, by its name in the contract.")
@click.option("--csv", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write all rows to this file.")
@json_option
def show_rows(batch: str, source: str | None, table: str | None, file: Path | None, as_json: bool) -> None:
    """List the rows of BATCH that broke rules: file, row number, and values of the rules' columns that are not personal."""
    from flows import blocks
    from flows.contract.read import read_source
    from flows.steps import bad_rows

    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, services=("s3", "warehouse")):
        contract = read_source(source_of(batch, source))
        try:
            tables = (contract.table(table),) if table else contract.tables
        except KeyError as error:
            raise ConfigurationError(f"--table {error.args[0]}") from None
        with blocks.ledger(settings, contract.name, {"step": "quarantine", "batch": batch}) as ledger:
            statuses = sorted({e.status for e in ledger.entries(batch)})
            rows = list(bad_rows.find(ledger, contract, batch, tables))
    if file:
        _write(file, rows)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], ensure_ascii=False))
        return
    if file:
        console.print(f"{len(rows):,} rows written to {file}")
        return
    shown = [
        {
            "table": row.table,
            "file": row.file,
            "row": row.row,
            "state": row.state,
            "rules": "; ".join(row.rules),
            "values": _values(row.values),
        }
        for row in rows[:MOST_SHOWN]
    ]
    undone = " Its rows are not in RAW: `cxm replay` brings them back." if "undone" in statuses else ""
    empty = f"batch {batch} ({', '.join(statuses)}): no row in RAW breaks a rule of severity error.{undone}"
    show(console, as_json, f"{contract.name}, batch {batch}: {len(rows):,} rows break a rule", shown, empty=empty)
    if len(rows) > MOST_SHOWN:
        console.print(f"the first {MOST_SHOWN} of {len(rows):,}; all of them: --csv FILE or --json")


def _write(file: Path, rows: list[BadRow]) -> None:
    try:
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(("table", "file", "row", "state", "rules", "values"))
            for row in rows:
                writer.writerow((row.table, row.file, row.row, row.state, "; ".join(row.rules), _values(row.values)))
    except OSError as error:
        raise (meaning(error) or ConfigurationError(f"{file}: {error}")) from error


def _values(values: dict[str, str | None]) -> str:
    return ", ".join(f"{name}: {'empty' if value is None else value}" for name, value in values.items())
