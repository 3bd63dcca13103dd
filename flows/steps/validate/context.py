"""Opens a working copy of the Great Expectations project with the run's login, and one warehouse session for several tables.

`expectations/` → `CXM_HOME/expectations` → context → the warehouse. The connection is set in memory only.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.clients.snowflake import session_parameters
from flows.contract.render_expectations import DATA_SOURCE, DOCS_SITE
from flows.errors import ConfigurationError
from flows.steps.validate.loading import load

if TYPE_CHECKING:
    from pydantic import SecretStr

    from flows.settings import Settings

_SECRET = "CXM_VALIDATE_SECRET"


@dataclass(frozen=True, slots=True)
class WarehouseConnection:
    """A login; either a password or a private key (unencrypted PKCS#8, DER)."""

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


def connection_from(credentials: Any, settings: Settings, tag: Mapping[str, str] | None = None) -> WarehouseConnection:
    """Return the login from a credentials block of prefect-snowflake and the settings; `tag` becomes the session's query tag.

    `host`, `port` and `protocol` are set if the block has its own endpoint, such as the embedded warehouse.
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


def opened(workdir: Path, connection: WarehouseConnection, docs: Path) -> Any:
    """Open the working copy as a context with this `connection`; its Data Docs go to `docs`. Nothing is saved."""
    context = load().get_context(mode="file", project_root_dir=workdir, runtime_environment=_secrets(connection))
    _connect(context.data_sources.get(DATA_SOURCE), connection)
    _fetch_no_values()
    sites = context.variables.data_docs_sites
    sites[DOCS_SITE]["store_backend"]["base_directory"] = str(docs)
    context.variables.data_docs_sites = sites
    context.variables.progress_bars = {"globally": False}
    return context


def _secrets(connection: WarehouseConnection) -> dict[str, str]:
    """Return the secret as a variable that the data source refers to, so that GX cannot save its value."""
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


def share_engine(definitions: Sequence[Any]) -> Any:
    """Share one engine, and so one session, among the contexts; GX would log in for each.

    No transaction is needed, and SQLAlchemy would send an extra statement after each query to end one: so the session
    autocommits, which GX has no option for.
    """
    sources = [definition.data.data_asset.datasource for definition in definitions]
    engine = sources[0].get_engine()
    engine.dialect._on_connect_isolation_level = "AUTOCOMMIT"
    engine.dialect.do_commit = engine.dialect.do_rollback = lambda _: None
    engine.dispose = lambda: None  # GX would dispose of it after the first table
    for source in sources:
        source._engine, source._cached_connection_string = engine, source.connection_string
    return engine


def _fetch_no_values() -> None:
    """Skip the queries for values that broke a rule if results keep none: GX would send one, with LIMIT 0, for every rule."""
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


def refresh(committed: Path, copy: Path) -> None:
    """Update `copy` from `committed`, except for equal files and those that a run writes (`uncommitted/`)."""
    if not (committed / "great_expectations.yml").is_file():
        raise ConfigurationError(
            f"{committed}/great_expectations.yml: not found; expected the derived project, run `cxm contract sync`"
        )
    expected = {p.relative_to(committed) for p in _project_files(committed)}
    for path in expected:
        data = (committed / path).read_bytes()
        target = copy / path
        if not target.is_file() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Atomically, because another run of this home may be reading it.
            part = target.with_name(f".{target.name}.{os.getpid()}")
            part.write_bytes(data)
            part.replace(target)
    for stale in {p.relative_to(copy) for p in _project_files(copy)} - expected:
        (copy / stale).unlink(missing_ok=True)


def _project_files(root: Path) -> Iterator[Path]:
    for directory in ("expectations", "validation_definitions", "checkpoints"):
        yield from (root / directory).glob("*.json")
    yield root / "great_expectations.yml"
