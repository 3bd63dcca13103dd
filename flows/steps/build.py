"""`dbt build` → STG, INT, MARTS, SNAPSHOTS, SEEDS: what each node did, reported while it runs and at the end."""

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

BUILD_SECONDS = 3600.0  # that dbt may take; a build is bounded by the warehouse

Outcome = Literal["pass", "warn", "error", "fail", "skip"]
# dbt's words for how a node ended; an exposure is "no-op", because nothing is built for it.
_OUTCOMES: dict[str, Outcome] = {
    "success": "pass",
    "pass": "pass",
    "warn": "warn",
    "fail": "fail",
    "skipped": "skip",
    "no-op": "pass",
}
# The events of dbt's log (dbt_common and dbt/events/core_types.proto) that a person wants of a node; the rest is SQL and parsing.
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
    """How a node of dbt ended: a model, snapshot, seed or test. `fail` is a test that rows broke, `error` what could not run."""

    id: str  # model.cxm_medtech.dim_accounts
    kind: str  # model, snapshot, seed, test, unit_test
    name: str
    outcome: Outcome
    message: str
    seconds: float
    relation: str = ""  # CXM_MEDTECH.MARTS.DIM_ACCOUNTS, of what is a table or view


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """What dbt says of a node while it runs; `outcome` is None until the node has ended."""

    id: str
    kind: str
    name: str
    message: str
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What `dbt build` did, node by node, in the order in which they ended."""

    nodes: tuple[Node, ...]
    seconds: float

    def count(self, *outcomes: Outcome) -> int:
        """How many nodes ended so."""
        return sum(node.outcome in outcomes for node in self.nodes)

    @property
    def passed(self) -> int:
        """Nodes that were built, and tests that held."""
        return self.count("pass")

    @property
    def warned(self) -> int:
        """Tests that rows broke, and that only warn."""
        return self.count("warn")

    @property
    def failed(self) -> int:
        """Nodes that could not run, and tests that rows broke."""
        return self.count("error", "fail")

    @property
    def skipped(self) -> int:
        """Nodes that were not run, since one before them failed."""
        return self.count("skip")

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """(node, dbt's message) of each that warned or failed."""
        return tuple((node.id, node.message) for node in self.nodes if node.outcome in ("warn", "error", "fail"))

    @property
    def clean(self) -> bool:
        """Whether something ran, and nothing failed, warned or was skipped."""
        return self.passed > 0 and self.passed == len(self.nodes)

    def with_retried(self, again: BuildResult) -> BuildResult:
        """The result after `again`, which ran what had failed or was skipped."""
        retried = {node.id for node in again.nodes}
        kept = tuple(node for node in self.nodes if node.id not in retried)
        return BuildResult((*kept, *again.nodes), self.seconds + again.seconds)


def build(
    project: Path,
    environment: Mapping[str, str],
    workdir: Path,
    select: str | None = None,
    timeout: float = BUILD_SECONDS,
    hear: Callable[[NodeEvent], None] = lambda _: None,
    tests: Literal["eager", "buildable"] = "eager",
) -> BuildResult:
    """Run `dbt build` (all, or what dbt's selector `select` names); a failing node raises nothing. `hear` receives each node's
    start, its messages and its end, in the caller's thread.

    `tests`: with `eager` every test that looks at a chosen node, with `buildable` only those that look at nothing beside chosen
    nodes and what they are made of, which holds where the rest was never built
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
        hear,
    )


def retry(
    project: Path,
    environment: Mapping[str, str],
    workdir: Path,
    timeout: float = BUILD_SECONDS,
    hear: Callable[[NodeEvent], None] = lambda _: None,
) -> BuildResult:
    """Run `dbt retry`: the nodes that failed or were skipped in the last build in `workdir`; none, and nothing is run.

    Raises:
        ConfigurationError: `workdir` holds no build.
        InfrastructureError: as `build`.
    """
    results = workdir / "target" / "run_results.json"
    # `run` takes the last result away, so that it cannot be read as the next one's; dbt reads it from here.
    state = workdir / "state"
    state.mkdir(parents=True, exist_ok=True)
    if not results.exists():
        raise ConfigurationError(f"{results}: not found, so there is no build to go on with; `cxm build` starts one")
    last = results.read_bytes()
    if all(_OUTCOMES.get(result["status"]) in ("pass", "warn") for result in json.loads(last)["results"]):
        return BuildResult((), 0.0)
    (state / "run_results.json").write_bytes(last)
    return _nodes(project, ["retry", "--state", str(state)], environment, workdir, timeout, hear)


def selector(source: Source, others: Iterable[Source], seeds: Sequence[str], relations: set[str]) -> str | None:
    """What to build after a batch of `source`: all that reads it, or everything (None) where that rests on what was never built.

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
    hear: Callable[[NodeEvent], None],
) -> BuildResult:
    started = time.monotonic()
    done = run(project, arguments, environment, workdir, "run_results.json", timeout, lambda line: _hear(line, hear))
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
    """A test's name without the hash that dbt puts behind it."""
    return re.sub(r"\.[0-9a-f]{10}$", "", name) if kind == "test" else name


def _hear(line: str, hear: Callable[[NodeEvent], None]) -> None:
    """Pass on a line of dbt's log about a node."""
    try:
        event = json.loads(line)
        info, data = event["info"], event["data"]
        node = data.get("node_info") or {}
        node_id = node.get("unique_id")
    except (ValueError, TypeError, KeyError, AttributeError):
        return  # no line of the log: what dbt's process printed
    if not node_id or info["name"] not in (*_SAID, *_ENDED):
        return
    kind, _, name = node_id.split(".", 2)
    outcome: Outcome | None = None
    if info["name"] in _ENDED:
        status = "skipped" if "Skip" in info["name"] else str(node.get("node_status") or data.get("status")).lower()
        outcome = _OUTCOMES.get(status.split(" ", 1)[0], "error")
    hear(NodeEvent(node_id, kind, _short(kind, name), _COLOURS.sub("", str(info["msg"])).strip(), outcome))
