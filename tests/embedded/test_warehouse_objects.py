"""Account objects over the wire: create, alter, show, describe, drop, and the same set-up twice."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from snowflake.connector.cursor import DictCursor
from snowflake.connector.errors import ProgrammingError

from tests.embedded.conftest import Warehouse


@pytest.fixture
def run(warehouse: Warehouse, database: str) -> Iterator[Any]:
    """`run(sql)` gives the rows as dicts, on one session in the test's database and schema PUBLIC."""
    with warehouse.connect(database=database, schema="PUBLIC") as connection:
        yield lambda sql, *values: connection.cursor(DictCursor).execute(sql, *values).fetchall()


def name(prefix: str) -> str:
    """Return a name that no other test uses: account objects are shared by the whole server."""
    return f"{prefix}_{secrets.token_hex(3).upper()}"


def refusal(run: Any, sql: str) -> tuple[int, str]:
    with pytest.raises(ProgrammingError) as refused:
        run(sql)
    return refused.value.errno, refused.value.sqlstate


def test_a_warehouse_keeps_its_properties_and_is_altered_suspended_resumed_and_dropped(run: Any) -> None:
    wh = name("WH")
    created = run(
        f"CREATE WAREHOUSE IF NOT EXISTS {wh} WITH WAREHOUSE_SIZE = 'X-SMALL' AUTO_SUSPEND = 60 AUTO_RESUME = TRUE "
        "INITIALLY_SUSPENDED = TRUE COMMENT = 'the user''s'"
    )
    assert created == [{"status": f"Warehouse {wh} successfully created."}]
    assert run(f"CREATE WAREHOUSE IF NOT EXISTS {wh} WAREHOUSE_SIZE = LARGE") == [
        {"status": f"{wh} already exists, statement succeeded."}
    ]
    (shown,) = run(f"SHOW WAREHOUSES LIKE '{wh.lower()}'")
    assert {k: shown[k] for k in ("name", "state", "size", "auto_suspend", "auto_resume", "comment", "is_current", "owner")} == {
        "name": wh, "state": "SUSPENDED", "size": "X-Small", "auto_suspend": 60, "auto_resume": "true", "comment": "the user's",
        "is_current": "Y", "owner": "ACCOUNTADMIN",
    }  # fmt: skip
    assert run("SELECT CURRENT_WAREHOUSE() AS W") == [{"W": wh}]
    run(f"ALTER WAREHOUSE {wh} SET WAREHOUSE_SIZE = MEDIUM, AUTO_SUSPEND = 120 COMMENT = 'larger'")
    run(f"ALTER WAREHOUSE {wh} RESUME IF SUSPENDED")
    (shown,) = run(f"SHOW WAREHOUSES LIKE '{wh}'")
    assert (shown["size"], shown["auto_suspend"], shown["state"], shown["comment"]) == (
        "Medium",
        120,
        "STARTED",
        "larger",
    )
    run(f"ALTER WAREHOUSE {wh} SUSPEND")
    assert refusal(run, f"ALTER WAREHOUSE {wh} SUSPEND") == (90064, "22000")
    assert run(f"DROP WAREHOUSE {wh}") == [{"status": f"{wh} successfully dropped."}]
    assert run("SELECT CURRENT_WAREHOUSE() AS W") == [{"W": None}]
    assert run(f"SHOW WAREHOUSES LIKE '{wh}'") == []


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE WAREHOUSE {n} WAREHOUSE_SIZE = 'HUGE'", (1008, "22023")),
        ("CREATE WAREHOUSE {n} WAREHOUSE_COLOUR = 'RED'", (1420, "22023")),
        ("CREATE WAREHOUSE {n} AUTO_RESUME = PERHAPS", (1008, "22023")),
        ("CREATE ROLE ACCOUNTADMIN", (2002, "42710")),
        ("CREATE STORAGE INTEGRATION {n} TYPE = EXTERNAL_STAGE", (1003, "42000")),
        ("CREATE STORAGE INTEGRATION {n} TYPE = QUEUE", (1008, "22023")),
        ("CREATE USER {n} RSA_PUBLIC_KEY = 'no key'", (1008, "22023")),
        ("ALTER WAREHOUSE {n} SUSPEND", (2003, "02000")),
        ("DROP ROLE {n}", (2003, "02000")),
        ("DROP ROLE SYSADMIN", (3001, "42501")),
        ("USE ROLE {n}", (2003, "02000")),
        ("USE WAREHOUSE {n}", (2043, "02000")),
        ("USE DATABASE {n}", (2043, "02000")),
        ("USE SCHEMA {n}", (2043, "02000")),
        ("GRANT ROLE {n} TO ROLE SYSADMIN", (2003, "02000")),
        ("GRANT SELECT ON TABLE {n} TO ROLE SYSADMIN", (2003, "42S02")),
        ("GRANT FLY ON ACCOUNT TO ROLE SYSADMIN", (1003, "42000")),
        ("GRANT ROLE ACCOUNTADMIN TO ROLE USERADMIN", (3012, "42501")),
        ("CREATE STAGE S STORAGE_INTEGRATION = {n} URL = 's3://b/'", (2003, "02000")),
        ("CREATE STAGE S URL = 'azure://b/'", (2, "0A000")),
        ("CREATE FILE FORMAT F TYPE = CSV SKIP_HEADERS = 1", (1420, "22023")),
        ("CREATE FILE FORMAT F TYPE = CSV TRIM_SPACE = 7", (1008, "22023")),
        ("DESC FILE FORMAT {n}", (2003, "02000")),
        ("ALTER SESSION SET QUERY_TAGS = 'x'", (1420, "22023")),
        ("ALTER SESSION SET LOCK_TIMEOUT = 'soon'", (1008, "22023")),
        ("ALTER SESSION SET TIMEZONE = 'Mars/Olympus'", (1008, "22023")),
        ("ALTER SESSION SET QUOTED_IDENTIFIERS_IGNORE_CASE = TRUE", (2, "0A000")),
    ],
)
def test_a_wrong_name_option_or_value_is_refused_with_snowflakes_number(
    run: Any, sql: str, expected: tuple[int, str]
) -> None:
    assert refusal(run, sql.format(n=name("NO"))) == expected


def test_a_storage_integration_shows_whom_to_trust_and_keeps_it(run: Any) -> None:
    integration = name("INT")
    text = (
        f"CREATE STORAGE INTEGRATION IF NOT EXISTS {integration} TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE "
        "STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::000000000000:role/landing' "
        "STORAGE_ALLOWED_LOCATIONS = ('s3://b/raw/', 's3://b/archive/') "
        "COMMENT = 'c'"
    )
    run(text)
    first = {r["property"]: r["property_value"] for r in run(f"DESC INTEGRATION {integration}")}
    assert first["ENABLED"] == "true"
    assert first["STORAGE_ALLOWED_LOCATIONS"] == "s3://b/raw/,s3://b/archive/"
    assert first["STORAGE_AWS_ROLE_ARN"] == "arn:aws:iam::000000000000:role/landing"
    assert first["STORAGE_AWS_IAM_USER_ARN"].startswith("arn:aws:iam::")
    assert "_SFCRole=" in first["STORAGE_AWS_EXTERNAL_ID"]
    run(text)
    run(f"ALTER STORAGE INTEGRATION {integration} SET STORAGE_ALLOWED_LOCATIONS = ('s3://b/raw/')")
    second = {r["property"]: r["property_value"] for r in run(f"DESCRIBE STORAGE INTEGRATION {integration}")}
    assert second == {**first, "STORAGE_ALLOWED_LOCATIONS": "s3://b/raw/"}
    (shown,) = run(f"SHOW INTEGRATIONS LIKE '{integration}'")
    assert (shown["type"], shown["category"], shown["enabled"], shown["comment"]) == (
        "EXTERNAL_STAGE",
        "STORAGE",
        "true",
        "c",
    )


def test_a_stage_outside_its_integrations_locations_is_refused(run: Any) -> None:
    integration = name("INT")
    run(
        f"CREATE STORAGE INTEGRATION {integration} TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = S3 ENABLED = TRUE "
        "STORAGE_AWS_ROLE_ARN = 'a' STORAGE_ALLOWED_LOCATIONS = ('s3://b/raw/')"
    )
    assert refusal(run, f"CREATE STAGE S URL = 's3://b/rawer/' STORAGE_INTEGRATION = {integration}") == (3167, "42601")
    run(f"CREATE STAGE S URL = 's3://b/raw/olist/' STORAGE_INTEGRATION = {integration}")


def test_a_file_format_keeps_every_option_and_shows_snowflakes_default_for_the_rest(run: Any, database: str) -> None:
    run(
        "CREATE FILE FORMAT IF NOT EXISTS CSV_FORMAT TYPE = CSV FIELD_DELIMITER = ',' SKIP_HEADER = 1 NULL_IF = ('', 'null') "
        "FIELD_OPTIONALLY_ENCLOSED_BY = '\"' ESCAPE_UNENCLOSED_FIELD = NONE ENCODING = 'UTF8' EMPTY_FIELD_AS_NULL = TRUE "
        "SKIP_BYTE_ORDER_MARK = TRUE TRIM_SPACE = FALSE SKIP_BLANK_LINES = FALSE COMMENT = 'ours'"
    )
    got = {
        r["property"]: (r["property_type"], r["property_value"], r["property_default"])
        for r in run("DESC FILE FORMAT CSV_FORMAT")
    }
    assert got["SKIP_HEADER"] == ("Integer", "1", "0")
    assert got["NULL_IF"] == ("List", "[, null]", r"[\\N]")
    assert got["FIELD_OPTIONALLY_ENCLOSED_BY"] == ("String", r"\"", "NONE")
    assert got["ESCAPE_UNENCLOSED_FIELD"] == ("String", "NONE", r"\\")
    assert got["RECORD_DELIMITER"] == ("String", "\\n", "\\n")
    assert got["COMPRESSION"] == ("String", "AUTO", "AUTO")
    run("ALTER FILE FORMAT CSV_FORMAT SET SKIP_HEADER = 2")
    assert {r["property"]: r["property_value"] for r in run("DESC FILE FORMAT CSV_FORMAT")}["SKIP_HEADER"] == "2"
    (shown,) = run(f"SHOW FILE FORMATS IN SCHEMA {database}.PUBLIC")
    assert (shown["name"], shown["type"], shown["comment"]) == ("CSV_FORMAT", "CSV", "ours")
    assert run("DROP FILE FORMAT CSV_FORMAT") == [{"status": "CSV_FORMAT successfully dropped."}]
    assert run("SHOW FILE FORMATS") == []


def test_a_stage_describes_its_url_integration_and_format(run: Any, database: str) -> None:
    run("CREATE FILE FORMAT F TYPE = CSV SKIP_HEADER = 1")
    run("CREATE STAGE IF NOT EXISTS S URL = 's3://b/raw/' FILE_FORMAT = (FORMAT_NAME = 'F') COMMENT = 'landing'")
    run("CREATE STAGE INLINE URL = 's3://b/raw/' FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 3)")
    named = {r["property"]: r["property_value"] for r in run("DESC STAGE S")}
    assert named["FORMAT_NAME"] == f"{database}.PUBLIC.F"
    assert named["URL"] == '["s3://b/raw/"]'
    assert {r["property"]: r["property_value"] for r in run("DESC STAGE INLINE")}["SKIP_HEADER"] == "3"
    assert [(r["name"], r["url"], r["type"], r["comment"]) for r in run("SHOW STAGES LIKE 's'")] == [
        ("S", "s3://b/raw/", "EXTERNAL", "landing")
    ]
    run("ALTER STAGE S SET URL = 's3://b/other/' COMMENT = 'moved'")
    assert [(r["url"], r["comment"]) for r in run("SHOW STAGES LIKE 's'")] == [("s3://b/other/", "moved")]


def test_resource_monitors_and_tags_are_kept(run: Any, database: str) -> None:
    monitor = name("RM")
    run(
        f"CREATE RESOURCE MONITOR {monitor} WITH CREDIT_QUOTA = 10 FREQUENCY = MONTHLY START_TIMESTAMP = IMMEDIATELY "
        "TRIGGERS ON 75 PERCENT DO NOTIFY ON 100 PERCENT DO SUSPEND"
    )
    (shown,) = run(f"SHOW RESOURCE MONITORS LIKE '{monitor}'")
    assert (shown["credit_quota"], shown["frequency"], shown["notify_at"], shown["suspend_at"]) == (
        "10.00",
        "MONTHLY",
        "75%",
        "100%",
    )
    run("CREATE TAG IF NOT EXISTS PII ALLOWED_VALUES 'direct', 'none' COMMENT = 'class'")
    (tag,) = run("SHOW TAGS")
    assert (tag["name"], tag["database_name"], tag["allowed_values"]) == ("PII", database, '["direct", "none"]')


def test_databases_and_schemas_are_shown_described_replaced_and_dropped(run: Any) -> None:
    other = name("DB")
    run(f"CREATE DATABASE {other} COMMENT = 'one'")
    assert run("SELECT CURRENT_DATABASE() AS D, CURRENT_SCHEMA() AS S") == [{"D": other, "S": "PUBLIC"}]
    run("CREATE SCHEMA IF NOT EXISTS RAW COMMENT = 'raw'")
    assert run("SELECT CURRENT_SCHEMA() AS S") == [{"S": "RAW"}]
    assert [(r["name"], r["comment"]) for r in run(f"SHOW SCHEMAS IN DATABASE {other}")] == [
        ("INFORMATION_SCHEMA", ""), ("PUBLIC", ""), ("RAW", "raw"),
    ]  # fmt: skip
    run("CREATE TABLE RAW.T (A INT)")
    assert [(r["name"], r["kind"]) for r in run("DESC SCHEMA RAW")] == [("T", "TABLE")]
    run("COMMENT ON SCHEMA RAW IS 'landing'")
    run("ALTER SCHEMA RAW SET DATA_RETENTION_TIME_IN_DAYS = 3")
    shown = {r["name"]: (r["comment"], r["retention_time"]) for r in run("SHOW SCHEMAS")}
    assert shown["RAW"] == ("landing", "3")
    run("CREATE OR REPLACE SCHEMA RAW")
    assert run("SHOW TABLES IN SCHEMA RAW") == []
    run(f"CREATE OR REPLACE DATABASE {other}")
    assert [r["name"] for r in run("SHOW SCHEMAS")] == ["INFORMATION_SCHEMA", "PUBLIC"]
    run(f"DROP DATABASE {other}")
    assert run("SELECT CURRENT_DATABASE() AS D") == [{"D": None}]
    assert run(f"DROP DATABASE IF EXISTS {other}")[0]["status"].startswith("Drop statement executed successfully")
    assert run(f"SHOW DATABASES LIKE '{other}'") == []


def test_grants_are_shown_on_to_and_of(run: Any, database: str) -> None:
    role, child = name("R"), name("C")
    for sql in (
        f"CREATE ROLE {role} COMMENT = 'r'", f"CREATE ROLE {child}", f"GRANT ROLE {child} TO ROLE {role}",
        f"GRANT USAGE ON DATABASE {database} TO ROLE {role}", f"GRANT USAGE, CREATE TABLE ON SCHEMA PUBLIC TO ROLE {role}",
        "CREATE TABLE OLD (A INT)", f"GRANT SELECT ON ALL TABLES IN SCHEMA PUBLIC TO ROLE {role}",
        f"GRANT SELECT, INSERT ON FUTURE TABLES IN SCHEMA PUBLIC TO ROLE {role}", "CREATE TABLE NEW (A INT)",
        f"GRANT ALL PRIVILEGES ON SCHEMA PUBLIC TO ROLE {child}", f"REVOKE CREATE TABLE ON SCHEMA PUBLIC FROM ROLE {role}",
    ):  # fmt: skip
        run(sql)
    to = {(r["privilege"], r["granted_on"], r["name"]) for r in run(f"SHOW GRANTS TO ROLE {role}")}
    assert to == {
        ("USAGE", "ROLE", child), ("USAGE", "DATABASE", database), ("USAGE", "SCHEMA", f"{database}.PUBLIC"),
        ("SELECT", "TABLE", f"{database}.PUBLIC.OLD"), ("SELECT", "TABLE", f"{database}.PUBLIC.NEW"), ("INSERT",
        "TABLE", f"{database}.PUBLIC.NEW"),
    }  # fmt: skip
    on = {(r["privilege"], r["granted_to"], r["grantee_name"]) for r in run("SHOW GRANTS ON TABLE NEW")}
    assert on == {("OWNERSHIP", "ROLE", "ACCOUNTADMIN"), ("SELECT", "ROLE", role), ("INSERT", "ROLE", role)}
    assert [(r["role"], r["granted_to"], r["grantee_name"]) for r in run(f"SHOW GRANTS OF ROLE {child}")] == [
        (child, "ROLE", role)
    ]
    assert {r["privilege"] for r in run("SHOW FUTURE GRANTS IN SCHEMA PUBLIC")} == {"SELECT", "INSERT"}
    assert ("CREATE TABLE", "SCHEMA") in {
        (r["privilege"], r["granted_on"]) for r in run(f"SHOW GRANTS TO ROLE {child}")
    }
    run("ALTER TABLE NEW RENAME TO NEWER")
    assert {r["grantee_name"] for r in run("SHOW GRANTS ON TABLE NEWER")} == {"ACCOUNTADMIN", role}
    run("DROP TABLE NEWER")
    run("CREATE TABLE NEWER (A INT)")
    run(f"DROP ROLE {role}")
    assert [r["grantee_name"] for r in run("SHOW GRANTS ON TABLE NEWER")] == ["ACCOUNTADMIN"]


def test_saying_a_set_up_twice_changes_nothing(run: Any, database: str) -> None:
    role = name("R")
    steps = (
        f"CREATE ROLE IF NOT EXISTS {role}", f"GRANT ROLE {role} TO ROLE SYSADMIN",
        f"GRANT USAGE ON DATABASE {database} TO ROLE {role}",
        "CREATE SCHEMA IF NOT EXISTS RAW", "CREATE FILE FORMAT IF NOT EXISTS RAW.F TYPE = CSV",
        "CREATE STAGE IF NOT EXISTS RAW.S URL = 's3://b/'",
        "CREATE TABLE IF NOT EXISTS RAW.T (A VARCHAR COMMENT 'a') COMMENT = 't'",
        "ALTER TABLE RAW.T ADD COLUMN IF NOT EXISTS B VARCHAR COMMENT 'b'",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA RAW TO ROLE {role}", f"GRANT SELECT ON FUTURE TABLES IN SCHEMA RAW TO ROLE {role}",
    )  # fmt: skip
    looks = (f"SHOW GRANTS TO ROLE {role}", "SHOW GRANTS ON TABLE RAW.T", "DESC TABLE RAW.T",
    "SHOW STAGES IN SCHEMA RAW", "SHOW ROLES",
             "SHOW FUTURE GRANTS IN SCHEMA RAW", "SELECT * FROM RAW.T")  # fmt: skip
    for sql in steps:
        run(sql)
    run("INSERT INTO RAW.T VALUES ('kept', NULL)")
    before = [run(sql) for sql in looks]
    for sql in steps:
        run(sql)
    assert [run(sql) for sql in looks] == before
