"""What a session knows and sets, how results and errors look on the wire."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime
from datetime import time as clock
from decimal import Decimal
from typing import Any

import pytest
from snowflake.connector.errors import Error, ProgrammingError

from tests.embedded.conftest import Warehouse


@pytest.fixture
def connection(warehouse: Warehouse, database: str) -> Iterator[Any]:
    with warehouse.connect(database=database, schema="PUBLIC") as opened:
        yield opened


def one(connection: Any, sql: str, *values: Any) -> Any:
    return connection.cursor().execute(sql, *values).fetchone()


def test_health_answers_without_a_login(warehouse: Warehouse) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{warehouse.port}/health") as answer:
        assert answer.status == 200


def test_context_functions_answer_from_the_session(connection: Any, database: str) -> None:
    got = one(
        connection,
        "SELECT CURRENT_REGION(), CURRENT_ACCOUNT(), CURRENT_USER(), CURRENT_USER, CURRENT_ROLE(), "
        "CURRENT_WAREHOUSE(), CURRENT_DATABASE(), "
        "CURRENT_SCHEMA(), CURRENT_SESSION()::NUMBER, IS_ROLE_IN_SESSION('SYSADMIN'), CURRENT_TRANSACTION()",
    )
    assert got == (
        "AWS_US_EAST_1", "CXM_EMBEDDED", "CXM_TEST", "CXM_TEST", "ACCOUNTADMIN", None, database, "PUBLIC",
        connection.session_id, True, None,
    )  # fmt: skip
    assert re.fullmatch(r"\d+\.\d+\.\d+", one(connection, "SELECT CURRENT_VERSION()")[0])
    assert (connection.role, connection.database, connection.schema) == ("ACCOUNTADMIN", database, "PUBLIC")


def test_a_context_function_column_is_called_as_snowflake_calls_it(connection: Any) -> None:
    cursor = connection.cursor().execute("SELECT current_role(), current_region() AS snowflake_region")
    assert [column.name for column in cursor.description] == ["CURRENT_ROLE()", "SNOWFLAKE_REGION"]


def test_the_connector_follows_use(connection: Any, database: str) -> None:
    for sql in ("CREATE ROLE IF NOT EXISTS FOLLOWED", "CREATE SCHEMA RAW", "USE ROLE FOLLOWED"):
        connection.cursor().execute(sql)
    assert connection.role == "FOLLOWED"
    assert connection.schema == "RAW"
    connection.cursor().execute("USE ROLE ACCOUNTADMIN")
    connection.cursor().execute(f"USE {database}")
    assert (connection.database, connection.schema) == (database, "PUBLIC")
    connection.cursor().execute("USE SECONDARY ROLES ALL")


def test_every_statement_has_an_id_and_last_query_id_knows_it(connection: Any) -> None:
    ids = []
    for sql in ("CREATE TABLE T (A INT)", "INSERT INTO T VALUES (1)", "UPDATE T SET A = 2", "SELECT * FROM T",
                "MERGE INTO T USING (SELECT 2 AS A) S ON T.A = S.A WHEN MATCHED THEN DELETE", "BEGIN", "COMMIT",
                "SHOW TABLES"):  # fmt: skip
        ids.append(connection.cursor().execute(sql).sfqid)
        assert one(connection, "SELECT LAST_QUERY_ID()") == (ids[-1],)
    assert len(set(ids)) == len(ids)
    with pytest.raises(Error) as refused:
        connection.cursor().execute("SELECT * FROM NOWHERE")
    assert one(connection, "SELECT LAST_QUERY_ID()") == (refused.value.sfqid,)


def test_the_rows_of_show_are_read_again_with_result_scan(connection: Any) -> None:
    connection.cursor().execute("CREATE TABLE SCANNED (A INT)")
    connection.cursor().execute("SHOW TABLES")
    rows = connection.cursor().execute(
        'SELECT "name", "rows" FROM TABLE(RESULT_SCAN(LAST_QUERY_ID())) WHERE "name" LIKE \'SC%\''
    )
    assert rows.fetchall() == [("SCANNED", 0)]
    with pytest.raises(ProgrammingError) as refused:
        connection.cursor().execute("SELECT * FROM TABLE(RESULT_SCAN('no-such-id'))")
    assert refused.value.errno == 709


def test_session_parameters_are_set_shown_and_unset(connection: Any) -> None:
    run = connection.cursor().execute
    run("ALTER SESSION SET QUERY_TAG = '{\"batch\": \"it''s\"}', STATEMENT_TIMEOUT_IN_SECONDS = 600")
    assert run("SHOW PARAMETERS LIKE 'query_tag' IN SESSION").fetchall()[0][:4] == (
        "QUERY_TAG",
        '{"batch": "it\'s"}',
        "",
        "SESSION",
    )
    run("ALTER SESSION UNSET QUERY_TAG")
    assert run("SHOW PARAMETERS LIKE 'QUERY_TAG'").fetchall()[0][1] == ""
    assert run("SHOW PARAMETERS LIKE 'STATEMENT_TIMEOUT%'").fetchall()[0][1] == "600"


def test_the_whole_range_of_timestamps_comes_back(connection: Any) -> None:
    for text in (
        "0001-01-01 00:00:00", "1600-01-01 12:34:56.789", "1684-07-28 23:59:59.999999", "1969-12-31 23:59:59.999999",
        "1970-01-01 00:00:00", "2255-06-06 00:00:00.000001", "9999-12-31 23:59:59",
    ):  # fmt: skip
        sql = f"SELECT '{text}'::TIMESTAMP_NTZ"
        assert connection.cursor().execute(sql).fetchone()[0] == datetime.fromisoformat(text), text


def test_query_history_has_text_tag_and_outcome(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database, session_parameters={"QUERY_TAG": "at login"}) as connection:
        connection.cursor().execute("SELECT 1 AS FIRST_ONE")
        connection.cursor().execute("SELECT 2 AS SECOND_ONE", _statement_params={"QUERY_TAG": "of the statement"})
        with pytest.raises(Error):
            connection.cursor().execute("SELECT * FROM PUBLIC.NOWHERE")
        rows = (
            connection.cursor()
            .execute(
                "SELECT QUERY_TEXT, QUERY_TAG, EXECUTION_STATUS, ERROR_CODE, QUERY_TYPE, DATABASE_NAME, ROWS_PRODUCED, USER_NAME "
                "FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY_BY_SESSION(RESULT_LIMIT => 3)) ORDER BY START_TIME"
            )
            .fetchall()
        )
    assert rows == [
        ("SELECT 1 AS FIRST_ONE", "at login", "SUCCESS", None, "SELECT", database, 1, "CXM_TEST"),
        ("SELECT 2 AS SECOND_ONE", "of the statement", "SUCCESS", None, "SELECT", database, 1, "CXM_TEST"),
        ("SELECT * FROM PUBLIC.NOWHERE", "at login", "FAIL", "002003", "SELECT", database, None, "CXM_TEST"),
    ]


def test_what_queries_cost_is_shown_to_whom_it_was_granted_and_leaves_out_short_ones(
    warehouse: Warehouse, connection: Any, database: str
) -> None:
    """https://docs.snowflake.com/en/sql-reference/account-usage/query_attribution_history and …/snowflake-db-roles."""
    view, role = "SNOWFLAKE.ACCOUNT_USAGE.QUERY_ATTRIBUTION_HISTORY", f"ANALYST_OF_{database}"
    for sql in (
        "CREATE WAREHOUSE IF NOT EXISTS WH_COST",
        f"CREATE ROLE {role}",
        f"GRANT ROLE {role} TO USER CXM_TEST",
        f"GRANT USAGE ON WAREHOUSE WH_COST TO ROLE {role}",
    ):
        connection.cursor().execute(sql)
    with warehouse.connect(role=role, warehouse="WH_COST", session_parameters={"QUERY_TAG": '{"step":"a"}'}) as analyst:
        with pytest.raises(Error) as refused:
            analyst.cursor().execute(f"SELECT * FROM {view}")
        assert (refused.value.errno, refused.value.sqlstate) == (2003, "42S02")
        connection.cursor().execute(f"GRANT DATABASE ROLE SNOWFLAKE.USAGE_VIEWER TO ROLE {role}")
        shown = connection.cursor().execute(f"SHOW GRANTS TO ROLE {role}").fetchall()
        assert ("USAGE", "DATABASE_ROLE", "SNOWFLAKE.USAGE_VIEWER") in {row[1:4] for row in shown}
        long = "SELECT SUM(LENGTH(MD5(SEQ8()::VARCHAR))) FROM TABLE(GENERATOR(ROWCOUNT => 1500000))"
        analyst.cursor().execute(long)
        analyst.cursor().execute("SELECT 1")
        rows = (
            analyst.cursor()
            .execute(
                "SELECT H.QUERY_TAG, COUNT(*), SUM(DATEDIFF('millisecond', START_TIME, END_TIME)) > 100, "
                f"SUM(CREDITS_ATTRIBUTED_COMPUTE) FROM {view} AS H "
                "WHERE H.WAREHOUSE_NAME = 'WH_COST' AND USER_NAME = 'CXM_TEST' GROUP BY 1"
            )
            .fetchall()
        )
        assert rows == [('{"step":"a"}', 1, True, None)]
        connection.cursor().execute(f"REVOKE DATABASE ROLE SNOWFLAKE.USAGE_VIEWER FROM ROLE {role}")
        with pytest.raises(Error, match="does not exist or not authorized"):
            analyst.cursor().execute(f"SELECT * FROM {view}")
    connection.cursor().execute(f"DROP ROLE {role}")


def test_query_history_is_narrowed_by_time_and_limit(connection: Any) -> None:
    count = "SELECT COUNT(*) FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY({}))"
    assert one(connection, count.format("END_TIME_RANGE_START => DATEADD('hour', 1, CURRENT_TIMESTAMP())")) == (0,)
    assert one(
        connection, count.format("RESULT_LIMIT => 2, END_TIME_RANGE_START => DATEADD('hour', -1, CURRENT_TIMESTAMP())")
    ) == (2,)


@pytest.mark.parametrize(
    ("sql", "errno", "sqlstate", "named"),
    [
        ("FLY TO MARS", 1003, "42000", "FLY"),
        ("SELECT * FROM", 1003, "42000", "FROM"),
        ("SELECT 'open", 1003, "42000", "SELECT"),
        ("-- nothing", 900, "42601", "Empty SQL statement"),
        ("SELECT * FROM NOWHERE", 2003, "42S02", "NOWHERE"),
        ("SELECT * FROM NO_DB.NO_SCHEMA.NOWHERE", 2003, "02000", "does not exist"),
        ("SELECT NO_COLUMN FROM (SELECT 1 AS A)", 904, "42000", "NO_COLUMN"),
        ("SELECT NO_FUNCTION(1)", 2140, "42601", "NO_FUNCTION"),
        ("SELECT * FROM READ_CSV('x.csv')", 2140, "42601", "READ_CSV"),
        ("SELECT * FROM DUCKDB_TABLES()", 2140, "42601", "DUCKDB_TABLES"),
        ("CREATE TASK T AS SELECT 1", 2, "0A000", "CREATE TASK T"),
        ("CREATE PIPE P AS COPY INTO T FROM @S", 2, "0A000", "CREATE PIPE P"),
        ("CALL SYSTEM$WAIT(1)", 2, "0A000", "CALL SYSTEM$WAIT"),
        ("EXECUTE IMMEDIATE 'SELECT 1'", 2, "0A000", "EXECUTE IMMEDIATE"),
        ("CREATE FUNCTION F() RETURNS INT AS '1'", 2, "0A000", "FUNCTION"),
        ("CREATE DYNAMIC TABLE D TARGET_LAG = '1 minute' WAREHOUSE = W AS SELECT 1 AS A", 2, "0A000", "DYNAMIC"),
        ("UNDROP TABLE T", 2, "0A000", "UNDROP"),
        ("PRAGMA database_list", 1003, "42000", "PRAGMA"),
        ("ATTACH 'x.db'", 1003, "42000", "ATTACH"),
        ("INSTALL httpfs", 1003, "42000", "INSTALL"),
        ("COPY INTO @S FROM T", 2, "0A000", "COPY INTO"),
        ("SELECT $NOT_SET", 2211, "02000", "NOT_SET"),
        ("SELECT 1/0", 100051, "22012", "Division by zero"),
        ("SELECT 'abc'::NUMBER", 100038, "22018", "Numeric value 'abc' is not recognized"),
        ("SELECT 'abc'::DATE", 100040, "22007", "Date 'abc' is not recognized"),
        ("SELECT 'abc'::TIMESTAMP_NTZ", 100035, "22007", "Timestamp 'abc' is not recognized"),
        ("SELECT 'abc'::BOOLEAN", 100037, "22018", "Boolean value 'abc' is not recognized"),
        ("SELECT '123456789012345678901234567890123456789'::NUMBER(38,0)", 100039, "22003", "out of range"),
        ("CREATE TABLE NO_SCHEMA.T (A INT)", 2003, "02000", "NO_SCHEMA"),
    ],
)
def test_what_is_wrong_or_unsupported_is_an_error_at_once(
    connection: Any, sql: str, errno: int, sqlstate: str, named: str
) -> None:
    started = time.monotonic()
    with pytest.raises(ProgrammingError) as refused:
        connection.cursor().execute(sql)
    assert time.monotonic() - started < 5
    assert (refused.value.errno, refused.value.sqlstate) == (errno, sqlstate), refused.value.msg
    assert named in refused.value.msg
    assert refused.value.sfqid
    assert one(connection, "SELECT 1") == (1,)


def test_every_type_arrives_as_the_connector_gives_it_from_snowflake_and_null_stays_null(connection: Any) -> None:
    run = connection.cursor().execute
    run(
        "CREATE TABLE T (N NUMBER(38,0), P NUMBER(10,2), F FLOAT, S VARCHAR, B BOOLEAN, D DATE, C TIME, Z TIMESTAMP_NTZ, "
        "L TIMESTAMP_TZ, V VARIANT, X BINARY)"
    )
    run(
        "INSERT INTO T SELECT 1234567890123456789, 1.25, 0.5, 'ü\"\\\\\n', TRUE, '2017-02-28', '23:59:59.123456', "
        "'1969-12-31 23:59:59.999999', '2017-10-02 10:56:33.000001+02:00'::TIMESTAMP_TZ, PARSE_JSON('{\"a\": [1]}'), X'FF00'"
    )
    run("INSERT INTO T (N) VALUES (NULL)")
    full, empty = run("SELECT * FROM T ORDER BY N NULLS LAST").fetchall()
    assert full[:8] == (
        1234567890123456789, Decimal("1.25"), 0.5, 'ü"\\\n', True, date(2017, 2, 28), clock(23, 59, 59, 123456),
        datetime(1969, 12, 31, 23, 59, 59, 999999),
    )  # fmt: skip
    assert full[8] == datetime(2017, 10, 2, 8, 56, 33, 1, tzinfo=UTC)
    assert full[9].replace(" ", "").replace("\n", "") == '{"a":[1]}'
    assert bytes(full[10]) == b"\xff\x00"
    assert empty == (None,) * 11
    assert run("SELECT * FROM T WHERE FALSE").fetchall() == []
    kinds = [c.type_code for c in run("SELECT * FROM T").description]
    assert kinds == [0, 0, 1, 2, 13, 3, 12, 8, 7, 5, 11]


def test_values_are_bound_by_the_client_and_by_the_server(warehouse: Warehouse, connection: Any, database: str) -> None:
    at = datetime(2026, 11, 22, 10, 15, 0, 123456)
    nasty = 'O\'Hare $HOME \\ "x" %s ?'
    connection.cursor().execute("CREATE TABLE T (I INT, S VARCHAR, Z TIMESTAMP_NTZ, F FLOAT, B BOOLEAN)")
    insert = "INSERT INTO T SELECT {0}, {0}, {0}, {0}, {0}"
    connection.cursor().execute(insert.format("%s"), (1, nasty, at, 1.5, True))
    connection.cursor().execute("INSERT INTO T VALUES (%(i)s, %(s)s, NULL, NULL, NULL)", {"i": 2, "s": nasty})
    with warehouse.connect(database=database, schema="PUBLIC", paramstyle="qmark") as qmark:
        qmark.cursor().execute(insert.format("?"), (3, nasty, ("TIMESTAMP_NTZ", at), 1.5, True))
        qmark.cursor().execute("INSERT INTO T VALUES (?, ?, NULL, NULL, NULL)", (4, None))
        cursor = qmark.cursor()
        cursor.executemany("INSERT INTO T (I, S) VALUES (?, ?)", [(n, f"row {n}") for n in range(5, 8)])
        assert cursor.rowcount == 3
        assert qmark.cursor().execute("SELECT S FROM T WHERE I = ?", (6,)).fetchall() == [("row 6",)]
        assert qmark.cursor().execute("UPDATE T SET S = ? WHERE I = ?", ("changed", 6)).rowcount == 1
        merge = (
            "MERGE INTO T USING (SELECT ? AS I, ? AS S) N ON T.I = N.I WHEN MATCHED THEN UPDATE SET S = N.S "
            "WHEN NOT MATCHED THEN INSERT (I, S) VALUES (N.I, N.S)"
        )
        assert qmark.cursor().execute(merge, (8, "merged")).fetchall() == [(1, 0)]
        # The engine first finds the rows that FROM or ON joins, with the binds of that part only.
        joined = "UPDATE T SET S = ? FROM (SELECT ? AS I, ? AS S) AS N WHERE T.I = N.I AND N.S = ?"
        assert qmark.cursor().execute(joined, ("joined", 8, "x", "x")).fetchall() == [(1, 0)]
        assert qmark.cursor().execute(
            "UPDATE T SET S = :4 FROM (SELECT :1 AS I, :2 AS Q) AS N WHERE T.I = N.I AND T.S = :3",
            (8, "q", "joined", "again"),
        ).fetchall() == [(1, 0)]
        merge = "MERGE INTO T USING (SELECT ? AS I) AS N ON T.I = N.I WHEN MATCHED THEN UPDATE SET S = ?"
        assert qmark.cursor().execute(merge, (8, "merged again")).fetchall() == [(1,)]
        assert qmark.cursor().execute("SELECT S FROM T WHERE I = 8").fetchall() == [("merged again",)]
    rows = connection.cursor().execute("SELECT * FROM T ORDER BY I").fetchall()
    assert rows[0] == (1, nasty, at, 1.5, True)
    assert rows[1] == (2, nasty, None, None, None)
    assert rows[2] == (3, nasty, at, 1.5, True)
    assert [r[1] for r in rows[3:]] == [None, "row 5", "changed", "row 7", "merged again"]


def test_an_array_binding_that_fails_halfway_leaves_no_row(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database, schema="PUBLIC", paramstyle="qmark") as qmark:
        qmark.cursor().execute("CREATE TABLE T (I INT NOT NULL)")
        with pytest.raises(Error) as refused:
            qmark.cursor().executemany("INSERT INTO T (I) VALUES (?)", [(1,), (2,), (None,)])
        assert refused.value.errno == 100072
        assert qmark.cursor().execute("SELECT COUNT(*) FROM T").fetchone() == (0,)


def test_session_variables_are_put_in_outside_strings_only(connection: Any) -> None:
    run = connection.cursor().execute
    run("SET PRICE = 5")
    assert run("SELECT $PRICE AS A, 'costs $PRICE' AS B, $price + 1 AS C").fetchone() == (5, "costs $PRICE", 6)
    run("UNSET PRICE")
    with pytest.raises(ProgrammingError):
        run("SELECT $PRICE")


def test_a_statement_that_runs_too_long_is_cancelled(connection: Any) -> None:
    run = connection.cursor().execute
    run("ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = 1")
    started = time.monotonic()
    with pytest.raises(ProgrammingError) as refused:
        run(
            "WITH RECURSIVE R AS (SELECT 1 AS N UNION ALL SELECT N + 1 FROM R WHERE N < 100000000) SELECT MAX(N) FROM R"
        )
    assert time.monotonic() - started < 8
    assert (refused.value.errno, refused.value.sqlstate) == (630, "57014")
    run("ALTER SESSION UNSET STATEMENT_TIMEOUT_IN_SECONDS")
    assert run("SELECT 1").fetchone() == (1,)


def test_the_client_cancels_a_statement(connection: Any) -> None:
    cursor = connection.cursor()
    failed: list[Error] = []

    def run() -> None:
        try:
            cursor.execute(
                "WITH RECURSIVE R AS (SELECT 1 AS N UNION ALL SELECT N + 1 FROM R WHERE N < 100000000) SELECT MAX(N) FROM R",
                timeout=1,
            )
        except Error as e:
            failed.append(e)

    thread = threading.Thread(target=run)
    started = time.monotonic()
    thread.start()
    thread.join(15)
    assert time.monotonic() - started < 10
    assert failed[0].errno == 604
    assert one(connection, "SELECT 1") == (1,)


def test_a_session_of_a_stopped_server_ends_with_an_error_and_not_with_retries(warehouse: Warehouse) -> None:
    connection = warehouse.connect()
    connection.rest._token = "forgotten"
    started = time.monotonic()
    with pytest.raises(Error, match="no longer exists"):
        connection.cursor().execute("SELECT 1")
    assert time.monotonic() - started < 5


def test_a_path_into_a_variant_is_not_taken_for_a_bind(warehouse: Warehouse, database: str) -> None:
    with warehouse.connect(database=database, schema="PUBLIC", paramstyle="numeric") as connection:
        sql = "SELECT F.VALUE:name::VARCHAR FROM TABLE(FLATTEN(PARSE_JSON(:1))) F"
        assert connection.cursor().execute(sql, ['[{"name": "a"}, {"name": "b"}]']).fetchall() == [("a",), ("b",)]
        cancel = "CALL SYSTEM$CANCEL_ALL_QUERIES(:1)"
        assert connection.cursor().execute(cancel, [connection.session_id]).fetchone() == ("cancelled 0 queries.",)


def test_the_history_is_read_without_a_current_database_under_a_full_name(warehouse: Warehouse, database: str) -> None:
    """https://docs.snowflake.com/en/sql-reference/info-schema: with no database in use, names are written in full."""
    with warehouse.connect() as connection:
        history = f"TABLE({database}.INFORMATION_SCHEMA.QUERY_HISTORY_BY_SESSION())"
        assert one(connection, f"SELECT MAX(USER_NAME) FROM {history}") is not None
        assert one(connection, f"SELECT COUNT(*) FROM {history} WHERE QUERY_ID IN (SELECT 'none')") == (0,)
