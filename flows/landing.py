"""The results that steps pass on: which files were landed, which were published before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from flows.contract import file_names
from flows.contract.fit import Layout
from flows.contract.model import Source, Table

BROKEN = ".broken"  # in the name of the object with a file's broken lines: orders.broken.csv.zst


def names_broken_lines(key: str) -> bool:
    """Return whether the object of that name or key holds broken lines: lines of a file that are not valid records."""
    return f"{BROKEN}.csv" in key


def key_in_raw(key: str) -> str:
    """Return the key that RAW's rows have for an object: the one that COPY read, under `raw/`, even if it was archived since."""
    return f"raw/{key.partition('/')[2]}"


@dataclass(frozen=True, slots=True)
class Published:
    """The newest validated load of a file, from the ledger."""

    batch_id: str
    sha256: str
    records: int
    sequence: int = 0  # the batch's position among the source's batches: the greatest is the newest
    columns: str = ""  # which column each field was loaded into, as `Layout.text`; empty in rows older than this column
    dialect: str = ""  # how it is parsed, as `Dialect.file_text`


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line of a file that is not a valid record: its number (the header is line 1) and the reason."""

    line: int
    reason: str

    @property
    def summary(self) -> str:
        """`line 17 (2 fields, expected 4)`."""
        return f"line {self.line:,} ({self.reason})"


@dataclass(frozen=True, slots=True)
class LandedObject:
    """One S3 object of a file: its name below the folder, stored bytes, CSV records (without the header), ETag."""

    name: str
    bytes: int
    records: int
    etag: str = ""  # empty: sent before the ledger had a column for it

    @property
    def holds_broken_lines(self) -> bool:
        """Whether it holds the file's broken lines."""
        return names_broken_lines(self.name)


LandStatus = Literal["landed", "unchanged", "not delivered"]


@dataclass(frozen=True, slots=True)
class LandResult:
    """One file of a table: sent (`landed`) as one object or several, or equal to its last validated load (`unchanged`, since
    batch `since`; then there are no objects), or missing although the table is optional (`not delivered`). `bytes`, `records`
    (with the broken lines), `sha256` (hex) and `layout` are those of the file itself."""

    table: str
    raw_name: str
    file: str
    folder: str  # key prefix with its closing slash: raw/olist/olist_orders_dataset/20261122_101500/
    objects: tuple[LandedObject, ...]
    bytes: int
    records: int
    sha256: str
    status: LandStatus
    since: str | None = None
    layout: Layout | None = None  # which column each field goes into; None: as in the contract
    dialect: str = ""  # how it is parsed, as `Dialect.file_text`
    broken: tuple[BrokenLine, ...] = ()  # its first broken lines; empty if it is loaded again

    @property
    def differs(self) -> str:
        """How the file's header differs from the contract, within what the contract allows."""
        return self.layout.summary if self.layout else ""

    @property
    def of_records(self) -> tuple[LandedObject, ...]:
        """The objects with records, for the RAW table."""
        return tuple(o for o in self.objects if not o.holds_broken_lines)

    @property
    def of_broken_lines(self) -> tuple[LandedObject, ...]:
        """The object with the broken lines; empty if the file has none."""
        return tuple(o for o in self.objects if o.holds_broken_lines)

    @property
    def broken_lines(self) -> int:
        """The number of broken lines."""
        return sum(o.records for o in self.of_broken_lines)

    @property
    def keys(self) -> tuple[str, ...]:
        """The objects' keys in the bucket."""
        return tuple(self.folder + o.name for o in self.objects)


@dataclass(frozen=True, slots=True)
class LandedTable:
    """The files of one table in a batch: one, or those that match its pattern; all have the same status."""

    files: tuple[LandResult, ...]

    @classmethod
    def of(cls, landed: LandedTable | LandResult) -> LandedTable:
        """Return the table of a single file's result; a table is returned as it is."""
        return landed if isinstance(landed, LandedTable) else cls((landed,))

    @property
    def table(self) -> str:
        """The table's name in the contract."""
        return self.files[0].table

    @property
    def raw_name(self) -> str:
        """The RAW table."""
        return self.files[0].raw_name

    @property
    def folder(self) -> str:
        """The key prefix of all objects, with its closing slash."""
        return self.files[0].folder

    @property
    def status(self) -> LandStatus:
        """The status that all its files share, since a table is sent as a whole."""
        return self.files[0].status

    @property
    def since(self) -> str | None:
        """The batch in which an unchanged table was loaded."""
        return self.files[0].since

    @property
    def bytes(self) -> int:
        """The total bytes of the files."""
        return sum(file.bytes for file in self.files)

    @property
    def records(self) -> int:
        """The total number of records."""
        return sum(file.records for file in self.files)

    @property
    def objects(self) -> tuple[LandedObject, ...]:
        """The objects of all files."""
        return tuple(landed for file in self.files for landed in file.objects)

    @property
    def broken_lines(self) -> int:
        """The total number of broken lines."""
        return sum(file.broken_lines for file in self.files)

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The distinct layouts of the files."""
        return tuple(dict.fromkeys(file.layout for file in self.files if file.layout))

    @property
    def differs(self) -> str:
        """How headers differ from the contract; each difference once."""
        return "; ".join(dict.fromkeys(file.differs for file in self.files if file.differs))

    @property
    def named(self) -> str:
        """The file's name, or the number of files."""
        return self.files[0].file if len(self.files) == 1 else f"{len(self.files):,} files of {self.table}"


def not_delivered(source: Source, table: Table, day: date | None, batch_id: str) -> LandResult:
    """Return the result for an optional table without a file."""
    folder = object_folder(source, table, batch_id)
    return LandResult(table.name, table.raw_name, table.file_on(day), folder, (), 0, 0, "", "not delivered")


def current(published: Mapping[tuple[str, str], Published], table: Table, day: date | None) -> dict[str, Published]:
    """Return the files whose rows are published for a table: those of its newest batch, or of the day's newest if it is daily."""
    by_file = {
        file: load
        for (raw_name, file), load in published.items()
        if raw_name == table.raw_name and (not table.daily or _is_of(file, table, day))
    }
    newest = max(by_file.values(), key=lambda load: (load.sequence, load.batch_id), default=None)
    return {file: load for file, load in by_file.items() if newest and load.batch_id == newest.batch_id}


def _is_of(file: str, table: Table, day: date | None) -> bool:
    if not table.has_parts:
        return file == table.file_on(day)
    in_name = re.search(file_names.DAY, file)
    return day is not None and in_name is not None and in_name[0] == day.isoformat()


def object_folder(source: Source, table: Table, batch_id: str) -> str:
    """Return the folder of a file's objects: `raw/<source>/<file stem>/<batch id>/`."""
    return f"raw/{source.name}/{table.stem}/{batch_id}/"


def object_name(file: str) -> str:
    """Encode a file's name for its objects' keys: characters other than letters, digits, `_` and `-` become `=` and the hex
    digits of their bytes, so that names stay distinct, also from the numbered parts of a split file (`.0001`)."""
    spelt = re.sub(
        r"[^A-Za-z0-9_-]", lambda match: "".join(f"={b:02X}" for b in match[0].encode()), file[: -len(".csv")]
    )
    return f"{spelt}.csv"
