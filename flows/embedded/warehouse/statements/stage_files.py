"""The files in a stage: LIST @stage/path, from the S3 server's listing.

https://docs.snowflake.com/en/sql-reference/sql/list
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from flows.embedded.warehouse.copy.source import split_stage
from flows.embedded.warehouse.session.context import StageInfo
from flows.embedded.warehouse.session.result import Result
from flows.embedded.warehouse.session.stage_lookup import stage_info
from flows.embedded.warehouse.session.storage_access import storage_of
from flows.embedded.warehouse.storage.s3 import s3_client
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def list_stage(conn: WarehouseConnection, words: Words) -> Result:
    """LIST | LS @stage[/path] [PATTERN = '…'].

    Columns name (the whole `s3://bucket/key`), size in bytes, md5 (the object's ETag) and last_modified
    (https://docs.snowflake.com/en/sql-reference/sql/list#output). PATTERN matches the whole name after the bucket.
    """
    rest = words.sql[words.take().end :].strip().rstrip(";").strip()
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
        raise errors.unsupported("the stage of a user or a table (@~, @%table)")
    name, path = split_stage(target[1:])
    stage = stage_info(conn, name)
    rows = []
    for entry in _objects_under(conn, stage, stage.url + path):
        if pattern is None or re.fullmatch(pattern, entry["Key"]):
            rows.append(
                (
                    f"s3://{entry['Bucket']}/{entry['Key']}", entry["Size"], entry["ETag"].strip('"'),
                    format_datetime(entry["LastModified"].astimezone(UTC), usegmt=True),
                )
            )  # fmt: skip
    return Result([("name", "VARCHAR"), ("size", "BIGINT"), ("md5", "VARCHAR"), ("last_modified", "VARCHAR")], rows)


def _objects_under(conn: WarehouseConnection, stage: StageInfo, url: str) -> list[dict[str, Any]]:
    """List every object whose key starts with the URL's, sorted by key, as boto3 describes it, with its Bucket."""
    from botocore.exceptions import BotoCoreError, ClientError

    storage = storage_of(conn, url, stage)
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    try:
        pages = s3_client(storage.access).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        objects = [{**entry, "Bucket": bucket} for page in pages for entry in page.get("Contents", [])]
    except (ClientError, BotoCoreError) as e:
        raise errors.remote_failure(url, str(e)) from e
    for entry in objects:
        storage.check(f"s3://{bucket}/{entry['Key']}")
    return sorted(objects, key=lambda entry: str(entry["Key"]))
