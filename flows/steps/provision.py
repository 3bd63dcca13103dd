"""Contract and `sql/provision/NN_*.sql` → bucket with its prefixes; warehouse, database, schemas, roles, stages, RAW tables.

Safe to repeat: everything is made if it is not there, tables only grow columns, nothing is replaced or dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Literal

from flows.clients import s3
from flows.clients.snowflake import run
from flows.contract.model import Column, Source
from flows.contract.render_sql import add_columns, create_table
from flows.contract.sql import SQL, template
from flows.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from snowflake.connector import SnowflakeConnection

PREFIXES = ("raw/olist/", "raw/synthetic/", "archive/")

EXISTING_COLUMNS = """SELECT TABLE_NAME, COLUMN_NAME
FROM {database}.INFORMATION_SCHEMA.COLUMNS
WHERE TABLE_SCHEMA = 'RAW'"""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing provisioning looked at, and whether it made or grew it."""

    kind: str
    name: str
    action: Literal["created", "altered", "unchanged"]


def provision_bucket(client: S3Client, bucket: str, region: str) -> tuple[Change, ...]:
    """The landing bucket and its visible prefixes.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.s3`.
    """
    changes = [Change("bucket", bucket, _made(s3.ensure_bucket(client, bucket, region)))]
    changes += [Change("prefix", p, _made(s3.ensure_prefix(client, bucket, p))) for p in PREFIXES]
    return tuple(changes)


def provision_warehouse(
    connection: SnowflakeConnection, settings: Settings, sources: Sequence[Source]
) -> tuple[Change, ...]:
    """Run the numbered files in order, then create each contract's RAW tables and add the columns that they lack.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`.
    """
    changes = [_apply(connection, statement) for statement in statements(settings, sources)]
    run(connection, "USE ROLE SYSADMIN")
    changes += [_apply_table(connection, settings, source) for source in sources]
    return tuple(change for group in changes for change in group)


def statements(settings: Settings, sources: Sequence[Source]) -> list[str]:
    """Every statement of `sql/provision/` in order, names filled in, ready for a worksheet."""
    from snowflake.connector.util_text import split_statements

    values = {
        "warehouse": settings.warehouse,
        "database": settings.database,
        "loader": settings.loader_role,
        "transformer": settings.transformer_role,
        "reporter": settings.reporter_role,
        "integration": settings.storage_integration,
        "storage_role_arn": settings.storage_role_arn,
        "bucket": settings.bucket,
        "file_format": sources[0].file_format,
        "sources": sources,
    }
    found: list[str] = []
    for path in sorted((SQL / "provision").glob("*.sql")):
        text = template(f"provision/{path.name}", **values)
        found += [sql.rstrip().removesuffix(";") for sql, _ in split_statements(StringIO(text)) if sql and sql.strip()]
    return found


def _apply(connection: SnowflakeConnection, sql: str) -> tuple[Change, ...]:
    answer = run(connection, sql)
    words = _words(sql)
    if words[0] != "CREATE":
        return ()
    said = str(answer.rows[0][0]) if answer.rows else ""
    exists = words.index("EXISTS")
    return (
        Change(" ".join(words[1 : words.index("IF")]).lower(), words[exists + 1], _made("already exists" not in said)),
    )


def _words(sql: str) -> list[str]:
    lines = [line for line in sql.splitlines() if not line.lstrip().startswith("--")]
    return " ".join(lines).replace("(", " ( ").split()


def _apply_table(connection: SnowflakeConnection, settings: Settings, source: Source) -> tuple[Change, ...]:
    found = run(connection, EXISTING_COLUMNS.format(database=settings.database)).rows
    existing: dict[str, set[str]] = {}
    for table_name, column_name in found:
        existing.setdefault(str(table_name), set()).add(str(column_name))
    changes = []
    for table in source.tables:
        name = f"{source.schema}.{table.raw_name}"
        columns = existing.get(table.raw_name)
        if columns is None:
            run(connection, create_table(table, settings.database, source.schema))
            changes.append(Change("table", name, "created"))
            continue
        missing: list[Column] = [c for c in table.columns if c.name not in columns]
        if missing:
            run(connection, add_columns(table, missing, settings.database, source.schema))
        changes.append(Change("table", name, "altered" if missing else "unchanged"))
    return tuple(changes)


def _made(made: bool) -> Literal["created", "unchanged"]:
    return "created" if made else "unchanged"
