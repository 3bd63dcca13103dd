"""The plan of a Snowflake account in several scenarios: its text, legal SQL, applied where privileges are enforced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from snowflake.connector.errors import ProgrammingError

from flows.clients.snowflake import run
from flows.contract.model import Column, Source, Table
from flows.errors import ConfigurationError
from flows.settings import Settings
from flows.steps import provision
from flows.steps.provision.plan import Call
from tests.embedded.conftest import Warehouse

GOLDEN = Path(__file__).parent / "golden"


def column(name: str, position: int, pii: str = "none") -> Column:
    return Column(
        name, name.lower(), position, "string", name.title(), f"The row's {name.lower()}", False, "internal", pii  # type: ignore[arg-type]
    )  # fmt: skip


CASES = Table(
    "cases", "T_CASES", "t_cases.csv", "Case", "A surgeon's case", "snapshot",
    (column("CASE_ID", 1), column("SURGEON", 2, "direct")), ("CASE_ID",),
)  # fmt: skip
KITS = Table("kits", "T_KITS", "t_kits.csv", "Kit", "A kit", "snapshot", (column("KIT_ID", 1),), ("KIT_ID",))
SOURCE = Source("t", "1.0.0", "Test", "RAW", "T_S3_STAGE", "CSV_FORMAT", (CASES,), 24, 48)
MORE = replace(SOURCE, tables=(replace(CASES, columns=(*CASES.columns, column("HOSPITAL", 3, "indirect"))),))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse for this module alone: an account in which nothing has been made yet."""
    warehouse = Warehouse(tmp_path_factory.mktemp("account") / "state").start()
    yield warehouse
    warehouse.stop()


@pytest.fixture(scope="module")
def account(server: Warehouse) -> Iterator[Any]:
    """A connection as its administrator."""
    with server.connect(role="ACCOUNTADMIN", paramstyle="numeric") as connection:
        yield connection


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:  # not those of the running stack
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def scenarios(account: Any, settings: Settings) -> dict[str, provision.Plan]:
    """The plan of each scenario; each is applied before the next is made."""
    plans: dict[str, provision.Plan] = {}

    def scenario(name: str, *sources: Source) -> None:
        plans[name] = provision.warehouse_plan(account, settings, sources)
        provision.apply(plans[name], None, account, settings, sources)

    scenario("fresh", SOURCE)
    scenario("second", SOURCE)
    for sql in (
        "ALTER WAREHOUSE WH_CXM SET AUTO_SUSPEND = 3600",
        "REVOKE SELECT ON FUTURE TABLES IN SCHEMA CXM_MEDTECH.MARTS FROM ROLE CXM_REPORTER",
        "REVOKE ROLE CXM_TRANSFORMER FROM USER CXM_PIPELINE_SVC",
        "ALTER FILE FORMAT CXM_MEDTECH.RAW.CSV_FORMAT SET SKIP_HEADER = 0",
        "COMMENT ON COLUMN CXM_MEDTECH.RAW.T_CASES.CASE_ID IS 'what is this?'",
        "ALTER TABLE CXM_MEDTECH.RAW.T_CASES MODIFY COLUMN SURGEON UNSET TAG CXM_MEDTECH.RAW.PII",
    ):
        run(account, sql)
    scenario("drift", SOURCE)
    scenario("column", MORE)
    scenario("table", replace(MORE, tables=(*MORE.tables, KITS)))
    plans["after"] = provision.warehouse_plan(account, settings, [replace(MORE, tables=(*MORE.tables, KITS))])
    return plans


@pytest.mark.parametrize("name", ["fresh", "second", "drift", "column", "table"])
def test_the_plan_of_a_scenario_is_what_was_agreed(scenarios: dict[str, provision.Plan], name: str) -> None:
    path = GOLDEN / f"{name}.sql"
    text = scenarios[name].text()
    if os.environ.get("CXM_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    assert text == path.read_text()


def test_after_each_apply_the_next_plan_is_empty(scenarios: dict[str, provision.Plan]) -> None:
    assert [(i.kind, i.name, i.why) for i in (*scenarios["second"].todo, *scenarios["after"].todo)] == []


def test_no_statement_of_any_plan_drops_or_replaces(scenarios: dict[str, provision.Plan]) -> None:
    statements = [str(s) for plan in scenarios.values() for item in plan.todo for s in item.steps]
    bare = ["\n".join(x for x in s.splitlines() if not x.lstrip().startswith("--")).strip() for s in statements]

    assert {s.split()[0] for s in bare} == {"CREATE", "ALTER", "GRANT", "COMMENT", "MERGE"}
    assert not [s for s in bare if s.startswith("MERGE") and "WHEN MATCHED" in s], "an existing lease row stays"
    assert not [s for s in bare if " OR REPLACE " in s or (s.startswith("ALTER") and " DROP " in s)]


def test_every_statement_parses_as_snowflake_sql(scenarios: dict[str, provision.Plan]) -> None:
    from sqlfluff.core import Linter

    statements = [s for plan in scenarios.values() for item in plan.todo for s in item.steps if not isinstance(s, Call)]
    for statement in statements:
        assert len(sqlglot.parse(statement, "snowflake")) == 1
    parsed = Linter(dialect="snowflake").parse_string(";\n".join(dict.fromkeys(statements)) + ";\n")

    assert [str(v) for v in parsed.violations] == []


def test_planning_reads_only(scenarios: dict[str, provision.Plan], account: Any, settings: Settings) -> None:
    session = account.session_id
    before = run(account, f"SELECT MAX(START_TIME) FROM {HISTORY.format(session)}").rows[0][0]
    provision.warehouse_plan(account, settings, [SOURCE])
    rows = run(account, f"SELECT QUERY_TEXT FROM {HISTORY.format(session)} WHERE START_TIME > :1", [before]).rows

    assert len(rows) > 10
    assert {str(sql).split()[0].upper() for (sql,) in rows} <= {"SHOW", "DESC", "SELECT"}


HISTORY = "TABLE(CXM_MEDTECH.INFORMATION_SCHEMA.QUERY_HISTORY_BY_SESSION(SESSION_ID => {}, RESULT_LIMIT => 10000))"


def test_columns_are_read_once_for_all_tables(
    scenarios: dict[str, provision.Plan], account: Any, settings: Settings
) -> None:
    session = account.session_id
    before = run(account, f"SELECT MAX(START_TIME) FROM {HISTORY.format(session)}").rows[0][0]
    provision.warehouse_plan(account, settings, [replace(MORE, tables=(*MORE.tables, KITS))])
    rows = run(account, f"SELECT QUERY_TEXT FROM {HISTORY.format(session)} WHERE START_TIME > :1", [before]).rows

    assert sum("COLUMN_NAME, COMMENT" in str(sql) for (sql,) in rows) == 1


@pytest.mark.parametrize(("role", "sql", "allowed"), [
    ("CXM_LOADER", "INSERT INTO CXM_MEDTECH.RAW.T_CASES (CASE_ID) VALUES ('1')", True),
    ("CXM_LOADER", "CREATE TABLE CXM_MEDTECH.MARTS.X (A INT)", False),
    ("CXM_LOADER", "DROP TABLE CXM_MEDTECH.RAW.T_CASES", False),
    ("CXM_LOADER", "ALTER TABLE CXM_MEDTECH.RAW.T_CASES ADD COLUMN X VARCHAR", False),
    ("CXM_TRANSFORMER", "SELECT * FROM CXM_MEDTECH.RAW.T_CASES", True),
    ("CXM_TRANSFORMER", "CREATE OR REPLACE TABLE CXM_MEDTECH.MARTS.DIM AS SELECT 1 AS A", True),
    ("CXM_TRANSFORMER", "INSERT INTO CXM_MEDTECH.RAW.T_CASES (CASE_ID) VALUES ('2')", False),
    ("CXM_TRANSFORMER", "DELETE FROM CXM_MEDTECH.RAW.LOAD_LEDGER", False),
    ("CXM_TRANSFORMER", "CREATE TABLE CXM_MEDTECH.RAW.X (A INT)", False),
    ("CXM_REPORTER", "SELECT * FROM CXM_MEDTECH.MARTS.DIM", True),
    ("CXM_REPORTER", "SELECT * FROM CXM_MEDTECH.RAW.T_CASES", False),
    ("CXM_REPORTER", "DELETE FROM CXM_MEDTECH.MARTS.DIM", False),
    ("CXM_REPORTER", "ALTER WAREHOUSE WH_CXM SET WAREHOUSE_SIZE = 'LARGE'", False),
])  # fmt: skip
def test_a_role_can_do_its_work_and_nothing_beyond(
    scenarios: dict[str, provision.Plan], server: Warehouse, role: str, sql: str, allowed: bool
) -> None:
    with server.connect(role=role) as connection, connection.cursor() as cursor:
        if role == "CXM_REPORTER" and allowed:  # the future grant reaches what dbt makes later
            with server.connect(role="CXM_TRANSFORMER") as dbt:
                dbt.cursor().execute("CREATE OR REPLACE TABLE CXM_MEDTECH.MARTS.DIM AS SELECT 1 AS A")
        if allowed:
            cursor.execute(sql)
            return
        with pytest.raises(ProgrammingError) as refusal:
            cursor.execute(sql)
        assert refusal.value.errno == 3001


def test_a_key_logs_its_user_in_a_second_goes_beside_it_and_a_third_overwrites_neither(
    scenarios: dict[str, provision.Plan], account: Any, settings: Settings, server: Warehouse
) -> None:
    from cryptography.hazmat.primitives import serialization

    from flows.cli.keys import key_pair

    folder = settings.home / "keys"
    folder.mkdir()
    for slot in ("RSA_PUBLIC_KEY ", "RSA_PUBLIC_KEY_2 "):
        private, public = key_pair("a passphrase")
        (folder / "CXM_PIPELINE_SVC.pub").write_text(public)
        plan = provision.warehouse_plan(account, settings, [MORE])
        assert [slot in str(s) for i in plan.todo for s in i.steps] == [True]
        assert "ENCRYPTED PRIVATE KEY" in private
        provision.apply(plan, None, account, settings, [MORE])
        key = serialization.load_pem_private_key(private.encode(), b"a passphrase").private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with server.connect(
            user="CXM_PIPELINE_SVC", password=None, authenticator="SNOWFLAKE_JWT", private_key=key
        ) as c:  # fmt: skip
            assert c.cursor().execute("SELECT CURRENT_ROLE()").fetchone() == ("CXM_LOADER",)
    assert provision.warehouse_plan(account, settings, [MORE]).todo == ()
    held = run(account, "DESC USER CXM_PIPELINE_SVC").dicts()
    _, third = key_pair("a passphrase")
    (folder / "CXM_PIPELINE_SVC.pub").write_text(third)
    with pytest.raises(ConfigurationError, match="UNSET RSA_PUBLIC_KEY") as refusal:
        provision.warehouse_plan(account, settings, [MORE])
    fingerprints = [str(r["value"]) for r in held if str(r["property"]).endswith("_FP")]
    assert len(fingerprints) == 2
    assert all(f in str(refusal.value) for f in fingerprints)

    run(account, "ALTER USER CXM_PIPELINE_SVC UNSET RSA_PUBLIC_KEY")
    (step,) = [s for i in provision.warehouse_plan(account, settings, [MORE]).todo for s in i.steps]
    assert str(step).startswith("ALTER USER CXM_PIPELINE_SVC SET RSA_PUBLIC_KEY = ")


def test_each_dialect_in_use_has_a_file_format_of_its_own_and_its_drift_is_in_the_plan(
    scenarios: dict[str, provision.Plan], account: Any, settings: Settings
) -> None:
    from sqlfluff.core import Linter

    from tests.dialects import DIALECTS, source, table

    several = source(*(table(dialect, name=f"t{n}") for n, dialect in enumerate(DIALECTS.values())))
    plan = provision.warehouse_plan(account, settings, [several])
    made = [str(s) for i in plan.todo if i.kind == "file format" for s in i.steps]
    # The default's format exists, and objects in S3 are UTF-8, so an encoding makes no file format.
    assert len(made) == len({d.file_format("F") for d in DIALECTS.values()}) - 1
    parsed = Linter(dialect="snowflake").parse_string(";\n".join(made) + ";\n")
    assert [str(v) for v in parsed.violations] == []
    provision.apply(plan, None, account, settings, [several])
    assert [(i.kind, i.name, i.why) for i in provision.warehouse_plan(account, settings, [several]).todo] == []

    drifted = DIALECTS["MySQL"].file_format("CSV_FORMAT")
    run(account, f"ALTER FILE FORMAT CXM_MEDTECH.RAW.{drifted} SET ESCAPE_UNENCLOSED_FIELD = NONE")
    (item,) = provision.warehouse_plan(account, settings, [several]).todo
    assert (item.kind, item.name.rpartition(".")[2], item.action) == ("file format", drifted, "changed")
    assert item.why == "ESCAPE_UNENCLOSED_FIELD: got NONE, expected \\"


# ---- masking (CXM_MASKING)

MASKED = replace(
    SOURCE,
    tables=(replace(CASES, columns=(*CASES.columns, column("POSTAL_AREA", 3, "indirect"), column("RATING", 4))),),
)


@pytest.fixture(scope="module")
def masked(scenarios: dict[str, provision.Plan], account: Any, settings: Settings) -> dict[str, provision.Plan]:
    """The plans of the same account with masking: turned on, again, after somebody changed it, and after the repair."""
    on = settings.model_copy(update={"masking": True})
    plans = {}

    def scenario(name: str) -> None:
        plans[name] = provision.warehouse_plan(account, on, [MASKED])
        provision.apply(plans[name], None, account, on, [MASKED])

    scenario("masking")
    scenario("again")
    for sql in (
        "ALTER MASKING POLICY CXM_MEDTECH.PRIVACY.MASK_VARCHAR SET BODY -> VAL",
        "ALTER TAG CXM_MEDTECH.RAW.PII UNSET MASKING POLICY CXM_MEDTECH.PRIVACY.MASK_DATE",
        "ALTER TABLE CXM_MEDTECH.RAW.T_CASES MODIFY COLUMN SURGEON UNSET TAG CXM_MEDTECH.RAW.PII",
        "ALTER TABLE CXM_MEDTECH.RAW.T_CASES SET TAG CXM_MEDTECH.RAW.PII = 'direct'",
    ):
        run(account, sql)
    scenario("masking_drift")
    scenario("after")
    return plans


@pytest.mark.parametrize("name", ["masking", "masking_drift"])
def test_the_plan_of_masking_is_what_was_agreed(masked: dict[str, provision.Plan], name: str) -> None:
    path = GOLDEN / f"{name}.sql"
    text = masked[name].text()
    if os.environ.get("CXM_UPDATE_GOLDEN"):
        path.write_text(text)

    assert text == path.read_text()


def test_masking_is_set_after_each_apply_and_no_text_has_the_key(
    masked: dict[str, provision.Plan], account: Any
) -> None:
    assert [(i.kind, i.name, i.why) for i in (*masked["again"].todo, *masked["after"].todo)] == []
    ((key,),) = run(account, "SELECT HASH_KEY FROM CXM_MEDTECH.PRIVACY.MASKING_KEY").rows
    texts = [text for plan in masked.values() for text in (plan.text(), str(plan.json()))]
    texts += [str(row) for row in run(account, f"SELECT QUERY_TEXT FROM {HISTORY.format(account.session_id)}").rows]
    assert len(key) == 128
    assert not [text for text in texts if key in text]


PLAIN = ("c1", "Dr Ann Example", "01310", "9")


@pytest.fixture(scope="module")
def people(masked: dict[str, provision.Plan], account: Any, server: Warehouse) -> None:
    """A row in RAW, and what dbt makes of it: a view in STG, a table in MARTS and one in SNAPSHOTS whose columns have the tag."""
    run(account, "DELETE FROM CXM_MEDTECH.RAW.T_CASES")
    run(account, f"INSERT INTO CXM_MEDTECH.RAW.T_CASES (CASE_ID, SURGEON, POSTAL_AREA, RATING) VALUES {PLAIN}")
    names = "CASE_ID, SURGEON, POSTAL_AREA, RATING"
    tag = "CXM_MEDTECH.RAW.PII"
    columns = f"CASE_ID, SURGEON WITH TAG ({tag} = 'direct'), POSTAL_AREA WITH TAG ({tag} = 'indirect'), RATING"
    for sql in (
        "USE ROLE CXM_TRANSFORMER",
        f"CREATE VIEW CXM_MEDTECH.STG.CASES AS SELECT {names} FROM CXM_MEDTECH.RAW.T_CASES",
        f"CREATE TABLE CXM_MEDTECH.MARTS.CASES ({columns}) AS SELECT {names} FROM CXM_MEDTECH.STG.CASES",
        f"CREATE TABLE CXM_MEDTECH.SNAPSHOTS.CASES ({columns}) AS SELECT {names} FROM CXM_MEDTECH.STG.CASES",
        "USE ROLE ACCOUNTADMIN",
    ):
        run(account, sql)


def seen_by(server: Warehouse, role: str, schema: str, table: str = "CASES") -> tuple[str, ...]:
    with server.connect(role=role) as connection:
        return tuple(
            run(connection, f"SELECT CASE_ID, SURGEON, POSTAL_AREA, RATING FROM CXM_MEDTECH.{schema}.{table}").rows[0]
        )


def test_each_role_sees_of_each_class_in_each_layer_what_the_page_says(people: None, server: Warehouse) -> None:
    for role in ("CXM_PRIVACY", "CXM_LOADER", "CXM_TRANSFORMER"):
        assert seen_by(server, role, "RAW", "T_CASES") == PLAIN
    for schema in ("STG", "MARTS", "SNAPSHOTS"):
        for role in ("CXM_PRIVACY", "CXM_TRANSFORMER"):
            assert seen_by(server, role, schema) == PLAIN
    masked = seen_by(server, "CXM_REPORTER", "MARTS")
    assert (masked[0], masked[2], masked[3]) == ("c1", "01", "9")
    assert len(masked[1]) == 64
    # an administrator does not have the privacy role, and sees the same pseudonym in every layer
    for schema, table in (("RAW", "T_CASES"), ("STG", "CASES"), ("MARTS", "CASES"), ("SNAPSHOTS", "CASES")):
        assert seen_by(server, "ACCOUNTADMIN", schema, table) == masked
    for schema, table in (("RAW", "T_CASES"), ("STG", "CASES"), ("SNAPSHOTS", "CASES")):
        with pytest.raises(ConfigurationError, match="Insufficient privileges"):
            seen_by(server, "CXM_REPORTER", schema, table)


def test_the_reporter_finds_nobody_by_name_and_copies_nothing_plain(
    people: None, server: Warehouse, account: Any
) -> None:
    with server.connect(role="CXM_REPORTER", paramstyle="numeric") as connection:
        run(connection, "USE DATABASE CXM_MEDTECH")
        run(connection, "USE SCHEMA MARTS")
        rows = run(connection, "SELECT CASE_ID FROM CASES WHERE SURGEON = :1", [PLAIN[1]]).rows
        run(connection, "CREATE TEMPORARY TABLE MINE AS SELECT * FROM CASES")
        copied = run(connection, "SELECT SURGEON FROM MINE").rows
        for sql in (
            "SELECT HASH_KEY FROM CXM_MEDTECH.PRIVACY.MASKING_KEY",
            "DESC MASKING POLICY CXM_MEDTECH.PRIVACY.MASK_VARCHAR",
        ):
            with pytest.raises(ConfigurationError):
                run(connection, sql)
    assert not rows
    assert PLAIN[1] not in str(copied)


def test_masking_without_tags_is_refused_and_standard_edition_is_said_to_have_none() -> None:
    with pytest.raises(ConfigurationError, match="Standard Edition has neither"):
        Settings(masking=True, pii_tags=False)
