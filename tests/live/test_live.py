"""A real AWS and a real Snowflake account: provision a test environment, run a batch twice, take everything down again.

    CXM_LIVE=yes CXM_ENV=live CXM_TARGET=snowflake CXM_SNOWFLAKE_ACCOUNT=… CXM_SNOWFLAKE_USER=… \\
    CXM_SNOWFLAKE_PRIVATE_KEY="$(cat key.p8)" .venv/bin/pytest tests/live

AWS logs in with the SDK's own chain; both identities are administrators (architecture/deployment/README.md, steps 1 to 3).
It costs a few minutes of an X-Small warehouse. Nothing runs unless CXM_LIVE is set, and never in production's names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not os.environ.get("CXM_LIVE"), reason="a real account, opt-in: set CXM_LIVE=yes")


def cxm(*arguments: str, allow: tuple[int, ...] = (0,)) -> Any:
    """Run a `cxm … --json` command and return its document; fail with its output."""
    command = [str(Path(sys.executable).with_name("cxm")), *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in allow, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def environment() -> Iterator[str]:
    """A test environment, provisioned, and deleted afterwards however the tests end."""
    name = os.environ.get("CXM_ENV", "prod")
    assert name != "prod", "CXM_ENV: got prod, expected the name of a test environment, e.g. live"
    try:
        cxm("provision", "--apply")
        yield name
    finally:
        from flows.settings import Settings

        settings = Settings()
        data = ("--drop-with-data", settings.database, "--drop-with-data", settings.bucket)
        cxm("provision", "--destroy", "--apply", *data)


def test_a_second_plan_is_empty(environment: str) -> None:
    assert cxm("provision", "--plan")["changes"] == []


def test_a_role_that_may_only_look_sees_what_the_administrator_sees(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import admin_clients
    from flows.clients.snowflake import run
    from flows.settings import Settings

    monkeypatch.setenv("CXM_PLAN_ROLE", "CXM_PLANNER")
    settings = Settings()
    sql = cxm("provision", "--plan-role")["sql"]
    with admin_clients.connection(admin_clients.administrator(settings)) as connection:
        for cursor in connection.execute_string(sql, remove_comments=True):
            cursor.close()
        run(connection, f"GRANT ROLE {settings.plan_role} TO USER {connection.user}")
        try:
            looked = cxm("provision", "--plan")
        finally:
            run(connection, f"DROP ROLE {settings.plan_role}")

    assert (looked["looked_as"], looked["changes"]) == (settings.plan_role, [])


def test_a_batch_goes_through_and_its_rerun_changes_nothing(environment: str, sample: Path) -> None:
    first = cxm("run", "--data", str(sample))
    second = cxm("run", "--data", str(sample))

    assert all(table["rows_file"] == table["rows_raw"] > 0 for table in first["tables"])
    assert all(table["load"].startswith("unchanged") for table in second["tables"])


def test_two_sources_that_load_at_once_are_both_published(environment: str, sample: Path, tmp_path: Path) -> None:
    from flows.synthetic.medtech import generate
    from flows.synthetic.shipments import read_shipments

    day = date(2018, 4, 11)
    generate(tmp_path, read_shipments(sample), day, day, scale=0.05)
    command = [str(Path(sys.executable).with_name("cxm")), "run", "--json"]
    runs = [
        subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for more in (
            ["--data", str(sample), "--force"],
            ["--source", "synthetic", "--data", str(tmp_path), "--from", str(day), "--to", str(day)],
        )
    ]
    outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs


def test_doctor_finds_the_accounts_in_order(environment: str) -> None:
    got = {one["check"]: one for one in cxm("doctor", allow=(0, 2))}
    mine = ("AWS identity", "may nothing else in AWS")  # an administrator runs these tests

    assert [c for c, one in got.items() if one["status"] == "fail" and c not in mine] == []


@pytest.mark.parametrize("wrong", ["key", "role", "user", "account"])
def test_a_login_that_is_wrong_ends_at_once_with_its_fix(
    environment: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import blocks
    from flows.cli.keys import key_pair
    from flows.errors import ConfigurationError
    from flows.settings import Settings

    if wrong == "key":
        monkeypatch.setenv("CXM_SNOWFLAKE_PRIVATE_KEY", key_pair("other")[0])
        monkeypatch.setenv("CXM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "other")
    elif wrong != "role":
        monkeypatch.setenv(f"CXM_SNOWFLAKE_{wrong.upper()}", "CXM-NOBODY")
    role = "CXM_NO_SUCH_ROLE" if wrong == "role" else Settings().loader_role
    with pytest.raises(ConfigurationError, match="login"), blocks.snowflake(Settings(), role, {"step": "test"}):
        pass
