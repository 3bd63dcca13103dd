"""Runs `dbt build` (STG, INT, MARTS, SNAPSHOTS, SEEDS) and reports each node while it runs and at the end."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.clients.dbt_project import run
from flows.contract.model import Source
from flows.contract.render_dbt import staging_models
from flows.errors import ConfigurationError, InfrastructureError

BUILD_SECONDS = 3600.0  # time limit of a build, whose duration depends on the warehouse

Outcome = Literal["pass", "warn", "error", "fail", "skip"]
# dbt's statuses of a node; an exposure has "no-op", because nothing is built for it.
_OUTCOMES: dict[str, Outcome] = {
    "success": "pass",
    "pass": "pass",
    "warn": "warn",
    "fail": "fail",
    "skipped": "skip",
    "no-op": "pass",
}
# The events of dbt's log (dbt_common and dbt/events/core_types.proto) about a node that are shown; the rest is SQL and parsing.
_SAID = ("LogStartLine", "SQLQueryStatus", "CatchableExceptionOnRun", "JinjaLogInfo", "JinjaLogWarning")
_ENDED = (
    "LogModelResult",
    "LogTestResult",
    "LogSnapshotResult",
    "LogSeedResult",
    "LogSkipBecauseError",
    "SkippingDetails",
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Node:
    """The result of a dbt node: a model, snapshot, seed or test. `fail`: the test failed; `error`: the node could not run."""

    id: str  # model.cxm_medtech.dim_accounts
    kind: str  # model, snapshot, seed, test, unit_test
    name: str
    outcome: Outcome
    message: str
    seconds: float
    relation: str = ""  # CXM_MEDTECH.MARTS.DIM_ACCOUNTS; empty for nodes without a table or view


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """An event of dbt's log about a node; `outcome` is None until the node has ended."""

    id: str
    kind: str
    name: str
    message: str
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The result of `dbt build`: its nodes, in the order in which they ended."""

    nodes: tuple[Node, ...]
    seconds: float

    def count(self, *outcomes: Outcome) -> int:
        """Return the number of nodes with this outcome."""
        return sum(node.outcome in outcomes for node in self.nodes)

    @property
    def passed(self) -> int:
        """Nodes that were built, and tests that passed."""
        return self.count("pass")

    @property
    def warned(self) -> int:
        """Tests of severity warning that failed."""
        return self.count("warn")

    @property
    def failed(self) -> int:
        """Nodes that could not run, and tests of severity error that failed."""
        return self.count("error", "fail")

    @property
    def skipped(self) -> int:
        """Nodes that did not run because one upstream failed."""
        return self.count("skip")

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """(node, dbt's message) of each node that warned or failed."""
        return tuple((node.id, node.message) for node in self.nodes if node.outcome in ("warn", "error", "fail"))

    @property
    def clean(self) -> bool:
        """Whether at least one node ran, and none failed, warned or was skipped."""
        return self.passed > 0 and self.passed == len(self.nodes)

    def with_retried(self, again: BuildResult) -> BuildResult:
        """Return the combined result after `again`, which reran the failed and skipped nodes."""
        retried = {node.id for node in again.nodes}
        others = tuple(node for node in self.nodes if node.id not in retried)
        return BuildResult((*others, *again.nodes), self.seconds + again.seconds)


def build(
    project: Path,
    environment: Mapping[str, str],
    workdir: Path,
    select: str | None = None,
    timeout: float = BUILD_SECONDS,
    on_event: Callable[[NodeEvent], None] = lambda _: None,
    tests: Literal["eager", "buildable"] = "eager",
) -> BuildResult:
    """Run `dbt build` for all nodes, or those that the dbt selector `select` names. A failed node does not raise. `on_event` gets
    each node's start, messages and end, in the caller's thread.

    `tests`: `eager` runs every test that reads a selected node, `buildable` only those that read nothing besides selected
    nodes and their parents, which works if other nodes were never built
    (https://docs.getdbt.com/reference/global-configs/indirect-selection).

    Raises:
        InfrastructureError: dbt did not start, did not end in time, wrote no result, or failed outside its nodes.
    """
    return _nodes(
        project,
        ["build", "--indirect-selection", tests, *(["--select", select] if select else [])],
        environment,
        workdir,
        timeout,
        on_event,
    )


def retry(
    project: Path,
    environment: Mapping[str, str],
    workdir: Path,
    timeout: float = BUILD_SECONDS,
    on_event: Callable[[NodeEvent], None] = lambda _: None,
) -> BuildResult:
    """Run `dbt retry`: the nodes that failed or were skipped in the last build in `workdir`, if any.

    Raises:
        ConfigurationError: `workdir` holds no build.
        InfrastructureError: as `build`.
    """
    results = workdir / "target" / "run_results.json"
    # `run` deletes the last result, so that it is not mistaken for the next one; dbt reads this copy.
    state = workdir / "state"
    state.mkdir(parents=True, exist_ok=True)
    if not results.exists():
        raise ConfigurationError(f"{results}: not found, so there is no build to go on with; `cxm build` starts one")
    last = results.read_bytes()
    if all(_OUTCOMES.get(result["status"]) in ("pass", "warn") for result in json.loads(last)["results"]):
        return BuildResult((), 0.0)
    (state / "run_results.json").write_bytes(last)
    return _nodes(project, ["retry", "--state", str(state)], environment, workdir, timeout, on_event)


def selector(source: Source, others: Iterable[Source], seeds: Sequence[str], relations: set[str]) -> str | None:
    """Return dbt's selector after a batch of `source`: the nodes that read it, or None (all nodes) if a parent was never built.

    Args:
        others: the project's other sources.
        seeds: the names of dbt's seeds.
        relations: SCHEMA.NAME of what the warehouse has.
    """
    needed = {f"SEEDS.{name.upper()}" for name in seeds}
    needed |= {f"STG.{name.upper()}" for other in others for name in staging_models(other).values()}
    return f"source:{source.name}+" if needed <= relations else None


def _nodes(
    project: Path,
    arguments: list[str],
    environment: Mapping[str, str],
    workdir: Path,
    timeout: float,
    on_event: Callable[[NodeEvent], None],
) -> BuildResult:
    started = time.monotonic()
    done = run(
        project,
        arguments,
        environment,
        workdir,
        "run_results.json",
        timeout,
        lambda line: _report_event(line, on_event),
    )
    nodes = tuple(_node(result) for result in done.document["results"] if result["status"] != "no-op")
    result = BuildResult(nodes, time.monotonic() - started)
    if done.code != 0 and not result.failed:
        raise InfrastructureError(
            f"dbt {arguments[0]} ended with exit code {done.code} though no node failed. dbt said: {done.said()}"
        )
    return result


def _node(result: Mapping[str, Any]) -> Node:
    kind, _, name = result["unique_id"].split(".", 2)
    return Node(
        id=result["unique_id"],
        kind=kind,
        name=_short(kind, name),
        outcome=_OUTCOMES.get(result["status"], "error"),
        message=" ".join((result["message"] or result["status"]).split()),
        seconds=float(result["execution_time"]),
        relation=(result.get("relation_name") or "").replace('"', "").upper() if kind != "test" else "",
    )


def _short(kind: str, name: str) -> str:
    """Return a test's name without the hash that dbt appends."""
    return re.sub(r"\.[0-9a-f]{10}$", "", name) if kind == "test" else name


def _report_event(line: str, on_event: Callable[[NodeEvent], None]) -> None:
    """Report the event in a line of dbt's log, if it is about a node."""
    try:
        event = json.loads(line)
        info, data = event["info"], event["data"]
        node = data.get("node_info") or {}
        node_id = node.get("unique_id")
    except (ValueError, TypeError, KeyError, AttributeError):
        return  # not a line of the log, but output of dbt's process
    if not node_id or info["name"] not in (*_SAID, *_ENDED):
        return
    kind, _, name = node_id.split(".", 2)
    outcome: Outcome | None = None
    if info["name"] in _ENDED:
        status = "skipped" if "Skip" in info["name"] else str(node.get("node_status") or data.get("status")).lower()
        outcome = _OUTCOMES.get(status.split(" ", 1)[0], "error")
    on_event(NodeEvent(node_id, kind, _short(kind, name), _COLOURS.sub("", str(info["msg"])).strip(), outcome))
