"""The deployment page's commands, in order: those of cxm run against emulators, and every named command exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from snowflake.connector.util_text import split_statements

from flows.cli import main
from flows.clients.snowflake import run
from flows.embedded import home_secrets
from flows.settings import PROJECT, Settings
from flows.steps import dbt
from flows.steps.dbt import dbt_environment
from tests.cloud.conftest import enforced
from tests.conftest import olist_files
from tests.pages import commands

HISTORY = "TABLE(CXM_MEDTECH_PAGE.INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 10000))"
PAGE = PROJECT / "architecture" / "deployment" / "README.md"


def steps() -> list[tuple[int, str]]:
    """Return (step of the page, command) in order; those after the last numbered step have step 0."""
    numbered = [(re.match(r"(\d+)\.", c.heading), c.line) for c in commands(PAGE) if not c.inline]
    return [(int(number[1]) if number else 0, line) for number, line in numbered]


@pytest.fixture
def accounts(settings: Settings, aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """moto for AWS, the running stack's warehouse for Snowflake, and its Prefect server; names of a separate environment."""
    from flows import block_types, blocks  # Prefect reads its address at import: not before the stack runs
    from flows.clients.login import Login

    warehouse, own_s3 = settings.stack["warehouse"], blocks.s3_client(settings)
    own_s3.create_bucket(
        Bucket=f"{settings.bucket}-page"
    )  # where the emulated Snowflake finds what the stage points at
    for name in [n for n in os.environ if n.startswith("CXM_")]:
        monkeypatch.delenv(name)
    # A block of the same name that an earlier test of this process registered stays cached for five minutes.
    monkeypatch.setattr(block_types, "_loaded", {})
    monkeypatch.setattr(blocks, "_s3_clients", {})
    monkeypatch.setenv("CXM_ENV", "page")
    monkeypatch.setenv("CXM_HOME", str(tmp_path / "home"))
    real = blocks.snowflake_credentials

    def emulated(current: Settings) -> Any:
        """Return the same login at the emulator's address, which checks JWT and key too."""
        result = real(current)
        values = {n: getattr(result, n) for n in ("user", "private_key", "private_key_passphrase")}
        return Login("cxm-embedded", host=warehouse["host"], port=warehouse["port"], protocol="http", **values)

    monkeypatch.setattr(blocks, "snowflake_credentials", emulated)
    home_secrets.ensure(
        settings.model_copy(update={"transformer_role": "CXM_TRANSFORMER_PAGE"})
    )  # what dbt logs in with
    user, password = next(iter(settings.warehouse_logins.items()))
    with Login(
        "cxm-embedded", user, password, protocol="http", host=warehouse["host"], port=warehouse["port"],
    ).get_client(role="ACCOUNTADMIN") as connection:  # fmt: skip
        run(connection, "CREATE USER IF NOT EXISTS SETUP TYPE = SERVICE")
        run(connection, "GRANT ROLE ACCOUNTADMIN TO USER SETUP")
        monkeypatch.setattr(test_the_page_leads_from_two_fresh_accounts_to_a_run, "admin", connection, raising=False)
        yield tmp_path / "home"  # type: ignore[misc]


@pytest.mark.soak
def test_the_page_leads_from_two_fresh_accounts_to_a_run(
    settings: Settings, accounts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import block_types, blocks

    olist_files(tmp_path / "olist", scale=0.001, seed=6)
    own_s3 = blocks.s3_client(settings)
    admin = test_the_page_leads_from_two_fresh_accounts_to_a_run.admin  # type: ignore[attr-defined]
    plans: list[str] = []
    assert len(steps()) > 20
    for step, line in steps():
        if step not in range(2, 9) or line.startswith("prefect "):
            continue
        line = line.replace(".cxm/", f"{accounts}/").replace("CXM_PIPELINE_SVC", "CXM_PIPELINE_SVC_PAGE")
        line = line.replace("CXM_REPORTER_SVC", "CXM_REPORTER_SVC_PAGE")
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            if name != "PREFECT_API_URL":  # the running stack's
                said = subprocess.run(["sh", "-c", f"printf %s {value}"], capture_output=True, text=True, check=True)
                monkeypatch.setenv(name, said.stdout)
            continue
        line = line.replace("data/olist", str(tmp_path / "olist"))
        call = partial(CliRunner().invoke, main, shlex.split(line)[1:])
        with monkeypatch.context() as patched:
            if line.startswith("cxm run"):
                # Files have to be sent to where the emulated Snowflake reads, and dbt has to connect to that Snowflake.
                patched.setattr(blocks, "s3_client", lambda _: own_s3)
                patched.setattr(dbt, "dbt_environment", lambda s: {**dbt_environment(settings), **names(s)})
            result = enforced(call) if line == "cxm doctor" else call()
        assert result.exit_code == 0, f"{line}: {result.output} {result.exception!r}"
        if "keys create SETUP" in line:
            run(admin, re.findall(r"ALTER USER SETUP .*(?=;)", result.output)[0])
        if line.endswith("--plan"):
            plans.append(result.output)
        if line.endswith("--plan-role"):  # what the page says to paste, and the user that looks here
            for sql, _ in split_statements(StringIO(result.output), remove_comments=True):
                run(admin, sql or "SELECT 1")
            run(admin, "USE ROLE ACCOUNTADMIN")
            run(admin, "GRANT ROLE CXM_PLANNER_PAGE TO USER CXM_PIPELINE_SVC_PAGE")

    assert "aws s3api create-bucket" in plans[0]
    assert "CREATE STORAGE INTEGRATION IF NOT EXISTS CXM_S3_INTEGRATION_PAGE" in plans[0]
    assert "to create" not in plans[1]
    assert "to change" not in plans[1]
    *head, counts = plans[2].splitlines()
    assert head == [
        "-- Looked as CXM_PLANNER_PAGE.",
        "-- not visible to CXM_PLANNER_PAGE: storage integration CXM_S3_INTEGRATION_PAGE: "
        "ENABLED, STORAGE_AWS_ROLE_ARN, STORAGE_ALLOWED_LOCATIONS",
        "-- not visible to CXM_PLANNER_PAGE: role cxm-snowflake-landing-page: "
        "whom it trusts: DESC STORAGE INTEGRATION is refused",
    ]
    assert "to create" not in counts
    assert "to change" not in counts
    trust = boto3.client("iam").get_role(RoleName="cxm-snowflake-landing-page")["Role"]["AssumeRolePolicyDocument"]
    described = {r[0]: r[2] for r in run(admin, "DESC STORAGE INTEGRATION CXM_S3_INTEGRATION_PAGE").rows}
    assert trust["Statement"][0]["Principal"]["AWS"] == described["STORAGE_AWS_IAM_USER_ARN"]
    condition = trust["Statement"][0]["Condition"]["StringEquals"]
    assert condition["sts:ExternalId"] == described["STORAGE_AWS_EXTERNAL_ID"]
    kept = block_types.AwsCredentials.load("cxm", _sync=True)
    keys = boto3.client("iam").list_access_keys(UserName="cxm-medtech-ingestion-page")["AccessKeyMetadata"]
    assert [k["AccessKeyId"] for k in keys] == [kept.aws_access_key_id]
    assert kept.aws_secret_access_key.get_secret_value() not in "".join(plans)

    raw = "CXM_MEDTECH_PAGE.RAW"
    loaded = run(admin, f"SELECT COUNT(*), SUM(ROWS_LOADED) FROM {raw}.LOAD_LEDGER WHERE STATUS = 'validated'").rows
    assert loaded[0][0] == 9
    assert run(admin, f"SELECT COUNT(*) FROM {raw}.OLIST_ORDERS").rows[0][0] > 0
    copies = f"SELECT COPY_QUERY_ID FROM {raw}.LOAD_LEDGER"
    users = {r[0] for r in run(admin, f"SELECT USER_NAME FROM {HISTORY} WHERE QUERY_ID IN ({copies})").rows}
    assert users == {"CXM_PIPELINE_SVC_PAGE"}, "the run logged in as the service user, not as the administrator"


def names(settings: Settings) -> dict[str, str]:
    """Return the names that dbt is given in its environment."""
    return {
        "CXM_DATABASE": settings.database,
        "CXM_WAREHOUSE": settings.warehouse,
        "CXM_TRANSFORMER_ROLE": settings.transformer_role,
    }


def test_doctor_finds_a_provisioned_stack_in_order_and_names_the_fix_of_what_is_not(
    settings: Settings, query: Any
) -> None:
    from flows.contract.read import read_source, sources
    from flows.doctor import examine

    # Tables of other tests' contracts that the loader made and owns; those of the fault tests are provisioned, and used again.
    known = {"LOAD_LEDGER", "LOAD_LEASE", *(t.raw_name for name in sources() for t in read_source(name).tables)}
    tables = "SELECT TABLE_NAME, TABLE_OWNER FROM CXM_MEDTECH.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'RAW'"
    for name, owner in query(tables):
        if name not in known and owner == settings.loader_role:
            query(f"DROP TABLE CXM_MEDTECH.RAW.{name}", role="ACCOUNTADMIN")

    assert [(f.check, f.found) for f in examine(settings) if f.status == "fail"] == []

    query("GRANT INSERT ON TABLE CXM_MEDTECH.RAW.OLIST_ORDERS TO ROLE CXM_TRANSFORMER", role="SECURITYADMIN")
    query("REVOKE USAGE ON SCHEMA CXM_MEDTECH.RAW FROM ROLE CXM_LOADER", role="SECURITYADMIN")
    try:
        failed = {f.check: f for f in examine(settings) if f.status == "fail"}
    finally:
        query("REVOKE INSERT ON TABLE CXM_MEDTECH.RAW.OLIST_ORDERS FROM ROLE CXM_TRANSFORMER", role="SECURITYADMIN")
        query("GRANT USAGE ON SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_LOADER", role="SECURITYADMIN")

    wide = failed["CXM_TRANSFORMER has nothing more"]
    assert wide.fix == "REVOKE INSERT on TABLE CXM_MEDTECH.RAW.OLIST_ORDERS FROM ROLE CXM_TRANSFORMER"
    assert failed["CXM_LOADER has what it needs"].found == "USAGE on CXM_MEDTECH.RAW"
