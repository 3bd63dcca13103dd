"""`cxm forget`: finds or deletes the rows of a person."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from typing import TextIO

import click

from flows.cli.app import current_settings, json_option, known_source, main, make_console, session, show
from flows.errors import ConfigurationError


@main.command()
@click.option("--source", required=True, help="The contract with the column.")
@click.option("--column", help="The column that identifies the person: `customers.customer_unique_id`.")
@click.option("--value", help="The column's value; it stays in your shell's history, which --file - avoids.")
@click.option(
    "--file", type=click.File(encoding="utf-8-sig"), help="A CSV of column,value instead; - for standard input."
)
@click.option("--apply", is_flag=True, help="Delete the rows; without it they are only counted.")
@json_option
def forget(source: str, column: str | None, value: str | None, file: TextIO | None, apply: bool, as_json: bool) -> None:
    """Find the rows of a person; with --apply delete them from RAW, from landed objects, and from the tables that dbt keeps."""
    known_source(source)
    named = _named(column, value, file)
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, services=("s3", "warehouse")):
        from flows import forgetting

        with console.status("looking") as status:
            done = forgetting.forget(settings, source, named, apply, lambda table: status.update(f"looking in {table}"))
    if as_json:
        click.echo(json.dumps(done.document, ensure_ascii=False))
        return
    rows = [asdict(place) for place in done.places]
    what = "deleted" if apply else "to be deleted"
    show(console, False, f"{source}: rows {what}", rows, empty=f"{source}: no row of these persons")
    if rows and not apply:
        console.print("nothing is changed yet: the same with --apply deletes them")
    elif rows:
        console.print(
            "next: `cxm build`, which rebuilds the marts without them. Files that are not loaded yet, and delivered files, are "
            "not changed"
        )


def _named(column: str | None, value: str | None, file: TextIO | None) -> list[tuple[str, str]]:
    """Read the (column, value) of each person from the options or the file."""
    if file is None:
        if not column or not value or not value.strip():
            raise ConfigurationError("expected --column and --value, or --file with a CSV of column,value")
        return [(column, value)]
    if column or value:
        raise ConfigurationError("expected either --file or --column and --value, got both")
    try:
        header, *rows = csv.reader(file, strict=True)
    except (ValueError, csv.Error) as error:
        raise ConfigurationError(f"--file {file.name}: expected a CSV of column,value, got something else") from error
    if header != ["column", "value"]:
        raise ConfigurationError(f"--file {file.name}, line 1: expected the header column,value")
    for number, row in enumerate(rows, 2):
        if len(row) != 2 or not all(field.strip() for field in row):
            raise ConfigurationError(
                f"--file {file.name}, record {number}: expected a column and a value, got {len(row)} fields"
            )
    if not rows:
        raise ConfigurationError(f"--file {file.name}: a header and no record; expected at least one")
    return [(row[0], row[1]) for row in rows]
