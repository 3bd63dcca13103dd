"""Who logs in: user, password or key pair → the name and role that the session gets.

https://docs.snowflake.com/en/user-guide/key-pair-auth: the client signs a JWT with its private key; issuer
`ACCOUNT.USER.SHA256:fingerprint`, subject `ACCOUNT.USER`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.embedded.warehouse.account import ACCOUNTADMIN, PUBLIC, AccountObject
from flows.embedded.warehouse.credentials import fingerprint, password_matches
from flows.embedded.warehouse.grammar import normalise, split_name

if TYPE_CHECKING:
    from flows.embedded.warehouse.engine import Engine


@dataclass(frozen=True)
class LoginRefusedError(Exception):
    """Why a login failed, with the code that the client shows."""

    code: str
    message: str


@dataclass(frozen=True)
class Login:
    """What a session starts with."""

    user: str
    role: str
    warehouse: str | None
    database: str | None
    schema: str | None
    secondary_roles: str


def log_in(engine: Engine, data: Mapping[str, Any], query: Mapping[str, str]) -> Login:
    """Check a login request's `data` and URL parameters (roleName, warehouse, databaseName, schemaName).

    A user that nobody has created is let in with any password as ACCOUNTADMIN, so that an embedded stack without any set-up
    works; a created one must show its password or key, and gets only the roles that were granted to it.
    Raises LoginRefusedError.
    """
    name = normalise(str(data.get("LOGIN_NAME") or "EMBEDDED"))
    user = _find_user(engine, name)
    if str(data.get("AUTHENTICATOR", "")).upper() == "SNOWFLAKE_JWT":
        _check_key(user, name, str(data.get("TOKEN") or ""))
    elif user is not None:
        _check_password(user, str(data.get("PASSWORD") or ""))
    if user is not None and user.properties.get("DISABLED"):
        raise LoginRefusedError("390101", "User access disabled. Contact your local system administrator.")
    properties = user.properties if user else {}
    asked = query.get("roleName")
    role = (
        normalise(asked)
        if asked
        else normalise(str(properties.get("DEFAULT_ROLE") or (PUBLIC if user else ACCOUNTADMIN)))
    )
    held = engine.account.roles_of_user(user.name) if user else None
    if engine.account.find("ROLE", role) is None or (held is not None and role not in held):
        if asked:
            raise LoginRefusedError(
                "390189",
                f"Role '{role}' specified in the connect string does not exist or not authorized. Contact your local system "
                "administrator, or attempt to login with another role, e.g. PUBLIC.",
            )
        role = PUBLIC
    namespace = split_name(str(properties.get("DEFAULT_NAMESPACE") or ""))
    return Login(
        user=user.name if user else name,
        role=role,
        warehouse=query.get("warehouse") or _text(properties.get("DEFAULT_WAREHOUSE")),
        database=query.get("databaseName") or (namespace[0] if namespace else None),
        schema=query.get("schemaName")
        or (namespace[1] if len(namespace) > 1 and not query.get("databaseName") else None),
        secondary_roles="ALL"
        if user and "ALL" in _upper_list(properties.get("DEFAULT_SECONDARY_ROLES", ["ALL"]))
        else "NONE",
    )


def _find_user(engine: Engine, login_name: str) -> AccountObject | None:
    for user in engine.account.all("USER"):
        if str(user.properties.get("LOGIN_NAME", user.name)).upper() == login_name.upper():
            return user
    return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _upper_list(value: object) -> list[str]:
    return [str(v).upper() for v in value] if isinstance(value, list) else []


_WRONG = LoginRefusedError("390100", "Incorrect username or password was specified.")


def _check_password(user: AccountObject, given: str) -> None:
    stored = user.properties.get("PASSWORD")
    if stored is not None:
        if not password_matches(str(stored), given):
            raise _WRONG
    elif user.properties.get("RSA_PUBLIC_KEY") or user.properties.get("RSA_PUBLIC_KEY_2"):
        raise _WRONG  # it has a key and no password: only the key opens


def _check_key(user: AccountObject | None, name: str, token: str) -> None:
    """Verify the JWT's signature, times, subject and issuer against the user's two public keys."""
    import jwt
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    refused = LoginRefusedError("390144", "JWT token is invalid.")
    if user is None:
        raise refused
    keys = [str(k) for k in (user.properties.get("RSA_PUBLIC_KEY"), user.properties.get("RSA_PUBLIC_KEY_2")) if k]
    for key in keys:
        try:
            public: Any = load_der_public_key(base64.b64decode(key))
            claims = jwt.decode(
                token, public, algorithms=["RS256"], leeway=60, options={"require": ["iss", "sub", "iat", "exp"]}
            )
        except (jwt.PyJWTError, ValueError):
            continue
        subject = str(claims["sub"]).upper()
        issuer = str(claims["iss"])
        login = str(user.properties.get("LOGIN_NAME", user.name)).upper()
        if (
            subject.endswith(f".{login}")
            and issuer.endswith(f".{fingerprint(key)}")
            and issuer.upper().startswith(subject)
        ):
            return
    raise refused
