"""The Prefect tasks: each is a wrapper that opens connections, calls one step of `flows.steps`, and shows its result.

Long because all tasks are here, so that their names and retries can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from flows import admin_clients, blocks, docs_place, lease, located, prefect_ui, progress
from flows.clients import s3, s3_pages
from flows.contract.model import Source, Table
from flows.contract.read import read_source
from flows.docs_place import DocsPlace
from flows.errors import CxmError, InfrastructureError
from flows.history import page as history_page
from flows.inventory import Inventory, inventory
from flows.landing import LandedTable, LandResult, Published, current
from flows.ledger import RunInfo
from flows.places import Place, below
from flows.reports import Links
from flows.settings import PROJECT, Settings
from flows.steps import batch as batch_step
from flows.steps import dbt as dbt_step
from flows.steps import land as land_step
from flows.steps import load as load_step
from flows.steps import profile as profile_step
from flows.steps import provision as provision_step
from flows.steps import publish as publish_step
from flows.steps import reconcile as reconcile_step
from flows.steps import replay as replay_step
from flows.steps import retention as retention_step
from flows.steps import undo as undo_step
from flows.steps import validate as validate_step

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Blocks:
    """The names of the Prefect blocks with which a run logs in; None: the settings' login."""

    aws: str | None = None  # an AwsCredentials block
    snowflake: str | None = None  # a SnowflakeConnector block

    @property
    def settings(self) -> Settings:
        """The environment's settings, with these blocks."""
        names = {"aws_block": self.aws, "snowflake_block": self.snowflake}
        return Settings(**{name: value for name, value in names.items() if value})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Batch:
    """The parameters of a run that are the same for every table."""

    source: Source
    data: str  # the place of the files, as in `--data`; not used by a replay
    info: RunInfo
    force: bool = False
    replay: bool = False
    day: date | None = None
    published: dict[tuple[str, str], Published] = field(default_factory=dict)
    ignored: str = ""  # files in the place that belong to no table, as text
    blocks: Blocks = field(default_factory=Blocks)

    @property
    def settings(self) -> Settings:
        """The settings of this run."""
        return self.blocks.settings

    @property
    def place(self) -> Place:
        """The place of the files."""
        return located.place(self.settings, self.data)

    def of(self, tables: Sequence[Table]) -> Batch:
        """Return the same batch with these tables only."""
        return replace(self, source=replace(self.source, tables=tuple(tables)))

    def tag(self, step: str, table: str = "") -> dict[str, str]:
        """Return the query tag of a connection: run, step, table."""
        tag = {"batch": self.info.batch_id, "flow_run": self.info.flow_run_id, "step": step, "table": table}
        return {name: value for name, value in tag.items() if value}


@dataclass(frozen=True)
class Part:
    """A file to land: `name` in the ledger, `entry` in its place; `alone`: the table has no other file."""

    table: Table
    name: str
    entry: str
    alone: bool

    @property
    def label(self) -> str:
        """Its name in progress displays: the table's, if it is the only file."""
        return self.table.name if self.alone else self.name


def parts(batch: Batch, listing: Inventory, table: Table) -> list[Part]:
    """List the files of a table to land."""
    names = batch_step.expected(listing, table, batch.day)
    spelt = {name: listing.entries.get(name, name) for name in names}
    return [Part(table, name, entry, len(names) == 1) for name, entry in spelt.items()]


def is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Decide for Prefect whether to retry: yes if a server was not reached, no for bad data and wrong settings."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, InfrastructureError | ConnectionError | TimeoutError)


def step(name: str, run_name: str | None = None) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task with the retries of a step; it is never cached, because steps have side effects."""
    return task(
        name=name,
        task_run_name=run_name,
        cache_policy=NO_CACHE,
        retries=3,
        retry_delay_seconds=exponential_backoff(2),
        retry_jitter_factor=0.5,
        retry_condition_fn=is_transient,
    )


@step("take lease", "take the lease of {source_name}")
def take_lease(source_name: str, info: RunInfo, where: Blocks = Blocks()) -> tuple[RunInfo, tuple[str, ...]]:
    """Take the source's lease; returns the run with its token, and the batches that dead runs left open.

    Raises:
        BusyError: another run works on this source.
    """
    settings = where.settings
    tag = {"batch": info.batch_id, "flow_run": info.flow_run_id, "step": "open"}
    with blocks.ledger(settings, source_name, tag, pooled=True) as ledger:
        return lease.take(ledger, info, settings.lease_minutes)


@step("open batch", "open batch {info.batch_id}")
def open_batch(
    source_name: str,
    data: str,
    info: RunInfo,
    left: Sequence[str],
    force: bool,
    day: date | None = None,
    where: Blocks = Blocks(),
) -> tuple[Batch, Inventory]:
    """Read the contract, list the files, recover batches of dead runs, and read what is published. The run holds the source's
    lease.

    Raises:
        BusyError: this batch id is another run's, or another run took over.
        DataError: a file matches two tables.
        ConfigurationError: the files are generated, and the target is an account or the source has real rows.
    """
    settings = where.settings
    source = read_source(source_name)
    place = located.place(settings, data)
    entries = [entry for entry in place.entries() if not entry.is_folder]
    listing = inventory(source, [entry.name for entry in entries], day)
    info = batch_step.of_files(settings, place, listing, info)
    batch = Batch(source, data, info, force=force, day=day, blocks=where, ignored=listing.summary)
    with blocks.ledger(settings, source.name, batch.tag("open"), pooled=True) as ledger:
        batch_step.open_new(ledger, info, place, below(settings.data, source.name))
        _cleared(undo_step.recover(ledger, blocks.s3_client(settings), settings.bucket, source, info, left))
        published = ledger.published()
    if info.is_generated:
        prefect_ui.tag_run("generated")
    if info.limit:
        prefect_ui.tag_run("trial")
    if listing.ignored:
        get_run_logger().info("%s: not of this contract, ignored: %s", place, listing.summary)
    return replace(batch.of(batch_step.largest_first(source, listing, entries)), published=published), listing


@step("reopen batch", "reopen batch {info.batch_id}")
def reopen_batch(source_name: str, info: RunInfo, left: Sequence[str], where: Blocks = Blocks()) -> Batch:
    """Prepare a batch for loading again from S3. The run holds the source's lease.

    Raises:
        BusyError: another run took over.
        ConfigurationError: the batch's rows are generated, and the source has real ones.
    """
    settings = where.settings
    source = read_source(source_name)
    batch = Batch(source, below(settings.data, source_name), info, replay=True, blocks=where)
    with blocks.ledger(settings, source_name, batch.tag("open"), pooled=True) as ledger:
        info = batch_step.open_again(ledger, info, batch.data)
        _cleared(undo_step.recover(ledger, blocks.s3_client(settings), settings.bucket, source, info, left))
    if info.is_generated:
        prefect_ui.tag_run("generated")
    return replace(batch, info=info)


def _cleared(gone: Sequence[undo_step.UndoneTable]) -> None:
    for one in gone:
        get_run_logger().warning(
            "batch %s: its run ended without a verdict; deleted %s rows from RAW.%s", one.batch_id, one.rows, one.table
        )


@step("find changed days", "find changed days of {source_name}")
def changed_days(source_name: str, data: str, days: Sequence[date], where: Blocks = Blocks()) -> tuple[date, ...]:
    """Find the days with a file that is missing or differs from the published one."""
    with blocks.ledger(where.settings, source_name, {"step": "backfill"}) as ledger:
        published = ledger.published()
    return land_step.changed_days(read_source(source_name), located.place(where.settings, data), days, published)


@step("check", "check {part.label}")
def check(batch: Batch, part: Part, published: Published) -> LandResult | None:
    """Compare a file with its published load: return the result for an unchanged file; None if it differs."""
    with prefect_ui.Bar(f"{batch.source.name}-{part.label}", part.table.name) as bar:
        return land_step.unchanged(
            batch.source,
            part.table,
            batch.place.file(part.name, part.entry),
            batch.info.batch_id,
            published,
            bar,
        )


@step("land", "land {part.label}")
def land(batch: Batch, part: Part) -> LandResult:
    """Check a file and send it to S3; the only file of a table is not sent if its content is published."""
    settings = batch.settings
    published = current(batch.published, part.table, batch.day) if part.alone else {}
    with prefect_ui.Bar(f"{batch.source.name}-{part.label}", part.table.name) as bar:
        landed = land_step.land(
            blocks.s3_client(settings),
            settings.bucket,
            batch.source,
            part.table,
            batch.place.file(part.name, part.entry),
            batch.info.batch_id,
            published.get(part.name) if len(published) == 1 else None,
            batch.force,
            bar,
            settings.codec,
            limit=batch.info.limit,
        )
    progress.publish(progress.Event("land", part.table.name, landed.bytes, landed.bytes, landed.status))
    return landed


@step("load", "load {table.name}")
def load(batch: Batch, table: Table, landed: Sequence[LandResult]) -> load_step.LoadResult:
    """Load a table's landed files into RAW by COPY, on a pooled connection; a table that was not sent is only reported."""
    settings = batch.settings
    files = LandedTable(tuple(landed))
    progress.publish(progress.Event("load", table.name, 0, files.records))
    if files.status != "landed":
        loaded = load_step.not_sent(files)
    else:
        stored = partial(s3.etags, blocks.s3_client(settings), settings.bucket)
        with blocks.snowflake(settings, settings.loader_role, batch.tag("load", table.name), pooled=True) as connection:
            loaded = load_step.load(
                connection, batch.source, table, files, batch.info, settings.database, stored, batch.replay
            )
    get_run_logger().info(
        "%s: %s rows in RAW.%s, %s, COPY query %s",
        table.name,
        loaded.rows,
        table.raw_name,
        loaded.status,
        loaded.query_id,
    )
    progress.publish(progress.Event("load", table.name, loaded.rows, files.records, loaded.status))
    return loaded


@step("write down landed", "write down what landed of {table.name}")
def write_down(batch: Batch, table: Table, landed: Sequence[LandResult]) -> None:
    """Record files in the ledger that landed although another file of the same table was refused.

    Raises:
        BusyError: another run took over this source.
    """
    with blocks.ledger(batch.settings, batch.source.name, batch.tag("load", table.name), pooled=True) as ledger:
        load_step.write_down(ledger, table, LandedTable(tuple(landed)), batch.info)


@step("show table", "table {key}")
def show_table(key: str, rows: Sequence[Any], description: str) -> None:
    """Show a step's table as an artifact of a task: a run's page lists its own artifacts first, so the report stays on top."""
    prefect_ui.table_artifact(key, rows, description)


@step("validate", "validate {batch.info.batch_id}")
def validate(batch: Batch, loaded: Sequence[load_step.LoadResult]) -> validate_step.Verdict:
    """Run the checkpoint over the loaded tables of this batch."""
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
    if batch.info.limit:
        verdict = verdict.of_first_rows
    if not verdict.passed or any(validate_step.is_beside_before(f) for t in verdict.tables for f in t.warnings):
        source = read_source(batch.source.name)  # the batch of a replay has only its own tables
        with blocks.snowflake(settings, settings.loader_role, batch.tag("examples"), pooled=True) as connection:
            verdict = validate_step.with_examples(connection, source, verdict)
    for judged in verdict.tables:
        outcome = "failed" if judged.error_failures else "warning" if judged.warnings else "passed"
        progress.publish(progress.Event("validate", judged.table, outcome=outcome))
    if not verdict.passed and not find_bad_rows(batch, verdict, loaded):
        broken = ", ".join(t.table for t in verdict.tables if t.error_failures)
        return prefect_ui.judged_bad(f"rules of error severity are broken: {broken}", verdict)
    return verdict


def find_bad_rows(
    batch: Batch, verdict: validate_step.Verdict, loaded: Sequence[load_step.LoadResult]
) -> publish_step.RowsToSetAside | None:
    """Return the bad rows of a verdict and the broken lines, if the contract lets all of them be set aside."""
    lines = any(result.broken_lines for result in loaded)
    return publish_step.RowsToSetAside.from_counts(read_source(batch.source.name), verdict.counted, lines)


@step("batch pages", "Data Docs of {batch.info.batch_id}")
def build_batch_pages(batch: Batch, verdict: validate_step.Verdict) -> Path:
    """Build the Data Docs of a validated batch."""
    settings = batch.settings
    return validate_step.build_pages(
        read_source(batch.source.name),
        verdict,
        settings.home / "expectations",
        validate_step.connection_from(blocks.snowflake_credentials(settings), settings, batch.tag("pages")),
        settings.home / "docs",
    )


@step("build pages", "Data Docs of {source_name}")
def build_pages(source_name: str, batch_ids: Sequence[str], where: Blocks = Blocks()) -> Path:
    """Build the Data Docs of several batches of a source, and write them into the docs place, if one is set."""
    settings = where.settings
    index = validate_step.build_pages_of(
        batch_ids,
        settings.home / "expectations",
        validate_step.connection_from(blocks.snowflake_credentials(settings), settings, {"step": "pages"}),
        settings.home / "docs",
    )
    if place := DocsPlace.of(settings):
        source = read_source(source_name)
        for batch_id in batch_ids:
            put_pages(settings, place, _data_docs(settings, source, batch_id))
    return index


@step("publish", "publish {batch.info.batch_id}")
def publish(
    batch: Batch, loaded: Sequence[load_step.LoadResult], bad: publish_step.RowsToSetAside | None = None
) -> tuple[publish_step.SetAside, ...]:
    """Publish the loaded tables of this batch in one transaction, without the `bad` rows, which are set aside.

    Raises:
        BusyError: another run took over this source.
        DataError: more rows are bad than the contract sets aside.
    """
    with blocks.ledger(batch.settings, batch.source.name, batch.tag("validated"), pooled=True) as ledger:
        tables = [result.raw_name for result in loaded]
        aside = publish_step.publish(ledger, batch.info, tables, bad, read_source(batch.source.name))
    rows = sum(table.rows for table in aside)
    prefect_ui.tell("cxm.batch.validated", batch.source.name, batch=batch.info.batch_id, reason="", rows_set_aside=rows)
    return aside


@step("quarantine", "quarantine {batch.info.batch_id}")
def quarantine(batch: Batch, reason: str) -> None:
    """Quarantine the batch's tables, with the reason.

    Raises:
        BusyError: another run took over this source.
    """
    with blocks.ledger(batch.settings, batch.source.name, batch.tag("quarantined"), pooled=True) as ledger:
        publish_step.quarantine(ledger, batch.info, reason)
    prefect_ui.tell("cxm.batch.quarantined", batch.source.name, batch=batch.info.batch_id, reason=reason)


@step("close trial", "close trial {batch.info.batch_id}")
def close_trial(batch: Batch, outcome: str) -> None:
    """Delete a trial's rows from RAW and its objects from S3, and record its result.

    Raises:
        BusyError: another run took over this source.
    """
    settings = batch.settings
    with blocks.ledger(settings, batch.source.name, batch.tag("trial"), pooled=True) as ledger:
        client = blocks.s3_client(settings)
        undo_step.close_trial(ledger, client, settings.bucket, batch.info.batch_id, batch.info, outcome)


@step("compare", "compare {batch.info.batch_id} with the batch before")
def compare(batch: Batch, loaded: Sequence[load_step.LoadResult]) -> tuple[profile_step.Compared, ...]:
    """Compare rows and NULLs of the loaded tables with the batch published before."""
    settings = batch.settings
    with blocks.snowflake(settings, settings.loader_role, batch.tag("compare"), pooled=True) as connection:
        return tuple(
            profile_step.compare(
                connection,
                settings.database,
                batch.source.schema,
                batch.source.table(result.table),
                batch.info.batch_id,
                batch_step.newest(batch.published, result.raw_name),
            )
            for result in loaded
        )


@step("find landed", "find {batch.info.batch_id} in S3")
def find_landed(batch: Batch) -> dict[str, LandedTable]:
    """Find the landed files of a batch by table, in S3; archived objects are restored first."""
    settings = batch.settings
    with blocks.ledger(settings, batch.source.name, batch.tag("replay"), pooled=True) as ledger:
        return replay_step.restore_landed(
            ledger, blocks.s3_client(settings), settings.bucket, batch.source, batch.info.batch_id, batch.info
        )


@step("undo", "undo {batch_id}")
def undo(source_name: str, batch_id: str, info: RunInfo, where: Blocks = Blocks()) -> tuple[undo_step.UndoneTable, ...]:
    """Delete a batch's rows from RAW, under the source's lease."""
    settings = where.settings
    tag = {"step": "undo", "batch": batch_id}
    reason = f"undone by hand (flow run {info.flow_run_id or 'none'})"
    with blocks.holding(settings, source_name, tag, info) as (ledger, holder):
        return undo_step.undo(ledger, batch_id, holder, reason)


@step("reconcile", "reconcile {source_name}")
def reconcile(source_name: str, where: Blocks = Blocks()) -> tuple[reconcile_step.Difference, ...]:
    """Compare S3, ledger and RAW of a source."""
    settings = where.settings
    with blocks.ledger(settings, source_name, {"step": "reconcile"}) as ledger:
        return reconcile_step.reconcile(ledger, blocks.s3_client(settings), settings.bucket, read_source(source_name))


@step("retention", "retention {source_name}")
def retention(
    source_name: str, info: RunInfo, where: Blocks = Blocks()
) -> tuple[retention_step.MaintenanceAction, ...]:
    """Delete expired loads, archive old objects and prune old rows of a source, under its lease."""
    settings = where.settings
    with blocks.holding(settings, source_name, {"step": "maintenance"}, info) as (ledger, holder):
        client = blocks.s3_client(settings)
        source, quarantined_days = read_source(source_name), settings.keep_quarantined_days
        expired = retention_step.expire(ledger, client, settings.bucket, source, holder)
        archived = retention_step.archive(ledger, client, settings.bucket, holder, settings.archive_after_days)
        return (
            expired + archived + retention_step.prune(ledger, source, holder, settings.keep_batches, quarantined_days)
        )


@step("note deliveries", "deliveries of {batch.info.batch_id}")
def note_not_sent(batch: Batch, landed: Sequence[LandResult]) -> None:
    """Record the files that were not sent because they are published already, which count as delivered in dbt's freshness, and
    the optional tables without a file.

    Raises:
        BusyError: another run took over this source.
    """
    with blocks.ledger(batch.settings, batch.source.name, batch.tag("deliveries"), pooled=True) as ledger:
        batch_step.note_not_sent(ledger, batch.info, landed)


@step("history", "history page")
def write_history(where: Blocks = Blocks()) -> Path:
    """Write the history page of every source's loads, from the ledger."""
    settings = where.settings
    with blocks.snowflake(settings, settings.loader_role, {"step": "history"}) as connection:
        return history_page.make(connection, settings)[0]


def _data_docs(
    settings: Settings, source: Source, batch_id: str, verdict: validate_step.Verdict | None = None
) -> dict[str, bytes]:
    """Read the Data Docs of a batch, by their path below the docs place."""
    pages = validate_step.pages_of(source, batch_id, settings.home / "docs", verdict)
    return {docs_place.data_docs(source.name, batch_id, page): text for page, text in pages.items()}


def put_pages(settings: Settings, place: DocsPlace, pages: Mapping[str, bytes]) -> None:
    """Write pages, by their path below the place."""
    client = blocks.s3_client(settings)
    s3_pages.publish(client, place.bucket, {place.prefix + page: text for page, text in pages.items()})


@step("publish pages", "pages of {batch.info.batch_id}")
def publish_pages(batch: Batch, place: DocsPlace, verdict: validate_step.Verdict | None, history: Path | None) -> Links:
    """Publish a run's pages in the docs place, where they outlive it; returns their links."""
    settings = batch.settings
    source, batch_id = batch.source, batch.info.batch_id
    pages = _data_docs(settings, source, batch_id, verdict) if verdict else {}
    links = {"data_docs": place.link(docs_place.data_docs(source.name, batch_id))} if pages else {}
    if history:
        pages[docs_place.HISTORY] = history.read_bytes()
        links["history"] = place.link(docs_place.HISTORY)
    put_pages(settings, place, pages)
    if s3_pages.exists(blocks.s3_client(settings), place.bucket, place.prefix + docs_place.DBT_DOCS):
        links["dbt_docs"] = place.link(docs_place.DBT_DOCS)
    return Links(settings.bucket, **links)


@step("handoff", "dbt source freshness {batch.source.name}")
def handoff(batch: Batch) -> dbt_step.HandoffResult:
    """Run dbt's source freshness for every table of the source."""
    return _judged(source_freshness(batch.source.name, batch.settings))


@step("ages", "freshness of {batch.source.name}, nothing new")
def ages(batch: Batch) -> dbt_step.HandoffResult:
    """Return the freshness of every table of the source if nothing new was loaded: one query on the ledger, without dbt."""
    source = read_source(batch.source.name)
    with blocks.ledger(batch.settings, source.name, batch.tag("ages"), pooled=True) as ledger:
        return _judged(dbt_step.ages(ledger, source))


@step("freshness", "dbt source freshness {source_name}")
def freshness(source_name: str, where: Blocks = Blocks()) -> dbt_step.HandoffResult:
    """Run dbt's source freshness outside a batch."""
    return _judged(source_freshness(source_name, where.settings))


def prepare_handoff(where: Blocks) -> None:
    """Start dbt and have it parse the project while the run does other work. The hand-off reports errors."""
    settings = where.settings
    with suppress(CxmError):
        environment = dbt_step.dbt_environment(blocks.with_login(settings))
        dbt_step.prepare(PROJECT / "dbt" / "cxm_medtech", environment, settings.home / "dbt")


def source_freshness(source_name: str, settings: Settings) -> dbt_step.HandoffResult:
    """Ask dbt how long ago each table of a source was delivered; no tables if the contract has no limits."""
    source = read_source(source_name)
    if not any(source.limits(table) for table in source.tables):  # dbt would have no table to query
        return dbt_step.HandoffResult((), 0.0)
    return dbt_step.handoff(
        PROJECT / "dbt" / "cxm_medtech",
        source_name,
        dbt_step.dbt_environment(blocks.with_login(settings)),
        settings.home / "dbt",
        optional=[table.name for table in source.tables if table.optional],
    )


def _judged(result: dbt_step.HandoffResult) -> dbt_step.HandoffResult:
    for table in result.sources:
        progress.publish(progress.Event("freshness", table.table, outcome=table.status))
    if result.stale:
        return prefect_ui.judged_bad("stale: " + ", ".join(table.table for table in result.stale), result)
    return result


@step("provision plan")
def provision_plan(where: Blocks = Blocks(), apply: bool = True) -> provision_step.Plan:
    """Compare the accounts with the expected state; reads only. A plan to be applied is read with the administrator's role."""
    role = provision_step.ADMINISTRATOR if apply else where.settings.plan_role
    return admin_clients.plan(where.settings, where.aws, where.snowflake, role)


@step("provision apply")
def provision_apply(plan: provision_step.Plan, where: Blocks = Blocks()) -> tuple[provision_step.Change, ...]:
    """Apply the plan."""
    settings = admin_clients.administrator(where.settings, where.aws, where.snowflake)
    log = get_run_logger()
    with admin_clients.connection(settings) as connection:
        return provision_step.apply(
            plan,
            admin_clients.cloud(settings, where.settings.aws_block),
            connection,
            settings,
            admin_clients.contracts(),
            lambda item: log.info("%s %s: %s", item.kind, item.name, item.action),
        )
