"""The pool of Snowflake connections: one that is alive is taken again, one whose session ended is closed."""

from __future__ import annotations

from typing import Any

import pytest

from flows import blocks
from flows.errors import InfrastructureError

LOADER, TRANSFORMER = ("home", "CXM_LOADER"), ("home", "CXM_TRANSFORMER")


class Connection:
    """Stands in for the connector's."""

    def __init__(self, is_alive: bool = True) -> None:
        self.is_alive, self.is_closed = is_alive, False

    def close(self) -> None:
        self.is_closed = True


def test_a_connection_is_taken_again_while_its_session_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    tags: list[str] = []

    def run(connection: Connection, sql: str) -> None:
        if not connection.is_alive:
            raise InfrastructureError("the session has ended")
        tags.append(sql)

    monkeypatch.setattr(blocks, "run", run)
    pool: Any = blocks.ConnectionPool()
    alive, ended, other = Connection(), Connection(is_alive=False), Connection()
    pool.put(LOADER, alive)
    pool.put(LOADER, ended)
    pool.put(TRANSFORMER, other)
    assert pool.take(LOADER, {"step": "load"}) is alive, "not the one that ended, nor another role's"
    assert ended.is_closed
    assert not alive.is_closed
    assert len(tags) == 1
    assert '"step"' in tags[0]
    assert pool.take(LOADER, {"step": "load"}) is None
    pool.close()
    assert other.is_closed
    assert pool.take(TRANSFORMER, {"step": "load"}) is None
