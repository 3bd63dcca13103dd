"""dbt's tables are masked by the statement that makes them: the macros of marts and snapshots, on a warehouse alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.admin_clients import contracts
from flows.clients.snowflake import run
from flows.settings import PROJECT, Settings
from flows.steps import provision
from tests.embedded.conftest import ADMINISTRATOR, PASSWORD, Warehouse

pytestmark = pytest.mark.soak

DBT_PASSWORD = "of-this-test-alone"  # pragma: allowlist secret
SELECT = ["+dim_accounts", "+snap_hcps"]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("masked")
    users = {
        ADMINISTRATOR: {"password": PASSWORD, "roles": ["ACCOUNTADMIN"]},
        "CXM_TRANSFORMER_SVC": {"password": DBT_PASSWORD, "roles": ["CXM_TRANSFORMER"]},
    }
    (folder / "users.json").write_text(json.dumps({"home": "7e577e57", "users": users}))
    warehouse = Warehouse(folder / "state", users=folder / "users.json").start()
    settings = Settings(home=folder, masking=True)
    with warehouse.connect(role="ACCOUNTADMIN", paramstyle="numeric") as connection:
        provision.provision_warehouse(connection, settings, contracts())
        for _ in range(2):  # the second finds the tables
            _build(folder, warehouse.port)
        yield connection
    warehouse.stop()


def _build(folder: Path, port: int) -> None:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("CXM_")},
        "CXM_TARGET": "embedded", "CXM_WAREHOUSE_PORT": str(port), "CXM_WAREHOUSE_PASSWORD": DBT_PASSWORD, "CXM_MASKING": "true",
    }  # fmt: skip
    project = str(PROJECT / "dbt" / "cxm_medtech")
    command = [str(Path(sys.executable).parent / "dbt"), "--quiet", "build", "--select", *SELECT]
    command += ["--exclude-resource-type", "test", "unit_test", "--project-dir", project, "--profiles-dir", project]
    done = subprocess.run(
        [*command, "--target-path", str(folder / "target"), "--log-path", str(folder / "logs")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("MARTS.DIM_ACCOUNTS", {"ACCOUNT_POSTAL_AREA", "ACCOUNT_CITY", "LATITUDE", "LONGITUDE"}),
        ("SNAPSHOTS.SNAP_HCPS", {"HCP_ID", "HCP_POSTAL_AREA", "HCP_CITY"}),
    ],
)
def test_a_table_has_its_masks_from_the_statement_that_makes_it(account: Any, table: str, columns: set[str]) -> None:
    rows = run(
        account,
        "SELECT REF_COLUMN_NAME FROM TABLE(CXM_MEDTECH.INFORMATION_SCHEMA.POLICY_REFERENCES("
        f"REF_ENTITY_NAME => 'CXM_MEDTECH.{table}', REF_ENTITY_DOMAIN => 'TABLE'))",
    ).rows
    made = run(
        account,
        "SELECT QUERY_TEXT FROM TABLE(CXM_MEDTECH.INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 10000)) "
        f"WHERE QUERY_TEXT ILIKE '%create or replace%table%{table}%'",
    ).rows

    assert {str(name) for (name,) in rows} == columns
    assert made
    assert all(str(sql).count("RAW.PII") == len(columns) for (sql,) in made)
