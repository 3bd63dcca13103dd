"""SHOW WAREHOUSES | ROLES | USERS | INTEGRATIONS | RESOURCE MONITORS | TAGS: Account ──▶ Snowflake's columns.

https://docs.snowflake.com/en/sql-reference/sql/show-warehouses and its siblings.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.embedded.warehouse.account.kinds import KINDS, PLURALS, SIZES
from flows.embedded.warehouse.account.objects import AccountObject
from flows.embedded.warehouse.session.result import TIMESTAMP_LTZ, Result, table
from flows.embedded.warehouse.session.visibility import may_see_user, may_show
from flows.embedded.warehouse.statements.show_filter import in_scope, show_filter
from flows.embedded.warehouse.text.grammar import Words

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def show(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW [TERSE] <plural of a kind> [LIKE …] [IN …] [STARTS WITH …] [LIMIT …]."""
    words.expect("SHOW")
    terse = words.accept("TERSE")
    words.accept("STORAGE")
    kind = PLURALS[words.accept_any(*PLURALS)]
    filter_ = show_filter(words)
    rows: list[dict[str, object]] = []
    for item in conn.account.all(kind):
        short = item.name.rpartition(".")[2] if KINDS[kind].in_schema else item.name
        if not filter_.admits(short):
            continue
        if not may_show(conn, kind, item.name):
            continue
        if KINDS[kind].in_schema and not in_scope(conn, filter_, item.name):
            continue
        rows.append(_SHOWN[kind][1](conn, item))
    rows = filter_.cut(rows)
    columns = _SHOWN[kind][0]
    if terse:
        columns = [
            c
            for c in columns
            if (c if isinstance(c, str) else c[0]) in ("created_on", "name", "kind", "database_name", "schema_name")
        ]
    return table(rows, columns)


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
        "resource_constraint": p.get("RESOURCE_CONSTRAINT"), "generation": p.get("GENERATION"),
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


def _user_row(conn: WarehouseConnection, item: AccountObject) -> dict[str, object]:
    p = item.properties
    if not may_see_user(conn, item.name):  # "Otherwise, the other columns contain NULL."
        return {"name": item.name}
    return {
        "name": item.name, "created_on": _created(item), "login_name": p.get("LOGIN_NAME", item.name),
        "display_name": p.get("DISPLAY_NAME", item.name), "first_name": p.get("FIRST_NAME"), "last_name": p.get("LAST_NAME"),
        "email": p.get("EMAIL"), "mins_to_unlock": None, "days_to_expiry": None, "comment": item.comment,
        "disabled": str(bool(p.get("DISABLED"))).lower(),
        "must_change_password": str(bool(p.get("MUST_CHANGE_PASSWORD"))).lower(),
        "snowflake_lock": "false", "default_warehouse": p.get("DEFAULT_WAREHOUSE"),
        "default_namespace": p.get("DEFAULT_NAMESPACE"),
        "default_role": p.get("DEFAULT_ROLE"), "default_secondary_roles": list_text(p.get("DEFAULT_SECONDARY_ROLES", ["ALL"])),
        "ext_authn_duo": "false", "ext_authn_uid": None, "mins_to_bypass_mfa": None, "owner": item.owner,
        "last_success_login": None, "expires_at_time": None, "locked_until_time": None,
        "has_password": str("PASSWORD" in p).lower(), "has_rsa_public_key": str(bool(p.get("RSA_PUBLIC_KEY"))).lower(),
        "type": p.get("TYPE"), "has_mfa": "false",
    }  # fmt: skip


def list_text(value: object) -> str:
    """Write `["a", "b"]`, as SHOW and DESC write a list."""
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


def _tag_row(_: WarehouseConnection, item: AccountObject) -> dict[str, object]:
    database, schema, name = item.name.split(".", 2)
    return {
        "created_on": _created(item), "name": name, "database_name": database, "schema_name": schema, "owner": item.owner,
        "comment": item.comment, "allowed_values": list_text(item.properties.get("ALLOWED_VALUES")) or None,
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
            "resource_constraint", "generation",
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
    "TAG": (
        [
            ("created_on", _AT), "name", "database_name", "schema_name", "owner", "comment", "allowed_values", "owner_role_type",
            "propagate", "on_conflict",
        ],
        _tag_row,
    ),
}  # fmt: skip
