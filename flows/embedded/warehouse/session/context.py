"""What a statement handler may know of the session that runs it.

session (database, schema, role, binds) ──SessionContext──▶ copy_into(…), LIST @stage
S3 identities file ──S3Access──▶ the stage's object store
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class S3Access:
    """The one object store that external stages of the embedded warehouse read.

    `endpoint` is a URL such as http://127.0.0.1:8333; path-style addressing is used.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    @classmethod
    def from_identity_file(cls, endpoint: str, path: Path) -> S3Access:
        """Read the first credentials of a SeaweedFS identities JSON.

        Raises ValueError that names the file when it holds no credentials.
        """
        document = json.loads(path.read_text(encoding="utf-8"))
        for identity in document.get("identities", []):
            for pair in identity.get("credentials", []):
                if pair.get("accessKey") and pair.get("secretKey"):
                    return cls(endpoint.rstrip("/"), pair["accessKey"], pair["secretKey"])
        raise ValueError(
            f"{path}: no identity with an accessKey and a secretKey found; wanted SeaweedFS's identities JSON "
            '({"identities": [{"credentials": [{"accessKey": …, "secretKey": …}]}]})'
        )


@dataclass(frozen=True)
class StageInfo:
    """One stage: fully qualified name, its URL and the file format options written on it.

    `url` ends with "/" and starts with s3:// for an external stage, file:// for an internal one.
    `file_format` holds the options of the stage's FILE_FORMAT = (…), the named format already resolved into its
    options; keys are upper case (`FIELD_DELIMITER`), values Python (str, int, bool, list of str, None for NONE).
    An option that nobody wrote is absent: the reader applies Snowflake's default.
    """

    database: str
    schema: str
    name: str
    url: str
    external: bool
    file_format: Mapping[str, object] = field(default_factory=dict)
    integration: str | None = None
    has_credentials: bool = False


@dataclass(frozen=True, slots=True)
class UrlStorage:
    """What COPY FROM 's3://…' says beside the URL; the name of the integration as the account has it."""

    integration: str | None = None
    credentials: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Storage:
    """How a statement reads S3: the key, and what raises ProgrammingError 003167 for a URL that it may not touch."""

    access: S3Access
    check: Callable[[str], None]


@dataclass(frozen=True)
class SessionContext:
    """The running statement's surroundings, one per execution.

    `stage` and `file_format` take a name as written in SQL, without '@' and without quotes around the whole
    (`DB.SCHEMA.NAME`, `SCHEMA.NAME`, `NAME`, parts in double quotes allowed), resolve it against the session and raise
    snowflake.connector.errors.ProgrammingError 002003 (02000) when there is no such object or it is not authorized.
    `storage` takes a URL and the stage, or what stands beside the URL in the statement, and tells how S3 is read there.
    `bindings` are the values of server-side binds, in order (or the named ones, as a mapping).
    `now` is the statement's start, UTC with time zone; `in_transaction` tells whether a transaction is open already
    (the cursor opens one around a COPY in autocommit and ends it, so a handler never sends BEGIN or COMMIT).
    `scratch` is the folder for files that the engine may read for a while.
    `check` raises when the statement has been cancelled or ran out of time; whoever takes long calls it between two steps.
    """

    database: str | None
    schema: str | None
    storage: Callable[[str, StageInfo | UrlStorage], Storage]
    stage: Callable[[str], StageInfo]
    file_format: Callable[[str], Mapping[str, object]]
    query_id: str
    bindings: Sequence[object] | Mapping[str, object] | None = None
    role: str | None = None
    user: str | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    check: Callable[[], None] = lambda: None
    scratch: Path | None = None


@dataclass(frozen=True)
class CopyResult:
    """What a COPY INTO answers: result columns as (name, DuckDB type) and its rows in that order.

    What the cursor calls around a COPY stands in copy.py's module docstring.
    """

    columns: Sequence[tuple[str, str]]
    rows: Sequence[tuple[object, ...]]
