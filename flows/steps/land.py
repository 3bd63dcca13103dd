"""`data/olist/olist_orders_dataset.csv` → `s3://<bucket>/raw/olist/olist_orders_dataset/<batch id>/olist_orders_dataset.csv`.

A file is read once before a byte is sent: header against the contract, every record's field count, encoding, checksum. What
COPY would load wrongly or half is refused here, with the line; what is then sent is the bytes that were checked.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from flows.clients import s3
from flows.contract.model import Source, Table
from flows.errors import DataError
from flows.facts import LandedObject, LandResult, Published, object_folder

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A VARCHAR holds at most 16,777,216 characters, https://docs.snowflake.com/en/sql-reference/data-types-text
MAX_FIELD_CHARACTERS = 16_777_216
# A line (not a record: quoted fields may span lines) longer than this is no CSV line of ours; it bounds memory.
MAX_LINE_BYTES = 64 * 1024 * 1024
CHUNK = 1024 * 1024
BOM = b"\xef\xbb\xbf"

Report = Callable[[str, int, int], None]  # (phase, bytes done, bytes in all)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one pass over a file found: size in bytes, CSV records (header not counted), SHA-256 in hex."""

    path: Path
    bytes: int
    records: int
    sha256: str
    modified_ns: int


def land(
    client: S3Client,
    bucket: str,
    source: Source,
    table: Table,
    path: Path,
    batch_id: str,
    published: Published | None,
    force: bool = False,
    report: Report = lambda *_: None,
) -> LandResult:
    """Check the table's file at `path` and send it, unless its content equals its last validated load (`published`).

    A key is never overwritten: a second try of the same batch finds its own object, with the same bytes.

    Raises:
        DataError: the file breaks the contract, changed while it was read, or its key holds other bytes.
        ConfigurationError, InfrastructureError: as `flows.clients.s3.put_once`.
    """
    facts = inspect(path, table, report)
    unchanged = published is not None and published.sha256 == facts.sha256 and not force
    folder = object_folder(source, table, batch_id)
    objects: tuple[LandedObject, ...] = ()
    if not unchanged:
        s3.put_once(
            client,
            bucket,
            folder + path.name,
            path,
            facts.sha256,
            {"batch-id": batch_id, "records": str(facts.records)},
            lambda done: report("upload", done, facts.bytes),
        )
        now = path.stat()
        if (now.st_size, now.st_mtime_ns) != (facts.bytes, facts.modified_ns):
            raise DataError(
                f"{path}: changed while it was sent ({facts.bytes:,} bytes before, {now.st_size:,} now); the batch is "
                "not loaded; run again once the file is whole"
            )
        objects = (LandedObject(path.name, facts.bytes, facts.records),)
    return LandResult(
        table=table.name,
        raw_name=table.raw_name,
        file=path.name,
        folder=folder,
        objects=objects,
        bytes=facts.bytes,
        records=facts.records,
        sha256=facts.sha256,
        status="unchanged" if unchanged else "landed",
        since=published.batch_id if published and unchanged else None,
    )


def inspect(path: Path, table: Table, report: Report = lambda *_: None) -> FileFacts:
    """Read the whole file once: check it against the contract, count its records, hash its bytes.

    Memory does not grow with the file. Records are told apart as Python's csv module does (RFC 4180), so a line break inside
    quotes does not count. Only where something is wrong is the file read again, line by line, to say where.

    Raises:
        DataError: no such file, not a file, unreadable, empty, header only, not UTF-8, a header that differs from the
            contract, a record with too few or too many fields, a NUL, a field over 16,777,216 characters, a quote that never
            ends, a line end that is neither LF nor CRLF; the message names file and line and says what was wanted.
    """
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    with _open(path, table) as file:
        before = os.fstat(file.fileno())
        tap = _Tap(file, lambda done: report("check", done, before.st_size))
        # LF alone ends a line here, so that csv itself finds a bare CR.
        text = io.TextIOWrapper(io.BufferedReader(tap, CHUNK), encoding="utf-8-sig", newline="\n")
        reader = csv.reader(text, strict=True)
        try:
            header = next(reader, [])
            fields = Counter(map(len, reader))
            sound = header == list(table.header) and set(fields) == {len(table.columns)} and not tap.broken
        except (csv.Error, UnicodeDecodeError):
            sound = False
        if not sound:
            file.seek(0)
            _diagnose(path, file, before.st_size, table)
        after = os.fstat(file.fileno())
        if not sound or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise DataError(f"{path}: changed while it was read; run again once whatever writes it has finished")
    return FileFacts(path, before.st_size, fields[len(table.columns)], tap.digest.hexdigest(), before.st_mtime_ns)


def checksum(path: Path) -> str | None:
    """SHA-256 of a file in hex; None where there is none to read, which `inspect` then says in words."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


class _Tap(io.RawIOBase):
    """Bytes on their way to the decoder: hashed, counted, and looked at for what no text holds."""

    def __init__(self, file: BinaryIO, report: Callable[[int], None]) -> None:
        self.digest = hashlib.sha256()
        self.broken = False
        self._file, self._report = file, report
        self._done = self._line = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.digest.update(data)
        self._done += len(data)
        end = data.rfind(b"\n")
        self._line = self._line + len(data) if end < 0 else len(data) - end
        if self._line > MAX_LINE_BYTES or b"\0" in data:
            self.broken = True
            return 0  # end the reading here: what follows is not worth it
        self._report(self._done)
        return len(data)


def _diagnose(path: Path, file: BinaryIO, size: int, table: Table) -> None:
    """Read a file that is not sound line by line, and raise what is wrong with it first."""
    wanted = len(table.columns)
    reader = csv.reader(_lines(file, path), strict=True)
    line = 1  # where the record being read began
    records = 0
    try:
        header = next(reader, None)
        if header is None or (not header and size <= len(BOM)):
            raise DataError(f"{path}: empty file; wanted the header {','.join(table.header)} and at least one record")
        _check_header(path, header, table)
        line = reader.line_num + 1
        for record in reader:
            if len(record) != wanted:
                raise DataError(_field_count(path, line, record, table))
            records += 1
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(_csv_error(path, line, reader.line_num, error)) from error
    if records == 0:
        raise DataError(f"{path}: has a header and no records; wanted at least one (send the file once it is filled)")


def _open(path: Path, table: Table) -> BinaryIO:
    wanted = f"wanted the CSV file of table {table.name}"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise DataError(f"{path}: {kind}; {wanted}")
        return path.open("rb", buffering=CHUNK)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {wanted}; put it there, or name another folder with --data") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read by this user (permission denied); {wanted}; chmod it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {wanted}") from error


def _lines(file: BinaryIO, path: Path) -> Iterator[str]:
    """The file's lines as text; what cannot be text is refused with its line."""
    done = number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        done += len(line)
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise DataError(
                f"{path}, line {number}: longer than {MAX_LINE_BYTES:,} bytes without a line end; wanted CSV text: a quote "
                "that never ends, or not a CSV file"
            )
        if b"\0" in line:
            raise DataError(
                f"{path}, line {number}: NUL byte at byte {done - len(line) + line.index(0):,} of the file; wanted text; "
                "export the file again as UTF-8 CSV"
            )
        if number == 1 and line.startswith(BOM):
            line = line[len(BOM) :]
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {number}: byte 0x{line[error.start]:02x} at position {error.start + 1} is not UTF-8; wanted "
                "UTF-8 (a Latin-1 file converts with `iconv -f LATIN1 -t UTF-8`)"
            ) from None


def _check_header(path: Path, found: list[str], table: Table) -> None:
    wanted = list(table.header)
    if found == wanted:
        return
    repeated = sorted({name for name in found if found.count(name) > 1})
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    if repeated:
        what = f"column {', '.join(repeated)} stands in it more than once"
    elif missing and extra and len(found) == len(wanted):
        pairs = [f"{w} is called {f}" for w, f in zip(wanted, found, strict=True) if w != f]
        what = f"renamed: {', '.join(pairs)}"
    elif missing and extra:
        what = f"missing {', '.join(missing)}; not in the contract: {', '.join(map(repr, extra))}"
    elif missing:
        what = f"missing {', '.join(missing)}"
    elif extra:
        what = f"not in the contract: {', '.join(map(repr, extra))}"
    else:
        place = next(i for i, (w, f) in enumerate(zip(wanted, found, strict=True)) if w != f)
        what = f"another order: column {place + 1} is {found[place]}, wanted {wanted[place]}"
    raise DataError(
        f"{path}, line 1: the header differs from the contract: {what}. Found {','.join(found)[:500]}; wanted "
        f"{','.join(wanted)}. Mend the file, or change the table's entry in the contract and run `cxm contract sync`"
    )


def _field_count(path: Path, line: int, record: list[str], table: Table) -> str:
    wanted = len(table.columns)
    if not record:
        return f"{path}, line {line}: blank line; wanted a record of {wanted} fields"
    begin = ",".join(record)[:80]
    return (
        f"{path}, line {line}: {len(record)} fields, wanted {wanted} ({', '.join(table.header)}); the record begins {begin!r}; "
        "quote fields that hold commas"
    )


def _csv_error(path: Path, begin: int, line: int, error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return f"{path}, line {begin}: a quote opens in this record and never closes; wanted a closing quote before the file ends"
    if "field larger than field limit" in text:
        return (
            f"{path}, line {begin}: a field is longer than {MAX_FIELD_CHARACTERS:,} characters, the most a Snowflake VARCHAR "
            "holds; shorten it"
        )
    if "new-line character seen" in text:
        return f"{path}, line {line}: a bare CR ends a line; wanted LF or CRLF"
    return f"{path}, line {line}: not valid CSV ({text}); wanted RFC 4180: quotes around fields, quotes inside doubled"
