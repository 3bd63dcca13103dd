"""Servers that do not answer end a run: a silent one is named once, one that never answered is not waited for."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from flows import watch
from flows.errors import CxmError
from flows.settings import PROJECT


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count one second without an answer as silence."""
    monkeypatch.setattr(watch, "SILENCE", 1)
    monkeypatch.setattr(watch, "_POLL_EVERY", 0.1)


def test_a_server_that_answered_and_is_silent_now_is_named_once() -> None:
    answers, heard = threading.Event(), list[CxmError]()
    answers.set()

    def prefect() -> None:
        if not answers.is_set():
            raise ConnectionError

    def never() -> None:
        raise ConnectionError

    with watch.Watch({"Prefect": prefect, "a host behind a proxy": never, "S3": lambda: None}, heard.append):
        time.sleep(2.5)
        assert heard == []
        answers.clear()
        time.sleep(3.5)
    (error,) = heard
    assert str(error).startswith("Prefect did not answer for 1 seconds")
    assert error.exit_code == 5


def test_the_process_ends_with_the_errors_code_whatever_its_threads_wait_for() -> None:
    text = (
        "import threading, time\n"
        "from flows import watch\n"
        "from flows.errors import InfrastructureError\n"
        "watch.GOODBYE = 0.2\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "watch.end_process(InfrastructureError('S3 did not answer'), lambda: (print('gave back', flush=True), time.sleep(60)))\n"
    )
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=PROJECT, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (5, "gave back\n", "error: S3 did not answer\n")
    assert time.monotonic() - began < 40
