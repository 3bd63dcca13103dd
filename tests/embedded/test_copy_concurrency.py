"""COPY INTO in many sessions at once, and a COPY that is cancelled."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from snowflake.connector.errors import ProgrammingError

from flows.embedded.warehouse.session import running
from flows.embedded.warehouse.session.known_columns import KnownColumns
from flows.embedded.warehouse.session.later_parts import Commits
from flows.embedded.warehouse.session.transaction import Transaction
from tests.embedded.conftest import ObjectStore, Warehouse, integration_for

BUCKET = "copy-at-once"


def stage(warehouse: Warehouse, s3_server: ObjectStore, files: dict[str, bytes]) -> str:
    """Create a database whose stage PUBLIC.ST holds these files; return its name."""
    s3, folder = s3_server.client(), uuid.uuid4().hex
    if BUCKET not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)
    for name, data in files.items():
        s3.put_object(Bucket=BUCKET, Key=f"{folder}/{name}", Body=data)
    database = f"ONCE_{folder[:8].upper()}"
    with warehouse.connect() as connection:
        connection.cursor().execute(f"CREATE DATABASE {database}")
        connection.cursor().execute(
            f"CREATE STAGE ST URL = 's3://{BUCKET}/{folder}/' STORAGE_INTEGRATION = {integration_for(connection, BUCKET)} "
            "FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 0)"
        )
    return database


def test_thirty_two_sessions_load_and_query_at_once(loading_warehouse: Warehouse, s3_server: ObjectStore) -> None:
    sessions, rows = 32, 2_000
    lines = [f"{n},{n * n}\n" for n in range(rows)]
    files = {f"{i:02}.csv": "".join(lines[: rows - i]).encode() for i in range(sessions)}
    database = stage(loading_warehouse, s3_server, files)
    together = threading.Barrier(sessions)

    def work(number: int) -> tuple[int, int, int]:
        with loading_warehouse.connect(database=database, schema="PUBLIC") as connection:
            run = connection.cursor().execute
            run(f"CREATE TABLE T{number} (N INT, SQUARE INT)")
            together.wait()
            copied = run(f"COPY INTO T{number} FROM @ST FILES = ('{number:02}.csv')").fetchall()
            count, highest = run(f"SELECT COUNT(*), MAX(SQUARE) FROM T{number}").fetchone()
            return copied[0][3], count, highest

    with ThreadPoolExecutor(sessions) as pool:
        got = list(pool.map(work, range(sessions)))
    assert got == [(rows - i, rows - i, (rows - i - 1) ** 2) for i in range(sessions)]


def test_a_copy_that_is_cancelled_loads_nothing_and_can_be_sent_again(
    loading_warehouse: Warehouse, s3_server: ObjectStore
) -> None:
    rows = 1_000_000
    database = stage(
        loading_warehouse, s3_server, {"long.csv": b"12345678,some text that has a length,3.14159\n" * rows}
    )
    with loading_warehouse.connect(database=database, schema="PUBLIC") as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE T (A INT, B VARCHAR, C FLOAT)")
        query_id = cursor.execute_async("COPY INTO T FROM @ST")["queryId"]
        connection.cursor().execute(f"SELECT SYSTEM$CANCEL_ALL_QUERIES({connection.session_id})")
        while connection.is_still_running(connection.get_query_status(query_id)):
            time.sleep(0.02)
        with pytest.raises(ProgrammingError) as ended:
            connection.get_query_status_throw_if_error(query_id)
        assert ended.value.errno == 604
        assert cursor.execute("SELECT COUNT(*) FROM T").fetchone() == (0,)
        assert cursor.execute("COPY INTO T FROM @ST").fetchall()[0][3] == rows


def test_a_stop_that_meets_the_begin_of_a_transaction_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB keeps an interrupted BEGIN open and aborted: everything that the session runs next would fail."""
    monkeypatch.setattr(running, "PRESS_SECONDS", 0)

    class Session(SimpleNamespace):  # SimpleNamespace itself takes no weak reference
        pass

    with duckdb.connect() as duck:
        locks = SimpleNamespace(release=lambda _: None)
        registry = SimpleNamespace(commits=Commits(), columns=KnownColumns(), locks=locks)
        session: Any = Session(session_id=1, registry=registry, interrupt=duck.interrupt)
        transaction = Transaction(session, duck)
        for _ in range(1000):
            session.statement = running.Statement(session)
            session.statement.start()
            session.statement.stop(ProgrammingError("stopped"))
            with suppress(duckdb.Error):
                transaction.begin()
            session.statement.end()
            transaction.end("ROLLBACK")
            assert duck.execute("SELECT 1").fetchall() == [(1,)]
