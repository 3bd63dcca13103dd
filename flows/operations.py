"""Flows beside the daily path: undo a batch, keep the landing zone and RAW small, compare what should agree."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows import tasks
from flows.contract.read import sources
from flows.errors import DataError
from flows.ledger import RunInfo
from flows.pipeline import batch_id, checked_batch_id
from flows.steps.reconcile import Difference
from flows.steps.retention import Kept
from flows.steps.undo import UndoneTable


@flow(name="undo", flow_run_name="undo-{batch}")
def undo(batch: str, source: str = "olist") -> tuple[UndoneTable, ...]:
    """Take a batch out of RAW: its rows go and its ledger rows say so, in one transaction. dbt then reads the batch before it.

    Args:
        batch: the batch id, as `cxm batches` lists it.
        source: the contract it belongs to.
    """
    gone = tasks.undo(source, checked_batch_id(batch), _info())
    if gone:
        tasks.table_artifact(f"{source}-undo", gone, f"Undone: batch {batch}")
    else:
        get_run_logger().info("batch %s: nothing of it is in RAW", batch)
    return gone


@flow(name="maintenance")
def maintenance(source: str | None = None) -> tuple[Kept, ...]:
    """Archive objects of batches long done, prune rows of old loads, and look whether S3, ledger and RAW agree.

    Args:
        source: one contract; all of them when it is left out.
    """
    names = [source] if source else list(sources())
    done = tuple(kept for name in names for kept in tasks.retention(name, _info()))
    tasks.table_artifact("maintenance", done, "Archived and pruned")
    for name in names:
        reconcile(name)
    return done


@flow(name="reconcile", flow_run_name="reconcile-{source}")
def reconcile(source: str = "olist") -> tuple[Difference, ...]:
    """Compare S3, ledger and RAW of a source; any difference fails the run.

    Args:
        source: the contract.

    Raises:
        DataError: they differ; the message lists how, the artifact all of it.
    """
    found = tasks.reconcile(source)
    tasks.table_artifact(f"{source}-reconcile", found, "Differences between S3, ledger and RAW")
    if found:
        lines = [f"- {d.kind}: {d.where}: found {d.found}, wanted {d.wanted}; {d.fix}" for d in found[:20]]
        more = [f"- and {len(found) - 20} more"] if len(found) > 20 else []
        raise DataError("\n".join([f"{source}: S3, ledger and RAW differ in {len(found)} places", *lines, *more]))
    return found


def _info() -> RunInfo:
    start = flow_run.scheduled_start_time or datetime.now(UTC)
    return RunInfo(batch_id(start), str(flow_run.id or ""), str(flow_run.ui_url or ""))
