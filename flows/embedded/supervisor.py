"""Runs the embedded servers of a home, as `python -m flows.embedded.supervisor`: s3, warehouse, prefect, docs,
and the worker of `cxm up`.

It runs as long as a process holds the home (a shared lock on the file `run/lease`, which the kernel releases when its holder
dies) or `run/persistent` exists. Otherwise it stops every server and ends, so a command that crashes leaves nothing
running. If it is killed, a keeper (a shell that waits for the end of a pipe) ends the servers; if both are killed,
the next start does.

Files in `run/`: `supervisor.json` and `processes.json` (pid and create time, so that another process with a recycled pid is never
taken for ours), `wanted.json` (requested services), `stack.json` (endpoints of services that have answered once), `failed.json`.

Long because it is one program, and starting, watching and stopping each server use the same few files.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from flows.embedded import object_store, prefect_server
from flows.embedded.preloaded import CODE_HAS_CHANGED
from flows.errors import InfrastructureError

SERVICES = ("s3", "warehouse", "prefect", "docs")  # the services that a command can hold
WORKER = "worker"  # `cxm up` starts it too: it runs the deployments
# Creating a Prefect database takes 12 s of one core, and several times that on a busy machine.
START_SECONDS = {"s3": 30.0, "warehouse": 60.0, "prefect": 240.0, "docs": 30.0, "worker": 120.0}
HEALTH = {"s3": "/healthz", "warehouse": "/health", "prefect": "/api/health", "docs": "/", "worker": "/health"}
RESTARTS = 3
STABLE_SECONDS = 600.0  # after running this long, a server's count of restarts is reset
STOP_SECONDS = 10.0

# $1 is the process group of the supervisor, which its servers share and the keeper does not.
KEEPER = """
read -r _
kill -s TERM -- "-$1" 2>/dev/null || exit 0
i=0
while [ $i -lt 50 ] && kill -s 0 -- "-$1" 2>/dev/null; do sleep 0.1; i=$((i + 1)); done
kill -s KILL -- "-$1" 2>/dev/null
"""

log = logging.getLogger("flows.embedded.supervisor")


@dataclass
class Service:
    """One server: its command line, its address, and its recorded state."""

    name: str
    port: int
    command: list[str]
    environment: dict[str, str]
    endpoint: dict[str, Any]  # its entry in stack.json, without the pid
    process: subprocess.Popen[bytes]
    healthy: bool = False  # has answered since it was last started
    announced: bool = False  # is in stack.json, because it has answered once
    restarts: int = 0
    started: float = field(default_factory=time.monotonic)


class Supervisor:
    """Starts the services in `run/wanted.json`, restarts those that die, and stops all when no process needs them."""

    def __init__(self, home: Path, first_ports: dict[str, int]) -> None:
        self.home = home
        self.run = home / "run"
        self.first_ports = first_ports  # service → the first port tried
        self.ports = Ports()
        self.services: dict[str, Service] = {}
        self.keeper: subprocess.Popen[bytes] | None = None
        self.preloaded: subprocess.Popen[bytes] | None = None
        self.stopping = False

    def main(self) -> None:
        """Run until stopped by a signal or no longer needed."""
        if os.getpgrp() != os.getpid():
            os.setpgrp()  # the keeper ends the whole process group, so only our servers may be in it
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        write_json(self.run / "supervisor.json", identity(os.getpid()))
        end_leftovers(self.run)
        with (self.run / "lease").open("a") as lock:
            try:
                while not self.stopping:
                    self._tend_keeper()
                    self._start_requested()
                    for service in list(self.services.values()):
                        self._tend(service)
                    self._tend_preloaded()
                    if not self._is_needed(lock.fileno()):
                        break
                    time.sleep(0.2 if all(s.healthy for s in self.services.values()) else 0.05)
            finally:
                (self.run / "stack.json").unlink(missing_ok=True)
                self._end_worker()  # before the servers, so that its runs can give their leases back
                end(s.process for s in self.services.values())
                end(process for process in (self.preloaded, self.keeper) if process)
                # supervisor.json stays: a process that waits for this one to end identifies it by that file.
                for file in ("processes.json", "wanted.json", "failed.json", "persistent"):
                    (self.run / file).unlink(missing_ok=True)
        log.info("stopped")

    def _is_needed(self, lock: int) -> bool:
        """Return whether a process holds the home, or `up` keeps the servers.

        If not, the lock is kept, so that the next command waits until this process has ended and starts a new one.
        """
        persistent = self.run / "persistent"
        if persistent.exists() or not taken(lock):
            return True
        if not persistent.exists():
            return False
        fcntl.flock(lock, fcntl.LOCK_UN)  # `up` wrote it and released its lock between the two checks
        return True

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _end_worker(self) -> None:
        """End the worker and the runs that it started, which would outlive it."""
        if worker := self.services.pop(WORKER, None):
            runs: list[psutil.Process] = []
            with suppress(psutil.NoSuchProcess):
                runs = psutil.Process(worker.process.pid).children(recursive=True)
            end([worker.process, *runs])

    def _start_requested(self) -> None:
        requested = read_json(self.run / "wanted.json") or []
        failed = read_json(self.run / "failed.json") or {}
        for name in (*SERVICES, WORKER):
            # A failed service is started again when a command requests it, which removes its name from failed.json.
            if name in requested and name not in self.services and name not in failed:
                try:
                    port, command, environment, endpoint = self._plan(name)
                    process = self._spawn(name, command, environment)
                except (InfrastructureError, OSError) as error:
                    self._fail(name, str(error))
                else:
                    self.services[name] = Service(name, port, command, environment, endpoint, process)
                    self._record()
                    log.info("%s: started, pid %d, port %d", name, process.pid, port)

    def _plan(self, name: str) -> tuple[int, list[str], dict[str, str], dict[str, Any]]:
        """Reserve a service's port, create its directory, and return port, command line, environment and endpoint."""
        home = self.home / name
        home.mkdir(exist_ok=True)
        port = self._take_port(name)
        url = f"http://127.0.0.1:{port}"
        identities = self.home / "secrets" / "s3.json"
        if name == "s3":
            object_store.configure(identities.parent)
            inner = {n: self.ports.take(p, object_store.GRPC_OFFSET) for n, p in object_store.INNER_PORTS.items()}
            return port, object_store.command(home, identities, {"s3": port, **inner}), {}, {"endpoint": url}
        if name == "prefect":
            environment = prefect_server.environment(home, port, self._prefect_auth())
            return port, prefect_server.command(port), environment, {"api_url": f"{url}/api", "ui_url": url}
        if name == "warehouse":
            if "s3" not in self.services:
                raise InfrastructureError("the S3 server that the warehouse reads its stages from did not start")
            s3 = self.services["s3"].endpoint["endpoint"]
            command = [sys.executable, "-m", "flows.embedded.warehouse", "--port", str(port), "--dir", str(home)]
            command += ["--users", str(self.home / "secrets" / "warehouse.json")]
            command += ["--s3-endpoint", s3, "--s3-identity", str(identities)]
            return port, command, {}, {"host": "127.0.0.1", "port": port}
        if name == WORKER:
            if "prefect" not in self.services:
                raise InfrastructureError("the Prefect server that the worker asks for work did not start")
            environment = prefect_server.worker_environment(
                self.home,
                port,
                self.services["prefect"].endpoint["api_url"],
                self.services["prefect"].endpoint["ui_url"],
                self._prefect_auth(),
            )
            return port, prefect_server.worker_command(), environment, {"url": url}
        mark = read_json(self.home / "secrets" / "warehouse.json")["home"]
        command = [sys.executable, "-m", "flows.embedded.docs_server", str(port), str(home), mark]
        return port, command, {}, {"url": f"{url}/home-{mark}"}

    def _take_port(self, name: str) -> int:
        """Take the service's previous port in this home, so that links of earlier runs work, if it is free and the setting has
        not changed; else the first free one from the setting's on."""
        first, offset = self.first_ports[name], object_store.GRPC_OFFSET if name == "s3" else 0
        had = read_json(self.home / "ports.json") or {}
        before = had.get(name, {})
        port = self.ports.try_take(before["port"], offset) if before.get("first") == first else None
        if port is None:
            port = self.ports.take(first, offset)
        write_json(self.home / "ports.json", {**had, name: {"first": first, "port": port}})
        return port

    def _prefect_auth(self) -> str:
        return (self.home / "secrets" / "prefect.auth").read_text(encoding="utf-8")

    def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        # Settings of runs, which may hold a private key, are passed only to the worker, which starts the runs.
        inherited = {n: value for n, value in os.environ.items() if name == WORKER or not n.startswith("CXM_")}
        with (self.home / "logs" / f"{name}.log").open("ab") as out:
            return subprocess.Popen(
                command,
                env={**inherited, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.run,
                umask=0o077,  # SeaweedFS creates sockets in the temporary directory
            )

    def _tend(self, service: Service) -> None:
        """Announce a server that became healthy, restart one that died, give up on one that does not become healthy."""
        code = service.process.poll()
        age = time.monotonic() - service.started
        if code is not None:
            if age > STABLE_SECONDS:
                service.restarts = 0
            if not service.announced or service.restarts >= RESTARTS:
                self._fail(service.name, f"ended with exit code {code}")
                return
            service.restarts += 1
            log.warning("%s: ended with exit code %d, restart %d", service.name, code, service.restarts)
            service.process = self._spawn(service.name, service.command, service.environment)
            service.started, service.healthy = time.monotonic(), False
            self._record()
        elif not service.healthy and answers(service.port, HEALTH[service.name]):
            service.healthy = service.announced = True
            if service.name == "prefect":
                prefect_server.healthy_once(self.home / "prefect")
            log.info("%s: well after %.1f s", service.name, age)
            self._record()
        elif not service.healthy and age > START_SECONDS[service.name]:
            self._fail(service.name, f"did not answer on port {service.port} within {START_SECONDS[service.name]:g} s")

    def _fail(self, name: str, reason: str) -> None:
        """Give up on one service; the others stay, because other commands may use them."""
        log.error("%s: %s", name, reason)
        service = self.services.pop(name, None)
        if service:
            end([service.process])
        self._record()
        write_json(self.run / "failed.json", {**(read_json(self.run / "failed.json") or {}), name: reason})

    def _tend_keeper(self) -> None:
        if self.keeper is None or self.keeper.poll() is not None:
            self.keeper = subprocess.Popen(
                ["/bin/sh", "-c", KEEPER, "cxm-keeper", str(os.getpgrp())],
                env={"PATH": os.environ.get("PATH", os.defpath)},  # without the settings, which only the worker gets
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            self._record()

    def _tend_preloaded(self) -> None:
        """Start the process that commands are forked from, once the worker runs, with which the stack stays. If the process ends,
        start it again only if it ended because the code has changed."""
        if not (WORKER in self.services and self.services[WORKER].healthy):
            return
        if self.preloaded is None or self.preloaded.poll() == CODE_HAS_CHANGED:
            command = [sys.executable, "-m", "flows.preloaded", str(self.home)]
            prefect = {"PREFECT_HOME": str(self.home / "prefect"), "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}
            self.preloaded = self._spawn("preloaded", command, prefect)  # a command brings its own address and login
            self._record()

    def _record(self) -> None:
        """Record the processes, and the endpoints of those that have answered once."""
        services = self.services.values()
        processes = {s.name: {**identity(s.process.pid), "port": s.port} for s in services}
        for name, process in (("preloaded", self.preloaded), ("keeper", self.keeper)):
            if process:
                processes[name] = identity(process.pid)
        write_json(self.run / "processes.json", processes)
        endpoints = {s.name: {**s.endpoint, "pid": s.process.pid} for s in services if s.announced}
        if endpoints:
            write_json(self.run / "stack.json", {"supervisor_pid": os.getpid(), **endpoints})
        else:
            (self.run / "stack.json").unlink(missing_ok=True)


class Ports:
    """Hands out free ports of 127.0.0.1, each once, also among homes of the same user that start at the same time.

    A port is held by a lock on its byte of one file, which the kernel releases when this process ends.
    """

    def __init__(self) -> None:
        self._locks = (Path(tempfile.gettempdir()) / f"cxm-ports-{os.getuid()}").open("a")
        self._taken: set[int] = set()

    def take(self, first: int, offset: int = 0) -> int:
        """Take the first free port from `first` on; with an `offset`, the port that much higher must be free too.

        Raises:
            InfrastructureError: every port is busy.
        """
        for port in range(first, 55_536 - offset):
            if self.try_take(port, offset) is not None:
                return port
        raise InfrastructureError(
            f"no free port from {first} to {55_535 - offset}; end what listens there, or set another"
        )

    def try_take(self, port: int, offset: int = 0) -> int | None:
        """Take this port, and with an `offset` the one that much higher; None if one is busy."""
        needed = {port, port + offset}
        if needed & self._taken or not all(self._hold(p) and is_free(p) for p in needed):
            return None
        self._taken |= needed
        return port

    def _hold(self, port: int) -> bool:
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        return True


def is_free(port: int) -> bool:
    """Return whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False  # on macOS the address can be bound beside a server that listens on all of them
    with socket.socket() as probe:
        # As servers do: closing connections of an earlier server do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int, path: str) -> bool:
    """Return whether the server on 127.0.0.1:`port` answers 200 within 2 s. It uses no proxy of the environment."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def taken(lock: int) -> bool:
    """Try to lock the file exclusively, which succeeds if no process holds the home."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def identity(pid: int) -> dict[str, Any]:
    """Return pid and create time, by which a process differs from a later one with the same pid."""
    try:
        return {"pid": pid, "created": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return {"pid": pid, "created": 0.0}


def alive(known: dict[str, Any] | None) -> psutil.Process | None:
    """Return the process with this `identity`, if it still runs; not another one that has its pid now."""
    if not known:
        return None
    try:
        process = psutil.Process(known["pid"])
        same = abs(process.create_time() - known["created"]) < 0.5
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def end(processes: Iterable[psutil.Process | subprocess.Popen[bytes]]) -> None:
    """Send all processes a signal to end, and kill those that still run after `STOP_SECONDS`."""
    left = list(processes)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in left:
        with suppress(psutil.NoSuchProcess):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
                process.kill()
                process.wait()


def end_leftovers(run: Path) -> bool:
    """End processes that a killed supervisor and keeper left running, and delete its files; True if there were any."""
    left = [p for p in map(alive, (read_json(run / "processes.json") or {}).values()) if p]
    end(left)
    for file in ("stack.json", "processes.json", "failed.json"):
        (run / file).unlink(missing_ok=True)
    return bool(left)


def read_json(path: Path) -> Any:
    """Read the JSON document at `path`; None if the file does not exist or is not JSON."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def write_json(path: Path, document: object) -> None:
    """Write atomically: readers never see half a document."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(document))
    part.replace(path)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Arguments instead of settings: importing pydantic takes a third of the S3 server's start time.
    Supervisor(Path(sys.argv[1]), {k: int(v) for k, v in (a.split("=") for a in sys.argv[2:])}).main()
