"""The flows: files on disk → S3 → RAW → validated → handed to dbt. `pipeline` reads as that path.

Every future is waited for: a failed table fails the run, and the other tables still finish.

Long because the path is not cut in two: `pipeline`, `replay` and what they report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, unmapped
from prefect.futures import PrefectFuture, PrefectFutureList
from prefect.runtime import flow_run

from flows import progress, tasks
from flows.clients import dbt
from flows.errors import ConfigurationError, CxmError, DataError, InfrastructureError, StaleError
from flows.facts import LandResult
from flows.ledger import RunInfo
from flows.reports import Links, Report, render
from flows.settings import Settings
from flows.steps import validate
from flows.steps.handoff import HandoffResult
from flows.steps.load import LoadResult
from flows.steps.profile import Compared
from flows.steps.provision import Change
from flows.steps.validate import Verdict
from flows.task_runner import ConfiguredTaskRunner


@dataclass(frozen=True)
class TableSummary:
    """One line of the run's table. `rows_raw` counts this batch's rows, or those of the batch it is unchanged since."""

    table: str
    files: int
    bytes: int
    rows_file: int
    rows_raw: int
    load: str
    validation: str
    freshness: str
    error: str = ""


@dataclass(frozen=True)
class RunSummary:
    """What a run did: its batch, its tables, where to look."""

    source: str
    batch_id: str
    tables: tuple[TableSummary, ...]
    data_docs: str = ""
    flow_run_url: str = ""
    published: bool = False

    @property
    def unchanged(self) -> bool:
        """True where no file differed from what is published."""
        return all(t.load.startswith("unchanged") for t in self.tables)

    @property
    def outcome(self) -> str:
        """What came of the run, in one line: "9 tables, 94,853 rows, 0 failed, fresh"."""
        rows = sum(t.rows_raw for t in self.tables)
        failed = sum(bool(t.error) or "failed" in t.validation for t in self.tables)
        ages = {t.freshness for t in self.tables if t.freshness}
        stale = "" if not ages else "fresh" if ages == {"pass"} else "not all fresh"
        sent = "unchanged" if self.unchanged else ""
        return ", ".join(
            filter(None, [f"{len(self.tables)} tables", f"{rows:,} rows", f"{failed} failed", sent, stale])
        )


class PipelineError(CxmError):
    """A run that did not end well: which class of error it was (`exit_code`), what it still did (`summary`), and whether its
    batch has a verdict (`closed`) or is left for the next run to clear."""

    def __init__(self, message: str, summary: RunSummary, exit_code: int, closed: bool = True) -> None:
        super().__init__(message)
        self.summary = summary
        self.exit_code = exit_code
        self.closed = closed


def batch_id(start: datetime) -> str:
    """`YYYYMMDD_HHMMSS` in UTC: local time would repeat an hour each autumn."""
    return start.astimezone(UTC).strftime("%Y%m%d_%H%M%S")


def run_info(batch: str | None = None) -> RunInfo:
    """This flow run, at work on `batch`; by default on the one that its expected start names."""
    return RunInfo(batch or batch_id(_start()), str(flow_run.id or ""), str(flow_run.ui_url or ""))


def _start() -> datetime:
    return flow_run.scheduled_start_time or datetime.now(UTC)


def _run_name() -> str:
    return f"{flow_run.parameters.get('source', 'olist')}-{batch_id(flow_run.scheduled_start_time)}"


@flow(name="pipeline", flow_run_name=_run_name, task_runner=ConfiguredTaskRunner())  # type: ignore[arg-type]
def pipeline(
    source: str = "olist",
    data: str | None = None,
    force: bool = False,
    day: date | None = None,
    aws_block: str | None = None,
    snowflake_block: str | None = None,
) -> RunSummary:
    """Land, load, validate and hand off one batch of a source.

    Args:
        source: the contract's name: `data_dictionary/<source>.odcs.yaml`.
        data: the folder with the source's files; by default `data/<source>` in the project.
        force: send and load files again although their content is published already.
        day: which day's files, for a source that delivers a file for each day; by default yesterday (UTC).
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    where = tasks.Blocks(aws_block, snowflake_block)
    directory = Path(data) if data else where.settings.data / source
    batch = tasks.open_batch(source, directory, run_info(), force, day or _start().date() - timedelta(days=1), where)
    try:
        with _closing(batch) as landed:
            dbt.warm()
            landing = tasks.land.map(unmapped(batch), batch.source.tables)
            loading = tasks.load.map(unmapped(batch), batch.source.tables, landing)
            run = _settle(batch, landing, loading)
            landed.extend(run.landed.values())
            verdict = _validated(run)
            summary = _handed_off(run, verdict)
            return tasks.ended(summary.outcome, summary)
    except PipelineError as error:
        return tasks.failed(error)  # type: ignore[no-any-return]


@flow(name="replay", flow_run_name="replay-{batch}", task_runner=ConfiguredTaskRunner())  # type: ignore[arg-type]
def replay(
    batch: str, source: str = "olist", aws_block: str | None = None, snowflake_block: str | None = None
) -> RunSummary:
    """Load a batch again from what lies in S3, validate it and hand it off: after a rule was mended, rows were lost, or an undo.

    Args:
        batch: the batch id, as `cxm batches` lists it.
        source: the contract it belongs to.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    opened = tasks.reopen_batch(source, run_info(checked_batch_id(batch)), tasks.Blocks(aws_block, snowflake_block))
    try:
        with _closing(opened):
            dbt.warm()
            found = tasks.find_landed(opened)
            again = opened.of([t for t in opened.source.tables if t.name in found])
            landing = [found[t.name] for t in again.source.tables]
            loading = tasks.load.map(unmapped(again), again.source.tables, landing)
            run = _settle(again, landing, loading)
            summary = _handed_off(run, _validated(run))
            return tasks.ended(summary.outcome, summary)
    except PipelineError as error:
        return tasks.failed(error)  # type: ignore[no-any-return]


@contextmanager
def _closing(batch: tasks.Batch) -> Iterator[list[LandResult]]:
    """Give the lease back however the block ends; what it landed goes into the list. A run that is told to end stops its queries
    and uploads first; a batch that got no verdict is noted as open, for the next run to clear."""
    landed: list[LandResult] = []
    closed = False
    progress.go()
    try:
        yield landed
        closed = True
    except PipelineError as error:
        closed = error.closed
        raise
    except Exception:
        raise
    except BaseException:  # Prefect's termination signal, Ctrl-C
        tasks.stop_work(batch)
        raise
    finally:
        tasks.close_batch(batch, closed, landed)


def checked_batch_id(text: str) -> str:
    """`text`, which has to be a batch id.

    Raises:
        ConfigurationError: it is none.
    """
    if not re.fullmatch(r"[0-9]{8}_[0-9]{6}", text):
        raise ConfigurationError(f"batch id: found {text!r}, wanted YYYYMMDD_HHMMSS; `cxm batches` lists them")
    return text


@flow(name="provision")
def provision(
    apply: bool = True, aws_block: str | None = None, snowflake_block: str | None = None
) -> tuple[Change, ...]:
    """Bucket, IAM, warehouse, database, schemas, roles, stages, ledger and RAW tables: made where missing, mended where changed.

    Args:
        apply: do it; without it the flow shows its plan, as an artifact, and changes nothing.
        aws_block: the AwsCredentials block of an administrator; by default the AWS SDK's own chain.
        snowflake_block: the SnowflakeConnector block of an administrator; by default CXM_SNOWFLAKE_USER and its key.
    """
    where = tasks.Blocks(aws_block, snowflake_block)
    plan = tasks.provision_plan(where)
    tasks.markdown_artifact(
        "provision-plan", plan.markdown(), "What differs from what is wanted, and what would mend it"
    )
    if not apply:
        return tasks.ended(plan.counts, tuple(item.change for item in plan.items))
    changes = tasks.provision_apply(plan, where)
    tasks.table_artifact("provision", changes, "What is there now, and what this run made")
    made = sum(change.action != "unchanged" for change in changes)
    return tasks.ended(f"{len(changes)} objects looked at, {made} made or changed", changes)


@dataclass(frozen=True)
class _Run:
    """What landing and loading gave, table by table; a table that failed has an error instead."""

    batch: tasks.Batch
    landed: dict[str, LandResult]
    loaded: dict[str, LoadResult]
    errors: dict[str, Exception]

    def summary(self, verdict: Verdict | None = None, handed: HandoffResult | None = None) -> RunSummary:
        source = self.batch.source
        judged = {t.table: t for t in verdict.tables} if verdict else {}
        fresh = {s.table: s.status for s in handed.sources} if handed else {}
        lines = []
        for table in source.tables:
            landed, loaded = self.landed.get(table.name), self.loaded.get(table.name)
            error = self.errors.get(table.name)
            found = judged.get(table.name)
            status = "failed" if error else loaded.status if loaded else ""
            since = f" since {loaded.since}" if loaded and loaded.since else ""
            lines.append(
                TableSummary(
                    table=table.name,
                    files=loaded.files if loaded else 0,
                    bytes=landed.bytes if landed else 0,
                    rows_file=landed.records if landed else 0,
                    rows_raw=loaded.rows if loaded else 0,
                    load=status + since,
                    validation=_word(found) if found else "as published" if since else "",
                    freshness=fresh.get(table.name, ""),
                    error=str(error) if error else "",
                )
            )
        return RunSummary(
            source=source.name,
            batch_id=self.batch.info.batch_id,
            tables=tuple(lines),
            data_docs=str(verdict.docs_index) if verdict and verdict.docs_index else "",
            flow_run_url=self.batch.info.flow_run_url,
            published=handed is not None,
        )


def _word(found: Any) -> str:
    if found.error_failures:
        return f"{len(found.error_failures)} failed"
    count = len(found.warnings)
    return f"passed, {count} warning{'s' if count > 1 else ''}" if count else "passed"


def _settle(
    batch: tasks.Batch, landed: Sequence[PrefectFuture[LandResult] | LandResult], loaded: PrefectFutureList[LoadResult]
) -> _Run:
    """Wait for every table. If one failed, nothing is published, since a batch is published whole: bad data quarantines what the
    others loaded; after a server that failed, the batch stays open and the next run (or this one's retry) clears it."""
    errors: dict[str, Exception] = {}

    def results(futures: Sequence[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for table, future in zip(batch.source.tables, futures, strict=True):
            try:
                found[table.name] = future.result() if isinstance(future, PrefectFuture) else future
            except Exception as error:
                errors.setdefault(table.name, error)  # the first error is the cause, a later one its consequence
        return found

    arrived = results(landed)
    if any(r.status != "unchanged" for r in arrived.values()):
        validate.warm()
    run = _Run(batch, arrived, results(loaded), errors)
    if run.landed:
        _tell(batch, "landed", bytes=sum(r.bytes for r in run.landed.values()))
        tasks.table_artifact(
            f"{batch.source.name}-land", list(run.landed.values()), f"Landed in batch {batch.info.batch_id}"
        )
    if run.loaded:
        _tell(batch, "loaded", rows=sum(r.rows for r in run.loaded.values()))
        tasks.table_artifact(
            f"{batch.source.name}-load", list(run.loaded.values()), f"Loaded in batch {batch.info.batch_id}"
        )
    if errors:
        names = ", ".join(errors)
        if any(isinstance(error, DataError) for error in errors.values()):
            tasks.mark(batch, "quarantined", f"batch incomplete, failed: {names}")
        head = (
            f"{len(errors)} of {len(batch.source.tables)} tables failed ({names}); nothing of this batch is published"
        )
        message = "\n".join([head, *(f"- {name}: {error}" for name, error in errors.items())])
        # After a server that failed, objects may lie in S3 that the ledger does not know yet.
        closed = all(isinstance(error, DataError) for error in errors.values())
        raise PipelineError(message, run.summary(), _exit_code(errors.values()), closed)
    return run


def _tell(batch: tasks.Batch, status: str, **facts: Any) -> None:
    tasks.tell(f"cxm.batch.{status}", batch.source.name, batch=batch.info.batch_id, **facts)


def _exit_code(errors: Any) -> int:
    """A run fails as its most basic error: configuration before infrastructure before data."""
    for kind in (ConfigurationError, InfrastructureError):
        if any(isinstance(error, kind) for error in errors):
            return kind.exit_code
    return DataError.exit_code if all(isinstance(e, DataError) for e in errors) else InfrastructureError.exit_code


def _validated(run: _Run) -> Verdict | None:
    """Audit what was loaded: publish it, or quarantine it and fail. Nothing new loaded: nothing to audit."""
    fresh = [r for r in run.loaded.values() if r.status != "unchanged"]
    if not fresh:
        since = sorted({r.since for r in run.loaded.values() if r.since})
        get_run_logger().info("unchanged since batch %s: nothing sent, nothing loaded", ", ".join(since))
        return None
    batch = run.batch
    verdict = tasks.validate(batch, fresh)
    rows = [
        {
            "table": table.table,
            "verdict": _word(table),
            "rules": table.evaluated,
            "findings": "; ".join(
                f"{f.severity}: {f.rule} {f.column or ''} ({f.unexpected_count})"
                for f in (*table.error_failures, *table.warnings)
            ),
        }
        for table in verdict.tables
    ]
    tasks.table_artifact(f"{batch.source.name}-validation", rows, f"Checkpoint of batch {batch.info.batch_id}")
    if docs := _docs_url(batch.settings, verdict):
        tasks.link_artifact(f"{batch.source.name}-data-docs", docs, "Data Docs")
    if not verdict.passed:
        reasons = [
            f"- {table.table}: {f.rule} {f.column or ''}: {f.unexpected_count} rows, e.g. {f.observed}"
            for table in verdict.tables
            for f in table.error_failures
        ]
        tasks.mark(batch, "quarantined", "; ".join(reasons))
        _report(run, verdict, None, _comparing(run))
        head = (
            f"batch {batch.info.batch_id} quarantined: {len(reasons)} rules failed; its rows stay in RAW, unpublished"
        )
        raise PipelineError("\n".join([head, *reasons]), run.summary(verdict), DataError.exit_code)
    tasks.mark(batch, "validated")
    return verdict


def _comparing(run: _Run) -> PrefectFuture[tuple[Compared, ...]] | None:
    """The comparison of what came in with the batch before, begun; nothing came in: nothing to compare."""
    fresh = [r for r in run.loaded.values() if r.status != "unchanged"]
    return tasks.compare.submit(run.batch, fresh) if fresh else None


def _report(
    run: _Run,
    verdict: Verdict | None,
    handed: HandoffResult | None,
    comparing: PrefectFuture[tuple[Compared, ...]] | None,
) -> None:
    """The page of the run: what came in, what changed since the batch before, where to look."""
    batch, settings = run.batch, run.batch.settings
    on_aws = settings.target != "embedded"
    compared: tuple[Compared, ...] = ()
    try:
        compared = comparing.result() if comparing else ()
    except CxmError as error:  # the verdict stands whether or not it can be illustrated
        get_run_logger().warning("batch %s is not compared with the one before: %s", batch.info.batch_id, error)
    report = Report(
        source=batch.source.name,
        batch_id=batch.info.batch_id,
        outcome=run.summary(verdict, handed).outcome,
        loaded=tuple(run.loaded.values()),
        folders={name: landed.folder for name, landed in run.landed.items()},
        links=Links(
            bucket=settings.bucket,
            console=settings.aws_region if on_aws else "",
            account=(settings.snowflake_account or "") if on_aws else "",
            data_docs=_docs_url(settings, verdict) if verdict else "",
            dbt_docs=_docs_page(settings, settings.home / "docs" / "dbt_docs" / "index.html"),
        ),
        compared=compared,
        verdict=verdict,
        freshness={s.table: s.status for s in handed.sources} if handed else {},
    )
    tasks.markdown_artifact(f"{batch.source.name}-report", render(report), f"Batch {batch.info.batch_id}")


def _docs_page(settings: Settings, page: Path) -> str:
    """The address of a page that the embedded stack serves, if there is one."""
    url = settings.stack.get("docs", {}).get("url", "") if settings.target == "embedded" else ""
    return f"{url}/{page.relative_to(settings.home / 'docs')}" if url and page.exists() else ""


def _docs_url(settings: Settings, verdict: Verdict) -> str:
    return _docs_page(settings, Path(verdict.docs_index)) if verdict.docs_index else ""


def _handed_off(run: _Run, verdict: Verdict | None) -> RunSummary:
    """dbt's own freshness verdict over the published sources; stale data fails the run."""
    comparing = _comparing(run)
    handed = tasks.handoff(run.batch)
    tasks.table_artifact(f"{run.batch.source.name}-freshness", handed.sources, "dbt source freshness")
    summary = run.summary(verdict, handed)
    _report(run, verdict, handed, comparing)
    if stale := handed.stale:
        names = ", ".join(f"{s.table} ({s.status})" for s in stale)
        tasks.tell("cxm.source.stale", run.batch.source.name, batch=run.batch.info.batch_id, tables=names)
        raise PipelineError(
            f"stale: {names}; the newest rows are older than the contract allows. Files were unchanged or nothing was "
            "delivered: look at what writes them",
            summary,
            StaleError.exit_code,
        )
    return summary
