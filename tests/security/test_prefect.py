"""The embedded Prefect server answers this home only: its login, its own addresses, no page of another origin."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import psutil
import pytest

from flows.settings import PROJECT, Settings
from tests.conftest import prefect_login


def url(settings: Settings) -> str:
    return str(settings.stack["prefect"]["api_url"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "deployments/filter"),
        ("POST", "block_documents/filter"),
        ("POST", "work_pools/filter"),
        ("POST", "flow_runs/filter"),
        ("POST", "flows/"),
        ("GET", "admin/settings"),
        ("POST", "admin/database/clear"),
        ("GET", "variables/name/health"),
        ("POST", "csrf-token?client=x"),
    ],
)
@pytest.mark.parametrize("login", [None, ("cxm", "wrong"), ("cxm", "")])
def test_without_the_homes_login_the_api_says_nothing(
    settings: Settings, method: str, path: str, login: tuple[str, str] | None
) -> None:
    asked = {"include_secrets": True, "name": "mine", "confirm": True} if method == "POST" else None
    answer = httpx.request(method, f"{url(settings)}/{path}", json=asked, auth=login)
    assert answer.status_code == 401
    assert answer.json() == {"exception_message": "Unauthorized"}


def test_with_the_homes_login_it_answers(settings: Settings) -> None:
    answer = httpx.post(f"{url(settings)}/work_pools/filter", json={}, auth=prefect_login(settings))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:4200", "127.0.0.1.attacker.example", "[::1]", ""]
)
@pytest.mark.parametrize("path", ["api/health", "", "ui-settings", "api/deployments/filter"])
def test_a_foreign_host_header_is_refused_everywhere(settings: Settings, host: str, path: str) -> None:
    base = settings.stack["prefect"]["ui_url"]
    answer = httpx.get(f"{base}/{path}", headers={"Host": host}, auth=prefect_login(settings))
    assert answer.status_code == 400


def test_only_its_own_pages_may_call_it_from_a_browser(settings: Settings) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for origin in ("http://attacker.example", "null", "http://127.0.0.1:1", settings.stack["docs"]["url"]):
        answer = httpx.options(f"{url(settings)}/deployments/filter", headers={"Origin": origin, **asked})
        assert "access-control-allow-origin" not in answer.headers, origin
        answer = httpx.get(f"{url(settings)}/health", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers, origin
    own = settings.stack["prefect"]["ui_url"]
    for origin in (own, own.replace("127.0.0.1", "localhost")):
        answer = httpx.options(f"{url(settings)}/deployments/filter", headers={"Origin": origin, **asked})
        assert answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out"])
def test_its_websockets_ask_for_the_login_and_for_the_host(settings: Settings, path: str) -> None:
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    address = f"{url(settings).replace('http:', 'ws:')}/{path}"
    with pytest.raises(InvalidStatus), connect(address):
        pass
    prefect = [Subprotocol("prefect")]
    for token in ("", "cxm:wrong", None):
        with connect(address, subprotocols=prefect) as client:
            client.send(json.dumps({"type": "auth", "token": token}))
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=10)
    token = settings.prefect_auth.get_secret_value()
    with connect(address, subprotocols=prefect) as client:
        client.send(json.dumps({"type": "auth", "token": token}))
        assert json.loads(client.recv(timeout=10)) == {"type": "auth_success"}
    port = int(settings.stack["prefect"]["ui_url"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connected, pytest.raises(InvalidStatus):
        connect(f"ws://attacker.example:{port}/api/{path}", sock=connected)


def test_the_command_line_of_a_shell_without_the_login_is_refused(settings: Settings) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_AUTH_STRING"}
    command = [sys.executable, "-m", "prefect", "work-pool", "ls"]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "401" in done.stdout + done.stderr


def test_no_process_argument_has_the_login(settings: Settings) -> None:
    password = prefect_login(settings)[1]
    seen = psutil.process_iter(["cmdline"])  # None of a process that has just ended
    assert [p.pid for p in seen if password in " ".join(p.info["cmdline"] or [])] == []


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """A page of another origin on this machine, as an attacker's would be."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>elsewhere</title>")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


# What a page tries: to read an answer, and to have something done although it may not read the answer.
ATTEMPTS = """
async ([addresses, auth]) => {
    const got = [];
    for (const [address, method, body] of addresses) {
        for (const mode of ["cors", "no-cors"]) {
            try {
                const answer = await fetch(address, {
                    method, mode, credentials: "include", body: body || undefined,
                    headers: mode === "cors" && body ? {"Content-Type": "application/json"} : {},
                });
                if (answer.type !== "opaque") got.push([address, mode, answer.status, await answer.text()]);
            } catch (e) {}
        }
    }
    return got;
}
"""


def test_a_page_of_another_origin_gets_nothing_and_does_nothing(settings: Settings, elsewhere: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on PATH")
    api, warehouse, s3 = url(settings), settings.stack["warehouse"], settings.stack["s3"]["endpoint"]
    port, docs = f"http://127.0.0.1:{warehouse['port']}", settings.stack["docs"]["url"]
    login = json.dumps({"data": {"LOGIN_NAME": "CXM_EMBEDDED", "PASSWORD": "x", "ACCOUNT_NAME": "cxm-embedded"}})
    addresses = [
        [f"{api}/deployments/filter", "POST", "{}"],
        [f"{api}/flows/", "POST", '{"name": "from-elsewhere"}'],
        [f"{api}/block_documents/filter", "POST", '{"include_secrets": true}'],
        [f"{api}/admin/version", "GET", ""],
        [f"{port}/session/v1/login-request", "POST", login],
        [f"{s3}/", "GET", ""],
        [f"{s3}/{settings.bucket}?list-type=2", "GET", ""],
        [f"{docs}/", "GET", ""],
    ]
    script = """
import json, sys
from playwright.sync_api import sync_playwright
chromium, page_url, attempts, addresses = sys.argv[1:]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
    page = browser.new_page()
    page.goto(page_url)
    print(json.dumps(page.evaluate(attempts, [json.loads(addresses), ""])))
    browser.close()
"""
    done = subprocess.run(  # a separate process, because Prefect turns asynchronous beside Playwright's loop
        [sys.executable, "-c", script, chromium, elsewhere, ATTEMPTS, json.dumps(addresses)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert json.loads(done.stdout) == []
    where = {"flows": {"name": {"any_": ["from-elsewhere"]}}}
    assert httpx.post(f"{api}/flows/filter", json=where, auth=prefect_login(settings)).json() == []
