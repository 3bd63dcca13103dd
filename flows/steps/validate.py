"""Rows of one batch in RAW → verdict and Data Docs: the contract's suites, run by Great Expectations on the warehouse.

`expectations/` (committed) → `CXM_HOME/expectations` (working copy) → `raw_<source>` over the loaded tables → `Verdict`, and
`CXM_HOME/docs/data_docs/index.html`. The connection is set in memory only; of the rows only counts leave the warehouse.

One file: what is imported, shared and read back of Great Expectations is known nowhere else.
"""

from __future__ import annotations

import base64
import importlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.clients.snowflake import explain, session_parameters
from flows.contract.expectations import asset_query
from flows.contract.model import Severity, Source, Table
from flows.contract.render_expectations import (
    DATA_SOURCE,
    DOCS_SITE,
    RESULT_FORMAT,
    asset_name,
    checkpoint_name,
)
from flows.errors import ConfigurationError, CxmError, InfrastructureError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from flows.settings import Settings

log = logging.getLogger("flows.validate")

# Tables side by side: what they wait for is the network.
WORKERS = 4

_SECRET = "CXM_VALIDATE_SECRET"

# Data Docs fetch their logo from the vendor, with this project's id and the time in the address.
_BEACON = re.compile(rb"https://great-expectations-web-assets\.[^\"')]*")


@dataclass(frozen=True, slots=True)
class WarehouseConnection:
    """Where and as whom to log in; either a password or a private key (unencrypted PKCS#8, DER)."""

    account: str
    user: str
    role: str
    warehouse: str
    database: str
    host: str | None = None
    port: int | None = None
    protocol: str | None = None
    password: SecretStr | None = None
    private_key: bytes | None = field(default=None, repr=False)
    session_parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleFailure:
    """One rule that rows broke. `observed` tells in words; `unexpected_count` is rows, 0 for a rule that is not on rows."""

    rule: str
    column: str | None
    observed: str
    unexpected_count: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class TableVerdict:
    """What the rules said of one table (its name in the contract); `evaluated` counts the rules that were judged."""

    table: str
    success: bool  # no error-severity failure
    error_failures: tuple[RuleFailure, ...]
    warnings: tuple[RuleFailure, ...]
    evaluated: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checkpoint said of a batch."""

    batch_id: str
    tables: tuple[TableVerdict, ...]
    docs_index: Path

    @property
    def passed(self) -> bool:
        """No rule of error severity failed; warnings do not count."""
        return all(table.success for table in self.tables)


def warm() -> None:
    """Have Great Expectations imported by the time it is needed; returns at once."""
    threading.Thread(target=importlib.import_module, args=("great_expectations",), daemon=True).start()


def connection_from(credentials: Any, settings: Settings, tag: Mapping[str, str] | None = None) -> WarehouseConnection:
    """The login that a prefect-snowflake credentials block and the settings give; `tag` goes into the session's query tag.

    `host`, `port` and `protocol` are those of a block for an endpoint of its own, as the embedded warehouse's is.
    """
    return WarehouseConnection(
        account=credentials.account,
        user=credentials.user,
        role=settings.loader_role,
        warehouse=settings.warehouse,
        database=settings.database,
        host=getattr(credentials, "host", None),
        port=getattr(credentials, "port", None),
        protocol=getattr(credentials, "protocol", None),
        password=credentials.password,
        private_key=credentials.resolve_private_key(),
        session_parameters=session_parameters({"step": "validate", **(tag or {})}),
    )


def validate(
    source: Source,
    tables: Sequence[Table],
    batch_id: str,
    project: Path,
    workdir: Path,
    connection: WarehouseConnection,
    docs_dir: Path,
) -> Verdict:
    """Judge the rows of `batch_id` in the RAW tables `tables` by their suites, and build their Data Docs.

    Args:
        project: the committed project (`expectations/`); it is only read.
        workdir: the working copy, refreshed from `project`; results are kept under it.
        docs_dir: the directory that is served; pages go to `data_docs/` in it.

    Raises:
        ConfigurationError: the project has no suite for a table (it is older than the contract), or the login, a table or a
            grant is missing.
        InfrastructureError: the warehouse was not reached, or a rule could not be evaluated though the columns are there.
    """
    from great_expectations.core.run_identifier import RunIdentifier

    if not tables:
        raise ConfigurationError(f"batch {batch_id}: no table to validate; wanted those that the batch loaded")
    _refresh(project / "gx", workdir / "gx")
    docs = docs_dir / DOCS_SITE
    run_id = RunIdentifier(run_name=batch_id, run_time=datetime.now(UTC))
    # A data source hands its newest engine to whoever asks, so threads that shared one would mix up sessions and their
    # temporary tables: each thread has a context of its own. A context must be the newest while definitions are read from it.
    shares = []
    for start in range(min(WORKERS, len(tables))):
        context = _open(workdir, connection, docs)
        shares.append([(table, _definition(context, source, table, batch_id)) for table in tables[start::WORKERS]])
    checkpoint_id = context.checkpoints.get(checkpoint_name(source)).id

    def judge(share: list[tuple[Table, Any]]) -> list[TableVerdict]:
        engine = _share_engine([definition for _, definition in share])
        try:
            return [_verdict(table, _run(definition, run_id, checkpoint_id)) for table, definition in share]
        finally:
            # Ends the session, and its temporary tables with it; GX leaves that to the garbage collector.
            type(engine).dispose(engine)

    with ThreadPoolExecutor(len(shares), "validate") as pool:
        verdicts = {verdict.table: verdict for share in pool.map(judge, shares) for verdict in share}
    _build_docs(context, run_id, [asset_name(table) for table in tables], docs)
    return Verdict(batch_id, tuple(verdicts[table.name] for table in tables), docs / "index.html")


def _open(workdir: Path, connection: WarehouseConnection, docs: Path) -> Any:
    """The working copy as a context that logs in as `connection` says and publishes to `docs`: in memory, nothing is saved."""
    import great_expectations as gx

    context = gx.get_context(mode="file", project_root_dir=workdir, runtime_environment=_secrets(connection))
    _connect(context.data_sources.get(DATA_SOURCE), connection)
    _fetch_no_values()
    sites = context.variables.data_docs_sites
    sites[DOCS_SITE]["store_backend"]["base_directory"] = str(docs)
    context.variables.data_docs_sites = sites
    context.variables.progress_bars = {"globally": False}
    return context


def _definition(context: Any, source: Source, table: Table, batch_id: str) -> Any:
    """The validation definition of a table, bound to the batch."""
    from great_expectations.exceptions import DataContextError

    try:
        # In memory only. The committed query finds the newest batch; a run must judge its own, whatever came since.
        context.data_sources.get(DATA_SOURCE).get_asset(asset_name(table)).query = asset_query(source, table, batch_id)
        return context.validation_definitions.get(asset_name(table))
    except (DataContextError, LookupError) as error:
        raise ConfigurationError(
            f"{context.root_directory}: no asset or validation definition {asset_name(table)}; run `cxm contract sync`"
        ) from error


def _run(definition: Any, run_id: Any, checkpoint_id: str) -> dict[str, Any]:
    """The result of a table's rules, in GX's JSON form."""
    try:
        result = definition.run(checkpoint_id=checkpoint_id, run_id=run_id, result_format=dict(RESULT_FORMAT))
    except Exception as error:
        raise _explained(error, f"validation of {definition.name}") from error
    answer: dict[str, Any] = result.to_json_dict()
    return answer


def _explained(error: BaseException, what: str) -> CxmError:
    """The error of ours for what GX raised: it wraps the driver's errors in classes of its own, sometimes several deep."""
    inner: BaseException | None = error
    while inner is not None:
        origin = getattr(inner, "orig", None) or inner
        if isinstance(origin, Exception) and isinstance(found := explain(origin, what), CxmError):
            return found
        inner = inner.__cause__ or inner.__context__
    return InfrastructureError(f"{what} broke off: {error}; look at the warehouse and run again")


def _verdict(table: Table, result: Mapping[str, Any]) -> TableVerdict:
    evaluated, broken, failures = 0, [], []
    for entry in result["results"]:
        if raised := _raised(entry["exception_info"]):
            broken.append((entry["expectation_config"]["meta"]["rule"], raised))
            continue
        evaluated += 1
        if not entry["success"]:
            failures.append(_failure(entry))
    if broken and not any(f.rule.endswith(".column_set") for f in failures):
        rule, message = broken[0]
        raise InfrastructureError(
            f"{table.raw_name}: {len(broken)} rules could not be evaluated, first {rule}: {message}; look at the warehouse "
            "and run again"
        )
    errors = tuple(f for f in failures if f.severity == "error")
    warnings = tuple(f for f in failures if f.severity == "warning")
    return TableVerdict(table.name, not errors, errors, warnings, evaluated)


def _failure(entry: Mapping[str, Any]) -> RuleFailure:
    meta, result = entry["expectation_config"]["meta"], entry["result"]
    count = int(result.get("unexpected_count") or 0)
    if "unexpected_count" in result:
        observed = f"{count} of {result['element_count']} rows"
    elif meta["rule"].endswith((".column_set", ".column_order")):
        kwargs = entry["expectation_config"]["kwargs"]
        observed = _difference(kwargs.get("column_set") or kwargs["column_list"], result["observed_value"])
    elif entry["expectation_config"]["type"] == "unexpected_rows_expectation":
        count = int(result["observed_value"])
        observed = f"{count} rows"
    else:
        observed = f"{result['observed_value']} rows"
    return RuleFailure(meta["rule"], ", ".join(meta["columns"]) or None, observed, count, meta["severity"])


def _difference(wanted: Sequence[str], found: Sequence[str]) -> str:
    missing, extra = set(wanted) - set(found), set(found) - set(wanted)
    parts = [
        f"{word} {', '.join(sorted(names)).upper()}"
        for word, names in (("missing", missing), ("extra", extra))
        if names
    ]
    return "; ".join(parts) or f"order {', '.join(found).upper()}"


def _raised(info: Mapping[str, Any]) -> str:
    """The first exception in what GX reports: one record for the expectation, or one for each of its metrics."""
    records = [info] if "raised_exception" in info else list(info.values())
    return next((str(r["exception_message"]) for r in records if r["raised_exception"]), "")


def _secrets(connection: WarehouseConnection) -> dict[str, str]:
    """The secret as a variable that the data source names: the object that GX could save never holds the value itself."""
    if connection.private_key is not None:
        return {_SECRET: base64.standard_b64encode(connection.private_key).decode()}
    if connection.password is not None:
        return {_SECRET: connection.password.get_secret_value().replace("$", r"\$")}
    raise ConfigurationError(
        f"user {connection.user}: neither a private key nor a password; set CXM_SNOWFLAKE_PRIVATE_KEY"
    )


def _connect(datasource: Any, connection: WarehouseConnection) -> None:
    """Point the data source at `connection`."""
    from great_expectations.datasource.fluent.snowflake_datasource import ConnectionDetails, KeyPairConnectionDetails

    login = {
        "account": connection.account,
        "user": connection.user,
        "database": connection.database,
        "schema": datasource.connection_string.schema_,
        "warehouse": connection.warehouse,
        "role": connection.role,
    }
    if connection.private_key is not None:
        datasource.connection_string = KeyPairConnectionDetails(**login, private_key=f"${{{_SECRET}}}")
    else:
        datasource.connection_string = ConnectionDetails(**login, password=f"${{{_SECRET}}}")
    endpoint: dict[str, object] = {"host": connection.host, "port": connection.port, "protocol": connection.protocol}
    arguments = {name: value for name, value in endpoint.items() if value is not None}
    arguments |= {
        "login_timeout": 60,
        "platform_detection_timeout_seconds": 0,
        "network_timeout": 600,
        "session_parameters": dict(connection.session_parameters),
    }
    datasource.kwargs = {"connect_args": arguments}


def _share_engine(definitions: Sequence[Any]) -> Any:
    """One engine, which is one session, for all of them; GX would log in anew for each.

    Nothing here needs a transaction, and SQLAlchemy would end one after each query with a statement of its own: so the session
    commits by itself. GX passes no option on to the engine that says so.
    """
    sources = [definition.data.data_asset.datasource for definition in definitions]
    engine = sources[0].get_engine()
    engine.dialect._on_connect_isolation_level = "AUTOCOMMIT"
    engine.dialect.do_commit = engine.dialect.do_rollback = lambda _: None
    engine.dispose = lambda: None  # GX disposes of it as soon as it has forgotten the first table
    for source in sources:
        source._engine, source._cached_connection_string = engine, source.connection_string
    return engine


def _fetch_no_values() -> None:
    """Where a result keeps none of the values that broke a rule, do not query for them: GX would with LIMIT 0, rule by rule."""
    from great_expectations.expectations.registry import _registered_metrics

    engine = "SqlAlchemyExecutionEngine"
    for name, metric in _registered_metrics.items():
        if not name.endswith(".unexpected_values") or engine not in metric["providers"]:
            continue
        owner, provider = metric["providers"][engine]
        if not hasattr(provider, "__wrapped__"):
            metric["providers"][engine] = owner, _unless_none_are_kept(provider)


def _unless_none_are_kept(provider: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(provider)
    def values(
        cls: Any, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **rest: Any
    ) -> Any:
        if not metric_value_kwargs["result_format"]["partial_unexpected_count"]:
            return []
        return provider(cls, execution_engine, metric_domain_kwargs, metric_value_kwargs, **rest)

    return values


def _build_docs(context: Any, run_id: Any, suites: Sequence[str], docs: Path) -> None:
    """Pages for this run's results and suites and a new index; the pages of earlier runs stay as they are."""
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    identifiers: list[Any] = [ExpectationSuiteIdentifier(name) for name in suites]
    identifiers += [
        ValidationResultIdentifier(ExpectationSuiteIdentifier(name), run_id, f"{DATA_SOURCE}-{name}") for name in suites
    ]
    context.build_data_docs(site_names=[DOCS_SITE], resource_identifiers=identifiers)
    pages = ["index.html", "static/styles/*.css", "expectations/*.html", f"validations/*/{run_id.run_name}/*/*.html"]
    for page in (page for pattern in pages for page in docs.glob(pattern)):
        text = page.read_bytes()
        depth = len(page.relative_to(docs).parts) - 1
        local = _BEACON.sub(b"../" * depth + b"static/images/logo-long.png", text)
        if local != text:
            page.write_bytes(local)


def _refresh(committed: Path, copy: Path) -> None:
    """Make `copy` hold what `committed` holds, leaving alone what is equal and what a run writes (`uncommitted/`)."""
    if not (committed / "great_expectations.yml").is_file():
        raise ConfigurationError(
            f"{committed}/great_expectations.yml: not found; wanted the derived project, run `cxm contract sync`"
        )
    wanted = {p.relative_to(committed) for p in _project_files(committed)}
    for path in wanted:
        data = (committed / path).read_bytes()
        target = copy / path
        if not target.is_file() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not at all: another run of this home may be reading.
            part = target.with_name(f".{target.name}.{os.getpid()}")
            part.write_bytes(data)
            part.replace(target)
    for stale in {p.relative_to(copy) for p in _project_files(copy)} - wanted:
        (copy / stale).unlink(missing_ok=True)


def _project_files(root: Path) -> Iterator[Path]:
    for directory in ("expectations", "validation_definitions", "checkpoints"):
        yield from (root / directory).glob("*.json")
    yield root / "great_expectations.yml"
