"""A run that is asked to end cancels its queries and aborts its uploads, and the next run finds nothing in its way."""

from __future__ import annotations

import os
import random
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from flows.contract.model import Source
from flows.contract.read import read_source
from flows.errors import InfrastructureError
from flows.progress import StoppedError
from flows.steps.land import land
from tests.conftest import olist_files, run_flow
from tests.faults import batch
from tests.faults.conftest import Proxied
from tests.faults.proxy import Fault, Proxy, Request
from tests.faults.test_kills import Applies, put, run_until_struck, sql


def run_command(home: str, folder: str) -> None:
    """Do `cxm run` as a user does: in the foreground, where Ctrl-C interrupts it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["CXM_HOME"] = home
    from flows.cli import main

    main(["run", "--source", "olist", "--data", folder])


def run_worker(home: str, folder: str) -> None:
    """Run the flow as a worker's process does."""
    os.environ["CXM_HOME"] = home
    run_flow("pipeline", source="olist", data=folder)


def uploads(proxied: Proxied) -> list[Any]:
    listed = batch.s3(proxied.direct).list_multipart_uploads(Bucket=proxied.direct.bucket)
    return list(listed.get("Uploads", []))


# Prefect's runner cancels a flow run by SIGTERM to its process, https://docs.prefect.io/v3/advanced/cancel-workflows
@pytest.mark.soak
@pytest.mark.parametrize(
    ("work", "number", "where", "at"),
    [
        pytest.param(run_command, signal.SIGINT, "warehouse", sql("COPY"), id="Ctrl-C during COPY"),
        pytest.param(run_worker, signal.SIGTERM, "warehouse", sql("COPY"), id="cancelled during COPY"),
        pytest.param(run_command, signal.SIGINT, "s3", put, id="Ctrl-C during upload"),
        pytest.param(run_worker, signal.SIGTERM, "s3", put, id="cancelled during upload"),
    ],
)
def test_a_run_that_is_told_to_end_cancels_its_queries_and_leaves_nothing(
    work: Any,
    number: int,
    where: str,
    at: Applies,
    processes: ForkServerContext,
    proxied: Proxied,
    tmp_path: Path,
) -> None:

    olist, settings = read_source("olist"), proxied.direct
    files = tmp_path / "olist"
    olist_files(files, scale=0.001, seed=random.Random(f"{work} {where}").randrange(10**6))
    before, differed = batch.batches_in_raw(settings, olist), batch.differences(settings, olist)
    process = processes.Process(target=work, args=(str(proxied.settings.home), str(files)))
    proxy: Proxy = getattr(proxied, where)

    def rule(request: Request) -> Fault | None:
        if proxy.struck or not at(request):
            return None
        return Fault("hold", strike=lambda: os.kill(process.pid or 0, number))

    run_until_struck(process, proxy, rule)
    assert process.exitcode != 0
    cancelled = [r for r in proxied.warehouse.seen if "SYSTEM$CANCEL_ALL_QUERIES" in r.sql]
    assert cancelled or where == "s3"
    assert not [r for r in proxied.warehouse.seen if r.tag.get("step") == "validate"], "it went on"
    assert uploads(proxied) == []
    proxied.clear()
    assert batch.published_rows(settings, olist, missing=True) != batch.read_files(files, olist)

    run_flow("pipeline", source="olist", data=str(files))
    expected = batch.read_files(files, olist)
    for table, rows in batch.in_raw(settings, olist, before).items():
        if rows:
            assert rows == expected[table], table
    assert batch.published_rows(settings, olist) == expected
    assert [d for d in batch.differences(settings, olist) if d not in differed] == []


@pytest.mark.parametrize("end", ["asked", "cut off"])
def test_an_upload_in_parts_that_ends_early_is_taken_back(
    end: str, proxied: Proxied, source: Source, tmp_path: Path, waits: object
) -> None:
    table = source.tables[0]
    path = tmp_path / table.file
    draw = random.Random(end)
    with path.open("w", encoding="utf-8") as file:  # no compression makes this fit into one part
        file.write(",".join(table.header) + "\n")
        for _ in range(200):
            file.write(f'"{draw.randbytes(40_000).hex()}","",""\n')

    def report(phase: str, done: int, total: int) -> None:
        if phase == "upload" and end == "asked":
            raise StoppedError("the run was asked to end")

    if end == "cut off":
        proxied.s3.rule = lambda r: Fault("reset before") if r.query.get("partNumber") == "2" else None
    client, info = batch.s3(proxied.settings), batch.new_run()
    with pytest.raises((StoppedError, InfrastructureError)):
        land(client, proxied.settings.bucket, source, table, path, info.batch_id, None, report=report)
    assert uploads(proxied) == []
    folder = f"raw/{source.name}/{table.stem}/{info.batch_id}/"
    assert "Contents" not in client.list_objects_v2(Bucket=proxied.settings.bucket, Prefix=folder)
