"""A source's lease when runs die, sleep and overlap: dead runs are recovered, and a run that lost the lease writes nothing more.

Real processes are stopped (SIGSTOP) at a boundary for longer than their lease lasts; another run takes over; they go on.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from flows import lease
from flows.clients.snowflake import run
from flows.contract.model import Source
from flows.embedded.supervisor import answers
from flows.errors import BusyError, ConfigurationError, InfrastructureError
from flows.ledger import Ledger, RunInfo
from flows.settings import PROJECT, Settings
from tests.conftest import free_port, run_flow
from tests.faults import batch
from tests.faults.conftest import Proxied
from tests.faults.proxy import Fault, Proxy, Request, after_copy
from tests.faults.test_kills import SECONDS, Applies, archive_ward, begin, put, sql, undo_ward

LEASE = 2.0  # seconds
LEFT = {"table_name": "T", "file_name": "t.csv", "bytes": 4, "content_sha256": "0" * 64}


@pytest.fixture
def ledger(settings: Settings, source: Source) -> Iterator[Ledger]:
    with batch.connect(settings) as connection:
        yield Ledger(connection, settings.database, source.name)


@pytest.fixture
def folder(tmp_path: Path, source: Source, request: pytest.FixtureRequest) -> Path:
    """Three files that no other case has."""
    batch.write_files(tmp_path / "ward", source, random.Random(request.node.nodeid))
    return tmp_path / "ward"


def dead() -> RunInfo:
    """Return a run whose process on this host has ended."""
    info = batch.new_run()
    return RunInfo(info.batch_id, f"dead-{info.batch_id}", holder=f"{os.uname().nodename}/4194304/1.00")


# What died is not forgotten -------------------------------------------------------------------------------------------


def test_a_dead_run_is_recovered_by_the_first_run_that_succeeds(
    settings: Settings, source: Source, ledger: Ledger, folder: Path
) -> None:
    before = batch.batches_in_raw(settings, source)
    gone = dead()
    lease.take(ledger, gone, 10)
    stray = f"raw/{source.name}/{source.tables[0].stem}/{gone.batch_id}/part.csv"
    batch.s3(settings).put_object(Bucket=settings.bucket, Key=stray, Body=b"a,b\n")

    first = dead()  # takes over, and dies before it has recovered anything
    assert gone.batch_id in lease.take(ledger, first, 10)[1]
    second, left = lease.take(ledger, batch.new_run(), 10)  # its task's first try: S3 does not answer
    again, left_again = lease.take(ledger, second, 10)  # and the second
    assert {gone.batch_id, first.batch_id} <= set(left)
    assert left_again == left
    lease.give_back(ledger, again, closed=False)

    batch.run_batch(settings, source, folder, batch.new_run())
    assert batch.differences(settings, source) == ()
    assert batch.in_raw(settings, source, before) == batch.read_files(folder, source)
    free, left = lease.take(ledger, batch.new_run(), 10)
    lease.give_back(ledger, free, closed=True)
    assert left == (), "each is struck off once it is recovered"


def test_what_a_killed_run_of_generated_files_left_in_s3_is_not_taken_for_real_rows(settings: Settings) -> None:
    with batch.connect(settings) as connection:
        ledger = Ledger(connection, settings.database, "left_behind")
        ledger.insert(batch.new_run(), "undone", [LEFT], "never loaded")
        ledger.refuse_generated("some folder", "data/left_behind")


@pytest.mark.parametrize("flow", ["pipeline", "replay"])
def test_a_run_that_cannot_begin_gives_the_lease_back(
    flow: str, settings: Settings, query: Callable[..., list[tuple[Any, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.steps import undo

    def refuse(*_: object) -> None:
        raise ConfigurationError("the bucket is not there")

    monkeypatch.setattr(undo, "recover", refuse)
    parameters = {"batch": "20010101_000000"} if flow == "replay" else {}
    with pytest.raises(ConfigurationError, match="the bucket is not there"):
        run_flow(flow, source="olist", **parameters)
    assert query("SELECT HOLDER, BATCH_ID FROM RAW.LOAD_LEASE WHERE SOURCE = 'olist'") == [(None, None)]


def test_a_source_has_one_lease_and_it_is_made_when_it_is_provisioned(
    settings: Settings, source: Source, ledger: Ledger, query: Callable[..., list[tuple[Any, ...]]]
) -> None:
    query("INSERT INTO RAW.LOAD_LEASE (SOURCE) VALUES ('ward')")
    try:
        with pytest.raises(ConfigurationError, match=r"expected 1 row in RAW\.LOAD_LEASE, got 2"):
            lease.take(ledger, batch.new_run(), 10)
    finally:
        query("DELETE FROM RAW.LOAD_LEASE WHERE SOURCE = 'ward' AND TOKEN IS NULL")
    unknown = Ledger(ledger.connection, settings.database, "nowhere")
    with pytest.raises(ConfigurationError, match=r"got 0; `cxm provision --apply` makes it"):
        lease.take(unknown, batch.new_run(), 10)


# A short lease, renewed -----------------------------------------------------------------------------------------------


def test_a_lease_is_renewed_while_its_holder_works_and_free_soon_after_it_died(
    settings: Settings, source: Source, ledger: Ledger
) -> None:
    far = RunInfo(batch.new_run().batch_id, "far", holder="another-host/1/1.00")
    far, _ = lease.take(ledger, far, LEASE / 60)
    lost: list[Exception] = []

    def connect() -> Any:
        from flows import blocks

        return blocks.ledger(settings, source.name, {"step": "heartbeat"})

    with lease.Heartbeat(connect, far, LEASE / 60, lost.append):
        time.sleep(LEASE * 1.5)
        with pytest.raises(BusyError, match="is at work"):
            lease.take(ledger, batch.new_run(), 10)
    time.sleep(LEASE + 0.5)  # it died, so the lease is not renewed
    mine, left = lease.take(ledger, batch.new_run(), 10)
    assert (left, lost) == ((far.batch_id,), [])
    lease.recovered(ledger, mine, far.batch_id)
    lease.give_back(ledger, mine, closed=True)


@pytest.mark.parametrize("why", ["taken", "away"])
def test_a_holder_that_cannot_renew_is_told_to_stop(
    why: str, settings: Settings, source: Source, ledger: Ledger, proxied: Proxied
) -> None:
    holder, _ = lease.take(ledger, dead(), LEASE / 60)
    stopped = threading.Event()
    heard: list[Exception] = []

    def connect() -> Any:
        if why == "away":
            raise InfrastructureError("the warehouse was not reached")
        from flows import blocks

        return blocks.ledger(settings, source.name, {"step": "heartbeat"})

    def tell(error: Exception) -> None:
        heard.append(error)
        stopped.set()

    with lease.Heartbeat(connect, holder, LEASE / 60, tell) as heartbeat:
        if why == "taken":
            other, _ = lease.take(ledger, batch.new_run(), 10)
        assert stopped.wait(10)
    expected = "took over" if why == "taken" else "could not be renewed"
    assert expected in str(heard[0])
    assert heartbeat.lost is heard[0]
    if why == "away":
        other, _ = lease.take(ledger, batch.new_run(), 10)
    lease.recovered(ledger, other, holder.batch_id)
    lease.give_back(ledger, other, closed=True)


# A run that slept through its lease -----------------------------------------------------------------------------------


def run_ward(home: str, folder: str, batch_id: str) -> None:
    os.environ["CXM_LEASE_MINUTES"] = str(LEASE / 60)
    batch.run_batch(Settings(home=Path(home)), batch.ward(), Path(folder), RunInfo(batch_id, f"run-{batch_id}"))


def undo_sleepily(home: str, folder: str, batch_id: str) -> None:
    os.environ["CXM_LEASE_MINUTES"] = str(LEASE / 60)
    undo_ward(home, folder, batch_id)


def archive_sleepily(home: str, folder: str, batch_id: str) -> None:
    os.environ["CXM_LEASE_MINUTES"] = str(LEASE / 60)
    archive_ward(home, folder, batch_id)


def run_beside(settings: Settings, source: Source, folder: Path) -> None:
    """Run a whole batch here, beside the process that sleeps, as soon as its lease has expired."""
    until = time.monotonic() + 60
    while True:
        try:
            batch.run_batch(settings, source, folder, batch.new_run())
            return
        except BusyError:
            assert time.monotonic() < until, "the lease of a run that sleeps never ends"
            time.sleep(0.5)


def sleep_at(
    processes: ForkServerContext, work: Any, proxied: Proxied, folder: Path, where: str, at: Applies, meanwhile: Any
) -> tuple[str, int | None]:
    """Do the work in a process that is stopped at the first request for which `at` holds, until `meanwhile` is done; return its
    batch id and exit code."""
    batch_id = batch.new_run().batch_id
    process = processes.Process(target=work, args=(str(proxied.settings.home), str(folder), batch_id))
    proxy = getattr(proxied, where)
    stopped = threading.Event()

    def rule(request: Request) -> Fault | None:
        if not stopped.is_set() and at(request):
            os.kill(process.pid or 0, signal.SIGSTOP)
            stopped.set()
        return None

    proxy.rule = rule
    process.start()
    try:
        assert stopped.wait(SECONDS), f"it ended with {process.exitcode} before the boundary"
        meanwhile()
        os.kill(process.pid or 0, signal.SIGCONT)
        process.join(SECONDS)
        assert not process.is_alive()
    finally:
        process.kill()
        process.join()
    return batch_id, process.exitcode


SLEEPS: dict[str, tuple[str, Applies]] = {
    "before it recovers": ("warehouse", sql("SELECT DISTINCT", "open")),
    "while it uploads": ("s3", put),
    "before the ledger knows": ("warehouse", sql("INSERT")),
    "during COPY": ("warehouse", sql("COPY")),
    "after COPY": ("warehouse", after_copy("SELECT COUNT")),
    "before it publishes": ("warehouse", begin("validated")),
}


@pytest.mark.parametrize(
    "boundary", [pytest.param(b, marks=[] if b == "after COPY" else [pytest.mark.soak]) for b in SLEEPS]
)
def test_a_run_that_slept_through_its_lease_writes_nothing_more(
    boundary: str, processes: ForkServerContext, proxied: Proxied, source: Source, folder: Path, tmp_path: Path
) -> None:
    batch.write_files(tmp_path / "newer", source, random.Random(f"newer {boundary}"))
    before = batch.batches_in_raw(proxied.direct, source)
    where, at = SLEEPS[boundary]
    slept, exitcode = sleep_at(
        processes, run_ward, proxied, folder, where, at, lambda: run_beside(proxied.direct, source, tmp_path / "newer")
    )
    assert exitcode != 0, "it ends because it lost its lease"
    proxied.clear()
    assert batch.in_raw(proxied.direct, source, before) == batch.read_files(tmp_path / "newer", source)
    assert slept not in batch.batches_in_raw(proxied.direct, source)
    batch.run_batch(proxied.direct, source, folder, batch.new_run())
    assert batch.published_rows(proxied.direct, source) == batch.read_files(folder, source)
    assert batch.differences(proxied.direct, source) == ()


@pytest.mark.soak
@pytest.mark.parametrize(
    ("work", "where", "at"),
    [
        pytest.param(undo_sleepily, "warehouse", sql("DELETE", "undo"), id="undo"),
        pytest.param(archive_sleepily, "s3", lambda r: r.method == "PUT" and "/archive/" in r.path, id="archive"),
    ],
)
def test_undo_and_maintenance_that_slept_through_their_lease_change_nothing_more(
    work: Any, where: str, at: Applies, processes: ForkServerContext, proxied: Proxied, source: Source, folder: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    batch.run_batch(proxied.direct, source, folder, batch.new_run())
    batch.write_files(tmp_path / "newer", source, random.Random(f"newer {where}"))
    beside = lambda: run_beside(proxied.direct, source, tmp_path / "newer")  # noqa: E731
    _, exitcode = sleep_at(processes, work, proxied, folder, where, at, beside)
    assert exitcode != 0
    proxied.clear()
    assert batch.published_rows(proxied.direct, source) == batch.read_files(tmp_path / "newer", source)
    with batch.connect(proxied.direct) as connection:
        ledger = Ledger(connection, proxied.direct.database, source.name)
        with lease.holding(ledger, batch.new_run(), 10) as holder:
            from flows.steps.retention import archive

            archive(ledger, batch.s3(proxied.direct), proxied.direct.bucket, holder, days=0)
    assert batch.differences(proxied.direct, source) == ()


# A run that slept with the lease's lock in hand -----------------------------------------------------------------------

IDLE = 3  # seconds after which this warehouse aborts an idle transaction that blocks another; Snowflake: five minutes


@pytest.fixture(scope="module")
def impatient(settings: Settings, source: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """A second warehouse beside the stack's, over the same bucket, seen through a proxy.

    Its objects are deleted with it, because the stack's ledger has no rows for them: a later reconcile would report them.
    """
    from flows import blocks
    from flows.clients import s3
    from flows.steps.provision import provision_warehouse

    home, port, secrets = tmp_path_factory.mktemp("impatient"), free_port(), settings.home / "secrets"
    (home / "run").mkdir()
    stack = json.loads((settings.home / "run" / "stack.json").read_text())
    command = [sys.executable, "-m", "flows.embedded.warehouse", "--port", str(port), "--dir", str(home / "warehouse")]
    command += ["--users", str(secrets / "warehouse.json"), "--idle-transaction-seconds", str(IDLE)]
    command += ["--s3-endpoint", stack["s3"]["endpoint"], "--s3-identity", str(secrets / "s3.json")]
    server = subprocess.Popen(command, cwd=PROJECT)
    proxy = Proxy(port, whole=True)
    for name, address in (("direct", port), ("proxied", proxy.port)):
        (home / name / "run").mkdir(parents=True)
        for shared in ("secrets", "prefect", "run/supervisor.json", "run/lease"):
            (home / name / shared).symlink_to(settings.home / shared)
        changed = {**stack, "warehouse": {**stack["warehouse"], "port": address}}
        (home / name / "run" / "stack.json").write_text(json.dumps(changed))
    direct = Settings(home=home / "direct")
    client, folder = batch.s3(settings), f"raw/{source.name}/"
    of_the_stack = set(s3.keys(client, settings.bucket, folder))
    try:
        until = time.monotonic() + 60
        while not answers(port, "/health"):
            assert time.monotonic() < until
            time.sleep(0.1)
        with blocks.snowflake(direct, "ACCOUNTADMIN", {"step": "test"}) as connection:
            provision_warehouse(connection, direct, [source])
        yield Proxied(Settings(home=home / "proxied"), direct, proxy, proxy)
    finally:
        proxy.close()
        server.terminate()
        server.wait()
        s3.delete(client, settings.bucket, sorted(set(s3.keys(client, settings.bucket, folder)) - of_the_stack))


WITH_THE_LOCK: dict[str, Applies] = {
    "taking it": sql("UPDATE CXM_MEDTECH.RAW.LOAD_LEASE", "open"),
    "after COPY": after_copy("UPDATE CXM_MEDTECH.RAW.LOAD_LEASE"),
    "publishing": sql("UPDATE CXM_MEDTECH.RAW.LOAD_LEDGER", "validated"),
}


@pytest.mark.soak
@pytest.mark.parametrize("boundary", WITH_THE_LOCK)
def test_a_run_that_slept_between_update_and_commit_is_given_up_and_nothing_is_written_twice(
    boundary: str, processes: ForkServerContext, impatient: Proxied, source: Source, folder: Path, tmp_path: Path
) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions"""
    settings = impatient.direct
    batch.write_files(tmp_path / "newer", source, random.Random(f"newer {boundary}"))
    before, differed = batch.batches_in_raw(settings, source), batch.differences(settings, source)

    def beside() -> None:
        began = time.monotonic()
        run_beside(settings, source, tmp_path / "newer")
        assert time.monotonic() - began > 1, "it waited for the lock"

    slept, exitcode = sleep_at(processes, run_ward, impatient, folder, "warehouse", WITH_THE_LOCK[boundary], beside)
    impatient.clear()
    newer = batch.read_files(tmp_path / "newer", source)
    # Objects of the other warehouse's loads, which this one does not know, stay as they were.
    assert [d for d in batch.differences(settings, source) if d not in differed] == []
    if exitcode == 0:  # it took the lease once more, after the other had given it back: the newest batch is its own
        assert boundary == "taking it"
        assert batch.published_rows(settings, source) == batch.read_files(folder, source)
    else:
        assert slept not in batch.batches_in_raw(settings, source)
        assert batch.in_raw(settings, source, before) == newer
        assert batch.published_rows(settings, source) == newer


# What the session of an aborted transaction gets is not documented, and a COMMIT without a transaction is ignored
# (https://docs.snowflake.com/en/sql-reference/sql/commit). So this server aborts it without an error.


def test_a_commit_that_was_ignored_is_noticed(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_LONG", 0)
    info, _ = lease.take(ledger, batch.new_run(), 10)

    def write() -> None:
        with lease.fenced(ledger, info) as lock:
            lock()
            run(ledger.connection, "ROLLBACK")

    with pytest.raises(InfrastructureError, match="the server gave it up"):
        write()
    with lease.fenced(ledger, info):
        pass
    lease.give_back(ledger, info, closed=True)


def test_two_runs_with_one_token_do_not_both_hold_the_lease(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    write = lease._write

    def write_and_be_given_up(*values: Any) -> None:
        write(*values)
        run(ledger.connection, "ROLLBACK")

    with monkeypatch.context() as patch:
        patch.setattr(lease, "_write", write_and_be_given_up)
        sleeper, _ = lease.take(ledger, batch.new_run(), 10)
    holder, _ = lease.take(ledger, batch.new_run(), 10)
    assert holder.token == sleeper.token
    with pytest.raises(BusyError, match="took over"), lease.fenced(ledger, sleeper):
        pass
    with pytest.raises(BusyError, match="took over"):
        lease.renew(ledger, sleeper, 10)
    lease.renew(ledger, holder, 10)
    lease.give_back(ledger, sleeper, closed=True)
    lease.check(ledger, holder)
    lease.give_back(ledger, holder, closed=True)
