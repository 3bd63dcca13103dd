"""A user's password and public key: stored hashed, so that the account's files do not reveal them, and compared at login.

password ──scrypt──▶ `salt$hash`; RSA public key ──without PEM's header and footer──▶ base64, and its fingerprint

https://docs.snowflake.com/en/user-guide/key-pair-auth
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets


def plain_public_key(value: object) -> object:
    """Return a user's RSA public key without PEM's header and footer (https://docs.snowflake.com/en/user-guide/key-pair-auth)."""
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    text = re.sub(r"-----[A-Z ]+-----|\s", "", str(value))
    load_der_public_key(base64.b64decode(text, validate=True))
    return text


def hashed_password(value: object) -> object:
    """Hash a password with a salt: the account's files never hold a password."""
    salt = secrets.token_hex(8)
    return f"{salt}${_scrypt(str(value), salt)}"


def password_matches(stored: str, given: str) -> bool:
    """Whether `given` is the password that `hashed_password` made."""
    salt, _, digest = stored.partition("$")
    return secrets.compare_digest(_scrypt(given, salt), digest)


def _scrypt(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**12, r=8, p=1).hex()


def fingerprint(public_key: str) -> str:
    """Return `SHA256:…` of a public key, as DESC USER and the JWT's issuer write it
    (https://docs.snowflake.com/en/user-guide/key-pair-auth)."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(public_key)).digest()).decode()
