"""The properties of each kind of account object: one table, `KINDS`, for the handlers in `objects`, which are the same for all.

WAREHOUSE | ROLE | USER | INTEGRATION | RESOURCE MONITOR | TAG ──KINDS──▶ properties, defaults, privilege

Pages: https://docs.snowflake.com/en/sql-reference/sql/create-warehouse, create-role, create-user, create-storage-integration,
create-resource-monitor, create-tag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flows.embedded.warehouse.account.credentials import hashed_password, plain_public_key
from flows.embedded.warehouse.account.parameters import SESSION_DEFAULTS, check_parameter
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words

SIZES = {
    "XSMALL": "X-Small", "SMALL": "Small", "MEDIUM": "Medium", "LARGE": "Large", "XLARGE": "X-Large", "XXLARGE": "2X-Large",
    "XXXLARGE": "3X-Large", "X4LARGE": "4X-Large", "X5LARGE": "5X-Large", "X6LARGE": "6X-Large",
}  # fmt: skip
_SIZE_ALIASES = {"X2LARGE": "XXLARGE", "2XLARGE": "XXLARGE", "X3LARGE": "XXXLARGE", "3XLARGE": "XXXLARGE",
                 "4XLARGE": "X4LARGE", "5XLARGE": "X5LARGE", "6XLARGE": "X6LARGE"}  # fmt: skip

Check = Callable[[object], object]


def _flag(value: object) -> object:
    if str(value).upper() not in ("TRUE", "FALSE"):
        raise ValueError
    return str(value).upper() == "TRUE"


def _count(value: object) -> object:
    return 0 if value is None else int(str(value))


def _at_least(least: int, most: int | None = None) -> Check:
    def check(value: object) -> object:
        number = _count(value)
        if not isinstance(number, int) or number < least or (most is not None and number > most):
            raise ValueError
        return number

    return check


def _text(value: object) -> object:
    return value if value is None else str(value)


def _names(value: object) -> object:
    items = value if isinstance(value, list) else [value]
    return [str(i) for i in items]


def _one_of(*choices: str) -> Check:
    def check(value: object) -> object:
        if str(value).upper() not in choices:
            raise ValueError
        return str(value).upper()

    return check


def _size(value: object) -> object:
    plain = re.sub(r"[-_ ]", "", str(value)).upper()
    plain = _SIZE_ALIASES.get(plain, plain)
    if plain not in SIZES:
        raise ValueError
    return plain


@dataclass(frozen=True)
class Kind:
    """A kind of object: its name, the privilege to create one, and its properties (name → check)."""

    name: str
    privilege: str
    properties: Mapping[str, Check]
    defaults: Mapping[str, object] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    created: str = ""
    in_schema: bool = False
    session_parameters: bool = False


KINDS: dict[str, Kind] = {
    k.name: k
    for k in (
        Kind(
            "WAREHOUSE",
            "CREATE WAREHOUSE",
            {
                "WAREHOUSE_SIZE": _size, "WAREHOUSE_TYPE": _one_of("STANDARD", "SNOWPARK-OPTIMIZED"),
                "AUTO_SUSPEND": _at_least(0), "AUTO_RESUME": _flag, "INITIALLY_SUSPENDED": _flag,
                "MAX_CLUSTER_COUNT": _at_least(1), "MIN_CLUSTER_COUNT": _at_least(1),
                "SCALING_POLICY": _one_of("STANDARD", "ECONOMY"), "RESOURCE_MONITOR": _text,
                "ENABLE_QUERY_ACCELERATION": _flag,
                "QUERY_ACCELERATION_MAX_SCALE_FACTOR": _at_least(0, 100),
                "MAX_CONCURRENCY_LEVEL": _at_least(1), "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": _at_least(0),
                "STATEMENT_TIMEOUT_IN_SECONDS": _at_least(0, 604800), "RESOURCE_CONSTRAINT": _text,
                "GENERATION": _one_of("1", "2"),
            },
            {
                "WAREHOUSE_SIZE": "XSMALL", "WAREHOUSE_TYPE": "STANDARD", "AUTO_SUSPEND": 600, "AUTO_RESUME": True,
                "MAX_CLUSTER_COUNT": 1, "MIN_CLUSTER_COUNT": 1, "SCALING_POLICY": "STANDARD",
                # Bundle 2026_03: https://docs.snowflake.com/en/release-notes/bcr-bundles/2026_03/bcr-2250, …/bcr-2269
                "GENERATION": "2", "ENABLE_QUERY_ACCELERATION": True, "QUERY_ACCELERATION_MAX_SCALE_FACTOR": 2,
            },
        ),
        Kind("ROLE", "CREATE ROLE", {}),
        Kind(
            "USER",
            "CREATE USER",
            {
                "PASSWORD": hashed_password, "LOGIN_NAME": _text, "DISPLAY_NAME": _text, "FIRST_NAME": _text, "LAST_NAME": _text,
                "EMAIL": _text, "MUST_CHANGE_PASSWORD": _flag, "DISABLED": _flag, "DAYS_TO_EXPIRY": _count,
                "DEFAULT_WAREHOUSE": _text, "DEFAULT_NAMESPACE": _text, "DEFAULT_ROLE": _text,
                "DEFAULT_SECONDARY_ROLES": _names, "RSA_PUBLIC_KEY": plain_public_key, "RSA_PUBLIC_KEY_2": plain_public_key,
                "TYPE": _one_of("PERSON", "SERVICE", "LEGACY_SERVICE"), "NETWORK_POLICY": _text,
            },
            session_parameters=True,
        ),
        Kind(
            "INTEGRATION",
            "CREATE INTEGRATION",
            {
                "TYPE": _one_of("EXTERNAL_STAGE"), "STORAGE_PROVIDER": _one_of("S3"), "ENABLED": _flag,
                "STORAGE_AWS_ROLE_ARN": _text, "STORAGE_AWS_EXTERNAL_ID": _text, "STORAGE_AWS_OBJECT_ACL": _text,
                "STORAGE_ALLOWED_LOCATIONS": _names, "STORAGE_BLOCKED_LOCATIONS": _names, "USE_PRIVATELINK_ENDPOINT": _flag,
            },
            {"STORAGE_BLOCKED_LOCATIONS": []},
            required=("TYPE", "STORAGE_PROVIDER", "ENABLED", "STORAGE_AWS_ROLE_ARN", "STORAGE_ALLOWED_LOCATIONS"),
        ),
        Kind(
            "RESOURCE MONITOR",
            "CREATE RESOURCE MONITOR",
            {
                "CREDIT_QUOTA": _count, "FREQUENCY": _one_of("MONTHLY", "DAILY", "WEEKLY", "YEARLY", "NEVER"),
                "START_TIMESTAMP": _text, "END_TIMESTAMP": _text, "NOTIFY_USERS": _names,
            },
        ),
        Kind("TAG", "CREATE TAG", {"PROPAGATE": _text}, in_schema=True),
    )
}  # fmt: skip

PLURALS = {
    "WAREHOUSES": "WAREHOUSE", "ROLES": "ROLE", "USERS": "USER", "INTEGRATIONS": "INTEGRATION",
    "RESOURCE MONITORS": "RESOURCE MONITOR", "TAGS": "TAG",
}  # fmt: skip


def accept_kind(words: Words) -> Kind | None:
    """Move past the kind that comes next, with an integration's category; None if it is not one of `KINDS`."""
    if words.sees("STORAGE", "INTEGRATION"):
        words.take()
    for name, kind in KINDS.items():
        if words.accept(*name.split()):
            return kind
    return None


# Not for users with TYPE = SERVICE (https://docs.snowflake.com/en/user-guide/admin-user-management#types-of-users).
_OF_PERSONS = ("PASSWORD", "FIRST_NAME", "LAST_NAME", "MUST_CHANGE_PASSWORD")


def check_together(kind: Kind, properties: Mapping[str, object]) -> None:
    """Check properties that depend on each other. Raises 001008 for a warehouse whose MIN_CLUSTER_COUNT is above its maximum
    (https://docs.snowflake.com/en/sql-reference/sql/create-warehouse#optional-properties-objectproperties), 001420 for a
    property that only persons have."""
    most, least = properties.get("MAX_CLUSTER_COUNT"), properties.get("MIN_CLUSTER_COUNT")
    if kind.name == "WAREHOUSE" and isinstance(most, int) and isinstance(least, int) and least > most:
        raise errors.invalid_value(least, "MIN_CLUSTER_COUNT")
    if kind.name == "USER" and properties.get("TYPE") == "SERVICE":
        for name in _OF_PERSONS:
            if properties.get(name) not in (None, False):
                raise errors.invalid_property(name, "USER with TYPE = SERVICE")


def checked(kind: Kind, options: Mapping[str, object]) -> tuple[dict[str, object], str | None]:
    """Check each value; returns (properties, comment). Raises 001420 for an unknown property, 001008 for a bad value."""
    properties: dict[str, object] = {}
    comment: str | None = None
    for key, value in options.items():
        if key == "COMMENT":
            comment = str(value)
        elif key == "TAG":
            properties["TAG"] = value
        elif kind.session_parameters and key in SESSION_DEFAULTS:
            properties[key] = check_parameter(key, value)
        elif key not in kind.properties:
            raise errors.invalid_property(key, kind.name)
        else:
            try:
                properties[key] = None if value is None else kind.properties[key](value)
            except ValueError as e:
                raise errors.invalid_value("…" if "KEY" in key or key == "PASSWORD" else value, key) from e
    return properties, comment
