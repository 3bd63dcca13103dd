"""What no role reaches through SQL: files, the engine, its settings, another role's tables. The cases: statements.yaml."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from snowflake.connector.errors import Error

from tests.embedded.conftest import Warehouse

STATEMENTS = Path(__file__).with_name("statements.yaml")
PASSWORD = secrets.token_hex(8)
ROLES = ("reporter", "transformer")

_SET_UP = f"""
CREATE DATABASE CXM
CREATE SCHEMA RAW
CREATE SCHEMA MARTS
CREATE ROLE REPORTER
CREATE ROLE TRANSFORMER
CREATE USER REPORTER_USER PASSWORD = '{PASSWORD}' DEFAULT_ROLE = REPORTER
CREATE USER TRANSFORMER_USER PASSWORD = '{PASSWORD}' DEFAULT_ROLE = TRANSFORMER
GRANT ROLE REPORTER TO USER REPORTER_USER
GRANT ROLE TRANSFORMER TO USER TRANSFORMER_USER
CREATE TABLE RAW.LOAD_LEDGER (V VARCHAR)
INSERT INTO RAW.LOAD_LEDGER VALUES ('ledger')
CREATE TABLE RAW.LEASE (V VARCHAR)
INSERT INTO RAW.LEASE VALUES ('lease')
CREATE STAGE RAW.INBOX URL = 's3://inbox/'
CREATE TABLE MARTS.FACTS (V VARCHAR)
INSERT INTO MARTS.FACTS VALUES ('fact')
CREATE TABLE MARTS.SHADOWED (V VARCHAR)
CREATE VIEW MARTS.SHOWN AS SELECT V FROM RAW.LOAD_LEDGER
GRANT USAGE ON DATABASE CXM TO ROLE REPORTER
GRANT USAGE ON SCHEMA CXM.MARTS TO ROLE REPORTER
GRANT SELECT ON TABLE CXM.MARTS.FACTS TO ROLE REPORTER
GRANT SELECT ON VIEW CXM.MARTS.SHOWN TO ROLE REPORTER
GRANT USAGE ON DATABASE CXM TO ROLE TRANSFORMER
GRANT USAGE ON SCHEMA CXM.RAW TO ROLE TRANSFORMER
GRANT USAGE, CREATE TABLE, CREATE VIEW, CREATE STAGE ON SCHEMA CXM.MARTS TO ROLE TRANSFORMER
GRANT SELECT ON ALL TABLES IN SCHEMA CXM.RAW TO ROLE TRANSFORMER
GRANT SELECT ON ALL TABLES IN SCHEMA CXM.MARTS TO ROLE TRANSFORMER
"""


@dataclass
class Attacked:
    """The warehouse under attack, what its files are called, and the secret that must not be seen."""

    warehouse: Warehouse
    names: dict[str, str]
    secret: str

    def connect(self, role: str) -> Any:
        return self.warehouse.connect(
            user=f"{role}_USER", password=PASSWORD, role=role, database="CXM", schema="MARTS",
            session_parameters={"STATEMENT_TIMEOUT_IN_SECONDS": 20},
        )  # fmt: skip


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    home = tmp_path_factory.mktemp("attacked")
    secret = secrets.token_hex(16)
    (home / "secret.csv").write_text(f"a,b\n{secret},2\n")
    server = Warehouse(home / "state").start()
    with server.connect() as admin:
        for statement in _SET_UP.strip().splitlines():
            admin.cursor().execute(statement)
    attacked = Attacked(server, {"{file}": str(home / "secret.csv"), "{home}": str(home / "state")}, secret)
    with attacked.connect("TRANSFORMER") as transformer:
        transformer.cursor().execute("CREATE TABLE MARTS.MINE (V VARCHAR)")
    yield attacked
    server.stop()


def _kept(attacked: Attacked) -> list[Any]:
    with attacked.warehouse.connect(database="CXM") as admin:
        tables = "SELECT TABLE_SCHEMA, TABLE_NAME FROM INFORMATION_SCHEMA.TABLES ORDER BY 1, 2"
        looks = ("SELECT V FROM RAW.LOAD_LEDGER", "SELECT V FROM RAW.LEASE", "SELECT V FROM MARTS.FACTS", tables)
        return [admin.cursor().execute(look).fetchall() for look in looks]


@pytest.mark.parametrize("role", ROLES)
def test_no_statement_reads_a_file_a_setting_or_another_roles_table(attacked: Attacked, role: str) -> None:
    statements = yaml.safe_load(STATEMENTS.read_text(encoding="utf-8"))
    assert len(statements) >= 100
    before = _kept(attacked)
    files = sorted(str(p) for p in Path(attacked.names["{home}"]).rglob("*"))
    wrong: list[str] = []
    with attacked.connect(role.upper()) as connection:
        for case in statements:
            if case.get("as", role) != role:
                continue
            sql = case["sql"]
            for name, value in attacked.names.items():
                sql = sql.replace(name, value)
            expected = case.get("error", "rows")
            errors = expected if isinstance(expected, list) else [expected]
            try:
                rows = [list(row) for row in connection.cursor().execute(sql).fetchall()]
            except Error as e:
                if e.errno not in errors:
                    wrong.append(f"{case['sql']}: expected {expected}, got {e.errno}: {str(e.raw_msg)[:150]}")
                if attacked.secret in str(e):
                    wrong.append(f"{case['sql']}: its message shows the secret")
            else:
                if "rows" not in case or rows != case["rows"]:
                    wrong.append(
                        f"{case['sql']}: expected {case.get('rows', expected)}, got the rows {str(rows)[:150]}"
                    )
                if attacked.secret in str(rows):
                    wrong.append(f"{case['sql']}: its rows show the secret")
            with suppress(Error):
                connection.cursor().execute(f"USE ROLE {role}")
                connection.cursor().execute("USE SCHEMA CXM.MARTS")
    assert not wrong, "\n".join(wrong)
    assert _kept(attacked) == before
    assert {p for p in Path(attacked.names["{home}"]).rglob("*") if str(p) not in files} == set()


def test_what_each_role_may_do_still_works(attacked: Attacked) -> None:
    with attacked.connect("REPORTER") as reporter:
        for sql, rows in (
            ("SELECT V FROM FACTS", [("fact",)]),
            ('SELECT V FROM "CXM"."MARTS"."FACTS"', [("fact",)]),
            ("SELECT V FROM SHOWN", [("ledger",)]),
            ("WITH SHADOWED AS (SELECT V FROM FACTS) SELECT * FROM SHADOWED", [("fact",)]),
            ("WITH A AS (SELECT V FROM FACTS), B AS (SELECT * FROM A) SELECT * FROM (SELECT * FROM B) X", [("fact",)]),
            (
                "WITH RECURSIVE N AS (SELECT 1 AS I UNION ALL SELECT I + 1 FROM N WHERE I < 3) SELECT COUNT(*) FROM N",
                [(3,)],
            ),
            ("SELECT V FROM IDENTIFIER('CXM.MARTS.FACTS')", [("fact",)]),
            ("SELECT LISTAGG(V, ',') FROM FACTS", [("fact",)]),
            ("SELECT VALUE::INT FROM TABLE(FLATTEN(INPUT => PARSE_JSON('[1]')))", [(1,)]),
            ("SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 3))", [(3,)]),
            ("SELECT F.V FROM FACTS F, LATERAL FLATTEN(INPUT => ARRAY_CONSTRUCT(1)) L", [("fact",)]),
            ("SELECT COLUMN1 FROM VALUES (1)", [(1,)]),
            ("SELECT [1, 2][1]::INT", [(2,)]),
        ):
            assert reporter.cursor().execute(sql).fetchall() == rows, sql
        reporter.cursor().execute("CREATE TEMPORARY TABLE OWN AS SELECT V FROM FACTS")
        assert reporter.cursor().execute("SELECT COUNT(*) FROM OWN").fetchone() == (1,)
    with attacked.connect("TRANSFORMER") as transformer:
        run = transformer.cursor().execute
        run("CREATE OR REPLACE TABLE MARTS.MINE AS SELECT V FROM RAW.LOAD_LEDGER")
        run("MERGE INTO MINE T USING RAW.LEASE S ON T.V = S.V WHEN NOT MATCHED THEN INSERT (V) VALUES (S.V)")
        assert sorted(run("SELECT V FROM MINE").fetchall()) == [("lease",), ("ledger",)]
        assert {row[2] for row in run("SHOW COLUMNS IN TABLE RAW.LOAD_LEDGER").fetchall()} == {"V"}
