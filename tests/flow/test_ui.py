"""A run in the Prefect UI: logs, a telling name, failed task runs, the report first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.settings import PROJECT, Settings
from tests.conftest import prefect_login

pytestmark = pytest.mark.xdist_group("flow")


@pytest.fixture(scope="module")
def api(settings: Settings) -> httpx.Client:
    """The server's REST API."""
    return httpx.Client(base_url=settings.stack["prefect"]["api_url"], timeout=60, auth=prefect_login(settings))


def ask(api: httpx.Client, path: str, condition: Callable[[Any], bool], **body: Any) -> Any:
    """Ask the server until `condition` is true of its answer, for 30 s at most: logs and task runs arrive a moment late."""
    deadline = time.monotonic() + 30
    while True:
        answer = api.post(path, json=body).json()
        if condition(answer) or time.monotonic() > deadline:
            return answer
        time.sleep(0.3)


def test_a_run_from_a_terminal_has_in_the_ui_what_a_deployed_one_has(
    settings: Settings, api: httpx.Client, small: Path
) -> None:
    orders = small / "olist_orders_dataset.csv"
    orders.write_bytes(orders.read_bytes().replace(b",delivered,", b",teleported,", 1))
    before = {run["id"] for run in api.post("/flow_runs/filter", json={}).json()}
    environment = {n: v for n, v in os.environ.items() if n != "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("cxm")), "run", "--data", str(small), "--force", "--json"],
        cwd=PROJECT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    summary = json.loads(done.stdout)
    assert done.stderr == ""  # the logs are for the UI
    run_id = summary["flow_run_url"].rsplit("/", 1)[1]
    of_run = {"flow_run_id": {"any_": [run_id]}}

    # Nothing had to be provisioned, so the batch is the only new run in the list.
    assert {run["id"] for run in api.post("/flow_runs/filter", json={}).json()} - before == {run_id}

    lines = ask(api, "/logs/filter", lambda one: any("Finished in state Failed" in one["message"] for one in one),
                logs=of_run, limit=200)  # fmt: skip
    said = "\n".join(line["message"] for line in lines)
    assert "rows in RAW.OLIST_ORDERS, loaded, COPY query" in said
    assert "quarantined: 1 rules failed" in said

    tasks = ask(api, "/task_runs/filter", lambda one: one and all(t["state_type"] in ("COMPLETED", "FAILED") for t in one),
                flow_runs={"id": {"any_": [run_id]}})  # fmt: skip
    states = {task["name"]: task["state"]["type"] for task in tasks}
    assert states.pop(f"validate {summary['batch_id']}") == "FAILED"
    assert set(states.values()) == {"COMPLETED"}
    (validate,) = (task for task in tasks if task["name"].startswith("validate"))
    assert validate["state"]["message"] == "rules of error severity are broken: orders"

    # Beside its report the run's page has only a table for each step; the log, with which the page opens, names the report.
    artifacts = {one["key"]: one for one in api.post("/artifacts/filter", json={"artifacts": of_run}).json()}
    assert set(artifacts) == {"olist-report", "olist-land", "olist-load", "olist-validation", "olist-broken-rows"}
    # The page lists the run's own artifacts first, then those of its tasks; the report is the only one of the run's own.
    assert [key for key, one in artifacts.items() if one["task_run_id"] is None] == ["olist-report"]
    assert artifacts["olist-report"]["description"].startswith("The report. Quarantined: 9 tables, ")
    assert "**Quarantined**" in artifacts["olist-report"]["data"]
    assert "the report is under Artifacts, olist-report" in said
    for step in ("land", "load", "validation"):
        first, *_ = json.loads(artifacts[f"olist-{step}"]["data"])
        assert list(first)[:3] == ["table", "rows", "status"]


@pytest.mark.parametrize(("given", "named"), [("month end again", "month end again"), (None, "undo-20200101_000000")])
def test_a_name_typed_for_a_run_is_kept_and_a_drawn_one_makes_way(
    settings: Settings, api: httpx.Client, given: str | None, named: str
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow

    from flows.operations import undo

    parameters = {"batch": "20200101_000000", "source": "olist", "aws_block": None, "snowflake_block": None}
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(undo, parameters=parameters, name=given)
    run_flow(undo, flow_run=run, parameters=parameters)
    assert api.get(f"/flow_runs/{run.id}").json()["name"] == named


@pytest.fixture
def automations(api: httpx.Client) -> Iterator[None]:
    """Delete the automations after the test, or they would fire during later tests."""
    yield
    for left in api.post("/automations/filter", json={}).json():
        api.delete(f"/automations/{left['id']}")


def test_automations_work_without_a_block_and_keep_the_actions_chosen_in_the_ui(
    settings: Settings, api: httpx.Client, automations: None
) -> None:
    from flows.automations import apply

    assert {one.action for one in apply(settings, None)} == {"created"}
    assert {one.action for one in apply(settings, None)} == {"unchanged"}
    every = api.post("/automations/filter", json={}).json()
    made = {one["name"]: one for one in every if one["name"].startswith("cxm: ")}
    assert set(made) == {
        f"cxm: {what}"
        for what in ("a run failed", "a source is stale", "a run did not start", "a run does not end", "a run died")
    }
    for name, one in made.items():
        assert "`" not in one["description"], "a reader in the UI has no shell at hand"
        says_how = "choose Edit" in one["description"]
        assert says_how == (one["actions"][0]["type"] == "do-nothing"), name

    chosen = made["cxm: a run failed"]
    body = {key: chosen[key] for key in ("name", "description", "enabled", "trigger")}
    body |= {"actions": [{"type": "pause-work-pool", "source": "inferred"}], "enabled": False}
    api.put(f"/automations/{chosen['id']}", json=body).raise_for_status()
    apply(settings, None)
    after = api.get(f"/automations/{chosen['id']}").json()
    assert after["actions"][0]["type"] == "pause-work-pool"
    assert after["enabled"] is False
    assert {one.action for one in apply(settings, None)} == {"unchanged"}


@pytest.mark.soak
def test_a_run_whose_process_died_is_called_crashed_and_a_run_that_ended_is_not(
    settings: Settings, api: httpx.Client, automations: None
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.events import emit_event
    from prefect.events.worker import EventsWorker
    from prefect.states import Completed, Pending, Running

    from flows.automations import expected
    from flows.operations import undo

    died = expected(None, silence=timedelta(seconds=10))[-1]
    with get_client(sync_client=True) as client:
        client.create_automation(died)
        time.sleep(1)
        runs = [client.create_flow_run(undo, parameters={"batch": "20200101_000000"}, tags=["cxm"]) for _ in range(3)]
        client.set_flow_run_state(runs[2].id, Pending(), force=True)  # taken by a worker that died with it at once
        for run in runs[:2]:
            client.set_flow_run_state(run.id, Running(), force=True)
            emit_event(
                "prefect.flow-run.heartbeat",
                resource={"prefect.resource.id": f"prefect.flow-run.{run.id}"},
                related=[{"prefect.resource.id": "prefect.tag.cxm", "prefect.resource.role": "tag"}],
            )
        EventsWorker.drain_all(timeout=10)
        time.sleep(1)
        client.set_flow_run_state(runs[1].id, Completed(), force=True)
    deadline = time.monotonic() + 60
    while True:
        dead, ended, unborn = (api.get(f"/flow_runs/{run.id}").json()["state"] for run in runs)
        if dead["type"] == unborn["type"] == "CRASHED" or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert (dead["type"], unborn["type"]) == ("CRASHED", "CRASHED")
    assert "no sign of life" in dead["message"]
    assert ended["type"] == "COMPLETED"


def test_a_crashed_run_is_started_again_with_its_parameters_as_often_as_the_setting_says(
    settings: Settings, api: httpx.Client, automations: None
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    from flows.automations import RESTART, apply
    from flows.pipeline import pipeline

    on = settings.model_copy(update={"restarts_per_hour": 2, "lease_minutes": 1.0})
    assert {one.name for one in apply(settings, None)}.isdisjoint({RESTART})
    assert [(one.name, one.action) for one in apply(on, None) if one.action != "unchanged"] == [(RESTART, "created")]
    assert {one.action for one in apply(on, None)} == {"unchanged"}
    given = {"source": "olist", "data": 's3://exports/it\'s {{ here }} "now"', "day": None, "force": True}
    with get_client(sync_client=True) as client:
        made = [
            client.create_deployment(
                client.create_flow(one), name="restarted", tags=["cxm"], enforce_parameter_schema=False
            )
            for one in (pipeline, pipeline.with_options(name="undo"))
        ]
        try:
            ran = [client.create_flow_run_from_deployment(one, parameters=given) for one in (made[0], made[0], made[1])]
            for run in ran:
                client.set_flow_run_state(run.id, Crashed(), force=True)
            of_them = {"id": {"any_": [str(one) for one in made]}}
            ask(api, "/flow_runs/filter", lambda one: len(one) > 3, deployments=of_them)
            time.sleep(2)  # for one that should not come
            again = api.post("/flow_runs/filter", json={"deployments": of_them}).json()
            (new,) = [run for run in again if run["id"] not in {str(run.id) for run in ran}]
            assert (new["deployment_id"], new["parameters"]) == (str(made[0]), given)
            due = datetime.fromisoformat(new["expected_start_time"]) - datetime.now(UTC)
            assert (new["state"]["type"], 20 < due.total_seconds() < 60) == ("SCHEDULED", True), "after the lease"
        finally:
            for one in made:
                client.delete_deployment(one)
    assert [(one.name, one.action) for one in apply(settings, None) if one.action != "unchanged"] == [
        (RESTART, "removed")
    ]
