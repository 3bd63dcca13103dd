"""DESCRIBE INTEGRATION | USER | WAREHOUSE: one account object ──▶ its properties, a row for each."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from flows.embedded.warehouse.account.credentials import fingerprint
from flows.embedded.warehouse.account.kinds import accept_kind
from flows.embedded.warehouse.account.objects import AccountObject
from flows.embedded.warehouse.session.result import TIMESTAMP_LTZ, Result, table
from flows.embedded.warehouse.session.visibility import may_see_user
from flows.embedded.warehouse.statements.objects_shown import list_text
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def describe(conn: WarehouseConnection, words: Words) -> Result:
    """DESC[RIBE] INTEGRATION | USER | WAREHOUSE <name>.

    A user: the session's own, one that the role owns (https://docs.snowflake.com/en/sql-reference/sql/desc-user), or one with
    MONITOR for it (https://docs.snowflake.com/en/developer-guide/streamlit/app-development/personalization).
    """
    words.accept_any("DESCRIBE", "DESC")
    kind = accept_kind(words)
    assert kind is not None
    parts = words.name()
    words.finish()
    item = conn.account.find(kind.name, conn.full_name(kind.name, parts, "DESCRIBE"))
    if item is None or (kind.name != "USER" and not conn.may_see(kind.name, item.name)):
        raise errors.not_found(kind.name, parts[-1])
    if kind.name == "INTEGRATION":
        return _describe_integration(item)
    if kind.name == "USER":
        if not (item.name == conn.user or conn.may("MONITOR", "USER", item.name) or may_see_user(conn, item.name)):
            raise errors.insufficient("USER", item.name)
        return _describe_user(item)
    if kind.name == "WAREHOUSE":
        return table(
            [{"created_on": item.created_on.astimezone(UTC), "name": item.name, "kind": "WAREHOUSE"}],
            [("created_on", TIMESTAMP_LTZ), "name", "kind"],
        )
    raise errors.unsupported(f"DESCRIBE {kind.name}")


def _describe_integration(item: AccountObject) -> Result:
    """List an integration's properties, which the bucket's trust policy needs
    (https://docs.snowflake.com/en/sql-reference/sql/desc-integration)."""
    p = item.properties
    rows = [
        ("ENABLED", "Boolean", str(p["ENABLED"]).lower(), "false"),
        ("STORAGE_PROVIDER", "String", p["STORAGE_PROVIDER"], ""),
    ]
    for key in ("STORAGE_ALLOWED_LOCATIONS", "STORAGE_BLOCKED_LOCATIONS"):
        rows.append((key, "List", ",".join(map(str, p.get(key) or [])), "[]"))  # type: ignore[call-overload]
    for key in ("STORAGE_AWS_IAM_USER_ARN", "STORAGE_AWS_ROLE_ARN", "STORAGE_AWS_EXTERNAL_ID"):
        rows.append((key, "String", p.get(key), ""))
    rows.append(("USE_PRIVATELINK_ENDPOINT", "Boolean", str(bool(p.get("USE_PRIVATELINK_ENDPOINT"))).lower(), "false"))
    rows.append(("COMMENT", "String", item.comment, ""))
    return Result([(c, "VARCHAR") for c in ("property", "property_type", "property_value", "property_default")], rows)


def _describe_user(item: AccountObject) -> Result:
    """List a user's properties (https://docs.snowflake.com/en/sql-reference/sql/desc-user)."""
    p = dict(item.properties)
    rows: list[tuple[str, str | None, str | None, str]] = [("NAME", item.name, "null", "Name")]
    rows.append(("COMMENT", item.comment or "null", "null", "user comment associated to an object in the dictionary"))
    for key in ("DISPLAY_NAME", "TYPE", "LOGIN_NAME", "EMAIL", "DISABLED", "DEFAULT_WAREHOUSE", "DEFAULT_NAMESPACE",
        "DEFAULT_ROLE",
                "DEFAULT_SECONDARY_ROLES", "RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2", "NETWORK_POLICY"):  # fmt: skip
        value = p.get(key)
        rows.append(
            (key, "null" if value is None else list_text(value) if isinstance(value, list) else str(value), "null", "")
        )
        if key.startswith("RSA"):
            text = fingerprint(str(value)) if value else "null"
            rows.append((key.replace("RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_FP") if not key.endswith("2") else "RSA_PUBLIC_KEY_2_FP",
                         text, "null", ""))  # fmt: skip
    rows.append(("PASSWORD", "********" if "PASSWORD" in p else "null", "null", "Password of the user"))
    return Result([(c, "VARCHAR") for c in ("property", "value", "default", "description")], rows)
