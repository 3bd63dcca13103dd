"""`cxm run`: runs the pipeline for one batch, or for one batch per day of a range, and shows its progress."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.app import (
    complete,
    current_settings,
    fail,
    json_option,
    known_source,
    looking,
    main,
    make_console,
    run_flow,
    session,
    show,
    without_collecting,
)
from flows.cli.generate import DAY
from flows.cli.live import live_days, live_tables, show_summary
from flows.errors import ConfigurationError, CxmError
from flows.escape import terminal
from flows.generated import FIRST_RUN_SCALE, generated_folder
from flows.places import below, is_archive, is_remote, local, resolved
from flows.unpack import SUFFIXES

if TYPE_CHECKING:
    from concurrent.futures import Future

    from rich.console import Console

    from flows.run import RunSummary
    from flows.settings import Settings
    from flows.steps.provision import Plan


@main.command()
@click.option("--source", default="olist", show_default=True, help="The contract: data_dictionary/<source>.odcs.yaml.")
@click.option(
    "--data",
    help="Where the source's files are: a folder, zip or tar, s3://bucket/prefix or sftp://user@host/path; each may be packed "
    "(gzip, zstd, bzip2, zip).  [default: data/<source>]",
)
@click.option("--force", is_flag=True, help="Send and load files again even if their content is published already.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Run a trial: the first N rows of each file are loaded and validated, never published, then deleted.",
)
@click.option(
    "--scale", type=float, default=FIRST_RUN_SCALE, show_default=True, help="Size of generated data, if any is needed."
)
@click.option("--from", "first", type=DAY, help="For a source with daily files: the first day to load, YYYY-MM-DD.")
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
    """Run one batch through the pipeline: provision (embedded only), land, load, validate, hand off.

    If there are no files, Olist-shaped ones are generated first, and the output says so. With --from, one batch for each of
    a range of days, in order; a repeated run skips days whose files are already published.

    The embedded environment is compared with the contracts and settings again when they, the bucket or a table of RAW have
    changed; `cxm provision` always compares all of it.
    """
    if first is None and last is not None:
        raise ConfigurationError("--to: given without --from; expected both, or --from alone for one day")
    if first is not None and force:
        raise ConfigurationError(
            "--force: given with --from; expected one of them: days that are published are passed over"
        )
    if first is not None and limit:
        raise ConfigurationError("--limit: given with --from; expected one of them: a trial loads one batch")
    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    handed_off = settings.home / "dbt" / "target" / "sources.json"  # written by an earlier run of this home
    if not limit and (force or not handed_off.exists()):  # there will be new rows
        from flows.clients import dbt

        dbt.warm()  # in its own process, while this one and the servers start
    data = data_place(settings, source, data, scale, console)
    looks: list[Future[Plan | None]] = []

    def begin() -> None:
        if settings.target == "embedded":
            looks.append(looking(settings))
        without_collecting(lambda: importlib.import_module("flows.pipeline"))

    with session(settings, console, meanwhile=begin):
        from flows import pipeline as flows
        from flows.run import PipelineError

        if looks:
            complete(settings, looks[0])
        if first is not None:
            _backfill(console, source, data, first.date(), (last or first).date(), as_json)
            return
        error: CxmError | None = None
        with live_tables(console):
            try:
                summary = run_flow(flows.pipeline, source=source, data=data, force=force, limit=limit)
            except PipelineError as failed:
                summary, error = failed.summary, failed
    report(console, summary, error, as_json)


def _backfill(console: Console, source: str, data: str, first: date, last: date, as_json: bool) -> None:
    """Load the days and show the result of each; if one is not published, exit with its error's code."""
    from flows import operations

    error: operations.BackfillError | None = None
    with live_days(console):
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
    """Print the summary of a run, for people or as JSON; if the run failed, exit with its error's code."""
    if as_json:
        document = {**asdict(summary), "exit_code": error.exit_code if error else 0}
        click.echo(json.dumps({**document, **({"error": str(error)} if error else {})}, ensure_ascii=False))
        sys.exit(error.exit_code if error else 0)
    show_summary(console, summary)
    if error:
        fail(error, as_json=False)


def data_place(settings: Settings, source: str, data: str | None, scale: float, console: Console) -> str:
    """Return the place to read. If it has no files, Olist-shaped ones are generated, if the target allows that.

    A place that needs a login is listed later, by the run.

    Raises:
        ConfigurationError: the place does not exist, or none of its files is a CSV file; the message names it and what to do.
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
    entries = [entry.name for entry in resolved(local(Path(own))).entries()]
    if any(name.endswith((".csv", *(".csv" + suffix for suffix in SUFFIXES))) for name in entries):
        return own
    if entries:
        names = ", ".join(entries[:5]) + (f" and {len(entries) - 5} more" if len(entries) > 5 else "")
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
    """Generate Olist-shaped files for a user without files; returns the folder that contains `olist/`."""
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
