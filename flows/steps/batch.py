"""What begins and ends a batch in the ledger: whose it is, whether its rows are generated, what was published already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from flows.contract.model import Source, Table
from flows.errors import BusyError, ConfigurationError
from flows.facts import LandResult, Published
from flows.generated import is_generated
from flows.lease import fenced
from flows.ledger import Ledger, RunInfo
from flows.places import Place
from flows.settings import Settings


def of_files(settings: Settings, source: Source, place: Place, day: date | None, info: RunInfo) -> RunInfo:
    """This run, which knows whether the files that it is to load are generated.

    Raises:
        ConfigurationError: they are, and the target is an account.
    """
    info = replace(info, is_generated=is_generated(place, [table.file_on(day) for table in source.tables]))
    if info.is_generated and not settings.may_generate:
        raise ConfigurationError(
            f"{place}: its files were made by `cxm generate`, and CXM_TARGET is {settings.target}; generated rows are loaded "
            "on the embedded target only. Name the place of the real files with --data or CXM_DATA"
        )
    return info


def open_new(ledger: Ledger, info: RunInfo, place: Place, own: str) -> None:
    """Make sure that the run may load the files of `place`; the user's own belong into `own`.

    Raises:
        BusyError: another flow run has a batch of this id.
        ConfigurationError: the files are generated, and the source has real rows.
    """
    if info.is_generated:
        ledger.refuse_generated(str(place), own)
    claim(ledger, info)


def open_again(ledger: Ledger, info: RunInfo, own: str) -> RunInfo:
    """The run that is to load a batch of S3 once more; it knows whether the batch's rows are generated.

    Raises:
        ConfigurationError: they are, and the source has real ones.
    """
    if not any(entry.is_generated for entry in ledger.entries(info.batch_id)):
        return info
    ledger.refuse_generated(f"batch {info.batch_id}", own)
    return replace(info, is_generated=True)


def largest_first(source: Source, place: Place, day: date | None) -> list[Table]:
    """The tables by the size of their files: the longest work begins first, so that it does not end last. A file that is not
    there is for `land` to tell."""
    return sorted(source.tables, key=lambda table: place.size_of(table.file_on(day)), reverse=True)


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
