"""One embedded stack for all tests of the flows: S3, warehouse and Prefect server, in a home of their own."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.contract.model import Source
from flows.contract.read import read_source
from flows.settings import TELEMETRY_OFF, Settings


def free_port() -> int:
    """A port that was free a moment ago; the stack takes the next free one if it no longer is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return min(int(probe.getsockname()[1]), 44000)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running, provisioned embedded stack; the environment points at it for the whole session."""
    from flows.embedded import stack

    before = dict(os.environ)
    home = tmp_path_factory.mktemp("home")
    os.environ.update(TELEMETRY_OFF)
    os.environ.update(
        CXM_HOME=str(home),
        CXM_TARGET="embedded",
        CXM_S3_PORT=str(free_port()),
        CXM_WAREHOUSE_PORT=str(free_port()),
        CXM_PREFECT_PORT=str(free_port()),
        CXM_DOCS_PORT=str(free_port()),
        PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="CRITICAL",
    )
    current = Settings()
    with stack.lease(current):
        os.environ.update(stack.prefect_environment(current))
        run_flow("provision")
        yield Settings()
    os.environ.clear()
    os.environ.update(before)


def run_flow(name: str, **parameters: Any) -> Any:
    """Run a flow of `flows.pipeline` in this process; its result, or its error raised."""
    from flows import pipeline

    result = getattr(pipeline, name)(**parameters, return_state=True).result(raise_on_failure=False)
    if isinstance(result, BaseException):
        raise result
    return result


@pytest.fixture
def run_pipeline(settings: Settings) -> Callable[..., Any]:
    """`run_pipeline(directory, force=False)` → RunSummary, or PipelineError raised."""

    def run(directory: Path, force: bool = False) -> Any:
        return run_flow("pipeline", source="olist", data=str(directory), force=force)

    return run


@pytest.fixture
def query(settings: Settings) -> Callable[..., list[tuple[Any, ...]]]:
    """`query(sql)` → rows, through the real connector, as an administrator."""
    from flows import blocks
    from flows.clients.snowflake import run

    def ask(sql: str, role: str = "SYSADMIN") -> list[tuple[Any, ...]]:
        with blocks.snowflake(settings, role, {"step": "test"}) as connection:
            return list(run(connection, sql).rows)

    return ask


@pytest.fixture
def objects(settings: Settings) -> Callable[[], set[str]]:
    """Keys of every object in the landing bucket."""
    from flows import blocks

    def keys() -> set[str]:
        pages = blocks.s3_client(settings).get_paginator("list_objects_v2").paginate(Bucket=settings.bucket)
        return {o["Key"] for page in pages for o in page.get("Contents", [])}

    return keys


@pytest.fixture(scope="session")
def olist() -> Source:
    """The contract."""
    return read_source("olist")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder of small generated files, to be broken at will; no two tests' files are the same."""
    from flows.synthetic.olist import generate

    small.seed += 1  # type: ignore[attr-defined]
    directory = tmp_path / "olist"
    generate(directory, scale=0.001, seed=small.seed)  # type: ignore[attr-defined]
    return directory


small.seed = 0  # type: ignore[attr-defined]
