"""A private key in each form that people paste, read by each of its three readers: the connector, dbt, Great Expectations."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretBytes, SecretStr

from flows import blocks
from flows.clients.private_key import read_private_key
from flows.errors import ConfigurationError
from flows.settings import Settings
from flows.steps.dbt import dbt_environment

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
DER = KEY.private_bytes(
    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)  # fmt: skip


def pem(passphrase: str | None) -> str:
    how: Any = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    return KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


FORMS = {
    "as the file has it": lambda text: text,
    "with literal line ends": lambda text: text.replace("\n", "\\n"),
    "with Windows' line ends": lambda text: text.replace("\n", "\r\n"),
    "on one line": lambda text: " ".join(text.split("\n")),
    "on one line without spaces": lambda text: text.replace("\n", ""),
    "without PEM's marks": lambda text: "".join(re.sub(r"-----.*?-----", "", text).split()),
    "with spaces around it": lambda text: f"\n  {text}\n\n",
}


@pytest.mark.parametrize("passphrase", [None, "a passphrase"], ids=["open", "encrypted"])
@pytest.mark.parametrize("form", FORMS)
def test_every_tool_reads_a_key_in_every_form(
    form: str, passphrase: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.adapters.snowflake.auth import private_key_from_string

    for name in ("CXM_SNOWFLAKE_BLOCK", "CXM_TARGET"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings(
        target="snowflake", snowflake_account="org-account", snowflake_user="U",
        snowflake_private_key=SecretStr(FORMS[form](pem(passphrase))),
        snowflake_private_key_passphrase=SecretStr(passphrase) if passphrase else None,
    )  # fmt: skip
    connector = blocks.snowflake_credentials(settings).resolve_private_key()
    environment = dbt_environment(blocks.with_login(settings))
    dbt: Any = private_key_from_string(
        environment["CXM_SNOWFLAKE_PRIVATE_KEY"], environment.get("CXM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "")
    )

    assert connector == DER  # Great Expectations gets the same bytes
    assert (dbt if isinstance(dbt, bytes) else private_bytes(dbt)) == DER


def private_bytes(key: Any) -> bytes:
    return bytes(
        key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip


def test_a_key_in_a_prefect_block_is_read_in_the_same_way() -> None:
    from prefect_snowflake import SnowflakeCredentials

    from flows import block_types

    block = SnowflakeCredentials(
        account="a", user="u", private_key=SecretBytes(FORMS["with literal line ends"](pem("x y")).encode()),
        private_key_passphrase=SecretStr("x y"),
    )  # fmt: skip

    assert block_types.readable(block).resolve_private_key() == DER


def test_a_passphrase_that_the_key_does_not_need_is_left_out() -> None:
    assert read_private_key(pem(None), "needless").passphrase is None


@pytest.mark.parametrize(
    ("text", "passphrase", "why"),
    [
        (pem("right"), "wrong", "does not open it"),
        (pem("right"), None, "there is no passphrase"),
        (pem(None)[:400], None, "marks is missing"),
        (pem(None).replace("\n", "!\n"), None, "not base64"),
        (base64.b64encode(b"hello").decode(), None, "cannot be read"),
        (pem(None).replace("PRIVATE", "PUBLIC"), None, "marks is missing"),
    ],
)
def test_what_is_no_key_is_refused_with_the_fix_and_without_the_key(
    text: str, passphrase: str | None, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why) as refusal:
        read_private_key(text, passphrase)

    assert "cxm keys create" in str(refusal.value)
    assert text[60:90] not in str(refusal.value) or len(text) < 60
