"""The plan as CXM_PLANNER, a read-only role, finds what the administrator finds, says what it cannot see, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from snowflake.connector.errors import DatabaseError, ProgrammingError
from snowflake.connector.util_text import split_statements

from flows.cli.keys import key_pair
from flows.clients.snowflake import run
from flows.errors import ConfigurationError
from flows.settings import Settings
from flows.steps import provision
from flows.steps.provision.plan_role import plan_role_sql
from tests.cloud.test_plan import HISTORY, SOURCE
from tests.embedded.conftest import Warehouse

INTEGRATION = ("storage integration", "CXM_S3_INTEGRATION", "ENABLED, STORAGE_AWS_ROLE_ARN, STORAGE_ALLOWED_LOCATIONS")
CASES = "CXM_MEDTECH.RAW.T_CASES"
DRIFT = {  # what somebody did by hand → the item that shows it
    "ALTER WAREHOUSE WH_CXM SET AUTO_SUSPEND = 3600 STATEMENT_TIMEOUT_IN_SECONDS = 0": ("warehouse", "WH_CXM"),
    "ALTER RESOURCE MONITOR WH_CXM_QUOTA SET CREDIT_QUOTA = 500": ("resource monitor", "WH_CXM_QUOTA"),
    "ALTER USER CXM_REPORTER_SVC SET DEFAULT_ROLE = SYSADMIN": ("user", "CXM_REPORTER_SVC"),
    "ALTER USER CXM_PIPELINE_SVC UNSET RSA_PUBLIC_KEY": ("public key", "CXM_PIPELINE_SVC"),
    "ALTER STAGE CXM_MEDTECH.RAW.T_S3_STAGE SET URL = 's3://cxm-medtech-landing-ssen27/raw/elsewhere/'": (
        "stage", "CXM_MEDTECH.RAW.T_S3_STAGE",
    ),
    "ALTER FILE FORMAT CXM_MEDTECH.RAW.CSV_FORMAT SET SKIP_HEADER = 0": ("file format", "CXM_MEDTECH.RAW.CSV_FORMAT"),
    "REVOKE SELECT ON FUTURE TABLES IN SCHEMA CXM_MEDTECH.MARTS FROM ROLE CXM_REPORTER": (
        "grant", "future tables in CXM_MEDTECH.MARTS → CXM_REPORTER",
    ),
    f"REVOKE INSERT ON TABLE {CASES} FROM ROLE CXM_LOADER": ("grant", "all tables in CXM_MEDTECH.RAW → CXM_LOADER"),
    "REVOKE OPERATE ON WAREHOUSE WH_CXM FROM ROLE CXM_LOADER": ("grant", "WH_CXM → CXM_LOADER"),
    "REVOKE ROLE CXM_TRANSFORMER FROM USER CXM_PIPELINE_SVC": ("grant", "CXM_TRANSFORMER → CXM_PIPELINE_SVC"),
    f"ALTER TABLE {CASES} DROP COLUMN SURGEON": ("table", CASES),
    f"ALTER TABLE {CASES} UNSET TAG CXM_MEDTECH.RAW.PII": ("table", CASES),
    "ALTER TABLE CXM_MEDTECH.RAW.LOAD_LEASE DROP COLUMN HOLDER": ("table", "CXM_MEDTECH.RAW.LOAD_LEASE"),
    f"DELETE FROM CXM_MEDTECH.RAW.LOAD_LEASE WHERE SOURCE = '{SOURCE.name}'": (
        "lease", f"CXM_MEDTECH.RAW.LOAD_LEASE of {SOURCE.name}",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """A provisioned account, an administrator in it and a user who has only the role that `sql/plan_role.sql` makes."""

    server: Warehouse
    admin: Any
    looker: Any
    settings: Settings

    def plan(self, connection: Any) -> provision.Plan:
        return provision.warehouse_plan(connection, self.settings, [SOURCE])

    def restore(self) -> None:
        provision.apply(self.plan(self.admin), None, self.admin, self.settings, [SOURCE])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("home")
    (home / "keys").mkdir()
    (home / "keys" / "CXM_PIPELINE_SVC.pub").write_text(key_pair("a passphrase")[1])
    settings = Settings(home=home, plan_role="CXM_PLANNER")
    server = Warehouse(tmp_path_factory.mktemp("account") / "state").start()
    with server.connect(role="ACCOUNTADMIN", paramstyle="numeric") as admin:
        provision.provision_warehouse(admin, settings, [SOURCE])
        worksheet(admin, plan_role_sql(settings))
        run(admin, "CREATE USER ANA PASSWORD = 'hers'")
        run(admin, "GRANT ROLE CXM_PLANNER TO USER ANA")
        with server.connect(user="ANA", password="hers", role="CXM_PLANNER", warehouse="WH_CXM") as looker:
            yield Stage(server, admin, looker, settings)
    server.stop()


def worksheet(connection: Any, text: str) -> None:
    for sql, _ in split_statements(StringIO(text), remove_comments=True):
        if sql and sql.strip():
            run(connection, sql)
    run(connection, "USE ROLE ACCOUNTADMIN")


def hidden(plan: provision.Plan) -> list[tuple[str, str, str]]:
    return [(item.kind, item.name, item.why) for item in plan.hidden]


def test_after_provisioning_the_role_finds_nothing_to_do_and_says_what_it_cannot_see(stage: Stage) -> None:
    plan = stage.plan(stage.looker)

    assert [(item.kind, item.name, item.why) for item in plan.todo] == []
    assert hidden(plan) == [INTEGRATION]
    assert plan.text().splitlines()[:2] == [
        "-- Looked as CXM_PLANNER.",
        f"-- not visible to CXM_PLANNER: {INTEGRATION[0]} {INTEGRATION[1]}: {INTEGRATION[2]}",
    ]
    assert plan.counts.endswith("1 not visible to CXM_PLANNER")
    assert "not visible to CXM_PLANNER" in plan.markdown()
    assert (plan.json()["looked_as"], plan.json()["not_visible"][0]["name"]) == ("CXM_PLANNER", "CXM_S3_INTEGRATION")
    assert len(plan.items) - len(plan.hidden) == len(stage.plan(stage.admin).items), "nothing is passed over in silence"


@pytest.fixture
def drifted(stage: Stage) -> Iterator[None]:
    for sql in DRIFT:
        run(stage.admin, sql)
    yield
    stage.restore()
    worksheet(stage.admin, plan_role_sql(stage.settings))
    assert stage.plan(stage.admin).todo == ()


def test_the_role_finds_the_drift_that_the_administrator_finds(stage: Stage, drifted: None) -> None:
    got = stage.plan(stage.looker)

    assert got.todo == stage.plan(stage.admin).todo
    assert {(item.kind, item.name) for item in got.todo} == set(DRIFT.values())
    text = got.text()
    assert "AUTO_SUSPEND: got 3600, expected 60" in text
    assert "STATEMENT_TIMEOUT_IN_SECONDS: got 0, expected 3600" in text
    assert "columns missing: SURGEON" in text


def test_every_statement_of_its_plan_is_a_read(stage: Stage) -> None:
    with stage.server.connect(user="ANA", password="hers", role="CXM_PLANNER", warehouse="WH_CXM") as looker:
        stage.plan(looker)
        rows = run(stage.admin, f"SELECT QUERY_TEXT, ROLE_NAME FROM {HISTORY.format(looker.session_id)}").rows

    assert len(rows) > 20
    assert {(str(sql).split()[0].upper(), role) for sql, role in rows} == {
        (verb, "CXM_PLANNER") for verb in ("SHOW", "DESC", "SELECT")
    }


def test_it_may_run_no_statement_of_any_plan_and_read_no_row_and_no_file(
    stage: Stage, drifted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXM_ENV", "dev")
    fresh = provision.warehouse_plan(stage.admin, Settings(home=stage.settings.home), [SOURCE])
    before = stage.plan(stage.admin)
    statements = [str(step) for plan in (before, fresh) for item in plan.todo for step in item.steps]
    assert len(statements) > 60
    for sql in (
        *statements,
        "SELECT * FROM CXM_MEDTECH.RAW.T_CASES",
        "INSERT INTO CXM_MEDTECH.RAW.T_CASES (CASE_ID) VALUES ('1')",
        "LIST @CXM_MEDTECH.RAW.T_S3_STAGE",
        "CREATE STAGE CXM_MEDTECH.RAW.MINE URL = 's3://cxm-medtech-landing-ssen27/raw/' STORAGE_INTEGRATION = CXM_S3_INTEGRATION",
        "CREATE TABLE CXM_MEDTECH.RAW.MINE (A INT)",
        "ALTER WAREHOUSE WH_CXM SET WAREHOUSE_SIZE = 'LARGE'",
        "DROP TABLE CXM_MEDTECH.RAW.T_CASES",
        "GRANT ROLE ACCOUNTADMIN TO USER ANA",
        "USE ROLE ACCOUNTADMIN",
    ):
        with pytest.raises(ProgrammingError) as refusal:
            stage.looker.cursor().execute(sql)
        assert refusal.value.errno in (2003, 3001, 3013), sql

    assert stage.plan(stage.admin) == before


def test_applying_with_it_fails_at_once_and_names_the_role_to_use(stage: Stage, drifted: None) -> None:
    before = stage.plan(stage.admin)
    done: list[provision.Item] = []

    with pytest.raises(
        DatabaseError, match="'ACCOUNTADMIN' specified in the connect string does not exist or not auth"
    ):
        stage.server.connect(user="ANA", password="hers", role="ACCOUNTADMIN")
    with pytest.raises(ConfigurationError, match=r"Requested role '\w+' is not assigned to the executing user 'ANA'"):
        provision.apply(stage.plan(stage.looker), None, stage.looker, stage.settings, [SOURCE], done.append)

    assert done == []
    assert stage.plan(stage.admin) == before


@pytest.mark.parametrize(("privilege", "unseen"), [
    ("USAGE ON FILE FORMAT CXM_MEDTECH.RAW.CSV_FORMAT", [("file format", "CXM_MEDTECH.RAW.CSV_FORMAT")]),
    ("MONITOR ON USER CXM_PIPELINE_SVC", [("user", "CXM_PIPELINE_SVC"), ("public key", "CXM_PIPELINE_SVC")]),
    ("REFERENCES ON TABLE CXM_MEDTECH.RAW.T_CASES", [("table", "CXM_MEDTECH.RAW.T_CASES")]),
    ("REFERENCES ON TABLE CXM_MEDTECH.RAW.LOAD_LEDGER", [("table", "CXM_MEDTECH.RAW.LOAD_LEDGER")]),
    ("SELECT ON TABLE CXM_MEDTECH.RAW.LOAD_LEASE", [("lease", f"CXM_MEDTECH.RAW.LOAD_LEASE of {SOURCE.name}")]),
    ("USAGE ON SCHEMA CXM_MEDTECH.RAW", [
        ("tag", "CXM_MEDTECH.RAW.PII"), ("lease", f"CXM_MEDTECH.RAW.LOAD_LEASE of {SOURCE.name}"),
    ]),
])  # fmt: skip
def test_what_the_role_may_not_see_is_said_and_not_listed_as_missing(
    stage: Stage, privilege: str, unseen: list[tuple[str, str]]
) -> None:
    run(stage.admin, f"REVOKE {privilege} FROM ROLE CXM_PLANNER")
    try:
        plan = stage.plan(stage.looker)
    finally:
        run(stage.admin, f"GRANT {privilege} TO ROLE CXM_PLANNER")

    assert plan.todo == ()
    assert {(kind, name) for kind, name, _ in hidden(plan)} == {*unseen, INTEGRATION[:2]}


def test_where_show_hides_objects_the_plan_says_that_they_are_listed_as_missing(stage: Stage) -> None:
    run(stage.admin, "REVOKE RESOLVE ALL ON ACCOUNT FROM ROLE CXM_PLANNER")
    try:
        plan = stage.plan(stage.looker)
    finally:
        run(stage.admin, "GRANT RESOLVE ALL ON ACCOUNT TO ROLE CXM_PLANNER")

    head = "-- Looked as CXM_PLANNER; an object that this role cannot see is listed as missing."
    assert plan.text().splitlines()[0] == head
    assert ("stage", "created") in {(item.kind, item.action) for item in plan.todo}


def test_whom_the_bucket_trusts_is_not_visible_either(
    aws: None, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXM_ENV", "trust")
    settings = Settings(home=tmp_path, target="snowflake", plan_role="CXM_PLANNER")
    clients = {name: boto3.client(name) for name in ("s3", "iam", "sts")}  # type: ignore[call-overload]
    cloud = provision.Cloud(**clients, holds_key=lambda _: True, save_key=lambda *_: None)
    plan = provision.make_plan(cloud, stage.admin, settings, [SOURCE])
    provision.apply(plan, cloud, stage.admin, settings, [])
    worksheet(stage.admin, plan_role_sql(settings))

    with stage.server.connect(role="CXM_PLANNER_TRUST", warehouse="WH_CXM_TRUST") as looker:
        plan = provision.make_plan(cloud, looker, settings, [SOURCE])

    assert [(item.kind, item.name, item.why) for item in plan.todo] == []
    assert [(kind, name) for kind, name, _ in hidden(plan)] == [
        ("storage integration", "CXM_S3_INTEGRATION_TRUST"),
        ("role", "cxm-snowflake-landing-trust"),
    ]


def test_the_role_to_make_has_to_be_named() -> None:
    with pytest.raises(ConfigurationError, match="CXM_PLAN_ROLE: got ACCOUNTADMIN, expected the name of a role"):
        plan_role_sql(Settings())
