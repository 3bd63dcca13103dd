"""Known secrets are planted, everything is run, and everything that was written, printed or started is searched for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretBytes, SecretStr

from flows.settings import PROJECT, Settings
from tests.conftest import free_port, prefect_login

pytestmark = pytest.mark.soak

PASSPHRASE = "planted-passphrase-7f3a91"
DBT_PASSWORD = "planted-dbt-password-b81c44"
USER = "CXM_PLANTED_SVC"
# Every setting that is secret.
SETTINGS = {
    f"CXM_{name.upper()}": f"planted-{name}-4e9d02"
    for name, field in Settings.model_fields.items()
    if "Secret" in str(field.annotation)
}

OTHERS = {"AWS_SECRET_ACCESS_KEY": "planted-aws-5c1", "PREFECT_API_AUTH_STRING": "cxm:planted-auth-77b0"}


@pytest.fixture(scope="module")
def planted(settings: Settings) -> dict[str, bytes]:
    """Save blocks named `planted` that hold an S3 secret and an encrypted key; return their secrets and the stack's, by name."""
    from prefect_aws import AwsCredentials
    from prefect_snowflake import SnowflakeConnector

    from flows import block_types, blocks
    from flows.clients.snowflake import run

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = "".join(public.decode().splitlines()[1:-1])
    with blocks.snowflake(settings, "ACCOUNTADMIN", {"step": "test"}) as connection:
        run(connection, f"CREATE USER IF NOT EXISTS {USER} TYPE = SERVICE RSA_PUBLIC_KEY = '{body}'")
        for role in (settings.loader_role, settings.transformer_role, "ACCOUNTADMIN"):  # an embedded run provisions
            run(connection, f"GRANT ROLE {role} TO USER {USER}")
    AwsCredentials(**block_types.aws_credentials(settings).model_dump()).save("planted", overwrite=True, _sync=True)
    warehouse = settings.stack["warehouse"]
    login = block_types.SnowflakeEndpointCredentials(
        account="cxm-embedded",
        user=USER,
        private_key=SecretBytes(pem),
        private_key_passphrase=SecretStr(PASSPHRASE),
        host=warehouse["host"],
        port=warehouse["port"],
        protocol="http",
    )
    login.save("planted", overwrite=True, _sync=True)
    connector = SnowflakeConnector(
        credentials=login, database=settings.database, warehouse=settings.warehouse, schema="RAW"
    )
    connector.save("planted", overwrite=True, _sync=True)
    secrets = settings.home / "secrets"
    return {
        "S3 secret key": settings.s3_identity[1].get_secret_value().encode(),
        "TLS key": (secrets / "s3.key").read_bytes().splitlines()[1],
        "Prefect's password": prefect_login(settings)[1].encode(),
        **{f"password of {u}": p.get_secret_value().encode() for u, p in settings.warehouse_logins.items()},
        "setting snowflake_private_key": SETTINGS["CXM_SNOWFLAKE_PRIVATE_KEY"].encode(),
        "setting snowflake_private_key_passphrase": SETTINGS["CXM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"].encode(),
        "key passphrase": PASSPHRASE.encode(),
        "encrypted private key": pem.splitlines()[3],
        "private key": plain.splitlines()[3],
        "dbt's password": DBT_PASSWORD.encode(),
    }


@dataclass(frozen=True)
class Holder:
    """A process whose environment holds a secret: its command line, and its parent's when it was first seen."""

    line: str
    parent: str
    of_this_process: bool  # this process started it, and not the product


def watched(
    arguments: list[str], environment: dict[str, str], secrets: Mapping[str, bytes]
) -> tuple[bytes, set[bytes], dict[Holder, set[str]], int]:
    """Run `cxm` with umask 0; return its output, the arguments of every process meanwhile, the processes whose environment holds
    a secret, with the secrets' names, and its exit code."""
    command = [str(Path(sys.executable).parent / "cxm"), *arguments]
    process = subprocess.Popen(
        command, env=environment, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, umask=0
    )
    seen: set[bytes] = set()
    known: dict[tuple[int, float], Holder] = {}  # a process keeps the parent it had, also when that has ended before it
    holders: dict[Holder, set[str]] = {}
    said = b""
    while True:
        for one in psutil.process_iter(["cmdline", "environ", "ppid", "create_time"]):
            line = " ".join(one.info["cmdline"] or [])
            seen.add(line.encode(errors="replace"))
            values = "\n".join((one.info["environ"] or {}).values()).encode(errors="replace")
            if held := {name for name, secret in secrets.items() if secret in values}:
                key = (one.pid, one.info["create_time"])
                if key not in known or known[key].line != line:  # between fork and exec it has its parent's line
                    parent = known[key].parent if key in known else _line_of(one.info["ppid"])
                    mine = one.pid != process.pid and one.info["ppid"] == os.getpid()
                    known[key] = Holder(line, parent, mine)
                holders.setdefault(known[key], set()).update(held)
        try:
            said += process.communicate(timeout=0.3)[0]
            return said, seen, holders, process.returncode
        except subprocess.TimeoutExpired:
            continue


def _line_of(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_no_secret_is_written_said_or_passed_in_the_open(
    planted: dict[str, bytes], small: Path, settings: Settings, query: Callable[..., Any], tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        **SETTINGS,
        "TMPDIR": str(tmp_path),
        "CXM_AWS_BLOCK": "planted",
        "CXM_SNOWFLAKE_BLOCK": "planted",
        "CXM_WAREHOUSE_PASSWORD": DBT_PASSWORD,
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG",
    }
    said: list[bytes] = []
    arguments: set[bytes] = set()
    holders: dict[Holder, set[str]] = {}
    bad = {"CXM_AWS_BLOCK": "planted", "CXM_SNOWFLAKE_BLOCK": "absent"}
    for command, changes, exit_code in (
        (["run", "--data", str(small)], {}, 0),
        (["reconcile", "--json"], {}, 0),
        (["run", "--data", str(small)], bad, 2),
        (["run", "--data", str(small / "missing")], {}, 2),
    ):
        output, seen, held, code = watched(command, {**environment, **changes}, planted)
        assert code == exit_code, (command, output.decode()[-6000:])
        assert b"deadlock" not in output, output.decode()[:1000]  # two threads that import Prefect at once
        said.append(output)
        arguments |= seen
        for holder, names in held.items():
            holders.setdefault(holder, set()).update(names)
    needed = {"cxm": set(planted), "flows.embedded.prefect_app": {"Prefect's password"}}
    # dbt gets its login by a request, once it runs, so it holds it where no other process can see; what it starts inherits it.
    of_dbt = {"password of CXM_TRANSFORMER_SVC"}

    def allowed(holder: Holder) -> set[str]:
        """Return the secrets that it may hold. A helper of Python's multiprocessing belongs to the process that started it."""
        # The fault tests' fork server and its tracker: this process has the stack's login in its own environment.
        if holder.of_this_process and " multiprocessing." in holder.line:
            return set(planted)
        if " multiprocessing.resource_tracker " in holder.line:
            return of_dbt if "flows.clients.dbt" in holder.parent or not holder.parent else set()
        return next((may for who, may in needed.items() if f"{who} " in holder.line), set())

    for holder, names in holders.items():
        assert names <= allowed(holder), f"in the environment of {holder}: {names - allowed(holder)}"
    history = "TABLE(INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 10000))"
    users = query(f"SELECT COUNT(*) FROM {history} WHERE USER_NAME = '{USER}'", role="ACCOUNTADMIN")
    assert users[0][0] > 0, "the planted key was the one that logged in"

    places: dict[str, bytes] = {"terminal": b"\n".join(said), "process arguments": b"\n".join(arguments)}
    for path in (*settings.home.rglob("*"), *tmp_path.rglob("*")):
        # All but secrets/, where the embedded object store's identity is kept, readable by its owner only.
        if path.is_file() and settings.home / "secrets" not in path.parents:
            places[str(path)] = path.read_bytes()
    for name in ("prefect", "dbt", "docs", "expectations", "logs", "warehouse", "run"):
        assert any(place.startswith(str(settings.home / name)) for place in places), f"{name} was searched"
    got = [f"{what} in {where}" for where, text in places.items() for what, secret in planted.items() if secret in text]
    assert not got, got
    for path in (settings.home / "secrets").iterdir():
        assert path.stat().st_mode & 0o077 == 0, f"{path} is readable by others"


def test_a_server_of_the_stack_gets_no_secret_that_it_does_not_need(tmp_path: Path) -> None:
    """This holds even if the stack is started with every secret setting in the environment, and with umask 000."""
    home = tmp_path / "home"
    ports = {f"CXM_{name}_PORT": str(free_port()) for name in ("S3", "WAREHOUSE", "DOCS")}
    environment = {**os.environ, **SETTINGS, **ports, "CXM_HOME": str(home), **OTHERS}
    cxm = str(Path(sys.executable).parent / "cxm")
    only = ["--only", "s3", "--only", "warehouse", "--only", "docs"]
    subprocess.run([cxm, "up", *only], env=environment, cwd=PROJECT, check=True, capture_output=True, umask=0)
    try:
        known = json.loads((home / "run" / "processes.json").read_text())
        assert {"s3", "warehouse", "docs", "keeper"} <= set(known)
        mine = {*SETTINGS.values(), *OTHERS.values()}
        mine |= {p.get_secret_value() for p in Settings(home=home).warehouse_logins.values()}
        for name, process in known.items():
            values = "\n".join(psutil.Process(process["pid"]).environ().values())
            assert not [secret for secret in mine if secret in values], name
    finally:
        subprocess.run([cxm, "down"], env=environment, cwd=PROJECT, check=True, capture_output=True)
    for path in home.rglob("*"):
        if path.is_file() and home / "secrets" not in path.parents:
            assert not [secret for secret in mine if secret.encode() in path.read_bytes()], path
