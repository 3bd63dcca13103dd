"""`cxm batches`, `undo`, `replay`, `reconcile`, `freshness`, `unlock`, `maintenance`: commands that read or change the ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from flows.cli.app import (
    ALL_SERVICES,
    current_settings,
    json_option,
    known_source,
    main,
    make_console,
    run_flow,
    session,
    show,
)
from flows.cli.run import report
from flows.errors import CxmError, DataError, StaleError

if TYPE_CHECKING:
    from flows.settings import Settings
    from flows.steps.retention import MaintenanceAction

source_option = click.option("--source", help="The contract; needed only if two sources have the same batch id.")


@main.command()
@click.option("--source", help="Only this contract's batches.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many, newest first.")
@json_option
def batches(source: str | None, limit: int, as_json: bool) -> None:
    """List the newest batches: status, rows, times, errors."""
    from flows import blocks, ledger

    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    with (
        session(settings, console, services=("s3", "warehouse")),
        blocks.snowflake(settings, settings.loader_role, {"step": "batches"}) as connection,
    ):
        rows = ledger.batches(connection, settings.database, source, limit=limit)
    if not as_json:  # too wide for a terminal
        rows = [{k: v for k, v in row.items() if k not in ("finished_at", "flow_run_url")} for row in rows]
    show(console, as_json, "Batches", rows, empty="no batches yet: `cxm run` loads the first one")


@main.command()
@click.argument("batch")
@source_option
@json_option
def undo(batch: str, source: str | None, as_json: bool) -> None:
    """Delete a batch's rows from RAW; dbt then reads the batch before it. Its objects stay in S3 for `cxm replay`."""
    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console):
        from flows import operations

        gone = run_flow(operations.undo, batch=batch, source=source_of(batch, source))
    rows = [asdict(table) for table in gone]
    show(
        console,
        as_json,
        f"Undone: batch {batch}",
        rows,
        empty=f"batch {batch}: nothing of it is in RAW (undone before?)",
    )


@main.command()
@click.argument("batch")
@source_option
@json_option
def replay(batch: str, source: str | None, as_json: bool) -> None:
    """Load a batch again from its objects in S3, then validate and publish it."""
    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console):
        from flows import pipeline as flows
        from flows.run import PipelineError

        error: CxmError | None = None
        try:
            summary = run_flow(flows.replay, batch=batch, source=source_of(batch, source))
        except PipelineError as failed:
            summary, error = failed.summary, failed
    report(console, summary, error, as_json)


@main.command()
@click.option("--source", default="olist", show_default=True, help="The contract.")
@json_option
def reconcile(source: str, as_json: bool) -> None:
    """Compare S3, ledger and RAW; print every difference with its fix. Exit code 3 if there is any."""
    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, services=("s3", "warehouse")):
        from flows import tasks

        differences = tasks.reconcile.fn(source)
    if as_json:
        click.echo(json.dumps([asdict(d) for d in differences], ensure_ascii=False))
    else:
        rows = [asdict(d) for d in differences]
        show(console, as_json, f"{source}: differences", rows, empty=f"{source}: S3, ledger and RAW agree")
    if differences:
        raise click.exceptions.Exit(DataError.exit_code)


@main.command()
@click.option("--source", default="olist", show_default=True, help="The contract.")
@json_option
def freshness(source: str, as_json: bool) -> None:
    """Show how long ago each table was delivered, by `dbt source freshness`. Exit code 4 if a table is stale."""
    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, services=("s3", "warehouse")):
        from flows import tasks
        from flows.reports import freshness_rows

        result = tasks.source_freshness(source, settings)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in result.sources], ensure_ascii=False))
    else:
        never = f"{source}: its contract has no limits of freshness, so no table is ever late"
        show(console, as_json, f"{source}: last deliveries", freshness_rows(result.sources), empty=never)
    if result.stale:
        raise click.exceptions.Exit(StaleError.exit_code)


@main.command()
@click.argument("source")
@json_option
def unlock(source: str, as_json: bool) -> None:
    """Free the lease of a source whose run died on another host. If that run is still alive, it stops before it writes again."""
    from flows import blocks, lease
    from flows.contract.read import read_source

    settings = current_settings()
    name = read_source(source).name
    with (
        session(settings, make_console(as_json), services=("s3", "warehouse")),
        blocks.ledger(settings, name, {"step": "unlock"}) as ledger,
    ):
        holder = lease.unlock(ledger)
    if as_json:
        click.echo(json.dumps({"source": name, "was_held_by": holder}))
    else:
        click.echo(f"{name}: taken from {holder}" if holder else f"{name}: nobody held it")


@main.command()
@click.option("--source", help="The contract; by default all.")
@click.option("--dry-run", is_flag=True, help="List what would be deleted, archived and pruned, and change nothing.")
@json_option
def maintenance(source: str | None, dry_run: bool, as_json: bool) -> None:
    """Delete loads whose retention period has ended, archive old objects, prune old rows from RAW (never the newest
    published load of a file), then reconcile. With --dry-run only list them."""
    known_source(source)
    settings = current_settings()
    console = make_console(as_json)
    with session(settings, console, services=("s3", "warehouse") if dry_run else ALL_SERVICES):
        if dry_run:
            done = _planned_maintenance(settings, source)
        else:
            from flows import operations

            done = run_flow(operations.maintenance, source=source)
    title = "What maintenance would do" if dry_run else "Maintenance"
    rows = [asdict(action) for action in done]
    show(console, as_json, title, rows, empty="nothing to delete, archive or prune")
    if rows and dry_run and not as_json:
        console.print("nothing is changed: the same without --dry-run does it")


def _planned_maintenance(settings: Settings, source: str | None) -> Sequence[MaintenanceAction]:
    from flows import blocks
    from flows.contract.read import read_source, sources
    from flows.steps import retention

    planned: list[MaintenanceAction] = []
    for name in [source] if source else sources():
        with blocks.ledger(settings, name, {"step": "maintenance"}) as ledger:
            planned += retention.plan(
                ledger,
                read_source(name),
                settings.archive_after_days,
                settings.keep_batches,
                settings.keep_quarantined_days,
            )
    return planned


def source_of(batch: str, source: str | None) -> str:
    from flows import blocks, ledger
    from flows.batch_ids import check_batch_id

    settings = current_settings()
    check_batch_id(batch)
    with blocks.snowflake(settings, settings.loader_role, {"step": "batches"}) as connection:
        return ledger.batch_source(connection, settings.database, batch, source)
