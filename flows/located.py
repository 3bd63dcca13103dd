"""Opens the place that `--data`, the parameter `data` or CXM_DATA names, with a login if it needs one."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from flows import blocks
from flows.clients import s3_place, sftp, sftp_session
from flows.errors import ConfigurationError
from flows.places import Place, is_remote, local, resolved
from flows.settings import Settings
from flows.unpack import Limits


def place(settings: Settings, text: str) -> Place:
    """Open the place of that name; a folder that holds only an archive means the archive.

    Raises:
        ConfigurationError: the kind of place is unknown, it may not be listed, or a login is refused.
        InfrastructureError: its server does not answer.
    """
    limits = Limits(settings.unpack_ratio, settings.unpack_bytes)
    if text.startswith("s3://"):
        return s3_place.place(blocks.s3_client(settings), text, limits)
    if text.startswith("sftp://"):
        login, path = sftp_session.parse(
            text, settings.sftp_user, _secret(settings), settings.sftp_passphrase, settings.sftp_known_hosts
        )
        return sftp.place(login, path, limits)
    if is_remote(text):
        raise ConfigurationError(
            f"{text}: no place of this kind; expected a folder, a zip or tar archive, s3://bucket/prefix or sftp://user@host/path"
        )
    return resolved(local(Path(text), limits))


def _secret(settings: Settings) -> SecretStr | None:
    """Read the SFTP key or password from the Prefect Secret block or the setting."""
    if not settings.sftp_block:
        return settings.sftp_secret
    from prefect.blocks.system import Secret

    from flows import block_types

    return SecretStr(
        str(block_types.load(Secret, settings.sftp_block, "make it in the Prefect UI, under Blocks").get())
    )
