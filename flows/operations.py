"""The flows besides the daily run: `undo` deletes a batch, `maintenance` archives and prunes, `reconcile` compares S3 with the
ledger and RAW, `freshness` reports the age of the data, `backfill` loads past days."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Literal

from prefect import flow

from flows import prefect_ui, progress, tasks
from flows.batch_ids import check_batch_id
from flows.contract.read import read_source, sources
from flows.errors import ConfigurationError, CxmError, DataError, StaleError
from flows.generated import source_place
from flows.pipeline import one_day, run_info
from flows.reports import freshness_rows
from flows.run import PipelineError
from flows.steps.dbt import SourceFreshness
from flows.steps.reconcile import Difference
from flows.steps.retention import MaintenanceAction
from flows.steps.undo import UndoneTable


@flow(name="undo", flow_run_name=prefect_ui.name_run("undo-{batch}"))
def undo(
    batch: str, source: str = "olist", aws_block: str | None = None, snowflake_block: str | None = None
) -> tuple[UndoneTable, ...]:
    """Delete a batch's rows from RAW and mark its ledger rows, in one transaction. dbt then reads the batch before it.

    Args:
        batch: the batch id, YYYYMMDD_HHMMSS, as in the run's name and its report.
        source: the contract it belongs to.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    gone = tasks.undo(source, check_batch_id(batch), run_info(), tasks.Blocks(aws_block, snowflake_block))
    if not gone:
        return prefect_ui.ended(f"batch {batch}: nothing of it is in RAW", gone)
    prefect_ui.table_artifact(f"{source}-undo", gone, f"Undone: batch {batch}")
    prefect_ui.tell("cxm.batch.undone", source, batch=batch)
    return prefect_ui.ended(
        f"batch {batch}: {len(gone)} tables, {sum(t.rows for t in gone):,} rows taken out of RAW", gone
    )


def _maintenance_name() -> str:
    return f"maintenance-{run_info().batch_id}"


@flow(name="maintenance", flow_run_name=prefect_ui.name_run(_maintenance_name))
def maintenance(
    source: str | None = None, aws_block: str | None = None, snowflake_block: str | None = None
) -> tuple[MaintenanceAction, ...]:
    """Delete loads whose retention period has ended, archive objects of old batches, prune rows of old loads, and
    compare S3, ledger and RAW.

    Args:
        source: the contract; by default all.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    names = [source] if source else list(sources())
    where = tasks.Blocks(aws_block, snowflake_block)
    done = tuple(action for name in names for action in tasks.retention(name, run_info(), where))
    prefect_ui.table_artifact("maintenance", done, "Deleted by the contract's retention, archived and pruned")
    for name in names:
        reconcile(name, aws_block, snowflake_block)
    return prefect_ui.ended(f"{len(done)} deleted, archived or pruned; S3, ledger and RAW agree", done)


@flow(name="reconcile", flow_run_name=prefect_ui.name_run("reconcile-{source}"))
def reconcile(
    source: str = "olist", aws_block: str | None = None, snowflake_block: str | None = None
) -> tuple[Difference, ...]:
    """Compare S3, ledger and RAW of a source; a difference fails the run.

    Args:
        source: the contract.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.

    Raises:
        DataError: they differ; the message lists the first differences, the artifact all.
    """
    differences = tasks.reconcile(source, tasks.Blocks(aws_block, snowflake_block))
    prefect_ui.table_artifact(f"{source}-reconcile", differences, "Differences between S3, ledger and RAW")
    if differences:
        lines = [f"- {d.kind}: {d.where}: got {d.found}, expected {d.wanted}; {d.fix}" for d in differences[:20]]
        more = [f"- and {len(differences) - 20} more"] if len(differences) > 20 else []
        raise DataError("\n".join([f"{source}: S3, ledger and RAW differ in {len(differences)} places", *lines, *more]))
    return prefect_ui.ended("S3, ledger and RAW agree", differences)


@flow(name="freshness", flow_run_name=prefect_ui.name_run("freshness-{source}"))
def freshness(
    source: str = "olist", aws_block: str | None = None, snowflake_block: str | None = None
) -> tuple[SourceFreshness, ...]:
    """Run dbt's source freshness: how long ago each table was last delivered. Nothing is loaded.

    A source without any published batch is not late: the run completes and says so.

    Args:
        source: the contract.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.

    Raises:
        StaleError: a table's last delivery is longer ago than its contract allows; the message says which.
    """
    facts = prefect_ui.facts_of(tasks.freshness(source, tasks.Blocks(aws_block, snowflake_block), return_state=True))
    prefect_ui.table_artifact(f"{source}-freshness", freshness_rows(facts.sources), "dbt source freshness")
    if facts.stale:
        return prefect_ui.failed(StaleError(prefect_ui.tell_stale(source, facts)))  # type: ignore[no-any-return]
    if not facts.sources:
        return prefect_ui.ended(
            f"no table of {source} is ever late: its contract has no limits of freshness", facts.sources
        )
    if facts.never_loaded:
        return prefect_ui.ended(
            f"never loaded: nothing of {source} was published yet, so nothing is late; load it with `cxm run --source {source}`",
            facts.sources,
        )
    warned = f", {len(facts.warned)} past their warning age" if facts.warned else ""
    return prefect_ui.ended(f"{len(facts.sources)} tables fresh{warned}", facts.sources)


@dataclass(frozen=True)
class DaySummary:
    """The result of one day of a backfill; `rows` are those in RAW. An unchanged day has no batch of this run."""

    day: date
    batch_id: str
    status: Literal["published", "unchanged", "quarantined", "failed"]
    rows: int
    error: str = ""


class BackfillError(CxmError):
    """Days of a backfill were not published; `exit_code` is that of the last failed day, `days` the days that were processed."""

    def __init__(self, message: str, days: tuple[DaySummary, ...], exit_code: int) -> None:
        super().__init__(message)
        self.days = days
        self.exit_code = exit_code


def _report_day(day: DaySummary) -> DaySummary:
    """Publish the day's status and rows as a progress event, and return the day."""
    with suppress(progress.StoppedError):  # for example the day lost its lease, which its own error reports
        progress.publish(progress.Event("day", day.day.isoformat(), day.rows, day.rows, day.status))
    return day


@flow(name="backfill", flow_run_name=prefect_ui.name_run("backfill-{source}-{from_day}-{to_day}"))
def backfill(
    source: str,
    from_day: date,
    to_day: date,
    data: str | None = None,
    aws_block: str | None = None,
    snowflake_block: str | None = None,
) -> tuple[DaySummary, ...]:
    """Load the files of a range of days: one batch per day, in order, each with its own lease. dbt's freshness is run and the
    Data Docs are built once, after the last day.

    A repeated backfill skips days whose files are already published. If a day has bad data, it is quarantined and the next days
    are still loaded, as in daily runs; any other error ends the backfill.

    Args:
        source: the contract of a source with daily files.
        from_day: the first day.
        to_day: the last day, inclusive.
        data: the folder with the source's files; by default `data/<source>` in the project.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.

    Raises:
        ConfigurationError: the source has no files by day, or the last day is before the first.
        BackfillError: days were quarantined, or one failed.
    """
    if not any(table.daily for table in read_source(source).tables):
        raise ConfigurationError(f"source {source}: got no table with a file for each day; load it without days")
    if to_day < from_day:
        raise ConfigurationError(f"days {from_day} to {to_day}: the last is before the first; turn them round")
    where = tasks.Blocks(aws_block, snowflake_block)
    data = data or source_place(where.settings, source)
    days = [from_day + timedelta(days=n) for n in range((to_day - from_day).days + 1)]
    changed = set(tasks.changed_days(source, data, days, where))
    done: list[DaySummary] = []
    exit_code = 0
    for day in days:
        if day not in changed:
            done.append(_report_day(DaySummary(day, "", "unchanged", 0)))
            continue
        try:
            run = one_day(source, data, day, aws_block, snowflake_block)
            done.append(_report_day(DaySummary(day, run.batch_id, "published", sum(t.rows_raw for t in run.tables))))
        except PipelineError as error:
            exit_code = error.exit_code
            quarantined = exit_code == DataError.exit_code
            in_raw = sum(t.rows_raw for t in error.summary.tables)
            status: Literal["quarantined", "failed"] = "quarantined" if quarantined else "failed"
            done.append(_report_day(DaySummary(day, error.summary.batch_id, status, in_raw, str(error))))
            if not quarantined:
                break
    if judged := [d.batch_id for d in done if d.status in ("published", "quarantined")]:
        tasks.build_pages(source, judged, where)
        tasks.write_history(where)
    rows = [{**asdict(d), "day": d.day.isoformat()} for d in done]
    prefect_ui.table_artifact(f"{source}-backfill", rows, f"Days {from_day} to {to_day}")
    bad = [d for d in done if d.error]
    if bad:
        head = (
            f"{source}: {len(bad)} of {len(done)} days are not published; fix their files and run the same days again"
        )
        stopped = f"; days after {bad[-1].day} were not tried" if bad[-1].status == "failed" else ""
        message = "\n".join([head + stopped, *(f"- {d.day}: {d.error}" for d in bad)])
        return prefect_ui.failed(BackfillError(message, tuple(done), exit_code))  # type: ignore[no-any-return]
    fresh = tasks.freshness(source, where)
    prefect_ui.table_artifact(f"{source}-freshness", freshness_rows(fresh.sources), "dbt source freshness")
    if fresh.stale:
        stale = BackfillError(prefect_ui.tell_stale(source, fresh), tuple(done), StaleError.exit_code)
        return prefect_ui.failed(stale)  # type: ignore[no-any-return]
    loaded = [d for d in done if d.status == "published"]
    outcome = f"{len(loaded)} days, {sum(d.rows for d in loaded):,} rows, {len(done) - len(loaded)} days unchanged"
    return prefect_ui.ended(outcome, tuple(done))
