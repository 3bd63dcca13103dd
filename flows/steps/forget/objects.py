"""Landed objects: which of an object's records are a person's, and the object written anew without them.

An object is read twice: a search for the values' bytes passes over those that hold none, and only the others are parsed. What
stays keeps its bytes. The new object stands under the old one's key, on condition that nobody else wrote there, and its metadata
says which object it replaces: a run that was killed before the ledger knew of it is thereby found out and completed.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from flows.clients import s3
from flows.clients.upload import Upload
from flows.codec import CODECS
from flows.contract.dialect import PLAIN, Dialect
from flows.contract.model import BROKEN_COLUMNS
from flows.contract.person import Holder, Key, Values
from flows.errors import DataError
from flows.landing import names_broken_lines

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REPLACES = "forgot-from"  # metadata: the ETag of the object, as the ledger knows it, that this one replaces
RECORDS = "records"  # metadata: how many records are left
NO_ETAG = "none"  # in REPLACES, where the ledger is older than its column of ETags

_MOST_NEEDLES = 200  # values up to which a search for their bytes is faster than parsing
_CHUNK = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_TEXT = BROKEN_COLUMNS.index("_REJECTED_TEXT")


@dataclass(frozen=True, slots=True)
class Landed:
    """An object of a table as it lies in S3. `entry`: its ledger row; None: the ledger does not know it, or knows another one.
    `replaced`: the ledger still knows the object that this one replaces."""

    key: str
    size: int
    etag: str
    holder: Holder
    entry: Mapping[str, Any] | None = None
    replaced: bool = False
    left: int = 0  # records, of one that was replaced

    @property
    def place(self) -> str:
        """`raw/olist/olist_customers_dataset/`."""
        return "/".join(self.key.split("/")[:3]) + "/"

    @property
    def holds_broken_lines(self) -> bool:
        """Whether its records are lines of a file that are no record."""
        return names_broken_lines(self.key)

    @property
    def dialect(self) -> Dialect:
        """What its records are read by."""
        if self.holds_broken_lines:
            return PLAIN
        own = self.holder.table.dialect
        return own.read_by(self.entry["file_dialect"] or "") if self.entry else own


@dataclass(slots=True)
class Found:
    """What of an object is a person's. `named`: whether a record holds the value itself that the person was named by."""

    records: int = 0
    named: bool = False


# Where in a record which values point at a person, and whether they name the person.
_Pointing = tuple[tuple[int, ...], set[tuple[str, ...]], bool]


class Wanted:
    """What points at a person's records in the objects of one table."""

    def __init__(self, holder: Holder, values: Values, starts: Values) -> None:
        self.found_by = [(columns, values[key], key) for key, columns in holder.found_by if values.get(key)]
        self._starts = starts
        words = sorted({one[0] for columns, known, _ in self.found_by for one in known})
        # Within quotes a value may be written in another way.
        plain = all(re.fullmatch(r"[^\"'\\\r\n]+", word) for word in words)
        few = plain and 0 < len(words) <= _MOST_NEEDLES
        self.needles = re.compile(b"|".join(re.escape(w.encode()) for w in words)) if few else None
        self.longest = max((len(word.encode()) for word in words), default=0)
        alone = {one[0] for columns, known, _ in self.found_by if len(columns) == 1 for one in known}
        self._text = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(alone)))})(?!\w)") if alone else None

    def in_line(self, text: str) -> bool:
        """Whether a line that is no record has one of the values, as a word."""
        return bool(self._text and self._text.search(text))

    def at(self, positions: Mapping[str, int]) -> list[_Pointing]:
        """What points at a person in a record whose columns are at `positions`."""
        return [
            (tuple(positions[c] for c in columns), known, key in self._starts)
            for columns, known, key in self.found_by
            if all(c in positions for c in columns)
        ]


def gather(client: S3Client, bucket: str, landed: Landed, wanted: Wanted, values: Values) -> Found:
    """Find the person's records in an object; the keys that they give to others are added to `values`.

    Raises:
        DataError: the object is no CSV, or was overwritten meanwhile.
        ConfigurationError, InfrastructureError: as `flows.clients.s3.translate_error`.
    """
    found = Found()
    if wanted.needles and not _holds(client, bucket, landed, wanted):
        return found
    with _opened(client, bucket, landed) as stream:
        gives: list[tuple[Key, tuple[int, ...]]] = []
        for _, record, positions in _records(stream, landed):
            if record is None:
                places = wanted.at(positions)
                gives = [
                    (key, tuple(positions[c] for c in key.columns))
                    for key in landed.holder.gives
                    if positions.keys() >= set(key.columns)
                ]
                continue
            if not (hits := _hits(landed, wanted, record, places)):
                continue
            found.records += 1
            found.named |= any(hits)
            for key, at in gives:
                if all(value := _value(record, at)):
                    values.setdefault(key, set()).add(value)
    return found


def rewrite(client: S3Client, bucket: str, landed: Landed, wanted: Wanted, found: Found) -> tuple[int, str, int]:
    """Write the object anew without the person's records; returns its size, ETag, and how many records are left.

    Raises:
        DataError: it holds other records than `found` says, or somebody wrote over it.
        ConfigurationError, InfrastructureError: as `flows.clients.upload.Upload`.
    """
    codec = next(c for c in CODECS.values() if landed.key.endswith(f".csv{c.suffix}"))
    head = _head(client, bucket, landed.key)
    before = _etag_of(landed.entry) if landed.entry else landed.etag
    known = landed.left if landed.replaced else (landed.entry or {}).get("file_records")
    left = None if known is None else int(known) - found.records
    about = {**head["Metadata"], REPLACES: before} | ({} if left is None else {RECORDS: str(left)})
    upload = Upload(client, bucket, landed.key, codec.media_type, about, replaces=landed.etag)
    try:
        compressor = codec.compressor(landed.size)
        gone = kept = 0
        waiting = bytearray()
        with _opened(client, bucket, landed) as stream:
            places: list[_Pointing] = []
            for raw, record, positions in _records(stream, landed):
                if record is None:
                    places = wanted.at(positions)
                elif _hits(landed, wanted, record, places):
                    gone += 1
                    continue
                else:
                    kept += 1
                waiting += raw
                if len(waiting) >= _CHUNK:
                    upload.write(compressor.compress(bytes(waiting)))
                    waiting.clear()
        if gone != found.records or (left is not None and kept != left):
            raise DataError(
                f"s3://{bucket}/{landed.key}: expected {found.records:,} records to take out and "
                f"{'any number' if left is None else f'{left:,}'} to stay, got {gone:,} and {kept:,}; nothing was written there: "
                "`cxm reconcile` says what differs from the ledger"
            )
        upload.write(compressor.compress(bytes(waiting)))
        upload.write(compressor.flush())
        upload.end()
        upload.finish({})
    except BaseException:
        upload.abort()
        raise
    return upload.bytes, upload.etag, kept


def landed_objects(
    client: S3Client, bucket: str, holder: Holder, known: Mapping[str, Mapping[str, Any]]
) -> list[Landed]:
    """Every object of a table, below `raw/` and `archive/`. `known`: key → ledger row."""
    found = []
    for top in ("raw", "archive"):
        for key, (size, etag) in s3.stored(client, bucket, f"{top}/{holder.source.name}/{holder.table.stem}/").items():
            entry = known.get(key)
            if entry is None or (etag == entry["etag"] if entry["etag"] else size == entry["bytes"]):
                found.append(Landed(key, size, etag, holder, entry))
                continue
            about = _head(client, bucket, key)["Metadata"]
            if about.get(REPLACES) == _etag_of(entry):
                left = int(about.get(RECORDS, 0))
                found.append(Landed(key, size, etag, holder, entry, replaced=True, left=left))
            else:  # somebody wrote over it, and what is there may hold the person all the same
                found.append(Landed(key, size, etag, holder))
    return found


def _etag_of(entry: Mapping[str, Any]) -> str:
    return str(entry["etag"] or NO_ETAG)


def _hits(landed: Landed, wanted: Wanted, record: Sequence[str], places: Sequence[_Pointing]) -> list[bool]:
    """For each value of a record that points at a person, whether it names the person. A line that is no record names nobody."""
    if landed.holds_broken_lines:
        return [False] if wanted.in_line(record[_TEXT]) else []
    return [named for at, known, named in places if _value(record, at) in known]


def _value(record: Sequence[str], at: Sequence[int]) -> tuple[str, ...]:
    return tuple(record[n].strip(" ") if n < len(record) else "" for n in at)


def _head(client: S3Client, bucket: str, key: str) -> Any:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return client.head_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        raise s3.translate_error(error, f"s3://{bucket}/{key}") from error


@contextmanager
def _opened(client: S3Client, bucket: str, landed: Landed) -> Iterator[BinaryIO]:
    """The object's text, unpacked."""
    from botocore.exceptions import BotoCoreError, ClientError

    where = f"s3://{bucket}/{landed.key}"
    try:
        body: Any = client.get_object(Bucket=bucket, Key=landed.key, IfMatch=landed.etag)["Body"]
        with closing(body):
            yield s3.unpacked(body, landed.key, _CHUNK)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412:
            raise DataError(s3.overwritten(where, landed.etag, "another")) from error
        raise s3.translate_error(error, where) from error
    except BotoCoreError as error:
        raise s3.translate_error(error, where) from error
    except (csv.Error, UnicodeDecodeError, OSError, EOFError) as error:
        raise DataError(
            f"{where}: expected a CSV file as landing writes it, got one that ends early or is none"
        ) from error


def _holds(client: S3Client, bucket: str, landed: Landed, wanted: Wanted) -> bool:
    """Whether the bytes of one of the values are in the object."""
    assert wanted.needles
    tail = b""
    with _opened(client, bucket, landed) as stream:
        while more := stream.read(_CHUNK):
            data = tail + more
            if wanted.needles.search(data):
                return True
            tail = data[-wanted.longest :]
    return False


def _records(stream: BinaryIO, landed: Landed) -> Iterator[tuple[bytes, list[str] | None, dict[str, int]]]:
    """The records of an object, each with its bytes. First comes the header, or nothing in its place: None, and where the RAW
    columns are in the records."""
    dialect = landed.dialect
    taken: list[bytes] = []

    def lines() -> Iterator[str]:
        for number, line in enumerate(_by_cr(stream) if dialect.line_end == "cr" else stream):
            taken.append(line)
            yield (line.removeprefix(_BOM) if not number else line).decode()

    csv.field_size_limit(max(csv.field_size_limit(), 16_777_216))  # the longest that landing takes
    reader = csv.reader(lines(), **dialect.csv)
    header = next(reader, []) if dialect.sends_header else []
    text = str(landed.entry["file_columns"] or "") if landed.entry else ""
    named = {c.header: c.name for c in landed.holder.table.columns}
    if landed.holds_broken_lines:
        columns: Sequence[str | None] = BROKEN_COLUMNS
    elif text:
        columns = [name for _, name in json.loads(text)]
    else:
        columns = [named.get(h) for h in header or named]
    positions = {name: n for n, name in enumerate(columns) if name}
    yield b"".join(taken), None, positions
    taken.clear()
    for record in reader:
        yield b"".join(taken), record, positions
        taken.clear()


def _by_cr(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of a file in which CR ends them."""
    left = b""
    while more := stream.read(_CHUNK):
        *lines, left = (left + more).split(b"\r")
        for line in lines:
            yield line + b"\r"
    if left:
        yield left
