"""After `kill -9` of a run at any boundary and another run, each row is in RAW once, and S3, ledger and RAW agree.

The proxy sees the request that marks the boundary and kills the process that sent it. Processes are forked from one that has
imported what they need; that is the only difference from a run that a worker starts.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from flows.contract.model import Source
from flows.contract.read import read_source
from flows.lease import holding
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings
from flows.steps.retention import archive
from flows.steps.undo import undo
from tests.conftest import olist_files, run_flow
from tests.faults import batch
from tests.faults.conftest import Proxied
from tests.faults.proxy import Fault, Kind, Proxy, Request, after_copy

KILLED = -9
SECONDS = 240  # a run takes a few; a busy machine gets time

Applies = Callable[[Request], bool]


# What a child process does --------------------------------------------------------------------------------------------


def run_ward(home: str, folder: str, batch_id: str) -> None:
    batch.run_batch(Settings(home=Path(home)), batch.ward(), Path(folder), RunInfo(batch_id, f"run-{batch_id}"))


def undo_ward(home: str, folder: str, batch_id: str) -> None:
    settings, info = Settings(home=Path(home)), RunInfo(batch_id, f"undo-{batch_id}")
    with batch.connect(settings, "undo") as connection:
        ledger = Ledger(connection, settings.database, "ward")
        newest = max(ledger.published().values(), key=lambda p: p.sequence).batch_id
        with holding(ledger, info, settings.lease_minutes) as holder:
            undo(ledger, newest, holder, "by hand")


def archive_ward(home: str, folder: str, batch_id: str) -> None:
    settings, info = Settings(home=Path(home)), RunInfo(batch_id, f"maintenance-{batch_id}")
    with batch.connect(settings, "maintenance") as connection:
        ledger = Ledger(connection, settings.database, "ward")
        with holding(ledger, info, settings.lease_minutes) as holder:
            archive(ledger, batch.s3(settings), settings.bucket, holder, days=0)


def run_pipeline(home: str, folder: str, batch_id: str) -> None:
    os.environ["CXM_HOME"] = home
    run_flow("pipeline", source="olist", data=folder)


# How it is killed -----------------------------------------------------------------------------------------------------


def kill_at(
    processes: ForkServerContext, work: Any, proxied: Proxied, folder: Path, proxy: Proxy, kind: Kind, at: Applies
) -> None:
    """Do the work in a process that dies at the first request for which `at` holds.

    Its batch id is new to the ledger, and is the current time, as the flow's is.
    """
    batch_id = batch.new_run().batch_id
    process = processes.Process(target=work, args=(str(proxied.settings.home), str(folder), batch_id))

    def rule(request: Request) -> Fault | None:
        return Fault(kind, strike=process.kill) if not proxy.struck and at(request) else None

    run_until_struck(process, proxy, rule)
    assert process.exitcode == KILLED
    proxied.clear()


def run_until_struck(process: Any, proxy: Proxy, rule: Callable[[Request], Fault | None]) -> None:
    """Run the process under the proxy's rule; assert that it ends by itself, after the rule has struck."""
    proxy.rule = rule
    process.start()
    process.join(SECONDS)
    alive = process.is_alive()
    process.kill()
    process.join()
    assert not alive, "it neither came to the boundary nor to its end"
    assert proxy.struck, f"it ended with {process.exitcode} before the boundary"


def put(request: Request) -> bool:
    return request.method == "PUT" and request.path.split("/")[2:3] == ["raw"]


def last_put(request: Request) -> bool:
    return put(request) and "/notes/" in request.path


def sql(start: str, step: str = "load") -> Applies:
    return lambda request: request.sql.startswith(start) and request.tag.get("step") == step


def begin(step: str) -> Applies:
    return lambda request: request.begins and request.tag.get("step") == step


# boundary → which proxy sees it, what happens to the request, which request it is
BOUNDARIES: dict[str, tuple[str, Kind, Applies]] = {
    "during upload": ("s3", "reset mid-request", put),
    "after upload": ("s3", "reset after", last_put),
    "during COPY": ("warehouse", "reset during", sql("COPY")),
    "after COPY before commit": ("warehouse", "reset before", after_copy("COMMIT")),
    "after commit, its answer lost": ("warehouse", "reset after", after_copy("COMMIT")),
    "while it takes the lease": ("warehouse", "reset after", sql("UPDATE", "open")),
    "after it took the lease": ("warehouse", "reset after", sql("COMMIT", "open")),
    "before the first upload": ("s3", "reset before", put),
    "after the first upload": ("s3", "reset after", put),
    "before the ledger knows": ("warehouse", "reset before", sql("INSERT")),
    "when the ledger knows": ("warehouse", "reset after", sql("INSERT")),
    "after COPY, its answer lost": ("warehouse", "reset after", sql("COPY")),
    "before the rows are counted": ("warehouse", "reset before", sql("SELECT COUNT")),
    "when it has the lease's lock": ("warehouse", "reset after", after_copy("UPDATE CXM_MEDTECH.RAW.LOAD_LEASE")),
    "after the ledger's UPDATE": ("warehouse", "reset after", sql("UPDATE CXM_MEDTECH.RAW.LOAD_LEDGER")),
    "before it publishes": ("warehouse", "reset before", begin("validated")),
    "while it publishes": ("warehouse", "reset after", sql("UPDATE CXM_MEDTECH.RAW.LOAD_LEDGER", "validated")),
    "after it published": ("warehouse", "reset after", sql("COMMIT", "validated")),
    "while it gives the lease back": ("warehouse", "reset after", sql("UPDATE", "close")),
}
ALWAYS = (
    "during upload",
    "after upload",
    "during COPY",
    "after COPY before commit",
    "after commit, its answer lost",
)


@pytest.fixture
def folder(tmp_path: Path, source: Source, request: pytest.FixtureRequest) -> Path:
    """Three files that no other case has."""
    batch.write_files(tmp_path / "ward", source, random.Random(request.node.nodeid))
    return tmp_path / "ward"


@pytest.mark.parametrize(
    "boundary", [pytest.param(b, marks=[] if b in ALWAYS else [pytest.mark.soak]) for b in BOUNDARIES]
)
def test_a_run_killed_at_a_boundary_leaves_each_row_once_after_the_next(
    boundary: str, processes: ForkServerContext, proxied: Proxied, source: Source, folder: Path
) -> None:
    before = batch.batches_in_raw(proxied.direct, source)
    where, kind, at = BOUNDARIES[boundary]
    kill_at(processes, run_ward, proxied, folder, getattr(proxied, where), kind, at)
    batch.run_batch(proxied.direct, source, folder, batch.new_run())
    assert batch.in_raw(proxied.direct, source, before) == batch.read_files(folder, source)
    assert batch.differences(proxied.direct, source) == ()


# Undo and archive -----------------------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.parametrize(
    ("kind", "at"),
    [
        ("reset after", sql("DELETE", "undo")),
        ("reset after", sql("UPDATE CXM_MEDTECH.RAW.LOAD_LEDGER", "undo")),
        ("reset after", sql("COMMIT", "undo")),
    ],
    ids=["rows deleted", "ledger marked", "committed"],
)
def test_an_undo_that_was_killed_is_done_whole_or_not_at_all(
    kind: Kind, at: Applies, processes: ForkServerContext, proxied: Proxied, source: Source, folder: Path
) -> None:
    before = batch.batches_in_raw(proxied.direct, source)
    batch.run_batch(proxied.direct, source, folder, batch.new_run())
    kill_at(processes, undo_ward, proxied, folder, proxied.warehouse, kind, at)
    rows = batch.in_raw(proxied.direct, source, before)
    assert rows in (batch.read_files(folder, source), {t.raw_name: {} for t in source.tables})
    batch.run_batch(proxied.direct, source, folder, batch.new_run())
    assert batch.in_raw(proxied.direct, source, before) == batch.read_files(folder, source)
    assert batch.differences(proxied.direct, source) == ()


@pytest.mark.soak
@pytest.mark.parametrize(
    ("where", "kind", "at"),
    [
        ("s3", "reset after", lambda r: r.method == "PUT" and "/archive/" in r.path),
        ("warehouse", "reset after", sql("UPDATE CXM_MEDTECH.RAW.LOAD_LEDGER", "maintenance")),
        ("s3", "reset before", lambda r: r.method == "DELETE"),
        ("s3", "reset after", lambda r: r.method == "DELETE"),
    ],
    ids=["copied", "written down", "before the delete", "deleted"],
)
def test_an_archive_run_that_was_killed_is_finished_by_the_next(
    where: str, kind: Kind, at: Applies, processes: ForkServerContext, proxied: Proxied, source: Source, folder: Path
) -> None:
    batch.run_batch(proxied.direct, source, folder, batch.new_run())
    kill_at(processes, archive_ward, proxied, folder, getattr(proxied, where), kind, at)
    info = batch.new_run()
    with batch.connect(proxied.direct, "maintenance") as connection:
        ledger = Ledger(connection, proxied.direct.database, source.name)
        with holding(ledger, info, 10) as holder:
            archive(ledger, batch.s3(proxied.direct), proxied.direct.bucket, holder, days=0)
        assert all(str(o["s3_key"]).startswith("archive/") for o in ledger.objects() if o["status"] == "validated")
    assert batch.differences(proxied.direct, source) == ()


# The whole flow -------------------------------------------------------------------------------------------------------


def in_validation(request: Request) -> bool:
    return request.tag.get("step") == "validate" and request.sql.startswith(("SELECT", "WITH", "CREATE"))


def to_dbt(request: Request) -> bool:
    return "dbt" in request.tag.get("tag", "") and bool(request.sql)


FLOW_BOUNDARIES: dict[str, tuple[str, Kind, Applies]] = {
    "after commit before validation": ("warehouse", "reset before", begin("validate")),
    "during validation": ("warehouse", "reset during", in_validation),
    "during hand-off": ("warehouse", "reset during", to_dbt),
    "during upload": ("s3", "reset mid-request", put),
    "after COPY before commit": ("warehouse", "reset before", after_copy("COMMIT")),
    "after validation before it publishes": ("warehouse", "reset before", begin("validated")),
    "after it published": ("warehouse", "reset after", sql("COMMIT", "validated")),
}


@pytest.fixture(scope="module")
def olist() -> Source:
    """The contract of the nine tables, which has rules to validate, and sources for dbt."""
    return read_source("olist")


@pytest.mark.soak
@pytest.mark.parametrize("boundary", FLOW_BOUNDARIES)
def test_a_flow_killed_at_a_boundary_leaves_each_row_once_after_the_next(
    boundary: str, processes: ForkServerContext, proxied: Proxied, olist: Source, tmp_path: Path
) -> None:

    files = tmp_path / "olist"
    olist_files(files, scale=0.001, seed=9000 + list(FLOW_BOUNDARIES).index(boundary))
    settings = proxied.direct
    before, differed = batch.batches_in_raw(settings, olist), batch.differences(settings, olist)
    where, kind, at = FLOW_BOUNDARIES[boundary]
    kill_at(processes, run_pipeline, proxied, files, getattr(proxied, where), kind, at)
    run_flow("pipeline", source="olist", data=str(files))
    expected = batch.read_files(files, olist)
    for table, rows in batch.in_raw(settings, olist, before).items():
        if rows:  # a file that is the same in every generated set is not loaded again
            assert rows == expected[table], table
    assert batch.published_rows(settings, olist) == expected
    assert [d for d in batch.differences(settings, olist) if d not in differed] == []
