"""The embedded stack's life: real SeaweedFS and docs servers are started, held, killed and stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psutil
import pytest

from flows.embedded import stack, supervisor
from flows.errors import ConfigurationError, InfrastructureError
from flows.settings import PROJECT, Settings

MakeHome = Callable[..., Settings]

HOLDER = """
import sys, time
from pathlib import Path
from flows.embedded import stack
from flows.settings import Settings
home, s3, docs, services = sys.argv[1:]
with stack.hold_servers(Settings(home=Path(home), s3_port=int(s3), docs_port=int(docs)), services.split(",")):
    print("ready", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[MakeHome]:
    """`make_home()` → settings of a new home; its stack is stopped after the test, whatever happened in it."""
    made: list[Settings] = []

    def make(name: str = "home", **ports: int) -> Settings:
        first = {"s3_port": random.randrange(12_000, 20_000), "docs_port": random.randrange(24_000, 30_000), **ports}
        made.append(Settings(home=tmp_path / name, **first))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for settings in made:
        stack.down(settings)


def holder(settings: Settings, services: str) -> subprocess.Popen[str]:
    """Start another process that holds the home's servers; return it once they are healthy."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(settings.home), str(settings.s3_port), str(settings.docs_port), services],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


UP = (
    HOLDER.split("with stack.hold_servers(")[0]
    + """
stack.up(Settings(home=Path(home), s3_port=int(s3), docs_port=int(docs)), services.split(","))
"""
)


def up_elsewhere(settings: Settings, services: str) -> dict[str, Any]:
    """Do `cxm up` in another process and wait for its end; return what is known of the stack's processes."""
    subprocess.run(
        [sys.executable, "-c", UP, str(settings.home), str(settings.s3_port), str(settings.docs_port), services],
        check=True,
        cwd=PROJECT,
    )
    run = settings.home / "run"
    known: dict[str, Any] = json.loads((run / "processes.json").read_text())
    return {**known, "supervisor": json.loads((run / "supervisor.json").read_text())}


def kill_with_keeper(known: dict[str, Any]) -> None:
    """Kill the supervisor and its keeper, so that nothing ends the servers."""
    os.kill(known["keeper"]["pid"], signal.SIGSTOP)  # else the supervisor would make a new one
    os.kill(known["supervisor"]["pid"], signal.SIGKILL)
    os.kill(known["keeper"]["pid"], signal.SIGKILL)
    assert wait_until(lambda: supervisor.alive(known["supervisor"]) is None)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill it, as the kernel would when memory runs out."""
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def processes(settings: Settings) -> list[psutil.Process]:
    """Find every process of this home by its command line or working folder, not by the files that the stack writes."""
    result = []
    for process in psutil.process_iter():
        try:
            mine = str(settings.home) in " ".join(process.cmdline()) or process.cwd().startswith(str(settings.home))
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                result.append(process)
        except psutil.Error:
            continue
    return result


def wait_until(claim: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Wait for the claim; return whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def state(settings: Settings) -> dict[str, str]:
    """Return service → state, as `cxm status` shows it."""
    return {s.name: s.state for s in stack.status(settings)}


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body


def s3_client(settings: Settings, endpoint: str) -> Any:
    import boto3

    identities = json.loads((settings.home / "secrets" / "s3.json").read_text())
    key = identities["identities"][0]["credentials"][0]
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key["accessKey"],
        aws_secret_access_key=key["secretKey"],
        region_name="us-east-1",
    )


def test_a_block_begins_when_the_first_servers_answer_and_waits_for_the_others(make_home: MakeHome) -> None:
    settings = make_home()
    with stack.hold_servers(settings, ("s3", "docs"), first=("docs",)) as endpoints:
        assert "docs" in endpoints
        stack.wait(settings, ("s3",))
        assert supervisor.answers(settings.s3_port, "/healthz")
        assert set(settings.stack) >= {"s3", "docs"}
    assert processes(settings) == []


def test_a_lease_has_healthy_servers_and_leaves_nothing_behind(make_home: MakeHome) -> None:
    settings = make_home()
    assert set(state(settings).values()) == {"stopped"}
    with stack.hold_servers(settings, ("s3", "docs")) as endpoints:
        (settings.home / "docs" / "index.html").write_text("<p>Data Docs</p>")
        assert get(endpoints["docs"]["url"]) == b"<p>Data Docs</p>"
        assert supervisor.answers(settings.s3_port, "/healthz")
        assert endpoints == settings.stack
        assert json.loads((settings.home / "run" / "stack.json").read_text()) == endpoints
        stopped = dict.fromkeys(("warehouse", "prefect", "worker"), "stopped")
        assert state(settings) == {"s3": "running", "docs": "running", **stopped}
        s3 = stack.status(settings)[0]
        assert (s3.pid, s3.port, s3.url, s3.note) == (
            endpoints["s3"]["pid"],
            settings.s3_port,
            endpoints["s3"]["endpoint"],
            "",
        )
        assert s3.memory_mb is not None
        assert s3.memory_mb > 10
        assert "SeaweedFS" in s3.log.read_text()
        assert len(processes(settings)) == 4  # the supervisor, its keeper and two servers
    assert processes(settings) == []
    assert set(state(settings).values()) == {"stopped"}
    with pytest.raises(ConfigurationError, match="no embedded stack runs"):
        _ = Settings(home=settings.home).stack


def test_every_server_listens_on_loopback_only(make_home: MakeHome) -> None:
    settings = make_home()
    with stack.hold_servers(settings, ("s3", "docs")):
        listening = [
            c.laddr.ip for p in processes(settings) for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN
        ]
        assert len(listening) >= 3
        assert set(listening) == {"127.0.0.1"}


def test_up_stays_until_down_and_later_services_join(make_home: MakeHome) -> None:
    settings = make_home()
    first = stack.up(settings, ["docs"])
    with stack.hold_servers(settings, ["docs"]):
        pass
    assert state(settings)["docs"] == "running"
    both = stack.up(settings, ["s3"])
    assert both["docs"] == first["docs"]
    assert both["supervisor_pid"] == first["supervisor_pid"]
    assert state(settings)["s3"] == "running"
    assert stack.down(settings) is True
    assert processes(settings) == []
    assert stack.down(settings) is False


def test_objects_survive_a_restart_and_a_killed_server(make_home: MakeHome) -> None:
    settings = make_home()
    with stack.hold_servers(settings, ["s3"]) as endpoints:
        client = s3_client(settings, endpoints["s3"]["endpoint"])
        client.create_bucket(Bucket="landing")
        client.put_object(Bucket="landing", Key="raw/a.csv", Body=b"id\n1\n")
    with stack.hold_servers(settings, ["s3"]) as endpoints:
        client = s3_client(settings, endpoints["s3"]["endpoint"])
        client.put_object(Bucket="landing", Key="raw/b.csv", Body=b"id\n2\n")
        killed = endpoints["s3"]["pid"]
        os.kill(killed, signal.SIGKILL)
        assert wait_until(lambda: stack.status(settings)[0].pid not in (None, killed))
        assert wait_until(lambda: state(settings)["s3"] == "running")
        # The endpoint stays the same, so its clients continue.
        assert Settings(home=settings.home).stack["s3"]["endpoint"] == endpoints["s3"]["endpoint"]
        assert client.get_object(Bucket="landing", Key="raw/a.csv")["Body"].read() == b"id\n1\n"
        assert client.get_object(Bucket="landing", Key="raw/b.csv")["Body"].read() == b"id\n2\n"
    moved = settings.model_copy(update={"s3_port": settings.s3_port + 100})
    with stack.hold_servers(moved, ["s3"]) as endpoints:
        assert endpoints["s3"]["endpoint"].endswith(f":{moved.s3_port}")
        client = s3_client(settings, endpoints["s3"]["endpoint"])
        assert client.get_object(Bucket="landing", Key="raw/b.csv")["Body"].read() == b"id\n2\n"


def test_a_server_that_keeps_dying_is_given_up_and_tried_again_when_asked_for(make_home: MakeHome) -> None:
    settings = make_home()
    pid = stack.up(settings, ["docs"])["docs"]["pid"]
    for _ in range(supervisor.RESTARTS):
        old = pid
        os.kill(old, signal.SIGKILL)
        assert wait_until(lambda old=old: stack.status(settings)[3].pid not in (None, old))  # type: ignore[misc]
        pid = stack.status(settings)[3].pid
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: state(settings)["docs"] == "failed")
    assert stack.status(settings)[3].note == "ended with exit code -9"
    stack.up(settings, ["docs"])
    assert state(settings)["docs"] == "running"


def test_two_homes_with_the_same_settings_start_at_once_and_keep_apart(make_home: MakeHome) -> None:
    one = make_home("one")
    two = make_home("two", s3_port=one.s3_port, docs_port=one.docs_port)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda s: stack.up(s, ["s3", "docs"]), (one, two))
    ports = {
        e[k].split(":")[-1] for e in (first["s3"], second["s3"], first["docs"], second["docs"]) for k in e if k != "pid"
    }
    assert first["docs"]["url"].split("/")[3] != second["docs"]["url"].split("/")[3], "each link names its home"
    assert len(ports) == 4
    notes = {s.note for settings in (one, two) for s in stack.status(settings) if s.name == "s3"}
    assert notes == {"", f"port {one.s3_port} (CXM_S3_PORT) was busy"}
    s3_client(one, first["s3"]["endpoint"]).create_bucket(Bucket="of-one")
    assert s3_client(two, second["s3"]["endpoint"]).list_buckets()["Buckets"] == []
    stack.down(one)
    assert state(two)["s3"] == "running"


def test_a_busy_port_gives_the_next_free_one(make_home: MakeHome) -> None:
    settings = make_home()
    with socket.socket() as http, socket.socket() as grpc, socket.socket() as docs:
        http.bind(("127.0.0.1", settings.s3_port))
        grpc.bind(
            ("127.0.0.1", settings.s3_port + 1 + 10_000)
        )  # SeaweedFS listens there too when its port is s3_port + 1
        docs.bind(("127.0.0.1", settings.docs_port))
        for taken in (http, grpc, docs):
            taken.listen()
        with stack.hold_servers(settings, ("s3", "docs")) as endpoints:
            assert endpoints["s3"]["endpoint"] == f"http://127.0.0.1:{settings.s3_port + 2}"
            assert endpoints["docs"]["url"].startswith(f"http://127.0.0.1:{settings.docs_port + 1}/home-")
            assert stack.status(settings)[3].note == f"port {settings.docs_port} (CXM_DOCS_PORT) was busy"


def test_a_home_keeps_its_ports_and_a_link_of_another_home_is_refused(make_home: MakeHome) -> None:
    """Of two homes with the same settings, the one that got the next port keeps it when it is started alone."""
    one = make_home("one")
    two = make_home("two", s3_port=one.s3_port, docs_port=one.docs_port)
    with stack.hold_servers(one, ["docs"]) as first, stack.hold_servers(two, ["docs"]) as second:
        links = first["docs"]["url"], second["docs"]["url"]
    assert f":{one.docs_port + 1}/" in links[1]
    with stack.hold_servers(two, ["docs"]) as again:
        assert again["docs"]["url"] == links[1], "although the first port is free"
        assert get(links[1])
    for path in two.home.glob("ports.json"):
        path.unlink()  # as if its old port had been busy: it gets the port that the first home had
    with stack.hold_servers(two, ["docs"]) as moved:
        assert moved["docs"]["url"].split("/")[2] == links[0].split("/")[2]
        with pytest.raises(HTTPError) as refused:
            get(links[0])
        assert refused.value.code == 404


def test_a_killed_command_leaves_nothing_running(make_home: MakeHome) -> None:
    settings = make_home()
    command = holder(settings, "s3,docs")
    assert len(processes(settings)) == 5
    kill(command)
    assert wait_until(lambda: processes(settings) == [])


def test_a_command_killed_while_servers_start_leaves_nothing_running(make_home: MakeHome) -> None:
    settings = make_home()
    command = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(settings.home), str(settings.s3_port), str(settings.docs_port), "s3"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        start_new_session=True,
    )
    assert wait_until(lambda: (settings.home / "run" / "processes.json").exists())
    kill(command)
    assert wait_until(lambda: processes(settings) == [])


def test_the_second_holder_keeps_the_servers_when_the_first_has_gone(make_home: MakeHome) -> None:
    settings = make_home()
    command = holder(settings, "docs")
    with stack.hold_servers(settings, ["docs"]) as endpoints:
        kill(command)
        time.sleep(1.0)  # five checks of the supervisor
        assert get(endpoints["docs"]["url"])
        other = holder(settings, "docs")
    # This process has left without waiting for servers that the other still uses.
    assert state(settings)["docs"] == "running"
    assert stack.status(settings)[3].pid == endpoints["docs"]["pid"]
    kill(other)
    assert wait_until(lambda: processes(settings) == [])


def test_a_killed_supervisor_takes_its_servers_along_and_the_next_start_works(make_home: MakeHome) -> None:
    settings = make_home()
    known = up_elsewhere(settings, "s3,docs")
    os.kill(known["supervisor"]["pid"], signal.SIGKILL)
    assert wait_until(lambda: processes(settings) == [])
    assert set(state(settings).values()) == {"stopped"}
    with stack.hold_servers(settings, ["s3", "docs"]) as again:
        assert again["docs"]["pid"] != known["docs"]["pid"]
        assert get(again["docs"]["url"])
    assert processes(settings) == []  # the killed supervisor was asked to stay up, the new one was not


def test_a_start_ends_what_a_supervisor_killed_with_its_keeper_left(make_home: MakeHome) -> None:
    settings = make_home()
    known = up_elsewhere(settings, "docs")
    kill_with_keeper(known)
    assert supervisor.alive(known["docs"])
    with stack.hold_servers(settings, ["docs"]) as again:
        # The server that was left no longer has the port.
        assert again["docs"]["url"].startswith(f"http://127.0.0.1:{settings.docs_port}/home-")
        assert supervisor.alive(known["docs"]) is None
    assert processes(settings) == []


def test_down_ends_what_a_supervisor_killed_with_its_keeper_left(make_home: MakeHome) -> None:
    settings = make_home()
    kill_with_keeper(up_elsewhere(settings, "docs"))
    assert stack.down(settings) is True
    assert processes(settings) == []


def test_a_stranger_that_got_the_pid_of_a_dead_server_is_not_touched(make_home: MakeHome) -> None:
    settings = make_home()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (settings.home / "run").mkdir(parents=True)
        stale = {"pid": stranger.pid, "created": psutil.Process(stranger.pid).create_time() - 100}
        (settings.home / "run" / "supervisor.json").write_text(json.dumps(stale))
        (settings.home / "run" / "processes.json").write_text(
            json.dumps({"docs": {**stale, "port": 1}, "keeper": stale})
        )
        (settings.home / "run" / "stack.json").write_text(json.dumps({"docs": {"url": "http://127.0.0.1:1", "pid": 1}}))
        assert set(state(settings).values()) == {"stopped"}
        assert stack.down(settings) is False
        with stack.hold_servers(settings, ["docs"]) as endpoints:
            assert get(endpoints["docs"]["url"])
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_key_pair_is_made_once_and_only_its_owner_reads_it(make_home: MakeHome) -> None:
    settings = make_home()
    secrets = settings.home / "secrets"
    with stack.hold_servers(settings, ["s3"]) as endpoints:
        made = (secrets / "s3.json").read_text()
        key = json.loads(made)["identities"][0]["credentials"][0]
        s3_client(settings, endpoints["s3"]["endpoint"]).list_buckets()
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
        assert stat.S_IMODE((secrets / "s3.json").stat().st_mode) == 0o600
        for folder in ("run", "logs"):
            for path in (settings.home / folder).iterdir():
                if path.is_file():
                    assert key["secretKey"] not in path.read_text(errors="replace"), path
        for process in processes(settings):
            assert key["secretKey"] not in " ".join([*process.cmdline(), *process.environ().values()])
    with stack.hold_servers(settings, ["s3"]):
        assert (secrets / "s3.json").read_text() == made
    assert make_home("other") != settings


def test_another_key_is_refused(make_home: MakeHome) -> None:
    import boto3
    from botocore.exceptions import ClientError

    settings = make_home()
    with stack.hold_servers(settings, ["s3"]) as endpoints:
        stranger = boto3.client(
            "s3",
            endpoint_url=endpoints["s3"]["endpoint"],
            aws_access_key_id="SOMEBODYELSE",
            aws_secret_access_key="SOMETHINGELSE",
            region_name="us-east-1",
        )
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            stranger.list_buckets()


def test_a_damaged_key_file_is_named_and_left_as_it_is(make_home: MakeHome) -> None:
    settings = make_home()
    (settings.home / "secrets").mkdir(parents=True)
    (settings.home / "secrets" / "s3.json").write_text("{}")
    with (
        pytest.raises(ConfigurationError, match=r"s3\.json: expected an identities JSON"),
        stack.hold_servers(settings, ["s3"]),
    ):
        pass
    assert (settings.home / "secrets" / "s3.json").read_text() == "{}"
    assert processes(settings) == []


def test_servers_get_no_cloud_keys_and_no_foreign_prefect_settings(
    make_home: MakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql://elsewhere/prefect")
    monkeypatch.setenv("CXM_SNOWFLAKE_PRIVATE_KEY", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    settings = make_home()
    with stack.hold_servers(settings, ["s3"]) as endpoints:
        names = set(psutil.Process(endpoints["s3"]["pid"]).environ())
    assert not names & {
        "AWS_ACCESS_KEY_ID",
        "PREFECT_API_DATABASE_CONNECTION_URL",
        "CXM_SNOWFLAKE_PRIVATE_KEY",
        "HTTPS_PROXY",
    }
    assert {"DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED"} <= names


def test_a_server_that_does_not_start_is_named_with_the_end_of_its_log_and_others_stay(make_home: MakeHome) -> None:
    settings = make_home()
    stack.up(settings, ["docs"])
    (settings.home / "s3").mkdir()
    (settings.home / "s3" / "filerldb2").write_text("a file where SeaweedFS keeps a directory")
    with pytest.raises(InfrastructureError, match=r"(?s)embedded s3: ended with exit code.*s3\.log:.*filerldb2"):
        stack.up(settings, ["s3"])
    assert state(settings)["s3"] == "failed"
    assert state(settings)["docs"] == "running"
    (settings.home / "s3" / "filerldb2").unlink()
    stack.up(settings, ["s3"])
    assert state(settings)["s3"] == "running"


def test_a_stack_of_which_a_server_does_not_start_stops_again(make_home: MakeHome) -> None:
    settings = make_home()
    settings.home.mkdir()
    (settings.home / "docs").write_text("a file where a directory belongs")
    with pytest.raises(InfrastructureError, match=r"embedded docs: .*File exists"):
        stack.up(settings, ["s3", "docs"])
    assert processes(settings) == []


def test_a_log_has_this_start_and_the_previous_one(make_home: MakeHome) -> None:
    settings = make_home()
    for _ in range(3):
        with stack.hold_servers(settings, ["docs"]) as endpoints:
            get(f"{endpoints['docs']['url']}/?{endpoints['docs']['pid']}")
    logs = settings.home / "logs"
    assert sorted(p.name for p in logs.iterdir() if p.name.startswith("docs")) == ["docs.log", "docs.log.1"]
    assert f"/?{endpoints['docs']['pid']}" in (logs / "docs.log").read_text()
    assert f"/?{endpoints['docs']['pid']}" not in (logs / "docs.log.1").read_text()


def test_servers_stay_when_up_ends_at_the_moment_the_supervisor_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    real = supervisor.taken

    def up_ends_just_before(lease: int) -> bool:
        (run / "persistent").touch()
        return real(lease)

    monkeypatch.setattr(supervisor, "taken", up_ends_just_before)
    with (run / "lease").open("a") as lease, (run / "lease").open("a") as command:
        assert supervisor.Supervisor(tmp_path, {})._is_needed(lease.fileno())
        assert real(command.fileno()), "the next command would wait for a supervisor that stays"
