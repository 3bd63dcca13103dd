"""Finds a stage or file format by its name in a statement, completed with the session's database and schema; checks USAGE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flows.embedded.warehouse.account.objects import AccountObject
from flows.embedded.warehouse.session.context import StageInfo
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import split_name

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def find_file_format(conn: WarehouseConnection, name: str) -> AccountObject:
    """Find a named file format. Raises 002003 (02000) if it does not exist, 003001 without USAGE."""
    parts = split_name(name)
    full = ".".join(conn.qualify(parts))
    item = conn.account.find("FILE FORMAT", full)
    if item is None:
        raise errors.not_found("FILE FORMAT", ".".join(parts))
    conn.require_use_of(*full.split(".", 2)[:2])
    conn.require("USAGE", "FILE FORMAT", full)
    return item


def file_format_options(conn: WarehouseConnection, name: str) -> Mapping[str, object]:
    """Return the options written on a named file format, TYPE included."""
    return dict(find_file_format(conn, name).properties)


def stage_info(conn: WarehouseConnection, name: str) -> StageInfo:
    """Find a stage and resolve its named file format; USAGE is checked on both. Raises 002003 (02000), 003001."""
    if name.startswith(("~", "%")) or name.rpartition(".")[2].startswith("%"):
        raise errors.unsupported(f"the stage of a user or a table (@{name}); CREATE STAGE makes one")
    database, schema, stage = conn.qualify(split_name(name))
    item = conn.account.find("STAGE", f"{database}.{schema}.{stage}")
    if item is None:
        raise errors.not_found("STAGE", f"{database}.{schema}.{stage}")
    conn.require_use_of(database, schema)
    conn.require("USAGE", "STAGE", item.name)
    written = item.properties.get("FILE_FORMAT") or {}
    options: dict[str, object] = dict(written) if isinstance(written, Mapping) else {}
    if named := options.pop("FORMAT_NAME", None):
        options = {**file_format_options(conn, str(named)), **options}
    url = str(item.properties["URL"])
    return StageInfo(
        database,
        schema,
        stage,
        url if url.endswith("/") else url + "/",
        options,
        integration=str(item.properties.get("STORAGE_INTEGRATION") or "") or None,
        has_credentials=bool(item.properties.get("HAS_CREDENTIALS")),
    )
