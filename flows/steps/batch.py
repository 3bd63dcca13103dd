"""Opens a batch in the ledger: which run owns it, whether its rows are generated, which files were published already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from flows.contract.model import Source, Table
from flows.errors import BusyError, ConfigurationError
from flows.generated import is_generated
from flows.inventory import Inventory
from flows.landing import LandResult, Published
from flows.lease import fenced
from flows.ledger import Ledger, RunInfo, Status
from flows.places import Place, PlaceEntry
from flows.settings import Settings


def of_files(settings: Settings, place: Place, listing: Inventory, info: RunInfo) -> RunInfo:
    """Return the run's RunInfo, marked if its files are generated.

    Raises:
        ConfigurationError: the files are generated, and the target is an account.
    """
    info = replace(info, is_generated=is_generated(place, [f for files in listing.files.values() for f in files]))
    if info.is_generated and not settings.may_generate:
        raise ConfigurationError(
            f"{place}: its files were made by `cxm generate`, and CXM_TARGET is {settings.target}; generated rows are loaded "
            "on the embedded target only. Name the place of the real files with --data or CXM_DATA"
        )
    return info


def open_new(ledger: Ledger, info: RunInfo, place: Place, own: str) -> None:
    """Check that the run may load the files of `place`; `own` is the folder where the user's own files belong.

    Raises:
        BusyError: another flow run has a batch of this id.
        ConfigurationError: the files are generated, and the source has real rows.
    """
    if info.is_generated:
        ledger.refuse_generated(str(place), own)
    claim(ledger, info)


def open_again(ledger: Ledger, info: RunInfo, own: str) -> RunInfo:
    """Return the RunInfo of a run that loads a batch again from S3, marked if the batch's rows are generated.

    Raises:
        ConfigurationError: the rows are generated and the source has real ones; or the batch is a trial.
    """
    entries = ledger.entries(info.batch_id)
    if any(entry.is_trial for entry in entries):
        raise ConfigurationError(
            f"batch {info.batch_id}: a trial of the first rows of each file, which is never published; run without --limit"
        )
    if not any(entry.is_generated for entry in entries):
        return info
    ledger.refuse_generated(f"batch {info.batch_id}", own)
    return replace(info, is_generated=True)


def expected(listing: Inventory, table: Table, day: date | None) -> tuple[str, ...]:
    """Return the names of a table's files to land: those that exist; if none does, the contract's name, which `land` then refuses
    with a message. Empty if the table is optional and no file's name matches, not even in another letter case."""
    missing = next((m for m in listing.missing if m.table.name == table.name), None)
    if missing is None:
        return listing.files[table.name]
    return () if table.optional and not missing.near else (table.file_on(day),)


def largest_first(source: Source, listing: Inventory, entries: Sequence[PlaceEntry]) -> list[Table]:
    """Order the tables by the size of their files, largest first, so that the longest work begins first."""
    sizes = {entry.name: entry.size for entry in entries}
    of_table = {t.name: sum(sizes[listing.entries[file]] for file in listing.files[t.name]) for t in source.tables}
    return sorted(source.tables, key=lambda table: of_table[table.name], reverse=True)


def claim(ledger: Ledger, info: RunInfo) -> None:
    """Check that the batch belongs to this flow run.

    Raises:
        BusyError: another flow run has a batch of this id.
    """
    others = {e.flow_run_id for e in ledger.entries(info.batch_id)} - {info.flow_run_id, "", None}
    if others:
        raise BusyError(
            f"batch {info.batch_id} belongs to flow run {others.pop()}, which was to start in the same second; run again"
        )


def note_not_sent(ledger: Ledger, info: RunInfo, landed: Sequence[LandResult]) -> None:
    """Record in the ledger which files were not sent because they are published already, and which optional tables
    had no file. Repeating it changes nothing.

    Raises:
        BusyError: another run took over this source.
    """
    statuses: dict[str, Status] = {"unchanged": "skipped-unchanged", "not delivered": "not-delivered"}
    noted = [r for r in landed if r.status in statuses]
    if not noted or info.limit:  # a trial does not count as a delivery
        return
    known = {(e.table, e.file) for e in ledger.entries(info.batch_id) if e.status in statuses.values()}
    rows = {
        status: [
            {
                "table_name": r.raw_name,
                "file_name": r.file,
                "bytes": r.bytes,
                "content_sha256": r.sha256,
                "file_records": r.records,
                "unchanged_since": r.since,
            }
            for r in noted
            if r.status == of and (r.raw_name, r.file) not in known
        ]
        for of, status in statuses.items()
    }
    if any(rows.values()):
        with fenced(ledger, info):
            for status, of_status in rows.items():
                if of_status:
                    ledger.insert(info, status, of_status)


def newest(published: Mapping[tuple[str, str], Published], raw_name: str) -> str | None:
    """Find the batch of a table's newest published rows; None if none is published."""
    of_table = [p for (table, _), p in published.items() if table == raw_name]
    return max(of_table, key=lambda p: (p.sequence, p.batch_id)).batch_id if of_table else None
