"""What a run does after submitting its tasks: wait for every table, validate, publish or quarantine, hand off to dbt, report.

futures of land and load ──settle──▶ Run ──validate_and_publish──▶ Verdict ──hand_off──▶ RunSummary; each raises PipelineError

Long because settling, validating, handing off and reporting share the results of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.futures import PrefectFuture

from flows import prefect_ui, tasks
from flows.docs_place import DocsPlace
from flows.errors import ConfigurationError, CxmError, DataError, InfrastructureError, StaleError
from flows.failures import meaning
from flows.landing import LandedTable, LandResult
from flows.new_columns import show_patch
from flows.reports import (
    Links,
    Report,
    broken_rows,
    freshness_rows,
    land_rows,
    load_rows,
    render,
    validation_rows,
    verdict_word,
)
from flows.settings import Settings
from flows.steps import validate
from flows.steps.dbt import HandoffResult
from flows.steps.load import LoadResult
from flows.steps.profile import Compared
from flows.steps.publish import SetAside
from flows.steps.validate import Verdict, of_broken_lines


@dataclass(frozen=True)
class TableSummary:
    """One line of the run's table. `rows_raw` counts this batch's rows, or for an unchanged table those of its batch; together
    with the rows set aside, these are the rows of the file."""

    table: str
    files: int
    bytes: int
    rows_file: int
    rows_raw: int
    load: str
    validation: str
    freshness: str
    error: str = ""
    columns: str = ""  # how the file's header differs from the contract, within what the contract allows
    rows_set_aside: int = 0


@dataclass(frozen=True)
class RunSummary:
    """The result of a run: its batch, its tables, its links."""

    source: str
    batch_id: str
    tables: tuple[TableSummary, ...]
    data_docs: str = ""
    flow_run_url: str = ""
    published: bool = False
    is_generated: bool = False  # its files were generated, not delivered
    ignored: str = ""  # files that belong to no table
    trial: int = 0  # the number of rows of a trial: nothing was published and its rows are deleted

    @property
    def unchanged(self) -> bool:
        """Whether no file has new content: each is as published, or was not delivered."""
        return all(t.load.startswith(("unchanged", "not delivered")) for t in self.tables)

    @property
    def came(self) -> dict[str, tuple[int, int]]:
        """Rows and bytes of each table that this run loaded."""
        loaded = ("loaded", "already loaded")
        return {t.table: (t.rows_raw, t.bytes) for t in self.tables if t.load in loaded}

    @property
    def outcome(self) -> str:
        """The outcome in one line: "9 tables, 94,853 rows, 0 failed, fresh"."""
        rows = sum(t.rows_raw for t in self.tables)
        failed = sum(bool(t.error) or "failed" in t.validation for t in self.tables)
        ages = {t.freshness for t in self.tables if t.freshness}
        stale = "" if not ages else "fresh" if ages == {"pass"} else "not all fresh"
        sent = "unchanged" if self.unchanged else ""
        return ", ".join(
            filter(
                None,
                [
                    f"{len(self.tables)} tables",
                    f"{rows:,} rows" + " (generated)" * self.is_generated,
                    f"a trial of the first {self.trial:,} rows of each file" if self.trial else "",
                    f"{failed} failed",
                    sent,
                    stale,
                ],
            )
        )


class PipelineError(CxmError):
    """A run failed. It has the exit code of the class of error, the summary of what the run did, and whether the batch has a
    verdict (`closed`) or must be recovered by the next run."""

    def __init__(self, message: str, summary: RunSummary, exit_code: int, closed: bool = True) -> None:
        super().__init__(message)
        self.summary = summary
        self.exit_code = exit_code
        self.closed = closed


# The future of a file's landing, or the result if the file was not sent.
Landing = PrefectFuture[LandResult] | LandResult


@dataclass(frozen=True)
class Run:
    """The results of landing and loading by table; a failed table has an error instead."""

    batch: tasks.Batch
    landed: dict[str, LandedTable]
    loaded: dict[str, LoadResult]
    errors: dict[str, Exception]

    @property
    def fresh(self) -> list[LoadResult]:
        """The tables that this run loaded, because they differ from the published ones."""
        return [r for r in self.loaded.values() if r.came]

    def summary(self, verdict: Verdict | None = None, handed: HandoffResult | None = None) -> RunSummary:
        """Summarize the run for the user."""
        source = self.batch.source
        judged = {t.table: t for t in verdict.tables} if verdict else {}
        fresh = {s.table: s.status for s in handed.sources} if handed else {}
        lines = []
        for table in source.tables:
            landed, loaded = self.landed.get(table.name), self.loaded.get(table.name)
            error = self.errors.get(table.name)
            own = judged.get(table.name)
            aside = max(own.rows_aside if own else 0, loaded.broken_lines if loaded else 0)
            status = "failed" if error else loaded.status if loaded else ""
            since = f" since {loaded.since}" if loaded and loaded.since else ""
            lines.append(
                TableSummary(
                    table=table.name,
                    files=loaded.files if loaded else 0,
                    bytes=landed.bytes if landed else 0,
                    rows_file=landed.records if landed else 0,
                    rows_raw=loaded.rows_in_file - aside if loaded else 0,
                    rows_set_aside=aside,
                    load=status + since,
                    validation=verdict_word(own) if own else "as published" if loaded and not loaded.came else "",
                    freshness=fresh.get(table.name, ""),
                    error=str(error) if error else "",
                    columns=landed.differs if landed else "",
                )
            )
        return RunSummary(
            source=source.name,
            batch_id=self.batch.info.batch_id,
            tables=tuple(lines),
            data_docs=str(verdict.docs_index) if verdict and verdict.docs_index else "",
            flow_run_url=self.batch.info.flow_run_url,
            published=handed is not None,
            is_generated=self.batch.info.is_generated,
            ignored=self.batch.ignored,
            trial=self.batch.info.limit,
        )


def settle(
    batch: tasks.Batch,
    landed: Mapping[str, Sequence[Landing]],
    loaded: Mapping[str, PrefectFuture[LoadResult]],
    noted: list[LandResult],
) -> Run:
    """Wait for every file and table, by name. If one failed, nothing is published, as a batch is published as a whole: bad data
    quarantines the other tables too; if a server failed, the batch stays open and the next run (or this one's retry)
    undoes it. Landed files are added to `noted` in any case."""
    errors: dict[str, Exception] = {}

    def result(table: str, future: Any) -> Any:
        try:
            return future.result() if isinstance(future, PrefectFuture) else future
        except Exception as error:
            # The first error is the cause; later ones may be consequences.
            errors.setdefault(table, meaning(error) or error)
            return None

    arrived: dict[str, LandedTable] = {}
    beside: dict[str, list[LandResult]] = {}  # landed files of tables with another file that failed
    for table, futures in landed.items():
        files = [done for future in futures if (done := result(table, future))]
        noted.extend(files)
        if table not in errors:
            arrived[table] = LandedTable(tuple(files))
        elif files:
            beside[table] = files
    if any(table.status == "landed" for table in arrived.values()):
        validate.warm()
    results = {table: done for table, future in loaded.items() if (done := result(table, future))}
    run = Run(batch, arrived, results, errors)
    if run.landed:
        _tell(batch, "landed", bytes=sum(r.bytes for r in run.landed.values()))
        tasks.show_table(
            f"{batch.source.name}-land",
            land_rows([file for table in run.landed.values() for file in table.files]),
            f"Landed in batch {batch.info.batch_id}",
        )
    if run.loaded:
        _tell(batch, "loaded", rows=sum(r.rows for r in run.loaded.values()))
        tasks.show_table(
            f"{batch.source.name}-load", load_rows(list(run.loaded.values())), f"Loaded in batch {batch.info.batch_id}"
        )
        show_patch(batch.source, {name: run.landed[name] for name in run.loaded})
    if errors:
        names = ", ".join(errors)
        if any(isinstance(error, DataError) for error in errors.values()):
            reason = f"batch incomplete, failed: {names}"
            for table, files in beside.items():
                tasks.write_down(batch, batch.source.table(table), files)
            tasks.close_trial(batch, reason) if batch.info.limit else tasks.quarantine(batch, reason)
        _report(run, "Failed", None, None, None, None)
        head = (
            f"{len(errors)} of {len(batch.source.tables)} tables failed ({names}); nothing of this batch is published"
        )
        message = "\n".join([head, *(f"- {name}: {error}" for name, error in errors.items())])
        # If a server failed, S3 may have objects that are not in the ledger yet.
        closed = all(isinstance(error, DataError) for error in errors.values())
        raise PipelineError(message, run.summary(), _exit_code(errors.values()), closed)
    return run


def _tell(batch: tasks.Batch, status: str, **facts: Any) -> None:
    prefect_ui.tell(f"cxm.batch.{status}", batch.source.name, batch=batch.info.batch_id, **facts)


def _exit_code(errors: Any) -> int:
    """Return the exit code of several errors: configuration before infrastructure before data."""
    for kind in (ConfigurationError, InfrastructureError):
        if any(isinstance(error, kind) for error in errors):
            return kind.exit_code
    return DataError.exit_code if all(isinstance(e, DataError) for e in errors) else InfrastructureError.exit_code


def validate_and_publish(run: Run, build_pages: bool = True) -> Verdict | None:
    """Validate the loaded tables, then publish them, or quarantine them and fail. If nothing was loaded, do nothing."""
    if not run.fresh:
        since = sorted({r.since for r in run.loaded.values() if r.since})
        get_run_logger().info("unchanged since batch %s: nothing sent, nothing loaded", ", ".join(since) or "none")
        return None
    batch = run.batch
    verdict = prefect_ui.facts_of(tasks.validate(batch, run.fresh, return_state=True))
    reasons = [f"- {table.table}: {f.summary}" for table in verdict.tables for f in table.error_failures]
    bad = tasks.find_bad_rows(batch, verdict, run.fresh)
    published, over = verdict.passed, ""
    if verdict.passed or bad:
        try:
            verdict, published = _clear_set_aside(verdict, tasks.publish(batch, run.fresh, bad), run.landed), True
        except DataError as error:  # for example too many bad rows: quarantine the whole batch
            over = str(error)
    name = batch.source.name
    rows = validation_rows(verdict, run.fresh)
    tasks.show_table(f"{name}-validation", rows, f"Checkpoint of batch {batch.info.batch_id}")
    if broken := broken_rows(verdict):
        tasks.show_table(f"{name}-broken-rows", broken, f"Rows that broke a rule; all: {_show(batch)}")
    if published:
        return verdict
    tasks.quarantine(batch, "; ".join([over] * bool(over) + reasons))
    paging = _start_pages(run, verdict) if build_pages else None
    _report(run, "Quarantined", verdict, None, _start_comparison(run), tasks.write_history.submit(batch.blocks), paging)
    head = f"batch {batch.info.batch_id} quarantined: {len(reasons)} rules failed; its rows stay in RAW, unpublished"
    more = [f"- {over}"] * bool(over)
    message = "\n".join([head, *more, *reasons, f"all of these rows: `{_show(batch)}`"])
    raise PipelineError(message, run.summary(verdict), DataError.exit_code)


def validate_trial(run: Run) -> RunSummary:
    """Validate a trial and delete it; nothing is published. Rules about whole files are left out."""
    batch, name = run.batch, run.batch.source.name
    if not run.fresh:
        raise DataError(f"{name}: no file to try; expected one at least")
    verdict = prefect_ui.facts_of(tasks.validate(batch, run.fresh, return_state=True))
    rows = validation_rows(verdict, run.fresh)
    tasks.show_table(f"{name}-validation", rows, f"Checkpoint of trial {batch.info.batch_id}")
    if broken := broken_rows(verdict):
        tasks.show_table(f"{name}-broken-rows", broken, "Rows that broke a rule")
    reasons = [f"- {table.table}: {f.summary}" for table in verdict.tables for f in table.error_failures]
    bad = tasks.find_bad_rows(batch, verdict, run.fresh)
    passed = verdict.passed or bool(bad and bad.within_limits({r.table: r.rows for r in run.fresh}))
    summary = run.summary(verdict)
    tasks.close_trial(batch, "; ".join(["trial: passed" if passed else "trial: rules failed", *reasons]))
    _report(run, "Trial passed" if passed else "Trial failed", verdict, None, None, None)
    if not passed:
        head = f"trial of the first {batch.info.limit:,} rows of each file: {len(reasons)} rules failed; nothing of it is left"
        raise PipelineError("\n".join([head, *reasons]), summary, DataError.exit_code)
    return summary


def _show(batch: tasks.Batch) -> str:
    return f"cxm quarantine show {batch.info.batch_id} --source {batch.source.name}"


def _clear_set_aside(verdict: Verdict, aside: Sequence[SetAside], landed: Mapping[str, LandedTable]) -> Verdict:
    """Return the verdict with the broken rules counted as passed, because all their bad rows have been set aside."""
    rows = {one.table: one.rows for one in aside}
    tables = [
        replace(
            t,
            success=True,
            error_failures=(),
            aside=(
                *t.error_failures,
                *(failure for file in landed[t.table].files for failure in of_broken_lines(t.table, file)),
            ),
            rows_aside=rows.get(t.table, 0),
        )
        for t in verdict.tables
    ]
    return replace(verdict, tables=tuple(tables))


def _start_comparison(run: Run) -> PrefectFuture[tuple[Compared, ...]] | None:
    """Start comparing the loaded tables with the batch before; None if nothing was loaded."""
    return tasks.compare.submit(run.batch, run.fresh) if run.fresh else None


def _start_pages(run: Run, verdict: Verdict | None) -> PrefectFuture[Path] | None:
    """Start building the Data Docs of the validated tables."""
    return tasks.build_batch_pages.submit(run.batch, verdict) if verdict else None


def _report(
    run: Run,
    status: str,
    verdict: Verdict | None,
    handed: HandoffResult | None,
    comparing: PrefectFuture[tuple[Compared, ...]] | None,
    writing: PrefectFuture[Path] | None,
    paging: PrefectFuture[Path] | None = None,
) -> None:
    """Show the run's report: loaded tables, changes since the batch before, links."""
    batch, settings = run.batch, run.batch.settings
    on_aws = settings.target != "embedded"
    compared: tuple[Compared, ...] = ()
    try:
        compared = comparing.result() if comparing else ()
    except CxmError as error:  # the verdict does not depend on the comparison
        get_run_logger().warning("batch %s is not compared with the one before: %s", batch.info.batch_id, error)
    history: Path | None = None
    try:
        history = writing.result() if writing else None
    except CxmError as error:
        get_run_logger().warning("the history page is as it was: %s", error)
    try:
        if paging:
            paging.result()
    except CxmError as error:
        get_run_logger().warning("batch %s has no Data Docs: %s", batch.info.batch_id, error)
    report = Report(
        source=batch.source.name,
        batch_id=batch.info.batch_id,
        status=status,
        outcome=run.summary(verdict, handed).outcome,
        is_generated=batch.info.is_generated,
        landed=run.landed,
        loaded=tuple(run.loaded.values()),
        seconds=prefect_ui.run_seconds(),
        failed={table: str(error) for table, error in run.errors.items()},
        links=replace(
            _page_links(run, verdict, history),
            console=settings.aws_region if on_aws else "",
            account=(settings.snowflake_account or "") if on_aws else "",
        ),
        compared=compared,
        verdict=verdict,
        freshness={s.table: s.status for s in handed.sources} if handed else {},
        ignored=batch.ignored,
    )
    prefect_ui.markdown_artifact(
        f"{batch.source.name}-report", render(report), f"The report. {status}: {report.outcome}"
    )
    get_run_logger().info("%s: %s; the report is under Artifacts, %s-report", status, report.outcome, batch.source.name)


def _page_links(run: Run, verdict: Verdict | None, history: Path | None) -> Links:
    """Return links to the run's pages, in the docs place or on this home's docs server."""
    settings = run.batch.settings
    if place := DocsPlace.of(settings):
        try:
            return tasks.publish_pages(run.batch, place, verdict, history)
        except CxmError as error:  # pages do not change the batch's verdict
            get_run_logger().warning("the pages of this run are not in the docs place: %s", error)
            return Links(settings.bucket)
    return Links(
        settings.bucket,
        data_docs=_served(settings, verdict.docs_index) if verdict and verdict.docs_index else "",
        history=_served(settings, history) if history else "",
        dbt_docs=_served(settings, settings.home / "docs" / "dbt_docs" / "index.html"),
    )


def _served(settings: Settings, page: Path) -> str:
    """Return the link to a page on the embedded stack's docs server; empty if it does not run."""
    url = settings.stack.get("docs", {}).get("url", "")
    return f"{url}/{page.relative_to(settings.home / 'docs')}" if url and page.exists() else ""


def hand_off(run: Run, verdict: Verdict | None) -> RunSummary:
    """Hand off to dbt: run its source freshness; stale data fails the run. If nothing new was loaded, the ledger is queried
    instead of starting dbt, which would take longer than the rest of the run."""
    comparing = _start_comparison(run)
    if not_sent := [file for table in run.landed.values() for file in table.files if table.status != "landed"]:
        tasks.note_not_sent(run.batch, not_sent)
    writing, paging = tasks.write_history.submit(run.batch.blocks), _start_pages(run, verdict)  # while dbt starts
    judge, by = (tasks.handoff, "dbt source freshness") if run.fresh else (tasks.ages, "Freshness, asked of the ledger")
    handed = prefect_ui.facts_of(judge(run.batch, return_state=True))
    tasks.show_table(f"{run.batch.source.name}-freshness", freshness_rows(handed.sources), by)
    summary = run.summary(verdict, handed)
    status = ("Published" if run.fresh else "Unchanged") + ", but stale" * bool(handed.stale)
    _report(run, status, verdict, handed, comparing, writing, paging)
    if handed.stale:
        message = prefect_ui.tell_stale(run.batch.source.name, handed, batch=run.batch.info.batch_id)
        raise PipelineError(message, summary, StaleError.exit_code)
    return summary
