"""The flows as a Prefect user sees them: registered, deployed, run by a worker, by hand and on a schedule."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.errors import ConfigurationError
from flows.settings import PROJECT, Settings
from tests.conftest import delete_deployments, hold_builds, olist_files, patient_api, run_flow, webhook

pytestmark = pytest.mark.xdist_group("flow")

WANTED = {
    "pipeline/olist",
    "pipeline/synthetic",
    "inbox/olist-inbox",
    "inbox/synthetic-inbox",
    "freshness/olist-freshness",
    "freshness/synthetic-freshness",
    "provision/provision",
    "undo/undo",
    "replay/replay",
    "backfill/backfill",
    "maintenance/maintenance",
    "dbt-build/dbt-build",
}


def prefect(*arguments: str, seconds: float = 240) -> subprocess.CompletedProcess[str]:
    """Run the `prefect` command as in a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[httpx.Client]:
    """The server's REST API."""
    with patient_api(settings) as client:
        yield client


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds small generated files in `olist/`, where the variable cxm_data points to."""

    folder = tmp_path_factory.mktemp("delivered")
    olist_files(folder / "olist", scale=0.001, seed=4712)
    return folder


@pytest.fixture(scope="module")
def deployed(settings: Settings, files: Path, api: httpx.Client) -> Iterator[Any]:
    """What `cxm blocks register` and `prefect --no-prompt deploy --all` leave on the server."""
    from flows import deployment

    first = deployment.register(settings.model_copy(update={"data": str(files)}))
    deployment.deploy()
    hold_builds(settings)
    yield first
    delete_deployments(settings)


@pytest.fixture(scope="module")
def worker(settings: Settings, deployed: Any) -> Iterator[None]:
    """The worker of `cxm up`, started and health-checked as the stack does it; it ends with the stack of this process."""
    from flows.embedded import stack
    from flows.embedded.supervisor import SERVICES, WORKER

    with stack.hold_servers(settings, [*SERVICES, WORKER]):
        yield


def snapshot(api: httpx.Client) -> dict[str, Any]:
    """Return every deployment by name: the fields that do not change by themselves, its schedules, its concurrency limit."""
    flows = {f["id"]: f["name"] for f in api.post("/flows/filter", json={}).json()}
    volatile = {"updated", "last_polled", "status", "concurrency_limit"}
    return {
        f"{flows[d['flow_id']]}/{d['name']}": {
            **{k: v for k, v in d.items() if k not in volatile | {"schedules", "global_concurrency_limit"}},
            "schedules": [{k: s[k] for k in ("id", "slug", "active", "schedule")} for s in d["schedules"]],
            "limit": d["global_concurrency_limit"]["limit"],
        }
        for d in api.post("/deployments/filter", json={}).json()
    }


def test_every_deployment_says_what_it_is_and_how_its_parameters_work(deployed: Any, api: httpx.Client) -> None:
    got = snapshot(api)
    assert set(got) == WANTED
    version = re.search(r'^version = "(.*)"', (PROJECT / "pyproject.toml").read_text(), re.M)
    assert version
    for name, deployment in got.items():
        assert deployment["description"], name
        assert "cxm" in deployment["tags"], name
        assert deployment["version"] == version[1], name
        assert deployment["limit"] == 1, name
        strategy = "CANCEL_NEW" if name.startswith("freshness/") else "ENQUEUE"
        assert deployment["concurrency_options"]["collision_strategy"] == strategy, name
        assert deployment["work_pool_name"] == "cxm-process", name
        logins = {"snowflake_block"} if name == "dbt-build/dbt-build" else {"aws_block", "snowflake_block"}
        assert logins <= set(deployment["parameters"]), name
        properties = deployment["parameter_openapi_schema"]["properties"]
        assert all(p.get("description") for p in properties.values()), name
        for schedule in deployment["schedules"]:
            assert schedule["slug"], name
    slugs = {name: [s["slug"] for s in d["schedules"]] for name, d in got.items()}
    by_hand = {"provision/provision", "undo/undo", "replay/replay", "backfill/backfill", "dbt-build/dbt-build"}
    assert {name for name, s in slugs.items() if not s} == by_hand


def test_deploying_twice_changes_nothing_and_a_paused_schedule_stays_paused(
    settings: Settings, deployed: Any, files: Path, api: httpx.Client
) -> None:
    from flows import deployment

    daily = snapshot(api)["pipeline/olist"]
    (schedule,) = daily["schedules"]
    api.patch(f"/deployments/{daily['id']}/schedules/{schedule['id']}", json={"active": False}).raise_for_status()
    before = snapshot(api)
    assert before["pipeline/olist"]["schedules"][0]["active"] is False

    again = deployment.register(settings.model_copy(update={"data": str(files)}))
    assert {r.action for r in again} == {"unchanged"}
    assert [(r.kind, r.name) for r in again] == [(r.kind, r.name) for r in deployed]
    done = prefect("--no-prompt", "deploy", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert snapshot(api) == before


def test_a_source_without_files_or_batches_is_not_scheduled_until_it_has_some(
    settings: Settings, deployed: Any, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import deployment

    monkeypatch.setattr(deployment.ledger, "batches", lambda *_, **__: [])
    for source in ("olist", "synthetic"):
        (tmp_path / source).mkdir()
    (tmp_path / "olist" / "olist_orders_dataset.csv").touch()
    here = settings.model_copy(update={"data": str(tmp_path)})

    def paused() -> set[str]:
        return {name for name, one in snapshot(api).items() if one["paused"]}

    by_user = snapshot(api)["freshness/olist-freshness"]["id"]
    api.patch(f"/deployments/{by_user}", json={"paused": True}).raise_for_status()
    try:
        assert deployment.hold_back(here) == ("synthetic",)
        waiting = {"pipeline/synthetic", "freshness/synthetic-freshness"}
        assert paused() == {*waiting, "freshness/olist-freshness"}
        (tmp_path / "synthetic" / "support_tickets_2018-03-01.csv").touch()
        assert deployment.hold_back(here) == ()
        assert paused() == {"freshness/olist-freshness"}, "what somebody paused in the UI stays paused"
    finally:
        api.patch(f"/deployments/{by_user}", json={"paused": False}).raise_for_status()


def test_registered_blocks_log_in_and_do_not_show_their_secrets(
    settings: Settings, deployed: Any, api: httpx.Client
) -> None:
    from flows import blocks

    named = Settings(aws_block="cxm", snowflake_block="cxm", home=settings.home)
    with blocks.snowflake(named, "SYSADMIN", {"step": "test"}) as connection:
        assert connection.cursor().execute("SELECT 1").fetchall() == [(1,)]
    blocks.s3_client(named).head_bucket(Bucket=settings.bucket)
    shown = json.dumps(api.post("/block_documents/filter", json={"include_secrets": False}).json())
    assert settings.s3_identity[1].get_secret_value() not in shown


def test_a_key_that_was_changed_in_its_block_reaches_a_process_that_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import block_types, blocks

    monkeypatch.setattr(block_types, "BLOCK_SECONDS", 0.0)
    own = settings.model_copy(update={"aws_block": "changed"})

    def saved(key: str) -> None:
        block = block_types.aws_credentials(settings)
        block.aws_access_key_id = key
        block.save("changed", overwrite=True, _sync=True)

    def used() -> str:
        client: Any = blocks.s3_client(own)
        return str(client._request_signer._credentials.access_key)

    saved("before")
    assert used() == "before"
    assert blocks.s3_client(own) is blocks.s3_client(own)
    saved("after")
    assert used() == "after"


def test_a_missing_block_is_named_with_the_fix(settings: Settings) -> None:
    with pytest.raises(Exception, match=r"snowflake-connector/nowhere: not found.*cxm blocks register"):
        run_flow("provision", snowflake_block="nowhere")


def run_by_hand(api: httpx.Client, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run `prefect deployment run … --watch`; return its exit status and the flow run."""
    done = prefect("deployment", "run", *arguments, "--watch", "--watch-timeout", "300", seconds=330)
    run_id = re.search(r"UUID: (\S+)", done.stdout)
    assert run_id, done.stdout + done.stderr
    return done.returncode, api.get(f"/flow_runs/{run_id[1]}").json()


def test_a_run_started_by_hand_completes_on_the_worker_and_reports_its_result(
    worker: None, api: httpx.Client, query: Callable[..., Any]
) -> None:
    code, run = run_by_hand(api, "pipeline/olist")
    assert (code, run["state"]["type"]) == (0, "COMPLETED"), run["state"]["message"]
    assert re.fullmatch(r"9 tables, [\d,]+ rows, 0 failed, fresh", run["state"]["message"])
    batch = re.fullmatch(r"olist-(\d{8}_\d{6})", run["name"])
    assert batch
    ledger = query(f"SELECT DISTINCT STATUS, FLOW_RUN_ID FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{batch[1]}'")
    # The category names are the same in every draw, and may be published already.
    assert {flow_run for _, flow_run in ledger} == {run["id"]}
    assert {status for status, _ in ledger} - {"skipped-unchanged"} == {"validated"}

    where = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}, "key": {"any_": ["olist-report"]}}}
    (report,) = api.post("/artifacts/filter", json=where).json()
    folder = f"raw/olist/olist_orders_dataset/{batch[1]}/"
    (query_id,) = query(
        f"SELECT COPY_QUERY_ID FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{batch[1]}' AND TABLE_NAME = 'OLIST_ORDERS'"
    )[0]
    for text in (folder, query_id, "/data_docs/index.html"):
        assert text in report["data"]


@pytest.mark.soak
def test_a_run_reads_a_bucket_and_needs_no_folder_of_the_machine(
    settings: Settings, worker: None, api: httpx.Client, tmp_path: Path, query: Callable[..., Any]
) -> None:
    """As in a container: the data folder of the worker's environment does not exist."""
    from flows import blocks
    from flows.doctor import places

    client = blocks.s3_client(settings)
    client.create_bucket(Bucket="clinic-exports")
    for path in olist_files(tmp_path / "olist", scale=0.001, seed=815).iterdir():
        client.upload_file(str(path), "clinic-exports", f"out/olist/{path.name}")
    where = "s3://clinic-exports/out/olist"
    nowhere = ("--job-variable", "env.CXM_DATA=/nowhere")
    code, run = run_by_hand(api, "pipeline/olist", "--param", f"data={where}", *nowhere)
    assert (code, run["state"]["type"]) == (0, "COMPLETED"), run["state"]["message"]
    batch = run["name"].removeprefix("olist-")
    loaded = query(
        f"SELECT ROWS_LOADED FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{batch}' AND TABLE_NAME = 'OLIST_ORDERS'"
    )
    with (tmp_path / "olist" / "olist_orders_dataset.csv").open() as file:
        assert loaded == [(sum(1 for _ in file) - 1,)]
    code, run = run_by_hand(api, "pipeline/olist", *nowhere)
    assert code != 0
    assert "/nowhere/olist/olist_orders_dataset.csv: no such file" in run["state"]["message"]

    got = places(settings.model_copy(update={"source_places": (where, "s3://clinic-exports/none", "s3://not-there/x")}))
    assert [(one.status, one.found) for one in got] == [
        ("ok", "9 files, readable"),
        ("ok", "0 files, readable"),
        ("fail", "s3://not-there: there is no such bucket"),
    ]


@pytest.mark.soak
def test_cxm_run_reads_an_archive_on_an_sftp_server_and_says_why_it_cannot(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from flows.cli import main
    from tests.sftp_server import SftpServer

    def run(place: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["run", "--json", "--data", place])
        return result.exit_code, result.output

    olist = olist_files(tmp_path / "olist", scale=0.001, seed=816)
    shutil.make_archive(str(tmp_path / "out" / "delivery"), "zip", olist.parent, "olist")
    server = SftpServer(tmp_path / "out")
    try:
        monkeypatch.setenv("CXM_SFTP_SECRET", server.private_key)
        code, said = run(server.address("delivery.zip"))
        assert (code, "Traceback" in said) == (2, False), said
        assert server.host_key.get_fingerprint() in said
        monkeypatch.setenv("CXM_SFTP_KNOWN_HOSTS", server.known_hosts)
        code, said = run(server.address("delivery.zip"))
        assert code == 0, said
        summary = json.loads(said)
        assert (len(summary["tables"]), {t["error"] for t in summary["tables"]}) == (9, {""})
        assert sum(t["rows_raw"] for t in summary["tables"]) == sum(t["rows_file"] for t in summary["tables"]) > 0
        # The folder in place of its only file: byte for byte what is published already.
        code, said = run(server.address())
        assert code == 0, said
        assert all(t["load"].startswith("unchanged since ") for t in json.loads(said)["tables"])
    finally:
        server.close()
    code, said = run("s3://not-there/olist")
    assert (code, "Traceback" in said) == (2, False), said
    assert "s3://not-there: there is no such bucket" in said


def test_the_key_of_an_sftp_server_comes_from_a_prefect_block(settings: Settings, tmp_path: Path) -> None:
    from prefect.blocks.system import Secret

    from flows import located
    from tests.sftp_server import SftpServer

    (tmp_path / "kits.csv").write_bytes(b"id\n1\n")
    server = SftpServer(tmp_path)
    try:
        Secret(value=server.private_key).save("clinic-sftp", overwrite=True, _sync=True)  # type: ignore[call-arg]
        own = Settings(home=settings.home, sftp_block="clinic-sftp", sftp_known_hosts=server.known_hosts)
        assert [entry.name for entry in located.place(own, server.address()).entries()] == ["kits.csv"]
        with pytest.raises(ConfigurationError, match=r"secret/nowhere: not found .*make it in the Prefect UI"):
            located.place(own.model_copy(update={"sftp_block": "nowhere"}), server.address())
    finally:
        server.close()


@pytest.mark.soak
def test_a_schedule_fires_by_itself(worker: None, deployed: Any, api: httpx.Client, olist_published: Path) -> None:
    freshness = snapshot(api)["freshness/olist-freshness"]
    soon = {"schedule": {"interval": 20.0}, "active": True, "slug": "soon"}
    answer = api.post(f"/deployments/{freshness['id']}/schedules", json=[soon]).raise_for_status().json()
    try:
        runs: list[dict[str, Any]] = []
        deadline = time.monotonic() + 240
        while not runs and time.monotonic() < deadline:
            time.sleep(1)
            expected = {
                "deployments": {"id": {"any_": [freshness["id"]]}},
                "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
            }
            runs = api.post("/flow_runs/filter", json=expected).json()
        assert runs, "no scheduled run ended within 240 s"
        assert runs[0]["auto_scheduled"]
        assert runs[0]["state"]["type"] == "COMPLETED", runs[0]["state"]["message"]
        assert runs[0]["state"]["message"] == "9 tables fresh"
    finally:
        api.delete(f"/deployments/{freshness['id']}/schedules/{answer[0]['id']}").raise_for_status()


@pytest.mark.soak
def test_two_runs_of_a_deployment_at_once_go_one_after_the_other(
    worker: None, deployed: Any, api: httpx.Client
) -> None:
    daily = snapshot(api)["pipeline/olist"]
    asked = []
    for _ in range(2):
        time.sleep(1.1)  # a batch id counts seconds, and a second run of the same second is refused
        answer = api.post(f"/deployments/{daily['id']}/create_flow_run", json={"state": {"type": "SCHEDULED"}})
        asked.append(answer.json()["id"])
    waited = False
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        runs = [api.get(f"/flow_runs/{one}").json() for one in asked]
        waited |= any(run["state"]["name"] == "AwaitingConcurrencySlot" for run in runs)
        if all(run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED") for run in runs):
            break
        time.sleep(0.5)
    assert [run["state"]["type"] for run in runs] == ["COMPLETED", "COMPLETED"], [r["state"]["message"] for r in runs]
    first, second = sorted(runs, key=lambda run: run["start_time"])
    assert waited, "no run waited for the other"
    assert second["start_time"] >= first["end_time"]


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[tuple[float, str]]]]:
    """The address of a webhook, and the messages that it has got."""
    with webhook() as received:
        yield received


@pytest.mark.soak
def test_a_quarantined_run_fails_with_its_reason_and_somebody_is_told(
    settings: Settings,
    worker: None,
    api: httpx.Client,
    files: Path,
    tmp_path: Path,
    inbox: tuple[str, list[tuple[float, str]]],
) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    from flows import automations

    url, got = inbox
    CustomWebhookNotificationBlock(name="test", url=url, json_data={"text": "{{subject}} {{body}}"}).save("cxm-test")
    with pytest.raises(ConfigurationError, match=r"slack-webhook/none: not found.*custom-webhook/cxm-test"):
        automations.apply(settings, "slack-webhook/none")
    assert {a.action for a in automations.apply(settings, "custom-webhook/cxm-test")} == {"created"}
    assert {a.action for a in automations.apply(settings, "custom-webhook/cxm-test")} == {"unchanged"}

    broken = tmp_path / "olist"
    shutil.copytree(files / "olist", broken)
    orders = broken / "olist_orders_dataset.csv"
    orders.write_bytes(orders.read_bytes().replace(b",delivered,", b",teleported,", 1))
    code, run = run_by_hand(api, "pipeline/olist", "--param", f"data={json.dumps(str(broken))}")
    assert (code, run["state"]["type"]) == (1, "FAILED")
    message = run["state"]["message"]
    assert re.match(r"batch \d{8}_\d{6} quarantined: 1 rules failed", message)
    assert "orders" in message
    assert "ORDER_STATUS" in message

    deadline = time.monotonic() + 180
    while not any(run["name"] in text for _, text in got) and time.monotonic() < deadline:
        time.sleep(0.5)
    message = next(text for _, text in got if run["name"] in text)
    assert "quarantined" in message
    assert run["id"] in message
