"""dbt in processes that are forked from one that has imported it."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.clients import dbt as client
from flows.clients.dbt import run_dbt
from flows.errors import InfrastructureError


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[psutil.Process]]:
    """The next dbt process, stopped as soon as it has started, so that it gets no interrupt."""
    monkeypatch.setattr(client, "_POLITE_SECONDS", 0.2)
    run_dbt(["--version"], {}, tmp_path, 120)  # the helper has imported dbt
    assert client._helper
    helper = psutil.Process(client._helper.pid)
    known = helper.children()  # multiprocessing's tracker, once it has read a project
    result: list[psutil.Process] = []

    def freeze() -> None:
        deadline = time.monotonic() + 30
        while not result and time.monotonic() < deadline:
            for child in set(helper.children()) - set(known):
                child.suspend()
                result.append(child)

    thread = threading.Thread(target=freeze)
    thread.start()
    yield result
    thread.join()


def test_dbt_that_does_not_end_in_time_is_stopped(frozen: list[psutil.Process], tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="did not end within 2 s"):
        run_dbt(["--version"], {}, tmp_path, 2)
    assert not frozen[0].is_running()
    assert run_dbt(["--version"], {}, tmp_path, 60)[1] == 0, "the next one runs"


def test_a_cancelled_run_leaves_no_dbt_behind(frozen: list[psutil.Process], tmp_path: Path) -> None:
    ended = []

    def run() -> None:
        try:
            run_dbt(["--version"], {}, tmp_path, 600)
        except KeyboardInterrupt as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not frozen:
        time.sleep(0.01)
    time.sleep(0.5)  # the process id has arrived
    # What Prefect does to a task in a thread: an exception is raised between two of its instructions.
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt))
    thread.join(20)
    assert ended
    assert not frozen[0].is_running()


def _wait_until_no_command_runs(known: set[psutil.Process]) -> None:
    assert client._helper
    deadline = time.monotonic() + 30
    while set(psutil.Process(client._helper.pid).children()) - known:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("moment", ["interrupted when dbt had ended", "busy until dbt had ended"])
def test_no_command_takes_the_exit_code_of_the_one_before(
    moment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_dbt(["--version"], {}, tmp_path, 120)  # the helper has imported dbt
    assert client._helper
    known, asked = set(psutil.Process(client._helper.pid).children()), 0
    answer = client._answer

    def late(deadline: float, listen: Any = None) -> int:
        nonlocal asked
        asked += 1
        if moment.startswith("busy") and asked == 1:
            time.sleep(0.3)
            _wait_until_no_command_runs(known)
        if moment.startswith("interrupted") and asked == 2:
            _wait_until_no_command_runs(known)
            raise KeyboardInterrupt
        return answer(deadline, listen)

    monkeypatch.setattr(client, "_answer", late)
    if moment.startswith("busy"):
        assert run_dbt(["--version"], {}, tmp_path, 20)[1] == 0
    else:
        with pytest.raises(KeyboardInterrupt):
            run_dbt(["--version"], {}, tmp_path, 60)
    assert run_dbt(["--version"], {}, tmp_path, 60)[1] == 0
    assert run_dbt(["show-nothing"], {}, tmp_path, 60)[1] == 2


def test_each_command_has_its_own_environment_folder_and_exit_code(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: one\nversion: 1.0.0\nprofile: one\n")
    (tmp_path / "profiles.yml").write_text(
        "one: {target: it, outputs: {it: {type: snowflake, account: a, user: u, password: p, database: d, warehouse: w, "
        "schema: \"{{ env_var('PLANTED') }}\"}}}\n"
    )
    output, code = run_dbt(["show-nothing"], {}, tmp_path, 60)
    assert (code, "No such command" in output) == (2, True)
    output, code = run_dbt(["parse"], {"PLANTED": "first"}, tmp_path, 60)
    assert code == 0, output
    output, code = run_dbt(["parse", "--no-partial-parse"], {}, tmp_path, 60)
    assert code == 2
    assert "PLANTED" in output, "what the command before was given is not there any more"


def test_a_command_reads_its_project_when_another_was_read_ahead(tmp_path: Path) -> None:
    for name in ("ahead", "asked"):
        project = tmp_path / name
        (project / "models").mkdir(parents=True)
        (project / "dbt_project.yml").write_text(f"name: {name}\nversion: 1.0.0\nprofile: one\n")
        (project / "models" / "first.sql").write_text(
            "{{ config(tags=['a']) }} select 1 as id from {{ source('s', 't') }} join {{ source('s', 't') }}"
        )
        (project / "models" / "sources.yml").write_text("sources: [{name: s, tables: [{name: t}]}]\n")
        (project / "profiles.yml").write_text(
            "one: {target: it, outputs: {it: {type: snowflake, account: a, user: u, password: p, database: d, "
            "warehouse: w, schema: s}}}\n"
        )
    options = ["--project-dir", str(tmp_path / "ahead"), "--profiles-dir", str(tmp_path / "ahead")]
    client.prepare(options, {}, tmp_path)
    here = ["--project-dir", str(tmp_path / "asked"), "--profiles-dir", str(tmp_path / "asked")]
    output, code = run_dbt(["parse", "--no-partial-parse"], {}, tmp_path, 40, project=here)
    assert code == 0, output


def test_the_helper_ends_with_the_process_that_needed_it(tmp_path: Path) -> None:
    script = f"""
import pathlib
from flows.clients import dbt as client
client.run_dbt(["--version"], {{}}, pathlib.Path({str(tmp_path)!r}), 120)
print(client._helper.pid)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=180, check=True)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(done.stdout)):
        assert time.monotonic() < deadline, "the helper still runs"
        time.sleep(0.05)
