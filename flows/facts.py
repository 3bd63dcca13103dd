"""Facts that one step hands to the next: what was landed, what was published before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Published:
    """The newest validated load of a table, from the ledger."""

    batch_id: str
    sha256: str
    records: int


@dataclass(frozen=True, slots=True)
class LandResult:
    """One table's file: sent (`landed`), or equal to the last validated load (`unchanged`, since batch `since`)."""

    table: str
    raw_name: str
    file: str
    key: str
    bytes: int
    records: int
    sha256: str
    status: Literal["landed", "unchanged"]
    since: str | None = None
