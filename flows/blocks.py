"""Settings → plain clients, through the prefect-aws and prefect-snowflake blocks.

A block named by a flow's parameter, `CXM_AWS_BLOCK` (AwsCredentials) or `CXM_SNOWFLAKE_BLOCK` (SnowflakeConnector) is loaded from
the Prefect server; otherwise one is made in memory from settings, for the embedded stack with its endpoint, for an account with
its key pair. `cxm blocks register` saves what is made here.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from prefect_aws import AwsCredentials
from prefect_aws.client_parameters import AwsClientParameters
from pydantic import Field, SecretBytes, SecretStr

from flows import lease
from flows.clients.private_key import read_private_key
from flows.clients.s3 import CLIENT_CONFIG, insistent
from flows.clients.snowflake import explain, run, session_parameters
from flows.contract.sql import literal
from flows.errors import ConfigurationError, CxmError
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings

# The package imports its worker for Snowpark Container Services, and that the whole client of Snowflake's REST API: three seconds
# of every start. Whoever wants that worker imports its module, which is found then.
_SPCS = "prefect_snowflake.experimental.workers.spcs"
_stand_in = sys.modules.setdefault(_SPCS, ModuleType(_SPCS))
from prefect_snowflake import SnowflakeConnector, SnowflakeCredentials  # noqa: E402

if _stand_in.__spec__ is None:
    del sys.modules[_SPCS]

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from snowflake.connector import SnowflakeConnection

# Every connection of a run asks for its block; a rotated key reaches a long-lived Dask worker after this long.
BLOCK_SECONDS = 300.0


_lock = threading.Lock()
_loaded: dict[tuple[str, str], tuple[Any, float]] = {}  # (block type, name) → the block, until when it is current
_s3_clients: dict[AwsCredentials, Any] = {}
_live: dict[int, int] = {}  # connections in use → their Snowflake session ids
# Open connections that no task uses, by what they were opened for.
_kept: defaultdict[tuple[str | None, ...], deque[SnowflakeConnection]] = defaultdict(deque)


class SnowflakeEndpointCredentials(SnowflakeCredentials):  # type: ignore[misc]  # the package has no types
    """Snowflake credentials for an endpoint that is not `<account>.snowflakecomputing.com`: the embedded warehouse.

    `SnowflakeCredentials` passes every field on to `snowflake.connector.connect`, which knows these three.
    """

    _block_type_name = "Snowflake Endpoint Credentials"
    _block_type_slug = "snowflake-endpoint-credentials"

    host: str = Field(default=..., description="Host name or address of the endpoint.")
    port: int = Field(default=..., description="TCP port of the endpoint.")
    protocol: str = Field(default="http", description="http or https.")


def load(kind: Any, name: str, fix: str = "`cxm blocks register` saves it") -> Any:
    """The block of a type; one that was loaded within `BLOCK_SECONDS` is not asked for again.

    Raises:
        ConfigurationError: there is no such block.
    """
    key = (kind.get_block_type_slug(), name)
    loaded, until = _loaded.get(key, (None, 0.0))
    if time.monotonic() < until:
        return loaded
    try:
        loaded = kind.load(name, _sync=True)
        _loaded[key] = loaded, time.monotonic() + BLOCK_SECONDS
        return loaded
    except ValueError as error:
        raise ConfigurationError(f"block {key[0]}/{name}: not found on this Prefect server; {fix}") from error


def s3_client(settings: Settings) -> S3Client:
    """The process's one S3 client for these settings; boto3 clients may be shared across threads, making one is slow. Another
    key in its block makes another client, `BLOCK_SECONDS` later at most.

    Raises:
        ConfigurationError: no stack runs in an embedded home.
    """
    name = settings.aws_block
    with _lock:
        credentials = load(AwsCredentials, name) if name else aws_credentials(settings)
        if credentials not in _s3_clients:
            _s3_clients[credentials] = insistent(credentials.get_s3_client())
        return cast("S3Client", _s3_clients[credentials])


def sqs_client(settings: Settings) -> Any:
    """An SQS client with the login of `s3_client`."""
    name = settings.aws_block
    session: Any = (load(AwsCredentials, name) if name else aws_credentials(settings)).get_boto3_session()
    return session.client("sqs", region_name=settings.aws_region)


def aws_credentials(settings: Settings) -> AwsCredentials:
    """An AwsCredentials block made from settings: the embedded object store's, or the AWS SDK's own chain."""
    endpoint = settings.stack["s3"]["endpoint"] if settings.target == "embedded" else None
    parameters = AwsClientParameters(
        endpoint_url=endpoint, config={**CLIENT_CONFIG, "s3": {"addressing_style": "path" if endpoint else "auto"}}
    )
    if endpoint is None:  # the AWS SDK's own chain: instance role, SSO, environment
        return AwsCredentials(region_name=settings.aws_region, aws_client_parameters=parameters)
    access_key, secret = settings.s3_identity
    return AwsCredentials(
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        region_name=settings.aws_region,
        aws_client_parameters=parameters,
    )


def snowflake_credentials(settings: Settings) -> SnowflakeCredentials:
    """The login: that of a named SnowflakeConnector block, the embedded warehouse's, or a service user with a key pair.

    Raises:
        ConfigurationError: there is no such block; or account, user or key is missing; the message names the variable.
    """
    if settings.snowflake_block:
        # A connector keeps its credentials' own fields as extras, so this one login serves the embedded endpoint as well.
        return _readable(cast(SnowflakeCredentials, load(SnowflakeConnector, settings.snowflake_block).credentials))
    if settings.target == "embedded":
        warehouse = settings.stack["warehouse"]
        user, password = next(iter(settings.warehouse_logins.items()))
        return SnowflakeEndpointCredentials(
            account="cxm-embedded",
            user=user,
            password=password,
            host=warehouse["host"],
            port=warehouse["port"],
            protocol="http",  # said outright: get_client passes on only the fields that were set
        )
    missing = [
        f"CXM_{name.upper()}"
        for name in ("snowflake_account", "snowflake_user", "snowflake_private_key")
        if getattr(settings, name) is None
    ]
    if missing:
        raise ConfigurationError(
            f"{', '.join(missing)}: not set; the snowflake target logs in with a key pair: set them, or name a Prefect block in "
            "CXM_SNOWFLAKE_BLOCK"
        )
    passphrase = settings.snowflake_private_key_passphrase
    key = read_private_key(
        cast(SecretStr, settings.snowflake_private_key).get_secret_value(),
        passphrase.get_secret_value() if passphrase else None,
    )
    return SnowflakeCredentials(
        account=settings.snowflake_account or "",
        user=settings.snowflake_user,
        private_key=SecretBytes(key.pem.encode()),
        private_key_passphrase=SecretStr(key.passphrase) if key.passphrase else None,
    )


def _readable(credentials: SnowflakeCredentials) -> SnowflakeCredentials:
    """The login with its key, if it has one, as `read_private_key` leaves it: a form in the Prefect UI keeps no line ends."""
    path, text = credentials.private_key_path, credentials.private_key
    if path is None and text is None:
        return credentials
    try:
        found = path.read_text() if path else cast(SecretBytes, text).get_secret_value().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"private key of the SnowflakeCredentials block: {path or ''} {error}") from None
    passphrase = credentials.private_key_passphrase
    key = read_private_key(found, passphrase.get_secret_value() if passphrase else None)
    return credentials.model_copy(
        update={
            "private_key": SecretBytes(key.pem.encode()),
            "private_key_path": None,
            "private_key_passphrase": SecretStr(key.passphrase) if key.passphrase else None,
        }
    )


def with_login(settings: Settings) -> Settings:
    """`settings` with the login's account, user and key, as `read_private_key` leaves it, for what takes variables: dbt."""
    if settings.target == "embedded":
        return settings
    credentials = snowflake_credentials(settings)
    key, passphrase = credentials.private_key, credentials.private_key_passphrase
    return settings.model_copy(
        update={
            "snowflake_account": credentials.account,
            "snowflake_user": credentials.user,
            "snowflake_private_key": SecretStr(key.get_secret_value().decode()) if key else None,
            "snowflake_private_key_passphrase": passphrase,
        }
    )


@contextmanager
def snowflake(
    settings: Settings, role: str, tag: Mapping[str, str], kept: bool = False
) -> Iterator[SnowflakeConnection]:
    """One connection; `tag` goes into the session's JSON query tag.

    It is closed at the end of the block. With `kept` it stays open for the next block of this process with `kept`, until
    `close_kept`: a login costs about a second on Snowflake, and a task for each table would pay for one each.

    Raises:
        ConfigurationError, InfrastructureError: the login failed; the message says why.
    """
    shelf = _kept[str(settings.home), role, settings.database, settings.warehouse, settings.snowflake_block]
    connection = (_from(shelf, tag) if kept else None) or _log_in(settings, role, tag)
    key = id(connection)
    _live[key] = connection.session_id
    whole = False
    try:
        yield connection
        whole = True
    finally:
        del _live[key]
        if kept and whole:
            shelf.append(connection)
        else:
            connection.close()


def close_kept() -> None:
    """Close the connections that are kept for later."""
    for shelf in list(_kept.values()):
        while shelf:
            shelf.pop().close()


def _from(shelf: deque[SnowflakeConnection], tag: Mapping[str, str]) -> SnowflakeConnection | None:
    """A kept connection whose session still lives, now with this tag."""
    while True:
        try:
            connection = shelf.pop()
        except IndexError:
            return None
        try:
            run(connection, f"ALTER SESSION SET QUERY_TAG = {literal(session_parameters(tag)['QUERY_TAG'])}")
        except CxmError:  # the session has ended meanwhile
            connection.close()
        else:
            return connection


def _log_in(settings: Settings, role: str, tag: Mapping[str, str]) -> SnowflakeConnection:
    credentials = snowflake_credentials(settings)
    try:
        return credentials.get_client(
            role=role,
            warehouse=settings.warehouse,
            database=settings.database,
            schema="RAW",
            session_parameters=session_parameters(tag),
            paramstyle="numeric",  # values travel beside the text, the server binds them
            login_timeout=60,
            platform_detection_timeout_seconds=0,  # or every login asks the cloud's metadata addresses where it runs
            network_timeout=600 if settings.target == "snowflake" else 120,
            client_session_keep_alive=True,
        )
    except Exception as error:
        raise explain(error, "login") from error


@contextmanager
def ledger(settings: Settings, source_name: str, tag: Mapping[str, str], kept: bool = False) -> Iterator[Ledger]:
    """The ledger of a source as the loader, over a connection as `snowflake` makes it.

    Raises:
        ConfigurationError, InfrastructureError: the login failed; the message says why.
    """
    with snowflake(settings, settings.loader_role, tag, kept) as connection:
        yield Ledger(connection, settings.database, source_name)


@contextmanager
def holding(
    settings: Settings, source_name: str, tag: Mapping[str, str], info: RunInfo
) -> Iterator[tuple[Ledger, RunInfo]]:
    """The ledger of a source, whose lease is held and renewed until the block ends, and the run with its token.

    Raises:
        BusyError: another run works on this source, or took over.
        ConfigurationError, InfrastructureError: as `ledger`.
    """
    with ledger(settings, source_name, tag) as opened, lease.holding(opened, info, settings.lease_minutes) as holder:

        def beat() -> AbstractContextManager[Ledger]:
            return ledger(settings, source_name, {"step": "heartbeat"})

        with lease.Heartbeat(beat, holder, settings.lease_minutes, lambda _: cancel_statements(settings)):
            yield opened, holder


def cancel_statements(settings: Settings) -> None:
    """Cancel what runs on every open connection of this process: their threads get Snowflake's 000604 and end.

    https://docs.snowflake.com/en/sql-reference/functions/system_cancel_all_queries
    """
    sessions = list(_live.values())
    if sessions:
        with snowflake(settings, settings.loader_role, {"step": "cancel"}) as connection:
            for session in sessions:
                run(connection, f"SELECT SYSTEM$CANCEL_ALL_QUERIES({int(session)})")
