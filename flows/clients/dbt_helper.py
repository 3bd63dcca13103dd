"""`python -m flows.clients.dbt_helper`: requests, one a line on standard input → dbt, each in a child that is forked for it.

What `flows.clients.dbt` starts and talks to. It imports dbt once; a request without `arguments` has it read the project ahead of
the command, which is most of what a small command does.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# dbt's manifest of the project that was read ahead, and the options and environment that it was read with.
_ahead: tuple[Any, list[str], dict[str, str]] = (None, [], {})


def serve() -> None:
    """Serve requests until standard input ends; one with a command is answered by two numbers (process id, exit code)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the command; the helper serves the next one
    gc.disable()  # modules are no garbage, so that Python need look for some in them neither now nor in each child
    import flows.clients.connector  # noqa: F401 - first, so that dbt's adapter imports the connector without pandas

    import dbt.adapters.snowflake  # isort: skip
    import dbt.cli.main  # isort: skip  # noqa: F401

    gc.freeze()
    gc.enable()
    # Python 3.12 and later count native threads too. numpy and pyarrow start two at import, which hold no lock while this
    # process only waits for its next line; the main thread is the only Python thread (checked on 3.13, 2026-11-27).
    warnings.filterwarnings("ignore", message="This process .* is multi-threaded", category=DeprecationWarning)
    for line in sys.stdin:
        request = json.loads(line)
        if "arguments" not in request:
            _read_ahead(request)
            continue
        child = os.fork()
        if not child:
            _become_dbt(request)
        print(child, flush=True)  # noqa: T201
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _read_ahead(request: Mapping[str, Any]) -> None:
    """Parse the project in this process, so that its children inherit it. The command reports what is wrong with the project."""
    global _ahead
    from dbt.cli.main import dbtRunner

    _enter(request)
    with _silent():
        try:
            done = dbtRunner().invoke(["--no-write-json", "parse", *request["project"]])
            if done.success:
                _ahead = (done.result, request["project"], request["environment"])
                gc.freeze()
        except BaseException:
            traceback.print_exc()


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing goes to standard output, where answers are read, nor to standard error."""
    kept = [os.dup(number) for number in (1, 2)]
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(nothing, number)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, was in zip((1, 2), kept, strict=True):
            os.dup2(was, number)
            os.close(was)
        os.close(nothing)


def _become_dbt(request: Mapping[str, Any]) -> None:
    """Run the command in this process, a child of the helper, and exit."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        output = os.open(request["output"], os.O_WRONLY | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for taken, meant in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(taken, meant)
        _enter(request)
        if request["result"]:
            code = _invoke(request, Path(request["result"]))
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


def _invoke(request: Mapping[str, Any], path: Path) -> int:
    """Run the command and write its result; returns the exit code that dbt's command line would give."""
    from dbt.cli.main import dbtRunner

    manifest, *of = _ahead
    arguments: Sequence[str] = ["--no-write-json", *request["arguments"], *request["project"]]
    done = dbtRunner(manifest=manifest if of == [request["project"], request["environment"]] else None).invoke(
        list(arguments)
    )
    if done.exception is not None:
        if not type(done.exception).__module__.startswith("dbt"):  # dbt has already logged its own exceptions
            print(done.exception, flush=True)  # noqa: T201
        return 2
    found: Any = done.result
    found.write(str(path))
    asked = {one.node.unique_id: one.node.name for one in found.results}
    path.with_name(f"{path.name}.asked").write_text(json.dumps(asked), encoding="utf-8")
    return 0 if done.success else 1


if __name__ == "__main__":
    try:
        serve()
    except BrokenPipeError:  # the parent process was killed while dbt ran
        os._exit(1)
