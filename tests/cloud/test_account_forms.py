"""What real accounts print (`account_forms.yaml`), tried on the plan's comparison and on the emulated warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.clients.snowflake import run
from flows.errors import ConfigurationError
from flows.settings import Settings
from flows.steps import provision
from flows.steps.provision.shown import same
from tests.cloud.test_plan import SOURCE
from tests.embedded.conftest import Warehouse

FORMS: dict[str, list[dict[str, Any]]] = yaml.safe_load(Path(__file__).with_name("account_forms.yaml").read_text())


def shown(form: dict[str, Any]) -> str:
    return f"{form['kind']} {form['property']} = {form['says']} shown as {form['shown']}"


@pytest.mark.parametrize("form", FORMS["same"], ids=shown)
def test_what_an_account_prints_of_a_property_is_what_was_asked_for(form: dict[str, Any]) -> None:
    assert same(form["kind"], form["shown"], form["says"])


@pytest.mark.parametrize("form", FORMS["differ"], ids=shown)
def test_a_property_that_is_something_else_is_noticed(form: dict[str, Any]) -> None:
    assert not same(form["kind"], form["shown"], form["says"])


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An administrator's connection to an account for this module alone."""
    warehouse = Warehouse(tmp_path_factory.mktemp("forms") / "state").start()
    with warehouse.connect(role="ACCOUNTADMIN", paramstyle="numeric") as connection:
        run(connection, "CREATE DATABASE F")
        yield connection
    warehouse.stop()


@pytest.mark.parametrize("form", [f for f in FORMS["same"] if f["kind"] == "FILE FORMAT"], ids=shown)
def test_the_emulated_warehouse_describes_a_file_format_as_an_account_does(account: Any, form: dict[str, Any]) -> None:
    run(account, f"CREATE OR REPLACE FILE FORMAT F.PUBLIC.X TYPE = CSV {form['property']} = {form['says']}")
    rows = run(account, "DESC FILE FORMAT F.PUBLIC.X").dicts()

    assert {r["property"]: r["property_value"] for r in rows}[form["property"]] == form["shown"]


def test_a_new_warehouse_is_of_generation_2_with_query_acceleration_unless_it_says_otherwise(account: Any) -> None:
    run(account, "CREATE WAREHOUSE W_DEFAULT")
    (row,) = run(account, "SHOW WAREHOUSES LIKE 'W_DEFAULT'").dicts()

    assert (row["generation"], row["enable_query_acceleration"]) == ("2", "true")


@pytest.fixture(scope="module")
def provisioned(account: Any, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    plan = provision.warehouse_plan(account, settings, [SOURCE])
    provision.apply(plan, None, account, settings, [SOURCE])
    return settings


def test_the_warehouse_costs_what_was_agreed(account: Any, provisioned: Settings) -> None:
    (row,) = run(account, "SHOW WAREHOUSES LIKE 'WH_CXM'").dicts()

    assert (row["generation"], row["enable_query_acceleration"]) == ("1", "false")


def test_a_cost_that_somebody_turned_on_is_in_the_plan(account: Any, provisioned: Settings) -> None:
    run(account, "ALTER WAREHOUSE WH_CXM SET ENABLE_QUERY_ACCELERATION = TRUE GENERATION = '2'")
    plan = provision.warehouse_plan(account, provisioned, [SOURCE])
    provision.apply(plan, None, account, provisioned, [SOURCE])

    assert [(i.kind, i.name, i.steps) for i in plan.todo] == [
        (
            "warehouse",
            "WH_CXM",
            ("ALTER WAREHOUSE WH_CXM SET\n    GENERATION = '1'\n    ENABLE_QUERY_ACCELERATION = FALSE",),
        )
    ]
    assert provision.warehouse_plan(account, provisioned, [SOURCE]).todo == ()


def test_the_frequency_of_a_monitor_is_set_together_with_its_start(account: Any, provisioned: Settings) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/create-resource-monitor: one is not set without the other."""
    run(account, "ALTER RESOURCE MONITOR WH_CXM_QUOTA SET FREQUENCY = DAILY START_TIMESTAMP = IMMEDIATELY")
    plan = provision.warehouse_plan(account, provisioned, [SOURCE])
    provision.apply(plan, None, account, provisioned, [SOURCE])

    (item,) = plan.todo
    assert "START_TIMESTAMP = IMMEDIATELY" in str(item.steps[0])
    assert provision.warehouse_plan(account, provisioned, [SOURCE]).todo == ()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE F.PUBLIC.T1 (ORDER VARCHAR)",
        "CREATE TABLE F.PUBLIC.T1 (A VARCHAR, START VARCHAR)",
        "CREATE TABLE F.PUBLIC.T1 (group VARCHAR)",
        "CREATE TABLE F.PUBLIC.T1 (CURRENT_DATE VARCHAR)",
        "CREATE TABLE F.PUBLIC.T1 (VALUES VARCHAR)",
        "CREATE TABLE F.PUBLIC.SAMPLE (A VARCHAR)",
        "ALTER TABLE F.PUBLIC.T0 ADD COLUMN IF NOT EXISTS INCREMENT VARCHAR",
        "SELECT A, ROWS FROM F.PUBLIC.T0",
    ],
)
def test_the_emulated_warehouse_takes_no_reserved_word_for_a_name(account: Any, sql: str) -> None:
    """https://docs.snowflake.com/en/sql-reference/reserved-keywords"""
    run(account, 'CREATE TABLE IF NOT EXISTS F.PUBLIC.T0 (A VARCHAR, "START" VARCHAR, "left" VARCHAR)')
    with pytest.raises(ConfigurationError, match=r"1003 \(42000\)"):
        run(account, sql)
    assert run(account, 'SELECT "START", "left", CURRENT_DATE AS TODAY, LEFT(A, 1) FROM F.PUBLIC.T0').rows == ()


def test_each_file_format_that_a_contract_names_is_made(account: Any, provisioned: Settings) -> None:
    other = replace(SOURCE, name="u", stage="U_S3_STAGE", file_format="U_FORMAT", tables=())
    plan = provision.warehouse_plan(account, provisioned, [SOURCE, other])
    provision.apply(plan, None, account, provisioned, [SOURCE, other])
    rows = run(account, "DESC STAGE CXM_MEDTECH.RAW.U_S3_STAGE").dicts()

    assert "CXM_MEDTECH.RAW.U_FORMAT" in [r["property_value"] for r in rows if r["property"] == "FORMAT_NAME"]
    assert provision.warehouse_plan(account, provisioned, [SOURCE, other]).todo == ()
