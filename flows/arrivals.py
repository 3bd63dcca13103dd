"""Decides which sets of files in a place are complete and can be loaded, and what the others wait for.

entries + `Seen` of the previous poll ──looks──▶ `Look`: start or wait, and the state for the next poll. Pure: no I/O.

A set is what one run loads: the files of a source, or those of one day. Its fingerprint is made of names, sizes, and times or
ETags. A set is complete when its fingerprint has not changed for a while, or when a marker file was written after its files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal

from flows.contract.model import Source
from flows.inventory import Inventory, days, inventory
from flows.places import PlaceEntry

_DIGEST = 8  # hexadecimal digits of a file's digest: enough to distinguish the files of one set
Late = Literal["joins", "waits"]


@dataclass(frozen=True, slots=True)
class Seen:
    """The remembered state of a set: its fingerprint, since when it has that, the run that was started for it, a digest of each
    file of that run, and how many earlier runs crashed with their machine."""

    fingerprint: str
    since: str  # ISO time
    run: str = ""  # id of the flow run; empty: none yet
    loading: str = ""  # the digests, concatenated
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What to do about one set. `key`: its day, or empty. `waits`: why no run is started now; empty: start one."""

    key: str
    day: date | None
    entries: tuple[PlaceEntry, ...]
    seen: Seen
    waits: str = ""

    @property
    def digests(self) -> str:
        """The digests of its files, concatenated."""
        return "".join(sorted(map(digest, self.entries)))


def looks(
    source: Source,
    entries: Sequence[PlaceEntry],
    before: Mapping[str, Seen],
    now: datetime,
    settle: timedelta,
    marker: str = "",
    late: Late = "joins",
) -> list[Look]:
    """Decide what to do about each set of a source that has files in the place, the oldest day first.

    Raises:
        DataError: a file's name does not say which table it belongs to.
    """
    by_name = {entry.name: entry for entry in entries if not entry.is_folder}
    marked = by_name.pop(marker, None)
    daily = any(table.daily for table in source.tables)
    set_days: Sequence[date | None] = days(source, by_name) if daily else [None]
    decided = []
    for day in set_days:
        of_set = inventory(source, by_name, day)
        files = [by_name[of_set.entries[name]] for names in of_set.files.values() for name in names]
        key = day.isoformat() if day else ""
        if files:
            decided.append(_look(key, day, of_set, files, before.get(key), now, settle, marked, marker, late))
    return decided


def _look(
    key: str,
    day: date | None,
    of_set: Inventory,
    files: Sequence[PlaceEntry],
    before: Seen | None,
    now: datetime,
    settle: timedelta,
    marked: PlaceEntry | None,
    marker: str,
    late: Late,
) -> Look:
    fingerprint = hashlib.sha256("".join(sorted(map(digest, files))).encode()).hexdigest()[:32]
    same = before is not None and before.fingerprint == fingerprint
    seen = before if before and same else Seen(fingerprint, now.isoformat(), loading=before.loading if before else "")
    look = Look(key, day, tuple(files), seen)
    if same and seen.run:
        return replace(look, waits=f"its run has started: {seen.run}")
    lacking = [m for m in of_set.missing if not m.table.optional]
    if lacking:
        names = [f"{m.expected} ({m.near} differs in letter case)" if m.near else m.expected for m in lacking[:3]]
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        return replace(look, waits=f"waits for {', '.join(names)}{more}")
    if late == "waits" and seen.loading and not all(is_loading(seen, entry) for entry in files):
        by_name = {entry.name: entry for entry in files}
        for table, of_table in of_set.files.items():
            if of_table and all(is_loading(seen, by_name[of_set.entries[name]]) for name in of_table):
                return replace(look, waits=f"waits for a new file of {table}")
    if marker and marked is None:
        return replace(look, waits=f"waits for {marker}")
    if marked is not None and all(marked.changed >= entry.changed for entry in files):
        return look
    left = datetime.fromisoformat(seen.since) + settle - now
    if left > timedelta():
        return replace(
            look, waits=f"settles: the same since {seen.since[:19]}, loaded if it is in {left.total_seconds():.0f} s"
        )
    return look


def digest(entry: PlaceEntry) -> str:
    """Return a short hash of a file's name, size and version. It changes when somebody writes to the file."""
    text = f"{entry.name}\0{entry.size}\0{entry.version or entry.changed.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]


def is_loading(seen: Seen, entry: PlaceEntry) -> bool:
    """Return whether a file is one of those that the set's run loads, unchanged as far as its place reports."""
    return digest(entry) in {seen.loading[i : i + _DIGEST] for i in range(0, len(seen.loading), _DIGEST)}
