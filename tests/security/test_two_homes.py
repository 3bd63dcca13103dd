"""Two homes on one machine: what `cxm env` prints in one of them never opens the warehouse of the other, even at its port."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.embedded import home_secrets
from flows.settings import PROJECT, Settings

TABLES = "SELECT * FROM CXM_MEDTECH.INFORMATION_SCHEMA.TABLES ORDER BY TABLE_SCHEMA, TABLE_NAME"
STATEMENTS = """SELECT COUNT(*) FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 10000))
WHERE USER_NAME IN ('CXM_TRANSFORMER_SVC', 'CXM_LOADER_SVC')"""


@pytest.fixture
def shell(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """The environment of a shell of home 2, whose ports home 1's servers have now."""
    two = Settings(home=tmp_path / "two")
    home_secrets.ensure(two)
    logins = {user: password.get_secret_value() for user, password in two.warehouse_logins.items()}
    return {
        **os.environ,
        "CXM_HOME": str(two.home),
        "CXM_TARGET": "embedded",
        "CXM_WAREHOUSE_HOST": "127.0.0.1",
        "CXM_WAREHOUSE_PORT": str(settings.stack["warehouse"]["port"]),
        "CXM_WAREHOUSE_PASSWORD": logins["CXM_TRANSFORMER_SVC"],
        "CXM_WAREHOUSE_LOADER_PASSWORD": logins["CXM_LOADER_SVC"],
    }


@pytest.mark.soak
def test_dbt_of_another_home_is_refused_and_changes_nothing(
    settings: Settings, shell: dict[str, str], tmp_path: Path, query: Callable[..., Any]
) -> None:
    tables, statements = query(TABLES), query(STATEMENTS, role="ACCOUNTADMIN")
    project = PROJECT / "dbt" / "cxm_medtech"
    written = ["--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "logs")]
    dbt = [sys.executable, "-c", "from dbt.cli.main import cli; cli(prog_name='dbt')", "build", "--select", "staging"]
    done = subprocess.run(
        [*dbt, "--profiles-dir", str(project), *written], cwd=project, env=shell, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert f"this warehouse belongs to {settings.home}" in " ".join(done.stdout.split())
    assert query(TABLES) == tables
    assert query(STATEMENTS, role="ACCOUNTADMIN") == statements


def test_great_expectations_of_another_home_is_refused_and_changes_nothing(
    settings: Settings, shell: dict[str, str], tmp_path: Path, query: Callable[..., Any]
) -> None:
    tables, statements = query(TABLES), query(STATEMENTS, role="ACCOUNTADMIN")
    copy = tmp_path / "expectations"
    shutil.copytree(PROJECT / "expectations", copy, ignore=shutil.ignore_patterns("uncommitted"))
    config = copy / "gx" / "great_expectations.yml"
    assert "port: 8088" in config.read_text(), "the project's own port is fixed"
    config.write_text(config.read_text().replace("port: 8088", f"port: {settings.stack['warehouse']['port']}"))
    checkpoint = (
        "import great_expectations as gx; from pathlib import Path; "
        f"context = gx.get_context(mode='file', project_root_dir=Path({str(copy)!r})); "
        "raise SystemExit(0 if context.checkpoints.get('raw_olist').run().success else 1)"
    )
    done = subprocess.run([sys.executable, "-c", checkpoint], env=shell, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"belongs to {settings.home}" in " ".join((done.stdout + done.stderr).split())

    assert query(TABLES) == tables
    assert query(STATEMENTS, role="ACCOUNTADMIN") == statements
