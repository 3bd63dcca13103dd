"""What a role sees: SHOW, SHOW GRANTS, users' properties, INFORMATION_SCHEMA, tags."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from snowflake.connector import DictCursor
from snowflake.connector.errors import ProgrammingError

from tests.embedded.conftest import Warehouse

Run = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def looker() -> str:
    """The name of a role for one test."""
    return f"LOOKER_{secrets.token_hex(3).upper()}"


@pytest.fixture
def admin(warehouse: Warehouse, database: str, looker: str) -> Iterator[Run]:
    with warehouse.connect(role="ACCOUNTADMIN", database=database) as connection:
        run = runner(connection)
        for sql in (
            f"CREATE ROLE {looker}", "CREATE SCHEMA RAW", "CREATE TABLE RAW.CASES (CASE_ID INT)",
            "CREATE TABLE RAW.KITS (KIT_ID INT)", "CREATE FILE FORMAT RAW.CSV TYPE = CSV", "CREATE TAG RAW.PII",
            "ALTER TABLE RAW.CASES SET TAG RAW.PII = 'direct'",
        ):  # fmt: skip
            run(sql)
        yield run


@pytest.fixture
def look(warehouse: Warehouse, database: str, looker: str, admin: Run) -> Iterator[Run]:
    with warehouse.connect(role=looker) as connection:
        yield runner(connection)


def runner(connection: Any) -> Run:
    def run(sql: str) -> list[dict[str, Any]]:
        with connection.cursor(DictCursor) as cursor:
            return cursor.execute(sql).fetchall()  # type: ignore[no-any-return]

    return run


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {str(row["name"]) for row in rows}


def refused(run: Run, sql: str, errno: int) -> None:
    with pytest.raises(ProgrammingError) as error:
        run(sql)
    assert error.value.errno == errno


def test_show_lists_objects_with_a_privilege_and_all_with_resolve_all(
    admin: Run, look: Run, looker: str, database: str
) -> None:
    assert database not in names(look("SHOW DATABASES"))
    admin(f"GRANT REFERENCES ON TABLE RAW.CASES TO ROLE {looker}")
    assert look(f"SHOW TABLES IN SCHEMA {database}.RAW") == [], "no privilege on the schema and the database yet"
    admin(f"GRANT USAGE ON DATABASE {database} TO ROLE {looker}")
    admin(f"GRANT MONITOR ON SCHEMA RAW TO ROLE {looker}")
    assert names(look(f"SHOW TABLES IN SCHEMA {database}.RAW")) == {"CASES"}
    assert look(f"SHOW FILE FORMATS IN SCHEMA {database}.RAW") == []

    admin(f"REVOKE USAGE ON DATABASE {database} FROM ROLE {looker}")
    admin(f"GRANT RESOLVE ALL ON ACCOUNT TO ROLE {looker}")
    assert database in names(look("SHOW DATABASES"))
    assert names(look(f"SHOW TABLES IN SCHEMA {database}.RAW")) == {"CASES", "KITS"}
    assert names(look(f"SHOW FILE FORMATS IN SCHEMA {database}.RAW")) == {"CSV"}
    assert names(look(f"SHOW TAGS IN SCHEMA {database}.RAW")) == {"PII"}
    refused(look, f"DESC FILE FORMAT {database}.RAW.CSV", 2003)
    refused(look, f"SELECT * FROM {database}.RAW.KITS", 3001)


def test_grants_are_listed_where_their_object_is(admin: Run, look: Run, looker: str, database: str) -> None:
    other = f"OTHER_{looker}"
    admin(f"CREATE ROLE {other}")
    admin(f"GRANT SELECT ON TABLE RAW.CASES TO ROLE {other}")
    admin(f"GRANT SELECT ON FUTURE TABLES IN SCHEMA RAW TO ROLE {other}")

    assert look(f"SHOW GRANTS TO ROLE {other}") == []
    assert look(f"SHOW FUTURE GRANTS TO ROLE {other}") == []
    admin(f"GRANT RESOLVE ALL ON ACCOUNT TO ROLE {looker}")
    assert [row["name"] for row in look(f"SHOW GRANTS TO ROLE {other}")] == [f"{database}.RAW.CASES"]
    assert [row["privilege"] for row in look(f"SHOW FUTURE GRANTS TO ROLE {other}")] == ["SELECT"]


def test_a_users_properties_are_for_its_owner_and_for_who_monitors_it(admin: Run, look: Run, looker: str) -> None:
    user = f"ANA_{looker}"
    admin(f"CREATE USER {user} TYPE = SERVICE COMMENT = 'reads marts'")

    def shown() -> dict[str, Any]:
        return next(row for row in look("SHOW USERS") if row["name"] == user)

    assert {name for name, value in shown().items() if value is not None} == {"name"}
    refused(look, f"DESC USER {user}", 3001)
    admin(f"GRANT MONITOR ON USER {user} TO ROLE {looker}")
    assert {row["property"]: row["value"] for row in look(f"DESC USER {user}")}["TYPE"] == "SERVICE"
    assert shown()["type"] is None
    admin(f"REVOKE MONITOR ON USER {user} FROM ROLE {looker}")
    admin(f"GRANT MONITOR USER ON ACCOUNT TO ROLE {looker}")
    assert shown()["type"] == "SERVICE"


def test_information_schema_holds_what_the_role_has_privileges_on(
    admin: Run, look: Run, looker: str, database: str
) -> None:
    columns = f"SELECT C.COLUMN_NAME FROM {database}.INFORMATION_SCHEMA.COLUMNS AS C WHERE C.TABLE_SCHEMA = 'RAW'"
    tables = f"SELECT TABLE_NAME FROM {database}.information_schema.tables WHERE TABLE_SCHEMA = 'RAW'"
    admin(f"GRANT USAGE ON DATABASE {database} TO ROLE {looker}")
    admin(f"GRANT RESOLVE ALL ON ACCOUNT TO ROLE {looker}")
    assert look(columns) == look(tables) == []

    admin(f"GRANT REFERENCES ON TABLE RAW.CASES TO ROLE {looker}")
    assert look(columns) == [{"COLUMN_NAME": "CASE_ID"}]
    assert look(tables) == [{"TABLE_NAME": "CASES"}]
    assert len(admin(columns)) == len(admin(tables)) == 2
    admin(f"GRANT USAGE ON SCHEMA RAW TO ROLE {looker}")
    refused(look, f"SELECT * FROM {database}.RAW.CASES", 3001)


def test_a_tag_is_read_with_usage_on_its_schema(admin: Run, look: Run, looker: str, database: str) -> None:
    value = f"SELECT SYSTEM$GET_TAG('{database}.RAW.PII', '{database}.RAW.CASES', 'TABLE') AS V"
    admin(f"GRANT REFERENCES ON TABLE RAW.CASES TO ROLE {looker}")
    admin(f"GRANT USAGE ON DATABASE {database} TO ROLE {looker}")
    refused(look, value, 3001)

    admin(f"GRANT USAGE ON SCHEMA RAW TO ROLE {looker}")
    assert look(value) == [{"V": "direct"}]
