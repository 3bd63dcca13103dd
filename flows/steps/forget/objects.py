"""Finds a person's records in landed objects, and rewrites the objects without them.

Objects without the bytes of any value are found by a search and skipped; only the others are parsed. The other records
keep their bytes. The new object replaces the old one under its key, unless it was overwritten meanwhile, and its metadata
names the object that it replaces, so that the next call notices and completes a run that was killed before it wrote the ledger.
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

REPLACES = "forgot-from"  # metadata: the ledger's ETag of the object that this one replaces
RECORDS = "records"  # metadata: the number of remaining records
NO_ETAG = "none"  # in REPLACES, for ledger rows without an ETag

_MOST_NEEDLES = 200  # up to this many values, searching for their bytes is faster than parsing
_CHUNK = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_TEXT = BROKEN_COLUMNS.index("_REJECTED_TEXT")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a table in S3. `entry`: its ledger row; None if the ledger lacks it, or has another version of it.
    `replaced`: the ledger still has the object that this one replaces."""

    key: str
    size: int
    etag: str
    holder: Holder
    entry: Mapping[str, Any] | None = None
    replaced: bool = False
    left: int = 0  # remaining records of a rewritten object

    @property
    def place(self) -> str:
        """The folder of the object: `raw/olist/olist_customers_dataset/`."""
        return "/".join(self.key.split("/")[:3]) + "/"

    @property
    def holds_broken_lines(self) -> bool:
        """Whether it holds broken lines."""
        return names_broken_lines(self.key)

    @property
    def dialect(self) -> Dialect:
        """The dialect of its records."""
        if self.holds_broken_lines:
            return PLAIN
        own = self.holder.table.dialect
        return own.read_by(self.entry["file_dialect"] or "") if self.entry else own


@dataclass(slots=True)
class Matches:
    """A person's records in an object. `named`: whether one of them has a value that was given to identify the person."""

    records: int = 0
    named: bool = False


# Positions in a record, the person's values there, and whether these values were given to identify the person.
_Pointing = tuple[tuple[int, ...], set[tuple[str, ...]], bool]


class PersonMatcher:
    """Recognizes a person's records in the objects of one table."""

    def __init__(self, holder: Holder, values: Values, starts: Values) -> None:
        self.found_by = [(columns, values[key], key) for key, columns in holder.found_by if values.get(key)]
        self._starts = starts
        words = sorted({one[0] for columns, known, _ in self.found_by for one in known})
        # In quoted fields a value may be escaped.
        plain = all(re.fullmatch(r"[^\"'\\\r\n]+", word) for word in words)
        few = plain and 0 < len(words) <= _MOST_NEEDLES
        self.needles = re.compile(b"|".join(re.escape(w.encode()) for w in words)) if few else None
        self.longest = max((len(word.encode()) for word in words), default=0)
        alone = {one[0] for columns, known, _ in self.found_by if len(columns) == 1 for one in known}
        self._text = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(alone)))})(?!\w)") if alone else None

    def in_line(self, text: str) -> bool:
        """Return whether a broken line has one of the values as a word."""
        return bool(self._text and self._text.search(text))

    def at(self, positions: Mapping[str, int]) -> list[_Pointing]:
        """Return the values to compare in a record whose columns are at `positions`."""
        return [
            (tuple(positions[c] for c in columns), known, key in self._starts)
            for columns, known, key in self.found_by
            if all(c in positions for c in columns)
        ]


def gather(client: S3Client, bucket: str, landed: StoredObject, matcher: PersonMatcher, values: Values) -> Matches:
    """Find the person's records in an object, and add their keys, by which other rows are found, to `values`.

    Raises:
        DataError: the object is not CSV, or was overwritten meanwhile.
        ConfigurationError, InfrastructureError: as `flows.clients.s3.translate_error`.
    """
    matches = Matches()
    if matcher.needles and not _holds(client, bucket, landed, matcher):
        return matches
    with _opened(client, bucket, landed) as stream:
        gives: list[tuple[Key, tuple[int, ...]]] = []
        for _, record, positions in _records(stream, landed):
            if record is None:
                places = matcher.at(positions)
                gives = [
                    (key, tuple(positions[c] for c in key.columns))
                    for key in landed.holder.gives
                    if positions.keys() >= set(key.columns)
                ]
                continue
            if not (hits := _hits(landed, matcher, record, places)):
                continue
            matches.records += 1
            matches.named |= any(hits)
            for key, at in gives:
                if all(value := _value(record, at)):
                    values.setdefault(key, set()).add(value)
    return matches


def rewrite(
    client: S3Client, bucket: str, landed: StoredObject, matcher: PersonMatcher, matches: Matches
) -> tuple[int, str, int]:
    """Rewrite the object without the person's records; returns its size, ETag, and number of remaining records.

    Raises:
        DataError: its records differ from `matches`, or it was overwritten.
        ConfigurationError, InfrastructureError: as `flows.clients.upload.Upload`.
    """
    codec = next(c for c in CODECS.values() if landed.key.endswith(f".csv{c.suffix}"))
    head = _head(client, bucket, landed.key)
    before = _etag_of(landed.entry) if landed.entry else landed.etag
    known = landed.left if landed.replaced else (landed.entry or {}).get("file_records")
    left = None if known is None else int(known) - matches.records
    about = {**head["Metadata"], REPLACES: before} | ({} if left is None else {RECORDS: str(left)})
    upload = Upload(client, bucket, landed.key, codec.media_type, about, replaces=landed.etag)
    try:
        compressor = codec.compressor(landed.size)
        gone = remaining = 0
        waiting = bytearray()
        with _opened(client, bucket, landed) as stream:
            places: list[_Pointing] = []
            for raw, record, positions in _records(stream, landed):
                if record is None:
                    places = matcher.at(positions)
                elif _hits(landed, matcher, record, places):
                    gone += 1
                    continue
                else:
                    remaining += 1
                waiting += raw
                if len(waiting) >= _CHUNK:
                    upload.write(compressor.compress(bytes(waiting)))
                    waiting.clear()
        if gone != matches.records or (left is not None and remaining != left):
            raise DataError(
                f"s3://{bucket}/{landed.key}: expected {matches.records:,} records to delete and "
                f"{'any number' if left is None else f'{left:,}'} to stay, got {gone:,} and {remaining:,}; nothing was written: "
                "`cxm reconcile` says what differs from the ledger"
            )
        upload.write(compressor.compress(bytes(waiting)))
        upload.write(compressor.flush())
        upload.end()
        upload.finish({})
    except BaseException:
        upload.abort()
        raise
    return upload.bytes, upload.etag, remaining


def landed_objects(
    client: S3Client, bucket: str, holder: Holder, known: Mapping[str, Mapping[str, Any]]
) -> list[StoredObject]:
    """List the objects of a table, below `raw/` and `archive/`. `known`: key → ledger row."""
    objects = []
    for top in ("raw", "archive"):
        for key, (size, etag) in s3.stored(client, bucket, f"{top}/{holder.source.name}/{holder.table.stem}/").items():
            entry = known.get(key)
            if entry is None or (etag == entry["etag"] if entry["etag"] else size == entry["bytes"]):
                objects.append(StoredObject(key, size, etag, holder, entry))
                continue
            about = _head(client, bucket, key)["Metadata"]
            if about.get(REPLACES) == _etag_of(entry):
                left = int(about.get(RECORDS, 0))
                objects.append(StoredObject(key, size, etag, holder, entry, replaced=True, left=left))
            else:  # it was overwritten; the new content may have the person's records too
                objects.append(StoredObject(key, size, etag, holder))
    return objects


def _etag_of(entry: Mapping[str, Any]) -> str:
    return str(entry["etag"] or NO_ETAG)


def _hits(
    landed: StoredObject, matcher: PersonMatcher, record: Sequence[str], places: Sequence[_Pointing]
) -> list[bool]:
    """Return for each of the person's values in a record whether it was given to identify the person; False for a broken line."""
    if landed.holds_broken_lines:
        return [False] if matcher.in_line(record[_TEXT]) else []
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
def _opened(client: S3Client, bucket: str, landed: StoredObject) -> Iterator[BinaryIO]:
    """Open the object's text, unpacked."""
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


def _holds(client: S3Client, bucket: str, landed: StoredObject, matcher: PersonMatcher) -> bool:
    """Return whether the object contains the bytes of one of the values."""
    assert matcher.needles
    tail = b""
    with _opened(client, bucket, landed) as stream:
        while more := stream.read(_CHUNK):
            data = tail + more
            if matcher.needles.search(data):
                return True
            tail = data[-matcher.longest :]
    return False


def _records(stream: BinaryIO, landed: StoredObject) -> Iterator[tuple[bytes, list[str] | None, dict[str, int]]]:
    """Yield the records of an object, each with its bytes. The first item is the header (empty bytes without one), with None as
    record and the positions of the RAW columns."""
    dialect = landed.dialect
    taken: list[bytes] = []

    def lines() -> Iterator[str]:
        for number, line in enumerate(_by_cr(stream) if dialect.line_end == "cr" else stream):
            taken.append(line)
            yield (line.removeprefix(_BOM) if not number else line).decode()

    csv.field_size_limit(max(csv.field_size_limit(), 16_777_216))  # the longest field that landing accepts
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
    """Yield the lines of a file with CR line ends."""
    left = b""
    while more := stream.read(_CHUNK):
        *lines, left = (left + more).split(b"\r")
        for line in lines:
            yield line + b"\r"
    if left:
        yield left
