"""SHOW and DESCRIBE of stages and file formats: Account ──▶ Snowflake's columns, and each option with its default.

https://docs.snowflake.com/en/sql-reference/sql/show-stages, …/show-file-formats, …/desc-stage, …/desc-file-format
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any

from flows.embedded.warehouse.session.result import TIMESTAMP_LTZ, Result, table
from flows.embedded.warehouse.session.visibility import may_show
from flows.embedded.warehouse.statements.show_filter import in_scope, show_filter
from flows.embedded.warehouse.statements.stage_options import CSV_OPTIONS, all_options, stage_type
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

_SHOWN: dict[str, list[str | tuple[str, str]]] = {
    "STAGE": [
        ("created_on", TIMESTAMP_LTZ), "name", "database_name", "schema_name", "url", "has_credentials",
        "has_encryption_key", "owner",
        "comment", "region", "type", "cloud", "notification_channel", "storage_integration", "endpoint", "owner_role_type",
        "directory_enabled",
    ],
    "FILE FORMAT": [
        ("created_on", TIMESTAMP_LTZ), "name", "database_name", "schema_name", "type", "owner", "comment", "format_options",
        "owner_role_type",
    ],
}  # fmt: skip


def show(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW STAGES | FILE FORMATS [LIKE …] [IN …] (https://docs.snowflake.com/en/sql-reference/sql/show-stages)."""
    words.expect("SHOW")
    kind = {"STAGES": "STAGE", "FILE FORMATS": "FILE FORMAT"}[words.accept_any("STAGES", "FILE FORMATS")]
    filter_ = show_filter(words)
    rows: list[dict[str, object]] = []
    for item in conn.account.all(kind):
        database, schema, name = item.name.split(".", 2)
        if not filter_.admits(name) or not in_scope(conn, filter_, item.name) or not may_show(conn, kind, item.name):
            continue
        p = item.properties
        url = str(p.get("URL") or "")
        rows.append({
            "created_on": item.created_on.astimezone(UTC), "name": name, "database_name": database,
            "schema_name": schema, "url": url,
            "has_credentials": "Y" if p.get("HAS_CREDENTIALS") else "N", "has_encryption_key": "N", "owner": item.owner,
            "comment": item.comment, "region": "us-east-1" if url else None,
            "type": p.get("TYPE") if kind == "FILE FORMAT" else stage_type(p),
            "cloud": "AWS" if url else None, "notification_channel": None, "storage_integration": p.get("STORAGE_INTEGRATION"),
            "endpoint": None, "owner_role_type": "ROLE", "directory_enabled": "N",
            "format_options": json.dumps(all_options(p)),
        })  # fmt: skip
    return table(filter_.cut(rows), _SHOWN[kind])


_CONTROLS = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _shown(value: object) -> str:
    """Write a value as accounts do: strings with backslash and double quote escaped, lists without quotes around members
    (https://github.com/snowflakedb/terraform-provider-snowflake/blob/main/pkg/sdk/testint/file_formats_gen_integration_test.go).
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_shown(str(v)) for v in value) + "]"
    if value is None:
        return "NONE"
    return str(value).replace("\\", "\\\\").replace('"', '\\"').translate(_CONTROLS)


def _format_rows(written: Mapping[str, object]) -> list[tuple[str, str, str, str]]:
    return [(k, type_, _shown(written.get(k, default)), _shown(default)) for k, (type_, default) in CSV_OPTIONS.items()]


def describe(conn: WarehouseConnection, words: Words) -> Result:
    """DESC STAGE | FILE FORMAT <name>: one row per property with its value and Snowflake's default."""
    words.accept_any("DESCRIBE", "DESC")
    kind = words.accept_any("STAGE", "FILE FORMAT")
    parts = words.name()
    words.finish()
    full = ".".join(conn.qualify(parts, "DESCRIBE"))
    item = conn.account.find(kind, full)
    if item is None or not conn.may_see(kind, full):
        raise errors.not_found(kind, full)
    if kind == "FILE FORMAT":
        columns = ("property", "property_type", "property_value", "property_default")
        return Result([(c, "VARCHAR") for c in columns], _format_rows(item.properties))
    p = item.properties
    raw = p.get("FILE_FORMAT")
    written: dict[str, Any] = dict(raw) if isinstance(raw, Mapping) else {}
    if named := written.get("FORMAT_NAME"):
        rows: list[tuple[str, ...]] = [("STAGE_FILE_FORMAT", "FORMAT_NAME", "String", str(named), "")]
    else:
        rows = [("STAGE_FILE_FORMAT", *row) for row in _format_rows(written)]
    rows += [
        ("STAGE_COPY_OPTIONS", "ON_ERROR", "String", "ABORT_STATEMENT", "ABORT_STATEMENT"),
        ("STAGE_COPY_OPTIONS", "SIZE_LIMIT", "Long", "", ""),
        ("STAGE_COPY_OPTIONS", "PURGE", "Boolean", "false", "false"),
        ("STAGE_COPY_OPTIONS", "FORCE", "Boolean", "false", "false"),
        ("STAGE_LOCATION", "URL", "String", json.dumps([p["URL"]]) if p.get("URL") else "", ""),
        ("STAGE_INTEGRATION", "STORAGE_INTEGRATION", "String", str(p.get("STORAGE_INTEGRATION") or ""), ""),
        ("DIRECTORY", "ENABLE", "Boolean", "false", "false"),
    ]
    columns_ = ("parent_property", "property", "property_type", "property_value", "property_default")
    return Result([(c, "VARCHAR") for c in columns_], rows)
