"""Prefect tasks: names and retries around the step functions; no logic of the data path lives here.

Long because all tasks are here, so that names and retries can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from flows import blocks, progress, provisioning, shown
from flows.clients.snowflake import transaction
from flows.contract.model import Source, Table
from flows.contract.read import read_source
from flows.errors import BusyError, ConfigurationError, CxmError, InfrastructureError
from flows.facts import LandResult, Published
from flows.generated import is_generated
from flows.ledger import Ledger, RunInfo, Status
from flows.settings import PROJECT, Settings
from flows.steps import handoff as handoff_step
from flows.steps import land as land_step
from flows.steps import load as load_step
from flows.steps import profile as profile_step
from flows.steps import provision as provision_step
from flows.steps import reconcile as reconcile_step
from flows.steps import replay as replay_step
from flows.steps import retention as retention_step
from flows.steps import undo as undo_step
from flows.steps import validate as validate_step

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Blocks:
    """The Prefect blocks that a run logs in with; without names, what the settings say."""

    aws: str | None = None  # an AwsCredentials block
    snowflake: str | None = None  # a SnowflakeConnector block

    @property
    def settings(self) -> Settings:
        """The environment's settings, with these blocks."""
        names = {"aws_block": self.aws, "snowflake_block": self.snowflake}
        return Settings(**{name: value for name, value in names.items() if value})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Batch:
    """One run's surroundings, the same for every table."""

    source: Source
    directory: Path  # where the files are; not looked at when they are loaded from S3 again
    info: RunInfo
    force: bool = False
    replay: bool = False
    day: date | None = None
    published: dict[tuple[str, str], Published] = field(default_factory=dict)
    blocks: Blocks = field(default_factory=Blocks)

    @property
    def settings(self) -> Settings:
        """The settings of this run."""
        return self.blocks.settings

    def of(self, tables: Sequence[Table]) -> Batch:
        """The same batch, of these tables only."""
        return replace(self, source=replace(self.source, tables=tuple(tables)))

    def tag(self, step: str, table: str = "") -> dict[str, str]:
        """The query tag of a connection: which run, which step, which table."""
        tag = {"batch": self.info.batch_id, "flow_run": self.info.flow_run_id, "step": step, "table": table}
        return {name: value for name, value in tag.items() if value}


def is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry what another try may mend: a server that was not reached. Bad data and wrong settings fail at once."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, InfrastructureError | ConnectionError | TimeoutError)


def step(name: str, run_name: str | None = None) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task with the retries that suit a step. Side effects are never cached: a second call must look again."""
    return task(
        name=name,
        task_run_name=run_name,
        cache_policy=NO_CACHE,
        retries=3,
        retry_delay_seconds=exponential_backoff(2),
        retry_jitter_factor=0.5,
        retry_condition_fn=is_transient,
    )


@step("open batch", "open batch {info.batch_id}")
def open_batch(
    source_name: str,
    directory: Path,
    info: RunInfo,
    force: bool,
    day: date | None = None,
    where: Blocks = Blocks(),
) -> Batch:
    """Read the contract, take the source's lease, clear up after runs that died, and read what is published now.

    Raises:
        BusyError: another run works on this source, or this batch id is another run's.
        ConfigurationError: the files are generated, and the target is an account or the source has real rows.
    """
    settings = where.settings
    source = read_source(source_name)
    info = replace(info, is_generated=is_generated(directory, [table.file_on(day) for table in source.tables]))
    if info.is_generated and not settings.may_generate:
        raise ConfigurationError(
            f"{directory}: its files were made by `cxm generate`, and CXM_TARGET is {settings.target}; generated rows are loaded "
            "on the embedded target only. Name the folder of the real files with --data or CXM_DATA"
        )
    batch = Batch(source, directory, info, force=force, day=day, blocks=where)
    with blocks.ledger(settings, source.name, batch.tag("open"), kept=True) as ledger:
        left = ledger.acquire(info, settings.lease_minutes)
        if info.is_generated:
            _refuse_generated(ledger, info, left, str(directory), settings)
        others = {e.flow_run_id for e in ledger.entries(info.batch_id)} - {info.flow_run_id, "", None}
        if others:
            raise BusyError(
                f"batch {info.batch_id} belongs to flow run {others.pop()}, which was to start in the same second; run again"
            )
        for gone in undo_step.recover(ledger, blocks.s3_client(settings), settings.bucket, source, info, left):
            get_run_logger().warning(
                "batch %s had no verdict, its run is gone: %s rows taken out of RAW.%s",
                gone.batch_id,
                gone.rows,
                gone.table,
            )
        published = ledger.published()

    def size(table: Table) -> int:
        path = directory / table.file_on(day)
        return path.stat().st_size if path.is_file() else 0

    if info.is_generated:
        shown.tag_run("generated")
    # The longest work begins first, so that it does not end last. A file that is not there is for `land` to tell.
    return replace(batch.of(sorted(source.tables, key=size, reverse=True)), published=published)


@step("reopen batch", "reopen batch {info.batch_id}")
def reopen_batch(source_name: str, info: RunInfo, where: Blocks = Blocks()) -> Batch:
    """Take the source's lease for a batch that is to be loaded again from S3.

    Raises:
        BusyError: another run works on this source.
        ConfigurationError: the batch's rows are generated, and the source has real ones.
    """
    settings = where.settings
    batch = Batch(read_source(source_name), settings.data / source_name, info, replay=True, blocks=where)
    with blocks.ledger(settings, source_name, batch.tag("open"), kept=True) as ledger:
        left = ledger.acquire(info, settings.lease_minutes)
        if any(entry.is_generated for entry in ledger.entries(info.batch_id)):
            _refuse_generated(ledger, info, left, f"batch {info.batch_id}", settings)
            batch = replace(batch, info=replace(info, is_generated=True))
            shown.tag_run("generated")
        undo_step.recover(ledger, blocks.s3_client(settings), settings.bucket, batch.source, info, left)
    return batch


def _refuse_generated(ledger: Ledger, info: RunInfo, left: str | None, what: str, settings: Settings) -> None:
    """Give the lease back, as it was found, where generated rows would stand over real ones."""
    try:
        ledger.refuse_generated(what, str(settings.data / ledger.source))
    except ConfigurationError:
        ledger.release(replace(info, batch_id=left or info.batch_id), closed=left is None)
        raise


@step("find changed days", "find changed days of {source_name}")
def changed_days(source_name: str, directory: Path, days: Sequence[date], where: Blocks = Blocks()) -> tuple[date, ...]:
    """Those days of which a file is missing or is not, byte for byte, what is published."""
    settings = where.settings
    source = read_source(source_name)
    with blocks.ledger(settings, source_name, {"step": "backfill"}) as ledger:
        published = ledger.published()

    def same(table: Table, day: date) -> bool:
        file = table.file_on(day)
        known = published.get((table.raw_name, file))
        return known is not None and land_step.checksum(directory / file) == known.sha256

    return tuple(day for day in days if not all(same(table, day) for table in source.tables))


def stop_work(batch: Batch) -> None:
    """End what the tasks of this process are at: uploads stop at their next report, running statements are cancelled."""
    progress.stop()
    blocks.cancel_statements(batch.settings)


def close_batch(batch: Batch, closed: bool, landed: Sequence[LandResult] = ()) -> None:
    """Write down what was unchanged and give the lease back; `closed`: every loaded table has its verdict.

    Runs however the flow ends. What cannot be told the warehouse is logged: the lease then ends with this process.
    """
    settings = batch.settings
    skipped = [
        {
            "table_name": r.raw_name,
            "file_name": r.file,
            "bytes": r.bytes,
            "content_sha256": r.sha256,
            "file_records": r.records,
            "unchanged_since": r.since,
        }
        for r in landed
        if r.status == "unchanged"
    ]
    try:
        with blocks.ledger(settings, batch.source.name, batch.tag("close"), kept=True) as ledger:
            if skipped:
                ledger.insert(batch.info, "skipped-unchanged", skipped)
            ledger.release(batch.info, closed)
    except CxmError as error:
        get_run_logger().warning("batch %s was not closed: %s", batch.info.batch_id, error)
    finally:
        blocks.close_kept()


@step("land", "land {table.name}")
def land(batch: Batch, table: Table) -> LandResult:
    """Check one file and send it to S3."""
    settings = batch.settings
    file = table.file_on(batch.day)
    report = shown.ProgressArtifact(f"{batch.source.name}-{table.name}", table.name)
    landed = land_step.land(
        blocks.s3_client(settings),
        settings.bucket,
        batch.source,
        table,
        batch.directory / file,
        batch.info.batch_id,
        batch.published.get((table.raw_name, file)),
        batch.force,
        report,
        settings.codec,
    )
    report.finish()
    progress.publish(progress.Event("land", table.name, landed.bytes, landed.bytes, landed.status))
    return landed


@step("load", "load {table.name}")
def load(batch: Batch, table: Table, landed: LandResult) -> load_step.LoadResult:
    """COPY one landed file into its RAW table, on a connection that the next table's task may use again."""
    settings = batch.settings
    progress.publish(progress.Event("load", table.name, 0, landed.records))
    if landed.status == "unchanged":
        loaded = load_step.unchanged(landed)
    else:
        with blocks.snowflake(settings, settings.loader_role, batch.tag("load", table.name), kept=True) as connection:
            loaded = load_step.load(
                connection, batch.source, table, landed, batch.info, settings.database, batch.replay
            )
    get_run_logger().info(
        "%s: %s rows in RAW.%s, %s, COPY query %s",
        table.name,
        loaded.rows,
        table.raw_name,
        loaded.status,
        loaded.query_id,
    )
    progress.publish(progress.Event("load", table.name, loaded.rows, landed.records, loaded.status))
    return loaded


@step("validate", "validate {batch.info.batch_id}")
def validate(batch: Batch, loaded: Sequence[load_step.LoadResult]) -> validate_step.Verdict:
    """Run the checkpoint over the rows of the tables that came in with this batch, and build the Data Docs."""
    settings = batch.settings
    tables = [batch.source.table(result.table) for result in loaded]
    for table in tables:
        progress.publish(progress.Event("validate", table.name))
    verdict = validate_step.validate(
        batch.source,
        tables,
        batch.info.batch_id,
        PROJECT / "expectations",
        settings.home / "expectations",
        validate_step.connection_from(blocks.snowflake_credentials(settings), settings, batch.tag("validate")),
        settings.home / "docs",
    )
    for found in verdict.tables:
        outcome = "failed" if found.error_failures else "warning" if found.warnings else "passed"
        progress.publish(progress.Event("validate", found.table, outcome=outcome))
    return verdict


@step("publish", "{status} {batch.info.batch_id}")
def mark(batch: Batch, status: Status, reason: str | None = None) -> None:
    """Publish the loaded tables of the batch, or quarantine them with the reason: one statement, so all or none.

    Raises:
        BusyError: another run took over this source.
    """
    settings = batch.settings
    with (
        blocks.ledger(settings, batch.source.name, batch.tag(status), kept=True) as ledger,
        transaction(ledger.connection),
    ):
        ledger.fence(batch.info)
        ledger.mark(batch.info.batch_id, status, ("loaded",) if status == "validated" else ("landed", "loaded"), reason)
    shown.tell(f"cxm.batch.{status}", batch.source.name, batch=batch.info.batch_id, reason=reason or "")


@step("compare", "compare {batch.info.batch_id} with the batch before")
def compare(batch: Batch, loaded: Sequence[load_step.LoadResult]) -> tuple[profile_step.Compared, ...]:
    """Rows and NULLs of the tables that came in with this batch, beside those of the batch published before."""
    settings = batch.settings
    with blocks.snowflake(settings, settings.loader_role, batch.tag("compare"), kept=True) as connection:
        return tuple(
            profile_step.compare(
                connection,
                settings.database,
                batch.source.schema,
                batch.source.table(result.table),
                batch.info.batch_id,
                max((p.batch_id for (raw, _), p in batch.published.items() if raw == result.raw_name), default=None),
            )
            for result in loaded
        )


@step("find landed", "find {batch.info.batch_id} in S3")
def find_landed(batch: Batch) -> dict[str, LandResult]:
    """What a batch brought, by table, as it lies in S3; archived objects are brought back first."""
    settings = batch.settings
    with blocks.ledger(settings, batch.source.name, batch.tag("replay"), kept=True) as ledger:
        return replay_step.landed(
            ledger, blocks.s3_client(settings), settings.bucket, batch.source, batch.info.batch_id
        )


@step("undo", "undo {batch_id}")
def undo(source_name: str, batch_id: str, info: RunInfo, where: Blocks = Blocks()) -> tuple[undo_step.UndoneTable, ...]:
    """Take a batch's rows out of RAW, under the source's lease."""
    settings = where.settings
    tag = {"step": "undo", "batch": batch_id}
    with blocks.ledger(settings, source_name, tag) as ledger, ledger.lease(info, settings.lease_minutes):
        return undo_step.undo(ledger, batch_id, info, f"undone by hand (flow run {info.flow_run_id or 'none'})")


@step("reconcile", "reconcile {source_name}")
def reconcile(source_name: str, where: Blocks = Blocks()) -> tuple[reconcile_step.Difference, ...]:
    """Compare S3, ledger and RAW of a source."""
    settings = where.settings
    with blocks.ledger(settings, source_name, {"step": "reconcile"}) as ledger:
        return reconcile_step.reconcile(ledger, blocks.s3_client(settings), settings.bucket, read_source(source_name))


@step("retention", "retention {source_name}")
def retention(source_name: str, info: RunInfo, where: Blocks = Blocks()) -> tuple[retention_step.Kept, ...]:
    """Archive old objects and prune old rows of a source, under its lease."""
    settings = where.settings
    with (
        blocks.ledger(settings, source_name, {"step": "maintenance"}) as ledger,
        ledger.lease(info, settings.lease_minutes),
    ):
        client = blocks.s3_client(settings)
        archived = retention_step.archive(ledger, client, settings.bucket, info, settings.archive_after_days)
        return archived + retention_step.prune(ledger, info, settings.keep_batches, settings.keep_quarantined_days)


@step("handoff", "dbt source freshness {batch.source.name}")
def handoff(batch: Batch) -> handoff_step.HandoffResult:
    """Let dbt judge the freshness of every source table."""
    return _source_freshness(batch.source.name, batch.settings)


@step("freshness", "dbt source freshness {source_name}")
def freshness(source_name: str, where: Blocks = Blocks()) -> handoff_step.HandoffResult:
    """dbt's freshness of a source, without a batch."""
    return _source_freshness(source_name, where.settings)


def _source_freshness(source_name: str, settings: Settings) -> handoff_step.HandoffResult:
    result = handoff_step.handoff(
        PROJECT / "dbt" / "cxm_medtech",
        source_name,
        handoff_step.dbt_environment(blocks.with_login(settings)),
        settings.home / "dbt",
    )
    for found in result.sources:
        progress.publish(progress.Event("freshness", found.table, outcome=found.status))
    return result


@step("provision plan")
def provision_plan(where: Blocks = Blocks(), apply: bool = True) -> provision_step.Plan:
    """Compare what is wanted with what is there; reads only. A plan that is to be applied has to see everything."""
    settings = provisioning.administrator(where.settings, where.aws, where.snowflake)
    role = provision_step.ADMINISTRATOR if apply else settings.plan_role
    with provisioning.connection(settings, role=role) as connection:
        cloud = provisioning.cloud(settings, where.settings.aws_block)
        return provision_step.make_plan(cloud, connection, settings, provisioning.contracts())


@step("provision apply")
def provision_apply(plan: provision_step.Plan, where: Blocks = Blocks()) -> tuple[provision_step.Change, ...]:
    """Do what the plan says."""
    settings = provisioning.administrator(where.settings, where.aws, where.snowflake)
    log = get_run_logger()
    with provisioning.connection(settings) as connection:
        return provision_step.apply(
            plan,
            provisioning.cloud(settings, where.settings.aws_block),
            connection,
            settings,
            provisioning.contracts(),
            lambda item: log.info("%s %s: %s", item.kind, item.name, item.action),
        )
