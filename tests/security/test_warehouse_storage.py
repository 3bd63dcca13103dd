"""The server's S3 key is lent only through a storage integration, for its locations, to those who may use it or its stage."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from snowflake.connector.errors import ProgrammingError

from tests.embedded.conftest import ObjectStore, Warehouse, loading_warehouse, s3_server

__all__ = ["loading_warehouse", "s3_server"]

# https://docs.snowflake.com/en/sql-reference/sql/create-storage-integration, …/create-stage, …/copy-into-table
DENIED, NOT_ALLOWED, NO_RIGHT, NOT_THERE = 91003, 3167, 3001, 2003
PASSWORD = secrets.token_hex(8)


class Landing:
    """A bucket with a file in raw/ and others beside it, a stage on raw/, and the session of a role that may insert."""

    def __init__(self, warehouse: Warehouse, s3: Any) -> None:
        tag = secrets.token_hex(4).upper()
        self.bucket, self.database, self.role = f"lent-{tag.lower()}", f"LENT_{tag}", f"WRITER_{tag}"
        self.integration, self.s3 = f"LENDS_{tag}", s3
        s3.create_bucket(Bucket=self.bucket)
        for key in ("raw/x.csv", "raw/private/x.csv", "rawer/x.csv", "secret/x.csv"):
            s3.put_object(Bucket=self.bucket, Key=key, Body=f"{key}\n".encode())
        self.admin = warehouse.connect()
        for sql in (
            f"CREATE DATABASE {self.database}", f"CREATE ROLE {self.role}",
            f"CREATE USER {self.role}_USER PASSWORD = '{PASSWORD}' DEFAULT_ROLE = {self.role}",
            f"GRANT ROLE {self.role} TO USER {self.role}_USER",
            f"CREATE STORAGE INTEGRATION {self.integration} TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE "
            f"STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::000000000000:role/r' STORAGE_ALLOWED_LOCATIONS = ('s3://{self.bucket}/raw/') "
            f"STORAGE_BLOCKED_LOCATIONS = ('s3://{self.bucket}/raw/private/')",
            f"CREATE STAGE GIVEN URL = 's3://{self.bucket}/raw/' STORAGE_INTEGRATION = {self.integration}",
            f"CREATE STAGE INBOX URL = 's3://{self.bucket}/raw/' STORAGE_INTEGRATION = {self.integration}",
            "CREATE TABLE T (V VARCHAR)",
            f"GRANT USAGE ON DATABASE {self.database} TO ROLE {self.role}",
            f"GRANT USAGE, CREATE STAGE ON SCHEMA PUBLIC TO ROLE {self.role}",
            f"GRANT SELECT, INSERT ON TABLE T TO ROLE {self.role}",
        ):  # fmt: skip
            self.grant(sql)
        self.writer = warehouse.connect(
            user=f"{self.role}_USER", password=PASSWORD, role=self.role, database=self.database, schema="PUBLIC"
        )

    def grant(self, sql: str) -> None:
        self.admin.cursor().execute(sql)

    def run(self, sql: str) -> list[Any]:
        return list(self.writer.cursor().execute(sql).fetchall())

    def refused(self, sql: str) -> ProgrammingError:
        with pytest.raises(ProgrammingError) as caught:
            self.run(sql)
        assert self.run("SELECT COUNT(*) FROM T") == [(0,)]
        return caught.value


@pytest.fixture
def landing(loading_warehouse: Warehouse, s3_server: ObjectStore) -> Iterator[Landing]:
    made = Landing(loading_warehouse, s3_server.client())
    yield made
    made.writer.close()
    made.grant(f"DROP DATABASE {made.database}")
    made.admin.close()


def test_without_an_integration_a_url_and_a_stage_are_denied(landing: Landing) -> None:
    url = f"'s3://{landing.bucket}/secret/'"
    error = landing.refused(f"COPY INTO T FROM {url}")
    assert error.errno == DENIED
    expected = "Failure using stage area. Cause: [Access Denied (Status Code: 403; Error Code: AccessDenied)]"
    assert expected in str(error)
    for kind in ("", "TEMPORARY"):
        landing.run(f"CREATE OR REPLACE {kind} STAGE MINE URL = {url}")
        for sql in ("COPY INTO T FROM @MINE", "COPY INTO T FROM (SELECT $1 FROM @MINE)", "LIST @MINE",
                    "COPY INTO T FROM @MINE FILES = ('x.csv') PURGE = TRUE"):  # fmt: skip
            assert landing.refused(sql).errno == DENIED, sql
    keys = "CREDENTIALS = (AWS_KEY_ID = 'nobody' AWS_SECRET_KEY = 'guessed')"
    assert landing.refused(f"COPY INTO T FROM {url} {keys}").errno == DENIED
    landing.run(f"CREATE OR REPLACE STAGE MINE URL = {url} {keys}")
    assert landing.refused("COPY INTO T FROM @MINE").errno == 2
    assert landing.s3.head_object(Bucket=landing.bucket, Key="secret/x.csv")


def test_an_integration_needs_usage_and_reads_its_locations_only(landing: Landing) -> None:
    root = f"s3://{landing.bucket}"
    uses = f"STORAGE_INTEGRATION = {landing.integration}"
    assert landing.refused(f"COPY INTO T FROM '{root}/raw/' {uses}").errno == NO_RIGHT
    assert landing.refused(f"CREATE STAGE MINE URL = '{root}/raw/' {uses}").errno == NO_RIGHT
    assert landing.refused(f"COPY INTO T FROM '{root}/raw/' STORAGE_INTEGRATION = NOT_THERE").errno == NOT_THERE
    landing.grant(f"GRANT USAGE ON INTEGRATION {landing.integration} TO ROLE {landing.role}")
    for place in ("/", "/raw", "/secret/", "/rawer/", "/raw/private/", ""):
        assert landing.refused(f"COPY INTO T FROM '{root}{place}' {uses}").errno == NOT_ALLOWED, place
    for place in ("/", "/secret/", "/rawer/", "/raw/private/", "/raw/../secret/"):
        assert landing.refused(f"CREATE STAGE MINE URL = '{root}{place}' {uses}").errno == NOT_ALLOWED, place
    landing.run(f"CREATE STAGE MINE URL = '{root}/raw/' {uses}")
    assert landing.refused("COPY INTO T FROM @MINE").errno == NOT_ALLOWED  # one of its files is in the blocked folder
    for file in ("../secret/x.csv", "private/x.csv", "a/../../secret/x.csv"):
        assert landing.refused(f"COPY INTO T FROM @MINE FILES = ('{file}')").errno == NOT_ALLOWED, file
    assert landing.refused(f"ALTER STAGE MINE SET URL = '{root}/secret/'").errno == NOT_ALLOWED
    assert landing.run("COPY INTO T FROM @MINE FILES = ('x.csv')")[0][1] == "LOADED"
    for read in (f"{uses} FILES = ('x.csv') FORCE = TRUE", f"FILES = ('x.csv') FORCE = TRUE {uses}"):
        assert landing.run(f"COPY INTO T FROM '{root}/raw/' {read}")[0][1:2] == ("LOADED",), read
    assert {row[0] for row in landing.run("SELECT V FROM T")} == {"raw/x.csv"}


def test_a_stage_is_read_with_its_own_integration_by_whoever_may_use_the_stage(landing: Landing) -> None:
    read = "COPY INTO T FROM @GIVEN FILES = ('x.csv')"
    assert landing.refused(read).errno == NO_RIGHT
    for kind in ("CSV", "JSON", "PARQUET"):
        assert landing.refused(f"COPY INTO T FROM @INBOX FILE_FORMAT = (TYPE = {kind})").errno == NO_RIGHT, kind
    landing.grant(f"GRANT USAGE ON STAGE GIVEN TO ROLE {landing.role}")
    landing.grant(f"ALTER STORAGE INTEGRATION {landing.integration} SET ENABLED = FALSE")
    assert landing.refused(read).errno == 1008
    landing.grant(f"ALTER STORAGE INTEGRATION {landing.integration} SET ENABLED = TRUE "
                  f"STORAGE_ALLOWED_LOCATIONS = ('s3://{landing.bucket}/elsewhere/')")  # fmt: skip
    assert landing.refused(read).errno == NOT_ALLOWED
    landing.grant(
        f"ALTER STORAGE INTEGRATION {landing.integration} SET STORAGE_ALLOWED_LOCATIONS = ('s3://{landing.bucket}/')"
    )
    assert landing.run(read)[0][1] == "LOADED"
    landing.grant("DELETE FROM T")
    landing.grant(f"DROP INTEGRATION {landing.integration}")
    assert landing.refused(f"{read} FORCE = TRUE").errno == NOT_THERE
