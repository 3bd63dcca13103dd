"""The warehouse's memory does not grow with what it has done: statements, sessions, loads, results, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from snowflake.connector.errors import ProgrammingError

from tests.embedded.conftest import ObjectStore, Warehouse, integration_for

MIB = 1 << 20
ROWS = 5_000
# What may come and go: results that can still be asked for, the history, rows that no checkpoint has written yet (each of them
# bounded), and pages that the allocators of C, Arrow and DuckDB keep for the next statement. It was 20 MB when this was written.
KEPT = 48 * MIB


@pytest.fixture
def connection(loading_warehouse: Warehouse, s3_server: ObjectStore) -> Iterator[Any]:
    s3 = s3_server.client()
    s3.create_bucket(Bucket="memory")
    for number in range(40):
        rows = "".join(f"{number}-{i},{'x' * 80},{i}\n" for i in range(ROWS))
        s3.put_object(Bucket="memory", Key=f"part-{number:02}.csv", Body=rows.encode())
    with loading_warehouse.connect() as opened:
        run = opened.cursor().execute
        run("CREATE DATABASE GROWTH")
        integration = integration_for(opened, "memory")
        run(f"CREATE STAGE ST URL = 's3://memory/' STORAGE_INTEGRATION = {integration}")
        run("CREATE TABLE LOADED (ID VARCHAR, TEXT VARCHAR, N NUMBER)")
        run("CREATE TABLE KEPT (ID INT, N INT)")
        yield opened
        run("DROP DATABASE GROWTH")


def fifty_statements(warehouse: Warehouse, number: int) -> None:
    """Send fifty statements of ten kinds in a new session; each tenth fails."""
    with warehouse.connect(database="GROWTH", schema="PUBLIC") as other:
        run = other.cursor().execute
        for i in range(number, number + 5):
            run(f"CREATE OR REPLACE TABLE MADE (ID INT COMMENT '{i}') COMMENT = 'x'")
            run(f"INSERT INTO KEPT SELECT {i}, {i}")
            run(f"UPDATE KEPT SET N = N + 1 WHERE ID = {i}")
            run(f"MERGE INTO KEPT K USING (SELECT {i} AS ID) S ON K.ID = S.ID WHEN MATCHED THEN DELETE")
            run("SHOW TABLES").fetchall()
            run(f"SELECT COUNT(*), '{'y' * 500}', {i} FROM LOADED").fetchall()
            run("SELECT TABLE_NAME, LAST_ALTERED FROM INFORMATION_SCHEMA.TABLES").fetchall()
            run("BEGIN")
            run("ROLLBACK")
            with pytest.raises(ProgrammingError):
                run(f"SELECT NO_COLUMN_{i} FROM LOADED")


def load(connection: Any, number: int) -> None:
    (result,) = connection.cursor().execute(f"COPY INTO LOADED FROM @ST FILES = ('part-{number:02}.csv')").fetchall()
    assert result[3] == ROWS
    rows = connection.cursor().execute("SELECT ID, TEXT FROM LOADED").fetchall()
    assert len(rows) == ROWS
    connection.cursor().execute("TRUNCATE TABLE LOADED")


@pytest.mark.soak
def test_a_thousand_statements_and_ten_loads_leave_the_warehouses_memory_as_it_was(
    loading_warehouse: Warehouse, connection: Any
) -> None:
    assert loading_warehouse.process is not None
    process = psutil.Process(loading_warehouse.process.pid)
    for number in range(10):
        fifty_statements(loading_warehouse, 5 * number)
        load(connection, number)
    before = process.memory_info().rss
    for number in range(10, 30):
        fifty_statements(loading_warehouse, 5 * number)
        if number % 2:
            load(connection, number)
    after = process.memory_info().rss
    assert after - before < KEPT, f"{before // MIB} MB became {after // MIB} MB"
