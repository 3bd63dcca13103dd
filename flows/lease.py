"""`RAW.LOAD_LEASE`: which run may write a source, and what a run that ended early has left behind.

    take ──▶ token, batches to recover      fenced ──▶ a transaction that commits only while the token is the lease's
    Heartbeat ──▶ renewed, or lost          give_back ──▶ free; a batch without a verdict is noted, until `recovered`

The token grows each time that a run takes the lease. Whose token is not the lease's writes nothing more, however long it slept:
the lease's lock is taken and its token read in the transaction that writes, right before its ledger rows and COMMIT. UPDATE keeps
the lock until then (https://docs.snowflake.com/en/sql-reference/transactions#resource-locking); the SELECT after it sees every
take-over that came before.

Long because the lease, its fence and its heartbeat keep one promise.
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

# Threads of one run take turns here rather than on the server, where more than 20 statements that wait for a lock are an error.
_turn = threading.Lock()

_LONG = (
    60  # seconds after which a transaction's end is looked at; a server gives up what is idle for minutes, not for less
)


@dataclass(frozen=True, slots=True)
class Held:
    """The lease's row."""

    batch_id: str | None
    holder: str | None
    flow_run_id: str
    expires_at: str
    token: int
    to_recover: tuple[str, ...]
    lives: bool
    locked_at: datetime = (
        datetime.min
    )  # when its lock was last taken in a transaction that committed, or that is this one

    def is_of(self, info: RunInfo) -> bool:
        """True where this run has it. Its process too, not the token alone: had the server given up the transaction in which
        this run took the lease, another run may have got the same token."""
        return (self.holder, self.flow_run_id, self.token) == (info.holder, info.flow_run_id, info.token)


def _statement(ledger: Ledger, name: str, *values: Any) -> int:
    """Run one of the lease's UPDATEs; how many rows it changed."""
    done = run(ledger.connection, template(f"ledger/lease_{name}.sql", database=ledger.database), values)
    return int(done.rows[0][0])


def _locked(ledger: Ledger) -> Held:
    """Take the lease's lock until the open transaction ends, and read the row.

    Raises:
        ConfigurationError: the source has no row, or several.
    """
    rows = _statement(ledger, "lock", ledger.source)
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
    _statement(
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
def _changing(ledger: Ledger) -> Iterator[Held]:
    """The lease's row, for a change in this transaction: another run waits, or its own change is waited for."""
    with _turn, transaction(ledger.connection):
        yield _locked(ledger)


def take(ledger: Ledger, info: RunInfo, minutes: float, on_batch: bool = True) -> tuple[RunInfo, tuple[str, ...]]:
    """Take the lease to work on `info.batch_id`: the run with its token, and the batches of runs that ended without closing them.

    A lease is free when it was given back, has run out, or its process, on this host, is gone. The same flow run (a retry, maybe
    on another host) takes its own lease again. The batches stay noted until `recovered`, so that a second try gets them again;
    its own is for the run after it.

    Raises:
        BusyError: another run works on this source; the message says which, since it is distinguished from a dead one by its
            process (same host) or by time.
        ConfigurationError: the source is not provisioned.
    """
    with _changing(ledger) as held:
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
        noted = _noted(held)
        info = replace(info, token=held.token + 1)
        _write(ledger, Held(batch_id, info.holder, info.flow_run_id, "", info.token, noted, True), minutes * 60)
    return info, tuple(b for b in noted if b != batch_id)


def _noted(held: Held) -> tuple[str, ...]:
    """What is to be recovered: all that was noted, and what the holder was at."""
    return tuple(sorted({*held.to_recover, *([held.batch_id] if held.batch_id else [])}))


def _lost(ledger: Ledger, held: Held) -> BusyError:
    taken = f"batch {held.batch_id} took over" if held.batch_id else "another run took over"
    return BusyError(
        f"source {ledger.source}: this run lost its lease and {taken}; nothing more is written. It was away for longer than "
        "CXM_LEASE_MINUTES, or `cxm unlock` took it; run again"
    )


@contextmanager
def fenced(ledger: Ledger, info: RunInfo) -> Iterator[Callable[[], None]]:
    """A transaction that commits only if this run has the lease. `lock()` takes the lease's lock and looks; call it before the
    first ledger row is changed, after what takes long (COPY): until COMMIT other runs and tables wait for it.

    Raises:
        BusyError: another run took over; all is rolled back.
        InfrastructureError: it was open for so long that the server gave it up; all is rolled back.
    """
    locked: list[Held] = []
    began = time.time()  # not the monotonic clock, which stands still while a laptop sleeps
    with ExitStack() as turn:

        def lock() -> None:
            turn.enter_context(_turn)
            held = _locked(ledger)
            if not held.is_of(info):
                raise _lost(ledger, held)
            locked.append(held)

        with transaction(ledger.connection):
            yield lock
            if not locked:
                lock()
        if time.time() - began > _LONG:
            _prove(ledger, info, locked[0])


def _prove(ledger: Ledger, info: RunInfo, locked: Held) -> None:
    """See that COMMIT committed. A transaction that is idle for five minutes while another waits for its lock is given up
    (https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions); what its session then hears is not
    documented, and a COMMIT without a transaction is ignored (https://docs.snowflake.com/en/sql-reference/sql/commit)."""
    held = _read(ledger)
    if not held.is_of(info):
        raise _lost(ledger, held)
    if held.locked_at < locked.locked_at:
        raise InfrastructureError(
            f"source {ledger.source}: the transaction was open for more than {_LONG} seconds and the server gave it up; nothing "
            "of it was written: run again"
        )


def check(ledger: Ledger, info: RunInfo) -> None:
    """Make sure that this run has the lease now: before work outside the warehouse, which no lock covers.

    Raises:
        BusyError: another run took over.
    """
    with fenced(ledger, info):
        pass


def renew(ledger: Ledger, info: RunInfo, minutes: float) -> None:
    """The heartbeat: the lease is this run's for so many minutes from now.

    Raises:
        BusyError: another run took over.
    """
    if not _statement(ledger, "renew", ledger.source, info.token, max(1, round(minutes * 60)), info.holder):
        raise _lost(ledger, _read(ledger))


def recovered(ledger: Ledger, info: RunInfo, batch_id: str) -> None:
    """Strike a batch off those that are to be recovered.

    Raises:
        BusyError: another run took over.
    """
    with _changing(ledger) as held:
        if not held.is_of(info):
            raise _lost(ledger, held)
        left = tuple(b for b in held.to_recover if b != batch_id)
        run(
            ledger.connection,
            template("ledger/lease_note.sql", database=ledger.database),
            (ledger.source, json.dumps(left)),
        )


def give_back(ledger: Ledger, info: RunInfo, closed: bool) -> None:
    """Free the lease. `closed`: the batch has its verdict; otherwise it is noted for the next run, also by a run that lost the
    lease: it may have sent objects after the one that took over had looked."""
    with _changing(ledger) as held:
        if held.is_of(info):
            note = held.to_recover if closed else _noted(held)
            _write(ledger, Held(None, None, "", "", held.token, note, False))
        elif not closed and held.batch_id != info.batch_id and info.batch_id not in held.to_recover:
            note = tuple(sorted({*held.to_recover, info.batch_id}))
            run(
                ledger.connection,
                template("ledger/lease_note.sql", database=ledger.database),
                (ledger.source, json.dumps(note)),
            )


def unlock(ledger: Ledger) -> str | None:
    """Take the lease from whoever holds it, by hand; the holder, if there was one. It writes nothing more."""
    with _changing(ledger) as held:
        _write(ledger, Held(None, None, "", "", held.token + 1, _noted(held), False))
    return held.holder


class Heartbeat:
    """Renews the lease while its holder works, in a thread and on a connection of its own.

    `lost` says why it could not: another run took over, or the warehouse was not reached for as long as the lease lasts. Whoever
    works is told by `tell`, once, from the thread.
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
        # A beat that waits for a server that is away is not waited for: the thread dies with the process.
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
            except Exception as error:  # whatever it was: it is tried again for as long as the lease lasts
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
    """Hold the lease for a piece of work that is one transaction or can be repeated; the run with its token. What dead runs left
    stays noted for the next run of the pipeline."""
    taken, _ = take(ledger, info, minutes, on_batch=False)
    try:
        yield taken
    finally:
        give_back(ledger, taken, closed=True)


def _is_gone(holder: str) -> bool:
    """True where the holder ran on this host and its process has ended; of another host nothing is known."""
    host, pid, start = holder.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(start)) > 0.05
    except psutil.NoSuchProcess:
        return True
