"""dbt as a process of its own that need not import dbt again: `arguments, environment → output, exit code`.

dbt keeps global state, and a process can be given a time limit and be ended; but importing it takes longer than most of its
commands. So one helper process imports it once, while the files still land, and forks a child for each command. The helper is
this module run as a program; it ends when the process that started it does.
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
# How long a flow's cancellation, which is raised in this thread between two waits, may go unheard.
_WAIT_SECONDS = 0.5
_LISTEN_SECONDS = 0.1  # between two looks at what dbt wrote, where somebody listens
_FOR_DBT = ("CXM_DBT_THREADS", "CXM_QUERY_TAG")  # what profiles.yml lets a person set

_one_command = threading.Lock()
_helper: subprocess.Popen[str] | None = None


def warm() -> None:
    """Have dbt imported by the time it is needed; returns at once."""
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
    """What `dbt arguments` wrote, run in `workdir` within `timeout` seconds, and its exit code. `hear` gets each line soon after
    dbt wrote it, in the caller's thread. With `result` dbt writes its result there and no manifest, which takes it longer than
    its queries, twice; `<result>.asked` then has the name of each node that it asked for, by id.

    `environment` is added to this process's own (proxy, certificates, locale), without the settings and logins in it: what dbt
    needs of those, `environment` names. However this function is left, dbt has ended.

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
    """This process's environment without what may hold a login: dbt gets its own by the request."""
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
    """A function that hands on the lines which were finished since its last call."""
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
    """The next number that the helper tells: a child's process id, then its exit code."""
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
    """Interrupt dbt, and kill it when that does not help; the helper then says how it ended."""
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
    """A helper that broke off in the middle of an answer is of no more use, nor is what it may have begun."""
    global _helper
    if _helper is not None:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(_helper.pid).children():
                child.kill()
        _helper.kill()
        _helper.wait()
    _helper = None


def _serve() -> None:
    """One request a line on standard input, two numbers in answer to each, until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, not for what could run the next one
    import flows.clients.connector  # noqa: F401 - first, so that dbt's adapter imports the connector without pandas

    import dbt.adapters.snowflake  # isort: skip
    import dbt.cli.main  # isort: skip  # noqa: F401

    # Python 3.12 and later count native threads too. numpy and pyarrow start two at import, which hold no lock while this
    # process only waits for its next line; of Python's own there is the main thread alone (looked at on 3.13, 2026-11-27).
    warnings.filterwarnings("ignore", message="This process .* is multi-threaded", category=DeprecationWarning)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become_dbt(json.loads(line))
        print(child, flush=True)  # noqa: T201
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _invoke(arguments: Sequence[str], path: Path) -> int:
    """Run the command and write its result: the exit code that dbt's own command line would give."""
    from dbt.cli.main import dbtRunner

    done = dbtRunner().invoke(["--no-write-json", *arguments])
    if done.exception is not None:
        if not done.exception.__class__.__module__.startswith("dbt."):  # what dbt has not said itself
            print(done.exception, flush=True)  # noqa: T201
        return 2
    done.result.write(str(path))
    asked = {found.node.unique_id: found.node.name for found in done.result.results}
    path.with_name(f"{path.name}.asked").write_text(json.dumps(asked), encoding="utf-8")
    return 0 if done.success else 1


def _become_dbt(request: Mapping[str, object]) -> None:
    """Run the command in this process, which is a child of the helper's, and end."""
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
    except BrokenPipeError:  # whoever asked was killed while dbt ran
        os._exit(1)
