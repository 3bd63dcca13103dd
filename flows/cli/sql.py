"""`cxm sql`: runs a query on the configured warehouse and prints a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO

import click

from flows.cli.app import current_settings, json_option, jsonable, main, make_console, readable, session
from flows.errors import ConfigurationError
from flows.escape import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from snowflake.connector import SnowflakeConnection

    from flows.clients.snowflake import Rows

_READS = re.compile(r"[\s(]*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXPLAIN|LIST|LS|VALUES|USE)\b", re.I)
_REFUSED = "Snowflake error 3001 "


@main.command()
@click.argument("statement", required=False)
@click.option(
    "-f", "--file", type=click.File(encoding="utf-8"), help="Read the statements from a file; - is standard input."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header, NULL as an empty field.")
@click.option(
    "--vertical", is_flag=True, help="Print one line for each value, as for tables that are too wide for the terminal."
)
@json_option
def sql(statement: str | None, file: TextIO | None, as_csv: bool, vertical: bool, as_json: bool) -> None:
    """Run a query on the configured warehouse, with the transformer's role (it reads every schema and cannot write to RAW).

    STATEMENT, a file (-f) or standard input; statements separated by ; run in order. A table that is too wide for
    the terminal is shown with one value per line; in a file or a pipe nothing is cut.
    """
    statements = _statements(statement, file)
    if len(statements) > 1 and (as_json or as_csv):
        raise ConfigurationError(
            f"--{'json' if as_json else 'csv'}: expected one statement, got {len(statements)}; run them one by one"
        )
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, services=("s3", "warehouse")):
        from flows import blocks

        with blocks.snowflake(settings, settings.transformer_role, {"step": "cxm sql"}) as connection:
            for one in statements:
                rows = _run(connection, one, settings.transformer_role)
                if as_json:
                    click.echo(json.dumps(_documents(rows), ensure_ascii=False, default=jsonable))
                elif as_csv:
                    click.echo(_csv(rows), nl=False)
                else:
                    _print(console, rows, vertical)


def _statements(statement: str | None, file: TextIO | None) -> list[str]:
    from flows.clients.connector import split_statements

    if statement is not None and file is not None:
        raise ConfigurationError("--file: given with a statement; give one of them")
    if statement is None and file is None and sys.stdin.isatty():
        raise ConfigurationError(
            'expected a statement: `cxm sql "SELECT …"`, `cxm sql -f FILE`, or one on standard input'
        )
    text = statement if statement is not None else (file or sys.stdin).read()
    split = (one for one, _ in split_statements(StringIO(text), remove_comments=True))
    statements = [cleaned for one in split if (cleaned := (one or "").strip().removesuffix(";").strip())]
    if not statements:
        raise ConfigurationError('expected a statement, got an empty text; for example `cxm sql "SHOW TABLES"`')
    return statements


def _run(connection: SnowflakeConnection, statement: str, role: str) -> Rows:
    from flows.clients.snowflake import run

    try:
        return run(connection, statement, shows_values=True)
    except ConfigurationError as error:
        if not str(error).startswith(_REFUSED) or _READS.match(statement):
            raise
        said = str(error).rpartition("; ")[0]
        raise ConfigurationError(
            f"{said}; `cxm sql` logs in as {role}, which reads everything and changes nothing in RAW: rows of a batch are taken "
            "out with `cxm undo`, objects are made with `cxm provision --apply`"
        ) from error


def _documents(rows: Rows) -> list[dict[str, Any]]:
    """Return each row as a dict by column name; repeated names get a number."""
    seen: Counter[str] = Counter()
    names = []
    for name in rows.columns:
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return [dict(zip(names, row, strict=True)) for row in rows.rows]


def _csv(rows: Rows) -> str:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows.columns)
    for row in rows.rows:
        writer.writerow(map(_as_text, row))
    return out.getvalue()


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(jsonable(value))


def _print(console: Console, rows: Rows, vertical: bool) -> None:
    from rich.measure import Measurement

    if not rows.rows:
        console.print("no rows")
        return
    table = _table(rows)
    unbound = console.options.update(max_width=1_000_000)
    if vertical or Measurement.get(console, unbound, table).maximum > console.width:
        _print_vertical(console, rows.columns, rows.rows)
    else:
        console.print(table)


def _table(rows: Rows) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in rows.columns:
        table.add_column(Text(visible(name)), no_wrap=True)
    for row in rows.rows:
        table.add_row(*(Text(visible(readable(value))) for value in row))
    return table


def _print_vertical(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.text import Text

    width = max(map(len, columns))
    for number, row in enumerate(rows, 1):
        console.print(f"row {number}", style="bold")
        for name, value in zip(columns, row, strict=True):
            console.print(Text(visible(f"  {name:<{width}}  {readable(value)}")), soft_wrap=True)
