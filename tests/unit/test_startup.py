"""`cxm --help` answers at once: what takes seconds to import is imported by the commands that need it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SLOW = (
    "prefect",
    "great_expectations",
    "dbt",
    "snowflake.connector",
    "boto3",
    "duckdb",
    "fakesnow",
    "numpy",
    "pydantic",
)


def test_the_command_line_imports_nothing_slow() -> None:
    code = f"import sys, flows.cli; print(*(name for name in {SLOW!r} if name in sys.modules))"
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout.split() == []


def test_help_takes_less_than_three_tenths_of_a_second_of_one_core() -> None:
    """Processor time, which other work on the machine does not change much; the best of three, with bytecode compiled."""

    def once() -> float:
        before = os.times()
        subprocess.run(
            [sys.executable, "-c", "from flows.cli import main; main()", "--help"], capture_output=True, check=True
        )
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(once() for _ in range(3)) < 0.3


def imported(code: str, *names: str) -> list[str]:
    """Run `code` in a new process; return which of the modules it has imported."""
    code = f"import sys; {code}; print(*(name for name in {names!r} if name in sys.modules))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_a_query_needs_neither_prefect_nor_pandas() -> None:
    got = imported(
        "import flows.cli, flows.blocks, flows.embedded.stack", "prefect", "prefect_aws", "pandas", "numpy", "pyarrow"
    )
    assert got == []


def test_a_run_imports_no_block_of_prefect_aws_or_prefect_snowflake_that_nobody_named() -> None:
    got = imported(
        "import prefect, flows.pipeline, flows.admin_clients",
        "prefect_aws", "prefect_snowflake", "pandas", "great_expectations",
    )  # fmt: skip
    assert got == []


def test_pandas_can_be_imported_after_the_connector() -> None:
    code = "from flows.clients import connector; import pandas, great_expectations"
    assert imported(code, "pandas", "snowflake.connector") == ["pandas", "snowflake.connector"]


def test_blocks_are_made_without_importing_workers_which_can_be_imported() -> None:
    code = "from flows import deployment"
    assert imported(code, "prefect_aws", "prefect_snowflake", "snowflake.core", "aiohttp", "pandas") == [
        "prefect_aws", "prefect_snowflake",
    ]  # fmt: skip
    later = "from prefect_aws.workers.ecs_worker import ECSWorker; assert ECSWorker.type == 'ecs'"
    assert imported(f"{code}; {later}", "prefect_aws.workers") == ["prefect_aws.workers"]


def test_a_validation_imports_statistics_and_charts_when_a_rule_asks_for_them() -> None:
    code = "from flows.steps import validate; validate.load()"
    assert imported(code, "great_expectations", "altair", "scipy.stats") == ["great_expectations"]
    module = "great_expectations.expectations.core.expect_column_kl_divergence_to_be_less_than"
    asked = f"{code}; import {module} as rule; assert rule.stats.entropy([1.0]) == 0; assert rule.alt.Chart"
    assert imported(asked, "altair", "scipy.stats") == ["altair", "scipy.stats"]


def test_a_comparison_that_logs_in_with_a_block_begins_when_prefect_is_imported(tmp_path: Path) -> None:
    code = (
        "import flows.admin_clients as a; from flows.cli.app import looking; from flows.settings import Settings; "
        "from types import SimpleNamespace as Plan; "
        "a.plan = lambda settings: Plan(todo=(1,), late={'flows.block_types', 'flows.pipeline'} <= sys.modules.keys()); "
        f"looks = [looking(Settings(home={str(tmp_path)!r}, aws_block=b)).result().late for b in (None, 'planted')]; "
        "assert looks == [False, True], looks"
    )
    assert imported(code, "flows.block_types") == ["flows.block_types"]


def test_the_emulated_warehouse_leaves_no_temporary_folder(tmp_path: Path) -> None:
    code = "import flows.embedded.warehouse.execute.executor"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []
