"""Starts, holds, stops and inspects the embedded stack; its state is in `CXM_HOME/run/stack.json`.

`flows.embedded.supervisor` owns the servers; this module starts it, waits for it, and holds the home, which keeps it alive.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psutil

from flows.embedded import home_secrets, supervisor
from flows.embedded.supervisor import SERVICES, WORKER, alive, end_leftovers, read_json, write_json
from flows.errors import InfrastructureError
from flows.project import CHECKOUT
from flows.settings import TELEMETRY_OFF, Settings

STOP_SECONDS = 20.0

# Variables that servers inherit from this process. Cloud keys, proxies and the user's Prefect settings are left out: SeaweedFS
# would take AWS_ACCESS_KEY_ID for an identity, and Prefect would open the database that PREFECT_* names. CXM_*
# variables are inherited, because the worker's runs read them.
INHERITED = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "COVERAGE_PROCESS_CONFIG",  # `make coverage` measures the servers too
)  # fmt: skip

# Supervisors that this process started, kept so that they are reaped when they end.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One server: whether it runs, where, since when (local time), how much memory it holds in MB, and its log."""

    name: str
    state: str  # running, starting, unresponsive (runs but does not answer), failed, stopped
    url: str
    port: int | None
    pid: int | None
    since: str
    memory_mb: int | None
    log: Path
    note: str  # why it failed, or that it uses another port than the setting's


@contextmanager
def hold_servers(
    settings: Settings, services: Sequence[str] = SERVICES, first: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Keep the servers running and healthy during the block; yields the endpoints of `run/stack.json`.

    Servers that do not run are started. The last block to end waits until they have stopped, unless `up` keeps them. With `first`
    the block begins as soon as those are healthy; `wait` waits for the others.

    Raises:
        ConfigurationError: a file of the home's secrets is damaged.
        InfrastructureError: a server did not start; the message has the end of its log.
    """
    held = _ensure(settings, services, services if first is None else first)
    try:
        yield settings.stack
    finally:
        held.close()
        _wait_until_gone(settings)


def wait(settings: Settings, services: Sequence[str]) -> None:
    """Wait until these servers are healthy; call it inside `hold_servers`.

    Raises:
        InfrastructureError: a server did not start; the message has the end of its log.
    """
    _wait_until_healthy(settings, set(services))


def up(settings: Settings, only: Sequence[str] | None = None) -> dict[str, Any]:
    """Start the servers, leave them running until `down`, and return their endpoints.

    Raises:
        ConfigurationError: a file of the home's secrets is damaged.
        InfrastructureError: a server did not start; the message has the end of its log. Servers that ran before keep running.
    """
    with hold_servers(settings, only or SERVICES) as endpoints:
        (settings.home / "run" / "persistent").touch()
    return endpoints


def down(settings: Settings) -> bool:
    """Stop every server of this home, even if a command uses it; False if none ran. The data stays."""
    run = _directories(settings)
    with _starting(run):  # no other command starts a server meanwhile
        (run / "persistent").unlink(missing_ok=True)
        running = alive(read_json(run / "supervisor.json"))
        if running:
            try:
                running.send_signal(signal.SIGTERM)
                running.wait(STOP_SECONDS)
            except psutil.NoSuchProcess:
                pass
            except psutil.TimeoutExpired:
                running.kill()
        return end_leftovers(run) or running is not None


def status(settings: Settings) -> list[ServiceStatus]:
    """Return the status of every server of the stack, running or not."""
    run = settings.home / "run"
    up_now = alive(read_json(run / "supervisor.json")) is not None
    known, stack, failed = (
        (read_json(run / name) or {}) if up_now else {} for name in ("processes.json", "stack.json", "failed.json")
    )
    return [
        _status(settings, name, known.get(name), stack.get(name), failed.get(name, "")) for name in (*SERVICES, WORKER)
    ]


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which a process uses this home's Prefect server.

    Raises:
        ConfigurationError: no stack runs in this home.
        InfrastructureError: one runs, without a Prefect server.
    """
    if "prefect" not in settings.stack:
        raise InfrastructureError(
            f"{settings.home / 'run' / 'stack.json'}: has no Prefect server, only {', '.join(settings.stack)}; start it "
            "with `cxm up --only prefect`."
        )
    return _prefect_environment(settings, settings.stack["prefect"]["ui_url"])


def starting_prefect_environment(settings: Settings) -> dict[str, str]:
    """Return `prefect_environment` for a server that may still be starting, so that Prefect can be imported; `wait` waits for it.

    Raises:
        InfrastructureError: it did not start; the message has the end of its log.
    """
    known = (read_json(settings.home / "run" / "processes.json") or {}).get("prefect")
    if known is None:
        wait(settings, ["prefect"])
        return prefect_environment(settings)
    return _prefect_environment(settings, f"http://127.0.0.1:{known['port']}")


def _prefect_environment(settings: Settings, url: str) -> dict[str, str]:
    return {
        **TELEMETRY_OFF,
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_API_AUTH_STRING": settings.prefect_auth.get_secret_value(),
        "PREFECT_UI_URL": url,
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }


def tool_environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which `prefect` and Great Expectations use this home's running servers.

    Raises:
        ConfigurationError: no stack runs in this home.
    """
    running = settings.stack
    environment = {"CXM_HOME": str(settings.home)}
    if "prefect" in running:
        environment |= prefect_environment(settings)
    if "warehouse" in running:
        environment["CXM_WAREHOUSE_LOADER_PASSWORD"] = settings.warehouse_logins["CXM_LOADER_SVC"].get_secret_value()
    known = read_json(settings.home / "run" / "processes.json") or {}
    ports = {name: known[name]["port"] for name in (*SERVICES, WORKER) if name in known and name in running}
    return environment | {f"CXM_{name.upper()}_PORT": str(port) for name, port in ports.items()}


def _status(
    settings: Settings, name: str, known: dict[str, Any] | None, recorded: dict[str, Any] | None, failure: str
) -> ServiceStatus:
    log = settings.home / "logs" / f"{name}.log"
    process = alive(known)
    if known is None or process is None:
        return ServiceStatus(name, "failed" if failure else "stopped", "", None, None, "", None, log, failure)
    port = known["port"]
    well = supervisor.answers(port, supervisor.HEALTH[name])
    first = _first_ports(settings)[name]
    return ServiceStatus(
        name,
        "running" if recorded and well else "unresponsive" if recorded else "starting",
        f"http://127.0.0.1:{port}",
        port,
        process.pid,
        datetime.fromtimestamp(known["created"], UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        process.memory_info().rss // 2**20,
        log,
        "" if port == first else f"port {first} (CXM_{name.upper()}_PORT) was busy",
    )


def _first_ports(settings: Settings) -> dict[str, int]:
    return {name: getattr(settings, f"{name}_port") for name in (*SERVICES, WORKER)}


def _directories(settings: Settings) -> Path:
    for name in ("run", "logs"):
        (settings.home / name).mkdir(parents=True, exist_ok=True)
    return settings.home / "run"


@contextmanager
def _starting(run: Path) -> Iterator[None]:
    """Hold the lock of this home with which only one command at a time may start or stop the supervisor."""
    with (run / "start.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ensure(settings: Settings, services: Sequence[str], first: Sequence[str]) -> IO[str]:
    """Hold the home, request the services, and wait until those in `first` are healthy; returns the file whose lock holds it."""
    run = _directories(settings)
    needed = {*services, *(["s3"] if "warehouse" in services else [])}
    needed |= {"s3", "warehouse", "prefect"} if WORKER in services else set()
    held = (run / "lease").open("a")
    try:
        with _starting(run):
            home_secrets.ensure(settings)
            fcntl.flock(held, fcntl.LOCK_SH)  # waits for a supervisor that is stopping
            running = alive(read_json(run / "supervisor.json")) is not None
            requested = set(read_json(run / "wanted.json") or []) if running else set()
            write_json(run / "wanted.json", sorted(requested | needed))
            failed = read_json(run / "failed.json") or {}
            write_json(run / "failed.json", {k: v for k, v in failed.items() if k not in needed})
            if not running:
                _spawn_supervisor(settings)
        _wait_until_healthy(settings, needed & set(first))
    except BaseException:
        held.close()
        _wait_until_gone(settings)
        raise
    return held


def _spawn_supervisor(settings: Settings) -> None:
    run = settings.home / "run"
    # A killed supervisor's records no longer apply, nor does the `persistent` with which `up` asked it to stay.
    for name in ("supervisor.json", "stack.json", "persistent"):
        (run / name).unlink(missing_ok=True)
    for log in (settings.home / "logs").glob("*.log"):
        log.replace(log.with_suffix(".log.1"))  # the logs of this start and the previous one are kept
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("CXM_")}
    path = os.pathsep.join(filter(None, [str(CHECKOUT or ""), os.environ.get("PYTHONPATH")]))
    with (settings.home / "logs" / "supervisor.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.embedded.supervisor", str(settings.home)]
            + [f"{name}={port}" for name, port in _first_ports(settings).items()],
            # The servers import the checkout even if it is not installed, and nothing from their working directory, where they
            # must not look for the project either.
            env={
                **inherited,
                **TELEMETRY_OFF,
                "CXM_PROJECT": str(settings.project),
                "PYTHONPATH": path,
                "PYTHONSAFEPATH": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=run,
            start_new_session=True,
        )
    _started.append(process)
    deadline = time.monotonic() + 30
    while not (run / "supervisor.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def _wait_until_healthy(settings: Settings, needed: set[str]) -> None:
    run = settings.home / "run"
    deadline = time.monotonic() + max(supervisor.START_SECONDS.values()) + 30
    while True:
        ended = alive(read_json(run / "supervisor.json")) is None
        if not ended and needed <= set(read_json(run / "stack.json") or {}):
            return
        failed = {k: v for k, v in (read_json(run / "failed.json") or {}).items() if k in needed}
        if failed:
            # Report the first failure: services that depend on it fail afterwards.
            raise _failure(settings, *next(iter(failed.items())))
        if ended or time.monotonic() > deadline:
            raise _failure(settings, "supervisor", "ended" if ended else "took too long")
        time.sleep(0.02)


def _failure(settings: Settings, name: str, reason: str) -> InfrastructureError:
    log = settings.home / "logs" / f"{name}.log"
    lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
    return InfrastructureError(
        f"embedded {name}: {reason}; expected it healthy. Fix what the end of its log says and run the command again (when a "
        f"server of an earlier start is in the way, `cxm down` first). {log}:\n" + ("\n".join(lines) or "(empty)")
    )


def _wait_until_gone(settings: Settings) -> None:
    """Wait until the supervisor has ended; return at once if it stays: `up` keeps it, or another command holds the home."""
    run = settings.home / "run"
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if (run / "persistent").exists() or alive(read_json(run / "supervisor.json")) is None:
            break
        if _is_held(run):
            break
        time.sleep(0.02)
    for process in list(_started):
        if process.poll() is not None:
            _started.remove(process)


def _is_held(run: Path) -> bool:
    """Return whether a command holds the home."""
    with (run / "lease").open("a") as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False  # the supervisor holds it exclusively: it is stopping the servers
        return not supervisor.taken(probe.fileno())
