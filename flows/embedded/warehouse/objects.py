"""Account objects without rows: warehouses, roles, users, integrations, resource monitors, network policies, tags.

CREATE | ALTER | DROP | SHOW | DESCRIBE <kind> ──spec of the kind──▶ Account, or a result like Snowflake's

One table (`KINDS`) says what each kind may have; the verbs are the same for all. Pages: https://docs.snowflake.com/en/sql-reference/sql/
create-warehouse, create-role, create-user, create-storage-integration, create-resource-monitor, create-network-policy,
create-tag.

Seven kinds in one file, since they differ in a table and not in code.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.embedded.warehouse import errors
from flows.embedded.warehouse.account import SYSTEM_ROLES, AccountObject
from flows.embedded.warehouse.grammar import Words
from flows.embedded.warehouse.parameters import SESSION_DEFAULTS, check_parameter
from flows.embedded.warehouse.result import TIMESTAMP_LTZ, Result, status, table

if TYPE_CHECKING:
    from flows.embedded.warehouse.connection import WarehouseConnection

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


def _public_key(value: object) -> object:
    """A user's RSA public key without PEM's frame (https://docs.snowflake.com/en/user-guide/key-pair-auth)."""
    import base64

    from cryptography.hazmat.primitives.serialization import load_der_public_key

    text = re.sub(r"-----[A-Z ]+-----|\s", "", str(value))
    load_der_public_key(base64.b64decode(text, validate=True))
    return text


def _password(value: object) -> object:
    """A salted hash: the account's files never hold a password."""
    salt = secrets.token_hex(8)
    return f"{salt}${hashlib.scrypt(str(value).encode(), salt=salt.encode(), n=2**12, r=8, p=1).hex()}"


def password_matches(stored: str, given: str) -> bool:
    """Whether `given` is the password that `_password` stored."""
    salt, _, digest = stored.partition("$")
    found = hashlib.scrypt(given.encode(), salt=salt.encode(), n=2**12, r=8, p=1).hex()
    return secrets.compare_digest(found, digest)


@dataclass(frozen=True)
class Kind:
    """What a kind of object is called, what creating one takes and which properties it has (name → check)."""

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
                "AUTO_SUSPEND": _count, "AUTO_RESUME": _flag, "INITIALLY_SUSPENDED": _flag, "MAX_CLUSTER_COUNT": _count,
                "MIN_CLUSTER_COUNT": _count, "SCALING_POLICY": _one_of("STANDARD", "ECONOMY"), "RESOURCE_MONITOR": _text,
                "ENABLE_QUERY_ACCELERATION": _flag, "QUERY_ACCELERATION_MAX_SCALE_FACTOR": _count,
                "MAX_CONCURRENCY_LEVEL": _count, "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": _count,
                "STATEMENT_TIMEOUT_IN_SECONDS": _count, "RESOURCE_CONSTRAINT": _text, "GENERATION": _text,
            },
            {
                "WAREHOUSE_SIZE": "XSMALL", "WAREHOUSE_TYPE": "STANDARD", "AUTO_SUSPEND": 600, "AUTO_RESUME": True,
                "MAX_CLUSTER_COUNT": 1, "MIN_CLUSTER_COUNT": 1, "SCALING_POLICY": "STANDARD",
                "ENABLE_QUERY_ACCELERATION": False, "QUERY_ACCELERATION_MAX_SCALE_FACTOR": 8,
            },
        ),
        Kind("ROLE", "CREATE ROLE", {}),
        Kind(
            "USER",
            "CREATE USER",
            {
                "PASSWORD": _password, "LOGIN_NAME": _text, "DISPLAY_NAME": _text, "FIRST_NAME": _text, "LAST_NAME": _text,
                "EMAIL": _text, "MUST_CHANGE_PASSWORD": _flag, "DISABLED": _flag, "DAYS_TO_EXPIRY": _count,
                "DEFAULT_WAREHOUSE": _text, "DEFAULT_NAMESPACE": _text, "DEFAULT_ROLE": _text,
                "DEFAULT_SECONDARY_ROLES": _names, "RSA_PUBLIC_KEY": _public_key, "RSA_PUBLIC_KEY_2": _public_key,
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
        Kind(
            "NETWORK POLICY",
            "CREATE NETWORK POLICY",
            {
                "ALLOWED_IP_LIST": _names, "BLOCKED_IP_LIST": _names, "ALLOWED_NETWORK_RULE_LIST": _names,
                "BLOCKED_NETWORK_RULE_LIST": _names,
            },
            created="Network policy {name} successfully created.",
        ),
        Kind("TAG", "CREATE TAG", {"PROPAGATE": _text}, in_schema=True),
    )
}  # fmt: skip

PLURALS = {
    "WAREHOUSES": "WAREHOUSE", "ROLES": "ROLE", "USERS": "USER", "INTEGRATIONS": "INTEGRATION",
    "RESOURCE MONITORS": "RESOURCE MONITOR", "NETWORK POLICIES": "NETWORK POLICY", "TAGS": "TAG",
}  # fmt: skip


def accept_kind(words: Words) -> Kind | None:
    """Move past the kind that comes next, with an integration's category, if it is one of this module's."""
    if words.sees("STORAGE", "INTEGRATION"):
        words.take()
    for name, kind in KINDS.items():
        if words.accept(*name.split()):
            return kind
    return None


def accept_create_prefix(words: Words) -> str:
    """Move past CREATE [OR REPLACE | OR ALTER]; returns "", "REPLACE" or "ALTER"."""
    words.expect("CREATE")
    if words.accept("OR", "REPLACE"):
        return "REPLACE"
    return "ALTER" if words.accept("OR", "ALTER") else ""


def checked(kind: Kind, options: Mapping[str, object]) -> tuple[dict[str, object], str | None]:
    """(properties, comment) with each value checked. Raises 001420 for an unknown property, 001008 for a bad value."""
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


def _options(kind: Kind, words: Words) -> dict[str, object]:
    """The options of CREATE or SET, with the two clauses that are not KEY = value."""
    if kind.name == "RESOURCE MONITOR":
        return _monitor_options(words)
    if kind.name == "TAG" and words.accept("ALLOWED_VALUES"):
        allowed = [words.string()]
        while words.accept(","):
            allowed.append(words.string())
        return {"ALLOWED_VALUES": allowed, **words.options()}
    return words.options()


def _monitor_options(words: Words) -> dict[str, object]:
    """CREDIT_QUOTA = … TRIGGERS ON 90 PERCENT DO SUSPEND …
    (https://docs.snowflake.com/en/sql-reference/sql/create-resource-monitor)."""
    found: dict[str, object] = {}
    words.accept("WITH")
    while not words.at_end:
        if words.accept("TRIGGERS"):
            triggers = []
            while words.accept("ON"):
                percent = words.value()
                words.expect("PERCENT", "DO")
                action = words.accept_any("SUSPEND_IMMEDIATE", "SUSPEND", "NOTIFY")
                if not action:
                    raise words.unexpected()
                triggers.append([percent, action])
            found["TRIGGERS"] = triggers
            continue
        key = words.part()
        words.expect("=")
        found[key] = words.value()
    return found


def create(conn: WarehouseConnection, words: Words) -> Result:
    """CREATE [OR REPLACE | OR ALTER] <kind> [IF NOT EXISTS] <name> <options>."""
    how = accept_create_prefix(words)
    kind = accept_kind(words)
    assert kind is not None
    if how == "ALTER" and kind.name not in ("WAREHOUSE", "ROLE", "USER", "TAG"):
        raise errors.unsupported(f"CREATE OR ALTER {kind.name}")
    if_absent = words.accept("IF", "NOT", "EXISTS")
    parts = words.name()
    if not kind.in_schema and len(parts) != 1:
        raise errors.syntax(".".join(parts))
    name = conn.full_name(kind.name, parts, f"CREATE {kind.name}")
    options = _options(kind, words)
    words.finish()
    before = conn.account.find(kind.name, name)
    if before and if_absent:
        return status(f"{parts[-1]} already exists, statement succeeded.")
    if before and not how:
        raise errors.already_exists(parts[-1])
    allowed, triggers = options.pop("ALLOWED_VALUES", None), options.pop("TRIGGERS", None)
    properties, comment = checked(kind, options)
    if allowed is not None:
        properties["ALLOWED_VALUES"] = allowed
    if triggers is not None:
        properties["TRIGGERS"] = triggers
    if missing := [r for r in kind.required if r not in properties]:
        raise errors.syntax(f"<EOF> (missing {', '.join(missing)})", len(words.sql))
    if before and how == "ALTER":
        conn.require("OWNERSHIP", kind.name, name)
        conn.account.put(replace(before, comment=comment or "", properties={**kind.defaults, **properties}))
        return status(f"{parts[-1]} successfully altered.")
    if kind.in_schema:
        database, schema, _ = conn.qualify(parts)
        conn.require_use_of(database, schema)
        conn.require(kind.privilege, "SCHEMA", f"{database}.{schema}")
    else:
        conn.require(kind.privilege, "ACCOUNT", "")
    if before:
        if before.name in SYSTEM_ROLES and kind.name == "ROLE":
            raise errors.insufficient(kind.name, name)
        conn.require("OWNERSHIP", kind.name, name)
        conn.account.drop(kind.name, name)
    state = {**kind.defaults, **properties}
    if kind.name == "WAREHOUSE":
        state["STATE"] = "SUSPENDED" if state.pop("INITIALLY_SUSPENDED", False) else "STARTED"
    elif kind.name == "INTEGRATION":
        # Made once per integration, as Snowflake does: the bucket's trust policy names them.
        state["STORAGE_AWS_IAM_USER_ARN"] = "arn:aws:iam::000000000000:user/embedded"
        state.setdefault("STORAGE_AWS_EXTERNAL_ID", f"CXM_EMBEDDED_SFCRole=1_{secrets.token_urlsafe(16)}=")
    elif kind.name == "USER":
        state.setdefault("LOGIN_NAME", name)
    conn.account.create(AccountObject(kind.name, name, conn.role, comment or "", properties=state))
    if kind.name == "WAREHOUSE":
        conn.warehouse = name  # the new warehouse is the session's (create-warehouse, usage notes)
    return status((kind.created or f"{errors.title(kind.name)} {{name}} successfully created.").format(name=parts[-1]))


def alter(conn: WarehouseConnection, words: Words) -> Result:
    """ALTER <kind> [IF EXISTS] <name> {SET … | UNSET … | RENAME TO … | SUSPEND | RESUME | …}."""
    words.expect("ALTER")
    kind = accept_kind(words)
    assert kind is not None
    if_exists = words.accept("IF", "EXISTS")
    if kind.name == "WAREHOUSE" and words.upper() in ("SET", "SUSPEND", "RESUME", "ABORT"):
        if conn.warehouse is None:
            raise errors.cannot_perform()
        parts: tuple[str, ...] = (conn.warehouse,)  # without a name it is the session's warehouse
    else:
        parts = words.name()
    name = conn.full_name(kind.name, parts, f"ALTER {kind.name}")
    found = conn.account.find(kind.name, name)
    if found is None:
        if if_exists:
            return status()
        raise errors.not_found(kind.name, parts[-1])
    if kind.name == "WAREHOUSE" and (verb := words.accept_any("SUSPEND", "RESUME", "ABORT ALL QUERIES")):
        words.accept("IF", "SUSPENDED")
        words.finish()
        conn.require("OPERATE", kind.name, name)
        if verb != "ABORT ALL QUERIES":
            wanted = "SUSPENDED" if verb == "SUSPEND" else "STARTED"
            if found.properties.get("STATE") == wanted and verb == "SUSPEND":
                raise errors.cannot_suspend(name)
            conn.account.put(replace(found, properties={**found.properties, "STATE": wanted}))
        return status()
    if kind.name == "WAREHOUSE":
        conn.require("MODIFY", kind.name, name)
    else:
        conn.require("OWNERSHIP", kind.name, name)
    if words.accept("RENAME", "TO"):
        target = conn.full_name(kind.name, words.name(), f"ALTER {kind.name}")
        words.finish()
        if conn.account.find(kind.name, target):
            raise errors.already_exists(target)
        conn.account.rename(kind.name, name, target)
        return status()
    conn.account.put(changed(kind, found, words))
    return status()


def changed(kind: Kind, found: AccountObject, words: Words) -> AccountObject:
    """The object after SET … or UNSET …, which end the statement."""
    properties, comment = dict(found.properties), found.comment
    if words.accept("SET", "TAG"):
        tags = dict(properties.get("TAG") or {})  # type: ignore[call-overload]
        while True:
            key = ".".join(words.name())
            words.expect("=")
            tags[key] = words.string()
            if not words.accept(","):
                break
        properties["TAG"] = tags
    elif words.accept("UNSET", "TAG"):
        tags = dict(properties.get("TAG") or {})  # type: ignore[call-overload]
        tags.pop(".".join(words.name()), None)
        properties["TAG"] = tags
    elif words.accept("UNSET"):
        while not words.at_end:
            key = words.part()
            if key == "COMMENT":
                comment = ""
            elif key not in kind.properties and key not in SESSION_DEFAULTS:
                raise errors.invalid_property(key, kind.name)
            elif key in kind.defaults:
                properties[key] = kind.defaults[key]
            else:
                properties.pop(key, None)
            words.accept(",")
    else:
        words.expect("SET")
        fresh, said = checked(kind, _options(kind, words))
        properties.update(fresh)
        comment = comment if said is None else said
    words.finish()
    return replace(found, properties=properties, comment=comment)


def drop(conn: WarehouseConnection, words: Words) -> Result:
    """DROP <kind> [IF EXISTS] <name>."""
    words.expect("DROP")
    kind = accept_kind(words)
    assert kind is not None
    if_exists = words.accept("IF", "EXISTS")
    parts = words.name()
    words.finish()
    name = conn.full_name(kind.name, parts, f"DROP {kind.name}")
    if conn.account.find(kind.name, name) is None:
        if if_exists:
            return status("Drop statement executed successfully ("
                          f"{parts[-1]} already dropped).")  # fmt: skip
        raise errors.not_found(kind.name, parts[-1])
    if kind.name == "ROLE" and name in SYSTEM_ROLES:
        raise errors.insufficient(kind.name, name)
    conn.require("OWNERSHIP", kind.name, name)
    conn.account.drop(kind.name, name)
    if kind.name == "WAREHOUSE" and conn.warehouse == name:
        conn.warehouse = None
    return status(f"{parts[-1]} successfully dropped.")


# ---- SHOW


@dataclass(frozen=True)
class ShowFilter:
    """LIKE, IN, STARTS WITH and LIMIT of a SHOW statement."""

    like: str | None = None
    scope_kind: str = ""
    scope: tuple[str, ...] = ()
    starts: str | None = None
    limit: int | None = None

    def admits(self, name: str) -> bool:
        """Whether a name passes LIKE (case does not matter) and STARTS WITH (case matters)."""
        if self.like is not None and not like(self.like, name):
            return False
        return self.starts is None or name.startswith(self.starts)


def like(pattern: str, text: str) -> bool:
    """SQL LIKE with % and _, ignoring case, as SHOW … LIKE does."""
    regex = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.fullmatch(regex, text, re.IGNORECASE | re.DOTALL) is not None


def show_filter(words: Words) -> ShowFilter:
    """What follows the plural: [HISTORY] [LIKE '…'] [IN …] [STARTS WITH '…'] [LIMIT n [FROM '…']]."""
    words.accept("HISTORY")
    pattern = words.string() if words.accept("LIKE") else None
    scope_kind = ""
    scope: tuple[str, ...] = ()
    if words.accept("IN"):
        scope_kind = words.accept_any("ACCOUNT", "DATABASE", "SCHEMA") or "NAME"
        if scope_kind != "ACCOUNT" and not words.at_end and not words.sees("STARTS") and not words.sees("LIMIT"):
            scope = words.name()
    starts = words.string() if words.accept("STARTS", "WITH") else None
    limit = None
    if words.accept("LIMIT"):
        limit = int(str(words.value()))
        if words.accept("FROM"):
            words.string()
    words.finish()
    return ShowFilter(pattern, scope_kind, scope, starts, limit)


def show(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW WAREHOUSES | ROLES | USERS | INTEGRATIONS | RESOURCE MONITORS | NETWORK POLICIES | TAGS, with Snowflake's columns.

    https://docs.snowflake.com/en/sql-reference/sql/show-warehouses and its siblings.
    """
    words.expect("SHOW")
    terse = words.accept("TERSE")
    words.accept("STORAGE")
    kind = PLURALS[words.accept_any(*PLURALS)]
    wanted = show_filter(words)
    rows: list[dict[str, object]] = []
    for item in conn.account.all(kind):
        short = item.name.rpartition(".")[2] if KINDS[kind].in_schema else item.name
        if not wanted.admits(short):
            continue
        if kind not in ("ROLE", "USER") and not conn.may_see(kind, item.name):
            continue
        if KINDS[kind].in_schema and not in_scope(conn, wanted, item.name):
            continue
        rows.append(_SHOWN[kind][1](conn, item))
    rows = rows[: wanted.limit] if wanted.limit is not None else rows
    columns = _SHOWN[kind][0]
    if terse:
        columns = [
            c
            for c in columns
            if (c if isinstance(c, str) else c[0]) in ("created_on", "name", "kind", "database_name", "schema_name")
        ]
    return table(rows, columns)


def in_scope(conn: WarehouseConnection, wanted: ShowFilter, name: str) -> bool:
    """Whether an object in a schema lies where SHOW … IN looks: the given place, else the current schema or database."""
    database, schema, _ = name.split(".", 2)
    if wanted.scope_kind == "ACCOUNT":
        return True
    if wanted.scope_kind == "DATABASE":
        return database == (wanted.scope[0] if wanted.scope else conn.database)
    if wanted.scope_kind == "SCHEMA" or (wanted.scope_kind == "NAME" and wanted.scope):
        if not wanted.scope:
            return (database, schema) == (conn.database, conn.schema)
        return (database, schema) == conn.qualify_schema(wanted.scope, "SHOW")
    if conn.database is None:
        return True
    return database == conn.database and (conn.schema is None or schema == conn.schema)


def _created(item: AccountObject) -> datetime:
    return item.created_on.astimezone(UTC)


def _warehouse_row(conn: WarehouseConnection, item: AccountObject) -> dict[str, object]:
    p = item.properties
    return {
        "name": item.name, "state": p.get("STATE", "STARTED"), "type": p["WAREHOUSE_TYPE"],
        "size": SIZES[str(p["WAREHOUSE_SIZE"])],
        "min_cluster_count": p["MIN_CLUSTER_COUNT"], "max_cluster_count": p["MAX_CLUSTER_COUNT"],
        "started_clusters": 1 if p.get("STATE") == "STARTED" else 0, "running": 0, "queued": 0, "is_default": "N",
        "is_current": "Y" if conn.warehouse == item.name else "N", "auto_suspend": p["AUTO_SUSPEND"] or None,
        "auto_resume": str(p["AUTO_RESUME"]).lower(), "available": "100", "provisioning": "0", "quiescing": "0", "other": "0",
        "created_on": _created(item), "resumed_on": _created(item), "updated_on": _created(item), "owner": item.owner,
        "comment": item.comment, "enable_query_acceleration": str(p["ENABLE_QUERY_ACCELERATION"]).lower(),
        "query_acceleration_max_scale_factor": p["QUERY_ACCELERATION_MAX_SCALE_FACTOR"],
        "resource_monitor": p.get("RESOURCE_MONITOR") or "null", "actives": 0, "pendings": 0, "failed": 0, "suspended": 0,
        "uuid": "0", "scaling_policy": p["SCALING_POLICY"], "budget": None, "owner_role_type": "ROLE",
        "resource_constraint": p.get("RESOURCE_CONSTRAINT"),
    }  # fmt: skip


def _role_row(conn: WarehouseConnection, item: AccountObject) -> dict[str, object]:
    roles = [g for g in conn.account.grants() if g.on_kind == "ROLE" and g.privilege == "USAGE"]
    return {
        "created_on": _created(item), "name": item.name, "is_default": "N",
        "is_current": "Y" if conn.role == item.name else "N",
        "is_inherited": "Y" if item.name in conn.account.roles_of(conn.role) and item.name != conn.role else "N",
        "assigned_to_users": sum(1 for g in roles if g.on_name == item.name and g.to_kind == "USER"),
        "granted_to_roles": sum(1 for g in roles if g.on_name == item.name and g.to_kind == "ROLE"),
        "granted_roles": sum(1 for g in roles if g.to_name == item.name and g.to_kind == "ROLE"),
        "owner": item.owner, "comment": item.comment,
    }  # fmt: skip


def _user_row(_: WarehouseConnection, item: AccountObject) -> dict[str, object]:
    p = item.properties
    return {
        "name": item.name, "created_on": _created(item), "login_name": p.get("LOGIN_NAME", item.name),
        "display_name": p.get("DISPLAY_NAME", item.name), "first_name": p.get("FIRST_NAME"), "last_name": p.get("LAST_NAME"),
        "email": p.get("EMAIL"), "mins_to_unlock": None, "days_to_expiry": None, "comment": item.comment,
        "disabled": str(bool(p.get("DISABLED"))).lower(),
        "must_change_password": str(bool(p.get("MUST_CHANGE_PASSWORD"))).lower(),
        "snowflake_lock": "false", "default_warehouse": p.get("DEFAULT_WAREHOUSE"),
        "default_namespace": p.get("DEFAULT_NAMESPACE"),
        "default_role": p.get("DEFAULT_ROLE"), "default_secondary_roles": _list_text(p.get("DEFAULT_SECONDARY_ROLES", ["ALL"])),
        "ext_authn_duo": "false", "ext_authn_uid": None, "mins_to_bypass_mfa": None, "owner": item.owner,
        "last_success_login": None, "expires_at_time": None, "locked_until_time": None,
        "has_password": str("PASSWORD" in p).lower(), "has_rsa_public_key": str(bool(p.get("RSA_PUBLIC_KEY"))).lower(),
        "type": p.get("TYPE"), "has_mfa": "false",
    }  # fmt: skip


def _list_text(value: object) -> str:
    return "[" + ", ".join(f'"{v}"' for v in value) + "]" if isinstance(value, list) else str(value or "")


def _integration_row(_: WarehouseConnection, item: AccountObject) -> dict[str, object]:
    return {
        "name": item.name, "type": item.properties["TYPE"], "category": "STORAGE",
        "enabled": str(item.properties["ENABLED"]).lower(), "comment": item.comment, "created_on": _created(item),
    }  # fmt: skip


def _monitor_row(_: WarehouseConnection, item: AccountObject) -> dict[str, object]:
    p = item.properties
    triggers = p.get("TRIGGERS") or []
    assert isinstance(triggers, list)

    def at(action: str) -> str | None:
        return ",".join(f"{percent}%" for percent, what in triggers if what == action) or None

    quota = None if p.get("CREDIT_QUOTA") is None else f"{float(str(p['CREDIT_QUOTA'])):.2f}"
    return {
        "name": item.name, "credit_quota": quota, "used_credits": "0.00", "remaining_credits": quota, "level": None,
        "frequency": p.get("FREQUENCY", "MONTHLY"), "start_time": _created(item), "end_time": None, "notify_at": at("NOTIFY"),
        "suspend_at": at("SUSPEND"), "suspend_immediately_at": at("SUSPEND_IMMEDIATE"), "created_on": _created(item),
        "owner": item.owner, "comment": item.comment, "notify_users": ", ".join(map(str, p.get("NOTIFY_USERS") or [])),  # type: ignore[call-overload]
    }  # fmt: skip


def _policy_row(_: WarehouseConnection, item: AccountObject) -> dict[str, object]:
    p = item.properties
    return {
        "created_on": _created(item), "name": item.name, "comment": item.comment,
        "entries_in_allowed_ip_list": len(p.get("ALLOWED_IP_LIST") or []),  # type: ignore[arg-type]
        "entries_in_blocked_ip_list": len(p.get("BLOCKED_IP_LIST") or []),  # type: ignore[arg-type]
        "entries_in_allowed_network_rules": len(p.get("ALLOWED_NETWORK_RULE_LIST") or []),  # type: ignore[arg-type]
        "entries_in_blocked_network_rules": len(p.get("BLOCKED_NETWORK_RULE_LIST") or []),  # type: ignore[arg-type]
    }  # fmt: skip


def _tag_row(_: WarehouseConnection, item: AccountObject) -> dict[str, object]:
    database, schema, name = item.name.split(".", 2)
    return {
        "created_on": _created(item), "name": name, "database_name": database, "schema_name": schema, "owner": item.owner,
        "comment": item.comment, "allowed_values": _list_text(item.properties.get("ALLOWED_VALUES")) or None,
        "owner_role_type": "ROLE", "propagate": item.properties.get("PROPAGATE"), "on_conflict": None,
    }  # fmt: skip


_AT = TIMESTAMP_LTZ
_SHOWN: dict[str, tuple[list[str | tuple[str, str]], Callable[[WarehouseConnection, AccountObject], dict[str, object]]]] = {
    "WAREHOUSE": (
        [
            "name", "state", "type", "size", ("min_cluster_count", "BIGINT"), ("max_cluster_count", "BIGINT"),
            ("started_clusters", "BIGINT"), ("running", "BIGINT"), ("queued", "BIGINT"), "is_default", "is_current",
            ("auto_suspend", "BIGINT"), "auto_resume", "available", "provisioning", "quiescing", "other", ("created_on", _AT),
            ("resumed_on", _AT), ("updated_on", _AT), "owner", "comment", "enable_query_acceleration",
            ("query_acceleration_max_scale_factor", "BIGINT"), "resource_monitor", ("actives", "BIGINT"), ("pendings", "BIGINT"),
            ("failed", "BIGINT"), ("suspended", "BIGINT"), "uuid", "scaling_policy", "budget", "owner_role_type",
            "resource_constraint",
        ],
        _warehouse_row,
    ),
    "ROLE": (
        [
            ("created_on", _AT), "name", "is_default", "is_current", "is_inherited", ("assigned_to_users", "BIGINT"),
            ("granted_to_roles", "BIGINT"), ("granted_roles", "BIGINT"), "owner", "comment",
        ],
        _role_row,
    ),
    "USER": (
        [
            "name", ("created_on", _AT), "login_name", "display_name", "first_name", "last_name", "email", "mins_to_unlock",
            "days_to_expiry", "comment", "disabled", "must_change_password", "snowflake_lock", "default_warehouse",
            "default_namespace", "default_role", "default_secondary_roles", "ext_authn_duo", "ext_authn_uid",
            "mins_to_bypass_mfa", "owner", ("last_success_login", _AT), ("expires_at_time", _AT), ("locked_until_time", _AT),
            "has_password", "has_rsa_public_key", "type", "has_mfa",
        ],
        _user_row,
    ),
    "INTEGRATION": (["name", "type", "category", "enabled", "comment", ("created_on", _AT)], _integration_row),
    "RESOURCE MONITOR": (
        [
            "name", "credit_quota", "used_credits", "remaining_credits", "level", "frequency", ("start_time", _AT),
            ("end_time", _AT), "notify_at", "suspend_at", "suspend_immediately_at", ("created_on", _AT), "owner", "comment",
            "notify_users",
        ],
        _monitor_row,
    ),
    "NETWORK POLICY": (
        [
            ("created_on", _AT), "name", "comment", ("entries_in_allowed_ip_list", "BIGINT"),
            ("entries_in_blocked_ip_list", "BIGINT"), ("entries_in_allowed_network_rules", "BIGINT"),
            ("entries_in_blocked_network_rules", "BIGINT"),
        ],
        _policy_row,
    ),
    "TAG": (
        [
            ("created_on", _AT), "name", "database_name", "schema_name", "owner", "comment", "allowed_values", "owner_role_type",
            "propagate", "on_conflict",
        ],
        _tag_row,
    ),
}  # fmt: skip


# ---- DESCRIBE


def describe(conn: WarehouseConnection, words: Words) -> Result:
    """DESC[RIBE] INTEGRATION | USER | WAREHOUSE | NETWORK POLICY <name>."""
    words.accept_any("DESCRIBE", "DESC")
    kind = accept_kind(words)
    assert kind is not None
    parts = words.name()
    words.finish()
    found = conn.account.find(kind.name, conn.full_name(kind.name, parts, "DESCRIBE"))
    if found is None or (kind.name != "USER" and not conn.may_see(kind.name, found.name)):
        raise errors.not_found(kind.name, parts[-1])
    if kind.name == "INTEGRATION":
        return _describe_integration(found)
    if kind.name == "USER":
        return _describe_user(found)
    if kind.name == "WAREHOUSE":
        return table(
            [{"created_on": _created(found), "name": found.name, "kind": "WAREHOUSE"}],
            [("created_on", _AT), "name", "kind"],
        )
    if kind.name == "NETWORK POLICY":
        return table(
            [
                {"name": key, "value": ",".join(map(str, value))}
                for key, value in found.properties.items()
                if isinstance(value, list)
            ],
            ["name", "value"],
        )
    raise errors.unsupported(f"DESCRIBE {kind.name}")


def _describe_integration(found: AccountObject) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/desc-integration: what the bucket's trust policy needs."""
    p = found.properties
    rows = [
        ("ENABLED", "Boolean", str(p["ENABLED"]).lower(), "false"),
        ("STORAGE_PROVIDER", "String", p["STORAGE_PROVIDER"], ""),
    ]
    for key in ("STORAGE_ALLOWED_LOCATIONS", "STORAGE_BLOCKED_LOCATIONS"):
        rows.append((key, "List", ",".join(map(str, p.get(key) or [])), "[]"))  # type: ignore[call-overload]
    for key in ("STORAGE_AWS_IAM_USER_ARN", "STORAGE_AWS_ROLE_ARN", "STORAGE_AWS_EXTERNAL_ID"):
        rows.append((key, "String", p.get(key), ""))
    rows.append(("USE_PRIVATELINK_ENDPOINT", "Boolean", str(bool(p.get("USE_PRIVATELINK_ENDPOINT"))).lower(), "false"))
    rows.append(("COMMENT", "String", found.comment, ""))
    return Result([(c, "VARCHAR") for c in ("property", "property_type", "property_value", "property_default")], rows)


def fingerprint(public_key: str) -> str:
    """`SHA256:…` of a public key as DESC USER and the JWT's issuer write it (https://docs.snowflake.com/en/user-guide/key-pair-auth)."""
    import base64

    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(public_key)).digest()).decode()


def _describe_user(found: AccountObject) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/desc-user."""
    p = dict(found.properties)
    rows: list[tuple[str, str | None, str | None, str]] = [("NAME", found.name, "null", "Name")]
    rows.append(("COMMENT", found.comment or "null", "null", "user comment associated to an object in the dictionary"))
    for key in ("DISPLAY_NAME", "TYPE", "LOGIN_NAME", "EMAIL", "DISABLED", "DEFAULT_WAREHOUSE", "DEFAULT_NAMESPACE",
        "DEFAULT_ROLE",
                "DEFAULT_SECONDARY_ROLES", "RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2", "NETWORK_POLICY"):  # fmt: skip
        value = p.get(key)
        rows.append(
            (key, "null" if value is None else _list_text(value) if isinstance(value, list) else str(value), "null", "")
        )
        if key.startswith("RSA"):
            text = fingerprint(str(value)) if value else "null"
            rows.append((key.replace("RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_FP") if not key.endswith("2") else "RSA_PUBLIC_KEY_2_FP",
                         text, "null", ""))  # fmt: skip
    rows.append(("PASSWORD", "********" if "PASSWORD" in p else "null", "null", "Password of the user"))
    return Result([(c, "VARCHAR") for c in ("property", "value", "default", "description")], rows)
