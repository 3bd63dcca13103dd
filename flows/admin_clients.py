"""Opens an administrator's connections from settings: AWS clients, a Snowflake connection, the block for the access key.

An administrator logs in with the AWS SDK's own chain (SSO, profile, environment) and with CXM_SNOWFLAKE_USER and its key, unless
blocks are named. Provisioning makes the users and keys of the runs' own blocks, so it cannot log in with those.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from flows import blocks
from flows.contract.model import Source
from flows.contract.read import read_source
from flows.contract.read import sources as contract_names
from flows.settings import Settings
from flows.steps.provision import ADMINISTRATOR, Cloud, Plan, make_plan

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

BLOCK = "cxm"  # the block's name in `cxm blocks register` and the deployments


def contracts() -> list[Source]:
    """Read every contract of the project."""
    return [read_source(name) for name in contract_names()]


def administrator(settings: Settings, aws_block: str | None = None, snowflake_block: str | None = None) -> Settings:
    """Return `settings` with the administrator's logins instead of the runs' own. Without CXM_SNOWFLAKE_USER the Snowflake block
    of the settings stays."""
    own_block = None if settings.snowflake_user else settings.snowflake_block
    return settings.model_copy(update={"aws_block": aws_block, "snowflake_block": snowflake_block or own_block})


@contextmanager
def connection(settings: Settings, step: str = "provision", role: str = ADMINISTRATOR) -> Iterator[SnowflakeConnection]:
    """Open a Snowflake connection for provisioning, with the administrator's role, or for a plan with `settings.plan_role`."""
    with blocks.snowflake(settings, role, {"step": step}) as opened:
        yield opened


def cloud(settings: Settings, key_block: str | None = None) -> Cloud:
    """Create the clients of the AWS account; for a server that has only S3, only the S3 client.

    `key_block`: the AwsCredentials block that stores the ingestion user's access key.
    """
    client: Any = blocks.s3_client(settings)
    if settings.target == "embedded":
        return Cloud(client)
    session = aws_session(settings)
    name = key_block or BLOCK

    def holds_key(ids: frozenset[str]) -> bool:
        block = _block(name)
        return block is not None and block.aws_access_key_id in ids

    def save_key(key_id: str, secret: str) -> None:
        from flows import block_types

        fresh = block_types.aws_credentials(settings.model_copy(update={"aws_block": None}))
        fresh.aws_access_key_id, fresh.aws_secret_access_key = key_id, SecretStr(secret)
        fresh.save(name, overwrite=True, _sync=True)

    clients = {name: session.client(name) for name in ("iam", "sts", "sqs")}
    return Cloud(client, **clients, holds_key=holds_key, save_key=save_key)


def plan(
    settings: Settings, aws_block: str | None = None, snowflake_block: str | None = None, role: str = ADMINISTRATOR
) -> Plan:
    """Compare the accounts with the expected state, as `role` sees them; reads only."""
    admin = administrator(settings, aws_block, snowflake_block)
    with connection(admin, role=role) as session:
        return make_plan(cloud(admin, settings.aws_block), session, admin, contracts())


def aws_session(settings: Settings) -> Any:
    """Create a boto3 session with the administrator's login."""
    return blocks.aws_session(settings)


def _block(name: str) -> Any:
    from flows import block_types

    try:
        return block_types.AwsCredentials.load(name, _sync=True)
    except ValueError:
        return None
