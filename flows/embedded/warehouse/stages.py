"""Stages and file formats, and what lies in a stage.

CREATE STAGE | FILE FORMAT ──every option kept──▶ Account; LIST @stage/path ◀── the S3 server's own listing

https://docs.snowflake.com/en/sql-reference/sql/create-stage, …/create-file-format, …/desc-stage, …/desc-file-format, …/list.
fakesnow's tables of stages and file formats get the same rows, because its SHOW, PUT and internal stages read them.

Both in one file: a stage carries a file format, and COPY asks for them together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from flows.embedded.warehouse import errors
from flows.embedded.warehouse.account import AccountObject
from flows.embedded.warehouse.grammar import Words, accept_create_prefix, split_name
from flows.embedded.warehouse.result import TIMESTAMP_LTZ, Result, status, table
from flows.embedded.warehouse.show_filter import in_scope, show_filter

if TYPE_CHECKING:
    from flows.embedded.warehouse.connection import WarehouseConnection

# name → (type as DESC writes it, Snowflake's default); https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv
CSV_OPTIONS: dict[str, tuple[str, object]] = {
    "TYPE": ("String", "CSV"),
    "RECORD_DELIMITER": ("String", "\n"),
    "FIELD_DELIMITER": ("String", ","),
    "FILE_EXTENSION": ("String", ""),
    "SKIP_HEADER": ("Integer", 0),
    "PARSE_HEADER": ("Boolean", False),
    "DATE_FORMAT": ("String", "AUTO"),
    "TIME_FORMAT": ("String", "AUTO"),
    "TIMESTAMP_FORMAT": ("String", "AUTO"),
    "BINARY_FORMAT": ("String", "HEX"),
    "ESCAPE": ("String", None),
    "ESCAPE_UNENCLOSED_FIELD": ("String", "\\"),
    "TRIM_SPACE": ("Boolean", False),
    "FIELD_OPTIONALLY_ENCLOSED_BY": ("String", None),
    "NULL_IF": ("List", ["\\N"]),
    "COMPRESSION": ("String", "AUTO"),
    "ERROR_ON_COLUMN_COUNT_MISMATCH": ("Boolean", True),
    "VALIDATE_UTF8": ("Boolean", True),
    "SKIP_BLANK_LINES": ("Boolean", False),
    "REPLACE_INVALID_CHARACTERS": ("Boolean", False),
    "EMPTY_FIELD_AS_NULL": ("Boolean", True),
    "SKIP_BYTE_ORDER_MARK": ("Boolean", True),
    "ENCODING": ("String", "UTF8"),
    "MULTI_LINE": ("Boolean", True),
}
_OTHER_TYPES = ("JSON", "AVRO", "ORC", "PARQUET", "XML")
_COMPRESSIONS = ("AUTO", "GZIP", "BZ2", "BROTLI", "ZSTD", "DEFLATE", "RAW_DEFLATE", "NONE")


def format_options(options: Mapping[str, object]) -> dict[str, object]:
    """The written options of a file format, checked by name and type; only what was written.

    Raises ProgrammingError 001420 for an unknown option, 001008 for a bad value, 000002 for two that exclude each other.
    """
    kind = str(options.get("TYPE", "CSV")).upper()
    if kind not in ("CSV", *_OTHER_TYPES):
        raise errors.invalid_value(kind, "TYPE")
    found: dict[str, object] = {}
    for key, value in options.items():
        if kind != "CSV":
            found[key] = value
            continue
        if key not in CSV_OPTIONS:
            raise errors.invalid_property(key, "FILE FORMAT")
        wanted, _ = CSV_OPTIONS[key]
        if wanted == "Boolean" and not isinstance(value, bool):
            raise errors.invalid_value(value, key)
        if wanted == "Integer" and not (isinstance(value, int) and value >= 0):
            raise errors.invalid_value(value, key)
        if wanted == "List":
            value = [str(v) for v in value] if isinstance(value, list) else [str(value)]
        if key == "COMPRESSION":
            value = "NONE" if value is None else str(value).upper()
            if value not in _COMPRESSIONS:
                raise errors.invalid_value(value, key)
        elif wanted == "String" and value is not None:
            value = str(value)
        if key in ("ESCAPE", "ESCAPE_UNENCLOSED_FIELD", "FIELD_OPTIONALLY_ENCLOSED_BY") and value == "":
            value = None
        found[key] = value
    found["TYPE"] = kind
    if found.get("PARSE_HEADER") and found.get("SKIP_HEADER"):
        raise errors.unsupported("PARSE_HEADER together with SKIP_HEADER")
    return found


def create_file_format(conn: WarehouseConnection, words: Words) -> Result:
    """CREATE [OR REPLACE | OR ALTER] [TEMPORARY] FILE FORMAT [IF NOT EXISTS] <name> TYPE = … <options> [COMMENT = …]."""
    how = accept_create_prefix(words)
    words.accept_any("TEMPORARY", "TEMP", "VOLATILE")
    words.expect("FILE", "FORMAT")
    if_absent = words.accept("IF", "NOT", "EXISTS")
    parts = words.name()
    database, schema, name = conn.qualify(parts, "CREATE FILE FORMAT")
    options = words.options()
    words.finish()
    comment = str(options.pop("COMMENT", ""))
    written = format_options(options)
    before = _make(conn, "FILE FORMAT", (database, schema, name), how, if_absent, comment, written)
    if before:
        return before
    full = {k: d for k, (_, d) in CSV_OPTIONS.items()} | written if written["TYPE"] == "CSV" else written
    with conn.engine.duck.cursor() as duck:
        duck.execute(
            "INSERT OR REPLACE INTO _fs_global._fs_information_schema._fs_file_formats "
            "(created_on, name, database_name, schema_name, type, options, comment) VALUES (now(), ?, ?, ?, ?, ?, ?)",
            [name, database, schema, written["TYPE"], json.dumps(full), comment],
        )
    return status(f"File format {name} successfully created.")


def create_stage(conn: WarehouseConnection, words: Words) -> Result:
    """CREATE [OR REPLACE | OR ALTER] [TEMPORARY] STAGE [IF NOT EXISTS] <name> [URL …] [FILE_FORMAT …] …"""
    how = accept_create_prefix(words)
    temporary = bool(words.accept_any("TEMPORARY", "TEMP"))
    words.expect("STAGE")
    if_absent = words.accept("IF", "NOT", "EXISTS")
    parts = words.name()
    database, schema, name = conn.qualify(parts, "CREATE STAGE")
    options = words.options()
    words.finish()
    comment = str(options.pop("COMMENT", ""))
    properties = stage_properties(conn, options)
    before = _make(
        conn, "STAGE", (database, schema, name), how, if_absent, comment, {**properties, "TEMPORARY": temporary}
    )
    if before:
        return before
    _mirror_stage(conn, f"{database}.{schema}.{name}")
    return status(f"Stage area {name} successfully created.")


def stage_properties(conn: WarehouseConnection, options: Mapping[str, object]) -> dict[str, object]:
    """The options of CREATE and ALTER STAGE, checked. Keys of the cloud (CREDENTIALS) are seen and not kept."""
    found: dict[str, object] = {}
    for key, value in options.items():
        if key == "URL":
            if not str(value).startswith("s3://"):
                raise errors.unsupported(f"stage URL {value} (s3:// only)")
            found[key] = str(value)
        elif key == "STORAGE_INTEGRATION":
            integration = split_name(str(value))[-1]
            if conn.account.find("INTEGRATION", integration) is None:
                raise errors.not_found("INTEGRATION", integration)
            conn.require("USAGE", "INTEGRATION", integration)
            found[key] = integration
        elif key == "FILE_FORMAT":
            found[key] = file_format_clause(conn, value)
        elif key == "CREDENTIALS":
            found["HAS_CREDENTIALS"] = True
        elif key in ("ENCRYPTION", "DIRECTORY", "COPY_OPTIONS", "TAG", "USE_PRIVATELINK_ENDPOINT"):
            found[key] = value
        else:
            raise errors.invalid_property(key, "STAGE")
    if found.get("STORAGE_INTEGRATION") and found.get("URL"):
        _check_location(conn, str(found["STORAGE_INTEGRATION"]), str(found["URL"]))
    return found


def file_format_clause(conn: WarehouseConnection, value: object) -> dict[str, object]:
    """`FILE_FORMAT = (FORMAT_NAME = 'x')`, `= (TYPE = CSV …)` or `= x`, as a dict; a named format must exist."""
    options = dict(value) if isinstance(value, Mapping) else {"FORMAT_NAME": str(value)}
    if named := options.pop("FORMAT_NAME", None):
        found = conn.find_file_format(str(named))
        options = {k: v for k, v in format_options(options).items() if k in options} if options else {}
        return {"FORMAT_NAME": found.name, **options}
    return format_options(options)


def _check_location(conn: WarehouseConnection, integration: str, url: str) -> None:
    """A stage's URL lies in one of the integration's STORAGE_ALLOWED_LOCATIONS
    (https://docs.snowflake.com/en/sql-reference/sql/create-storage-integration#required-parameters)."""
    found = conn.account.find("INTEGRATION", integration)
    assert found is not None

    def lists(key: str) -> bool:
        places = found.properties.get(key) or []
        assert isinstance(places, list)
        return any(p == "*" or (url.rstrip("/") + "/").startswith(str(p).rstrip("/") + "/") for p in places)

    if not found.properties.get("ENABLED"):
        raise errors.invalid_value(f"{integration} is not enabled", "STORAGE_INTEGRATION")
    if not lists("STORAGE_ALLOWED_LOCATIONS") or lists("STORAGE_BLOCKED_LOCATIONS"):
        raise errors.location_not_allowed(url, integration)


def _make(
    conn: WarehouseConnection,
    kind: str,
    name: tuple[str, str, str],
    how: str,
    if_absent: bool,
    comment: str,
    properties: Mapping[str, object],
) -> Result | None:
    """Register a stage or file format; a Result when that is the statement's whole answer."""
    database, schema, short = name
    if conn.account.find("DATABASE", database) is None or not conn.has_schema(database, schema):
        raise errors.not_found("SCHEMA", f"{database}.{schema}")
    full = ".".join(name)
    before = conn.account.find(kind, full)
    if before and if_absent:
        return status(f"{short} already exists, statement succeeded.")
    if before and not how:
        raise errors.already_exists(short)
    conn.require_use_of(database, schema)
    if before:
        conn.require("OWNERSHIP", kind, full)
        if how == "ALTER":
            conn.account.put(replace(before, comment=comment, properties=properties))
            return status(f"{short} successfully altered.")
        conn.account.drop(kind, full)
    conn.require(f"CREATE {kind}", "SCHEMA", f"{database}.{schema}")
    conn.account.create(AccountObject(kind, full, conn.role, comment, properties=properties))
    return None


def _mirror_stage(conn: WarehouseConnection, full: str) -> None:
    """Write the stage into fakesnow's table, from which SHOW STAGES and PUT read."""
    found = conn.account.find("STAGE", full)
    assert found is not None
    database, schema, name = full.split(".", 2)
    p = found.properties
    url = str(p.get("URL") or "")
    kind = _stage_type(p)
    with conn.engine.duck.cursor() as duck:
        duck.execute(
            "INSERT OR REPLACE INTO _fs_global._fs_information_schema._fs_stages (created_on, name, database_name, "
            "schema_name, url, has_credentials, has_encryption_key, owner, comment, region, type, cloud, "
            "notification_channel, storage_integration, endpoint, owner_role_type, directory_enabled) "
            "VALUES (now(), ?, ?, ?, ?, ?, 'N', ?, ?, ?, ?, ?, NULL, ?, NULL, 'ROLE', 'N')",
            [name, database, schema, url, "Y" if p.get("HAS_CREDENTIALS") else "N", found.owner, found.comment,
             "us-east-1" if url else None, kind, "AWS" if url else None, p.get("STORAGE_INTEGRATION")],
        )  # fmt: skip


def _stage_type(properties: Mapping[str, object]) -> str:
    place = "EXTERNAL" if properties.get("URL") else "INTERNAL"
    return f"{place} TEMPORARY" if properties.get("TEMPORARY") else place


def alter(conn: WarehouseConnection, words: Words) -> Result:
    """ALTER STAGE | FILE FORMAT [IF EXISTS] <name> SET … (RENAME is refused)."""
    words.expect("ALTER")
    kind = words.accept_any("STAGE", "FILE FORMAT")
    if_exists = words.accept("IF", "EXISTS")
    full = ".".join(conn.qualify(words.name(), f"ALTER {kind}"))
    found = conn.account.find(kind, full)
    if found is None:
        if if_exists:
            return status()
        raise errors.not_found(kind, full)
    if not words.accept("SET"):
        raise errors.unsupported(f"ALTER {kind} … {words.upper()}")
    conn.require("OWNERSHIP", kind, full)
    options = words.options()
    words.finish()
    comment = str(options.pop("COMMENT", found.comment))
    if kind == "STAGE":
        merged = {**found.properties, **options}
        temporary = merged.pop("TEMPORARY", False)
        credentials = merged.pop("HAS_CREDENTIALS", False)
        fresh = stage_properties(conn, merged) | {
            "TEMPORARY": temporary,
            "HAS_CREDENTIALS": credentials or "CREDENTIALS" in options,
        }
        conn.account.put(replace(found, comment=comment, properties=fresh))
        _mirror_stage(conn, full)
    else:
        if "TYPE" in options and options["TYPE"] != found.properties["TYPE"]:
            raise errors.invalid_value(options["TYPE"], "TYPE")
        fresh = format_options({**found.properties, **options})
        conn.account.put(replace(found, comment=comment, properties=fresh))
        database, schema, name = full.split(".", 2)
        shown = {k: d for k, (_, d) in CSV_OPTIONS.items()} | fresh if fresh["TYPE"] == "CSV" else fresh
        with conn.engine.duck.cursor() as duck:
            duck.execute(
                "UPDATE _fs_global._fs_information_schema._fs_file_formats SET options = ?, comment = ? "
                "WHERE database_name = ? AND schema_name = ? AND name = ?",
                [json.dumps(shown), comment, database, schema, name],
            )
    return status()


def drop(conn: WarehouseConnection, words: Words) -> Result:
    """DROP STAGE | FILE FORMAT [IF EXISTS] <name>."""
    words.expect("DROP")
    kind = words.accept_any("STAGE", "FILE FORMAT")
    if_exists = words.accept("IF", "EXISTS")
    database, schema, name = conn.qualify(words.name(), f"DROP {kind}")
    words.finish()
    full = f"{database}.{schema}.{name}"
    if conn.account.find(kind, full) is None:
        if if_exists:
            return status(f"Drop statement executed successfully ({name} already dropped).")
        raise errors.not_found(kind, full)
    conn.require("OWNERSHIP", kind, full)
    conn.account.drop(kind, full)
    where = "_fs_stages" if kind == "STAGE" else "_fs_file_formats"
    with conn.engine.duck.cursor() as duck:
        duck.execute(
            f"DELETE FROM _fs_global._fs_information_schema.{where} WHERE database_name = ? AND schema_name = ? AND name = ?",
            [database, schema, name],
        )
    return status(f"{name} successfully dropped.")


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
    wanted = show_filter(words)
    rows: list[dict[str, object]] = []
    for item in conn.account.all(kind):
        database, schema, name = item.name.split(".", 2)
        if not wanted.admits(name) or not in_scope(conn, wanted, item.name) or not conn.may_see(kind, item.name):
            continue
        p = item.properties
        url = str(p.get("URL") or "")
        rows.append({
            "created_on": item.created_on.astimezone(UTC), "name": name, "database_name": database,
            "schema_name": schema, "url": url,
            "has_credentials": "Y" if p.get("HAS_CREDENTIALS") else "N", "has_encryption_key": "N", "owner": item.owner,
            "comment": item.comment, "region": "us-east-1" if url else None,
            "type": p.get("TYPE") if kind == "FILE FORMAT" else _stage_type(p),
            "cloud": "AWS" if url else None, "notification_channel": None, "storage_integration": p.get("STORAGE_INTEGRATION"),
            "endpoint": None, "owner_role_type": "ROLE", "directory_enabled": "N",
            "format_options": json.dumps({k: d for k, (_,
            d) in CSV_OPTIONS.items()} | dict(p) if p.get("TYPE") == "CSV" else dict(p)),
        })  # fmt: skip
    return table(rows[: wanted.limit] if wanted.limit is not None else rows, _SHOWN[kind])


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(json.dumps(str(v), ensure_ascii=False) for v in value) + "]"
    return "NONE" if value is None else str(value).replace("\n", "\\n").replace("\t", "\\t")


def _format_rows(written: Mapping[str, object]) -> list[tuple[str, str, str, str]]:
    if written.get("TYPE", "CSV") != "CSV":
        return [(k, "String", _shown(v), "") for k, v in written.items()]
    return [(k, type_, _shown(written.get(k, default)), _shown(default)) for k, (type_, default) in CSV_OPTIONS.items()]


def describe(conn: WarehouseConnection, words: Words) -> Result:
    """DESC STAGE | FILE FORMAT <name>: one row per property with its value and Snowflake's default."""
    words.accept_any("DESCRIBE", "DESC")
    kind = words.accept_any("STAGE", "FILE FORMAT")
    parts = words.name()
    words.finish()
    full = ".".join(conn.qualify(parts, "DESCRIBE"))
    found = conn.account.find(kind, full)
    if found is None or not conn.may_see(kind, full):
        raise errors.not_found(kind, full)
    if kind == "FILE FORMAT":
        columns = ("property", "property_type", "property_value", "property_default")
        return Result([(c, "VARCHAR") for c in columns], _format_rows(found.properties))
    p = found.properties
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


def list_external(conn: WarehouseConnection, words: Words) -> Result | None:
    """LIST | LS @stage[/path] [PATTERN = '…'] of an external stage; None for an internal one, which fakesnow lists.

    Columns name (the whole `s3://bucket/key`), size in bytes, md5 (the object's ETag) and last_modified
    (https://docs.snowflake.com/en/sql-reference/sql/list#output). PATTERN matches the whole name after the bucket.
    """
    rest = words.sql[_after_verb(words) :].strip().rstrip(";").strip()
    match = re.match(r"'(?:[^']|'')*'|\S+", rest)
    if not match:
        raise words.unexpected()
    target = match[0].strip("'").replace("''", "'")
    tail = Words(rest[match.end() :])
    pattern = None
    if tail.accept("PATTERN"):
        tail.expect("=")
        pattern = tail.string()
    tail.finish()
    if not target.startswith("@"):
        raise errors.syntax(target)
    if target[1:2] in ("~", "%"):
        return None
    name, path = split_stage_path(target[1:])
    stage = conn.stage_info(name)
    if not stage.external:
        return None
    rows = []
    for entry in objects_under(conn, stage.url + path):
        if pattern is None or re.fullmatch(pattern, entry["Key"]):
            rows.append(
                (
                    f"s3://{entry['Bucket']}/{entry['Key']}", entry["Size"], entry["ETag"].strip('"'),
                    format_datetime(entry["LastModified"].astimezone(UTC), usegmt=True),
                )
            )  # fmt: skip
    return Result([("name", "VARCHAR"), ("size", "BIGINT"), ("md5", "VARCHAR"), ("last_modified", "VARCHAR")], rows)


def _after_verb(words: Words) -> int:
    token = words.take()
    return token.end


def split_stage_path(target: str) -> tuple[str, str]:
    """`db."S".stage/some/path` → (`db."S".stage`, `some/path`); target without '@'."""
    match = re.match(r'((?:"(?:[^"]|"")+"|[\w$]+)(?:\.(?:"(?:[^"]|"")+"|[\w$]+))*)/?(.*)', target, re.DOTALL)
    if not match:
        raise errors.syntax(target)
    return match[1], match[2]


def objects_under(conn: WarehouseConnection, url: str) -> list[dict[str, Any]]:
    """Every object whose key starts with the URL's, sorted by key, as boto3 tells of it, with its Bucket."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    access = conn.engine.s3
    if access is None:
        raise errors.no_object_store(url)
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    client = boto3.client(
        "s3",
        endpoint_url=access.endpoint,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        region_name=access.region,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}, connect_timeout=5, read_timeout=30),
    )
    try:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [{**entry, "Bucket": bucket} for page in pages for entry in page.get("Contents", [])]
        return sorted(found, key=lambda entry: str(entry["Key"]))
    except (ClientError, BotoCoreError) as e:
        raise errors.remote_failure(url, str(e)) from e
