"""Chooses where tasks run: `CXM_TASK_RUNNER` → threads of the run's process, or the workers of a Dask cluster."""

from __future__ import annotations

from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from flows.settings import Settings

THREADS = 8  # tables and file parts that move at the same time


class ConfiguredTaskRunner(ThreadPoolTaskRunner[Any]):
    """The task runner of the flows' decorators: reads its setting when a run starts, not at import."""

    def __init__(self, max_workers: int = THREADS) -> None:
        super().__init__(max_workers=max_workers)

    def duplicate(self) -> Any:
        """Return the runner of one run. Workers of a remote scheduler need this project installed and the same CXM_ variables."""
        choice = Settings().task_runner
        if choice == "threads":
            return super().duplicate()
        from prefect_dask.task_runners import DaskTaskRunner  # takes a second to import

        if choice == "dask":
            return DaskTaskRunner(
                cluster_kwargs={"processes": True, "threads_per_worker": 4, "dashboard_address": None}
            )
        return DaskTaskRunner(address=choice)
