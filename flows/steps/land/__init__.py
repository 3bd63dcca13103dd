"""`data/olist/olist_orders_dataset.csv` → `s3://<bucket>/raw/olist/olist_orders_dataset/<batch id>/olist_orders_dataset.csv.zst`.

One pass over the file decodes it, checks the header and every record's field count, and computes SHA-256, compression and
upload. A file that COPY would load wrongly or partly is refused with its line, and no object becomes visible. Memory
does not grow with the file.

Long because sending, comparing and checking a file share one reading.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from flows.codec import CODECS
from flows.contract.file_names import day_of
from flows.contract.fit import fit
from flows.contract.model import Source, Table
from flows.decoded import Decoded
from flows.errors import DataError
from flows.inventory import inventory
from flows.landing import BrokenLine, LandedObject, LandResult, Published, current, object_folder, object_name
from flows.places import File, Opened, Place, local
from flows.steps.land.csv_fast import BLOCK_BYTES, Block, UnusualError, layout_of, scanned
from flows.steps.land.csv_strict import exact
from flows.steps.land.lines import by_line
from flows.steps.land.objects import OBJECT_BYTES, Objects

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from flows.settings import CodecName

Report = Callable[[str, int, int], None]  # (phase, bytes done, bytes in all)

BROKEN_LINES_SHOWN = 10

# Files read at a time: more than there are cores would only use memory. Waiting for the network does not count.
_readers = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The result of reading a file: its name in the contract, size in bytes, CSV records (without the header), SHA-256 in
    hex, the header's fields."""

    file: str
    bytes: int
    records: int
    sha256: str
    header: tuple[str, ...]
    broken: tuple[BrokenLine, ...] = ()  # the first broken lines (not valid records)
    broken_lines: int = 0  # the number of broken lines; `records` includes them
    packed: str = ""  # gzip, zstd, bzip2, zip


def land(
    client: S3Client,
    bucket: str,
    source: Source,
    table: Table,
    file: File | Path,
    batch_id: str,
    published: Published | None,
    force: bool = False,
    report: Report = lambda *_: None,
    codec: CodecName = "zstd",
    object_bytes: int = OBJECT_BYTES,
    limit: int = 0,
) -> LandResult:
    """Check a file and send it, unless its content equals its last published load (`published`).

    With a `limit`, only its first `limit` records are read and sent.

    `file`: a file of a place, by its name in the contract; it may be packed, within the place's limits.

    If the file was loaded before, its SHA-256 is computed first, and nothing else if it is unchanged. A key is
    never overwritten: a retry of the batch finds the objects of its earlier try, with the same bytes. `object_bytes`: the
    approximate compressed size of each object if the file is split.

    Raises:
        DataError: the file breaks the contract, changed while it was read, or its key holds other bytes.
        ConfigurationError, InfrastructureError: as `flows.clients.upload.Upload`.
    """
    _share_memory()
    folder = object_folder(source, table, batch_id)
    file = _file(file)
    with _open(file, table) as opened:
        if published is not None and not force:
            if same := _unchanged(opened, file.name, table, folder, published, report):
                return same
            opened.file.seek(0)
        about = {"batch-id": batch_id, "file-name": quote(file.name)}
        name = object_name(file.name)
        with Objects(client, bucket, folder, name, opened.size, CODECS[codec], about, object_bytes) as objects:
            with _readers:
                facts = read(file.name, opened, table, objects.write, objects.restart, report, limit)
            objects.finish(lambda done, total: report("upload", done, total))
            opened.refuse_changed()
            sent = objects.publish({"content-sha256": facts.sha256, "records": str(facts.records)})
    return _result(table, facts, folder, sent, None)


def unchanged(
    source: Source,
    table: Table,
    file: File | Path,
    batch_id: str,
    published: Published,
    report: Report = lambda *_: None,
) -> LandResult | None:
    """Return the result for a file whose content is published already; None if it differs, or cannot be read (`land` reports
    it)."""
    file = _file(file)
    try:
        with _open(file, table) as opened:
            return _unchanged(opened, file.name, table, object_folder(source, table, batch_id), published, report)
    except DataError:
        return None


def _unchanged(
    opened: Opened, name: str, table: Table, folder: str, published: Published, report: Report
) -> LandResult | None:
    with _readers:
        sha256, size = _sha256(opened.file, lambda done: report("check", done, opened.size))
    # The contract may have changed since, so that the same bytes are invalid, or load into other columns.
    if (sha256, table.dialect.file_text) != (published.sha256, published.dialect):
        return None
    opened.file.seek(0)
    layout = layout_of((_decoded(opened, table) or opened).file.readline(BLOCK_BYTES), table)
    if layout is None or layout.text != (published.columns or fit(table, table.header).text):
        return None
    opened.refuse_changed()
    header = tuple(header for header, _ in layout.fields)
    facts = FileFacts(name, size, published.records, sha256, header)
    return _result(table, facts, folder, (), published.batch_id)


def inspect(
    file: File | Path,
    table: Table,
    report: Report = lambda *_: None,
    write: Callable[[Block], None] = lambda _: None,
    restart: Callable[[], None] = lambda: None,
) -> FileFacts:
    """Check a file like `land`, but send nothing; its blocks are passed to `write`, as in `read`.

    Raises:
        DataError: as `read`, or the file does not exist, is not a file, or may not be read.
    """
    with _open(_file(file), table) as opened:
        return read(_file(file).name, opened, table, write, restart, report)


def checksum(file: File | Path) -> str | None:
    """Compute the SHA-256, in hex, of the unpacked file; None if it cannot be read, which `land` then reports."""
    try:
        with _file(file).open() as opened:
            return _sha256(opened.file, lambda _: None)[0]
    except DataError:
        return None


def changed_days(
    source: Source,
    place: Place,
    days: Sequence[date],
    published: Mapping[tuple[str, str], Published],
) -> tuple[date, ...]:
    """Find the days with a file that is missing or differs from the published one."""

    listing = inventory(source, [entry.name for entry in place.entries() if not entry.is_folder])
    by_day: dict[tuple[str, date | None], set[str]] = defaultdict(set)
    for table in source.tables:
        for file in listing.files[table.name]:
            by_day[table.name, day_of(table.file, file)].add(file)

    def same(table: Table, day: date) -> bool:
        files, known = by_day[table.name, day if table.daily else None], current(published, table, day)
        if not files and table.optional:
            return True
        return {*known} == files and all(
            checksum(place.file(file, listing.entries[file])) == load.sha256 for file, load in known.items()
        )

    return tuple(day for day in days if not all(same(table, day) for table in source.tables))


def read(
    name: str,
    opened: Opened,
    table: Table,
    write: Callable[[Block], None],
    restart: Callable[[], None],
    report: Report = lambda *_: None,
    limit: int = 0,
) -> FileFacts:
    """Check a whole file and pass its blocks to `write`. `restart` is called if they begin again, because the fast reader
    cannot read this file. Memory use does not grow with the file. With a `limit`, the file ends after `limit` records.

    Raises:
        DataError: as `exact` or `by_line`, or the file changed while it was read.
    """
    text = _decoded(opened, table)
    file = (text or opened).file

    def take(blocks: Iterator[Block]) -> FileFacts:
        digest = hashlib.sha256()
        done = records = lines = 0
        header: tuple[str, ...] = ()
        broken: list[BrokenLine] = []
        for block in blocks:
            if text is None:
                digest.update(block.data)
            done += len(block.data)
            records += block.records + bool(block.broken)
            lines += bool(block.broken)
            if block.broken and lines <= BROKEN_LINES_SHOWN:
                broken.append(block.broken)
            header = header or block.header
            write(replace(block, data=b"") if block.header and not table.dialect.sends_header else block)
            report("check", text.bytes if text else done, opened.size)
        if not records and not table.allow_empty:  # `exact` raises the error with its message
            raise UnusualError
        if text:  # size and hash are of the file's bytes before decoding
            return FileFacts(name, text.bytes, records, text.sha256, header, tuple(broken), lines, opened.packed)
        return FileFacts(name, done, records, digest.hexdigest(), header, tuple(broken), lines, opened.packed)

    def slowly(blocks: Iterator[Block]) -> FileFacts:
        try:
            return take(blocks)
        except DataError:
            opened.refuse_changed()  # the last record may be incomplete because the file is being written
            raise

    if table.bad_rows and table.bad_rows.broken_lines:
        facts = slowly(by_line(opened.path, _first_lines(file, table, limit), table, table.bad_rows))
    elif limit:
        facts = slowly(exact(opened.path, file, opened.size, table, limit))
    else:
        try:
            facts = take(scanned(file, table))
        except UnusualError:
            restart()
            file.seek(0)
            facts = slowly(exact(opened.path, file, opened.size, table))
    opened.refuse_changed()
    return facts


def _first_lines(file: BinaryIO, table: Table, limit: int) -> BinaryIO:
    """Return the header and the first `limit` lines of a file with one record per line; without a limit the whole file."""
    lines = islice(iter(file.readline, b""), limit + table.dialect.header)
    return io.BytesIO(b"".join(lines)) if limit else file


@cache
def _share_memory() -> None:
    """Make threads share one memory pool: with one per thread, glibc keeps the megabytes that each thread once used
    (M_ARENA_MAX, https://man7.org/linux/man-pages/man3/mallopt.3.html). Other C libraries have no such setting."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(-8, 1)


def _sha256(file: BinaryIO, report: Callable[[int], None]) -> tuple[str, int]:
    """Compute the SHA-256, in hex, and the size of the rest of a file."""
    digest = hashlib.sha256()
    done = 0
    while data := file.read(BLOCK_BYTES):
        digest.update(data)
        done += len(data)
        report(done)
    return digest.hexdigest(), done


def _result(
    table: Table, facts: FileFacts, folder: str, objects: tuple[LandedObject, ...], since: str | None
) -> LandResult:
    return LandResult(
        table=table.name,
        raw_name=table.raw_name,
        file=facts.file,
        folder=folder,
        objects=objects,
        bytes=facts.bytes,
        records=facts.records,
        sha256=facts.sha256,
        status="unchanged" if since else "landed",
        since=since,
        layout=fit(table, facts.header),
        dialect=table.dialect.file_text,
        broken=facts.broken,
    )


def _decoded(opened: Opened, table: Table) -> Decoded | None:
    """Return a stream of the file's text in UTF-8; None if the file is UTF-8 already."""
    return None if table.dialect.encoding == "utf-8" else Decoded(opened.path, opened.file, table.dialect)


def _file(file: File | Path) -> File:
    return local(file.parent) / file.name if isinstance(file, Path) else file


def _open(file: File, table: Table) -> AbstractContextManager[Opened]:
    return file.open(f"expected the CSV file of table {table.name}")
