"""Many sessions at once: loading, querying, changing the same table."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from snowflake.connector.errors import ProgrammingError

from tests.embedded.conftest import Warehouse


def test_thirty_two_sessions_make_tables_write_and_read_at_once(warehouse: Warehouse, database: str) -> None:
    def work(number: int) -> int:
        with warehouse.connect(database=database, schema="PUBLIC") as connection:
            cursor = connection.cursor()
            cursor.execute(f"CREATE TABLE T{number} (ID INT COMMENT 'c{number}', V VARCHAR)")
            cursor.execute("BEGIN")
            for row in range(5):
                cursor.execute(f"INSERT INTO T{number} VALUES ({row}, 'v')")
            cursor.execute("COMMIT")
            return int(cursor.execute(f"SELECT COUNT(*) FROM T{number}").fetchone()[0])

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(work, range(32))) == [5] * 32


def test_two_sessions_load_two_tables_in_their_own_transactions(warehouse: Warehouse, database: str) -> None:
    with (
        warehouse.connect(database=database, schema="PUBLIC") as one,
        warehouse.connect(database=database, schema="PUBLIC") as two,
    ):
        one.cursor().execute("CREATE TABLE A (ID INT)")
        one.cursor().execute("CREATE TABLE B (ID INT)")
        one.cursor().execute("CREATE TABLE LEDGER (NAME VARCHAR)")
        for connection in (one, two):
            connection.cursor().execute("BEGIN")
        one.cursor().execute("INSERT INTO A VALUES (1)")
        two.cursor().execute("INSERT INTO B VALUES (2)")
        one.cursor().execute("INSERT INTO LEDGER VALUES ('A')")
        two.cursor().execute("INSERT INTO LEDGER VALUES ('B')")
        two.cursor().execute("COMMIT")
        # what the other has not committed is not seen
        assert two.cursor().execute("SELECT NAME FROM LEDGER").fetchall() == [("B",)]
        one.cursor().execute("COMMIT")
        assert two.cursor().execute("SELECT NAME FROM LEDGER ORDER BY 1").fetchall() == [("A",), ("B",)]


def test_an_update_waits_for_the_transaction_that_changes_the_same_table(warehouse: Warehouse, database: str) -> None:
    with (
        warehouse.connect(database=database, schema="PUBLIC") as one,
        warehouse.connect(database=database, schema="PUBLIC") as two,
    ):
        one.cursor().execute("CREATE TABLE T AS SELECT 1 AS ID, 0 AS N")
        one.cursor().execute("BEGIN")
        one.cursor().execute("UPDATE T SET N = N + 1")
        done = threading.Event()

        def update() -> None:
            two.cursor().execute("UPDATE T SET N = N + 10")
            done.set()

        waiting = threading.Thread(target=update)
        waiting.start()
        assert not done.wait(0.5)
        one.cursor().execute("COMMIT")
        assert done.wait(10)
        waiting.join()
        assert one.cursor().execute("SELECT N FROM T").fetchone() == (11,)


def test_a_lock_that_is_not_given_back_within_lock_timeout_is_an_error(warehouse: Warehouse, database: str) -> None:
    with (
        warehouse.connect(database=database, schema="PUBLIC") as one,
        warehouse.connect(database=database, schema="PUBLIC") as two,
    ):
        one.cursor().execute("CREATE TABLE T AS SELECT 1 AS ID")
        one.cursor().execute("BEGIN")
        one.cursor().execute("DELETE FROM T")
        two.cursor().execute("ALTER SESSION SET LOCK_TIMEOUT = 1")
        with pytest.raises(ProgrammingError) as refused:
            two.cursor().execute("DELETE FROM T")
        assert (refused.value.errno, refused.value.sqlstate) == (625, "57014")
        one.cursor().execute("ROLLBACK")
        assert two.cursor().execute("DELETE FROM T").rowcount == 1


def test_counting_in_many_sessions_loses_no_update(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database, schema="PUBLIC") as connection:
        connection.cursor().execute("CREATE TABLE T AS SELECT 0 AS N")

    def work(_: int) -> None:
        with warehouse.connect(database=database, schema="PUBLIC") as connection:
            for _ in range(5):
                connection.cursor().execute("UPDATE T SET N = N + 1")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    with warehouse.connect(database=database, schema="PUBLIC") as connection:
        assert connection.cursor().execute("SELECT N FROM T").fetchone() == (40,)


def test_sessions_work_on_while_another_runs_a_long_query(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database) as slow, warehouse.connect(database=database) as quick:
        slow.cursor().execute("ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = 3")

        def run() -> None:
            with pytest.raises(ProgrammingError, match="reached its statement or warehouse timeout of 3 second"):
                slow.cursor().execute(
                    "WITH RECURSIVE R AS (SELECT 1 AS N UNION ALL SELECT N + 1 FROM R WHERE N < 100000000) SELECT MAX(N) FROM R"
                )

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.2)
        started = time.monotonic()
        quick.cursor().execute("SELECT 1")
        assert time.monotonic() - started < 2
        thread.join(30)
        assert not thread.is_alive()
