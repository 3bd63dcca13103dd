"""The files of a stage: LIST of an S3 stage against the real object store."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from snowflake.connector.errors import ProgrammingError

from tests.embedded.conftest import ObjectStore, Warehouse, integration_for


@pytest.fixture
def connection(loading_warehouse: Warehouse) -> Iterator[Any]:
    name = f"S_{secrets.token_hex(4).upper()}"
    with loading_warehouse.connect() as opened:
        opened.cursor().execute(f"CREATE DATABASE {name}")
        yield opened
        opened.cursor().execute(f"DROP DATABASE {name}")


@pytest.fixture
def bucket(s3_server: ObjectStore) -> str:
    name = f"stage-{secrets.token_hex(4)}"
    client = s3_server.client()
    client.create_bucket(Bucket=name)
    for key in ("raw/a/1.csv", "raw/a/2.csv", "raw/b/1.csv", "raw/a.txt", "other/1.csv"):
        client.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def make_stage(connection: Any, bucket: str, folder: str = "") -> None:
    integration = integration_for(connection, bucket)
    connection.cursor().execute(f"CREATE STAGE S URL = 's3://{bucket}/{folder}' STORAGE_INTEGRATION = {integration}")


def names(connection: Any, sql: str) -> list[str]:
    return [row[0] for row in connection.cursor().execute(sql)]


def test_list_names_sizes_digests_and_times_of_what_is_under_the_path(connection: Any, bucket: str) -> None:
    make_stage(connection, bucket, "raw/")
    cursor = connection.cursor().execute("LIST @S/a/")
    assert [column.name for column in cursor.description] == ["name", "size", "md5", "last_modified"]
    rows = cursor.fetchall()
    assert [row[0] for row in rows] == [f"s3://{bucket}/raw/a/1.csv", f"s3://{bucket}/raw/a/2.csv"]
    assert rows[0][1:3] == (len("raw/a/1.csv"), hashlib.md5(b"raw/a/1.csv").hexdigest())
    assert rows[0][3].endswith(" GMT")
    # no slash is put between the stage's URL and the path: it is a prefix
    assert names(connection, "LS @S/a") == [
        f"s3://{bucket}/raw/a.txt",
        f"s3://{bucket}/raw/a/1.csv",
        f"s3://{bucket}/raw/a/2.csv",
    ]
    assert names(connection, "LIST @S PATTERN = '.*/1[.]csv'") == [
        f"s3://{bucket}/raw/a/1.csv",
        f"s3://{bucket}/raw/b/1.csv",
    ]
    assert names(connection, "LIST '@S/nothing here'") == []


def test_a_stage_over_a_missing_bucket_is_an_error(connection: Any) -> None:
    make_stage(connection, "no-such-bucket-here")
    with pytest.raises(ProgrammingError) as refused:
        connection.cursor().execute("LIST @S")
    assert refused.value.errno == 91003
    with pytest.raises(ProgrammingError) as refused:
        connection.cursor().execute("LIST @NO_STAGE")
    assert (refused.value.errno, refused.value.sqlstate) == (2003, "02000")


def test_a_role_without_usage_cannot_list_a_stage(loading_warehouse: Warehouse, connection: Any, bucket: str) -> None:
    role = f"R_{secrets.token_hex(3).upper()}"
    make_stage(connection, bucket, "raw/")
    connection.cursor().execute(f"CREATE ROLE {role}")
    database = connection.cursor().execute("SELECT CURRENT_DATABASE()").fetchone()[0]
    with loading_warehouse.connect(role=role) as other:
        with pytest.raises(ProgrammingError) as refused:
            other.cursor().execute(f"LIST @{database}.PUBLIC.S")
        assert (refused.value.errno, refused.value.sqlstate) == (3001, "42501")
        for target in (f"DATABASE {database}", "SCHEMA PUBLIC", "STAGE S"):
            connection.cursor().execute(f"GRANT USAGE ON {target} TO ROLE {role}")
        assert len(other.cursor().execute(f"LIST @{database}.PUBLIC.S").fetchall()) == 4
