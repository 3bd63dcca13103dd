"""`cxm run` in a fork of the preloaded process: the user sees the same as without it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.embedded.preloaded import CODE_HAS_CHANGED, SOCKET
from flows.generated import MARKER
from flows.settings import PROJECT, Settings
from flows.synthetic.olist import generate
from tests.conftest import free_port

CXM = str(Path(sys.executable).with_name("cxm"))
PATIENCE = 40.0


def wait_for(true: Callable[[], Any]) -> Any:
    until = time.monotonic() + PATIENCE
    while not (result := true()):
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.02)
    return result


@pytest.fixture(scope="module")
def environment(settings: Settings) -> dict[str, str]:
    """A user's environment, without the variables that Prefect and others read when they are imported."""
    return {n: v for n, v in os.environ.items() if not n.startswith(("PREFECT_", "PYTHON", "DBT_", "GX_"))}


@pytest.fixture(scope="module")
def processes(settings: Settings, environment: dict[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The preloaded processes that were started; the last one may still run."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
    (settings.home / "run" / SOCKET).unlink(missing_ok=True)


@pytest.fixture
def preloaded(
    settings: Settings, environment: dict[str, str], processes: list[subprocess.Popen[bytes]]
) -> subprocess.Popen[bytes]:
    """The module's preloaded process, started again if a test ended it."""
    if processes and processes[-1].poll() is None:
        return processes[-1]
    (settings.home / "run" / SOCKET).unlink(missing_ok=True)
    own = {n: v for n, v in environment.items() if not n.startswith("CXM_")}
    own |= {"PREFECT_HOME": str(settings.home / "prefect"), "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}
    command = [sys.executable, "-m", "flows.preloaded", str(settings.home)]
    process = subprocess.Popen(command, cwd=PROJECT, env=own)
    processes.append(process)
    wait_for(lambda: (settings.home / "run" / SOCKET).exists() or process.poll() is not None)
    return process


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preloaded") / "small"
    generate(folder, 0.01)
    (folder / MARKER).unlink()  # another module may have published real rows, which generated ones never replace
    return folder


def start(environment: dict[str, str], *arguments: str, cwd: Path = PROJECT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [CXM, "run", *arguments], cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def commands(preloaded: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the processes forked for commands."""
    return psutil.Process(preloaded.pid).children(recursive=True)


def forks_of(run: subprocess.Popen[str], preloaded: subprocess.Popen[bytes]) -> int:
    """Return the largest number of forked processes seen at once until the command ended."""
    seen = 0
    while run.poll() is None:
        seen = max(seen, len(commands(preloaded)))
        time.sleep(0.005)
    run.communicate()
    return seen


def test_a_run_is_forked_and_gives_the_same_document(
    preloaded: subprocess.Popen[bytes], environment: dict[str, str], small: Path, settings: Settings
) -> None:
    """A relative folder is one of the caller's; the output goes to the caller's pipe, and nothing else does."""
    assert stat.S_IMODE((settings.home / "run" / SOCKET).stat().st_mode) == 0o700
    run = start(environment, "--data", small.name, "--force", "--json", cwd=small.parent)
    wait_for(lambda: commands(preloaded))
    out, err = run.communicate(timeout=PATIENCE)
    assert (run.returncode, err) == (0, ""), out
    document = json.loads(out)
    assert (document["published"], len(document["tables"])) == (True, 9)
    again = start(environment, "--data", str(small), "--json")
    document = json.loads(again.communicate(timeout=PATIENCE)[0])
    assert {table["load"].split()[0] for table in document["tables"]} == {"unchanged"}
    wait_for(lambda: not commands(preloaded))


def test_messages_and_exit_codes_are_the_same_without_it(
    preloaded: subprocess.Popen[bytes], environment: dict[str, str]
) -> None:
    lines = [("--source", "nothing"), ("--data", "no/such/folder"), ("--unknown",), ("--help",)]

    def answers() -> list[tuple[tuple[str, str], int]]:
        runs = [start(environment, *line) for line in lines]
        return [(run.communicate(timeout=PATIENCE), run.returncode) for run in runs]

    with_it = answers()
    preloaded.kill()
    preloaded.wait()
    assert with_it == answers()


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_ends_the_run(
    preloaded: subprocess.Popen[bytes], environment: dict[str, str], small: Path, number: int
) -> None:
    """Ctrl-C and `kill` work as without it; the lease is free for the next run."""
    run = start(environment, "--data", str(small), "--force")
    wait_for(lambda: commands(preloaded))
    time.sleep(1.5)
    run.send_signal(number)
    run.communicate(timeout=PATIENCE)
    assert run.returncode
    wait_for(lambda: not commands(preloaded))
    after = start(environment, "--data", str(small), "--force", "--json")
    out, err = after.communicate(timeout=PATIENCE)
    assert json.loads(out)["published"], err


@pytest.mark.soak
def test_a_killed_command_takes_its_fork_along(
    preloaded: subprocess.Popen[bytes], environment: dict[str, str], small: Path
) -> None:
    run = start(environment, "--data", str(small), "--force")
    wait_for(lambda: commands(preloaded))
    time.sleep(1)
    run.kill()
    run.communicate(timeout=PATIENCE)
    wait_for(lambda: not commands(preloaded))
    after = start(environment, "--data", str(small), "--force", "--json")  # undoes what the killed run left
    assert json.loads(after.communicate(timeout=PATIENCE)[0])["published"]


@pytest.mark.soak
def test_a_killed_fork_is_reported(
    preloaded: subprocess.Popen[bytes], environment: dict[str, str], small: Path
) -> None:
    """The command ends by the signal that ended its fork; if its keeper was killed, it says what to do."""
    for killed, code in ((-1, -signal.SIGKILL), (0, 5)):
        run = start(environment, "--data", str(small), "--force")
        processes = wait_for(lambda: len(commands(preloaded)) > 1 and commands(preloaded))
        keeper = psutil.Process(preloaded.pid).children()[0]
        fork = keeper.children()[0]
        assert fork in processes
        (fork if killed else keeper).kill()
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == code
        assert killed or "cxm batches" in err
        if not killed:
            fork.kill()
        wait_for(lambda: not commands(preloaded))


def test_an_environment_of_its_own_runs_in_its_own_process(
    preloaded: subprocess.Popen[bytes], environment: dict[str, str]
) -> None:
    """Prefect reads its variables when it is imported, so another profile needs a process that has not imported it."""
    for own in ({"PREFECT_PROFILE": "other"}, {"PYTHONWARNINGS": "error::UserWarning"}, {"HOME": "/"}):
        run = start({**environment, **own}, "--source", "nothing")
        assert (forks_of(run, preloaded), run.returncode) == (0, 2), own


def test_a_busy_process_is_not_waited_for_and_runs_nothing_late(
    preloaded: subprocess.Popen[bytes], environment: dict[str, str]
) -> None:
    """If both processes ran the command, it would load twice."""
    preloaded.send_signal(signal.SIGSTOP)
    run = start(environment, "--source", "nothing")
    run.communicate(timeout=PATIENCE)
    assert run.returncode == 2
    preloaded.send_signal(signal.SIGCONT)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert not commands(preloaded)
        time.sleep(0.005)
    assert forks_of(start(environment, "--source", "nothing"), preloaded)  # it goes on


def test_changed_code_is_never_run_old(preloaded: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    """The process ends with the exit code for which the supervisor starts it again; the command runs without it."""
    file = PROJECT / "flows" / "start.py"
    os.utime(file, ns=(time.time_ns(), time.time_ns()))
    run = start(environment, "--source", "nothing")
    assert "no contract" in run.communicate(timeout=PATIENCE)[1]
    assert (run.returncode, preloaded.wait(PATIENCE)) == (2, CODE_HAS_CHANGED)


@pytest.mark.soak
def test_up_starts_it_and_down_ends_it(tmp_path: Path, environment: dict[str, str]) -> None:
    """After `cxm up` it runs, and a command in it answers as usual; after `cxm down` it is gone."""
    ports = {f"CXM_{name}_PORT": str(free_port()) for name in ("S3", "WAREHOUSE", "PREFECT", "DOCS", "WORKER")}
    home = tmp_path / "h"
    own = {**environment, **ports, "CXM_HOME": str(home)}
    try:
        subprocess.run([CXM, "up"], env=own, cwd=PROJECT, check=True, capture_output=True)
        wait_for((home / "run" / SOCKET).exists)
        process = psutil.Process(json.loads((home / "run" / "processes.json").read_text())["preloaded"]["pid"])
        unknown = start(own, "--source", "nothing")
        assert (unknown.communicate()[1].split(":")[0], unknown.returncode) == ("error", 2)
        assert process.is_running()
    finally:
        subprocess.run([CXM, "down"], env=own, cwd=PROJECT, check=True, capture_output=True)
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    shutil.rmtree(home, ignore_errors=True)
