"""`python -m flows.clients.dbt_helper`: requests, one a line on standard input → dbt, each in a child that is forked for it.

`flows.clients.dbt` starts it and sends the requests. It imports dbt once. For a request without `arguments`, a child reads the
project ahead of the command, which is most of a small command's work; that child then runs the command, if it is for the same
project and environment. This process itself never runs dbt: dbt's static parser (dbt_extractor) makes threads, which a child that
is forked later does not have and would wait for (seen 2026-11-28).
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A child that reads a project, then waits for the command."""

    child: int  # its process id
    pipe: int  # where it reads the command
    project: list[str]
    environment: dict[str, str]

    def take(self, line: str, request: Mapping[str, Any]) -> bool:
        """Hand the command to the child. If it is for something else, or the child has ended, clean up and return False."""
        if request["result"] and (request["project"], request["environment"]) == (self.project, self.environment):
            with suppress(BrokenPipeError), os.fdopen(self.pipe, "w", encoding="utf-8") as pipe:
                pipe.write(line)
                pipe.flush()
                return True
        else:
            os.close(self.pipe)
        self.stop()
        return False

    def stop(self) -> None:
        """End the child."""
        with suppress(ProcessLookupError):
            os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)


def serve() -> None:
    """Serve requests until standard input ends; one with a command is answered by two numbers (process id, exit code)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the command; the helper serves the next one
    gc.disable()  # modules are never garbage, so Python need not search them, now or in each child
    import flows.clients.connector  # noqa: F401 - first, so that dbt's adapter imports the connector without pandas

    import dbt.adapters.snowflake  # isort: skip
    import dbt.cli.main  # isort: skip  # noqa: F401

    from flows.clients.unquoted import say_no_values

    say_no_values()
    gc.freeze()
    gc.enable()
    # Python 3.12 and later count native threads too. numpy and pyarrow start two at import, which hold no lock while this
    # process only waits for its next line; the main thread is the only Python thread (checked on 3.13, 2026-11-27).
    warnings.filterwarnings("ignore", message="This process .* is multi-threaded", category=DeprecationWarning)
    ahead: _Ahead | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if "arguments" not in request:
            if ahead:
                os.close(ahead.pipe)
                ahead.stop()
            ahead = _read_ahead(request)
            continue
        if ahead and ahead.take(line, request):
            child = ahead.child
        else:
            child = os.fork()
            if not child:
                _become_dbt(request)
        ahead = None
        print(child, flush=True)  # noqa: T201
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _read_ahead(request: Mapping[str, Any]) -> _Ahead:
    """Fork a child that reads the project. It prints nothing: the command reports what is wrong with the project."""
    read, write = os.pipe()
    if child := os.fork():
        os.close(read)
        return _Ahead(child, write, request["project"], request["environment"])
    try:
        os.close(write)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        _enter(request)
        from dbt.cli.main import dbtRunner

        done = dbtRunner().invoke(["--no-write-json", "parse", *request["project"]])
        with os.fdopen(read, encoding="utf-8") as pipe:
            if line := pipe.readline():
                _become_dbt(json.loads(line), done.result if done.success else None)
    finally:
        os._exit(1)


def _become_dbt(request: Mapping[str, Any], manifest: Any = None) -> None:
    """Run the command in this process, a child of the helper, and exit. With a `manifest` no file of the project is read."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        output = os.open(request["output"], os.O_WRONLY | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for taken, meant in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(taken, meant)
        _enter(request)
        if request["result"]:
            code = _invoke(request, Path(request["result"]), manifest)
        else:
            from dbt.cli.main import cli

            cli([*request["arguments"], *request["project"]], prog_name="dbt")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _enter(request: Mapping[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["workdir"])


def _invoke(request: Mapping[str, Any], path: Path, manifest: Any) -> int:
    """Run the command and write its result; returns the exit code that dbt's command line would give."""
    from dbt.cli.main import dbtRunner

    done = dbtRunner(manifest=manifest).invoke(["--no-write-json", *request["arguments"], *request["project"]])
    if done.exception is not None:
        if not type(done.exception).__module__.startswith("dbt"):  # dbt has already logged its own exceptions
            print(done.exception, flush=True)  # noqa: T201
        return 2
    result: Any = done.result
    result.write(str(path))
    asked = {one.node.unique_id: one.node.name for one in result.results}
    path.with_name(f"{path.name}.asked").write_text(json.dumps(asked), encoding="utf-8")
    return 0 if done.success else 1


if __name__ == "__main__":
    try:
        serve()
    except BrokenPipeError:  # the parent process was killed while dbt ran
        os._exit(1)
