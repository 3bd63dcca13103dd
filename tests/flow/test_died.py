"""After `kill -9` of a deployed run, or of its worker too, it is Crashed, somebody is notified, and the next run loads it all.

The test starts its own worker, as a system service would, with its own work pool: earlier tests may have left the stack's worker
running, which would take the runs of the usual pool. In production a run is declared dead nine minutes after its last heartbeat
(one every three minutes); here after forty seconds (one every thirty).
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows.contract.read import read_source
from flows.settings import PROJECT, Settings
from tests.conftest import delete_deployments, hold_builds, olist_files, patient_api, webhook
from tests.faults import batch

pytestmark = [pytest.mark.xdist_group("flow"), pytest.mark.soak]
log = logging.getLogger(__name__)  # how long it took: `pytest -o log_cli_level=INFO -o log_cli=true`
POOL = "cxm-died"
SILENCE = timedelta(seconds=40)


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[httpx.Client]:
    """The server's REST API."""
    with patient_api(settings) as client:
        yield client


@pytest.fixture
def messages(settings: Settings, api: httpx.Client) -> Iterator[list[tuple[float, str]]]:
    """The deployments, and automations that call a webhook: its messages, each with its time and text."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.client.orchestration import get_client

    from flows import automations, deployment

    with webhook() as (url, got):
        block = CustomWebhookNotificationBlock(name="died", url=url, json_data={"text": "{{subject}} {{body}}"})
        block_id = block.save("cxm-died", overwrite=True, _sync=True)
        deployment.register(settings)
        deployment.deploy()
        hold_builds(settings)
        pool = {key: api.get("/work_pools/cxm-process").json()[key] for key in ("type", "base_job_template")}
        api.post("/work_pools/", json={"name": POOL, **pool}).raise_for_status()
        daily = api.get("/deployments/name/pipeline/olist").json()["id"]
        api.patch(f"/deployments/{daily}", json={"work_pool_name": POOL}).raise_for_status()
        with get_client(sync_client=True) as client:
            for one in automations.expected(block_id, silence=SILENCE):
                client.create_automation(one)
        yield got
        delete_deployments(settings)
    api.delete(f"/work_pools/{POOL}")


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[[], psutil.Process]]:
    """`start_worker()` starts a worker; at the test's end it is killed, with its runs."""
    started: list[psutil.Process] = []

    def start() -> psutil.Process:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
        environment = {**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
        with (tmp_path / f"worker-{len(started)}.log").open("w") as log:
            worker = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
        started.append(psutil.Process(worker.pid))
        return started[-1]

    yield start
    for worker in started:
        if worker.is_running():
            kill(*worker.children(recursive=True), worker)


def kill(*processes: psutil.Process) -> None:
    """Send SIGKILL to the processes and wait for them."""
    for one in processes:
        one.kill()
    psutil.wait_procs(processes, timeout=10)


def test_a_run_and_a_worker_killed_outright_are_seen_and_the_next_run_is_whole(
    settings: Settings,
    api: httpx.Client,
    messages: list[tuple[float, str]],
    start_worker: Callable[[], psutil.Process],
    tmp_path: Path,
) -> None:
    olist = read_source("olist")
    files = olist_files(tmp_path / "olist", scale=0.001, seed=7711)
    deployment = api.get("/deployments/name/pipeline/olist").json()["id"]

    def started() -> str:
        body = {"parameters": {"data": str(files)}, "enforce_parameter_schema": False}
        return str(api.post(f"/deployments/{deployment}/create_flow_run", json=body).raise_for_status().json()["id"])

    def state(run: str) -> dict[str, Any]:
        got: dict[str, Any] = api.get(f"/flow_runs/{run}").json()["state"]
        return got

    def is_loading(run: str) -> bool:
        tasks = api.post("/task_runs/filter", json={"flow_runs": {"id": {"any_": [run]}}}).json()
        return any(task["name"].startswith("load") for task in tasks)

    def wait(what: Callable[[], Any], seconds: float) -> float:
        began = time.monotonic()
        while not (got := what()):
            assert time.monotonic() - began < seconds, (messages, [state(run) for run in runs])
            time.sleep(0.2)
        return got if isinstance(got, float) else time.monotonic()

    def notified(run: str) -> float:
        name = api.get(f"/flow_runs/{run}").json()["name"]
        return next((at for at, text in messages if name in text and "Crashed" in text), 0.0)

    worker = start_worker()
    runs = [started()]
    wait(lambda: is_loading(runs[0]), 120)
    kill(*worker.children(recursive=True))
    killed = time.monotonic()
    crashed = wait(lambda: state(runs[0])["type"] == "CRASHED", 60)
    heard = wait(lambda: notified(runs[0]), 60)
    log.info("run killed: Crashed after %.1f s, reported after %.1f s", crashed - killed, heard - killed)

    runs.append(started())
    wait(lambda: is_loading(runs[1]), 120)
    kill(*worker.children(recursive=True), worker)
    killed = time.monotonic()
    limit = SILENCE.total_seconds() + 60
    crashed = wait(lambda: state(runs[1])["type"] == "CRASHED", limit)
    heard = wait(lambda: notified(runs[1]), 60)
    log.info("worker killed too: Crashed after %.1f s, reported after %.1f s", crashed - killed, heard - killed)
    assert "no sign of life" in state(runs[1])["message"]

    start_worker()
    runs.append(started())
    wait(lambda: state(runs[2])["type"] in ("COMPLETED", "FAILED", "CRASHED"), 180)
    assert state(runs[2])["type"] == "COMPLETED", state(runs[2])
    assert batch.published_rows(settings, olist) == batch.read_files(files, olist)
