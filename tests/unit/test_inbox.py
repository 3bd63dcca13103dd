"""How a look handles the run that the previous look started, with a fake Prefect server that knows only that run's state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from flows import inbox
from flows.arrivals import Seen
from flows.contract.read import read_source
from flows.places import local
from flows.settings import Settings


class Server:
    """Keeps what looks remember, makes one run for each idempotency key, and returns the state of each run."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.runs: dict[str, FlowRun] = {}
        self.state: Any = Running()

    def run(self, name: str, idempotency_key: str, **_: Any) -> FlowRun:
        return self.runs.setdefault(idempotency_key, FlowRun(id=uuid4(), flow_id=uuid4(), name=name))

    @contextmanager
    def client(self, **_: Any) -> Iterator[Any]:
        yield SimpleNamespace(read_flow_run=lambda _: SimpleNamespace(state=self.state))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(inbox.Variable, "get", lambda name, default: made.known.get(name, default))
    monkeypatch.setattr(inbox.Variable, "set", lambda name, text, overwrite: made.known.update({name: text}))
    monkeypatch.setattr(inbox, "run_deployment", made.run)
    monkeypatch.setattr(inbox, "get_client", made.client)
    monkeypatch.setattr(inbox, "get_run_logger", lambda: SimpleNamespace(info=print))
    monkeypatch.setattr(inbox, "url_for", lambda *_, **__: None)
    monkeypatch.setattr(inbox.tasks, "Blocks", lambda *_: SimpleNamespace(settings=Settings()))
    monkeypatch.setattr(inbox.prefect_ui, "ended", lambda message, one: one)
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for table in read_source("olist").tables:
        (tmp_path / table.file).touch()
    monkeypatch.setattr(inbox.located, "place", lambda *_: local(tmp_path))
    return tmp_path


def look(folder: Path) -> list[str]:
    return [one.status for one in inbox.inbox.fn(source="olist", data=str(folder), settle_seconds=0, after="left")]


def test_a_set_whose_run_crashed_is_started_again_and_given_up_after_three_more(server: Server, folder: Path) -> None:
    assert (look(folder), len(server.runs)) == (["started"], 1)
    assert (look(folder), len(server.runs)) == (["waits"], 1)  # its run is at work
    server.state = Crashed()
    for number in range(2, 2 + inbox.TRIES):
        assert (look(folder), len(server.runs)) == (["started"], number)
    assert (look(folder), len(server.runs)) == (["waits"], 1 + inbox.TRIES)
    (folder / read_source("olist").tables[0].file).write_bytes(b"better")  # another set: it has its own tries
    assert (look(folder), len(server.runs)) == (["started"], 2 + inbox.TRIES)


def test_a_look_that_died_before_it_noted_the_new_run_finds_the_same_one(server: Server, folder: Path) -> None:
    look(folder)
    server.state = Crashed()
    before = server.known["cxm_inbox_olist"]
    look(folder)
    server.known["cxm_inbox_olist"] = before  # as if that look had been killed
    assert (look(folder), len(server.runs)) == (["started"], 2)


@pytest.mark.parametrize("state", [Completed(), Failed(), Cancelled()], ids=lambda state: state.name)
def test_a_set_whose_run_ended_otherwise_is_not_started_again(state: Any, server: Server, folder: Path) -> None:
    look(folder)
    server.state = state
    assert [(look(folder), len(server.runs)) for _ in range(2)] == [(["waits"], 1)] * 2
    (seen,) = json.loads(server.known["cxm_inbox_olist"]).values()
    assert set(seen) == set(asdict(Seen("", "")))
