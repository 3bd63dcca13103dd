"""`cxm run`: files → one batch through the pipeline, or a batch for each of several days, shown while it moves."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.app import (
    current_settings,
    fail,
    json_option,
    known_source,
    main,
    make_console,
    provisioned,
    run_flow,
    session,
    show,
)
from flows.cli.generate import DAY
from flows.errors import ConfigurationError, CxmError
from flows.escape import terminal
from flows.generated import FIRST_RUN_SCALE, generated_folder
from flows.places import below, is_archive, is_remote, local, resolved
from flows.unpack import SUFFIXES

if TYPE_CHECKING:
    from rich.console import Console

    from flows.run import RunSummary
    from flows.settings import Settings


@main.command()
@click.option("--source", default="olist", show_default=True, help="The contract: data_dictionary/<source>.odcs.yaml.")
@click.option(
    "--data",
    help="Where the source's files are: a folder, zip or tar, s3://bucket/prefix or sftp://user@host/path; each may be packed "
    "(gzip, zstd, bzip2, zip).  [default: data/<source>]",
)
@click.option("--force", is_flag=True, help="Send and load files again although their content is published already.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="A trial: the first N rows of each file, loaded and validated, never published, and cleared away.",
)
@click.option(
    "--scale", type=float, default=FIRST_RUN_SCALE, show_default=True, help="Size of generated data, if any is needed."
)
@click.option(
    "--from", "first", type=DAY, help="For a source with a file for each day: the first day to load, YYYY-MM-DD."
)
@click.option("--to", "last", type=DAY, help="The last day; each day is a batch.  [default: the first]")
@json_option
def run(
    source: str,
    data: str | None,
    force: bool,
    limit: int | None,
    scale: float,
    first: datetime | None,
    last: datetime | None,
    as_json: bool,
) -> None:
    """One batch through the pipeline: provision (embedded), land, load, validate, hand off.

    Where no files are at hand, Olist-shaped ones are generated first, and the output says so. With --from, the batches of
    a range of days, in order; run again, it passes over the days that are published as they are.
    """
    if first is None and last is not None:
        raise ConfigurationError("--to: found without --from; wanted both, or --from alone for one day")
    if first is not None and force:
        raise ConfigurationError(
            "--force: found with --from; wanted one of them: days that are published are passed over"
        )
    if first is not None and limit:
        raise ConfigurationError("--limit: found with --from; wanted one of them: a trial is of one batch")
    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    data = data_place(settings, source, data, scale, console)
    with session(settings, console):
        from flows import pipeline as flows
        from flows.run import PipelineError

        if settings.target == "embedded":
            provisioned(settings)
        if first is not None:
            _backfill(console, source, data, first.date(), (last or first).date(), as_json)
            return
        error: CxmError | None = None
        with _live(console, source):
            try:
                summary = run_flow(flows.pipeline, source=source, data=data, force=force, limit=limit)
            except PipelineError as failed:
                summary, error = failed.summary, failed
    report(console, summary, error, as_json)


def _backfill(console: Console, source: str, data: str, first: date, last: date, as_json: bool) -> None:
    """Load the days and show what became of each; days that are not published end it with their error's code."""
    from flows import operations

    error: operations.BackfillError | None = None
    with _days(console):
        try:
            days = run_flow(operations.backfill, source=source, from_day=first, to_day=last, data=data)
        except operations.BackfillError as failed:
            days, error = failed.days, failed
    if as_json:
        shown = [{**asdict(day), "day": day.day.isoformat()} for day in days]
        document = {"source": source, "days": shown, "exit_code": error.exit_code if error else 0}
        click.echo(json.dumps({**document, **({"error": str(error)} if error else {})}, ensure_ascii=False))
        sys.exit(error.exit_code if error else 0)
    rows = [{"day": d.day, "batch": d.batch_id, "status": d.status, "rows in RAW": f"{d.rows:,}"} for d in days]
    show(console, False, f"{source}, {first} to {last}", rows)
    if error:
        fail(error, as_json=False)


def report(console: Console, summary: RunSummary, error: CxmError | None, as_json: bool) -> None:
    """The summary of a run, for people or programs; a run that failed exits with its error's code."""
    if as_json:
        document = {**asdict(summary), "exit_code": error.exit_code if error else 0}
        click.echo(json.dumps({**document, **({"error": str(error)} if error else {})}, ensure_ascii=False))
        sys.exit(error.exit_code if error else 0)
    _show(console, summary)
    if error:
        fail(error, as_json=False)


def data_place(settings: Settings, source: str, data: str | None, scale: float, console: Console) -> str:
    """The place to read. Where no file is, Olist-shaped ones are generated, if this target may have such.

    A place that has to be logged in to is looked into by the run.

    Raises:
        ConfigurationError: there is no such place, or none of its files is a CSV file; the message names it and what to do.
    """
    if data is not None:
        if is_remote(data):
            return data
        path = Path(data)
        if not path.is_dir() and not is_archive(local(path.parent), path.name):
            what = "neither a folder nor a zip or tar archive" if path.exists() else "no such folder"
            raise ConfigurationError(
                f"--data {data}: {what}; expected the folder or the archive that holds the {source} CSV files"
            )
        return str(path.resolve())
    if is_remote(own := below(settings.data, source)):
        return own
    found = [entry.name for entry in resolved(local(Path(own))).entries()]
    if any(name.endswith((".csv", *(".csv" + suffix for suffix in SUFFIXES))) for name in found):
        return own
    if found:
        names = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        raise ConfigurationError(
            f"{own}: expected the CSV files of {source}, got {names}; give the files the names of the contract (they end "
            f"in .csv, packed ones in .csv.gz and the like), or name another place with --data"
        )
    if source == "olist" and settings.may_generate:
        return str(generate_for(settings, console, scale) / source)
    raise ConfigurationError(
        f"{own}: expected the CSV files of {source}, got no file; put them there, or name their folder with --data"
        + f" (`cxm generate --source synthetic --from DAY --to DAY --out {own}` makes some)"
        * (source == "synthetic" and settings.may_generate)
    )


def generate_for(settings: Settings, console: Console, scale: float = FIRST_RUN_SCALE) -> Path:
    """A folder with generated files of olist in `olist/`, for where there are none of the user's own."""
    from flows.synthetic.olist import generate as make

    folder = generated_folder(settings, scale)
    console.print(
        f"[yellow]No CSV files in {terminal(below(settings.data, 'olist'))}[/]: "
        f"using [bold]generated, Olist-shaped data[/] (scale {scale:g}, in "
        f"{folder}). For the real rows put the Kaggle files there, or use --data."
    )
    with console.status("generating data"):
        make(folder / "olist", scale)
    return folder


@contextmanager
def _days(console: Console) -> Iterator[None]:
    """A line for each day as it ends; on a terminal, below them, what is at work."""
    from flows import progress

    if console.quiet:
        yield
        return
    with console.status("loading the days") as status:

        def line(event: progress.Event) -> None:
            if event.step == "day":
                console.print(f"{event.table}  {event.outcome:<12} {event.done:>12,} rows in RAW")
            elif console.is_terminal:
                status.update(f"{event.step} {event.table}")

        with progress.listening(line):
            yield


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
                unit = {"land": "bytes", "load": "rows"}.get(event.step)
                amount = f"{event.done:,} {unit}" if unit else ""
                console.print(f"{event.step:<10} {event.table:<34} {event.outcome:<12} {amount}".rstrip())

        with progress.listening(line):
            yield
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bars: dict[str, Any] = {}
    phases: dict[str, str] = {}
    with Progress(
        TextColumn("{task.description:<33}"),
        TextColumn("{task.fields[step]:<18}"),
        BarColumn(bar_width=16),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[rows]:>14}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as shown:

        def move(event: progress.Event) -> None:
            if event.table not in bars:
                bars[event.table] = shown.add_task(event.table, total=None, step="", rows="")
            bar, step = bars[event.table], f"{event.step} {event.outcome}".strip()
            if event.step in ("check", "upload", "land"):  # told in bytes; each pass over the file has its own rate
                if phases.get(event.table) != event.step != "land":
                    shown.reset(bar, total=event.total or None, step=step, rows="")
                phases[event.table] = event.step
                shown.update(bar, completed=event.done, total=event.total or None, step=step)
            elif event.step == "load":  # told in rows: none of them, then all
                shown.update(bar, step=step, rows=f"{event.done if event.outcome else event.total:,} rows")
            else:
                shown.update(bar, step=step)

        with progress.listening(move):
            yield


def _show(console: Console, summary: RunSummary) -> None:
    from rich.table import Table

    table = Table(
        title=f"{summary.source}-{summary.batch_id}" + (" (generated rows)" if summary.is_generated else ""),
        title_justify="left",
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
            terminal(t.load),
            terminal(t.validation),
            terminal(t.freshness),
            style=color,
        )
    console.print(table)
    for t in summary.tables:
        if t.columns:
            console.print(f"{t.table}: columns {terminal(t.columns)}", soft_wrap=True)
    if summary.ignored:
        console.print(f"Ignored, beside the contract's files: {terminal(summary.ignored)}", soft_wrap=True)
    if summary.trial:
        console.print(
            f"[yellow]A trial[/] of the first {summary.trial:,} rows of each file: nothing is published, nothing of it "
            "is left. Not judged: relationships, numbers of rows, freshness.",
            soft_wrap=True,
        )
    if summary.unchanged and summary.published:
        since = "unchanged since "
        batches = sorted({t.load.removeprefix(since) for t in summary.tables if t.load.startswith(since)})
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
    if summary.is_generated:
        console.print(
            "[yellow]These rows are generated[/], they describe no person, company or sale. For real ones put the CSV files into "
            f"data/{summary.source}, or use --data.",
            soft_wrap=True,
        )
