"""Opens clients and connections with the login of the settings, or with the one in a Prefect block (`flows.block_types`).

If a flow's parameter, `CXM_AWS_BLOCK` (AwsCredentials) or `CXM_SNOWFLAKE_BLOCK` (SnowflakeConnector) names a block, it is loaded
from the Prefect server. Otherwise the settings are enough (the embedded stack's endpoint, or an account's key pair), and
Prefect's packages are not imported.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, cast

from pydantic import SecretStr

from flows import lease
from flows.clients import login
from flows.clients.s3 import retry_truncated_headers
from flows.clients.snowflake import run, session_parameters, translate_error
from flows.contract.sql import literal
from flows.errors import CxmError
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from snowflake.connector import SnowflakeConnection

_lock = threading.Lock()
_s3_clients: dict[Any, Any] = {}  # by the block that they log in with, or by the S3 settings
_live: dict[int, int] = {}  # `id` of a connection in use → its Snowflake session id


class ConnectionPool:
    """Idle Snowflake connections by home, role, database, warehouse and block. Its methods are thread-safe."""

    def __init__(self) -> None:
        self._idle: defaultdict[tuple[str | None, ...], deque[SnowflakeConnection]] = defaultdict(deque)

    def take(self, key: tuple[str | None, ...], tag: Mapping[str, str]) -> SnowflakeConnection | None:
        """Return a connection whose session is still alive, with its query tag set; None if the pool has none."""
        while True:
            try:
                connection = self._idle[key].pop()
            except IndexError:
                return None
            try:
                run(connection, f"ALTER SESSION SET QUERY_TAG = {literal(session_parameters(tag)['QUERY_TAG'])}")
            except CxmError:  # the session has ended meanwhile
                connection.close()
            else:
                return connection

    def put(self, key: tuple[str | None, ...], connection: SnowflakeConnection) -> None:
        """Keep a connection for the next caller with the same key."""
        self._idle[key].append(connection)

    def close(self) -> None:
        """Close the connections in the pool."""
        for idle in list(self._idle.values()):
            while idle:
                idle.pop().close()


_pool = ConnectionPool()


def s3_client(settings: Settings) -> S3Client:
    """Return the process's shared S3 client for these settings, because boto3 clients are thread-safe and creating one is slow.
    If the key in the block changes, a new client is used after five minutes at most.

    Raises:
        ConfigurationError: the block does not exist, or no stack runs in an embedded home.
    """
    with _lock:
        key: Any
        if settings.aws_block:
            from flows import block_types

            key = block_types.load_aws(settings.aws_block)
            make = key.get_s3_client
        else:
            embedded = settings.target == "embedded"
            key = (settings.aws_region, *((settings.stack["s3"]["endpoint"], settings.s3_identity) if embedded else ()))

            def make() -> Any:
                return login.s3_client(settings)

        if key not in _s3_clients:
            _s3_clients[key] = retry_truncated_headers(make())
        return cast("S3Client", _s3_clients[key])


def aws_session(settings: Settings) -> Any:
    """Create a boto3 session with the login of `s3_client`."""
    if not settings.aws_block:
        return login.aws_session(settings)
    from flows import block_types

    return block_types.load_aws(settings.aws_block).get_boto3_session()


def sqs_client(settings: Settings) -> Any:
    """Create an SQS client with the login of `s3_client`."""
    return aws_session(settings).client("sqs", region_name=settings.aws_region)


def snowflake_credentials(settings: Settings) -> login.Login:
    """Return the Snowflake login: that of the named SnowflakeConnector block, of the embedded warehouse, or of a service user
    with a key pair.

    Raises:
        ConfigurationError: the block does not exist; or account, user or key is missing (the message names the variable).
    """
    if not settings.snowflake_block:
        return login.snowflake_login(settings)
    from flows import block_types

    # The block's credentials have the same attributes as Login.
    return cast(login.Login, block_types.load_snowflake(settings.snowflake_block))


def with_login(settings: Settings) -> Settings:
    """Return `settings` with the login's account, user and normalized key filled in, for dbt, which reads the environment."""
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
    settings: Settings, role: str, tag: Mapping[str, str], pooled: bool = False
) -> Iterator[SnowflakeConnection]:
    """Open a connection; `tag` becomes the session's JSON query tag.

    At the end of the `with` block the connection is closed. If `pooled` and no error was raised, it goes into a pool instead,
    until `close_pool`: a login takes about a second on Snowflake, and every task needs a connection.

    Raises:
        ConfigurationError, InfrastructureError: the login failed; the message says why.
    """
    like = (str(settings.home), role, settings.database, settings.warehouse, settings.snowflake_block)
    connection = (_pool.take(like, tag) if pooled else None) or _log_in(settings, role, tag)
    key = id(connection)
    _live[key] = connection.session_id
    whole = False
    try:
        yield connection
        whole = True
    finally:
        del _live[key]
        if pooled and whole:
            _pool.put(like, connection)
        else:
            connection.close()


def close_pool() -> None:
    """Close the connections in the pool."""
    _pool.close()


def _log_in(settings: Settings, role: str, tag: Mapping[str, str]) -> SnowflakeConnection:
    credentials = snowflake_credentials(settings)
    try:
        return credentials.get_client(
            role=role,
            warehouse=settings.warehouse,
            database=settings.database,
            schema="RAW",
            session_parameters=session_parameters(tag),
            paramstyle="numeric",  # values are sent separately and bound by the server
            login_timeout=60,
            platform_detection_timeout_seconds=0,  # otherwise every login queries the cloud's metadata endpoints
            network_timeout=600 if settings.target == "snowflake" else 120,
            client_session_keep_alive=True,
        )
    except Exception as error:
        raise translate_error(error, "login") from error


@contextmanager
def ledger(settings: Settings, source_name: str, tag: Mapping[str, str], pooled: bool = False) -> Iterator[Ledger]:
    """Open the ledger of a source, with the loader's role, over a connection from `snowflake`.

    Raises:
        ConfigurationError, InfrastructureError: the login failed; the message says why.
    """
    with snowflake(settings, settings.loader_role, tag, pooled) as connection:
        yield Ledger(connection, settings.database, source_name)


@contextmanager
def holding(
    settings: Settings, source_name: str, tag: Mapping[str, str], info: RunInfo
) -> Iterator[tuple[Ledger, RunInfo]]:
    """Hold and renew a source's lease during the `with` block; yields the source's ledger and the run with its token.

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
    """Cancel the statements on every open connection of this process; their threads get Snowflake's error 000604 and end.

    https://docs.snowflake.com/en/sql-reference/functions/system_cancel_all_queries
    """
    sessions = list(_live.values())
    if sessions:
        with snowflake(settings, settings.loader_role, {"step": "cancel"}) as connection:
            for session in sessions:
                run(connection, f"SELECT SYSTEM$CANCEL_ALL_QUERIES({int(session)})")
