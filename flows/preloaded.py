"""`python -m flows.preloaded HOME`: does the slow imports once, then forks a child for each command of `cxm up`'s home.

request ──fork──▶ its keeper ──fork──▶ `cxm`, on the caller's files, in the caller's folder and environment
                      └─ forwards the caller's signals, kills the command when the caller is gone, answers with the exit code

`flows.embedded.preloaded` is the other end; the supervisor starts this process and starts it again when the code has changed. It
runs no command itself, and it has only the main thread, because a forked child would lack the others.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from flows.embedded.preloaded import ACCEPTED, CODE_HAS_CHANGED, ENDED, FORWARDED, GO, SOCKET, receive
from flows.project import PACKAGE, PROJECT

_REQUEST_SECONDS = 2.0
# Variables that Python and the packages read while they are imported: a command with another value runs in its own process.
_READ_AT_IMPORT = ("PREFECT_", "PYTHON", "DBT_", "GX_", "GREAT_EXPECTATIONS_", "COVERAGE_", "OTEL_")
_READ_LATER = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
_SAME = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR")  # must be equal, or unset in both


def serve(home: Path) -> None:
    """Serve requests; ends with exit code `CODE_HAS_CHANGED` at the first one after the code has changed."""
    version = code_version()
    _preload()
    if (threads := threading.active_count()) != 1:
        sys.exit(f"{threads} threads after the imports, expected one: a forked child would lack the others")
    place = home / "run" / SOCKET
    place.unlink(missing_ok=True)
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        os.umask(0o077)
        listener.bind(str(place))
        listener.listen()
        while True:
            connection, _ = listener.accept()
            if code_version() != version:
                place.unlink(missing_ok=True)
                sys.exit(CODE_HAS_CHANGED)
            with connection:
                connection.settimeout(_REQUEST_SECONDS)
                try:
                    request = receive(connection)
                    files = _accept(connection) if _fits(request) else []
                except OSError:  # the caller has gone, or waited long enough and runs the command itself
                    continue
                if files and _fork(connection, files):
                    break  # in the command's process
                for file in files:
                    os.close(file)
    _run(request, files)


def code_version() -> tuple[int, int, int]:
    """Return a value that changes with the code: the number of its files, their newest change, the last change of a package."""
    count = newest = 0
    folders = [str(PACKAGE)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    count, newest = count + 1, max(newest, entry.stat().st_mtime_ns)
    installed = max((Path(path).stat().st_mtime_ns for path in sys.path if path.endswith("site-packages")), default=0)
    return count, newest, installed


def _preload() -> None:
    """Import what a run uses."""
    from flows.cli.app import quiet_environment

    quiet_environment()
    gc.disable()  # modules are never garbage, so a child need not look at them
    import flows.clients.connector

    import dbt.adapters.snowflake  # isort: skip
    import dbt.cli.main  # isort: skip  # noqa: F401
    import flows.pipeline  # isort: skip
    import flows.operations  # isort: skip
    import flows.watch  # isort: skip  # noqa: F401
    from flows.steps.validate.loading import load

    load()
    for handler in logging.root.handlers[:]:  # one of dbt's packages adds one, which would print Prefect's lines
        logging.root.removeHandler(handler)
    gc.freeze()
    gc.enable()
    # Python 3.12 and later count native threads too, see flows.clients.dbt_helper.
    warnings.filterwarnings("ignore", message="This process .* is multi-threaded", category=DeprecationWarning)


def _reap(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _accept(connection: socket.socket) -> list[int]:
    """Receive the caller's three files, which it sends if it still waits.

    Raises:
        OSError: it no longer waits.
    """
    connection.sendall(ACCEPTED)
    go, files, _, _ = socket.recv_fds(connection, 1, 3)
    if go != GO:
        raise OSError("the caller has gone")
    return list(files)


def _fork(connection: socket.socket, files: list[int]) -> bool:
    """Fork the keeper, and from it the command. Returns True in the command's process, False in this one."""
    if os.fork():
        return False
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()  # the supervisor's process group is ended with the servers, a command is not
    if child := os.fork():
        _keep(child, connection, files)
    return True


def _fits(request: dict[str, Any]) -> bool:
    """Return whether the imports that were done are those that the command would have done itself."""
    theirs = request["environment"]
    return (
        (request["project"], request["python"]) == (str(PROJECT), sys.executable)
        and all(theirs.get(name) == os.environ.get(name) for name in _SAME)
        and all(
            value == os.environ.get(name)
            for name, value in theirs.items()
            if name.startswith(_READ_AT_IMPORT) and name not in _READ_LATER
        )
    )


def _keep(child: int, connection: socket.socket, files: list[int]) -> NoReturn:
    """Wait for the command and meanwhile pass on its caller's signals; answers with the exit code and ends this process."""
    connection.settimeout(None)
    for file in files:
        os.close(file)

    def pass_on() -> None:
        with suppress(OSError):
            while received := connection.recv(1):
                if received[0] in FORWARDED:
                    os.kill(child, received[0])
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # the caller is gone

    threading.Thread(target=pass_on, daemon=True).start()
    _, status = os.waitpid(child, 0)
    with suppress(OSError):
        connection.sendall(ENDED.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _run(request: dict[str, Any], files: list[int]) -> None:
    """Become `cxm` with the request's arguments, files, folder and environment."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=os.isatty(stream.fileno()), write_through=unbuffered)  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    sys.argv = ["cxm", *request["arguments"]]
    from flows.clients import dbt
    from flows.start import run_command

    dbt.fork()
    run_command()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
