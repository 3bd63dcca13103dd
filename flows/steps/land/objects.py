"""Writes blocks of records to the objects of a file: one, or several of 100 to 250 MB, each with the header.

No object becomes visible before the whole file has been read, so a bad file leaves nothing in the bucket.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from flows.clients.upload import Upload
from flows.codec import Codec, Compressor
from flows.contract.model import BROKEN_COLUMNS, BROKEN_RULE
from flows.landing import BROKEN, BrokenLine, LandedObject
from flows.steps.land.csv_fast import BOM, Block

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# "Aim to produce data files roughly 100-250 MB (or larger) in size compressed",
# https://docs.snowflake.com/en/user-guide/data-load-considerations-prepare
OBJECT_BYTES = 160_000_000


@dataclass(slots=True)
class _Open:
    upload: Upload
    compressor: Compressor
    name: str
    records: int = 0


class Objects:
    """The objects of the file `name` of `size` bytes, as a context: an exception discards what `publish` has not made visible."""

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        folder: str,
        name: str,
        size: int,
        codec: Codec,
        metadata: Mapping[str, str],
        object_bytes: int = OBJECT_BYTES,
    ) -> None:
        self._client, self._bucket, self._folder, self._name = client, bucket, folder, name
        self._size, self._codec, self._metadata, self._object_bytes = size, codec, metadata, object_bytes
        self._split = size > codec.split_bytes * object_bytes // OBJECT_BYTES
        self._header = b""
        self._read = self._sent = 0
        self._objects: list[_Open] = []
        self._open: _Open | None = None
        self._broken: _Open | None = None

    def __enter__(self) -> Objects:
        return self

    def __exit__(self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        if kind is not None:
            self.restart()

    def restart(self) -> None:
        """Discard everything, because the file is read again from its start."""
        for one in self._all:
            one.upload.abort()
        self._objects, self._open, self._broken, self._header = [], None, None, b""
        self._read = self._sent = 0

    def write(self, block: Block) -> None:
        """Write the next block of the file; the first is the header, which is empty if the objects have none."""
        if block.broken:
            self._set_aside(block.broken, block.data)
            return
        if block.header:
            self._header = block.data
        elif self._split and self._full():
            self._close()
            self._write(Block(self._header.removeprefix(BOM), 0))
        self._write(block)

    def finish(self, report: Callable[[int, int], None] = lambda *_: None) -> None:
        """Wait until everything is sent; `report` gets (bytes sent, bytes in total)."""
        self._close()
        if self._broken:
            self._end(self._broken)
        total = sum(one.upload.bytes for one in self._all)
        done = 0
        for one in self._all:
            one.upload.wait(lambda sent, before=done: report(before + sent, total))  # type: ignore[misc]
            done += one.upload.bytes

    def publish(self, metadata: Mapping[str, str]) -> tuple[LandedObject, ...]:
        """Make the objects visible, after `finish`. `metadata`: facts that are known only now."""
        for one in self._all:
            one.upload.finish(metadata)
        return tuple(LandedObject(one.name, one.upload.bytes, one.records, one.upload.etag) for one in self._all)

    @property
    def _all(self) -> list[_Open]:
        return [*self._objects, *([self._broken] if self._broken else [])]

    def _new(self, part: str, size: int) -> _Open:
        name = f"{self._name.removesuffix('.csv')}{part}.csv{self._codec.suffix}"
        upload = Upload(self._client, self._bucket, self._folder + name, self._codec.media_type, dict(self._metadata))
        return _Open(upload, self._codec.compressor(size), name)

    def _set_aside(self, broken: BrokenLine, line: bytes) -> None:
        """Write a broken line to the separate object of broken lines: its number, the reason, and the line."""
        fields = [str(broken.line), broken.reason, line.decode().removesuffix("\n").removesuffix("\r")]
        if self._broken is None:
            self._broken = self._new(BROKEN, 0)
            self._broken.upload.write(self._broken.compressor.compress(quoted(BROKEN_COLUMNS)))
        self._broken.upload.write(self._broken.compressor.compress(quoted((BROKEN_RULE, *fields))))
        self._broken.records += 1
        self._read += len(line)

    def _write(self, block: Block) -> None:
        if self._open is None:
            self._open = self._new(f".{len(self._objects) + 1:04d}" if self._split else "", self._size)
            self._objects.append(self._open)
        self._open.upload.write(self._open.compressor.compress(block.data))
        self._open.records += block.records
        self._read += len(block.data)

    def _full(self) -> bool:
        """Return whether the object has reached its size, unless the rest of the file would make a small one."""
        assert self._open is not None
        size = self._open.upload.bytes
        left = (self._size - self._read) * (self._sent + size) / self._read
        return size >= self._object_bytes and (left >= self._object_bytes / 2 or size >= self._object_bytes * 3 / 2)

    def _close(self) -> None:
        if self._open is not None:
            self._end(self._open)
            self._sent += self._open.upload.bytes
            self._open = None

    def _end(self, one: _Open) -> None:
        one.upload.write(one.compressor.flush())
        one.upload.end()


def quoted(fields: Sequence[str]) -> bytes:
    """Format a CSV record with every field in quotes."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(fields)
    return text.getvalue().encode()
