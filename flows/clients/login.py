"""Logins from settings, without Prefect: a boto3 S3 client, a connection of the Snowflake connector.

Logins from Prefect blocks are in `flows.block_types`, whose packages take longer to import than most commands run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretBytes, SecretStr

from flows.clients import connector
from flows.clients.private_key import read_private_key
from flows.clients.s3 import CLIENT_CONFIG
from flows.errors import ConfigurationError
from flows.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


@dataclass(frozen=True)
class Login:
    """A Snowflake login: a user with a key pair, or with a password at a custom endpoint.

    It has the same attributes as prefect-snowflake's SnowflakeCredentials, so that either can be used.
    """

    account: str
    user: str | None
    password: SecretStr | None = None
    private_key: SecretBytes | None = None  # PEM
    private_key_passphrase: SecretStr | None = None
    host: str | None = None
    port: int | None = None
    protocol: str | None = None

    def resolve_private_key(self) -> bytes | None:
        """Convert the key to what the connector expects: DER, unencrypted."""
        from cryptography.hazmat.primitives import serialization

        if self.private_key is None:
            return None
        passphrase = self.private_key_passphrase
        key = serialization.load_pem_private_key(
            self.private_key.get_secret_value(), passphrase.get_secret_value().encode() if passphrase else None
        )
        return key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def get_client(self, **options: Any) -> SnowflakeConnection:
        """Open a connection; `options` as `snowflake.connector.connect` takes them."""
        own = {
            "account": self.account,
            "user": self.user,
            "password": self.password.get_secret_value() if self.password else None,
            "private_key": self.resolve_private_key(),
            "host": self.host,
            "port": self.port,
            "protocol": self.protocol,
        }
        given = {name: value for name, value in own.items() if value is not None}
        return connector.connect(**given, **options)


def snowflake_login(settings: Settings) -> Login:
    """Return the login for the embedded warehouse, or for Snowflake as a service user with a key pair.

    Raises:
        ConfigurationError: account, user or key is missing; the message names the variable.
    """
    if settings.target == "embedded":
        warehouse = settings.stack["warehouse"]
        user, password = next(iter(settings.warehouse_logins.items()))
        return Login("cxm-embedded", user, password, host=warehouse["host"], port=warehouse["port"], protocol="http")
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
    assert settings.snowflake_private_key is not None
    passphrase = settings.snowflake_private_key_passphrase
    key = read_private_key(
        settings.snowflake_private_key.get_secret_value(), passphrase.get_secret_value() if passphrase else None
    )
    return Login(
        settings.snowflake_account or "",
        settings.snowflake_user,
        private_key=SecretBytes(key.pem.encode()),
        private_key_passphrase=SecretStr(key.passphrase) if key.passphrase else None,
    )


def aws_session(settings: Settings) -> Any:
    """Create a boto3 session with the embedded object store's keys, or the AWS SDK's default chain (instance role, SSO,
    environment)."""
    import boto3

    if settings.target != "embedded":
        return boto3.Session(region_name=settings.aws_region)
    access_key, secret = settings.s3_identity
    return boto3.Session(access_key, secret.get_secret_value(), region_name=settings.aws_region)


def s3_parameters(settings: Settings) -> dict[str, Any]:
    """Return the arguments of an S3 client besides its credentials."""
    endpoint = settings.stack["s3"]["endpoint"] if settings.target == "embedded" else None
    return {
        "endpoint_url": endpoint,
        "config": {**CLIENT_CONFIG, "s3": {"addressing_style": "path" if endpoint else "auto"}},
    }


def s3_client(settings: Settings) -> Any:
    """Create an S3 client."""
    from botocore.config import Config

    parameters = s3_parameters(settings)
    return aws_session(settings).client(
        "s3", endpoint_url=parameters["endpoint_url"], config=Config(**parameters["config"])
    )
