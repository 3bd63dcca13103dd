"""Prefect builds the marts by itself after a published batch and after an undo, and not after a quarantined batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.marts import BuildError
from flows.run import PipelineError
from flows.settings import Settings
from tests.conftest import delete_deployments, hold_builds, olist_files, prefect_login, run_flow

pytestmark = pytest.mark.xdist_group("flow")

Query = Callable[..., list[tuple[Any, ...]]]
# Two nodes whose tests read no other node.
MODEL, SEED = "stg_olist__postal_area_locations", "brazilian_states"
CHOSEN = f"{MODEL} {SEED}"
ENDED = {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}}


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[httpx.Client]:
    """The server's REST API."""
    url, alone = settings.stack["prefect"]["api_url"], {"Connection": "close"}  # minutes go by between two requests
    with httpx.Client(base_url=url, timeout=300, auth=prefect_login(settings), headers=alone) as client:
        yield client


@pytest.fixture(scope="module")
def published(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small files that are published."""
    directory = tmp_path_factory.mktemp("marts") / "olist"
    olist_files(directory, scale=0.002, seed=7210)
    run_flow("pipeline", source="olist", data=str(directory), force=True)
    return directory


@pytest.fixture(scope="module")
def worker(settings: Settings, api: httpx.Client) -> Iterator[None]:
    """The deployments with their trigger, and a worker."""
    from flows import deployment
    from flows.embedded import stack
    from flows.embedded.supervisor import SERVICES, WORKER

    deployment.register(settings)
    deployment.deploy()
    with stack.hold_servers(settings, [*SERVICES, WORKER]):
        yield
    delete_deployments(settings)


def builds(api: httpx.Client, only: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the runs of dbt-build that a deployment started, the newest first."""
    where = {"flows": {"name": {"any_": ["dbt-build"]}}, "sort": "START_TIME_DESC", "flow_runs": only or {}}
    return [run for run in api.post("/flow_runs/filter", json=where).json() if run["deployment_id"]]


def wait_for_builds(api: httpx.Client, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 600  # one took 238 s on two cores that three other stacks shared
    while len(result := builds(api, ENDED)) < count and time.monotonic() < deadline:
        time.sleep(1)
    assert len(result) == count, [(one["name"], one["parameters"], one["state"]) for one in builds(api)]
    return result


def task_runs(api: httpx.Client, name: str) -> dict[str, dict[str, Any]]:
    """Return the task runs of the newest flow run of this name, by name."""
    run = api.post("/flow_runs/filter", json={"flow_runs": {"name": {"any_": [name]}}}).json()[0]
    where = {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}}
    return {one["name"]: one for one in api.post("/task_runs/filter", json=where).json()}


def newest_name(api: httpx.Client) -> str:
    where = {"flows": {"name": {"any_": ["dbt-build"]}}, "sort": "START_TIME_DESC", "limit": 1}
    return str(api.post("/flow_runs/filter", json=where).json()[0]["name"])


@pytest.mark.soak
def test_each_node_is_a_task_run_with_its_log_and_a_failed_one_is_tried_alone(
    published: Path, api: httpx.Client, query: Query, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import marts

    monkeypatch.setattr(marts, "RETRY_SECONDS", 0.1)
    first = run_flow("dbt_build", select=CHOSEN)
    assert first.failed == 0
    assert {n.name for n in first.nodes if n.kind in ("model", "seed")} == {MODEL, SEED}
    runs = task_runs(api, newest_name(api))
    assert runs[f"model {MODEL}"]["state"]["type"] == "COMPLETED"
    assert len(runs) == len(first.nodes)
    where = {"logs": {"task_run_id": {"any_": [runs[f"model {MODEL}"]["id"]]}}}
    deadline = time.monotonic() + 60
    while not any("OK created" in log["message"] for log in api.post("/logs/filter", json=where).json()):
        assert time.monotonic() < deadline
        time.sleep(0.5)

    # The model's table is renamed away: its view cannot be made, the seed still is.
    query("ALTER TABLE RAW.OLIST_GEOLOCATION RENAME TO RAW.GEOLOCATION_AWAY")
    try:
        with pytest.raises(BuildError, match=rf"model {MODEL}: .*OLIST_GEOLOCATION") as failed:
            run_flow("dbt_build", select=CHOSEN)
    finally:
        query("ALTER TABLE RAW.GEOLOCATION_AWAY RENAME TO RAW.OLIST_GEOLOCATION")
    outcomes = {n.name: n.outcome for n in failed.value.result.nodes if n.kind in ("model", "seed")}
    assert outcomes == {MODEL: "error", SEED: "pass"}
    assert {n.outcome for n in failed.value.result.nodes if MODEL in n.name and n.kind == "test"} == {"skip"}
    runs = task_runs(api, newest_name(api))
    assert runs[f"model {MODEL}"]["state"]["type"] == "FAILED"
    assert {one["state"]["name"] for title, one in runs.items() if title.startswith("test") and MODEL in title} == {
        "Skipped"
    }

    again = run_flow("dbt_build", retry=True)
    assert again.failed == 0
    names = {n.name for n in again.nodes}
    assert MODEL in names
    assert SEED not in names


@pytest.mark.soak
def test_a_published_batch_and_an_undo_are_followed_by_a_build_and_a_quarantined_one_is_not(
    published: Path, without_days: None, worker: None, api: httpx.Client, query: Query, settings: Settings
) -> None:
    """The fixture `worker` creates the trigger only now, so that events of earlier tests do not fire it."""
    begun = len(builds(api))
    sellers = published / "olist_sellers_dataset.csv"
    good = sellers.read_bytes()
    accounts = len(good.splitlines())
    sellers.write_bytes(good + b'"%s","01001","sao paulo","SP"\n' % (b"d" * 32))
    batch = run_flow("pipeline", source="olist", data=str(published)).batch_id
    built = wait_for_builds(api, begun + 1)[0]
    assert built["state"]["type"] == "COMPLETED", built["state"]["message"]
    assert built["parameters"]["source"] == "olist"
    # MARTS has an unknown account for shipments without one.
    rows = query("SELECT COUNT(*) FROM STG.STG_OLIST__ACCOUNTS")[0][0]
    marts = query("SELECT COUNT(*) FROM MARTS.DIM_ACCOUNTS")[0][0]
    assert rows == accounts

    sellers.write_bytes(good + b'"%s","01001","sao paulo","SP"\n' % (b"d" * 32) * 2)  # a key twice
    with pytest.raises(PipelineError, match="quarantined"):
        run_flow("pipeline", source="olist", data=str(published))
    run_flow("undo", batch=batch, source="olist")
    undone = wait_for_builds(api, begun + 2)[0]
    assert undone["state"]["type"] == "COMPLETED", undone["state"]["message"]
    assert query("SELECT COUNT(*) FROM MARTS.DIM_ACCOUNTS")[0][0] == marts - 1
    time.sleep(5)
    assert len(builds(api)) == begun + 2  # none for the quarantined batch
    hold_builds(settings)
