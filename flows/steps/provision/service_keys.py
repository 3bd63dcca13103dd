"""Compares the public keys in CXM_HOME/keys/<USER>.pub with those of the Snowflake users."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from flows.contract.sql import ident, literal
from flows.errors import ConfigurationError
from flows.settings import Settings
from flows.steps.provision.account import AccountReader
from flows.steps.provision.plan import Item
from flows.steps.provision.snowflake import pipeline_user, reporter_user


def items(account: AccountReader, settings: Settings) -> Iterator[Item]:
    """Yield the items that set the public keys of `cxm keys create` on their service users.

    A user that has another key keeps it: the new one goes into the free one of its two slots, so that a rotation
    interrupts nothing (https://docs.snowflake.com/en/user-guide/key-pair-auth#configuring-key-pair-rotation).

    Raises:
        ConfigurationError: both slots hold other keys; none is overwritten, because it may be in use.
    """
    for user in (pipeline_user(settings), reporter_user(settings)):
        path = settings.home / "keys" / f"{user}.pub"
        if not path.exists():
            continue
        key = "".join(line for line in path.read_text().splitlines() if "-" not in line)
        properties = account.described("USER", user) if account.find("USER", user) else {}
        if properties is None:
            yield Item("USERADMIN", "public key", user, "hidden", "DESC USER is refused")
            continue
        slots = ("RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2")
        if fingerprint(key) in (properties.get("RSA_PUBLIC_KEY_FP"), properties.get("RSA_PUBLIC_KEY_2_FP")):
            yield Item("USERADMIN", "public key", user, "unchanged")
            continue
        empty = [slot for slot in slots if properties.get(f"{slot}_FP", "null") in ("null", "", "None")]
        if not empty:
            last = (account.find("USER", user) or {}).get("last_success_login") or "not shown to this role, or never"
            held = ", ".join(f"{slot} is {properties[f'{slot}_FP']}" for slot in slots)
            raise ConfigurationError(
                f"public key of {user}: both slots are full ({held}; last login of the user: {last}) and neither is "
                f"{path.name} in CXM_HOME/keys ({fingerprint(key)}); unset the one that no run logs in with, by its fingerprint: "
                f"`ALTER USER {ident(user)} UNSET {slots[0]}` or `… UNSET {slots[1]}`, then run again"
            )
        slot = empty[0]
        why = f"{path.name} in CXM_HOME/keys is not the user's key; goes to {slot}"
        statement = f"ALTER USER {ident(user)} SET {slot} = {literal(key)}"
        yield Item("USERADMIN", "public key", user, "changed" if properties else "created", why, (statement,))


def fingerprint(public_key: str) -> str:
    """Return `SHA256:…` of a public key (base64 of its DER form), as DESC USER shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(public_key)).digest()).decode()
