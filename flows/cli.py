"""The `cxm` command: one line of a terminal → a flow, a query or the embedded stack; people read tables, programs `--json`.

Imports that cost (Prefect, Great Expectations, dbt, the connector) happen inside the commands, so that `cxm --help` is quick.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from flows.errors import ConfigurationError, CxmError

if TYPE_CHECKING:
    from rich.console import Console

    from flows.pipeline import RunSummary
    from flows.settings import Settings

FIRST_RUN_SCALE = 0.05  # 78 thousand rows, 6 MB: seconds on a laptop; `--scale 1` is the full set's 1.55 million


class _Group(click.Group):
    """Errors meant for people end as one message and their own exit code; anything else is a bug and shows its trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CxmError as error:
            fail(error, as_json=bool(ctx.meta.get("json")))


def fail(error: CxmError, as_json: bool) -> NoReturn:
    """Tell what went wrong and exit with its code."""
    if as_json:
        click.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}, ensure_ascii=False))
    else:
        click.secho("error: ", fg="red", bold=True, nl=False, err=True)
        click.echo(str(error), err=True)
    sys.exit(error.exit_code)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`: one JSON document on standard output and nothing else there."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
        ctx.meta["json"] = value
        return value

    return click.option(
        "--json", "as_json", is_flag=True, callback=remember, help="Print one JSON document instead of tables."
    )(command)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="medtech-cxm")
def main() -> None:
    """MedTech-CXM: CSV files → S3 → Snowflake RAW → Great Expectations → dbt, as Prefect flows.

    Exit codes: 0 good, 2 usage or configuration, 3 data quarantined or refused, 4 stale, 5 infrastructure.
    """


@main.command()
@click.option("--source", default="olist", show_default=True, help="The contract: data_dictionary/<source>.odcs.yaml.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder with the source's files.  [default: data/<source>]"
)
@click.option("--force", is_flag=True, help="Send and load files again although their content is published already.")
@click.option(
    "--scale", type=float, default=FIRST_RUN_SCALE, show_default=True, help="Size of generated data, if any is needed."
)
@json_option
def run(source: str, data: Path | None, force: bool, scale: float, as_json: bool) -> None:
    """One batch through the pipeline: provision (embedded), land, load, validate, hand off.

    Where no files are at hand, Olist-shaped ones are generated first, and the output says so.
    """
    settings = _settings()
    console = _console(as_json)
    directory, generated = _data_directory(settings, source, data, scale, console)
    with _session(settings, console):
        from flows import pipeline as flows

        if settings.target == "embedded":
            _flow(flows.provision)
        error: CxmError | None = None
        with _live(console, source):
            try:
                summary = _flow(flows.pipeline, source=source, data=str(directory), force=force)
            except flows.PipelineError as failed:
                summary, error = failed.summary, failed
    if as_json:
        document = {**asdict(summary), "generated": generated, "exit_code": error.exit_code if error else 0}
        click.echo(json.dumps({**document, **({"error": str(error)} if error else {})}, ensure_ascii=False))
        sys.exit(error.exit_code if error else 0)
    _show(console, summary, generated)
    if error:
        fail(error, as_json=False)


@main.command()
@click.option(
    "--plan", "mode", flag_value="plan", default="plan", help="Print the SQL and change nothing (the default)."
)
@click.option("--apply", "mode", flag_value="apply", help="Run it.")
@json_option
def provision(mode: str, as_json: bool) -> None:
    """Bucket, warehouse, database, schemas, roles, stages, ledger and RAW tables; safe to repeat."""
    settings = _settings()
    from flows.contract.read import read_source, sources
    from flows.contract.render_sql import create_table
    from flows.steps.provision import PREFIXES, statements

    if mode == "plan":
        contracts = [read_source(name) for name in sources()]
        sql = statements(settings, contracts)
        sql += [create_table(t, settings.database, s.schema) for s in contracts for t in s.tables]
        calls = [f"s3:CreateBucket {settings.bucket}", *(f"s3:PutObject {settings.bucket}/{p}" for p in PREFIXES)]
        if as_json:
            click.echo(json.dumps({"aws": calls, "sql": sql}, ensure_ascii=False))
        else:
            click.echo("\n".join(f"-- {call}" for call in calls) + "\n\n" + ";\n\n".join(sql) + ";")
        return
    console = _console(as_json)
    with _session(settings, console):
        from flows import pipeline as flows

        changes = _flow(flows.provision)
    _table(console, as_json, "Provisioned", [asdict(change) for change in changes])


@main.group(cls=_Group)
def contract() -> None:
    """The contracts under data_dictionary/ and what derives from them."""


@contract.command()
@json_option
def sync(as_json: bool) -> None:
    """Write the derived files: dbt sources, Great Expectations suites, the readable dictionary."""
    from flows.contract import sync as contract_sync
    from flows.settings import PROJECT

    changed = [{"written": str(path)} for path in contract_sync.sync(PROJECT)]
    _table(_console(as_json), as_json, "Derived files written", changed, empty="every derived file is up to date")


@contract.command()
@json_option
def check(as_json: bool) -> None:
    """Fail (exit code 2) when a derived file differs from what the contract gives."""
    from flows.contract import sync as contract_sync
    from flows.settings import PROJECT

    differences = contract_sync.check(PROJECT)
    if as_json:
        click.echo(json.dumps([_plain(d) for d in differences], ensure_ascii=False))
    for difference in differences if not as_json else ():
        click.echo(f"{difference.path}: {difference.reason}\n{difference.diff}")
    if differences:
        raise ConfigurationError(f"{len(differences)} derived files differ from the contracts; run `cxm contract sync`")
    if not as_json:
        click.echo("every derived file is what its contract gives")


@main.command()
@click.option(
    "--scale", type=float, default=1.0, show_default=True, help="1 has the full set's row counts: 1.55 million, 120 MB."
)
@click.option("--seed", type=int, default=20180101, show_default=True, help="The same seed gives the same bytes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@json_option
def generate(scale: float, seed: int, out: Path, as_json: bool) -> None:
    """Olist-shaped files, deterministic by seed: line breaks and quotes in comments, a byte-order mark, empty dates."""
    from flows.synthetic.olist import generate as make

    files = make(out, scale, seed)
    _table(_console(as_json), as_json, f"Generated in {out}", [_plain(f) for f in files])


@main.command()
@click.argument("statement")
@json_option
def sql(statement: str, as_json: bool) -> None:
    """A query on the configured warehouse, in the transformer's role (it reads every schema and cannot write RAW)."""
    settings = _settings()
    console = _console(as_json)
    with _session(settings, console, services=("s3", "warehouse")):
        from flows import blocks
        from flows.clients.snowflake import run as run_sql

        with blocks.snowflake(settings, settings.transformer_role, {"step": "cxm sql"}) as connection:
            rows = run_sql(connection, statement)
    _table(console, as_json, "", [dict(zip(rows.columns, row, strict=True)) for row in rows.rows], empty="no rows")


@main.command()
@click.option(
    "--only", multiple=True, type=click.Choice(["s3", "warehouse", "prefect", "docs"]), help="Start just these."
)
@json_option
def up(only: tuple[str, ...], as_json: bool) -> None:
    """Start the embedded stack and leave it running."""
    from flows.embedded import stack

    settings = _settings()
    _quiet_environment()
    stack.up(settings, only or None)
    _status(settings, as_json)


@main.command()
@json_option
def down(as_json: bool) -> None:
    """Stop the embedded stack; its data stays."""
    from flows.embedded import stack

    stopped = stack.down(_settings())
    click.echo(json.dumps({"stopped": stopped}) if as_json else "stopped" if stopped else "nothing was running")


@main.command()
@json_option
def status(as_json: bool) -> None:
    """What of the embedded stack runs, where, since when."""
    _status(_settings(), as_json)


def _status(settings: Settings, as_json: bool) -> None:
    from flows.embedded import stack

    _table(
        _console(as_json), as_json, f"Embedded stack in {settings.home}", [_plain(s) for s in stack.status(settings)]
    )


def _settings() -> Settings:
    from pydantic import ValidationError

    from flows.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"CXM_{str(e['loc'][0]).upper()}={e.get('input')!r}: {e['msg'].lower()}" for e in error.errors() if e["loc"]
        )
        raise ConfigurationError(problems) from None


def _quiet_environment() -> None:
    """Telemetry off, and Prefect's console lines off: the run has its own output, the UI has the logs."""
    from flows.settings import TELEMETRY_OFF

    os.environ.update(TELEMETRY_OFF)
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_LOGGERS_PREFECT_LEVEL", "ERROR")


@contextmanager
def _session(
    settings: Settings, console: Console, services: Sequence[str] = ("s3", "warehouse", "prefect", "docs")
) -> Iterator[None]:
    """The servers that a command needs: the embedded ones for as long as it runs, or those the environment names."""
    _quiet_environment()
    if settings.target != "embedded":
        yield
        return
    from flows.embedded import stack

    with console.status("starting the embedded stack"):
        lease = stack.lease(settings, services)
        lease.__enter__()
    try:
        if "prefect" in services:
            os.environ.update(stack.prefect_environment(settings))
        yield
    finally:
        if handlers := sys.modules.get("prefect.logging.handlers"):
            handlers.APILogWorker.drain_all(timeout=10)  # what the run logged reaches the server while there is one
        lease.__exit__(None, None, None)


def _flow(flow: Any, **parameters: Any) -> Any:
    """Run a flow in this process and give its result, or raise its error as it was raised."""
    state = flow(**parameters, return_state=True)
    result = state.result(raise_on_failure=False)
    if isinstance(result, BaseException):
        raise result
    return result


def _data_directory(
    settings: Settings, source: str, data: Path | None, scale: float, console: Console
) -> tuple[Path, bool]:
    """The folder to read, and whether its files were generated."""
    if data is not None:
        if not data.is_dir():
            raise ConfigurationError(
                f"--data {data}: no such folder; wanted the folder that holds the {source} CSV files"
            )
        return data.resolve(), False
    own = settings.data / source
    if own.is_dir() and any(own.glob("*.csv")):
        return own, False
    if source != "olist":
        raise ConfigurationError(
            f"{own}: no CSV files there; put the {source} files there, or name a folder with --data"
        )
    from flows.synthetic.olist import generate as make

    generated = settings.home / "generated" / f"{source}-{scale:g}"
    console.print(
        f"[yellow]No CSV files in {own}[/]: using [bold]generated, Olist-shaped data[/] (scale {scale:g}, in {generated}). "
        "For the real rows put the Kaggle files there, or use --data."
    )
    with console.status("generating data"):
        make(generated, scale)
    return generated, True


@contextmanager
def _live(console: Console, source: str) -> Iterator[None]:
    """A moving table of the run on a terminal; one plain line for each finished step elsewhere."""
    from flows import progress

    if console.quiet:
        yield
        return
    if not console.is_terminal:

        def line(event: progress.Event) -> None:
            if event.outcome:
                console.print(f"{event.step:<10} {event.table:<34} {event.outcome:<12} {event.done or ''}")

        with progress.listening(line):
            yield
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    bars: dict[str, Any] = {}
    with Progress(
        TextColumn("{task.description:<34}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[step]:<22}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as shown:

        def move(event: progress.Event) -> None:
            if event.table not in bars:
                bars[event.table] = shown.add_task(event.table, total=None, step="")
            bytes_step = event.step in ("check", "upload", "land")
            measured: Mapping[str, Any] = {"completed": event.done, "total": event.total or None} if bytes_step else {}
            shown.update(bars[event.table], step=f"{event.step} {event.outcome}", **measured)

        with progress.listening(move):
            yield


def _show(console: Console, summary: RunSummary, generated: bool) -> None:
    from rich.table import Table

    table = Table(
        title=f"{summary.source}-{summary.batch_id}" + (" (generated data)" if generated else ""), title_justify="left"
    )
    table.add_column("table", no_wrap=True)
    for name in ("files", "bytes", "rows in file", "rows in RAW"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("load", "validation", "freshness"):
        table.add_column(name)
    for t in summary.tables:
        color = "red" if t.error or "failed" in t.validation else "yellow" if "warning" in t.validation else None
        table.add_row(
            t.table,
            str(t.files),
            f"{t.bytes:,}",
            f"{t.rows_file:,}",
            f"{t.rows_raw:,}",
            t.load,
            t.validation,
            t.freshness,
            style=color,
        )
    console.print(table)
    if summary.unchanged and summary.published:
        batches = sorted({t.load.removeprefix("unchanged since ") for t in summary.tables})
        console.print(f"[green]Unchanged since batch {', '.join(batches)}[/]: nothing uploaded, nothing loaded.")
    elif summary.published:
        rows = sum(t.rows_raw for t in summary.tables)
        console.print(
            f"[green]Published[/] batch {summary.batch_id}: {len(summary.tables)} tables, {rows:,} rows in RAW."
        )
    if summary.data_docs:
        console.print(f"Data Docs: {summary.data_docs}", soft_wrap=True)
    if summary.flow_run_url:
        console.print(f"Prefect run (while the stack is up, `make up`): {summary.flow_run_url}", soft_wrap=True)


def _console(as_json: bool) -> Console:
    from rich.console import Console

    return Console(quiet=as_json, highlight=False, width=None if sys.stdout.isatty() else 160)


def _table(console: Console, as_json: bool, title: str, rows: Sequence[Mapping[str, Any]], empty: str = "") -> None:
    from rich.table import Table

    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, default=_jsonable))
        return
    if not rows:
        console.print(empty)
        return
    table = Table(title=title or None, title_justify="left")
    for name in rows[0]:
        table.add_column(str(name))
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(table)


def _plain(value: Any) -> dict[str, Any]:
    document = asdict(value) if is_dataclass(value) and not isinstance(value, type) else dict(value)
    return {k: str(v) if isinstance(v, Path) else v for k, v in document.items()}


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)
