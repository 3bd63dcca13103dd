"""COPY INTO through the connector against a warehouse server and a real S3 server; each test is one documented behaviour."""

from __future__ import annotations

import csv
import gzip
import io
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from snowflake.connector.errors import ProgrammingError

from flows.embedded.warehouse.copy.load import copy_into
from flows.embedded.warehouse.execute.executor import Executor
from flows.embedded.warehouse.execute.warehouse import Warehouse as InProcess
from flows.embedded.warehouse.statements.row_changes import copy_context
from flows.embedded.warehouse.storage.s3 import S3Access
from tests.embedded.conftest import ObjectStore, Warehouse, integration_for

BUCKET = "copy-tests"
RESULT = [
    "file", "status", "rows_parsed", "rows_loaded", "error_limit", "errors_seen", "first_error", "first_error_line",
    "first_error_character", "first_error_column_name",
]  # fmt: skip


class Lab:
    """A session with the project's stage and file format on its own folder in S3."""

    def __init__(self, connection: Any, s3: Any) -> None:
        self.connection, self.s3 = connection, s3
        self.folder = f"raw/{uuid.uuid4().hex}/"
        self.integration = integration_for(connection, BUCKET)
        self.description: list[str] = []
        self.sfqid = ""
        self.run(
            "CREATE OR REPLACE FILE FORMAT CSV_FORMAT TYPE = CSV FIELD_DELIMITER = ',' SKIP_HEADER = 1 NULL_IF = ('', 'null') "
            "FIELD_OPTIONALLY_ENCLOSED_BY = '\"' ESCAPE_UNENCLOSED_FIELD = NONE ENCODING = 'UTF8'"
        )
        self.run("CREATE OR REPLACE FILE FORMAT PLAIN TYPE = CSV FIELD_OPTIONALLY_ENCLOSED_BY = '\"'")
        self.run(
            f"CREATE OR REPLACE STAGE ST URL = 's3://{BUCKET}/{self.folder}' STORAGE_INTEGRATION = {self.integration} "
            "FILE_FORMAT = (FORMAT_NAME = 'PLAIN')"
        )

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.execute(sql)
        self.description = [d[0] for d in cursor.description or []]
        self.sfqid = cursor.sfqid
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def put(self, name: str, data: bytes | str) -> str:
        key = self.folder + name
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=data.encode() if isinstance(data, str) else data)
        return f"s3://{BUCKET}/{key}"

    def table(self, columns: str = "A VARCHAR, B VARCHAR", name: str = "T") -> None:
        self.run(f"CREATE OR REPLACE TABLE {name} ({columns})")

    def rows(self, name: str = "T") -> list[tuple[Any, ...]]:
        return self.run(f"SELECT * FROM {name} ORDER BY 1")

    def refused(self, sql: str) -> ProgrammingError:
        with pytest.raises(ProgrammingError) as caught:
            self.run(sql)
        return caught.value


@pytest.fixture
def lab(loading_warehouse: Warehouse, s3_server: ObjectStore) -> Iterator[Lab]:
    s3 = s3_server.client()
    if BUCKET not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)
    database = f"COPY_{uuid.uuid4().hex[:8].upper()}"
    with loading_warehouse.connect() as connection:
        connection.cursor().execute(f"CREATE DATABASE {database}")
        connection.cursor().execute(f"CREATE SCHEMA {database}.RAW")
        yield Lab(connection, s3)
        connection.cursor().execute(f"DROP DATABASE {database}")


NOTHING = [("Copy executed with 0 files processed.",)]


# --- the statement that the project sends ------------------------------------------------------------------------


def project_copy(columns: int, path: str, file: str, table: str = "T") -> str:
    fields = ", ".join(f"t.${i}" for i in range(1, columns + 1))
    return (
        f"COPY INTO {table} FROM (SELECT {fields}, CONVERT_TIMEZONE('UTC', METADATA$START_SCAN_TIME)::TIMESTAMP_NTZ, "
        f"'20261122_101500', METADATA$FILENAME, METADATA$FILE_ROW_NUMBER FROM @ST/{path} t) FILES = ('{file}') "
        "FILE_FORMAT = (FORMAT_NAME = 'CSV_FORMAT') ON_ERROR = ABORT_STATEMENT"
    )


def test_every_value_of_the_real_files_is_what_the_csv_module_reads(lab: Lab, sample: Path) -> None:
    for path in sorted(sample.glob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as handle:
            header, *expected = csv.reader(handle)
        table = path.stem.upper()
        columns = ", ".join(f"{name.upper()} VARCHAR" for name in header)
        lab.table(
            f"{columns}, _LOAD_TIMESTAMP TIMESTAMP_NTZ, _BATCH_ID VARCHAR, _SOURCE_FILENAME VARCHAR, "
            "_SOURCE_ROW_NUMBER NUMBER(38,0)",
            table,
        )
        url = lab.put(f"{path.stem}/20261122_101500/{path.name}", path.read_bytes())
        result = lab.run(project_copy(len(header), f"{path.stem}/20261122_101500/", path.name, table))
        assert lab.description == RESULT
        assert result == [(url, "LOADED", len(expected), len(expected), 1, 0, None, None, None, None)]
        rows = lab.run(f"SELECT * FROM {table} ORDER BY _SOURCE_ROW_NUMBER")
        width = len(header)
        assert [row[:width] for row in rows] == [
            tuple(None if v in ("", "null") else v for v in row) for row in expected
        ]
        assert [row[width + 3] for row in rows] == list(range(1, len(expected) + 1))
        assert {row[width + 1 : width + 3] for row in rows} == {
            ("20261122_101500", url.removeprefix(f"s3://{BUCKET}/"))
        }


words = st.lists(st.sampled_from([*'ab,"\n ;é日\\', "null", "\r\n", '""', "\\N"]), max_size=5).map("".join)


@given(
    rows=st.lists(st.lists(words, min_size=3, max_size=3), min_size=1, max_size=6),
    ending=st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_generated_files_arrive_as_the_csv_module_reads_them(lab: Lab, rows: list[list[str]], ending: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=ending)
    writer.writerow(["h1", "h2", "h3"])
    writer.writerows(rows)
    expected = list(csv.reader(io.StringIO(out.getvalue(), newline="")))[1:]
    assume(expected == rows)
    lab.table("A VARCHAR, B VARCHAR, C VARCHAR, LOADED TIMESTAMP_NTZ, BATCH VARCHAR, FILE VARCHAR, N NUMBER(38,0)")
    lab.put("g/x.csv", out.getvalue())
    lab.run(project_copy(3, "g/", "x.csv"))
    got = lab.run("SELECT A, B, C FROM T ORDER BY N")
    assert got == [tuple(None if v in ("", "null") else v for v in row) for row in expected]


def test_metadata_columns_tell_where_a_row_came_from(lab: Lab) -> None:
    lab.table("A VARCHAR, NAME VARCHAR, N NUMBER, KEY VARCHAR, MODIFIED TIMESTAMP_NTZ, SCANNED TIMESTAMP_LTZ")
    url = lab.put("d/x.csv", "h\nr1\nr2\n")
    key = url.removeprefix(f"s3://{BUCKET}/")
    head = lab.s3.head_object(Bucket=BUCKET, Key=key)
    lab.run(
        "COPY INTO T FROM (SELECT $1, METADATA$FILENAME, METADATA$FILE_ROW_NUMBER, METADATA$FILE_CONTENT_KEY, "
        "METADATA$FILE_LAST_MODIFIED, METADATA$START_SCAN_TIME FROM @ST/d/) FILE_FORMAT = (FORMAT_NAME = CSV_FORMAT)"
    )
    rows = lab.rows()
    assert [row[:4] for row in rows] == [
        ("r1", key, 1, head["ETag"].strip('"')),
        ("r2", key, 2, head["ETag"].strip('"')),
    ]
    assert rows[0][4] == head["LastModified"].replace(tzinfo=None, microsecond=0)
    assert abs((rows[0][5] - head["LastModified"]).total_seconds()) < 120


def test_expressions_over_fields_are_evaluated_per_row(lab: Lab) -> None:
    lab.table("A NUMBER(10,2), B VARCHAR, C DATE, D VARCHAR, E VARCHAR")
    lab.put("x.csv", "1,ab,2017-10-02\n2,,2018-01-01\n")
    lab.run(
        "COPY INTO T FROM (SELECT t.$1::NUMBER(10,2) * 1.5, UPPER(NVL(t.$2, 'none')), TO_DATE(t.$3), t.$1 || '-' || $9, "
        "TRIM(t.$2, 'a') FROM @ST t) FILE_FORMAT = (TYPE = CSV)"
    )
    assert [tuple(map(str, row)) for row in lab.rows()] == [
        ("1.50", "AB", "2017-10-02", "None", "b"), ("3.00", "NONE", "2018-01-01", "None", "None"),
    ]  # fmt: skip


def test_a_column_list_leaves_the_other_columns_at_their_default(lab: Lab) -> None:
    lab.table("A VARCHAR, B VARCHAR DEFAULT 'b', C VARCHAR")
    lab.put("x.csv", "1,2\n")
    lab.run("COPY INTO T (C, A) FROM @ST")
    assert lab.rows() == [("2", "b", "1")]


# --- which files --------------------------------------------------------------------------------------------------


def test_a_prefix_without_files_is_a_success_with_one_status_row(lab: Lab) -> None:
    lab.table()
    assert lab.run("COPY INTO T FROM @ST/nowhere/") == NOTHING
    assert lab.description == ["status"]


def test_a_missing_file_named_in_files_stops_the_statement(lab: Lab) -> None:
    lab.table()
    lab.put("x.csv", "1,2\n")
    error = lab.refused("COPY INTO T FROM @ST FILES = ('x.csv', 'y.csv')")
    assert (error.errno, error.sqlstate) == (91016, "22000")
    assert f"Remote file 's3://{BUCKET}/{lab.folder}y.csv' was not found." in str(error)
    assert lab.rows() == []


def test_files_are_joined_to_the_path_without_a_slash(lab: Lab) -> None:
    lab.table()
    lab.put("d/x.csv", "1,2\n")
    assert lab.refused("COPY INTO T FROM @ST/d FILES = ('x.csv')").errno == 91016
    assert lab.run("COPY INTO T FROM @ST/d FILES = ('/x.csv')")[0][1] == "LOADED"


def test_a_path_is_a_prefix_of_names(lab: Lab) -> None:
    lab.table()
    for name in ("ab1.csv", "ab2.csv", "ac.csv", "ab/3.csv"):
        lab.put(name, f"{name},x\n")
    result = lab.run("COPY INTO T FROM @ST/ab")
    assert [row[0].rpartition(lab.folder)[2] for row in result] == ["ab/3.csv", "ab1.csv", "ab2.csv"]


def test_pattern_matches_the_whole_path(lab: Lab) -> None:
    lab.table()
    for name in ("one.csv", "two.csv", "two.csv.bak"):
        lab.put(name, f"{name},x\n")
    assert lab.run("COPY INTO T FROM @ST PATTERN = 'two'") == NOTHING
    assert [row[0].rpartition("/")[2] for row in lab.run("COPY INTO T FROM @ST PATTERN = '.*two.*[.]csv'")] == [
        "two.csv"
    ]
    assert lab.refused("COPY INTO T FROM @ST PATTERN = '('").errno == 100048


def test_size_limit_stops_after_the_file_that_passes_it(lab: Lab) -> None:
    lab.table()
    for name in ("1.csv", "2.csv", "3.csv"):
        lab.put(name, f"{name},x\n" * 10)
    assert len(lab.run("COPY INTO T FROM @ST SIZE_LIMIT = 1")) == 1
    assert len(lab.run("COPY INTO T FROM @ST SIZE_LIMIT = 1000")) == 2


def test_purge_removes_loaded_files_and_only_those(lab: Lab) -> None:
    lab.table("A NUMBER, B VARCHAR")
    lab.put("good.csv", "1,x\n")
    lab.put("bad.csv", "q,x\n")
    lab.run("COPY INTO T FROM @ST ON_ERROR = SKIP_FILE PURGE = TRUE")
    left = lab.s3.list_objects_v2(Bucket=BUCKET, Prefix=lab.folder).get("Contents", [])
    assert [item["Key"].rpartition("/")[2] for item in left] == ["bad.csv"]


# --- load history -------------------------------------------------------------------------------------------------


def test_a_loaded_file_is_not_loaded_again_unless_forced(lab: Lab) -> None:
    lab.table()
    url = lab.put("x.csv", "1,2\n")
    assert lab.run("COPY INTO T FROM @ST")[0][1] == "LOADED"
    assert lab.run("COPY INTO T FROM @ST") == NOTHING
    assert lab.run("COPY INTO T FROM @ST FILES = ('x.csv')") == [
        (url, "LOAD_SKIPPED", 0, 0, None, 1, "File was loaded before.", None, None, None)
    ]
    assert len(lab.rows()) == 1
    assert lab.run("COPY INTO T FROM @ST FORCE = TRUE")[0][1] == "LOADED"
    assert len(lab.rows()) == 2


def test_a_file_with_new_content_is_loaded_again(lab: Lab) -> None:
    lab.table()
    lab.put("x.csv", "1,2\n")
    lab.run("COPY INTO T FROM @ST")
    lab.put("x.csv", "3,4\n")
    assert lab.run("COPY INTO T FROM @ST")[0][1] == "LOADED"
    assert lab.rows() == [("1", "2"), ("3", "4")]


def test_the_history_is_the_tables_own_and_goes_with_truncate_and_create_or_replace(lab: Lab) -> None:
    lab.table()
    lab.table(name="OTHER")
    lab.put("x.csv", "1,2\n")
    assert lab.run("COPY INTO T FROM @ST")[0][1] == "LOADED"
    assert lab.run("COPY INTO OTHER FROM @ST")[0][1] == "LOADED"
    lab.run("TRUNCATE TABLE T")
    assert lab.run("COPY INTO T FROM @ST")[0][1] == "LOADED"
    lab.run("CREATE TABLE IF NOT EXISTS T (A VARCHAR, B VARCHAR)")
    assert lab.run("COPY INTO T FROM @ST") == NOTHING
    lab.table()
    assert lab.run("COPY INTO T FROM @ST")[0][1] == "LOADED"
    lab.run("ALTER TABLE T RENAME TO T2")
    assert lab.run("COPY INTO T2 FROM @ST") == NOTHING
    lab.run("DROP TABLE T2")
    lab.run("CREATE TABLE T2 (A VARCHAR, B VARCHAR)")
    assert lab.run("COPY INTO T2 FROM @ST")[0][1] == "LOADED"


def test_rows_and_history_roll_back_together(lab: Lab) -> None:
    lab.table()
    lab.put("x.csv", "1,2\n")
    lab.run("BEGIN")
    assert lab.run("COPY INTO T FROM @ST")[0][1] == "LOADED"
    assert lab.run("COPY INTO T FROM @ST") == NOTHING
    lab.run("ROLLBACK")
    assert lab.rows() == []
    assert lab.run("COPY INTO T FROM @ST")[0][1] == "LOADED"


def test_a_failed_copy_leaves_the_open_transaction_as_it_was(lab: Lab) -> None:
    lab.table("A NUMBER, B VARCHAR")
    lab.put("a-good.csv", "1,x\n")
    lab.put("b-bad.csv", "2,x\nq,x\n")
    lab.run("BEGIN")
    lab.run("INSERT INTO T VALUES (7, 'kept')")
    lab.refused("COPY INTO T FROM @ST")
    assert lab.rows() == [(7, "kept")]
    lab.run("COMMIT")
    assert lab.rows() == [(7, "kept")]
    assert lab.run("COPY INTO T FROM @ST FILES = ('a-good.csv')")[0][1] == "LOADED"


def test_a_file_older_than_the_history_is_skipped_unless_asked_for(tmp_path: Path, s3_server: ObjectStore) -> None:
    s3, folder = s3_server.client(), f"old-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=folder)
    s3.put_object(Bucket=folder, Key="x.csv", Body=b"1\n")
    warehouse = InProcess(tmp_path / "state", S3Access.from_identity_file(s3_server.endpoint, s3_server.identity))
    executor = Executor(warehouse.connect())
    for sql in (
        "CREATE DATABASE D", "CREATE SCHEMA D.RAW", "CREATE TABLE T (A VARCHAR)",
        "CREATE STORAGE INTEGRATION I TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE "
        f"STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::000000000000:role/r' STORAGE_ALLOWED_LOCATIONS = ('s3://{folder}/')",
        f"CREATE STAGE ST URL = 's3://{folder}/' STORAGE_INTEGRATION = I FILE_FORMAT = (TYPE = CSV)",
    ):  # fmt: skip
        executor.execute(sql)
    today = datetime.now(UTC)

    def copy(days: int, clause: str = "") -> Any:
        context = replace(copy_context(executor), now=today + timedelta(days=days))
        statement = sqlglot.parse_one(f"COPY INTO T FROM @ST {clause}", read="snowflake")
        assert isinstance(statement, sqlglot.exp.Copy)
        return list(copy_into(executor.duck, context, statement).rows)

    assert copy(0)[0][1] == "LOADED"
    assert copy(63) == NOTHING
    assert copy(65) == NOTHING
    assert copy(65, "LOAD_UNCERTAIN_FILES = TRUE")[0][1] == "LOADED"
    # written today, 64 days after the table's first load: its status is known
    s3.put_object(Bucket=folder, Key="new.csv", Body=b"2\n")
    executor.duck.execute(
        "UPDATE D._fs_information_schema._cxm_load_history SET last_load_time = last_load_time - INTERVAL 64 DAY"
    )
    assert [row[0] for row in copy(1)] == [f"s3://{folder}/new.csv"]
    warehouse.close()


def test_load_history_and_copy_history_tell_what_was_loaded(lab: Lab) -> None:
    lab.table("A NUMBER, B VARCHAR")
    url = lab.put("d/x.csv", "1,x\nq,x\n")
    lab.run("COPY INTO T FROM @ST ON_ERROR = CONTINUE")
    history = lab.run(
        "SELECT FILE_NAME, STATUS, ROW_COUNT, ROW_PARSED, ERROR_COUNT, FIRST_ERROR_MESSAGE, FIRST_ERROR_LINE_NUMBER "
        "FROM INFORMATION_SCHEMA.LOAD_HISTORY WHERE TABLE_NAME = 'T'"
    )
    assert history == [(url, "PARTIALLY_LOADED", 1, 2, 1, "Numeric value 'q' is not recognized", 2)]
    copies = lab.run(
        "SELECT FILE_NAME, STAGE_LOCATION, STATUS, ROW_COUNT, TABLE_NAME FROM TABLE(INFORMATION_SCHEMA.COPY_HISTORY("
        "TABLE_NAME => 'T', START_TIME => DATEADD(hours, -1, CURRENT_TIMESTAMP())))"
    )
    assert copies == [("d/x.csv", f"s3://{BUCKET}/{lab.folder}", "Partially loaded", 1, "T")]


def test_two_sessions_that_load_one_file_at_once_load_it_once(lab: Lab, loading_warehouse: Warehouse) -> None:
    lab.table()
    lab.put("x.csv", "1,2\n" * 20_000)
    database = lab.run("SELECT CURRENT_DATABASE()")[0][0]
    together = threading.Barrier(4)
    answers: list[str] = []

    def load() -> None:
        with loading_warehouse.connect(database=database, schema="RAW") as connection:
            together.wait()
            try:
                answers.append(connection.cursor().execute("COPY INTO T FROM @ST").fetchall()[0][-1] or "loaded")
            except ProgrammingError as error:
                answers.append(str(error.errno))

    sessions = [threading.Thread(target=load) for _ in range(4)]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join()
    assert len(answers) == 4
    assert lab.run("SELECT COUNT(*) FROM T") == [(20_000,)], answers


def test_rows_and_history_outlive_a_killed_server(tmp_path: Path, s3_server: ObjectStore, lab: Lab) -> None:
    arguments = ["--s3-endpoint", s3_server.endpoint, "--s3-identity", str(s3_server.identity)]
    server = Warehouse(tmp_path / "state", arguments).start()
    try:
        with server.connect() as connection:
            connection.cursor().execute("CREATE DATABASE D")
            connection.cursor().execute("CREATE SCHEMA D.RAW")
            other = Lab(connection, lab.s3)
            other.table()
            url = other.put("x.csv", "1,2\n")
            assert other.run("COPY INTO T FROM @ST")[0][1] == "LOADED"
            other.run("BEGIN")
            assert other.run("COPY INTO T FROM @ST FORCE = TRUE")[0][1] == "LOADED"
            server.stop(signal.SIGKILL)
        server.start()
        with server.connect(database="D", schema="RAW") as connection:
            cursor = connection.cursor()
            assert cursor.execute("SELECT * FROM T").fetchall() == [("1", "2")]
            assert cursor.execute("COPY INTO T FROM @ST").fetchall() == NOTHING
            assert cursor.execute("SELECT FILE_NAME FROM INFORMATION_SCHEMA.LOAD_HISTORY").fetchall() == [(url,)]
    finally:
        server.stop()


# --- errors -------------------------------------------------------------------------------------------------------


def bad_file(lab: Lab) -> str:
    lab.table("A NUMBER, B VARCHAR")
    return lab.put("x.csv", "1,x\nzwei,y\n3,z\n4\nfünf,\n")


def test_abort_statement_names_value_file_line_and_column(lab: Lab) -> None:
    bad_file(lab)
    error = lab.refused("COPY INTO T FROM @ST")
    assert (error.errno, error.sqlstate) == (100038, "22018")
    text = str(error)
    assert "Numeric value 'zwei' is not recognized" in text
    assert f"File '{lab.folder}x.csv', line 2, character 1" in text
    assert 'Row 2, column "T"["A":1]' in text
    assert "please run 'info loading_data' in a SQL client." in text
    assert lab.rows() == []


def test_continue_loads_the_good_rows_and_counts_the_bad(lab: Lab) -> None:
    url = bad_file(lab)
    result = lab.run("COPY INTO T FROM @ST ON_ERROR = CONTINUE")
    assert result == [
        (url, "PARTIALLY_LOADED", 5, 2, 5, 3, "Numeric value 'zwei' is not recognized", 2, 1, '"T"["A":1]')
    ]
    assert lab.rows() == [(1, "x"), (3, "z")]
    assert lab.run("COPY INTO T FROM @ST") == NOTHING


def test_skip_file_skips_whole_files_and_may_load_them_later(lab: Lab) -> None:
    url = bad_file(lab)
    other = lab.put("y.csv", "9,ok\n")
    result = lab.run("COPY INTO T FROM @ST ON_ERROR = 'SKIP_FILE'")
    assert [(r[0], r[1], r[3], r[4], r[5]) for r in result] == [
        (url, "LOAD_FAILED", 0, 1, 3),
        (other, "LOADED", 1, 1, 0),
    ]
    assert lab.rows() == [(9, "ok")]
    lab.put("x.csv", "1,x\n")
    assert [r[1] for r in lab.run("COPY INTO T FROM @ST")] == ["LOADED"]


@pytest.mark.parametrize(
    ("mode", "status"),
    [("SKIP_FILE_3", "LOAD_FAILED"), ("SKIP_FILE_4", "PARTIALLY_LOADED"), ("'SKIP_FILE_59%'", "LOAD_FAILED"),
     ("'SKIP_FILE_60%'", "PARTIALLY_LOADED")],
)  # fmt: skip
def test_skip_file_with_a_number_or_percentage_of_errors(lab: Lab, mode: str, status: str) -> None:
    bad_file(lab)
    assert lab.run(f"COPY INTO T FROM @ST ON_ERROR = {mode}")[0][1] == status


def test_a_wrong_number_of_columns_is_an_error_only_without_a_select(lab: Lab) -> None:
    lab.table()
    lab.put("x.csv", "1,2\n1,2,3\n")
    error = lab.refused("COPY INTO T FROM @ST")
    assert error.errno == 100080
    assert (
        "Number of columns in file (3) does not match that of the corresponding table (2), use file format option "
        "error_on_column_count_mismatch=false to ignore this error" in str(error)
    )
    assert 'column "T"[3]' in str(error)
    assert lab.run("COPY INTO T FROM (SELECT $1, $2 FROM @ST)")[0][3] == 2
    lab.table()
    lab.put("x.csv", "1\n1,2,3\n")
    lab.run("COPY INTO T FROM @ST FILE_FORMAT = (FORMAT_NAME = PLAIN ERROR_ON_COLUMN_COUNT_MISMATCH = FALSE)")
    assert sorted(lab.rows(), key=str) == [("1", "2"), ("1", None)]


def test_a_null_in_a_not_null_column_and_a_long_string_are_row_errors(lab: Lab) -> None:
    lab.table("A VARCHAR NOT NULL, B VARCHAR(3)")
    lab.put("x.csv", "1,abc\n,abc\n2,abcd\n")
    result = lab.run("COPY INTO T FROM @ST ON_ERROR = CONTINUE")
    assert result[0][5:7] == (2, "NULL result in a non-nullable column")
    assert lab.rows() == [("1", "abc")]
    error = lab.refused("COPY INTO T FROM (SELECT 'x', $2 FROM @ST) FORCE = TRUE")
    assert (error.errno, "String 'abcd' is too long and would be truncated" in str(error)) == (100078, True)
    lab.table("A VARCHAR, B VARCHAR(3)")
    lab.run("COPY INTO T FROM @ST TRUNCATECOLUMNS = TRUE")
    assert ("2", "abc") in lab.rows()


@pytest.mark.parametrize(
    ("kind", "value", "code", "text"),
    [
        ("DATE", "2017-13-01", 100040, "Date '2017-13-01' is not recognized"),
        ("TIMESTAMP_NTZ", "noon", 100035, "Timestamp 'noon' is not recognized"),
        ("BOOLEAN", "perhaps", 100037, "Boolean value 'perhaps' is not recognized"),
        ("FLOAT", "1.2.3", 100038, "Numeric value '1.2.3' is not recognized"),
        ("NUMBER(38,0)", "1_000", 100038, "Numeric value '1_000' is not recognized"),
        ("NUMBER(4,1)", "12345", 100038, "Numeric value '12345' is not recognized"),
    ],
)
def test_values_that_do_not_convert_have_snowflakes_code_and_words(
    lab: Lab, kind: str, value: str, code: int, text: str
) -> None:
    lab.table(f"A {kind}")
    lab.put("x.csv", f"{value}\n")
    for copy in ("COPY INTO T FROM @ST", "COPY INTO T FROM (SELECT $1 FROM @ST)"):
        error = lab.refused(copy)
        assert (error.errno, text in str(error)) == (code, True), str(error)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'a,"b\n', "matching enclosing character '\"' not found before end of file"),
        (b'a,"b"c\n', "Found character 'c' instead of field delimiter ','"),
        (b"a,S\xe3o\n", "Invalid UTF8 detected in string 'S0xE3o'"),
        (b"a,b\n\nc,d\n", "End of record reached while expected to parse column"),
    ],
)
def test_files_that_cannot_be_parsed_load_nothing(lab: Lab, data: bytes, words: str) -> None:
    lab.table()
    lab.put("x.csv", data)
    assert words in str(lab.refused("COPY INTO T FROM (SELECT $1, $2 FROM @ST)"))
    assert lab.rows() == []


def test_a_value_longer_than_its_column_can_be_is_an_error(lab: Lab) -> None:
    lab.table()
    lab.put("x.csv", "a,b\nc," + "x" * 17_000_000 + "\n")
    error = lab.refused("COPY INTO T FROM (SELECT $1, $2 FROM @ST)")
    assert (error.errno, error.sqlstate) == (100078, "22000")
    assert "line 2, character 1" in str(error)
    assert lab.rows() == []


def test_a_value_as_long_as_its_column_can_be_loads(lab: Lab) -> None:
    """16,777,216 characters of four bytes: a VARCHAR counts characters, up to 128 MB
    (https://docs.snowflake.com/en/sql-reference/data-types-text)."""
    lab.table()
    lab.put("x.csv", "a," + "\U0001fa7a" * 16_777_216 + "\n")
    lab.run("COPY INTO T FROM (SELECT $1, $2 FROM @ST)")
    assert lab.run("SELECT LENGTH(B) FROM T") == [(16_777_216,)]


def test_a_broken_gzip_file_is_an_error_and_loads_nothing(lab: Lab) -> None:
    lab.table()
    lab.put("x.csv.gz", gzip.compress(b"1,2\n" * 10_000)[:-40])
    assert lab.refused("COPY INTO T FROM @ST").errno == 100086
    assert lab.rows() == []


# --- other forms and options --------------------------------------------------------------------------------------


def test_gzip_and_zstd_files_load_beside_plain_ones(lab: Lab) -> None:
    import pyarrow as pa

    lab.table()
    lab.put("a.csv", "1,plain\n")
    lab.put("b.csv.gz", gzip.compress(b"2,gzip\n"))
    lab.put("c.csv.zst", pa.compress(b"3,zstd\n", "zstd", asbytes=True))
    lab.run("COPY INTO T FROM @ST")
    assert lab.rows() == [("1", "plain"), ("2", "gzip"), ("3", "zstd")]


def test_options_in_the_statement_replace_those_of_the_stage(lab: Lab) -> None:
    lab.table()
    lab.put("x.csv", "h|h\n1| 'a|b' \n")
    lab.run(
        "COPY INTO T FROM @ST FILE_FORMAT = (TYPE = CSV FIELD_DELIMITER = '|' SKIP_HEADER = 1 TRIM_SPACE = TRUE "
        "FIELD_OPTIONALLY_ENCLOSED_BY = '''')"
    )
    assert lab.rows() == [("1", "a|b")]


def test_validation_mode_returns_errors_or_rows_and_loads_nothing(lab: Lab) -> None:
    bad_file(lab)
    errors = lab.run("COPY INTO T FROM @ST VALIDATION_MODE = RETURN_ERRORS")
    assert lab.description[:4] == ["ERROR", "FILE", "LINE", "CHARACTER"]
    assert [(row[0].split("(")[0], row[2]) for row in errors] == [
        ("Numeric value 'zwei' is not recognized", 2), ("Number of columns in file ", 4),
        ("Numeric value 'fünf' is not recognized", 5),
    ]  # fmt: skip
    assert lab.run("COPY INTO T FROM @ST VALIDATION_MODE = RETURN_1_ROWS") == [(1, "x")]
    assert lab.refused("COPY INTO T FROM @ST VALIDATION_MODE = RETURN_2_ROWS").errno == 100038
    assert lab.rows() == []
    refused = lab.refused("COPY INTO T FROM (SELECT $1, $2 FROM @ST) VALIDATION_MODE = RETURN_ERRORS")
    assert (refused.errno, "invalid parameter 'VALIDATION_MODE'" in str(refused)) == (1006, True)


def test_match_by_column_name_takes_columns_by_header(lab: Lab) -> None:
    lab.table("A VARCHAR, B VARCHAR, C VARCHAR, SRC VARCHAR")
    lab.put("x.csv", "c,a,other\n1,2,3\n")
    form = "FILE_FORMAT = (TYPE = CSV PARSE_HEADER = TRUE)"
    lab.run(
        f"COPY INTO T FROM @ST {form} MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE INCLUDE_METADATA = (SRC = METADATA$FILENAME)"
    )
    assert lab.rows() == [("2", None, "1", f"{lab.folder}x.csv")]
    lab.table("A VARCHAR, B VARCHAR")
    lab.run(f"COPY INTO T FROM @ST {form} MATCH_BY_COLUMN_NAME = CASE_SENSITIVE")
    assert lab.rows() == [(None, None)]
    assert (
        lab.refused(f"COPY INTO T FROM (SELECT $1, $2 FROM @ST) {form} MATCH_BY_COLUMN_NAME = CASE_SENSITIVE").errno
        == 1006
    )


def test_a_temporary_table_can_be_loaded(lab: Lab) -> None:
    lab.put("x.csv", "1,2\n")
    lab.run("CREATE TEMPORARY TABLE TMP (A VARCHAR, B VARCHAR)")
    assert lab.run("COPY INTO TMP FROM @ST")[0][1] == "LOADED"
    assert lab.rows("TMP") == [("1", "2")]


def test_values_may_be_bound_in_the_select(lab: Lab, loading_warehouse: Warehouse) -> None:
    lab.table("A VARCHAR, B VARCHAR, C NUMBER")
    for name in "xy":
        lab.put(f"{name}.csv", "1,2\n")
    database = lab.run("SELECT CURRENT_DATABASE()")[0][0]
    with loading_warehouse.connect(database=database, schema="RAW", paramstyle="qmark") as connection:
        connection.cursor().execute("COPY INTO T FROM (SELECT METADATA$FILENAME, ?, ? FROM @ST)", ("it's", 7))
    assert lab.rows() == [(f"{lab.folder}{name}.csv", "it's", 7) for name in "xy"]


def test_thousands_of_bad_rows_are_passed_over_quickly(lab: Lab) -> None:
    lab.table("A NUMBER, B VARCHAR")
    lab.put("x.csv", "".join(f"{'x' if i % 2 else i},{i}\n" for i in range(10_000)))
    result = lab.run("COPY INTO T FROM @ST ON_ERROR = CONTINUE")
    assert result[0][1:6] == ("PARTIALLY_LOADED", 10_000, 5_000, 10_000, 5_000)
    assert result[0][6:8] == ("Numeric value 'x' is not recognized", 2)


def test_return_failed_only_leaves_loaded_files_out_of_the_answer(lab: Lab) -> None:
    url = bad_file(lab)
    lab.put("y.csv", "9,ok\n")
    result = lab.run("COPY INTO T FROM @ST ON_ERROR = CONTINUE RETURN_FAILED_ONLY = TRUE")
    assert [row[0] for row in result] == [url]


def test_an_external_location_may_stand_in_the_statement(lab: Lab) -> None:
    lab.table()
    lab.put("x.csv", "1,2\n")
    allowed = f"STORAGE_INTEGRATION = {lab.integration}"
    read = f"COPY INTO T FROM 's3://{BUCKET}/{lab.folder}' {allowed} FILE_FORMAT = (TYPE = CSV)"
    assert lab.run(read)[0][1] == "LOADED"
    assert lab.refused("COPY INTO T FROM 'nowhere/x'").errno == 1011
    sealed = f"COPY INTO T FROM 's3://{BUCKET}/{lab.folder}' ENCRYPTION = (TYPE = 'AWS_CSE' MASTER_KEY = 'x')"
    assert lab.refused(sealed).errno == 2


@pytest.mark.parametrize(
    ("type_", "words", "expected"),
    [
        # https://docs.snowflake.com/en/sql-reference/functions/to_boolean#arguments
        ("BOOLEAN", ["on", "T", "yes", "OFF", "f", "n"], [True, True, True, False, False, False]),
        # https://docs.snowflake.com/en/sql-reference/date-time-input-output#supported-formats-for-auto-detection
        ("DATE", ["2024-01-02", "02-JAN-2024", "01/02/2024"], ["2024-01-02"] * 3),
        ("TIME", ["12:30", "12:30:15.25", "01:02:03 PM"], ["12:30:00", "12:30:15.250000", "13:02:03"]),
        (
            "TIMESTAMP_NTZ",
            ["2024-01-02T03:04:05", "2024-01-02 03:04", "1704164645"],
            ["2024-01-02 03:04:05", "2024-01-02 03:04:00", "2024-01-02 03:04:05"],
        ),
        (
            "TIMESTAMP_TZ",
            ["2024-01-02 03:04:05 +0200", "2024-01-02T03:04:05Z"],
            ["2024-01-02 03:04:05+02:00", "2024-01-02 03:04:05+00:00"],
        ),
    ],
)
def test_fields_convert_as_texts_do_in_a_query(lab: Lab, type_: str, words: list[str], expected: list[Any]) -> None:
    lab.table(f"N INT, A {type_}")
    lab.put("a.csv", "".join(f"{n},{word}\n" for n, word in enumerate(words)))
    lab.run("COPY INTO T FROM @ST/a.csv")
    assert [row[1] if isinstance(row[1], bool) else str(row[1]) for row in lab.rows()] == expected


@pytest.mark.parametrize(("type_", "word"), [("FLOAT", "1_000"), ("TIMESTAMP_NTZ", "2024-01-02 03:04:05.123456789")])
def test_what_would_load_as_another_value_is_a_row_error(lab: Lab, type_: str, word: str) -> None:
    lab.table(f"A {type_}")
    lab.put("a.csv", f"{word}\n")
    assert word in str(lab.refused("COPY INTO T FROM @ST/a.csv").msg)
    assert lab.rows() == []


@pytest.mark.parametrize(
    "options", ["FIELD_DELIMITER = ',' RECORD_DELIMITER = ',\\n'", "FIELD_OPTIONALLY_ENCLOSED_BY = 'x'"]
)
def test_a_file_format_that_reads_no_file_is_refused_when_it_is_made(lab: Lab, options: str) -> None:
    assert lab.refused(f"CREATE FILE FORMAT F TYPE = CSV {options}").errno == 1008


@pytest.mark.parametrize(
    ("clause", "code"),
    [
        ("FROM @ST BOGUS = 1", 1006),
        ("FROM @ST ON_ERROR = IGNORE", 1008),
        ("FROM @ST ON_ERROR = 'SKIP_FILE_0'", 1008),
        ("FROM @ST SIZE_LIMIT = 0", 1008),
        ("FROM @ST MATCH_BY_COLUMN_NAME = MAYBE", 1008),
        ("FROM @ST VALIDATION_MODE = RETURN_SOME", 1008),
        ("FROM @ST FORCE = 7", 1008),
        ("FROM @ST FILE_FORMAT = (TYPE = CSV BOGUS = 1)", 1006),
        ("FROM @ST FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 'x')", 1008),
        ("FROM @ST FILE_FORMAT = (TYPE = CSV DATE_FORMAT = 'DD.MM.YYYY')", 2),
        ("FROM @ST FILE_FORMAT = (FORMAT_NAME = 'NO_SUCH')", 2003),
        ("FROM @NO_SUCH", 2003),
        ("FROM @~", 2),
        ("FROM @ST FILE_FORMAT = (TYPE = AVRO)", 2),
        ("FROM (SELECT $1 FROM @ST)", 2020),
        ("FROM (SELECT $1, $2 FROM @ST WHERE $1 > 1)", 2098),
        ("FROM (SELECT $1, $2 FROM @ST LIMIT 1)", 2098),
        ("FROM (SELECT DISTINCT $1, $2 FROM @ST)", 2098),
        ("FROM (SELECT $1, COUNT($2) FROM @ST)", 2098),
        ("FROM (SELECT $1, NOT_A_COLUMN FROM @ST)", 904),
        ("FROM (SELECT $1, METADATA$NOPE FROM @ST)", 904),
    ],
)
def test_what_snowflake_does_not_know_is_refused_and_never_passed_over(lab: Lab, clause: str, code: int) -> None:
    lab.table()
    lab.put("x.csv", "1,2\n")
    assert lab.refused(f"COPY INTO T {clause}").errno == code
    assert lab.rows() == []


def test_an_unknown_table_or_column_is_refused(lab: Lab) -> None:
    lab.table()
    lab.put("x.csv", "1,2\n")
    assert lab.refused("COPY INTO NO_SUCH FROM @ST").errno == 2003
    assert lab.refused("COPY INTO T (A, NO_SUCH) FROM @ST").errno == 904


def test_unloading_is_refused(lab: Lab) -> None:
    lab.table()
    assert lab.refused("COPY INTO @ST FROM T").errno == 2
