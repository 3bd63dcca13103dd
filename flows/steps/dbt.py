"""The hand-off to dbt: runs `dbt source freshness` → `HandoffResult`, and `dbt docs generate` → one page.
If a run loaded nothing new, `ages` gives the same result from a query on the ledger, without dbt.
`dbt compile` gives the models' SQL to `cxm contract lineage`. The marts are built by `flows.steps.build`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import Any, Literal, cast

from flows.clients.dbt_project import prepare as prepare_project
from flows.clients.dbt_project import run as run_on
from flows.clients.snowflake import run as run_sql
from flows.contract.file_names import day_in
from flows.contract.model import Limits, Source, Table
from flows.contract.sql import literal, template
from flows.errors import ConfigurationError, InfrastructureError
from flows.ledger import Ledger
from flows.settings import Settings

FreshnessStatus = Literal["pass", "warn", "error", "runtime error", "never loaded"]

FRESHNESS_SECONDS = 600.0  # time limit of a few small queries


@dataclass(frozen=True, slots=True)
class SourceFreshness:
    """The age of one source table's last delivery, as measured by dbt. A table that is never late by its contract is left out.

    `max_loaded_at` is ISO 8601 in UTC; it and `age_seconds` are None if nothing was published ("never loaded") or the ledger
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
    optional: bool = False  # the table's file is optional


@dataclass(frozen=True, slots=True)
class HandoffResult:
    """The freshness of every table of a source, by table name."""

    sources: tuple[SourceFreshness, ...]
    seconds: float

    @property
    def never_loaded(self) -> bool:
        """Whether no table was ever loaded; such a source is not late."""
        return bool(self.sources) and all(s.status == "never loaded" for s in self.sources)

    @property
    def stale(self) -> tuple[SourceFreshness, ...]:
        """The tables that are not fresh: older than the error limit, of unknown age, or never published although
        other tables of the source were (except optional ones, since a batch is published as a whole)."""
        bad = ("error", "runtime error") if self.never_loaded else ("error", "runtime error", "never loaded")
        return tuple(s for s in self.sources if s.status in bad and not (s.optional and s.status == "never loaded"))

    @property
    def warned(self) -> tuple[SourceFreshness, ...]:
        """The tables older than their warning limit."""
        return tuple(s for s in self.sources if s.status == "warn")


def dbt_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that `profiles.yml` reads, from `settings`; secrets reach dbt only through them.

    Raises:
        ConfigurationError: the target is `snowflake` and the account, user or key is not set; or no embedded stack runs.
    """
    environment = {
        "CXM_TARGET": settings.target,
        "CXM_DATABASE": settings.database,
        "CXM_WAREHOUSE": settings.warehouse,
        "CXM_TRANSFORMER_ROLE": settings.transformer_role,
    }
    if settings.masking:
        environment["CXM_MASKING"] = "true"
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


def prepare(project: Path, environment: Mapping[str, str], workdir: Path) -> None:
    """Have dbt parse the project before the hand-off; returns at once. The arguments are those of `handoff`."""
    prepare_project(project, environment, workdir)


def handoff(
    project: Path,
    source_name: str,
    environment: Mapping[str, str],
    workdir: Path,
    timeout: float = FRESHNESS_SECONDS,
    optional: Collection[str] = (),
) -> HandoffResult:
    """Run `dbt source freshness` for `source_name` and return each table's age; the caller decides whether stale data fails.

    `project`: the dbt project's folder; `environment`: from `dbt_environment`; `workdir`: a folder for dbt's target and
    logs; `timeout`: in seconds; `optional`: the tables whose files are optional.

    Raises:
        InfrastructureError: dbt did not start, did not end in time, wrote no result, or could read no table.
        ConfigurationError: the project has no source of that name with a freshness rule.
    """
    started = time.monotonic()
    run = run_on(
        project,
        ["--no-populate-cache", "source", "freshness", "--select", f"source:{source_name}"],
        environment,
        workdir,
        "sources.json",
        timeout,
        alone=True,
    )
    # dbt's sources.json leaves out each table whose query failed, so this says which ones were asked for.
    asked = json.loads((workdir / "target" / "sources.json.asked").read_text(encoding="utf-8"))
    if not asked:
        raise ConfigurationError(
            f"{project}: dbt knows no source {source_name} with a freshness rule; run `cxm contract sync`, which writes it."
        )
    by_id = {result["unique_id"]: result for result in run.document["results"]}
    sources = tuple(
        replace(_freshness(name, by_id.get(node_id), run.said(node_id)), optional=name in optional)
        for node_id, name in sorted(asked.items())
    )
    if all(source.status == "runtime error" for source in sources):
        raise InfrastructureError(
            f"dbt could read none of the {len(sources)} tables of source {source_name}; first of them, {sources[0].table}: "
            f"{sources[0].message}. Check that the warehouse answers and that RAW is provisioned (`cxm doctor`)."
        )
    return HandoffResult(sources, time.monotonic() - started)


def ages(ledger: Ledger, source: Source) -> HandoffResult:
    """Return the result of `handoff` from one query on the ledger, with the contract's limits, from which dbt's are derived.

    Raises:
        ConfigurationError, InfrastructureError: the ledger could not be read.
    """
    started = time.monotonic()
    daily = ", ".join(literal(table.raw_name) for table in source.tables if table.daily)
    name = "DELIVERED.TABLE_NAME"
    day = f"CASE WHEN {name} IN ({daily}) THEN {day_in('DELIVERED.FILE_NAME')} END" if daily else name
    sql = template("ledger/last_deliveries.sql", database=ledger.database, day=day)
    delivered = {row["table_name"]: row for row in run_sql(ledger.connection, sql, (source.name,)).dicts()}
    limited = [(table, limits) for table in source.tables if (limits := source.limits(table))]
    sources = [_age(table, limits, delivered.get(table.raw_name)) for table, limits in limited]
    return HandoffResult(tuple(sorted(sources, key=lambda one: one.table)), time.monotonic() - started)


def _age(table: Table, limits: Limits, row: Mapping[str, Any] | None) -> SourceFreshness:
    """Return a table's freshness by dbt's rule: it is late above a limit, not at it."""
    seconds = (row["asked_at"] - row["last_delivery"]).total_seconds() if row else None
    status: FreshnessStatus = "never loaded"
    if seconds is not None:
        late = (seconds > 3600 * limits.warn_after_hours) + (seconds > 3600 * limits.error_after_hours)
        status = ("pass", "warn", "error")[late]
    return SourceFreshness(
        table.name,
        status,
        row["last_delivery"].replace(tzinfo=UTC).isoformat() if row else None,
        seconds,
        f"{limits.warn_after_hours} hour",
        f"{limits.error_after_hours} hour",
        optional=table.optional,
    )


def document(
    project: Path, environment: Mapping[str, str], workdir: Path, folder: Path, timeout: float = FRESHNESS_SECONDS
) -> Path:
    """Run `dbt docs generate` and write its self-contained page to `index.html` in `folder`; returns the page's path.

    Raises:
        InfrastructureError: dbt did not start, did not end in time, or wrote no catalog.
    """
    run = run_on(project, ["docs", "generate", "--static"], environment, workdir, "catalog.json", timeout)
    if run.code != 0:
        raise InfrastructureError(f"dbt docs generate ended with exit code {run.code}. dbt said: {run.said()}")
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    page.write_bytes((workdir / "target" / "static_index.html").read_bytes())
    return page


def compiled(project: Path, workdir: Path, timeout: float = FRESHNESS_SECONDS) -> dict[str, Any]:
    """Run `dbt compile` and return its manifest, with the SQL of every model and snapshot as for a full refresh; sends no query.

    Raises:
        InfrastructureError: dbt did not start, did not end in time, or wrote no manifest.
        ConfigurationError: dbt cannot read the project or a model of it.
    """
    offline = ["--target", "embedded", "--full-refresh", "--no-introspect", "--no-populate-cache"]
    arguments = ["compile", *offline, "--select", "resource_type:model", "resource_type:snapshot"]
    run = run_on(project, arguments, {"CXM_TARGET": "embedded"}, workdir, "manifest.json", timeout)
    if run.code != 0:
        raise ConfigurationError(f"{project}: dbt compile ended with exit code {run.code}. dbt said: {run.said()}")
    return run.document


def _freshness(table: str, result: Mapping[str, Any] | None, message: str) -> SourceFreshness:
    if result is None or result["status"] == "runtime error":
        return SourceFreshness(table, "runtime error", None, None, None, None, message or "dbt gave no reason")
    criteria = result["criteria"]
    # dbt writes the year 1 if a table has no row.
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
