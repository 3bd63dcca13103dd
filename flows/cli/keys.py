"""`cxm keys create`: makes an RSA key pair for a Snowflake user: CXM_HOME/keys/<USER>.p8 (encrypted PKCS#8) and .pub."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import click

from flows.cli.app import current_settings, json_option, main
from flows.errors import ConfigurationError


@main.group()
def keys() -> None:
    """Key pairs of the Snowflake users; a private key never leaves this machine unencrypted."""


@keys.command()
@click.argument("user", required=False)
@click.option("--replace", is_flag=True, help="Create a new pair even if one exists: the first step of a rotation.")
@json_option
def create(user: str | None, replace: bool, as_json: bool) -> None:
    """Create the key pair of USER, by default the pipeline's service user; `cxm provision --apply` sets the public key.

    The private key is 2048-bit RSA in PKCS#8, encrypted; its passphrase is in CXM_HOME/keys/<USER>.passphrase. Both are readable
    by their owner only; `cxm blocks register` takes them from CXM_SNOWFLAKE_PRIVATE_KEY and …_PASSPHRASE into a Prefect block.
    """
    settings = current_settings()
    from flows.contract.sql import ident, literal
    from flows.steps.provision.snowflake import pipeline_user

    name = ident(user.upper() if user else pipeline_user(settings))
    folder = settings.home / "keys"
    private = folder / f"{name}.p8"
    if private.exists() and not replace:
        raise ConfigurationError(f"{private}: got a key, expected none; `--replace` makes a new one")
    passphrase = secrets.token_urlsafe(24)
    key, public = key_pair(passphrase)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(private, key)
    (folder / f"{name}.pub").write_text(public)
    _write(folder / f"{name}.passphrase", passphrase)
    body = "".join(line for line in public.split("\n") if "-" not in line)
    said = {
        "user": name,
        "private_key": str(private),
        "passphrase": str(folder / f"{name}.passphrase"),
        "sql": f"ALTER USER {name} SET RSA_PUBLIC_KEY = {literal(body)}",
    }
    if as_json:
        click.echo(json.dumps(said))
        return
    click.echo(f"{private}: the private key, encrypted; the passphrase is in {said['passphrase']}")
    click.echo(
        f"`cxm provision --apply` sets the public key of a service user. Of another user, set it by hand:\n{said['sql']};"
    )


def key_pair(passphrase: str) -> tuple[str, str]:
    """Create a key pair: private key as encrypted PKCS#8 PEM, public key as PEM
    (https://docs.snowflake.com/en/user-guide/key-pair-auth#generate-the-private-keys)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from the first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
