"""Flows beside the daily path: undo a batch, keep the landing zone and RAW small, compare what should agree,
look how old the data is."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow
from prefect.runtime import flow_run

from flows import tasks
from flows.contract.read import sources
from flows.errors import DataError, StaleError
from flows.ledger import RunInfo
from flows.pipeline import batch_id, checked_batch_id
from flows.steps.handoff import SourceFreshness
from flows.steps.reconcile import Difference
from flows.steps.retention import Kept
from flows.steps.undo import UndoneTable


@flow(name="undo", flow_run_name="undo-{batch}")
def undo(
    batch: str, source: str = "olist", aws_block: str | None = None, snowflake_block: str | None = None
) -> tuple[UndoneTable, ...]:
    """Take a batch out of RAW: its rows go and its ledger rows say so, in one transaction. dbt then reads the batch before it.

    Args:
        batch: the batch id, as `cxm batches` lists it.
        source: the contract it belongs to.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    gone = tasks.undo(source, checked_batch_id(batch), _info(), tasks.Blocks(aws_block, snowflake_block))
    if not gone:
        return tasks.ended(f"batch {batch}: nothing of it is in RAW", gone)
    tasks.table_artifact(f"{source}-undo", gone, f"Undone: batch {batch}")
    return tasks.ended(f"batch {batch}: {len(gone)} tables, {sum(t.rows for t in gone):,} rows taken out of RAW", gone)


@flow(name="maintenance")
def maintenance(
    source: str | None = None, aws_block: str | None = None, snowflake_block: str | None = None
) -> tuple[Kept, ...]:
    """Archive objects of batches long done, prune rows of old loads, and look whether S3, ledger and RAW agree.

    Args:
        source: one contract; all of them when it is left out.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    names = [source] if source else list(sources())
    where = tasks.Blocks(aws_block, snowflake_block)
    done = tuple(kept for name in names for kept in tasks.retention(name, _info(), where))
    tasks.table_artifact("maintenance", done, "Archived and pruned")
    for name in names:
        reconcile(name, aws_block, snowflake_block)
    return tasks.ended(f"{len(done)} archived or pruned; S3, ledger and RAW agree", done)


@flow(name="reconcile", flow_run_name="reconcile-{source}")
def reconcile(
    source: str = "olist", aws_block: str | None = None, snowflake_block: str | None = None
) -> tuple[Difference, ...]:
    """Compare S3, ledger and RAW of a source; any difference fails the run.

    Args:
        source: the contract.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.

    Raises:
        DataError: they differ; the message lists how, the artifact all of it.
    """
    found = tasks.reconcile(source, tasks.Blocks(aws_block, snowflake_block))
    tasks.table_artifact(f"{source}-reconcile", found, "Differences between S3, ledger and RAW")
    if found:
        lines = [f"- {d.kind}: {d.where}: found {d.found}, wanted {d.wanted}; {d.fix}" for d in found[:20]]
        more = [f"- and {len(found) - 20} more"] if len(found) > 20 else []
        raise DataError("\n".join([f"{source}: S3, ledger and RAW differ in {len(found)} places", *lines, *more]))
    return tasks.ended("S3, ledger and RAW agree", found)


@flow(name="freshness", flow_run_name="freshness-{source}")
def freshness(
    source: str = "olist", aws_block: str | None = None, snowflake_block: str | None = None
) -> tuple[SourceFreshness, ...]:
    """dbt source freshness over the published rows of a source; nothing is loaded.

    Args:
        source: the contract.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.

    Raises:
        StaleError: a table is older than its contract allows; the message says which.
    """
    found = tasks.freshness(source, tasks.Blocks(aws_block, snowflake_block))
    tasks.table_artifact(f"{source}-freshness", found.sources, "dbt source freshness")
    if found.stale:
        names = ", ".join(f"{s.table} ({s.status})" for s in found.stale)
        tasks.tell("cxm.source.stale", source, tables=names)
        error = StaleError(
            f"stale: {names}; the newest rows are older than the contract allows: look at what writes them"
        )
        return tasks.failed(error)  # type: ignore[no-any-return]
    warned = f", {len(found.warned)} past their warning age" if found.warned else ""
    return tasks.ended(f"{len(found.sources)} tables fresh{warned}", found.sources)


def _info() -> RunInfo:
    start = flow_run.scheduled_start_time or datetime.now(UTC)
    return RunInfo(batch_id(start), str(flow_run.id or ""), str(flow_run.ui_url or ""))
