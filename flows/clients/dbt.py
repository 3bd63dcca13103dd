"""Runs dbt commands in processes of their own, without importing dbt each time: `arguments, environment → output, exit code`.

dbt runs in its own process because it keeps global state, and because a process can be killed after a time limit. But importing
dbt takes longer than most of its commands. So one helper process imports it once, while files are still landing, and forks a
child for each command. The helper is this module run as a program; it ends when its parent process does.
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
import warnings
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
_LISTEN_SECONDS = 0.1  # between two reads of dbt's output, if there is a listener
_FOR_DBT = ("CXM_DBT_THREADS", "CXM_QUERY_TAG")  # variables that profiles.yml reads and a user may set

_one_command = threading.Lock()
_helper: subprocess.Popen[str] | None = None


def warm() -> None:
    """Start importing dbt in the helper process, so that it is ready when needed; returns at once."""
    global _helper
    if _helper is None or _helper.poll() is not None:
        _helper = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            env={**_inherited(), **TELEMETRY_OFF},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )


def run_dbt(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    workdir: Path,
    timeout: float,
    hear: Callable[[str], None] | None = None,
    result: Path | None = None,
) -> tuple[str, int]:
    """Run `dbt arguments` in `workdir` within `timeout` seconds; returns its output and exit code.

    `hear` gets each line soon after dbt wrote it, in the caller's thread. With `result`, dbt writes only its result, to that
    path, and no manifest, which takes longer than its queries, twice; `<result>.asked` then maps each node's id to its name.

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
        listen = _listener(written, hear) if hear else None
        warm()
        child = 0
        try:
            request = {
                "arguments": list(arguments),
                "environment": {**_inherited(), **environment, **TELEMETRY_OFF},
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
                f"dbt {' '.join(arguments)} did not start: its process ended ({error}); what it said stands above. "
                "Is the environment whole? `cxm doctor` compares it with what is expected."
            ) from error
        finally:
            if child:
                _end(child)
            elif sys.exc_info()[0] is not None:
                _stop_helper()
        return output.read(), code


def _inherited() -> dict[str, str]:
    """This process's environment without variables that may hold a login; a request names those that dbt needs."""
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


def _listener(written: TextIO, hear: Callable[[str], None]) -> Callable[[], None]:
    """A function that passes on the lines completed since its last call."""
    begun = ""

    def listen() -> None:
        nonlocal begun
        while line := written.readline():
            begun += line
            if begun.endswith("\n"):
                hear(begun)
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
    line = _helper.stdout.readline()
    if not line:
        raise EOFError(f"exit code {_helper.wait()}")
    return int(line)


def _end(child: int) -> None:
    """Interrupt dbt, and kill it if that does not help; the helper then reports its exit code."""
    for number, seconds in ((signal.SIGINT, _POLITE_SECONDS), (signal.SIGKILL, _POLITE_SECONDS)):
        try:
            os.kill(child, number)
            _answer(time.monotonic() + seconds)
            return
        except (ProcessLookupError, EOFError):
            return
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


def _serve() -> None:
    """Serve requests until standard input ends: each is one line, answered by two numbers (process id, exit code)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the command; the helper serves the next one
    import flows.clients.connector  # noqa: F401 - first, so that dbt's adapter imports the connector without pandas

    import dbt.adapters.snowflake  # isort: skip
    import dbt.cli.main  # isort: skip  # noqa: F401

    # Python 3.12 and later count native threads too. numpy and pyarrow start two at import, which hold no lock while this
    # process only waits for its next line; the main thread is the only Python thread (checked on 3.13, 2026-11-27).
    warnings.filterwarnings("ignore", message="This process .* is multi-threaded", category=DeprecationWarning)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become_dbt(json.loads(line))
        print(child, flush=True)  # noqa: T201
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _invoke(arguments: Sequence[str], path: Path) -> int:
    """Run the command and write its result; returns the exit code that dbt's command line would give."""
    from dbt.cli.main import dbtRunner

    done = dbtRunner().invoke(["--no-write-json", *arguments])
    if done.exception is not None:
        if not done.exception.__class__.__module__.startswith("dbt."):  # dbt has already logged its own exceptions
            print(done.exception, flush=True)  # noqa: T201
        return 2
    done.result.write(str(path))
    asked = {found.node.unique_id: found.node.name for found in done.result.results}
    path.with_name(f"{path.name}.asked").write_text(json.dumps(asked), encoding="utf-8")
    return 0 if done.success else 1


def _become_dbt(request: Mapping[str, object]) -> None:
    """Run the command in this process, a child of the helper, and exit."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        output = os.open(str(request["output"]), os.O_WRONLY | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for taken, meant in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(taken, meant)
        os.environ.clear()
        os.environ.update(request["environment"])  # type: ignore[call-overload]
        os.chdir(str(request["workdir"]))
        if request["result"]:
            code = _invoke(list(request["arguments"]), Path(str(request["result"])))  # type: ignore[call-overload]
        else:
            from dbt.cli.main import cli

            cli(request["arguments"], prog_name="dbt")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    try:
        _serve()
    except BrokenPipeError:  # the parent process was killed while dbt ran
        os._exit(1)
