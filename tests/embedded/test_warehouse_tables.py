"""Tables, views and transactions: DDL with comments and keys, DML, and what INFORMATION_SCHEMA and SHOW report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from snowflake.connector.cursor import DictCursor
from snowflake.connector.errors import Error, ProgrammingError

from tests.embedded.conftest import Warehouse


@pytest.fixture
def connection(warehouse: Warehouse, database: str) -> Iterator[Any]:
    with warehouse.connect(database=database, schema="PUBLIC") as opened:
        yield opened


@pytest.fixture
def run(connection: Any) -> Any:
    """`run(sql)` gives the rows as dicts."""
    return lambda sql, *values: connection.cursor(DictCursor).execute(sql, *values).fetchall()


def refusal(run: Any, sql: str) -> tuple[int, str]:
    with pytest.raises(ProgrammingError) as refused:
        run(sql)
    return refused.value.errno, refused.value.sqlstate


RAW = """CREATE TABLE IF NOT EXISTS OLIST_ORDERS (
    ORDER_ID VARCHAR NOT NULL COMMENT 'the shipment''s id', STATUS VARCHAR(20) COMMENT 'état', PRICE NUMBER(10,2) DEFAULT 0,
    _LOAD_TIMESTAMP TIMESTAMP_NTZ COMMENT 'UTC', _ROW NUMBER(38,0), PRIMARY KEY (ORDER_ID)
) CLUSTER BY (ORDER_ID, STATUS) DATA_RETENTION_TIME_IN_DAYS = 1 COMMENT = 'surgical case shipments, ''raw'''"""


def test_comments_keys_types_and_clustering_are_kept_and_shown(run: Any, database: str) -> None:
    started = datetime.now(UTC)
    assert run(RAW) == [{"status": "Table OLIST_ORDERS successfully created."}]
    assert run(RAW) == [{"status": "OLIST_ORDERS already exists, statement succeeded."}]
    run("INSERT INTO OLIST_ORDERS (ORDER_ID) VALUES ('a'), ('a')")  # keys are not enforced
    columns = run(
        "SELECT * FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'OLIST_ORDERS' ORDER BY ORDINAL_POSITION"
    )
    expected = (
        "COLUMN_NAME",
        "DATA_TYPE",
        "COMMENT",
        "IS_NULLABLE",
        "CHARACTER_MAXIMUM_LENGTH",
        "NUMERIC_PRECISION",
        "NUMERIC_SCALE",
    )
    assert [tuple(c[k] for k in expected) for c in columns] == [
        ("ORDER_ID", "TEXT", "the shipment's id", "NO", 16777216, None, None),
        ("STATUS", "TEXT", "état", "YES", 20, None, None),
        ("PRICE", "NUMBER", None, "YES", None, 10, 2),
        ("_LOAD_TIMESTAMP", "TIMESTAMP_NTZ", "UTC", "YES", None, None, None),
        ("_ROW", "NUMBER", None, "YES", None, 38, 0),
    ]
    (table,) = run(f"SELECT * FROM {database}.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'PUBLIC'")
    assert (table["TABLE_NAME"], table["TABLE_TYPE"], table["ROW_COUNT"], table["TABLE_OWNER"]) == (
        "OLIST_ORDERS",
        "BASE TABLE",
        2,
        "ACCOUNTADMIN",
    )
    assert table["COMMENT"] == "surgical case shipments, 'raw'"
    assert table["CLUSTERING_KEY"] == "LINEAR(ORDER_ID, STATUS)"
    assert started - timedelta(seconds=1) <= table["CREATED"] < table["LAST_ALTERED"]
    described = {r["name"]: r for r in run("DESC TABLE OLIST_ORDERS")}
    assert (described["ORDER_ID"]["primary key"], described["STATUS"]["primary key"]) == ("Y", "N")
    assert [described[c]["type"] for c in ("ORDER_ID", "STATUS", "PRICE", "_LOAD_TIMESTAMP", "_ROW")] == [
        "VARCHAR(16777216)", "VARCHAR(20)", "NUMBER(10,2)", "TIMESTAMP_NTZ(9)", "NUMBER(38,0)",
    ]  # fmt: skip
    assert [(r["column_name"], r["key_sequence"]) for r in run("SHOW PRIMARY KEYS IN TABLE OLIST_ORDERS")] == [
        ("ORDER_ID", 1)
    ]
    (shown,) = run("SHOW TABLES LIKE 'olist%'")
    assert (shown["rows"], shown["cluster_by"], shown["kind"]) == (2, "LINEAR(ORDER_ID, STATUS)", "TABLE")


def test_columns_are_added_once_commented_renamed_and_dropped(run: Any) -> None:
    run("CREATE TABLE T (A INT)")
    run("INSERT INTO T VALUES (1)")
    for _ in range(2):
        run("ALTER TABLE T ADD COLUMN IF NOT EXISTS B VARCHAR COMMENT 'added'")
    assert refusal(run, "ALTER TABLE T ADD COLUMN B VARCHAR")[0] == 1430
    run("ALTER TABLE T ADD COLUMN C INT DEFAULT 7, D DATE")
    run("ALTER TABLE T ALTER COLUMN C COMMENT 'seven'")
    run("COMMENT ON COLUMN T.A IS 'first'")
    run("ALTER TABLE T RENAME COLUMN D TO E")
    run("ALTER TABLE T DROP COLUMN E")
    run("ALTER TABLE T SET COMMENT = 'told later'")
    assert {r["name"]: r["comment"] for r in run("DESC TABLE T")} == {"A": "first", "B": "added", "C": "seven"}
    assert run("SELECT * FROM T") == [{"A": 1, "B": None, "C": 7}]
    assert run("SHOW TABLES")[0]["comment"] == "told later"


def test_tables_are_renamed_cloned_and_dropped(run: Any, database: str) -> None:
    run("CREATE TABLE A AS SELECT 1 AS V")
    run("CREATE TABLE B AS SELECT 2 AS V")
    run(f"ALTER TABLE A RENAME TO {database}.PUBLIC.C")
    assert refusal(run, "SELECT * FROM A") == (2003, "42S02")
    run("CREATE TABLE D CLONE C")
    run("DELETE FROM C")
    assert run("SELECT V FROM D") == [{"V": 1}]
    assert run("DROP TABLE D") == [{"status": "D successfully dropped."}]
    assert run("DROP TABLE IF EXISTS D")[0]["status"].startswith("Drop statement executed successfully")
    assert refusal(run, "DROP TABLE D") == (2003, "42S02")
    assert refusal(run, "CREATE TABLE C (A INT)") == (2002, "42710")
    run("CREATE OR REPLACE TABLE C (X INT)")
    assert [r["name"] for r in run("SHOW TABLES")] == ["B", "C"]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE T SWAP WITH U", "CREATE OR ALTER TABLE T (A INT)", "CREATE OR ALTER WAREHOUSE W", "CREATE OR ALTER SCHEMA S",
        "CREATE NETWORK POLICY P ALLOWED_IP_LIST = ('127.0.0.1')", "SHOW NETWORK POLICIES", "DESC NETWORK POLICY P",
        "PUT file:///x.csv @S", "GET @S file:///x", "REMOVE @S", "CREATE STAGE S", "LIST @~", "LIST @%T",
        "CREATE FILE FORMAT F TYPE = JSON", "CREATE FILE FORMAT F TYPE = PARQUET", "CREATE FILE FORMAT F COMPRESSION = BROTLI",
        "CREATE FILE FORMAT F ENCODING = 'IBM420'", "CREATE FILE FORMAT F ENCODING = 'UTF32'",
        "CREATE FILE FORMAT F COMPRESSION = DEFLATE", "CREATE FILE FORMAT F COMPRESSION = RAW_DEFLATE",
        "ALTER ACCOUNT SET TIMEZONE = 'UTC'",
        "SHOW LOCKS", "SHOW TRANSACTIONS", "SELECT SYSTEM$ABORT_TRANSACTION(1)", "SELECT SYSTEM$ABORT_SESSION(1)",
        "SELECT * FROM TABLE(VALIDATE(T, JOB_ID => '_last'))",
    ],
)  # fmt: skip
def test_what_nobody_sends_here_is_refused_by_name(run: Any, sql: str) -> None:
    run("CREATE TABLE T (A INT)")
    run("CREATE TABLE U (A INT)")
    with pytest.raises(ProgrammingError, match="Unsupported feature") as caught:
        run(sql)
    assert (caught.value.errno, caught.value.sqlstate) == (2, "0A000")


def test_a_table_that_is_made_anew_is_read_with_its_new_types_and_others_with_theirs(connection: Any, run: Any) -> None:
    def types(sql: str) -> list[tuple[int, int]]:
        return [(c.precision, c.scale) for c in connection.cursor().execute(sql).description]

    run("CREATE TABLE T (A NUMBER(5,2))")
    run("CREATE TABLE U (B NUMBER(7,3))")
    run("CREATE VIEW V AS SELECT B * 1.5 AS C FROM U")
    both = "SELECT A, B, C FROM T, U, V"
    assert types(both) == [(5, 2), (7, 3), (9, 4)]
    run("CREATE OR REPLACE TABLE T (A NUMBER(5,2))")
    assert types(both) == [(5, 2), (7, 3), (9, 4)]
    run("CREATE OR REPLACE TABLE T (A NUMBER(6,1)) AS SELECT 1.5")
    assert types(both) == [(6, 1), (7, 3), (9, 4)]
    run("CREATE OR REPLACE VIEW V AS SELECT B * 1.55 AS C FROM U")
    assert types(both) == [(6, 1), (7, 3), (10, 5)]
    run("DROP TABLE IF EXISTS NONE_SUCH")
    run("CREATE TEMPORARY TABLE T (A NUMBER(3,0))")
    assert types(both) == [(3, 0), (7, 3), (10, 5)]
    run("DROP TABLE T")
    assert types(both) == [(6, 1), (7, 3), (10, 5)]


def test_views_have_comments_and_are_shown(run: Any) -> None:
    run("CREATE OR REPLACE VIEW V (A COMMENT 'the one') COMMENT = 'seen' AS SELECT 1")
    assert run("SELECT * FROM V") == [{"A": 1}]
    (view,) = run("SELECT * FROM INFORMATION_SCHEMA.VIEWS WHERE TABLE_NAME = 'V'")
    assert view["COMMENT"] == "seen"
    assert {r["name"]: r["comment"] for r in run("DESC VIEW V")} == {"A": "the one"}
    assert [(r["name"], r["kind"]) for r in run("SHOW OBJECTS")] == [("V", "VIEW")]
    assert [r["name"] for r in run("SHOW VIEWS LIKE 'v'")] == ["V"]
    run("DROP VIEW V")
    assert run("SHOW VIEWS") == []


def test_a_transaction_is_seen_by_others_when_it_commits_and_never_when_it_rolls_back(
    warehouse: Warehouse, connection: Any, database: str
) -> None:
    mine = connection.cursor()
    with warehouse.connect(database=database, schema="PUBLIC") as other:
        theirs = other.cursor()
        mine.execute("CREATE TABLE T (A INT)")
        mine.execute("BEGIN")
        mine.execute("BEGIN")  # one transaction, as on Snowflake
        mine.execute("INSERT INTO T VALUES (1)")
        assert theirs.execute("SELECT COUNT(*) FROM T").fetchone() == (0,)
        mine.execute("COMMIT")
        assert theirs.execute("SELECT COUNT(*) FROM T").fetchone() == (1,)
        mine.execute("START TRANSACTION")
        mine.execute("DELETE FROM T")
        mine.execute("ROLLBACK")
        mine.execute("COMMIT")  # nothing open: no error
        assert theirs.execute("SELECT COUNT(*) FROM T").fetchone() == (1,)


def test_ddl_commits_what_is_open(warehouse: Warehouse, connection: Any, database: str) -> None:
    mine = connection.cursor()
    mine.execute("CREATE TABLE T (A INT)")
    mine.execute("BEGIN")
    mine.execute("INSERT INTO T VALUES (1)")
    mine.execute("CREATE TABLE U (A INT)")
    mine.execute("ROLLBACK")
    assert mine.execute("SELECT COUNT(*) FROM T").fetchone() == (1,)


def test_with_autocommit_off_rows_wait_for_commit(warehouse: Warehouse, database: str) -> None:
    with (
        warehouse.connect(database=database, schema="PUBLIC", autocommit=False) as mine,
        warehouse.connect(database=database, schema="PUBLIC") as other,
    ):
        mine.cursor().execute("CREATE TABLE T (A INT)")
        mine.cursor().execute("INSERT INTO T VALUES (1)")
        assert other.cursor().execute("SELECT COUNT(*) FROM T").fetchone() == (0,)
        mine.rollback()
        mine.cursor().execute("INSERT INTO T VALUES (2)")
        mine.commit()
        assert other.cursor().execute("SELECT A FROM T").fetchall() == [(2,)]


def test_a_statement_that_fails_first_leaves_the_transaction_usable(connection: Any) -> None:
    run = connection.cursor().execute
    run("CREATE TABLE T (A INT NOT NULL)")
    run("BEGIN")
    with pytest.raises(Error):
        run("INSERT INTO T VALUES (NULL)")
    run("INSERT INTO T VALUES (1)")
    run("COMMIT")
    assert run("SELECT A FROM T").fetchall() == [(1,)]


def test_after_a_failure_what_came_before_and_after_is_committed(connection: Any) -> None:
    run = connection.cursor().execute
    run("CREATE TABLE T (A INT NOT NULL)")
    run("BEGIN")
    run("INSERT INTO T VALUES (1)")
    with pytest.raises(Error):
        run("INSERT INTO T VALUES (NULL)")
    run("INSERT INTO T VALUES (2)")
    run("COMMIT")
    assert run("SELECT A FROM T ORDER BY A").fetchall() == [(1,), (2,)]
    run("INSERT INTO T VALUES (3)")


def test_merge_counts_what_it_did_and_refuses_a_row_that_matches_twice(run: Any, database: str) -> None:
    run("CREATE TABLE T AS SELECT 1 AS ID, 'old'::VARCHAR AS V UNION ALL SELECT 2, 'old' UNION ALL SELECT 3, 'old'")
    run("CREATE TABLE S AS SELECT 1 AS ID, 'new' AS V UNION ALL SELECT 3, 'gone' UNION ALL SELECT 4, 'added'")
    run("BEGIN")
    counted = run(
        f"MERGE INTO {database}.PUBLIC.T AS DEST USING {database}.PUBLIC.S AS SRC ON SRC.ID = DEST.ID "
        "WHEN MATCHED AND SRC.V = 'gone' THEN DELETE WHEN MATCHED THEN UPDATE SET DEST.V = SRC.V "
        "WHEN NOT MATCHED THEN INSERT (ID, V) VALUES (SRC.ID, SRC.V)"
    )
    run("COMMIT")
    assert counted == [{"number of rows inserted": 1, "number of rows updated": 1, "number of rows deleted": 1}]
    assert run("SELECT * FROM T ORDER BY ID") == [{"ID": 1, "V": "new"}, {"ID": 2, "V": "old"}, {"ID": 4, "V": "added"}]
    run("INSERT INTO S VALUES (1, 'again')")
    assert refusal(run, "MERGE INTO T USING S ON S.ID = T.ID WHEN MATCHED THEN UPDATE SET V = S.V") == (100090, "42P18")
    source = "(SELECT ID AS K, V AS W FROM S) AS SRC"
    merge = f"MERGE INTO T AS DEST USING {source} ON K = ID WHEN MATCHED AND W = %s THEN UPDATE SET V = W"
    run(merge.replace("%s", "'again'"))  # of the two rows one meets the condition
    assert run("SELECT V FROM T WHERE ID = 1") == [{"V": "again"}]
    assert refusal(run, merge.replace("%s", "'again'") + " WHEN MATCHED THEN DELETE") == (100090, "42P18")
    run(f"MERGE INTO T USING {source} ON K = ID WHEN MATCHED THEN DELETE")  # both rows ask for the same
    assert run("SELECT ID FROM T ORDER BY ID") == [{"ID": 2}]


def test_temporary_tables_are_the_sessions_own_under_their_full_name(
    warehouse: Warehouse, run: Any, database: str
) -> None:
    run("CREATE SCHEMA OTHER")
    run("CREATE TABLE OTHER.X AS SELECT 'kept' AS V")
    run(f"CREATE TEMPORARY TABLE {database}.PUBLIC.X AS SELECT 'mine' AS V")
    assert run(f"SELECT V FROM {database}.PUBLIC.X") == [{"V": "mine"}]
    assert run(f"SELECT V FROM {database}.OTHER.X") == [{"V": "kept"}]
    assert [r["name"] for r in run(f"DESC TABLE {database}.PUBLIC.X")] == ["V"]
    run(f"INSERT INTO {database}.PUBLIC.X VALUES ('more')")
    with warehouse.connect(database=database, schema="PUBLIC") as other, pytest.raises(ProgrammingError):
        other.cursor().execute("SELECT * FROM X")
    run(f"DROP TABLE {database}.PUBLIC.X")
    assert run("SELECT V FROM OTHER.X") == [{"V": "kept"}]


def test_reading_last_altered_follows_rows_and_not_reads(run: Any) -> None:
    altered = "SELECT LAST_ALTERED FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = 'T'"
    run("CREATE TABLE T (A INT)")
    before = run(altered)
    run("SELECT * FROM T")
    assert run(altered) == before
    run("BEGIN")
    run("INSERT INTO T VALUES (1)")
    run("COMMIT")
    assert run(altered)[0]["LAST_ALTERED"] > before[0]["LAST_ALTERED"]


def test_names_that_only_duckdb_reserves_are_plain_columns(run: Any) -> None:
    run("CREATE TABLE T (AT DATE, POSITIONAL INT, LAMBDA INT DEFAULT 3)")
    run("INSERT INTO T (at, positional, lambda) VALUES ('2026-01-01', 1, DEFAULT)")
    run("UPDATE T SET POSITIONAL = 2 WHERE AT IS NOT NULL")
    assert run("SELECT POSITIONAL, LAMBDA FROM T WHERE AT > '2025-01-01'") == [{"POSITIONAL": 2, "LAMBDA": 3}]


def test_columns_without_an_alias_are_called_by_their_text(run: Any) -> None:
    assert list(run("SELECT count(*), upper('x'), 1 + 1, sum(1.5)")[0]) == [
        "COUNT(*)",
        "UPPER('X')",
        "1 + 1",
        "SUM(1.5)",
    ]


def test_text_that_is_no_timestamp_is_null_for_the_try_functions_only(run: Any) -> None:
    run("CREATE TABLE T AS SELECT '2017-10-02 10:56:33' AS V UNION ALL SELECT 'bad' UNION ALL SELECT NULL")
    at = datetime(2017, 10, 2, 10, 56, 33)
    expected = [{"A": at, "B": at, "C": at}, {"A": None, "B": None, "C": None}, {"A": None, "B": None, "C": None}]
    columns = "TRY_TO_TIMESTAMP(V) AS A, TRY_TO_TIMESTAMP_NTZ(V) AS B, TRY_CAST(V AS TIMESTAMP_NTZ) AS C"
    assert run(f"SELECT {columns} FROM T ORDER BY V") == expected
    assert refusal(run, "SELECT TO_TIMESTAMP_NTZ(V) FROM T") == (100035, "22007")


def test_a_date_is_written_in_its_format_whether_its_type_is_seen_or_not(run: Any) -> None:
    """https://docs.snowflake.com/en/sql-reference/functions/to_char"""
    run("CREATE TABLE MOMENTS (D DATE, TS TIMESTAMP_NTZ, LTZ TIMESTAMP_LTZ, T TIME, N NUMBER(5, 2), V VARCHAR)")
    moment = "2026-11-27 08:05:09.123"
    run(f"INSERT INTO MOMENTS VALUES ('2026-11-27', '{moment}', '{moment}', '08:05:09', 1.5, 'x')")
    for call, expected in (
        ("TO_VARCHAR(D, 'YYYY-MM')", "2026-11"), ("TO_CHAR(D, 'DD.MM.YYYY')", "27.11.2026"),
        ("TO_VARCHAR(TS, 'HH24:MI')", "08:05"),
        ("TO_CHAR(TS, 'YYYYMMDD_HH24MISS')", "20261127_080509"), ("TO_VARCHAR(LTZ, 'YYYY-MM-DD HH24:MI:SS')", moment[:19]),
        ("TO_VARCHAR(T, 'HH24:MI')", "08:05"), ("TO_VARCHAR('08:05:09'::TIME, 'MI:SS')", "05:09"),
        ("TO_VARCHAR(MAX(D), 'YYYY')", "2026"), ("TO_VARCHAR(DATEADD(DAY, 4, D), 'YYYY-MM')", "2026-12"),
        ("TO_VARCHAR(NULLIF(D, D), 'YYYY')", None), ("TO_VARCHAR(D)", "2026-11-27"), ("TO_VARCHAR(V)", "x"),
    ):  # fmt: skip
        assert run(f"SELECT {call} AS X FROM (SELECT * FROM MOMENTS) GROUP BY D, TS, LTZ, T, V") == [{"X": expected}], (
            call
        )
    run("CREATE VIEW MONTHS AS SELECT TO_VARCHAR(D, 'YYYY-MM') AS MONTH FROM MOMENTS")
    assert run("SELECT MONTH FROM MONTHS") == [{"MONTH": "2026-11"}]
    assert refusal(run, "SELECT TO_VARCHAR(D, V) FROM MOMENTS") == (2, "0A000")
    assert run("SELECT TO_CHAR(N, '999.00') AS X FROM MOMENTS") == [{"X": "   1.50"}]
    with pytest.raises(ProgrammingError):
        run("SELECT TO_CHAR(N, 'YYYY') FROM MOMENTS")


def test_tags_are_set_on_tables_and_columns_with_values_that_they_admit(run: Any) -> None:
    run("CREATE TAG PII ALLOWED_VALUES 'direct', 'none'")
    run("CREATE TABLE T (A INT)")
    run("ALTER TABLE T SET TAG PII = 'none'")
    run("ALTER TABLE T MODIFY COLUMN A SET TAG PII = 'direct'")
    run("ALTER TABLE T MODIFY COLUMN A UNSET TAG PII")
    assert refusal(run, "ALTER TABLE T SET TAG PII = 'perhaps'") == (1008, "22023")
    assert refusal(run, "ALTER TABLE T SET TAG NO_TAG = 'x'") == (2003, "02000")


def test_dbt_comments_several_columns_at_once_and_grants_without_a_kind(run: Any, database: str) -> None:
    run("CREATE VIEW V AS SELECT 1 AS A, 2 AS B")
    run("CREATE TABLE T AS SELECT 1 AS A, 2 AS B")
    for kind, name in (("view", "V"), ("table", "T")):
        run(f'alter {kind} {database}.PUBLIC.{name} alter "A" COMMENT $$it\'s a$$ , "B" COMMENT $$b$$')
        run(f"comment on {kind} {database}.PUBLIC.{name} IS $$whole$$")
        run(f"grant select on {database}.PUBLIC.{name} to role SYSADMIN")
        assert {r["name"]: r["comment"] for r in run(f"DESC {kind} {name}")} == {"A": "it's a", "B": "b"}
        granted = {(r["privilege"], r["grantee_name"]) for r in run(f"show grants on {database}.PUBLIC.{name}")}
        assert granted == {("OWNERSHIP", "ACCOUNTADMIN"), ("SELECT", "SYSADMIN")}
