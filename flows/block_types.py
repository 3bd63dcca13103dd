"""Loads prefect-aws and prefect-snowflake blocks by name, and makes those that `cxm blocks register` saves.

Import this module only if a block is named or made: the two packages and their imports take more than a second.
"""

from __future__ import annotations

import sys
import time
from types import ModuleType
from typing import Any, cast

from pydantic import Field, SecretBytes, SecretStr

from flows.clients import connector as connector  # before prefect-snowflake imports Snowflake's
from flows.clients.login import Login, s3_parameters
from flows.clients.private_key import read_private_key
from flows.errors import ConfigurationError
from flows.settings import Settings

# The packages import workers that the pipeline does not use: the one for Snowpark Container Services imports the whole client of
# Snowflake's REST API (three seconds of every start), the one for ECS imports aiobotocore and aiohttp (almost a second). To use
# such a worker, import its module, which registers it.
_WORKERS = ("prefect_snowflake.experimental.workers.spcs", "prefect_aws.workers")
_stand_ins = {name: ModuleType(name) for name in _WORKERS if name not in sys.modules}
for _module in _stand_ins.values():
    _module.ECSWorker = None  # type: ignore[attr-defined]
sys.modules.update(_stand_ins)
from prefect_aws import AwsCredentials, S3Bucket  # noqa: E402
from prefect_aws.client_parameters import AwsClientParameters  # noqa: E402
from prefect_snowflake import SnowflakeConnector, SnowflakeCredentials  # noqa: E402

for _name in _stand_ins:
    del sys.modules[_name]

__all__ = [
    "AwsCredentials", "S3Bucket", "SnowflakeConnector", "SnowflakeCredentials", "SnowflakeEndpointCredentials",
    "aws_credentials", "load", "load_aws", "load_snowflake", "readable", "snowflake_credentials",
]  # fmt: skip

# Seconds for which a loaded block is reused, because every connection of a run asks for it. A rotated key reaches a long-lived
# Dask worker after this time.
BLOCK_SECONDS = 300.0

_loaded: dict[tuple[str, str], tuple[Any, float]] = {}  # (block type, name) → the block, and until when it is reused


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
    """Load a block of a type; a block loaded within the last `BLOCK_SECONDS` is reused.

    Raises:
        ConfigurationError: the block does not exist.
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


def load_aws(name: str) -> AwsCredentials:
    """Load the AwsCredentials block of that name.

    Raises:
        ConfigurationError: the block does not exist.
    """
    return cast(AwsCredentials, load(AwsCredentials, name))


def load_snowflake(name: str) -> SnowflakeCredentials:
    """Load the login of the SnowflakeConnector block of that name.

    Raises:
        ConfigurationError: the block does not exist, or its key cannot be read.
    """
    # A connector keeps its credentials' extra fields, so this login works for the embedded endpoint too.
    return readable(cast(SnowflakeCredentials, load(SnowflakeConnector, name).credentials))


def aws_credentials(settings: Settings) -> AwsCredentials:
    """Make an AwsCredentials block from settings, with the embedded object store's key or for the AWS SDK's own chain."""
    parameters = AwsClientParameters(**s3_parameters(settings))
    if settings.target != "embedded":  # the AWS SDK's own chain: instance role, SSO, environment
        return AwsCredentials(region_name=settings.aws_region, aws_client_parameters=parameters)
    access_key, secret = settings.s3_identity
    return AwsCredentials(
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        region_name=settings.aws_region,
        aws_client_parameters=parameters,
    )


def snowflake_credentials(login: Login) -> SnowflakeCredentials:
    """Make a block with this login."""
    names = ("account", "user", "password", "private_key", "private_key_passphrase", "host", "port", "protocol")
    kind = SnowflakeEndpointCredentials if login.host else SnowflakeCredentials
    # Only the fields that were set, because get_client passes on exactly those.
    return kind(**{name: value for name in names if (value := getattr(login, name)) is not None})


def readable(credentials: SnowflakeCredentials) -> SnowflakeCredentials:
    """Return the login with its private key, if any, normalized by `read_private_key`: forms in the Prefect UI drop line ends."""
    path, text = credentials.private_key_path, credentials.private_key
    if path is None and text is None:
        return credentials
    try:
        key_text = path.read_text() if path else cast(SecretBytes, text).get_secret_value().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"private key of the SnowflakeCredentials block: {path or ''} {error}") from None
    passphrase = credentials.private_key_passphrase
    key = read_private_key(key_text, passphrase.get_secret_value() if passphrase else None)
    return credentials.model_copy(
        update={
            "private_key": SecretBytes(key.pem.encode()),
            "private_key_path": None,
            "private_key_passphrase": SecretStr(key.passphrase) if key.passphrase else None,
        }
    )
