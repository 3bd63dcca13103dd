"""Many sessions at once: loading, querying, changing the same table."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection
from snowflake.connector.constants import QueryStatus
from snowflake.connector.errors import Error, ProgrammingError

from tests.embedded.conftest import Warehouse

LONG = "WITH RECURSIVE R AS (SELECT 1 AS N UNION ALL SELECT N + 1 FROM R WHERE N < 100000000) SELECT MAX(N) FROM R"

Sessions = tuple[SnowflakeConnection, SnowflakeConnection]


@pytest.fixture
def sessions(warehouse: Warehouse, database: str) -> Iterator[Sessions]:
    """Two sessions in one empty database."""
    with (
        warehouse.connect(database=database, schema="PUBLIC") as one,
        warehouse.connect(database=database, schema="PUBLIC") as two,
    ):
        yield one, two


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse whose timeouts of minutes are shortened to a second."""
    times = ["--poll-seconds", "0.5", "--idle-transaction-seconds", "1"]
    server = Warehouse(tmp_path_factory.mktemp("impatient") / "state", times).start()
    yield server
    server.stop()


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


def test_two_sessions_load_two_tables_in_their_own_transactions(sessions: Sessions) -> None:
    one, two = sessions
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


def test_an_update_waits_for_the_transaction_that_changes_the_same_table(sessions: Sessions) -> None:
    one, two = sessions
    one.cursor().execute("CREATE TABLE T AS SELECT 1::INT AS ID, 0::INT AS N")
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


def test_a_lock_that_is_not_given_back_within_lock_timeout_is_an_error(sessions: Sessions) -> None:
    one, two = sessions
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
        connection.cursor().execute("CREATE TABLE T AS SELECT 0::INT AS N")

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
                slow.cursor().execute(LONG)

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.2)
        started = time.monotonic()
        quick.cursor().execute("SELECT 1")
        assert time.monotonic() - started < 2
        thread.join(30)
        assert not thread.is_alive()


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run `work` in a thread; return the thread, and the list that receives what it returns or raises."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Error as e:
            outcome.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def status_at_the_end(connection: Any, query_id: str) -> QueryStatus:
    """Wait for a detached query to end; return its status, or raise its error."""
    while connection.is_still_running(status := connection.get_query_status_throw_if_error(query_id)):
        time.sleep(0.05)
    return status


def ends_cancelled(thread: threading.Thread, outcome: list[Any]) -> None:
    thread.join(15)
    assert not thread.is_alive()
    assert isinstance(outcome[0], ProgrammingError)
    assert (outcome[0].errno, outcome[0].sqlstate) == (604, "57014")


def test_cancelling_a_session_ends_what_it_runs_and_leaves_it_usable(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database) as slow, warehouse.connect(database=database) as other:
        thread, outcome = in_background(lambda: slow.cursor().execute(LONG))
        time.sleep(0.5)
        assert thread.is_alive()
        cancel = f"SELECT SYSTEM$CANCEL_ALL_QUERIES({slow.session_id})"
        assert other.cursor().execute(cancel).fetchone() == ("cancelled 1 queries.",)
        ends_cancelled(thread, outcome)
        assert slow.cursor().execute("SELECT 1").fetchone() == (1,)
        assert other.cursor().execute(cancel).fetchone() == ("cancelled 0 queries.",)


def test_one_query_is_cancelled_by_its_id_from_its_own_session(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database) as connection:
        cursor = connection.cursor()
        query_id = cursor.execute_async(LONG)["queryId"]
        assert connection.get_query_status(query_id) is QueryStatus.RUNNING
        cancel = f"SELECT SYSTEM$CANCEL_QUERY('{query_id}')"
        assert connection.cursor().execute(cancel).fetchone() == (f"query [{query_id}] terminated.",)
        with pytest.raises(ProgrammingError) as ended:
            status_at_the_end(connection, query_id)
        assert ended.value.errno == 604
        assert connection.cursor().execute(cancel).fetchone() == (
            "Identified SQL statement is not currently executing.",
        )


def test_a_client_that_gives_up_waiting_has_its_statement_cancelled(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database) as connection:
        with pytest.raises(ProgrammingError) as ended:
            connection.cursor().execute(LONG, timeout=1)
        assert (ended.value.errno, ended.value.sqlstate) == (604, "57014")
        query_id = connection.cursor().execute_async(LONG)["queryId"]
        assert connection.cursor().abort_query(query_id)
        while connection.is_still_running(connection.get_query_status(query_id)):
            time.sleep(0.05)
        assert connection.get_query_status(query_id) is QueryStatus.FAILED_WITH_ERROR


def test_a_statement_that_waits_for_a_lock_can_be_cancelled(sessions: Sessions) -> None:
    one, two = sessions
    one.cursor().execute("CREATE TABLE T AS SELECT 1 AS ID")
    one.cursor().execute("BEGIN")
    one.cursor().execute("DELETE FROM T")
    thread, outcome = in_background(lambda: two.cursor().execute("DELETE FROM T"))
    time.sleep(0.3)
    one.cursor().execute(f"SELECT SYSTEM$CANCEL_ALL_QUERIES({two.session_id})")
    ends_cancelled(thread, outcome)
    one.cursor().execute("ROLLBACK")


def test_another_users_statement_is_not_for_everyone_to_cancel(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database) as admin:
        for sql in ("CREATE OR REPLACE USER MEDDLER PASSWORD = 'hers'", "GRANT ROLE PUBLIC TO USER MEDDLER"):
            admin.cursor().execute(sql)
        query_id = admin.cursor().execute_async(LONG)["queryId"]
        with warehouse.connect(user="MEDDLER", password="hers", role="PUBLIC") as meddler:
            with pytest.raises(ProgrammingError) as refused:
                meddler.cursor().execute(f"SELECT SYSTEM$CANCEL_QUERY('{query_id}')")
            assert (refused.value.errno, refused.value.sqlstate) == (3001, "42501")
        assert admin.get_query_status(query_id) is QueryStatus.RUNNING
        admin.cursor().execute(f"SELECT SYSTEM$CANCEL_QUERY('{query_id}')")


def test_two_transactions_that_wait_for_each_other_are_a_deadlock_that_the_later_loses(sessions: Sessions) -> None:
    one, two = sessions
    for table in ("A", "B"):
        one.cursor().execute(f"CREATE TABLE {table} AS SELECT 0::INT AS N")
    for connection, table in ((one, "A"), (two, "B")):
        connection.cursor().execute("BEGIN")
        connection.cursor().execute(f"UPDATE {table} SET N = 1")
    thread, outcome = in_background(lambda: one.cursor().execute("UPDATE B SET N = 2"))
    time.sleep(0.3)
    with pytest.raises(ProgrammingError, match="deadlock") as victim:
        two.cursor().execute("UPDATE A SET N = 2")
    assert (victim.value.errno, victim.value.sqlstate) == (625, "57014")
    assert thread.is_alive()  # the victim's transaction keeps its locks until it ends
    two.cursor().execute("ROLLBACK")
    thread.join(10)
    assert not isinstance(outcome[0], Error)
    one.cursor().execute("COMMIT")
    assert one.cursor().execute("SELECT A.N, B.N FROM A, B").fetchall() == [(1, 2)]


def test_a_transaction_that_only_read_changes_what_another_has_committed_since(sessions: Sessions) -> None:
    one, two = sessions
    one.cursor().execute("CREATE TABLE T AS SELECT 1::INT AS ID, 0::INT AS N")
    one.cursor().execute("BEGIN")
    assert one.cursor().execute("SELECT N FROM T").fetchone() == (0,)
    two.cursor().execute("UPDATE T SET N = 10")
    assert one.cursor().execute("SELECT N FROM T").fetchone() == (10,)
    one.cursor().execute("UPDATE T SET N = N + 1")
    one.cursor().execute("COMMIT")
    assert two.cursor().execute("SELECT N FROM T").fetchone() == (11,)


def test_a_transaction_that_has_written_sees_and_changes_what_others_committed_since(sessions: Sessions) -> None:
    one, two = sessions
    one.cursor().execute("CREATE TABLE A (ID INT)")
    one.cursor().execute(
        "CREATE TABLE LEDGER AS SELECT 1 AS ID, 'landed'::VARCHAR AS STATUS UNION ALL SELECT 2, 'landed'"
    )
    one.cursor().execute("CREATE TABLE LEASE AS SELECT 'olist' AS SOURCE, 1 AS TOKEN")
    for verb in ("ROLLBACK", "COMMIT"):
        one.cursor().execute("BEGIN")
        one.cursor().execute("INSERT INTO A VALUES (1)")
        two.cursor().execute("UPDATE LEASE SET TOKEN = 2")
        two.cursor().execute("UPDATE LEDGER SET STATUS = 'loaded' WHERE ID = 2")
        assert one.cursor().execute("SELECT TOKEN FROM LEASE").fetchone() == (2,)
        assert one.cursor().execute("UPDATE LEASE SET TOKEN = TOKEN + 1").rowcount == 1
        two.cursor().execute("UPDATE LEDGER SET STATUS = 'validated' WHERE ID = 2")
        assert one.cursor().execute("UPDATE LEDGER SET STATUS = 'loaded' WHERE ID = 1").rowcount == 1
        assert one.cursor().execute("SELECT TOKEN FROM LEASE").fetchone() == (3,)
        assert one.cursor().execute("SELECT STATUS FROM LEDGER ORDER BY ID").fetchall() == [
            ("loaded",),
            ("validated",),
        ]
        assert one.cursor().execute("SELECT COUNT(*) FROM A").fetchone() == (1,)
        assert two.cursor().execute("SELECT TOKEN, (SELECT COUNT(*) FROM A) FROM LEASE").fetchone() == (2, 0)
        two.cursor().execute("ALTER SESSION SET LOCK_TIMEOUT = 1")
        with pytest.raises(ProgrammingError):
            two.cursor().execute("UPDATE LEASE SET TOKEN = 9")
        one.cursor().execute(verb)
        after = two.cursor().execute("SELECT TOKEN, (SELECT COUNT(*) FROM A) FROM LEASE").fetchone()
        assert after == ((3, 1) if verb == "COMMIT" else (2, 0))


def test_the_lock_of_a_client_that_was_killed_goes_to_whoever_waits(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database, schema="PUBLIC") as connection:
        connection.cursor().execute("CREATE TABLE T AS SELECT 0::INT AS N")
        text = (
            "import sys, time, snowflake.connector\n"
            "c = snowflake.connector.connect(account='cxm-embedded', user='CXM_TEST', password='embedded', protocol='http', "
            f"host='127.0.0.1', port={warehouse.port}, database='{database}', schema='PUBLIC', "
            "platform_detection_timeout_seconds=0)\n"
            "c.cursor().execute('BEGIN')\n"
            "c.cursor().execute('UPDATE T SET N = 99')\n"
            "print('holds', flush=True)\n"
            "time.sleep(60)\n"
        )
        client = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == b"holds\n"
            thread, outcome = in_background(lambda: connection.cursor().execute("UPDATE T SET N = N + 1").rowcount)
            thread.join(1)
            assert thread.is_alive()
        finally:
            client.kill()
            client.wait()
        thread.join(10)
        assert outcome == [1]
        assert connection.cursor().execute("SELECT N FROM T").fetchone() == (1,)


def test_an_idle_transaction_in_anothers_way_is_rolled_back_and_its_session_told(impatient: Warehouse) -> None:
    with impatient.connect() as one, impatient.connect() as two:
        one.cursor().execute("CREATE DATABASE IDLE")
        one.cursor().execute("CREATE TABLE IDLE.PUBLIC.T AS SELECT 0::INT AS N")
        one.cursor().execute("BEGIN")
        one.cursor().execute("UPDATE IDLE.PUBLIC.T SET N = 99")
        two.cursor().execute("UPDATE IDLE.PUBLIC.T SET N = N + 1")
        with pytest.raises(ProgrammingError, match="has been aborted and rolled back") as raised:
            one.cursor().execute("COMMIT")
        assert raised.value.errno == 625
        assert one.cursor().execute("SELECT N FROM IDLE.PUBLIC.T").fetchone() == (1,)


def test_a_statement_that_takes_long_is_polled_for(impatient: Warehouse) -> None:
    with impatient.connect(session_parameters={"STATEMENT_TIMEOUT_IN_SECONDS": 3}) as connection:
        ways: list[str] = []
        get = connection.rest._get_request
        connection.rest._get_request = lambda url, *a, **k: ways.append(url) or get(url, *a, **k)
        started = time.monotonic()
        with pytest.raises(ProgrammingError, match="timeout of 3 second") as ended:
            connection.cursor().execute(LONG)
        assert 2 < time.monotonic() - started < 15
        assert ended.value.errno == 630
        assert len(ways) > 1
        assert all(url.startswith("/queries/") and url.endswith("/result") for url in ways)
        rows = connection.cursor().execute("SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 3))").fetchone()
        assert rows == (3,)


def test_a_detached_query_is_asked_for_and_its_rows_are_fetched_by_its_id(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database) as connection:
        cursor = connection.cursor()
        cursor.execute_async("SELECT 7 AS N UNION ALL SELECT 8 ORDER BY 1")
        query_id = cursor.sfqid
        assert status_at_the_end(connection, query_id) is QueryStatus.SUCCESS
        cursor.get_results_from_sfqid(query_id)
        assert cursor.fetchall() == [(7,), (8,)]
        failing = connection.cursor().execute_async("SELECT * FROM PUBLIC.NOWHERE")["queryId"]
        with pytest.raises(ProgrammingError, match="NOWHERE"):
            status_at_the_end(connection, failing)


def test_a_merge_that_waited_sees_what_the_other_transaction_left(warehouse: Warehouse, database: str) -> None:
    merge = (
        "MERGE INTO LEASE H USING (SELECT 'olist' AS SOURCE) A ON H.SOURCE = A.SOURCE "
        "WHEN MATCHED THEN UPDATE SET SOURCE = A.SOURCE WHEN NOT MATCHED THEN INSERT (SOURCE) VALUES (A.SOURCE)"
    )
    with warehouse.connect(database=database, schema="PUBLIC") as connection:
        connection.cursor().execute("CREATE TABLE LEASE (SOURCE VARCHAR, HOLDER VARCHAR)")

    def take(holder: str) -> str | None:
        with warehouse.connect(database=database, schema="PUBLIC") as connection:
            for sql in ("BEGIN", merge):
                connection.cursor().execute(sql)
            before = connection.cursor().execute("SELECT HOLDER FROM LEASE WHERE SOURCE = 'olist'").fetchall()
            if before == [(None,)]:
                connection.cursor().execute(f"UPDATE LEASE SET HOLDER = '{holder}' WHERE SOURCE = 'olist'")
            connection.cursor().execute("COMMIT")
            return str(before[0][0]) if before[0][0] else None

    names = [f"run{i}" for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(take, names))
    assert seen.count(None) == 1
    winner = names[seen.index(None)]
    assert [s for s in seen if s] == [winner] * 3
