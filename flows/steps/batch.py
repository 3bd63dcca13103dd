"""What begins and ends a batch in the ledger: whose it is, and which of its files were published already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flows.errors import BusyError
from flows.facts import LandResult, Published
from flows.lease import fenced
from flows.ledger import Ledger, RunInfo


def claim(ledger: Ledger, info: RunInfo) -> None:
    """Make sure that the batch is this flow run's.

    Raises:
        BusyError: another flow run has a batch of this id.
    """
    others = {e.flow_run_id for e in ledger.entries(info.batch_id)} - {info.flow_run_id, "", None}
    if others:
        raise BusyError(
            f"batch {info.batch_id} belongs to flow run {others.pop()}, which was to start in the same second; run again"
        )


def note_unchanged(ledger: Ledger, info: RunInfo, landed: Sequence[LandResult]) -> None:
    """Write down which files arrived and were published already, so nothing of them was sent. Written before: nothing happens.

    Raises:
        BusyError: another run took over this source.
    """
    known = {(e.table, e.file) for e in ledger.entries(info.batch_id) if e.status == "skipped-unchanged"}
    rows = [
        {
            "table_name": r.raw_name,
            "file_name": r.file,
            "bytes": r.bytes,
            "content_sha256": r.sha256,
            "file_records": r.records,
            "unchanged_since": r.since,
        }
        for r in landed
        if r.status == "unchanged" and (r.raw_name, r.file) not in known
    ]
    if rows:
        with fenced(ledger, info):
            ledger.insert(info, "skipped-unchanged", rows)


def newest(published: Mapping[tuple[str, str], Published], raw_name: str) -> str | None:
    """The batch that a table's newest rows came with, if any of its files is published."""
    of_table = [p for (table, _), p in published.items() if table == raw_name]
    return max(of_table, key=lambda p: (p.sequence, p.batch_id)).batch_id if of_table else None
