"""The flows `pipeline` (files → S3 → RAW → validated → handed off to dbt), `day`, `replay` and `provision`.

A failed table fails the run, but the other tables still finish, because every future is awaited. Waiting, validating and
reporting are in `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date, timedelta
from functools import cache, partial

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from flows import lineage_events, prefect_ui, tasks
from flows.batch_ids import check_batch_id, make_batch_id
from flows.contract.model import Table
from flows.errors import ConfigurationError
from flows.generated import source_place
from flows.inventory import Inventory
from flows.landing import LandResult, current, not_delivered
from flows.ledger import RunInfo
from flows.run import Landing, PipelineError, Run, RunSummary, hand_off, settle, validate_and_publish, validate_trial
from flows.steps import validate
from flows.steps.load import LoadResult
from flows.steps.provision import Change
from flows.task_runner import ConfiguredTaskRunner
from flows.work import Work, working


def run_info(batch: str | None = None) -> RunInfo:
    """Return the RunInfo of this flow run for `batch`; by default the batch is named by the run's expected start."""
    return RunInfo(
        batch or make_batch_id(prefect_ui.expected_start()), str(flow_run.id or ""), str(flow_run.ui_url or "")
    )


def _run_name() -> str:
    return f"{flow_run.parameters.get('source', 'olist')}-{make_batch_id(prefect_ui.expected_start())}"


def _provision_name() -> str:
    return f"{'provision' if flow_run.parameters.get('apply', True) else 'plan'}-{make_batch_id(prefect_ui.expected_start())}"


@flow(name="pipeline", flow_run_name=prefect_ui.name_run(_run_name), task_runner=ConfiguredTaskRunner())  # type: ignore[arg-type]
def pipeline(
    source: str = "olist",
    data: str | None = None,
    force: bool = False,
    day: date | None = None,
    limit: int | None = None,
    aws_block: str | None = None,
    snowflake_block: str | None = None,
) -> RunSummary:
    """Land, load, validate and hand off one batch of a source.

    Args:
        source: the contract's name: `data_dictionary/<source>.odcs.yaml`.
        data: the place of the source's files: a folder, zip or tar, s3://bucket/prefix or sftp://user@host/path; by default
            `data/<source>`, or what `cxm up` generated.
        force: send and load files again even if their content is published already.
        day: which day's files, for a source that delivers a file for each day; by default yesterday (UTC).
        limit: run a trial: the first `limit` rows of each file are loaded and validated, never published, then deleted.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    where = tasks.Blocks(aws_block, snowflake_block)
    day = day or prefect_ui.expected_start().date() - timedelta(days=1)
    if limit is not None and limit < 1:
        raise ConfigurationError(f"limit: got {limit}, expected a number of rows from 1 on")
    # Once, as soon as it is certain that dbt will have new rows to read.
    prepare = cache(partial(tasks.prepare_handoff, where))
    if force and not limit:
        prepare()
    try:
        with working(source, replace(run_info(), limit=limit or 0), where) as work:
            force = force or bool(limit)
            batch, listing = tasks.open_batch(
                source, data or source_place(where.settings, source), work.info, work.left, force, day, where
            )
            work.info = batch.info
            if limit:
                summary = validate_trial(_loaded(batch, listing, work))
                return prefect_ui.ended(summary.outcome, summary)
            if not batch.published:
                prepare()
            with _lineage(batch, "pipeline") as complete:
                run = _loaded(batch, listing, work)
                if run.fresh:
                    prepare()
                summary = hand_off(run, validate_and_publish(run))
                complete(summary.came)
            return prefect_ui.ended(summary.outcome, summary)
    except PipelineError as error:
        return prefect_ui.failed(error)  # type: ignore[no-any-return]


@flow(name="day", flow_run_name=prefect_ui.name_run(_run_name), task_runner=ConfiguredTaskRunner())  # type: ignore[arg-type]
def one_day(
    source: str, data: str, day: date, aws_block: str | None = None, snowflake_block: str | None = None
) -> RunSummary:
    """Land, load, validate and publish one day of a backfill, which checks freshness and builds Data Docs after the last day.

    Args:
        source: the contract's name.
        data: the place of the source's files.
        day: which day's files.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    where = tasks.Blocks(aws_block, snowflake_block)
    try:
        with working(source, run_info(), where) as work:
            batch, listing = tasks.open_batch(source, data, work.info, work.left, False, day, where)
            work.info = batch.info
            with _lineage(batch, "pipeline") as complete:
                run = _loaded(batch, listing, work)
                summary = replace(run.summary(validate_and_publish(run, build_pages=False)), published=True)
                complete(summary.came)
            return prefect_ui.ended(summary.outcome, summary)
    except PipelineError as error:
        return prefect_ui.failed(error)  # type: ignore[no-any-return]


def _lineage(batch: tasks.Batch, name: str) -> AbstractContextManager[Callable[[lineage_events.Written], None]]:
    """Send the run's OpenLineage events, if enabled; a day's run has the backfill's run as its parent."""
    above = flow_run.parent_flow_run_id if batch.settings.openlineage_namespace else None
    parent = lineage_events.Parent(str(above), f"backfill.{batch.source.name}") if above else None
    return lineage_events.report_run(batch.settings, batch.source, batch.info, name, parent)


def _loaded(batch: tasks.Batch, listing: Inventory, work: Work) -> Run:
    """Land every file of the batch and load its tables.

    A table of several files is sent as a whole or not at all, so its files are first compared with the published ones.
    """
    if batch.force or not batch.published:  # there will certainly be rows to validate
        validate.warm()
    landing: dict[str, Sequence[Landing]] = {}
    loading: dict[str, PrefectFuture[LoadResult]] = {}
    checking: dict[str, list[PrefectFuture[LandResult | None]]] = {}

    def send(table: Table, landed: Sequence[Landing]) -> None:
        landing[table.name] = landed
        loading[table.name] = tasks.load.submit(batch, table, landed)  # type: ignore[arg-type]  # Prefect waits for them

    parts = {table.name: tasks.parts(batch, listing, table) for table in batch.source.tables}
    for table in batch.source.tables:
        of_table, known = parts[table.name], current(batch.published, table, batch.day)
        if not of_table:
            send(table, [not_delivered(batch.source, table, batch.day, batch.info.batch_id)])
        elif len(of_table) > 1 and not batch.force and {*known} == {part.name for part in of_table}:
            checking[table.name] = [tasks.check.submit(batch, part, known[part.name]) for part in of_table]
        else:
            send(table, [tasks.land.submit(batch, part) for part in of_table])
    for name, futures in checking.items():
        checked = [future.result(raise_on_failure=False) for future in futures]
        same = [result for result in checked if isinstance(result, LandResult)]
        sent = same if len(same) == len(checked) else [tasks.land.submit(batch, part) for part in parts[name]]
        send(batch.source.table(name), sent)
    return settle(batch, landing, loading, work.landed)


@flow(name="replay", flow_run_name=prefect_ui.name_run("replay-{batch}"), task_runner=ConfiguredTaskRunner())  # type: ignore[arg-type]
def replay(
    batch: str, source: str = "olist", aws_block: str | None = None, snowflake_block: str | None = None
) -> RunSummary:
    """Load a batch again from its objects in S3, validate it and hand it off: after an undo, a corrected rule, or lost rows.

    Args:
        batch: the batch id, YYYYMMDD_HHMMSS, as in the run's name and its report.
        source: the contract it belongs to.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    where = tasks.Blocks(aws_block, snowflake_block)
    try:
        with working(source, run_info(check_batch_id(batch)), where) as work:
            opened = tasks.reopen_batch(source, work.info, work.left, where)
            work.info = opened.info
            tasks.prepare_handoff(where)
            landed = tasks.find_landed(opened)
            again = opened.of([t for t in opened.source.tables if t.name in landed])
            landing = {t.name: landed[t.name].files for t in again.source.tables}
            loading = {t.name: tasks.load.submit(again, t, landing[t.name]) for t in again.source.tables}
            with _lineage(again, "replay") as complete:
                run = settle(again, landing, loading, work.landed)
                summary = hand_off(run, validate_and_publish(run))
                complete(summary.came)
            return prefect_ui.ended(summary.outcome, summary)
    except PipelineError as error:
        return prefect_ui.failed(error)  # type: ignore[no-any-return]


@flow(name="provision", flow_run_name=prefect_ui.name_run(_provision_name))
def provision(
    apply: bool = True, aws_block: str | None = None, snowflake_block: str | None = None
) -> tuple[Change, ...]:
    """Create or update bucket, IAM, warehouse, database, schemas, roles, stages, ledger and RAW tables.

    Args:
        apply: make the changes; without it the flow only shows the plan as an artifact, read with CXM_PLAN_ROLE.
        aws_block: the AwsCredentials block of an administrator; by default the AWS SDK's own chain.
        snowflake_block: the SnowflakeConnector block of an administrator; by default CXM_SNOWFLAKE_USER and its key.
    """
    where = tasks.Blocks(aws_block, snowflake_block)
    plan = tasks.provision_plan(where, apply)
    prefect_ui.markdown_artifact(
        "provision-plan", plan.markdown(), "What differs from what is expected, and what would fix it"
    )
    if not apply:
        return prefect_ui.ended(plan.counts, tuple(item.change for item in plan.items))
    changes = tasks.provision_apply(plan, where)
    prefect_ui.table_artifact("provision", changes, "What existed, and what this run made")
    made = sum(change.action != "unchanged" for change in changes)
    return prefect_ui.ended(f"{len(changes)} objects looked at, {made} made or changed", changes)
