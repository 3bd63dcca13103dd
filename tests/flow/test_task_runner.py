"""The same flow, its tables spread over the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.errors import DataError
from flows.settings import Settings

pytestmark = pytest.mark.xdist_group("flow")


def imported_tasks() -> bool:
    """Return whether this process has run a task of ours: only a task that arrives imports the module."""
    import sys

    return "flows.tasks" in sys.modules


@pytest.mark.soak
def test_a_batch_loads_on_two_worker_processes_of_a_dask_cluster(
    settings: Settings,
    small: Path,
    run_pipeline: Callable[..., Any],
    query: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        assert set(client.run(imported_tasks).values()) == {False}
        monkeypatch.setenv("CXM_TASK_RUNNER", cluster.scheduler_address)
        summary = run_pipeline(small, force=True)
        assert list(client.run(imported_tasks).values()) == [True, True]
        assert summary.published
        assert {t.load for t in summary.tables} == {"loaded"}
        rows = query(f"SELECT SUM(ROWS_LOADED) FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{summary.batch_id}'")
        assert rows == [(sum(t.rows_file for t in summary.tables),)]

        (small / "olist_sellers_dataset.csv").unlink()
        with pytest.raises(Exception, match="1 of 9 tables failed") as caught:
            run_pipeline(small)
        assert caught.value.exit_code in (2, DataError.exit_code)  # type: ignore[attr-defined]


def test_a_task_runner_that_is_none_is_refused_with_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXM_TASK_RUNNER", "ray")
    with pytest.raises(ValueError, match="threads"):
        Settings()
