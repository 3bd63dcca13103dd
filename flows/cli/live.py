"""Shows a run in the terminal: progress while it runs, and a table at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flows.escape import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from flows.run import RunSummary


@contextmanager
def live_days(console: Console) -> Iterator[None]:
    """Print a line for each day when it ends; on a terminal also the work in progress below."""
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
def live_tables(console: Console) -> Iterator[None]:
    """Show a table of the run that updates, on a terminal; elsewhere print one plain line for each finished step."""
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
            if event.step in (
                "check",
                "upload",
                "land",
            ):  # progress in bytes; checking and uploading have different rates
                if phases.get(event.table) != event.step != "land":
                    shown.reset(bar, total=event.total or None, step=step, rows="")
                phases[event.table] = event.step
                shown.update(bar, completed=event.done, total=event.total or None, step=step)
            elif event.step == "load":  # progress in rows, which jumps from none to all
                shown.update(bar, step=step, rows=f"{event.done if event.outcome else event.total:,} rows")
            else:
                shown.update(bar, step=step)

        with progress.listening(move):
            yield


def show_summary(console: Console, summary: RunSummary) -> None:
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
        console.print(f"Not of this contract, ignored: {terminal(summary.ignored)}", soft_wrap=True)
    if summary.trial:
        console.print(
            f"[yellow]A trial[/] of the first {summary.trial:,} rows of each file: nothing is published, nothing of it "
            "is left. Not checked: relationships, numbers of rows, freshness.",
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
