"""The flow `dbt-build`: builds STG, INT, MARTS and SNAPSHOTS after a batch was published, with a task run for each dbt node.

dbt runs once, in its own process (decisions 9 and 17). The events of its log start, fill and end the nodes' task runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Literal

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import blocks, prefect_ui, tasks
from flows.batch_ids import make_batch_id
from flows.clients.snowflake import run as run_sql
from flows.contract.read import read_source, sources
from flows.contract.sql import template
from flows.docs_place import DBT_DOCS, DocsPlace
from flows.errors import ConfigurationError, CxmError, DataError
from flows.escape import code, markdown
from flows.pipeline import run_info
from flows.reports import age
from flows.settings import PROJECT, Settings
from flows.steps import build as build_step
from flows.steps import dbt
from flows.steps.build import BuildResult, NodeEvent

RETRIES = 1  # for nodes that could not run; a failed test would fail again
RETRY_SECONDS = 10.0
_THREADS = 32  # for the running nodes, and those whose end is being reported


class BuildError(DataError):
    """Nodes of a build failed; `result` has all nodes."""

    def __init__(self, message: str, result: BuildResult) -> None:
        super().__init__(message)
        self.result = result


def _run_name() -> str:
    return f"dbt-build-{make_batch_id(prefect_ui.expected_start())}"


class _Node:
    """dbt's events about one node, passed from the flow's thread to the node's task run."""

    def __init__(self, first: NodeEvent) -> None:
        self.title = f"{first.kind.replace('_', ' ')} {first.name}"
        self.said: SimpleQueue[NodeEvent | None] = SimpleQueue()


@task(name="dbt node", task_run_name="{node.title}", cache_policy=NO_CACHE, persist_result=False)
def show_node(node: _Node) -> Any:
    """Show a dbt node as a task run: log its messages while it runs, and end in its final state."""
    logger = get_run_logger()
    while (said := node.said.get()) is not None:
        level = (
            logger.error
            if said.outcome in ("error", "fail")
            else logger.warning
            if said.outcome == "warn"
            else logger.info
        )
        level(said.message)
        if said.outcome in ("error", "fail"):
            return Failed(message=said.message)
        if said.outcome:
            return Completed(
                message=said.message, name={"skip": "Skipped", "warn": "Warned"}.get(said.outcome, "Completed")
            )
    return Failed(message="dbt ended before it reported this node's result")


class _Nodes:
    """The task runs of a build's nodes."""

    def __init__(self) -> None:
        self._open: dict[str, _Node] = {}
        self._futures: list[PrefectFuture[Any]] = []

    def receive(self, event: NodeEvent) -> None:
        """Start the node's task run, or pass it an event."""
        node = self._open.get(event.id)
        if node is None:
            node = self._open[event.id] = _Node(event)
            self._futures.append(show_node.submit(node))
        node.said.put(event)
        if event.outcome:
            del self._open[event.id]

    def close(self) -> None:
        """End the nodes that dbt left open, and wait for every task run."""
        for node in self._open.values():
            node.said.put(None)
        self._open.clear()
        for future in self._futures:
            future.wait()


@flow(
    name="dbt-build",
    flow_run_name=prefect_ui.name_run(_run_name),
    task_runner=ThreadPoolTaskRunner(max_workers=_THREADS),  # type: ignore[arg-type]
)
def dbt_build(
    source: str | None = None,
    select: str | None = None,
    retry: bool = False,
    snowflake_block: str | None = None,
) -> BuildResult:
    """Build models, snapshots and seeds, and run their tests; after a batch, those that read its source.

    Nodes that could not run are retried once. A node downstream of a failed one is not built and keeps its old data.

    Args:
        source: build the nodes that read this source; by default all.
        select: a dbt selector instead, such as `marts` or `dim_accounts+`.
        retry: instead build the nodes that failed in the last build, and those downstream of them.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.

    Raises:
        BuildError: nodes or tests of severity error failed; the message names them.
    """
    if done := prefect_ui.newer_run({"source": source, "select": select, "retry": retry}):
        return prefect_ui.ended(f"nothing to do: {done} began later and built the same", BuildResult((), 0.0))
    settings = tasks.Blocks(None, snowflake_block).settings
    with _alone(settings):
        return _build(settings, source, select, retry)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Allow one build of a database at a time, because two would write the same tables; waits for the other one."""
    name = f"cxm-dbt-build-{settings.database}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name=name, limit=1)
    with concurrency(name, lease_duration=60):
        yield


def _build(settings: Settings, source: str | None, select: str | None, retry: bool) -> BuildResult:
    chosen = select or (_selector(settings, source) if source else None)
    what = "what failed in the last build" if retry else f"--select {chosen}" if chosen else "everything"
    get_run_logger().info("dbt build: %s", what)
    result = _built(settings, chosen, select is None, retry)
    rows = _relations(settings)
    page = build_report(result, what, rows, write_dbt_docs(settings))
    prefect_ui.markdown_artifact("dbt-build", page, f"dbt build: {summarize(result)}")
    if result.failed:
        return prefect_ui.failed(BuildError(_failure(result), result))  # type: ignore[no-any-return]
    return prefect_ui.ended(summarize(result), result)


def write_dbt_docs(settings: Settings) -> str:
    """Write the dbt docs into the docs place, if one is set, and return their address."""
    place = DocsPlace.of(settings)
    if place is None:
        return ""
    try:
        page = dbt.document(
            PROJECT / "dbt" / "cxm_medtech",
            dbt.dbt_environment(blocks.with_login(settings)),
            settings.home / "dbt-docs",
            settings.home / "docs" / "dbt_docs",
        )
        tasks.put_pages(settings, place, {DBT_DOCS: page.read_bytes()})
    except CxmError as error:  # the marts are built; the page about them is optional
        get_run_logger().warning("the dbt docs are as they were: %s", error)
        return ""
    return place.link(DBT_DOCS)


def summarize(result: BuildResult) -> str:
    """Describe the build in one line: "35 built, 214 tests held, 2 warned, in 41 s"."""
    tests = sum(node.kind in ("test", "unit_test") and node.outcome == "pass" for node in result.nodes)
    if not result.nodes:
        return "nothing to build"
    parts = [
        f"{result.passed - tests} built, {tests} tests held",
        f"{result.warned} warned" * bool(result.warned),
        f"{result.failed} failed" * bool(result.failed),
        f"{result.skipped} skipped" * bool(result.skipped),
    ]
    return f"{', '.join(filter(None, parts))}, in {result.seconds:.0f} s"


def build_report(result: BuildResult, chosen: str, rows: Mapping[str, int | None], docs: str = "") -> str:
    """Render the report of a build: nodes with rows and seconds, tests that warned, failures.

    `rows`: SCHEMA.NAME of a table → its number of rows now. `docs`: the link to the dbt docs.
    """
    built = [node for node in result.nodes if node.kind in ("model", "snapshot", "seed")]
    tests = [node for node in result.nodes if node not in built]
    parts = [
        "# dbt build",
        f"- Chosen: {code(chosen)}",
        f"- {len(built)} models, snapshots and seeds, {len(tests)} tests, in {age(result.seconds)}",
    ]
    if docs:
        parts.append(f"- Look at: [dbt docs]({docs})")
    lists = (("Failed", ("error", "fail")), ("Not run", ("skip",)), ("Tests that warn", ("warn",)))
    for title, outcomes in lists:
        if nodes := [node for node in result.nodes if node.outcome in outcomes]:
            parts += [f"## {title}", "\n".join(f"- {code(node.name)}: {markdown(node.message)}" for node in nodes)]
    lines = ["| relation | kind | outcome | rows | seconds |", "|---|---|---|---:|---:|"]
    for node in sorted(built, key=lambda node: -node.seconds):
        relation = node.relation.split(".", 1)[-1]
        count = rows.get(relation)
        cells = (
            code(relation or node.name, in_table=True),
            node.kind,
            node.outcome,
            "" if count is None else f"{count:,}",
        )
        lines.append(f"| {' | '.join(cells)} | {node.seconds:.1f} |")
    return "\n\n".join([*parts, "## Built", "\n".join(lines)]) + "\n"


def _failure(result: BuildResult) -> str:
    bad = [node for node in result.nodes if node.outcome in ("error", "fail")]
    lines = [f"- {node.kind.replace('_', ' ')} {node.name}: {node.message}" for node in bad[:20]]
    more = [f"- and {len(bad) - 20} more"] if len(bad) > 20 else []
    head = f"dbt build: {summarize(result)}; what comes after a failed node was not built and is as it was"
    return "\n".join([head, *lines, *more, "fix the model or the rows, then `cxm build --retry`"])


def _built(settings: Settings, select: str | None, by_source: bool, retry: bool) -> BuildResult:
    project, workdir = PROJECT / "dbt" / "cxm_medtech", settings.home / "dbt-build"
    environment = dbt.dbt_environment(blocks.with_login(settings))
    if retry:
        return _watched(lambda on_event: build_step.retry(project, environment, workdir, on_event=on_event))
    tests: Literal["eager", "buildable"] = "eager" if by_source else "buildable"
    result = _watched(
        lambda on_event: build_step.build(project, environment, workdir, select, on_event=on_event, tests=tests)
    )
    for _ in range(RETRIES):
        if not result.count("error"):
            break
        get_run_logger().warning("%d nodes could not run; trying them again, alone", result.count("error"))
        time.sleep(RETRY_SECONDS)
        again = _watched(lambda on_event: build_step.retry(project, environment, workdir, on_event=on_event))
        result = result.with_retried(again)
    return result


def _watched(run: Callable[[Callable[[NodeEvent], None]], BuildResult]) -> BuildResult:
    nodes = _Nodes()
    try:
        return run(nodes.receive)
    finally:
        nodes.close()


def _selector(settings: Settings, source: str) -> str | None:
    known = {name: read_source(name) for name in sources()}
    if source not in known:
        raise ConfigurationError(f"source {source}: no contract of that name; there are {', '.join(known)}")
    others = [one for name, one in known.items() if name != source]
    seeds = [path.stem for path in sorted((PROJECT / "dbt" / "cxm_medtech" / "seeds").glob("**/*.csv"))]
    return build_step.selector(known[source], others, seeds, set(_relations(settings)))


def _relations(settings: Settings) -> dict[str, int | None]:
    """Read SCHEMA.NAME of every table and view that the transformer sees → its number of rows, None if unknown."""
    tag = {"flow_run": run_info().flow_run_id, "step": "dbt-build"}
    with blocks.snowflake(settings, settings.transformer_role, tag) as connection:
        rows = run_sql(connection, template("relations.sql", database=settings.database), ()).dicts()
    return {row["relation"]: None if row["row_count"] is None else int(row["row_count"]) for row in rows}
