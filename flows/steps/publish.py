"""`loaded` rows of a batch → validated, thus published, or quarantined: one statement, so all or none."""

from __future__ import annotations

from collections.abc import Sequence

from flows.errors import BusyError
from flows.lease import fenced
from flows.ledger import Ledger, RunInfo, Status


def publish(ledger: Ledger, info: RunInfo, tables: Sequence[str]) -> None:
    """Publish these RAW tables of the batch. Done before (the answer was lost, and the task tries again): nothing happens.

    Raises:
        BusyError: another run took over this source, or undid what this one loaded; nothing is published.
    """
    with fenced(ledger, info) as lock:
        lock()
        entries = [e for e in ledger.entries(info.batch_id) if e.key]
        states = {table: {e.status for e in entries if e.table == table} for table in tables}
        bad = [t for t, found in states.items() if not found or found - {"loaded", "validated"}]
        if bad:
            found = ", ".join(f"{t} is {' and '.join(sorted(states[t])) or 'not in the ledger'}" for t in bad)
            raise BusyError(
                f"source {ledger.source}: batch {info.batch_id}: expected each of its tables loaded, got {found}; nothing is "
                "published: run again"
            )
        ledger.mark(info.batch_id, "validated", ("loaded",), sum(e.status == "loaded" for e in entries))


def quarantine(ledger: Ledger, info: RunInfo, reason: str) -> None:
    """Quarantine what the batch landed and loaded, with the reason.

    Raises:
        BusyError: another run took over this source.
    """
    before: tuple[Status, ...] = ("landed", "loaded")
    with fenced(ledger, info) as lock:
        lock()
        expected = sum(e.status in before for e in ledger.entries(info.batch_id))
        ledger.mark(info.batch_id, "quarantined", before, expected, reason)
