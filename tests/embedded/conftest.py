"""Servers for the tests of the embedded stack: S3, and a warehouse on a free port that tests reach with the real connector."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The user that the tests' warehouses know from the start: an administrator, who may use any role.
ADMINISTRATOR, PASSWORD = "CXM_TEST", "embedded"


def free_port() -> int:
    """Return a TCP port on loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Warehouse:
    """A running warehouse process; `arguments` are those after --port, --dir and --users. `users` is the file of users that it
    knows from the start, by default an administrator only; all others are made with CREATE USER."""

    directory: Path
    arguments: list[str] = field(default_factory=list)
    users: Path | None = None
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Warehouse:
        """Start it and wait until it answers /health."""
        self.port = free_port()
        if self.users is None:
            self.users = self.directory.parent / f"{self.directory.name}.users.json"
            first = {ADMINISTRATOR: {"password": PASSWORD, "roles": ["ACCOUNTADMIN"]}}
            self.users.write_text(json.dumps({"home": "7e577e57", "users": first}))
        python = os.environ.get("WAREHOUSE_PYTHON", sys.executable)  # `make next`: the tests have another connector
        command = [
            python,
            "-m",
            "flows.embedded.warehouse",
            "--port",
            str(self.port),
            "--dir",
            str(self.directory),
            "--users",
            str(self.users),
        ]
        log = (self.directory.parent / f"{self.directory.name}.log").open("ab")
        self.process = subprocess.Popen([*command, *self.arguments], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        log.close()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1) as answer:
                    if answer.status == 200:
                        return self
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise AssertionError(f"the warehouse did not start:\n{self.log()}")

    def log(self) -> str:
        """Return everything it has written so far."""
        return (self.directory.parent / f"{self.directory.name}.log").read_text(errors="replace")

    def stop(self, how: int = signal.SIGTERM) -> int:
        """End it with a signal and return its exit status."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(30)

    def connect(self, **options: Any) -> Any:
        """Connect with the real connector, as the administrator unless `user` and `password` say otherwise."""
        import snowflake.connector

        assert self.users is not None
        user, entry = next(iter(json.loads(self.users.read_text())["users"].items()))

        os.environ.setdefault("SNOWFLAKE_HOME", str(self.directory.parent / "snowflake_home"))
        parameters = {"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False, **options.pop("session_parameters", {})}
        settings: dict[str, Any] = {
            "account": "cxm-embedded", "user": user, "password": entry["password"], "host": "127.0.0.1",
            "port": self.port, "protocol": "http", "network_timeout": 60, "login_timeout": 60, "session_parameters": parameters,
            "platform_detection_timeout_seconds": 0,
        }  # fmt: skip
        return snowflake.connector.connect(**{**settings, **options})


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """One warehouse without S3 for all tests of the session; each test makes its own database."""
    server = Warehouse(tmp_path_factory.mktemp("warehouse") / "state").start()
    yield server
    server.stop()


def ports_for_weed(count: int) -> list[int]:
    """Find free ports whose number plus 10000, where SeaweedFS puts its gRPC, is free too."""
    result: list[int] = []
    while len(result) < count:
        port = random.randrange(20_000, 32_000)
        try:
            for one in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", one))
        except OSError:
            continue
        if not {port, port - 10_000, port + 10_000} & set(result):
            result.append(port)
    return result


@dataclass(frozen=True)
class ObjectStore:
    """A running S3 server: its endpoint and the file with its one identity."""

    endpoint: str
    identity: Path

    def client(self) -> Any:
        """Return a boto3 client of it."""
        from flows.embedded.warehouse.storage.s3 import S3Access, s3_client

        return s3_client(S3Access.from_identity_file(self.endpoint, self.identity))


@contextmanager
def made_bucket(client: Any, prefix: str) -> Iterator[str]:
    """Make a bucket for one test and delete it afterwards: SeaweedFS needs a volume per bucket and has a few dozen of them."""
    name = f"{prefix}-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=name)
    yield name
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for one in page.get("Contents", []):
            client.delete_object(Bucket=name, Key=one["Key"])
    client.delete_bucket(Bucket=name)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A `weed mini` on free ports of loopback."""
    home = tmp_path_factory.mktemp("s3")
    for folder in ("data", "log"):
        (home / folder).mkdir()
    pair = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    identity = home / "s3.json"
    identity.write_text(json.dumps({"identities": [{"name": "cxm", "credentials": [pair], "actions": actions}]}))
    s3, master, volume, filer, admin = ports_for_weed(5)
    command = [
        str(Path(sys.executable).with_name("weed")), f"-logdir={home / 'log'}", "-logtostderr=false", "-alsologtostderr=false",
        "mini", f"-dir={home / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={s3}", f"-master.port={master}",
        f"-volume.port={volume}", f"-filer.port={filer}", f"-admin.port={admin}", "-admin.ui=false", "-webdav=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={identity}", "-master.telemetry=false",
    ]  # fmt: skip
    store = ObjectStore(f"http://127.0.0.1:{s3}", identity)
    with (home / "out").open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        for attempt in range(150):
            try:
                store.client().list_buckets()
                break
            except Exception:
                if server.poll() is not None or attempt == 149:
                    raise AssertionError((home / "out").read_text(errors="replace")) from None
                time.sleep(0.2)
        yield store
    finally:
        server.terminate()
        server.wait(30)


def integration_for(connection: Any, bucket: str) -> str:
    """Create a storage integration that lets stages read the whole bucket, if missing; return its name."""
    name = "READS_" + bucket.replace("-", "_").upper()
    connection.cursor().execute(
        f"CREATE STORAGE INTEGRATION IF NOT EXISTS {name} TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE "
        f"STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::000000000000:role/r' STORAGE_ALLOWED_LOCATIONS = ('s3://{bucket}/')"
    )
    return name


@pytest.fixture(scope="session")
def loading_warehouse(tmp_path_factory: pytest.TempPathFactory, s3_server: ObjectStore) -> Iterator[Warehouse]:
    """One warehouse that reads external stages from the S3 server."""
    arguments = ["--s3-endpoint", s3_server.endpoint, "--s3-identity", str(s3_server.identity)]
    server = Warehouse(tmp_path_factory.mktemp("loading") / "state", arguments).start()
    yield server
    server.stop()


@pytest.fixture
def database(warehouse: Warehouse) -> Iterator[str]:
    """The name of an empty database (schemas PUBLIC and INFORMATION_SCHEMA), dropped after the test."""
    name = f"T_{secrets.token_hex(4).upper()}"
    with warehouse.connect() as connection:
        connection.cursor().execute(f"CREATE DATABASE {name}")
    yield name
    with warehouse.connect() as connection:
        connection.cursor().execute(f"DROP DATABASE IF EXISTS {name}")
