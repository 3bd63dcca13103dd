"""`RAW.LOAD_LEASE`: which run may write a source, and which batches an interrupted run left unfinished.

    take ──▶ token, batches to recover      fenced ──▶ a transaction that commits only while the run's token is current
    Heartbeat ──▶ renewed, or lost          give_back ──▶ free; a batch without a verdict is noted, until `recovered`

The token (a fencing token) grows each time a run takes the lease. A run with an older token can write nothing more, however long
it was suspended: every transaction that writes takes the row's lock and reads the token right before its ledger rows and COMMIT.
UPDATE keeps the lock until COMMIT (https://docs.snowflake.com/en/sql-reference/transactions#resource-locking), and the SELECT
after it sees every earlier take-over.

Long because the lease, its fencing and its heartbeat are one protocol.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psutil

from flows.clients.snowflake import run, transaction
from flows.contract.sql import template
from flows.errors import BusyError, ConfigurationError, CxmError, InfrastructureError
from flows.ledger import Ledger, RunInfo

log = logging.getLogger(__name__)

# Threads of one run queue here rather than on the server, which fails when more than 20 statements wait for one lock.
_turn = threading.Lock()

# Seconds; the COMMIT of a longer transaction is confirmed. A server aborts a transaction that is idle for minutes, not for less.
_LONG = 60


@dataclass(frozen=True, slots=True)
class Held:
    """The lease's row in RAW.LOAD_LEASE."""

    batch_id: str | None
    holder: str | None
    flow_run_id: str
    expires_at: str
    token: int
    to_recover: tuple[str, ...]
    lives: bool
    locked_at: datetime = datetime.min  # when its lock was last taken, by this transaction or one that committed

    def belongs_to(self, info: RunInfo) -> bool:
        """Return whether this run holds the lease. The process is compared as well as the token: if the server aborted the
        transaction in which this run took the lease, another run may have got the same token."""
        return (self.holder, self.flow_run_id, self.token) == (info.holder, info.flow_run_id, info.token)


def _update(ledger: Ledger, name: str, *values: Any) -> int:
    """Run one of the lease's UPDATEs and return how many rows it changed."""
    done = run(ledger.connection, template(f"ledger/lease_{name}.sql", database=ledger.database), values)
    return int(done.rows[0][0])


def _lock_row(ledger: Ledger) -> Held:
    """Lock the lease's row until the open transaction ends, and read it.

    Raises:
        ConfigurationError: the source has no row, or several.
    """
    rows = _update(ledger, "lock", ledger.source)
    if rows != 1:
        raise ConfigurationError(
            f"source {ledger.source}: expected 1 row in RAW.LOAD_LEASE, got {rows}; "
            + (
                "`cxm provision --apply` makes it"
                if not rows
                else "delete the rows that hold nothing, as an administrator"
            )
        )
    return _read(ledger)


def _read(ledger: Ledger) -> Held:
    read = run(ledger.connection, template("ledger/lease_read.sql", database=ledger.database), (ledger.source,))
    row = read.dicts()[0]
    return Held(
        row["batch_id"],
        row["holder"],
        row["flow_run_id"] or "",
        str(row["expires_at"] or ""),
        int(row["token"]),
        tuple(json.loads(row["to_recover"])),
        bool(row["lives"]),
        row["locked_at"] or datetime.min,
    )


def _write(ledger: Ledger, held: Held, seconds: float = 0) -> None:
    _update(
        ledger,
        "write",
        ledger.source,
        held.token,
        held.batch_id,
        held.holder,
        held.flow_run_id or None,
        max(1, round(seconds)),
        json.dumps(held.to_recover),
    )


@contextmanager
def _locking_row(ledger: Ledger) -> Iterator[Held]:
    """Lock the lease's row for a change in one transaction; waits for another run's change to end first."""
    with _turn, transaction(ledger.connection):
        yield _lock_row(ledger)


def take(ledger: Ledger, info: RunInfo, minutes: float, on_batch: bool = True) -> tuple[RunInfo, tuple[str, ...]]:
    """Take the lease to work on `info.batch_id`. Returns the run with its token, and the batches that earlier runs left open.

    A lease is free when it was given back, when it has expired, or when its process ran on this host and has ended. The same flow
    run (a retry, maybe on another host) takes its own lease again. The open batches stay noted until `recovered`, so that a
    retry gets them again; the run's own batch stays noted for the run after it, and is not returned. Without `on_batch` the lease
    names no batch, so that none is to be recovered if the run dies.

    Raises:
        BusyError: another run works on this source. The message names it, because only its process (same host) or the lease's
            expiry distinguishes a live run from a dead one.
        ConfigurationError: the source is not provisioned.
    """
    with _locking_row(ledger) as held:
        mine = held.holder == info.holder and held.flow_run_id == info.flow_run_id
        mine = mine or bool(info.flow_run_id and held.flow_run_id == info.flow_run_id)
        if held.holder and held.lives and not mine and not _is_gone(held.holder):
            what = f"batch {held.batch_id}" if held.batch_id else "a run"
            raise BusyError(
                f"source {ledger.source}: {what} is at work (run {held.flow_run_id or 'without id'}, {held.holder}, until "
                f"{held.expires_at} UTC unless it renews that); wait for it. If that run is dead: "
                f"`cxm unlock {ledger.source}`"
            )
        batch_id = info.batch_id if on_batch else None
        noted = _batches_to_recover(held)
        info = replace(info, token=held.token + 1)
        _write(ledger, Held(batch_id, info.holder, info.flow_run_id, "", info.token, noted, True), minutes * 60)
    return info, tuple(b for b in noted if b != batch_id)


def _batches_to_recover(held: Held) -> tuple[str, ...]:
    """Return the batches to recover: those already noted, and the one the holder was working on."""
    return tuple(sorted({*held.to_recover, *([held.batch_id] if held.batch_id else [])}))


def _lost_lease_error(ledger: Ledger, held: Held) -> BusyError:
    taken = f"batch {held.batch_id} took over" if held.batch_id else "another run took over"
    return BusyError(
        f"source {ledger.source}: this run lost its lease and {taken}; nothing more is written. It was away for longer than "
        "CXM_LEASE_MINUTES, or `cxm unlock` took it; run again"
    )


@contextmanager
def fenced(ledger: Ledger, info: RunInfo) -> Iterator[Callable[[], None]]:
    """Open a transaction that commits only if this run still holds the lease.

    The `lock()` that it yields locks the lease's row and checks the token. Call it after slow statements (COPY) and before the
    first change of a ledger row: until COMMIT, other runs and tables wait for that lock.

    Raises:
        BusyError: another run took over; everything is rolled back.
        InfrastructureError: the transaction was open for so long that the server aborted it; everything is rolled back.
    """
    locked: list[Held] = []
    began = time.time()  # not the monotonic clock, which stops while a laptop sleeps
    with ExitStack() as turn:

        def lock() -> None:
            turn.enter_context(_turn)
            held = _lock_row(ledger)
            if not held.belongs_to(info):
                raise _lost_lease_error(ledger, held)
            locked.append(held)

        with transaction(ledger.connection):
            yield lock
            if not locked:
                lock()
        if time.time() - began > _LONG:
            _confirm_commit(ledger, info, locked[0])


def _confirm_commit(ledger: Ledger, info: RunInfo, locked: Held) -> None:
    """Check that COMMIT took effect.

    Snowflake aborts a transaction that is idle for five minutes while another waits for its lock
    (https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions). Which error its session then gets is not
    documented, and a COMMIT without a transaction is ignored (https://docs.snowflake.com/en/sql-reference/sql/commit)."""
    held = _read(ledger)
    if not held.belongs_to(info):
        raise _lost_lease_error(ledger, held)
    if held.locked_at < locked.locked_at:
        raise InfrastructureError(
            f"source {ledger.source}: the transaction was open for more than {_LONG} seconds and the server gave it up; nothing "
            "of it was written: run again"
        )


def check(ledger: Ledger, info: RunInfo) -> None:
    """Make sure that this run still holds the lease, before work outside the warehouse, which no lock protects.

    Raises:
        BusyError: another run took over.
    """
    with fenced(ledger, info):
        pass


def renew(ledger: Ledger, info: RunInfo, minutes: float) -> None:
    """Extend the lease to `minutes` from now.

    Raises:
        BusyError: another run took over.
    """
    if not _update(ledger, "renew", ledger.source, info.token, max(1, round(minutes * 60)), info.holder):
        raise _lost_lease_error(ledger, _read(ledger))


def recovered(ledger: Ledger, info: RunInfo, batch_id: str) -> None:
    """Remove a batch from those to recover.

    Raises:
        BusyError: another run took over.
    """
    with _locking_row(ledger) as held:
        if not held.belongs_to(info):
            raise _lost_lease_error(ledger, held)
        left = tuple(b for b in held.to_recover if b != batch_id)
        run(
            ledger.connection,
            template("ledger/lease_note.sql", database=ledger.database),
            (ledger.source, json.dumps(left)),
        )


def give_back(ledger: Ledger, info: RunInfo, closed: bool) -> None:
    """Free the lease. Unless the batch is `closed` (has its verdict), it is noted for the next run to recover.

    A run that lost its lease notes its batch too: it may have uploaded objects after the run that took over listed them."""
    with _locking_row(ledger) as held:
        if held.belongs_to(info):
            note = held.to_recover if closed else _batches_to_recover(held)
            _write(ledger, Held(None, None, "", "", held.token, note, False))
        elif not closed and held.batch_id != info.batch_id and info.batch_id not in held.to_recover:
            note = tuple(sorted({*held.to_recover, info.batch_id}))
            run(
                ledger.connection,
                template("ledger/lease_note.sql", database=ledger.database),
                (ledger.source, json.dumps(note)),
            )


def unlock(ledger: Ledger) -> str | None:
    """Take the lease from its holder, by hand, and return that holder, if any. The holder can write nothing more."""
    with _locking_row(ledger) as held:
        _write(ledger, Held(None, None, "", "", held.token + 1, _batches_to_recover(held), False))
    return held.holder


class Heartbeat:
    """Renews the lease while its holder works, in its own thread and on its own connection.

    `lost` is the error if it could not: another run took over, or the warehouse did not answer for as long as a lease lasts. The
    thread then calls `tell` with it, once.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Ledger]],
        info: RunInfo,
        minutes: float,
        tell: Callable[[CxmError], None],
    ) -> None:
        self.lost: CxmError | None = None
        self._connect, self._info, self._minutes, self._tell = connect, info, minutes, tell
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease of {info.batch_id}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        # Do not wait longer: a heartbeat may hang on an unreachable server, and the thread ends with the process.
        self._thread.join(5)

    def _beat(self) -> None:
        seconds = self._minutes * 60
        renewed = time.monotonic()
        while not self._end.wait(seconds / 4):
            try:
                with self._connect() as ledger:
                    while True:
                        renew(ledger, self._info, self._minutes)
                        renewed = time.monotonic()
                        if self._end.wait(seconds / 4):
                            return
            except BusyError as error:
                self._give_up(error)
                return
            except Exception as error:  # any error is retried for as long as the lease lasts
                away = time.monotonic() - renewed
                log.warning("the lease was not renewed for %.0f s: %s", away, error)
                if away > seconds:
                    source = f"batch {self._info.batch_id}"
                    message = f"{source}: its lease could not be renewed for {away:.0f} s: {error}; run again"
                    self._give_up(CxmError(message))
                    return

    def _give_up(self, error: CxmError) -> None:
        if not self._end.is_set():
            self.lost = error
            self._tell(error)


@contextmanager
def holding(ledger: Ledger, info: RunInfo, minutes: float) -> Iterator[RunInfo]:
    """Hold the lease for work that is one transaction or can be repeated; yields the run with its token.

    Batches that dead runs left open stay noted for the next run of the pipeline."""
    taken, _ = take(ledger, info, minutes, on_batch=False)
    try:
        yield taken
    finally:
        give_back(ledger, taken, closed=True)


def _is_gone(holder: str) -> bool:
    """Return whether the holder ran on this host and its process has ended. False for other hosts, whose processes are not
    visible from here."""
    host, pid, start = holder.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(start)) > 0.05
    except psutil.NoSuchProcess:
        return True
