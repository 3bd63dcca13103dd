"""A table is as old as its last delivery, as `dbt source freshness` reports it; the tests move the ledger's times back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.cli import main
from flows.errors import StaleError
from flows.settings import Settings
from tests.conftest import olist_files, run_flow

pytestmark = pytest.mark.xdist_group("flow")


def pass_hours(query: Callable[..., Any], hours: int) -> None:
    """Let `hours` pass: move the times in the ledger and RAW back by that much."""
    query(
        f"UPDATE RAW.LOAD_LEDGER SET STARTED_AT = DATEADD('hour', -{hours}, STARTED_AT), "
        f"FINISHED_AT = DATEADD('hour', -{hours}, FINISHED_AT) WHERE SOURCE = 'olist'"
    )
    query(f"UPDATE RAW.OLIST_ORDERS SET _LOAD_TIMESTAMP = DATEADD('hour', -{hours}, _LOAD_TIMESTAMP)")


@pytest.mark.soak
def test_files_that_arrive_unchanged_for_five_days_are_fresh_and_none_at_all_is_late(
    settings: Settings, query: Callable[..., Any], tmp_path: Path
) -> None:
    data = olist_files(tmp_path / "olist", scale=0.001, seed=515)
    run_flow("pipeline", data=str(data), force=True)
    for _ in range(5):
        pass_hours(query, 24)
        run = run_flow("pipeline", data=str(data))
        assert run.unchanged
        assert {t.freshness for t in run.tables} == {"pass"}

    pass_hours(query, 30)
    got = run_flow("freshness")
    assert {one.status for one in got} == {"warn"}, "26 hours are the contract's warning"
    pass_hours(query, 21)
    with pytest.raises(StaleError, match=r"stale: .*orders \(error\).*the last delivery is longer ago"):
        run_flow("freshness")
    answer = CliRunner().invoke(main, ["freshness", "--json"])
    assert answer.exit_code == 4
    assert {one["status"] for one in json.loads(answer.stdout)} == {"error"}
    assert all(51 * 3600 <= one["age_seconds"] < 52 * 3600 for one in json.loads(answer.stdout))

    run = run_flow("pipeline", data=str(data))
    assert {t.freshness for t in run.tables} == {"pass"}, "the next delivery is one, though it is unchanged"
