"""Fixtures for the fault tests: the running stack seen through two proxies, short waits between tries, three small tables."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from flows.contract.model import Source
from flows.settings import Settings
from tests.faults.proxy import Proxy

_home = itertools.count(1)


@dataclass(frozen=True)
class Proxied:
    """`settings` reaches the stack through `s3` and `warehouse`; `direct` reaches the same stack without them."""

    settings: Settings
    direct: Settings
    s3: Proxy
    warehouse: Proxy

    def clear(self) -> None:
        self.s3.clear()
        self.warehouse.clear()


@pytest.fixture
def proxied(settings: Settings, tmp_path: Path) -> Iterator[Proxied]:
    """A home that shares everything with the running stack's except the addresses of S3 and warehouse, which are the proxies'."""
    s3 = Proxy(int(urlsplit(settings.stack["s3"]["endpoint"]).port or 0), whole=False)
    warehouse = Proxy(int(settings.stack["warehouse"]["port"]), whole=True)
    home = tmp_path / "proxied"
    (home / "run").mkdir(parents=True)
    for shared in ("secrets", "prefect", "run/supervisor.json", "run/lease"):
        (home / shared).symlink_to(settings.home / shared)
    stack = json.loads((settings.home / "run" / "stack.json").read_text())
    stack["s3"] |= {"endpoint": f"http://127.0.0.1:{s3.port}"}
    stack["warehouse"] |= {"port": warehouse.port}
    (home / "run" / "stack.json").write_text(json.dumps(stack))
    try:
        yield Proxied(Settings(home=home), settings, s3, warehouse)
    finally:
        s3.close()
        warehouse.close()


@dataclass
class Waits:
    """The waits that the clients asked for, in seconds; each lasts a fiftieth of that."""

    s3: list[float] = field(default_factory=list)
    warehouse: list[float] = field(default_factory=list)


class _Hasty:
    """The time module with another `sleep`: fifty times as fast, and recorded."""

    def __init__(self, asked: list[float]) -> None:
        self._asked = asked

    def sleep(self, seconds: float) -> None:
        self._asked.append(seconds)
        time.sleep(seconds / 50)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """The clients' own waits, recorded, and made fifty times as fast."""
    import botocore.endpoint
    import snowflake.connector.auth.by_plugin
    import snowflake.connector.network

    result = Waits()
    monkeypatch.setattr(botocore.endpoint, "time", _Hasty(result.s3))
    monkeypatch.setattr(snowflake.connector.network, "time", _Hasty(result.warehouse))
    monkeypatch.setattr(snowflake.connector.auth.by_plugin, "time", _Hasty(result.warehouse))
    return result


@pytest.fixture(scope="session")
def source(settings: Settings) -> Source:
    """The contract of three small tables; their RAW tables exist."""
    from flows import blocks
    from flows.steps.provision import provision_warehouse
    from tests.faults.batch import ward

    with blocks.snowflake(settings, "ACCOUNTADMIN", {"step": "test"}) as connection:
        provision_warehouse(connection, settings, [ward()])
    return ward()


@pytest.fixture(scope="session")
def processes(settings: Settings) -> ForkServerContext:
    """A fork server, whose processes have everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["flows.pipeline", "tests.faults.batch", "great_expectations", "dbt.cli.main"])
    return context
