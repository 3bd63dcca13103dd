"""Two users on one machine: the second one gets nothing from the first one's stack, over no port, no socket and no file."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.settings import Settings
from tests.conftest import free_port

OTHER = "65534"

# Runs as the other user, with Python's own library only; prints what it got.
INTRUDER = """
import http.client, json, os, socket, ssl, sys
task = json.loads(sys.argv[1])
assert os.getuid() == int(task["uid"])
got = []
anyone = ssl._create_unverified_context()
for port in task["ports"]:
    for secure in (False, True):
        for method, path in task["requests"]:
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            client = kind("127.0.0.1", port, timeout=5, **({"context": anyone} if secure else {}))
            try:
                client.request(method, path, body="x" if method in ("PUT", "POST") else None)
                answer = client.getresponse()
                body = answer.read(300).decode(errors="replace")
                if answer.status < 400 and path not in task["open"]:
                    got.append([port, secure, method, path, answer.status, body])
            except (OSError, http.client.HTTPException):
                pass
            finally:
                client.close()
    # gRPC: an HTTP/2 preface, with and without TLS; a server that talks HTTP/2 answers with its settings
    for secure in (False, True):
        try:
            raw = socket.create_connection(("127.0.0.1", port), timeout=5)
            if secure:
                anyone2 = ssl._create_unverified_context(); anyone2.set_alpn_protocols(["h2"])
                raw = anyone2.wrap_socket(raw)
            raw.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + b"\\0\\0\\0\\4\\0\\0\\0\\0\\0")
            said = raw.recv(64)
            if said and not said.startswith((b"HTTP/1", b"\\x15\\x03")):
                got.append([port, secure, "HTTP/2", repr(said)])
        except OSError:
            pass
for path in task["sockets"]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        got.append(["socket", path])
    except OSError:
        pass
for path in task["files"]:
    try:
        open(path, "rb").read(1)
        got.append(["read", path])
    except OSError:
        pass
    try:
        os.listdir(path) and got.append(["listed", path])
    except OSError:
        pass
print(json.dumps(got))
"""


@pytest.fixture(scope="module")
def intrude() -> Callable[..., list[Any]]:
    """`intrude(**task)` runs `INTRUDER` as another user and returns what it got; skips if that cannot be done."""
    if os.getuid() or not shutil.which("setpriv"):
        pytest.skip("only root may become another user, with setpriv")
    become = ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups"]

    def works(python: str) -> bool:
        return subprocess.run([*become, python, "-c", "import ssl"], capture_output=True, check=False).returncode == 0

    python = next((p for p in (sys.executable, "/usr/bin/python3") if Path(p).exists() and works(p)), None)
    if python is None:
        pytest.skip("the other user can run no Python here")

    def run(**task: Any) -> list[Any]:
        asked = json.dumps({"uid": OTHER, "ports": [], "requests": [], "open": [], "sockets": [], "files": [], **task})
        done = subprocess.run(
            [*become, python, "-c", INTRUDER, asked], capture_output=True, text=True, timeout=120, check=False, cwd="/"
        )
        assert done.returncode == 0, done.stderr
        document: list[Any] = json.loads(done.stdout)
        return document

    return run


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The running servers of a home, without Prefect's (tests/security/test_prefect.py); made with umask 0."""
    from flows.embedded import stack

    before = os.umask(0)
    ports = {f"{name}_port": free_port() for name in ("s3", "warehouse", "docs")}
    settings = Settings(home=tmp_path_factory.mktemp("other_user") / "home", **ports)  # type: ignore[arg-type]
    try:
        with stack.hold_servers(settings, ("s3", "warehouse", "docs")):
            yield settings
    finally:
        os.umask(before)


def listening(settings: Settings, service: str) -> list[int]:
    """Return every port that a server of the stack listens on, also those that no client is given."""
    process = psutil.Process(settings.stack[service]["pid"])
    return sorted({c.laddr.port for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN})


@pytest.fixture(scope="module")
def planted(own: Settings) -> str:
    """The filer's path of an object in the landing bucket."""
    from flows import blocks

    blocks.s3_client(own).create_bucket(Bucket=own.bucket)
    blocks.s3_client(own).put_object(Bucket=own.bucket, Key="raw/planted.csv", Body=b"id\nplanted\n")
    return f"/buckets/{own.bucket}/raw/planted.csv"


def test_the_object_stores_parts_answer_nobody_without_the_homes_certificate(
    own: Settings, planted: str, intrude: Callable[..., list[Any]]
) -> None:
    requests = [
        ("GET", "/"), ("GET", "/buckets/"), ("GET", f"/buckets/{own.bucket}/raw/?limit=10"), ("GET", planted),
        ("PUT", f"/buckets/{own.bucket}/raw/theirs.csv"), ("POST", f"/buckets/{own.bucket}/raw/theirs.csv"),
        ("DELETE", planted), ("GET", "/dir/status"), ("GET", "/dir/assign"), ("POST", "/dir/assign"),
        ("GET", "/vol/grow?count=1"), ("GET", "/status"), ("GET", "/ui/index.html"), ("GET", "/1,01"),
        ("GET", f"/{own.bucket}/raw/planted.csv"),
        ("GET", f"/{own.bucket}?list-type=2"), ("PUT", f"/{own.bucket}/raw/theirs.csv"),
        ("DELETE", f"/{own.bucket}/raw/planted.csv"), ("GET", "/?Action=ListUsers"), ("GET", "/cluster/status"),
    ]  # fmt: skip
    ports = listening(own, "s3")
    assert len(ports) >= 8, "master, volume, filer and S3, each with its gRPC"
    # On the S3 port /status says that it is well, and nothing else.
    assert intrude(ports=ports, requests=requests, open=["/status"]) == []
    from flows import blocks

    there = blocks.s3_client(own).list_objects_v2(Bucket=own.bucket, Prefix="raw/")["Contents"]
    keys = {o["Key"] for o in there}
    assert "raw/planted.csv" in keys
    assert "raw/theirs.csv" not in keys


def test_with_the_homes_certificate_the_filer_would_have_answered(own: Settings, planted: str) -> None:
    """This shows that the ports and paths above are the right ones."""
    context = ssl.create_default_context(cafile=str(own.home / "secrets" / "s3.crt"))
    context.load_cert_chain(own.home / "secrets" / "s3.crt", own.home / "secrets" / "s3.key")
    answers = []
    for port in listening(own, "s3"):
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}{planted}", context=context, timeout=5) as answer:
                answers.append(answer.read())
        except (OSError, HTTPException):
            continue
    assert answers == [b"id\nplanted\n"]


def test_the_other_servers_tell_another_user_nothing(own: Settings, intrude: Callable[..., list[Any]]) -> None:
    requests = [
        ("POST", "/session/v1/login-request"), ("POST", "/queries/v1/query-request"), ("GET", "/monitoring/queries/x"),
        ("GET", "/data_docs"), ("GET", "/dbt_docs/.hidden"), ("GET", "/../secrets/s3.json"),
        ("GET", "/%2e%2e/secrets/s3.json"), ("PUT", "/theirs.html"), ("POST", "/"),
    ]  # fmt: skip
    (own.home / "docs" / "shelf").mkdir(exist_ok=True)
    (own.home / "docs" / "shelf" / ".hidden").write_text("x")
    ports = [p for service in ("warehouse", "docs") for p in listening(own, service)]
    got = intrude(ports=ports, requests=[*requests, ("GET", "/shelf/"), ("GET", "/shelf/.hidden")])
    # A refusal of the warehouse has status 200, as Snowflake's has.
    answers = [
        g for g in got if '"success":false' not in g[-1].replace(" ", "") and "<!doctype html>" not in g[-1].lower()
    ]
    assert answers == []


def test_no_file_socket_or_environment_of_the_home_is_another_users_to_read(
    own: Settings, intrude: Callable[..., list[Any]]
) -> None:
    files = [own.home, *(p for p in own.home.rglob("*") if p.parent.name in ("secrets", "warehouse", "run", "s3"))]
    children = [psutil.Process(own.stack["supervisor_pid"])]
    children += children[0].children(recursive=True)
    environments = [f"/proc/{process.pid}/environ" for process in children]
    sockets = [
        c.laddr for process in children for c in process.net_connections("unix") if c.laddr and c.laddr.startswith("/")
    ]
    assert sockets, "SeaweedFS has some"
    assert intrude(files=[*map(str, files), *environments], sockets=sockets) == []
    assert own.home.stat().st_mode & 0o077 == 0
