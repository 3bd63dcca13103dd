"""`kill -9` of the stack's supervisor and servers while `cxm run` works: exit code 5 in a minute; the next run is complete.

If only the supervisor is killed, its keeper ends every server. If the keeper is killed too, the servers go on, and are killed
here one after the other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.contract.read import read_source
from flows.settings import PROJECT, Settings
from tests.conftest import free_port, olist_files
from tests.faults import batch

pytestmark = pytest.mark.soak

# `cxm` as it is installed, except for how long it waits for a silent server.
CXM = """
import sys
from flows.cli.app import quiet_environment
quiet_environment()
from flows import watch
watch.SILENCE = int(sys.argv.pop(1))
from flows.cli import main
main()
"""
TABLES = 9
UP = ("up", "--only", "s3", "--only", "warehouse", "--only", "prefect", "--only", "docs")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a new home, whose stack runs and may be killed."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("CXM_", "PREFECT_"))}
    ports = {f"CXM_{name}_PORT": str(free_port()) for name in ("S3", "WAREHOUSE", "PREFECT", "DOCS", "WORKER")}
    home = tmp_path_factory.mktemp("killed") / "home"
    environment = {**kept, **ports, "CXM_HOME": str(home), "CXM_TARGET": "embedded", "PYTHONUNBUFFERED": "1"}
    cxm(environment, *UP)
    yield environment
    cxm(environment, "down")


def cxm(environment: dict[str, str], *arguments: str) -> str:
    """Run a command that has to succeed; return its output."""
    command = [str(Path(sys.executable).parent / "cxm"), *arguments]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


# when they are killed: how a line begins, how many such lines have been printed, and how many seconds after the last one
STEPS = {
    "land": ("land ", 1, 0.0),
    "validate": ("load ", TABLES, 1.0),
    "hand off": (
        "validate ",
        TABLES - 1,
        1.0,
    ),  # a table that is the same in every generated set is not validated again
}


@pytest.mark.parametrize(
    ("step", "killed", "silence"),
    [
        ("land", ["supervisor"], 45),
        ("validate", ["supervisor", "keeper", "prefect", "s3"], 10),
        ("hand off", ["supervisor", "keeper", "prefect", "s3", "warehouse"], 10),
    ],
)
def test_a_run_whose_stack_is_killed_ends_within_a_minute_and_the_next_one_is_whole(
    step: str, killed: list[str], silence: int, environment: dict[str, str], tmp_path: Path
) -> None:
    home = Path(environment["CXM_HOME"])
    files = olist_files(tmp_path / "olist", scale=0.002, seed=4400 + list(STEPS).index(step))
    run = subprocess.Popen(
        [sys.executable, "-c", CXM, str(silence), "run", "--data", str(files)],
        env=environment,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    reached = threading.Event()
    begins, lines, seconds = STEPS[step]

    def listen() -> None:
        assert run.stdout is not None
        for line in run.stdout:
            said.append(line)
            if sum(x.startswith(begins) for x in said) >= lines:
                reached.set()

    reader = threading.Thread(target=listen)
    reader.start()
    try:
        assert reached.wait(180), said
        time.sleep(seconds)
        known = json.loads((home / "run" / "processes.json").read_text())
        known["supervisor"] = json.loads((home / "run" / "supervisor.json").read_text())
        for name in killed:
            os.kill(known[name]["pid"], signal.SIGKILL)
        began = time.monotonic()
        code = run.wait(silence + 120)
        took = time.monotonic() - began
    finally:
        run.kill()
        reader.join()
    text = "".join(said)
    assert (code, text.count("error: "), "Traceback" in text) == (5, 1, False), text
    assert "did not answer for" in text
    assert "ERROR" not in text, "Prefect's own services are quiet"
    assert took < silence + 15, "the last answer, the goodbye, and what a busy machine adds"
    cxm(environment, *UP)
    cxm(environment, "run", "--data", str(files))
    cxm(environment, "reconcile")
    settings, olist = Settings(home=home), read_source("olist")
    assert batch.published_rows(settings, olist) == batch.read_files(files, olist)
