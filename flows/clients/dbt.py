"""Runs dbt commands in separate processes, without importing dbt each time: `arguments, environment → output, exit code`.

dbt runs in its own process because it keeps global state, and because a process can be killed after a time limit. But importing
dbt takes longer than most of its commands. So one helper process (`dbt_helper`) imports it once, while Prefect is imported and
files are landing, and forks a child for each command; it ends when its parent process does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import psutil

from flows.errors import InfrastructureError
from flows.settings import TELEMETRY_OFF

_POLITE_SECONDS = 10.0  # for dbt to cancel its queries on the server after an interrupt
# A flow's cancellation is raised in this thread between two waits, so it is delayed by at most this long.
_WAIT_SECONDS = 0.5
_LISTEN_SECONDS = 0.1  # between two reads of dbt's output, if anything listens
_FOR_DBT = ("CXM_DBT_THREADS", "CXM_QUERY_TAG")  # variables that profiles.yml reads and a user may set

_one_command = threading.Lock()


class _Fork:
    """A helper that this process forked, with the attributes of `subprocess.Popen` that are used here."""

    def __init__(self, pid: int, stdin: TextIO, stdout: TextIO) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self) -> int:
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code

    def kill(self) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)


_helper: subprocess.Popen[str] | _Fork | None = None


def fork() -> None:
    """Fork the helper from this process, which has imported dbt and has no other thread (`flows.preloaded`)."""
    global _helper
    from flows.clients.dbt_helper import serve

    asks, answers = os.pipe(), os.pipe()
    sys.stdout.flush()
    if pid := os.fork():
        os.close(asks[0])
        os.close(answers[1])
        _helper = _Fork(pid, os.fdopen(asks[1], "w", encoding="utf-8"), os.fdopen(answers[0], encoding="utf-8"))
        return
    try:
        for ours, theirs in ((asks[0], 0), (answers[1], 1)):
            os.dup2(ours, theirs)
        os.closerange(3, 64)  # also the pipes' other ends, so that the helper ends when its caller closes them
        inherited = {**_inherited(), **TELEMETRY_OFF}
        os.environ.clear()
        os.environ.update(inherited)
        serve()
    finally:
        os._exit(1)


def warm() -> None:
    """Start importing dbt in the helper process, so that it is ready when needed; returns at once."""
    global _helper
    if _helper is None or _helper.poll() is not None:
        _helper = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.clients.dbt_helper"],
            env={**_inherited(), **TELEMETRY_OFF},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )


def prepare(project: Sequence[str], environment: Mapping[str, str], workdir: Path) -> None:
    """Have the helper read the project ahead of the next command with a `result`; returns at once. `project` are dbt's options
    that name the project; if that command has the same ones, and the same environment, it reads no file of the project.
    """
    with _one_command:
        warm()
        request = {"project": list(project), "environment": _environment(environment), "workdir": str(workdir)}
        with suppress(OSError):  # the helper has ended: the command reports that
            _send(json.dumps(request))


def run_dbt(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    workdir: Path,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
    result: Path | None = None,
    project: Sequence[str] = (),
) -> tuple[str, int]:
    """Run `dbt arguments project` in `workdir` within `timeout` seconds; returns its output and exit code.

    `on_line` gets each line soon after dbt wrote it, in the caller's thread. With `result`, dbt writes only its result, to that
    path, and no manifest, because writing it, twice, takes longer than the queries; `<result>.asked` then maps each node's id to
    its name.

    dbt's environment is this process's (proxy, certificates, locale) without settings and logins, plus `environment`, which must
    name those that dbt needs. When this function returns or raises, dbt has ended.

    Raises:
        InfrastructureError: dbt did not start, or did not end in time.
    """
    deadline = time.monotonic() + timeout
    with (
        _one_command,
        tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as output,
        Path(output.name).open(encoding="utf-8", errors="replace") as written,
    ):
        listen = _listener(written, on_line) if on_line else None
        warm()
        child = 0
        try:
            request = {
                "arguments": list(arguments),
                "project": list(project),
                "environment": _environment(environment),
                "workdir": str(workdir),
                "output": output.name,
                "result": str(result) if result else "",
            }
            _send(json.dumps(request))
            child = _answer(deadline)
            code = _answer(deadline, listen)
            child = 0
            if listen:
                listen()
        except TimeoutError:
            raise InfrastructureError(
                f"dbt {' '.join(arguments)} did not end within {timeout:g} s and was stopped; logs are under {workdir}."
            ) from None
        except (OSError, EOFError) as error:
            raise InfrastructureError(
                f"dbt {' '.join(arguments)} did not start: its process ended ({error}); its output is above. "
                "Is the environment whole? `cxm doctor` compares it with what is expected."
            ) from error
        finally:
            if child:
                _end(child)
            elif sys.exc_info()[0] is not None:
                _stop_helper()
        return output.read(), code


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    return {**_inherited(), **own, **TELEMETRY_OFF}


def _inherited() -> dict[str, str]:
    """Return this process's environment without variables that may hold a login; a request names those that dbt needs."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _FOR_DBT or not name.startswith(("CXM_", "PREFECT_", "AWS_", "SNOWFLAKE_"))
    }


def _send(line: str) -> None:
    assert _helper is not None
    assert _helper.stdin is not None
    _helper.stdin.write(line + "\n")
    _helper.stdin.flush()


def _listener(written: TextIO, on_line: Callable[[str], None]) -> Callable[[], None]:
    """Return a function that passes on the lines completed since its last call."""
    begun = ""

    def listen() -> None:
        nonlocal begun
        while line := written.readline():
            begun += line
            if begun.endswith("\n"):
                on_line(begun)
                begun = ""

    return listen


def _answer(deadline: float, listen: Callable[[], None] | None = None) -> int:
    """Wait for the next number that the helper prints: a child's process id, then its exit code."""
    assert _helper is not None
    assert _helper.stdout is not None
    while not select.select([_helper.stdout], [], [], _LISTEN_SECONDS if listen else _WAIT_SECONDS)[0]:
        if listen:
            listen()
        if time.monotonic() > deadline:
            raise TimeoutError
    line = b""
    while not line.endswith(b"\n"):  # byte by byte: `select` does not see what a buffer has read of the next line
        if not (byte := os.read(_helper.stdout.fileno(), 1)):
            raise EOFError(f"exit code {_helper.wait()}")
        line += byte
    return int(line)


def _end(child: int) -> None:
    """Interrupt dbt, and kill it if that does not help; the helper then reports its exit code."""
    for number, seconds in ((signal.SIGINT, _POLITE_SECONDS), (signal.SIGKILL, _POLITE_SECONDS)):
        try:
            os.kill(child, number)
            _answer(time.monotonic() + seconds)
            return
        except (ProcessLookupError, EOFError):
            break  # it has ended, but its exit code may still be unread, and the next command would read it as its own
        except TimeoutError:
            continue
    _stop_helper()


def _stop_helper() -> None:
    """Kill the helper and its children: after an interrupted answer it cannot be used again."""
    global _helper
    if _helper is not None:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(_helper.pid).children():
                child.kill()
        _helper.kill()
        _helper.wait()
    _helper = None
