"""What the embedded warehouse keeps through a stop, a crash and a second start."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.embedded.conftest import ROOT, Warehouse, free_port

ACCOUNT = (
    "CREATE WAREHOUSE WH_CXM WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60 COMMENT = 'it''s small'",
    "CREATE DATABASE D COMMENT = 'kept'",
    "CREATE SCHEMA D.RAW COMMENT = 'raw'",
    "CREATE ROLE LOADER",
    "GRANT ROLE LOADER TO ROLE SYSADMIN",
    "GRANT USAGE ON DATABASE D TO ROLE LOADER",
    "GRANT SELECT ON FUTURE TABLES IN SCHEMA D.RAW TO ROLE LOADER",
    "CREATE STORAGE INTEGRATION I TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE "
    "STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::000000000000:role/r' STORAGE_ALLOWED_LOCATIONS = ('s3://bucket/raw/')",
    "CREATE FILE FORMAT D.RAW.F TYPE = CSV SKIP_HEADER = 1 NULL_IF = ('', 'null')",
    "CREATE STAGE D.RAW.S URL = 's3://bucket/raw/' STORAGE_INTEGRATION = I FILE_FORMAT = (FORMAT_NAME = 'D.RAW.F')",
    "CREATE TABLE D.RAW.T (ID NUMBER(38,0) NOT NULL COMMENT 'the key', V VARCHAR(7)) CLUSTER BY (ID) COMMENT = 'rows'",
    "INSERT INTO D.RAW.T VALUES (1, 'one'), (2, NULL)",
    "CREATE VIEW D.RAW.V AS SELECT ID FROM D.RAW.T",
)

SHOWN = (
    "SHOW WAREHOUSES", "SHOW DATABASES", "SHOW SCHEMAS IN DATABASE D", "SHOW ROLES", "SHOW GRANTS TO ROLE LOADER",
    "SHOW FUTURE GRANTS IN SCHEMA D.RAW", "DESC INTEGRATION I", "DESC FILE FORMAT D.RAW.F", "DESC STAGE D.RAW.S",
    "SHOW STAGES IN SCHEMA D.RAW",
    "DESC TABLE D.RAW.T", "SHOW TABLES IN SCHEMA D.RAW", "SELECT * FROM D.RAW.T ORDER BY ID", "SELECT * FROM D.RAW.V ORDER BY ID",
    "SELECT TABLE_NAME, COMMENT, CREATED, LAST_ALTERED FROM D.INFORMATION_SCHEMA.TABLES ORDER BY 1",
    "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, COMMENT FROM D.INFORMATION_SCHEMA.COLUMNS "
    "WHERE TABLE_NAME = 'T' ORDER BY 1",
)  # fmt: skip


def everything(warehouse: Warehouse) -> list[list[tuple[Any, ...]]]:
    # the current database, schema and warehouse are the session's, so each look is from a fresh one
    with warehouse.connect() as connection:
        return [connection.cursor().execute(sql).fetchall() for sql in SHOWN]


@pytest.fixture
def own(tmp_path: Path) -> Any:
    """A warehouse that a test may stop and kill."""
    server = Warehouse(tmp_path / "state").start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.stop(signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_account_objects_and_rows_survive_a_stop_and_a_kill(own: Warehouse, how: signal.Signals) -> None:
    with own.connect() as connection:
        for sql in ACCOUNT:
            connection.cursor().execute(sql)
    before = everything(own)
    status = own.stop(how)
    assert status == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    own.start()
    assert everything(own) == before


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # the connector's own cancel timer finds no server
def test_a_kill_loses_no_committed_row_and_keeps_no_open_transaction(own: Warehouse) -> None:
    committed: list[int] = []
    with own.connect() as connection:
        connection.cursor().execute("CREATE DATABASE D")
        connection.cursor().execute("CREATE TABLE D.PUBLIC.T (ID INT)")

    def write() -> None:
        from snowflake.connector.errors import Error

        connection = own.connect(network_timeout=2)
        cursor = connection.cursor()
        try:
            for number in range(10_000):
                cursor.execute(f"INSERT INTO D.PUBLIC.T VALUES ({number})")
                committed.append(number)
        except Error:
            return

    open_one = own.connect()
    open_one.cursor().execute("BEGIN")
    open_one.cursor().execute("INSERT INTO D.PUBLIC.T VALUES (-1)")
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    while len(committed) < 50 and writer.is_alive():
        writer.join(0.05)
    own.stop(signal.SIGKILL)
    writer.join(30)
    own.start()
    with own.connect() as connection:
        rows = [row[0] for row in connection.cursor().execute("SELECT ID FROM D.PUBLIC.T ORDER BY ID")]
    # the statement under way when the server died may have committed without its answer having arrived
    assert rows in (committed, [*committed, len(committed)])
    assert len(committed) >= 50


def test_a_second_server_on_the_same_files_ends_at_once_and_says_why(own: Warehouse) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "flows.embedded.warehouse", "--port", str(free_port()), "--dir", str(own.directory),
         "--users", str(own.users)],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert second.returncode == 5
    assert str(own.directory) in second.stderr
    assert "is another warehouse running on it?" in second.stderr


def test_a_dropped_database_does_not_come_back_with_its_rows(own: Warehouse) -> None:
    with own.connect() as connection:
        cursor = connection.cursor()
        for sql in ACCOUNT[1:3]:
            cursor.execute(sql)
        cursor.execute("CREATE TABLE D.RAW.T AS SELECT 1 AS A")
        cursor.execute("DROP DATABASE D")
        cursor.execute("CREATE DATABASE D")
        cursor.execute("CREATE OR REPLACE DATABASE E")
    own.stop()
    own.start()
    with own.connect() as connection:
        cursor = connection.cursor()
        assert [row[1] for row in cursor.execute("SHOW SCHEMAS IN DATABASE D")] == ["INFORMATION_SCHEMA", "PUBLIC"]
        assert [row[1] for row in cursor.execute("SHOW DATABASES")] == ["D", "E"]
    assert len(list((own.directory / "databases").glob("*.db"))) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_stop_does_not_wait_for_a_long_statement(own: Warehouse) -> None:
    connection = own.connect(network_timeout=2)

    def run() -> None:
        from snowflake.connector.errors import Error

        endless = "WITH RECURSIVE R AS (SELECT 1 AS N UNION ALL SELECT N + 1 FROM R WHERE N < 1000000000) SELECT MAX(N) FROM R"
        with pytest.raises(Error):
            connection.cursor().execute(endless)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(1)
    started = time.monotonic()
    assert own.stop() == 0
    assert time.monotonic() - started < 15
    thread.join(30)


def test_most_rows_of_a_load_go_into_the_file_and_not_by_way_of_the_log(own: Warehouse, tmp_path: Path) -> None:
    """A row that goes into the log is written a second time by a checkpoint, for which a COMMIT waits."""
    folder = tmp_path / "state" / "databases"
    with own.connect() as connection:
        run = connection.cursor().execute
        run("CREATE DATABASE D")
        run("CREATE TABLE T (ID NUMBER, V VARCHAR)")
        run("INSERT INTO T SELECT SEQ4(), UUID_STRING() FROM TABLE(GENERATOR(ROWCOUNT => 100000))")
    (log,) = folder.glob("D-*.db.wal")
    assert log.stat().st_size < 10_000 * 40, f"{log.stat().st_size:,} bytes in the log"
    own.stop(signal.SIGKILL)
    own.start()
    with own.connect() as connection:
        assert connection.cursor().execute("SELECT COUNT(*), COUNT(DISTINCT V), MAX(ID) FROM D.PUBLIC.T").fetchone() == (
            100_000, 100_000, 99_999,
        )  # fmt: skip
