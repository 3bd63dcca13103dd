"""Transactions in which a statement fails: the statement is rolled back, the transaction stays open.

https://docs.snowflake.com/en/sql-reference/transactions#failed-statements-within-a-transaction
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from snowflake.connector.errors import Error, ProgrammingError

from tests.embedded.conftest import Warehouse
from tests.embedded.test_warehouse_concurrency import LONG


@pytest.fixture
def run(warehouse: Warehouse, database: str) -> Iterator[Any]:
    with warehouse.connect(database=database, schema="PUBLIC") as connection:
        yield lambda sql, *binds: connection.cursor().execute(sql, *binds)


@pytest.fixture
def other(warehouse: Warehouse, database: str) -> Iterator[Any]:
    with warehouse.connect(database=database, schema="PUBLIC") as connection:
        yield lambda sql, *binds: connection.cursor().execute(sql, *binds)


# What fails in a transaction that has written (1, 'one') into T, changed a row of U and left V as it was.
FAILING = {
    "a query": ("SELECT 1 / (A - 1) FROM T", 100051),
    "a query of what the transaction wrote": ("SELECT B::INT FROM T WHERE A = 1", 100038),
    "a query of another table": ("SELECT B::INT FROM V", 100038),
    "an unknown column": ("SELECT NO_SUCH FROM T", 904),
    "an unknown table": ("SELECT * FROM NO_SUCH", 2003),
    "no SQL": ("SELCT 1", 1003),
    "INSERT of NULL": ("INSERT INTO T VALUES (NULL, 'x')", 100072),
    "INSERT of a text that is no number": ("INSERT INTO T VALUES ('x', 'x')", 100038),
    "INSERT of a long text": ("INSERT INTO T VALUES (2, 'too long a text')", 100078),
    "INSERT with SELECT, in its last row": ("INSERT INTO T SELECT 1 / (3 - A), B FROM U", 100051),
    "INSERT into the table that it reads": ("INSERT INTO T SELECT B::INT, B FROM T", 100038),
    "INSERT OVERWRITE": ("INSERT OVERWRITE INTO T SELECT B::INT, B FROM V", 100038),
    "UPDATE": ("UPDATE T SET A = 1 / (A - 1)", 100051),
    "UPDATE of rows that are changed already": ("UPDATE U SET A = 1 / (A - 20)", 100051),
    "UPDATE of another table": ("UPDATE V SET A = 1 / (A - 5)", 100051),
    "DELETE": ("DELETE FROM U WHERE 1 / (A - 20) > 0", 100051),
    "MERGE": ("MERGE INTO U USING V ON U.A = V.A WHEN NOT MATCHED THEN INSERT (A, B) VALUES (V.B, 'x')", 100038),
    "MERGE of a row that matches twice": (
        "MERGE INTO V USING (SELECT 5 AS A FROM U) S ON V.A = S.A WHEN MATCHED THEN UPDATE SET B = 'x'", 100090
    ),
}  # fmt: skip


@pytest.fixture
def begun(run: Any) -> Any:
    run("CREATE TABLE T (A INT NOT NULL, B VARCHAR(5))")
    run("CREATE TABLE U AS SELECT 2::INT AS A, 'two' AS B UNION ALL SELECT 3::INT, 'three'")
    run("CREATE TABLE V AS SELECT 5::INT AS A, 'five' AS B")
    run("BEGIN")
    run("INSERT INTO T VALUES (1, 'one')")
    run("UPDATE U SET A = 20 WHERE A = 2")
    return run


@pytest.mark.parametrize("name", FAILING)
def test_a_statement_that_fails_costs_nothing_of_its_transaction(begun: Any, other: Any, name: str) -> None:
    sql, errno = FAILING[name]
    transaction = begun("SELECT CURRENT_TRANSACTION()").fetchone()
    with pytest.raises(Error) as failed:
        begun(sql).fetchall()
    assert failed.value.errno == errno
    assert begun("SELECT CURRENT_TRANSACTION()").fetchone() == transaction
    assert begun("SELECT A, B FROM T").fetchall() == [(1, "one")]
    assert begun("SELECT A FROM U ORDER BY A").fetchall() == [(3,), (20,)]
    assert other("SELECT (SELECT COUNT(*) FROM T), (SELECT MAX(A) FROM U)").fetchone() == (0, 3)
    begun("INSERT INTO T VALUES (7, 'seven')")
    begun("COMMIT")
    assert other("SELECT A FROM T ORDER BY A").fetchall() == [(1,), (7,)]
    assert other("SELECT A FROM U ORDER BY A").fetchall() == [(3,), (20,)]
    assert other("SELECT A, B FROM V").fetchall() == [(5, "five")]


def test_after_a_failure_the_transaction_may_be_rolled_back(begun: Any, other: Any) -> None:
    with pytest.raises(Error):
        begun("INSERT INTO T VALUES (NULL, 'x')")
    begun("ROLLBACK")
    assert other("SELECT (SELECT COUNT(*) FROM T), (SELECT MAX(A) FROM U)").fetchone() == (0, 3)


def test_after_a_failure_the_locks_are_held_and_others_commits_are_seen(begun: Any, other: Any) -> None:
    with pytest.raises(Error):
        begun("UPDATE U SET A = 1 / (A - 20)")
    other("ALTER SESSION SET LOCK_TIMEOUT = 1")
    with pytest.raises(ProgrammingError, match="lock"):
        other("UPDATE U SET A = 9")
    other("INSERT INTO V VALUES (6, 'six')")
    other("INSERT INTO U VALUES (4, 'four')")
    assert begun("SELECT COUNT(*) FROM V").fetchone() == (2,)
    begun("UPDATE V SET A = A + 1")
    begun("COMMIT")
    assert other("SELECT A FROM U ORDER BY A").fetchall() == [(3,), (4,), (20,)]
    assert other("SELECT A FROM V ORDER BY A").fetchall() == [(6,), (7,)]


def test_many_rows_of_one_statement_that_fails_halfway_leave_the_transaction_as_it_was(
    warehouse: Warehouse, database: str
) -> None:
    with warehouse.connect(database=database, schema="PUBLIC", paramstyle="qmark") as connection:
        run = connection.cursor().execute
        run("CREATE TABLE T (A INT NOT NULL)")
        run("BEGIN")
        for begins in ("", "INSERT INTO T VALUES (1)"):
            if begins:
                run(begins)
            with pytest.raises(Error):
                connection.cursor().executemany("INSERT INTO T VALUES (?)", [(2,), (3,), (None,)])
        connection.cursor().executemany("INSERT INTO T VALUES (?)", [(4,), (5,)])
        run("COMMIT")
        assert run("SELECT A FROM T ORDER BY A").fetchall() == [(1,), (4,), (5,)]


def test_temporary_tables_keep_their_rows_after_a_failure(run: Any) -> None:
    run("CREATE TABLE T (A INT)")
    run("CREATE TEMPORARY TABLE S (A INT NOT NULL, T TIMESTAMP_TZ, J VARIANT)")
    run("BEGIN")
    run("INSERT INTO S SELECT 1, '2024-01-01 12:00:00 +02:00'::TIMESTAMP_TZ, PARSE_JSON('{\"a\": 1}')")
    for sql in (
        "INSERT INTO S (A) VALUES (NULL)",
        "INSERT INTO T SELECT 1 / (A - 1) FROM S",
        "UPDATE S SET A = 1 / (A - 1)",
    ):
        with pytest.raises(Error):
            run(sql)
    assert run("SELECT A, J:a::INT FROM S").fetchall() == [(1, 1)]
    run("INSERT INTO T SELECT A FROM S")
    run("COMMIT")
    assert run("SELECT A FROM T").fetchall() == [(1,)]


def test_a_statement_that_is_cancelled_costs_nothing_of_its_transaction(begun: Any, other: Any) -> None:
    session = begun("SELECT CURRENT_SESSION()").fetchone()[0]
    failed: list[Error] = []

    def work() -> None:
        try:
            begun(f"INSERT INTO T SELECT N, 'x' FROM ({LONG}) AS L (N)")
        except Error as e:
            failed.append(e)

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 20
    while thread.is_alive() and time.monotonic() < deadline:  # it may not have begun yet
        other(f"SELECT SYSTEM$CANCEL_ALL_QUERIES({session})")
        thread.join(0.3)
    assert [e.errno for e in failed] == [604]
    begun("COMMIT")
    assert other("SELECT A FROM T").fetchall() == [(1,)]


def test_truncate_is_part_of_a_transaction(run: Any, other: Any) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#terminology: DML includes TRUNCATE."""
    run("CREATE TABLE T AS SELECT 1 AS A")
    run("BEGIN")
    run("TRUNCATE TABLE T")
    assert run("SELECT COUNT(*) FROM T").fetchone() == (0,)
    assert other("SELECT COUNT(*) FROM T").fetchone() == (1,)
    run("ROLLBACK")
    assert run("SELECT COUNT(*) FROM T").fetchone() == (1,)
