"""`inbox` on the running stack: a complete set of files starts one run, also after kills; published files are moved."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from flows.cli import main
from flows.errors import ConfigurationError
from flows.settings import Settings

pytestmark = pytest.mark.xdist_group("flow")
SELLERS = "olist_sellers_dataset.csv"

# A look killed by SIGKILL: before it asks for the run, or after the server has created the run and before that is noted.
KILLED = """
import os, signal, sys
from flows import inbox
real = inbox._start_run
def dies(*arguments):
    if sys.argv[2] == "after":
        real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
inbox._start_run = dies
inbox.inbox(source="olist", data=sys.argv[1], settle_seconds=0)
"""


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[Any]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as result:
        yield result


@pytest.fixture(scope="module")
def deployment(client: Any) -> Iterator[UUID]:
    """`pipeline/olist`, as `prefect deploy` makes it, without a pool: the tests start its runs."""
    from flows.pipeline import pipeline

    flow_id = client.create_flow(pipeline)
    made = client.create_deployment(
        flow_id, "olist", entrypoint="flows.pipeline.pipeline", parameters={"source": "olist"}
    )
    yield made
    client.delete_deployment(made)


@pytest.fixture
def looked(settings: Settings, deployment: UUID) -> Iterator[Callable[..., Any]]:
    """`looked(folder, **options)` → the result of one look; what the looks remember is deleted after the test."""
    from prefect.variables import Variable

    from flows.inbox import inbox

    yield lambda folder, **options: inbox(source="olist", data=str(folder), **{"settle_seconds": 0, **options})
    Variable.unset("cxm_inbox_olist")


def runs(client: Any, deployment: UUID) -> list[Any]:
    """Return the deployment's runs that have not begun."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

    result = client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])))
    return [run for run in result if run.state and run.state.is_scheduled()]


def execute(run: Any) -> None:
    """Execute the flow run in this process."""
    from prefect.flow_engine import run_flow

    from flows.pipeline import pipeline

    run_flow(pipeline, flow_run=run, parameters=dict(run.parameters), return_type="state")


def test_a_set_starts_one_run_over_kills_before_and_after_the_start(
    looked: Callable[..., Any], client: Any, deployment: UUID, small: Path
) -> None:
    late = (small / SELLERS).rename(small.parent / SELLERS)
    assert [(one.status, one.summary) for one in looked(small)] == [("waits", f"waits for {SELLERS}")]
    late.rename(small / SELLERS)
    assert "settles" in looked(small, settle_seconds=60)[0].summary
    for moment in ("before", "after"):
        dead = subprocess.run(
            [sys.executable, "-c", KILLED, str(small), moment], check=False, capture_output=True, env=os.environ
        )
        assert dead.returncode == -signal.SIGKILL, dead.stderr
        assert len(runs(client, deployment)) == (moment == "after")
    (one,) = looked(small)
    (run,) = runs(client, deployment)
    assert one.status == "started"
    assert str(run.id) in one.run
    assert run.parameters["data"] == str(small)
    by_hand = CliRunner().invoke(main, ["inbox", "--data", str(small), "--settle", "0", "--json"])
    assert [one["summary"] for one in json.loads(by_hand.stdout)] == [f"its run has started: {run.id}"]
    assert len(runs(client, deployment)) == 1
    client.delete_flow_run(run.id)


def test_a_look_without_the_deployment_says_how_to_make_it(
    looked: Callable[..., Any], settings: Settings, monkeypatch: pytest.MonkeyPatch, small: Path
) -> None:
    from prefect.exceptions import ObjectNotFound

    from flows import inbox

    def absent(*_: Any, **__: Any) -> None:
        raise ObjectNotFound(http_exc=Exception())

    monkeypatch.setattr(inbox, "run_deployment", absent)
    with pytest.raises(ConfigurationError, match="pipeline/olist: not found"):
        looked(small)


@pytest.mark.soak
def test_what_was_published_is_moved_by_the_next_look_and_what_was_not_is_left(
    looked: Callable[..., Any], client: Any, deployment: UUID, small: Path, query: Callable[..., Any]
) -> None:
    names = {path.name for path in small.iterdir()}
    looked(small, after="done")
    (run,) = runs(client, deployment)
    execute(run)
    newer = small / SELLERS
    newer.write_bytes(newer.read_bytes())  # the same bytes, written again meanwhile: another delivery
    got = looked(small, after="done")
    assert [one.status for one in got] == ["moved", "waits"]
    (batch,) = [path.name for path in (small / "done").iterdir()]
    assert {path.name for path in (small / "done" / batch).iterdir()} == names - {SELLERS}
    # The category names are the same in every draw, and may be published already.
    good = "STATUS IN ('validated', 'skipped-unchanged')"
    assert query(f"SELECT COUNT(*) FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{batch}' AND {good}")[0][0] == len(names)

    for path in (small / "done" / batch).iterdir():
        path.rename(small / path.name)
        (small / path.name).touch()  # delivered again
    newer.write_bytes(newer.read_bytes() + b"x,01001,sao paulo,XX\n")
    assert looked(small, after="done")[0].status == "started"
    execute(runs(client, deployment)[0])
    assert [one.status for one in looked(small, after="done")] == ["left", "waits"]
    assert {path.name for path in small.iterdir()} == names | {"done"}


@pytest.mark.soak
def test_odd_arrivals_are_each_loaded_exactly_once(
    looked: Callable[..., Any], client: Any, deployment: UUID, small: Path, query: Callable[..., Any]
) -> None:
    """Marker first, a late file, a wrong letter case, an extra file, a change while it settles, the same set twice, an empty
    file, a new delivery; a look is killed before and after each start."""
    inbox, options = small.parent / "inbox", {"marker": "_SUCCESS", "settle_seconds": 3}
    inbox.mkdir()
    done: list[UUID] = []

    def look() -> str:
        return "; ".join(one.summary for one in looked(inbox, **options))

    def loaded() -> str:
        """Look until a run is created, execute it and return the name of its last state."""
        while not (new := [run for run in runs(client, deployment) if run.id not in done]):
            time.sleep(1)
            for moment in ("before", "after"):
                command = [
                    sys.executable,
                    "-c",
                    KILLED.replace("settle_seconds=0", "settle_seconds=3, marker='_SUCCESS'"),
                ]
                subprocess.run([*command, str(inbox), moment], check=False, capture_output=True, env=os.environ)
            look()
        (run,) = new
        done.append(run.id)
        execute(run)
        return str(client.read_flow_run(run.id).state.name)

    (inbox / "_SUCCESS").touch()
    assert look() == ""
    for path in small.iterdir():
        name = path.name if path.name != SELLERS else SELLERS.upper()
        shutil.copy(path, inbox / name)
    assert look() == f"waits for {SELLERS} ({SELLERS.upper()} differs in letter case)"
    (inbox / SELLERS.upper()).rename(inbox / SELLERS)
    (inbox / "notes.txt").write_text("an extra file")
    assert "settles" in look()
    time.sleep(2)
    (inbox / SELLERS).touch()  # written again while it settles
    assert "settles" in look()
    assert loaded() == "Completed"
    (inbox / "notes.txt").write_text("another")
    assert look() == f"its run has started: {done[0]}"
    whole = (inbox / SELLERS).read_bytes()
    (inbox / SELLERS).write_bytes(b"")
    assert loaded() == "Failed"
    assert look() == f"its run has started: {done[1]}"
    (inbox / SELLERS).write_bytes(whole + whole.splitlines(keepends=True)[1].replace(b'"', b"").replace(b"a", b"b", 1))
    loaded()
    assert look() == f"its run has started: {done[2]}"
    assert len(set(done)) == 3
    ids = ", ".join(f"'{run}'" for run in done)
    batches = query(
        "SELECT FLOW_RUN_ID, COUNT(DISTINCT BATCH_ID), COUNT(*) - COUNT(DISTINCT FILE_NAME) FROM RAW.LOAD_LEDGER"
        f" WHERE FLOW_RUN_ID IN ({ids}) GROUP BY FLOW_RUN_ID"
    )
    assert {(count, twice) for _, count, twice in batches} == {(1, 0)}
    rows = query("SELECT COUNT(*), COUNT(DISTINCT _SOURCE_ROW_NUMBER) FROM RAW.OLIST_ORDERS WHERE _BATCH_ID IN"
                 f" (SELECT BATCH_ID FROM RAW.LOAD_LEDGER WHERE FLOW_RUN_ID = '{done[0]}')")  # fmt: skip
    assert rows[0][0] == rows[0][1] > 0
