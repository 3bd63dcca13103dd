"""Fixtures for every test: the real sample rows, and one embedded stack per process (S3, warehouse, Prefect server)."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows.settings import PROJECT, TELEMETRY_OFF, Settings

# The files that take longest, longest first: with `--dist loadfile --no-loadscope-reorder` both workers then end together.
LONGEST = (
    "embedded/test_handoff.py", "flow/test_batches.py", "flow/test_docs_commands.py", "flow/test_parts.py",
    "faults/test_faults.py", "embedded/test_validate.py", "flow/test_set_aside.py", "flow/test_inbox.py",
    "flow/test_deployments.py", "flow/test_evolve.py", "flow/test_pipeline.py", "embedded/test_documented.py",
    "browser/test_prefect_ui.py", "embedded/test_copy_into.py", "embedded/test_stack_prefect.py",
    "flow/test_dbt_build.py", "unit/test_check.py", "flow/test_check.py", "flow/test_injection.py",
)  # fmt: skip
SAMPLE = PROJECT.parent / "shared" / "olist_sample"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {PROJECT / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder with real Olist rows; tests that need it are skipped where it is absent."""
    if not SAMPLE.is_dir():
        pytest.skip("the folder with real Olist rows is not here (shared/olist_sample)")
    return SAMPLE


def free_port() -> int:
    """Return a port that is free now: from a wide range, so that runs side by side do not collide, and below the ports that the
    system gives to outgoing connections; a stack takes the next free one."""
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running, provisioned embedded stack; the environment points at it for the whole session."""
    from flows.embedded import stack

    before = dict(os.environ)
    home = tmp_path_factory.mktemp("home")
    os.environ.update(TELEMETRY_OFF)
    os.environ.update(
        CXM_HOME=str(home),
        CXM_TARGET="embedded",
        CXM_S3_PORT=str(free_port()),
        CXM_WAREHOUSE_PORT=str(free_port()),
        CXM_PREFECT_PORT=str(free_port()),
        CXM_DOCS_PORT=str(free_port()),
        CXM_WORKER_PORT=str(free_port()),
        PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="CRITICAL",
    )
    current = Settings()
    with stack.hold_servers(current):
        os.environ.update(stack.prefect_environment(current))
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()  # another test module of this process may have imported Prefect before
        run_flow("provision")
        yield Settings()
    os.environ.clear()
    os.environ.update(before)


def prefect_login(settings: Settings) -> tuple[str, str]:
    """Return user and password of the stack's Prefect server, for httpx's `auth`."""
    user, _, password = settings.prefect_auth.get_secret_value().partition(":")
    return user, password


def patient_api(settings: Settings) -> Any:
    """Return an httpx client of the server's REST API that retries a 503: SQLite behind it causes one while another writer is at
    work."""
    import httpx

    class Patient(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            for pause in (0.5, 1, 2, 4, 8):
                answer = super().handle_request(request)
                if answer.status_code != 503:
                    break
                time.sleep(pause)
            return answer

    url, login = settings.stack["prefect"]["api_url"], prefect_login(settings)
    return httpx.Client(base_url=url, timeout=60, transport=Patient(), auth=login)


@contextmanager
def webhook() -> Iterator[tuple[str, list[tuple[float, str]]]]:
    """Serve a webhook: its address, and the messages that it got, each with its time by `time.monotonic` and its text."""
    got: list[tuple[float, str]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            got.append((time.monotonic(), self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_flow(name: str, **parameters: Any) -> Any:
    """Run a flow of `flows.pipeline`, `flows.operations` or `flows.marts` here; return its result or raise its error."""
    from flows import marts, operations, pipeline

    flow = getattr(pipeline, name, None) or getattr(operations, name, None) or getattr(marts, name)
    result = flow(**parameters, return_state=True).result(raise_on_failure=False)
    if isinstance(result, BaseException):
        raise result
    return result


def hold_builds(settings: Settings, enabled: bool = False) -> None:
    """Keep published batches from starting `dbt-build` on the worker, which other tests need; `enabled` allows it again."""
    with patient_api(settings) as api:
        automations = api.post("/automations/filter", json={}).raise_for_status().json()
        builds = [one for one in automations if one["name"].startswith("dbt-build")]
        assert builds
        for one in builds:
            api.patch(f"/automations/{one['id']}", json={"enabled": enabled}).raise_for_status()


def delete_deployments(settings: Settings) -> None:
    """Delete all automations and deployments, so that none fires during later tests."""
    with patient_api(settings) as api:
        for kind in ("automations", "deployments"):
            for one in api.post(f"/{kind}/filter", json={}).raise_for_status().json():
                api.delete(f"/{kind}/{one['id']}").raise_for_status()


def olist_files(directory: Path, scale: float, seed: int) -> Path:
    """Write Olist-shaped files as a user would have them, without the marker of generated ones; return `directory`."""
    from flows.generated import MARKER
    from flows.synthetic.olist import generate

    generate(directory, scale=scale, seed=seed)
    (directory / MARKER).unlink()
    return directory


@pytest.fixture
def query(settings: Settings) -> Callable[..., list[tuple[Any, ...]]]:
    """`query(sql)` → rows, through the real connector, as an administrator."""
    from flows import blocks
    from flows.clients.snowflake import run

    def ask(sql: str, role: str = "SYSADMIN") -> list[tuple[Any, ...]]:
        with blocks.snowflake(settings, role, {"step": "test"}) as connection:
            return list(run(connection, sql).rows)

    return ask
