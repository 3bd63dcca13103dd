"""Facts that one step hands to the next: what was landed, what was published before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flows.contract.fit import Layout
from flows.contract.model import Source, Table


@dataclass(frozen=True, slots=True)
class Published:
    """The newest validated load of a file, from the ledger."""

    batch_id: str
    sha256: str
    records: int
    sequence: int = 0  # its place among the source's batches: the greatest is the newest
    columns: str = ""  # where its fields went, as `Layout.text`; empty: it is older than the ledger's column
    dialect: str = ""  # what it was read by, as `Dialect.file_text`


@dataclass(frozen=True, slots=True)
class LandedObject:
    """One S3 object of a file: its name below the folder, bytes as stored, CSV records (header not counted), entity tag."""

    name: str
    bytes: int
    records: int
    etag: str = ""  # empty: sent before the ledger had a column for it


@dataclass(frozen=True, slots=True)
class LandResult:
    """One table's file: sent (`landed`) as one object or several, or equal to its last validated load (`unchanged`, since
    batch `since`; then there are no objects). `bytes`, `records`, `sha256` (hex) and `layout` are those of the file itself."""

    table: str
    raw_name: str
    file: str
    folder: str  # key prefix with its closing slash: raw/olist/olist_orders_dataset/20261122_101500/
    objects: tuple[LandedObject, ...]
    bytes: int
    records: int
    sha256: str
    status: Literal["landed", "unchanged"]
    since: str | None = None
    layout: Layout | None = None  # where its fields go; None: as the contract has them
    dialect: str = ""  # what it is read by, as `Dialect.file_text`

    @property
    def differs(self) -> str:
        """How the file's header differs from the contract, as far as the contract lets it."""
        return self.layout.told if self.layout else ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The objects' keys in the bucket."""
        return tuple(self.folder + o.name for o in self.objects)


def object_folder(source: Source, table: Table, batch_id: str) -> str:
    """`raw/<source>/<file stem>/<batch id>/`: where the objects of a table's file land."""
    return f"raw/{source.name}/{table.stem}/{batch_id}/"
