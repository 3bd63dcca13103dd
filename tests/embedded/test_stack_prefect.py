"""The embedded Prefect server: quick to start, private, and safe when a first start is cut short."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.embedded import prefect_server, stack
from flows.errors import ConfigurationError, InfrastructureError
from flows.settings import Settings
from tests.conftest import prefect_login

FLOW = """
from concurrent.futures import ThreadPoolExecutor
from prefect import flow, task, get_client
from prefect.cache_policies import NO_CACHE

@task(cache_policy=NO_CACHE)
def double(n):
    return 2 * n

@flow
def doubles():
    return sum(f.result() for f in [double.submit(n) for n in range(100)])

print(doubles())
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", prefect_port=random.randrange(24_000, 30_000))


def ask(settings: Settings, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the server's API with this home's login; return its answer, None if it is empty."""
    method, url = "GET" if body is None else "POST", f"{settings.stack['prefect']['api_url']}/{path}"
    for _ in range(10):
        answer = httpx.request(method, url, json=body, auth=prefect_login(settings), timeout=20)
        if answer.status_code != 503:  # SQLite has one writer; Prefect's client tries again as well
            break
        time.sleep(1)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def test_a_flow_runs_on_the_leased_server_and_its_history_survives_a_restart(settings: Settings) -> None:
    with stack.hold_servers(settings, ["prefect"]) as endpoints:
        with urllib.request.urlopen(endpoints["prefect"]["ui_url"], timeout=20) as page:
            assert b"<html" in page.read().lower()
        server = ask(settings, "admin/settings")["server"]
        assert server["analytics_enabled"] is False
        assert server["services"]["scheduler"]["enabled"] is True
        assert server["services"]["late_runs"]["enabled"] is True
        # The catalogue of the UI has the integrations' blocks although the server did not import them.
        slugs = {b["slug"] for b in ask(settings, "block_types/filter", {"limit": 200})}
        assert {"aws-credentials", "s3-bucket", "snowflake-connector"} <= slugs

        done = subprocess.run(
            [sys.executable, "-c", FLOW],
            env={**os.environ, **stack.prefect_environment(settings)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "9900"
        assert "database is locked" not in done.stderr + (settings.home / "logs" / "prefect.log").read_text()
        ask(settings, "v2/concurrency_limits/", {"name": "one at a time", "limit": 1})
        slot = {"names": ["one at a time"], "slots": 1, "mode": "concurrency", "lease_duration": 60}
        taken = ask(settings, "v2/concurrency_limits/increment-with-lease", slot)
    with stack.hold_servers(settings, ["prefect"]):
        # A server that forgot who holds the slot would never take it back from one that was killed.
        renewed = f"v2/concurrency_limits/leases/{taken['lease_id']}/renew"
        ask(settings, renewed, {"lease_duration": 60})
        runs = ask(settings, "flow_runs/filter", {})
        assert [r["state"]["type"] for r in runs] == ["COMPLETED"]


FINALIZED = """
import gc, threading, time
from flows.embedded.prefect_app import collect_garbage_beside

class Cursor:
    def __del__(self):
        print(threading.current_thread().name, flush=True)

collect_garbage_beside()
for _ in range(3_000):
    cursor = Cursor() if _ == 7 else object()
    cycle = [cursor]
    cycle.append(cycle)
time.sleep(3)
"""


def test_garbage_of_the_server_is_never_collected_in_its_event_loop() -> None:
    done = subprocess.run([sys.executable, "-c", FINALIZED], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("\n") == ["collect garbage", ""]


def test_the_environment_of_a_home_without_a_server_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="start it with `cxm up`"):
        stack.prefect_environment(settings)
    (settings.home / "run").mkdir(parents=True)
    (settings.home / "run" / "stack.json").write_text('{"supervisor_pid": 1, "s3": {}}')
    with pytest.raises(InfrastructureError, match="cxm up --only prefect"):
        stack.prefect_environment(settings)


def database(path: Path, flow_runs: int = 0, keys: int = 0) -> None:
    """Make the part of Prefect's database that is read before it is copied."""
    with closing(sqlite3.connect(path)) as connection:
        for table, rows in (("flow_run", flow_runs), ("block_document", 0), ("configuration", keys)):
            connection.execute(f"CREATE TABLE {table} (id INTEGER)")
            connection.executemany(f"INSERT INTO {table} VALUES (?)", [(n,) for n in range(rows)])
        connection.commit()


def migrates(home: Path) -> bool:
    return prefect_server.environment(home, 4200, "cxm:secret")["PREFECT_SERVER_DATABASE_MIGRATE_ON_START"] == "true"


def test_a_new_home_begins_with_the_database_of_the_first_and_migrates_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "installation"))
    assert migrates(tmp_path / "one")
    database(tmp_path / "one" / "prefect.db")
    prefect_server.healthy_once(tmp_path / "one")
    assert not migrates(tmp_path / "one")
    assert not migrates(tmp_path / "two")
    assert (tmp_path / "two" / "prefect.db").exists()


@pytest.mark.parametrize("used", [{"flow_runs": 1}, {"keys": 1}])
def test_runs_and_keys_of_a_home_do_not_get_into_the_next(
    used: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "installation"))
    assert migrates(tmp_path / "one")
    database(tmp_path / "one" / "prefect.db", **used)
    prefect_server.healthy_once(tmp_path / "one")
    assert not migrates(tmp_path / "one")
    assert migrates(tmp_path / "two")


def test_a_first_start_that_was_cut_short_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "installation"))
    home = tmp_path / "prefect"
    home.mkdir()
    (home / "prefect.db").write_bytes(b"half a migration")
    assert migrates(home)
    assert not (home / "prefect.db").exists()


def test_a_newer_prefect_migrates_and_keeps_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "installation"))
    home = tmp_path / "prefect"
    home.mkdir()
    database(home / "prefect.db", flow_runs=7)
    (home / "database-version").write_text("3.0.0")
    assert migrates(home)
    with closing(sqlite3.connect(home / "prefect.db")) as connection:
        assert connection.execute("SELECT count(*) FROM flow_run").fetchone() == (7,)
    prefect_server.healthy_once(home)
    assert not migrates(home)
