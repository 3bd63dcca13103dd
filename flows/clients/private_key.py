"""Normalizes a Snowflake user's private key, as people paste it, to PEM that every tool accepts.

The connector, dbt and Great Expectations accept different forms: dbt takes no PEM on one line, Prefect's block none with `\\n`
for its line ends.
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from dataclasses import dataclass, field

from flows.errors import ConfigurationError

_PEM = re.compile(r"-----BEGIN (?P<label>[A-Z ]*PRIVATE KEY)-----(?P<body>.*?)-----END (?P=label)-----", re.S)
_FIX = (
    "expected PKCS#8 in PEM form, as `cxm keys create` writes it: CXM_SNOWFLAKE_PRIVATE_KEY is the text of the .p8 file, "
    "CXM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE the text of the .passphrase file (https://docs.snowflake.com/en/user-guide/key-pair-auth)"
)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key in PEM with real line ends, still encrypted if it was, and its passphrase."""

    pem: str = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)


def read_private_key(text: str, passphrase: str | None = None) -> PrivateKey:
    """Read the key in `text`: PEM with real line ends, with `\\n` for them, or on one line; or only the base64 of its body.

    The passphrase is dropped if the key is not encrypted.

    Raises:
        ConfigurationError: the text is not a private key, or the passphrase does not decrypt it. The message quotes neither.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    plain = text.replace("\\r", "").replace("\\n", "\n").strip()
    if block := _PEM.search(plain):
        label, body = block["label"], block["body"]
    elif "-----" in plain:
        raise ConfigurationError(f"private key: one of PEM's two marks is missing or names another thing; {_FIX}")
    else:
        label, body = ("ENCRYPTED " if passphrase else "") + "PRIVATE KEY", plain
    headers = [line for line in body.splitlines() if ": " in line]  # of OpenSSL's older form of encryption
    if headers:
        raise ConfigurationError(f"private key: got OpenSSL's older form of an encrypted key; {_FIX}")
    body = "".join(body.split())
    try:
        base64.b64decode(body, validate=True)
    except binascii.Error:
        raise ConfigurationError(f"private key: the text between PEM's marks is not base64; {_FIX}") from None
    pem = f"-----BEGIN {label}-----\n" + "\n".join(textwrap.wrap(body, 64)) + f"\n-----END {label}-----\n"
    encrypted = label.startswith("ENCRYPTED")
    if encrypted and not passphrase:
        raise ConfigurationError(f"private key: it is encrypted and there is no passphrase; {_FIX}")
    key = PrivateKey(pem, passphrase if encrypted else None)
    try:
        load_pem_private_key(pem.encode(), key.passphrase.encode() if key.passphrase else None)
    except (ValueError, TypeError):
        why = "the passphrase does not open it, or it is damaged" if encrypted else "it cannot be read"
        raise ConfigurationError(f"private key: {why}; {_FIX}") from None
    return key
