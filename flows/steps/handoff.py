"""The hand-off to dbt: `RAW.* + RAW.LOAD_LEDGER → dbt source freshness → HandoffResult`, then `dbt build → STG … MARTS`
and `dbt docs generate → one page`. `dbt compile` gives the models' SQL to `cxm contract lineage`.

Everything dbt writes goes under `workdir`, so that two homes do not meet in one `target/`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from flows.clients.dbt import run_dbt
from flows.errors import ConfigurationError, InfrastructureError
from flows.settings import Settings

FreshnessStatus = Literal["pass", "warn", "error", "runtime error", "never loaded"]

# What dbt may take: freshness is nine small queries; a build is bounded by the warehouse.
FRESHNESS_SECONDS = 600.0
BUILD_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class SourceFreshness:
    """The age of one source table's last delivery, as dbt found it; a table whose contract says that it is never late has none.

    `max_loaded_at` is ISO 8601 in UTC; it and `age_seconds` are None where nothing was published ("never loaded") or the ledger
    could not be read. `warn_after` and `error_after` are the contract's limits, for example "24 hour"; `message` is dbt's
    for a runtime error.
    """

    table: str
    status: FreshnessStatus
    max_loaded_at: str | None
    age_seconds: float | None
    warn_after: str | None
    error_after: str | None
    message: str = ""


@dataclass(frozen=True, slots=True)
class HandoffResult:
    """The freshness of every table of a source, by table name."""

    sources: tuple[SourceFreshness, ...]
    seconds: float

    @property
    def never_loaded(self) -> bool:
        """Whether no table has a row: a source that nobody has loaded yet is not late."""
        return bool(self.sources) and all(s.status == "never loaded" for s in self.sources)

    @property
    def stale(self) -> tuple[SourceFreshness, ...]:
        """The tables that must not be taken for fresh: error-stale, of an age that could not be read, or never published where
        other tables of the source were, since a batch is published whole."""
        bad = ("error", "runtime error") if self.never_loaded else ("error", "runtime error", "never loaded")
        return tuple(s for s in self.sources if s.status in bad)

    @property
    def warned(self) -> tuple[SourceFreshness, ...]:
        """The tables past their warning age."""
        return tuple(s for s in self.sources if s.status == "warn")


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What `dbt build` did, in counts of nodes (models, tests, seeds, snapshots).

    `problems` holds (node, dbt's message) of each that warned or failed.
    """

    passed: int
    warned: int
    failed: int
    skipped: int
    problems: tuple[tuple[str, str], ...]
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether something ran, and nothing failed, warned or was skipped."""
        return self.passed > 0 and not (self.failed or self.warned or self.skipped)


def dbt_environment(settings: Settings) -> dict[str, str]:
    """The variables that `profiles.yml` reads, from `settings`; the only way a secret reaches dbt.

    Raises:
        ConfigurationError: the target is `snowflake` and the account, user or key is not set; or no embedded stack runs.
    """
    environment = {
        "CXM_TARGET": settings.target,
        "CXM_DATABASE": settings.database,
        "CXM_WAREHOUSE": settings.warehouse,
        "CXM_TRANSFORMER_ROLE": settings.transformer_role,
    }
    if settings.target == "embedded":
        warehouse = settings.stack["warehouse"]
        return environment | {
            "CXM_WAREHOUSE_HOST": warehouse["host"],
            "CXM_WAREHOUSE_PORT": str(warehouse["port"]),
            "CXM_WAREHOUSE_PASSWORD": settings.warehouse_logins["CXM_TRANSFORMER_SVC"].get_secret_value(),
        }
    key, passphrase = settings.snowflake_private_key, settings.snowflake_private_key_passphrase
    values = {
        "CXM_SNOWFLAKE_ACCOUNT": settings.snowflake_account,
        "CXM_SNOWFLAKE_USER": settings.snowflake_user,
        "CXM_SNOWFLAKE_PRIVATE_KEY": key.get_secret_value() if key else None,
    }
    if missing := [name for name, value in values.items() if not value]:
        raise ConfigurationError(
            f"{', '.join(missing)}: not set, and dbt needs it for the target snowflake; set it and run again."
        )
    environment |= {name: value for name, value in values.items() if value}
    if passphrase:
        environment["CXM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"] = passphrase.get_secret_value()
    return environment


def handoff(
    project: Path, source_name: str, environment: Mapping[str, str], workdir: Path, timeout: float = FRESHNESS_SECONDS
) -> HandoffResult:
    """Run `dbt source freshness` for `source_name` and return each table's age; the flow decides what stale data stops.

    `project` is the dbt project's folder, `environment` what `dbt_environment` gives, `workdir` a folder for dbt's target and
    logs, `timeout` in seconds.

    Raises:
        InfrastructureError: dbt did not start, did not end in time, wrote no result, or could read not one table.
        ConfigurationError: the project has no source of that name with a freshness rule.
    """
    started = time.monotonic()
    run = _run(
        project,
        ["--no-populate-cache", "source", "freshness", "--select", f"source:{source_name}"],
        environment,
        workdir,
        "sources.json",
        timeout,
    )
    # dbt's sources.json leaves out each table whose query failed, so the manifest says which ones were asked for.
    manifest = json.loads((workdir / "target" / "manifest.json").read_text(encoding="utf-8"))
    asked = {
        node_id: node["name"]
        for node_id, node in manifest["sources"].items()
        if node["source_name"] == source_name and node["freshness"]
    }
    if not asked:
        raise ConfigurationError(
            f"{project}: dbt knows no source {source_name} with a freshness rule; run `cxm contract sync`, which writes it."
        )
    found = {result["unique_id"]: result for result in run.document["results"]}
    sources = tuple(_freshness(name, found.get(node_id), run.said(node_id)) for node_id, name in sorted(asked.items()))
    if all(source.status == "runtime error" for source in sources):
        raise InfrastructureError(
            f"dbt could read none of the {len(sources)} tables of source {source_name}; first of them, {sources[0].table}: "
            f"{sources[0].message}. Check that the warehouse answers and that RAW is provisioned (`cxm doctor`)."
        )
    return HandoffResult(sources, time.monotonic() - started)


def build(
    project: Path,
    environment: Mapping[str, str],
    workdir: Path,
    select: str | None = None,
    timeout: float = BUILD_SECONDS,
) -> BuildResult:
    """Run `dbt build` (all, or what dbt's selector `select` names) and return its counts; a failing node raises nothing.

    Raises:
        InfrastructureError: dbt did not start, did not end in time, wrote no result, or failed outside its nodes.
    """
    started = time.monotonic()
    arguments = ["build", *(["--select", select] if select else [])]
    run = _run(project, arguments, environment, workdir, "run_results.json", timeout)
    groups: dict[str, int] = {"pass": 0, "warn": 0, "error": 0, "skip": 0}
    problems: list[tuple[str, str]] = []
    for result in run.document["results"]:
        if result["status"] == "no-op":  # an exposure: there is nothing to build
            continue
        group = {"success": "pass", "pass": "pass", "warn": "warn", "skipped": "skip"}.get(result["status"], "error")
        groups[group] += 1
        if group in ("warn", "error"):
            problems.append((result["unique_id"], " ".join((result["message"] or result["status"]).split())))
    if run.code != 0 and not groups["error"]:
        raise InfrastructureError(
            f"dbt build ended with exit code {run.code} though no node failed. dbt said: {run.said()}"
        )
    return BuildResult(
        groups["pass"], groups["warn"], groups["error"], groups["skip"], tuple(problems), time.monotonic() - started
    )


def document(
    project: Path, environment: Mapping[str, str], workdir: Path, folder: Path, timeout: float = FRESHNESS_SECONDS
) -> Path:
    """Run `dbt docs generate` and put its page, which needs no other file, into `folder` as index.html; the page's path.

    Raises:
        InfrastructureError: dbt did not start, did not end in time, or wrote no catalog.
    """
    run = _run(project, ["docs", "generate", "--static"], environment, workdir, "catalog.json", timeout)
    if run.code != 0:
        raise InfrastructureError(f"dbt docs generate ended with exit code {run.code}. dbt said: {run.said()}")
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    page.write_bytes((workdir / "target" / "static_index.html").read_bytes())
    return page


def compiled(project: Path, workdir: Path, timeout: float = FRESHNESS_SECONDS) -> dict[str, Any]:
    """dbt's manifest with the SQL of every model and snapshot, as it is for a build from nothing; asks no warehouse.

    Raises:
        InfrastructureError: dbt did not start, did not end in time, or wrote no manifest.
        ConfigurationError: dbt cannot read the project or a model of it.
    """
    offline = ["--target", "embedded", "--full-refresh", "--no-introspect", "--no-populate-cache"]
    arguments = ["compile", *offline, "--select", "resource_type:model", "resource_type:snapshot"]
    run = _run(project, arguments, {"CXM_TARGET": "embedded"}, workdir, "manifest.json", timeout)
    if run.code != 0:
        raise ConfigurationError(f"{project}: dbt compile ended with exit code {run.code}. dbt said: {run.said()}")
    return run.document


def _freshness(table: str, result: Mapping[str, Any] | None, message: str) -> SourceFreshness:
    if result is None or result["status"] == "runtime error":
        return SourceFreshness(table, "runtime error", None, None, None, None, message or "dbt gave no reason")
    criteria = result["criteria"]
    # dbt writes the year 1 where a table has no row to take an age from.
    empty = str(result["max_loaded_at"]).startswith("0001-01-01")
    return SourceFreshness(
        table,
        "never loaded" if empty else cast(FreshnessStatus, result["status"]),
        None if empty else result["max_loaded_at"],
        None if empty else float(result["max_loaded_at_time_ago_in_s"]),
        _limit(criteria.get("warn_after")),
        _limit(criteria.get("error_after")),
    )


def _limit(limit: Mapping[str, Any] | None) -> str | None:
    return f"{limit['count']} {limit['period']}" if limit and limit.get("count") is not None else None


@dataclass(frozen=True, slots=True)
class _Run:
    """dbt run to its end: its artifact, its exit code, and (node, message) of each error; node "" where none is meant."""

    document: dict[str, Any]
    code: int
    errors: tuple[tuple[str, str], ...]

    def said(self, node_id: str = "") -> str:
        """dbt's messages on one node, or all of them."""
        return " ".join(message for node, message in self.errors if node_id in ("", node))


def _run(
    project: Path, arguments: list[str], environment: Mapping[str, str], workdir: Path, artifact: str, timeout: float
) -> _Run:
    target, logs = workdir / "target", workdir / "logs"
    target.mkdir(parents=True, exist_ok=True)
    result = target / artifact
    result.unlink(missing_ok=True)  # an old one would be read as this run's when dbt fails early
    command = [
        "--log-format",
        "json",
        "--log-format-file",
        "text",
        "--no-use-colors-file",
        "--no-version-check",
        *arguments,
    ]
    command += ["--project-dir", str(project), "--profiles-dir", str(project)]
    command += ["--target-path", str(target), "--log-path", str(logs)]
    output, code = run_dbt(command, environment, workdir, timeout)
    run = _Run({}, code, tuple(_errors(output)))
    if not result.exists():
        raise InfrastructureError(
            f"dbt {' '.join(arguments)} ended with exit code {code} and wrote no {artifact}; its log is in {logs}. "
            f"dbt said: {run.said()}"
        )
    return replace(run, document=json.loads(result.read_text(encoding="utf-8")))


def _errors(output: str) -> Iterator[tuple[str, str]]:
    """(node, message) of what dbt logged as an error, and of each line that is none of its log, as a traceback."""
    for line in output.splitlines():
        try:
            event = json.loads(line)
            level, message, data = event["info"]["level"], event["info"]["msg"], event["data"]
        except (ValueError, TypeError, KeyError):
            if line.strip():
                yield "", line.strip()
            continue
        if level == "error":
            yield data.get("node_info", {}).get("unique_id", ""), " ".join(message.split())
