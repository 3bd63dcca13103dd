"""What lies in a place beside what was seen there before → which sets of files are to be loaded, and what the others wait for.

entries + `Seen` of the look before ──look──▶ `Look`: start, or wait, and what the next look has to know. Pure: reads no place.

A set is what one run loads: the files of a source, or those of one day. It is known by its fingerprint: names, sizes, and times
or ETags. Only a fingerprint that stayed the same for a while is complete, or one that a marker file was put beside afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal

from flows.contract.model import Source
from flows.inventory import Inventory, days, inventory
from flows.places import Entry

_DIGEST = 8  # hexadecimal digits that tell one file from another of its set
Late = Literal["joins", "waits"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a set: its fingerprint, since when it is that, the run that was started with it, a digest of each file
    that this run was to load, and how many runs before it ended with their machine."""

    fingerprint: str
    since: str  # ISO time
    run: str = ""  # empty: none yet
    loading: str = ""  # digests, one behind the other
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What to do about one set. `key`: its day, or nothing; `waits` says for what, if nothing is to be started."""

    key: str
    day: date | None
    entries: tuple[Entry, ...]
    seen: Seen
    waits: str = ""

    @property
    def digests(self) -> str:
        """A digest of each of its files."""
        return "".join(sorted(map(digest, self.entries)))


def looks(
    source: Source,
    entries: Sequence[Entry],
    before: Mapping[str, Seen],
    now: datetime,
    settle: timedelta,
    marker: str = "",
    late: Late = "joins",
) -> list[Look]:
    """What to do about each set of a source that a place has files of; the oldest day first.

    Raises:
        DataError: a file's name does not tell whose it is.
    """
    by_name = {entry.name: entry for entry in entries if not entry.is_folder}
    marked = by_name.pop(marker, None)
    daily = any(table.daily for table in source.tables)
    wanted: Sequence[date | None] = days(source, by_name) if daily else [None]
    found = []
    for day in wanted:
        of_set = inventory(source, by_name, day)
        files = [by_name[of_set.entries[name]] for names in of_set.files.values() for name in names]
        key = day.isoformat() if day else ""
        if files:
            found.append(_look(key, day, of_set, files, before.get(key), now, settle, marked, marker, late))
    return found


def _look(
    key: str,
    day: date | None,
    of_set: Inventory,
    files: Sequence[Entry],
    before: Seen | None,
    now: datetime,
    settle: timedelta,
    marked: Entry | None,
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


def digest(entry: Entry) -> str:
    """What tells a file from every other one, and from itself once somebody wrote to it."""
    text = f"{entry.name}\0{entry.size}\0{entry.version or entry.changed.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]


def is_loading(seen: Seen, entry: Entry) -> bool:
    """Whether a file is, byte for byte as far as its place tells, one that the set's run was to load."""
    return digest(entry) in {seen.loading[i : i + _DIGEST] for i in range(0, len(seen.loading), _DIGEST)}
