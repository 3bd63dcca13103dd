"""Fixtures for the tests of the flows: the pipeline as a call, the bucket's keys, small files to break."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.contract import read, sync
from flows.contract.model import Source
from flows.contract.read import read_source
from flows.settings import PROJECT, Settings
from tests.conftest import olist_files, run_flow


@pytest.fixture
def run_pipeline(settings: Settings) -> Callable[..., Any]:
    """`run_pipeline(directory, force=False)` → RunSummary, or PipelineError raised."""

    def run(directory: Path, force: bool = False) -> Any:
        return run_flow("pipeline", source="olist", data=str(directory), force=force)

    return run


@pytest.fixture
def objects(settings: Settings) -> Callable[[], set[str]]:
    """Keys of every object in the landing bucket."""
    from flows import blocks

    def keys() -> set[str]:
        pages = blocks.s3_client(settings).get_paginator("list_objects_v2").paginate(Bucket=settings.bucket)
        return {o["Key"] for page in pages for o in page.get("Contents", [])}

    return keys


@pytest.fixture
def without_days(query: Callable[..., Any]) -> Iterator[None]:
    """Unpublish for one test the days of `synthetic` that other tests published, because they refer to those tests' Olist rows,
    and empty the incremental table, which would keep them from build to build."""
    out = "UPDATE RAW.LOAD_LEDGER SET STATUS = 'undone', FIRST_ERROR = 'out of the way' WHERE SOURCE = 'synthetic'"
    query(f"{out} AND STATUS = 'validated'")
    if query("SHOW TABLES LIKE 'INT_TOUCHPOINTS_MERGED' IN SCHEMA INT"):
        query("DELETE FROM INT.INT_TOUCHPOINTS_MERGED")
    yield
    back = "UPDATE RAW.LOAD_LEDGER SET STATUS = 'validated', FIRST_ERROR = NULL WHERE SOURCE = 'synthetic'"
    query(f"{back} AND FIRST_ERROR = 'out of the way'")


@pytest.fixture(scope="session")
def olist() -> Source:
    """The contract of olist."""
    return read_source("olist")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder of small generated files, to be broken at will; no two tests' files are the same."""

    small.seed += 1  # type: ignore[attr-defined]
    directory = tmp_path / "olist"
    olist_files(directory, scale=0.001, seed=small.seed)  # type: ignore[attr-defined]
    return directory


small.seed = 0  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def olist_published(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of generated Olist files that are published now: days of the other sources refer to their ids."""

    directory = tmp_path_factory.mktemp("published") / "olist"
    olist_files(directory, scale=0.002, seed=77)
    run_flow("pipeline", source="olist", data=str(directory), force=True)
    return directory


@contextmanager
def project_copy(settings: Settings, copy: Path, change: Callable[[Path], None], *modules: Any) -> Iterator[Path]:
    """Copy the contracts and what derives from them, apply `change(copy)` and sync the copy; in the block the flows read it, and
    so do `modules`, which have the project's folder as PROJECT."""
    from flows import tasks  # once the environment names the stack's Prefect server

    for folder in ("data_dictionary", "expectations", "dbt"):
        shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("target", "logs", "uncommitted"))
    change(copy)
    sync.sync(copy)
    with pytest.MonkeyPatch.context() as patched:
        for module in (read, tasks, *modules):
            patched.setattr(module, "PROJECT", copy)
        patched.setattr(read.sources, "__defaults__", (copy,))
        yield copy
    # dbt considers a YAML file unchanged if it has the modification time that it had two parses ago, and would continue with the
    # copy's file when it reads the project's own again.
    shutil.rmtree(settings.home / "dbt" / "target", ignore_errors=True)


@pytest.fixture
def other_project(settings: Settings, tmp_path: Path) -> Iterator[Callable[[Callable[[Path], None]], Path]]:
    """`other_project(change)` → the project's copy (`project_copy`), which the flows read until the test ends."""
    with ExitStack() as until_the_test_ends:
        yield lambda change: until_the_test_ends.enter_context(project_copy(settings, tmp_path / "project", change))


def copy_files(source: Path, target: Path) -> None:
    """Copy the CSV files of a folder into another one."""
    for file in source.glob("*.csv"):
        shutil.copyfile(file, target / file.name)
