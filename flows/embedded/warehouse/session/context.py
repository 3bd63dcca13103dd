"""What COPY and LIST get from a session: stages, access to S3, and for COPY the statement's surroundings.

session (database, schema, role, binds) ──SessionContext──▶ copy_into(…); StageInfo, Storage ──▶ LIST @stage
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from sqlglot import Expr

from flows.embedded.warehouse.storage.s3 import S3Access


@dataclass(frozen=True)
class StageInfo:
    """One stage: fully qualified name, its URL and the file format options written on it.

    `url` ends with "/" and starts with s3://.
    `file_format` holds the options of the stage's FILE_FORMAT = (…), the named format already resolved into its
    options; keys are upper case (`FIELD_DELIMITER`), values Python (str, int, bool, list of str, None for NONE).
    An option that was not written is absent: the reader applies Snowflake's default.
    """

    database: str
    schema: str
    name: str
    url: str
    file_format: Mapping[str, object] = field(default_factory=dict)
    integration: str | None = None
    has_credentials: bool = False


@dataclass(frozen=True, slots=True)
class UrlStorage:
    """What COPY FROM 's3://…' says besides the URL; the integration's name is the account's."""

    integration: str | None = None
    credentials: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Storage:
    """A statement's access to S3: the key, and a check that raises ProgrammingError 003167 for a URL that it may not read."""

    access: S3Access
    check: Callable[[str], None]


@dataclass(frozen=True)
class SessionContext:
    """What COPY may know of its session, made for each execution.

    `stage` and `file_format` take a name as written in SQL, without '@' and without quotes around the whole
    (`DB.SCHEMA.NAME`, `SCHEMA.NAME`, `NAME`, parts in double quotes allowed), resolve it against the session and raise
    snowflake.connector.errors.ProgrammingError 002003 (02000) when the object does not exist or is not authorized.
    `expression_sql` gives one expression of the statement as the engine's SQL, names completed with a database and schema.
    `storage` takes a URL and the stage, or the statement's clauses besides the URL, and returns the access to S3.
    `bindings` are the values of server-side binds, in order (or the named ones, as a mapping).
    `now` is the statement's start, UTC with time zone. In autocommit the caller opens a transaction around a COPY and ends it.
    `scratch` is the folder for temporary files that the engine may read.
    `check` raises when the statement has been cancelled or ran out of time; long operations call it between two steps.
    """

    database: str | None
    schema: str | None
    storage: Callable[[str, StageInfo | UrlStorage], Storage]
    stage: Callable[[str], StageInfo]
    file_format: Callable[[str], Mapping[str, object]]
    expression_sql: Callable[[Expr, str | None, str | None, duckdb.DuckDBPyConnection], str]
    query_id: str
    bindings: Sequence[object] | Mapping[str, object] | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    check: Callable[[], None] = lambda: None
    scratch: Path | None = None
