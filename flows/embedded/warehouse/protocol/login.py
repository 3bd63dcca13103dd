"""Checks a login, by user, password or key pair, and returns the name and role of the session.

An account starts with the users and passwords of the `--users` file. All others are created with CREATE USER; nobody else can
log in.

https://docs.snowflake.com/en/user-guide/key-pair-auth: the client signs a JWT with its private key; issuer
`ACCOUNT.USER.SHA256:fingerprint`, subject `ACCOUNT.USER`.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.embedded.warehouse.account.credentials import fingerprint, password_matches
from flows.embedded.warehouse.account.objects import PUBLIC, AccountObject
from flows.embedded.warehouse.storage.engine import Engine
from flows.embedded.warehouse.text.grammar import normalise, split_name


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

    A user must show its password or key, and gets only the roles that were granted to it.
    Raises LoginRefusedError.
    """
    name = normalise(str(data.get("LOGIN_NAME") or ""))
    password = engine.first_users.enter(name) if engine.first_users else None
    user = _find_user(engine, name)
    if str(data.get("AUTHENTICATOR", "")).upper() == "SNOWFLAKE_JWT":
        _check_key(user, str(data.get("TOKEN") or ""))
    elif user is None or not _opens(user, password, str(data.get("PASSWORD") or "")):
        raise _wrong(engine, str(data.get("PASSWORD") or ""))
    assert user is not None
    if user.properties.get("DISABLED"):
        raise LoginRefusedError("390101", "User access disabled. Contact your local system administrator.")
    properties = user.properties
    asked = query.get("roleName")
    role = normalise(asked or str(properties.get("DEFAULT_ROLE") or PUBLIC))
    if engine.account.find("ROLE", role) is None or role not in engine.roles_for(user.name):
        if asked:
            raise LoginRefusedError(
                "390189",
                f"Role '{role}' specified in the connect string does not exist or not authorized. Contact your local system "
                "administrator, or attempt to login with another role, e.g. PUBLIC.",
            )
        role = PUBLIC
    namespace = split_name(str(properties.get("DEFAULT_NAMESPACE") or ""))
    return Login(
        user=user.name,
        role=role,
        warehouse=query.get("warehouse") or _text(properties.get("DEFAULT_WAREHOUSE")),
        database=query.get("databaseName") or (namespace[0] if namespace else None),
        schema=query.get("schemaName")
        or (namespace[1] if len(namespace) > 1 and not query.get("databaseName") else None),
        secondary_roles="ALL" if "ALL" in _upper_list(properties.get("DEFAULT_SECONDARY_ROLES", ["ALL"])) else "NONE",
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


def _opens(user: AccountObject, first: str | None, given: str) -> bool:
    """Whether the password is the user's: `first` for a first user, else the one that is stored."""
    if first is not None:
        return hmac.compare_digest(first.encode(), given.encode())
    stored = user.properties.get("PASSWORD")
    return stored is not None and password_matches(str(stored), given)


def _wrong(engine: Engine, given: str) -> LoginRefusedError:
    message = "Incorrect username or password was specified."
    mark = re.match(r"([0-9a-f]{8})\.", given)
    if mark and engine.first_users and mark[1] != engine.first_users.mark:
        message += f" The password is another home's; this warehouse belongs to {engine.directory.parent}."
    return LoginRefusedError(
        "390100", f'{message} `eval "$(cxm env)"` gives a shell the address and the logins of its home.'
    )


def _check_key(user: AccountObject | None, token: str) -> None:
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
