"""Blocks of records → the objects of one file: one, or several of 100 to 250 MB, each with the header.

None can be read in the bucket before the file was read to its end: a file that turns out bad leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from flows.clients.upload import Upload
from flows.facts import LandedObject
from flows.steps.land.codec import Codec, Compressor
from flows.steps.land.scan import BOM, Block

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
    """The objects of the file `name` of `size` bytes, as a context that leaves nothing behind unless `finish` was reached."""

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
        self._size, self._codec, self._metadata, self._wanted = size, codec, metadata, object_bytes
        self._split = size > codec.split_bytes * object_bytes // OBJECT_BYTES
        self._header = b""
        self._read = self._sent = 0
        self._objects: list[_Open] = []
        self._open: _Open | None = None

    def __enter__(self) -> Objects:
        return self

    def __exit__(self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        if kind is not None:
            self.restart()

    def restart(self) -> None:
        """Take everything back: the file is read again from its start."""
        for one in self._objects:
            one.upload.abort()
        self._objects, self._open, self._header = [], None, b""
        self._read = self._sent = 0

    def write(self, block: Block) -> None:
        """The next block of the file; the first is its header, empty where the objects have none."""
        if block.header:
            self._header = block.data
        elif self._split and self._full():
            self._close()
            self._write(Block(self._header.removeprefix(BOM), 0))
        self._write(block)

    def finish(self, report: Callable[[int, int], None] = lambda *_: None) -> None:
        """Wait until all was sent; `report` gets (bytes sent, bytes in all)."""
        self._close()
        total = sum(one.upload.bytes for one in self._objects)
        done = 0
        for one in self._objects:
            one.upload.wait(lambda sent, before=done: report(before + sent, total))  # type: ignore[misc]
            done += one.upload.bytes

    def publish(self, metadata: Mapping[str, str]) -> tuple[LandedObject, ...]:
        """Let the objects be seen, all sent before; `metadata` is what is known only now."""
        for one in self._objects:
            one.upload.finish(metadata)
        return tuple(LandedObject(one.name, one.upload.bytes, one.records, one.upload.etag) for one in self._objects)

    def _write(self, block: Block) -> None:
        if self._open is None:
            number = f".{len(self._objects) + 1:04d}" if self._split else ""
            name = f"{self._name.removesuffix('.csv')}{number}.csv{self._codec.suffix}"
            upload = Upload(
                self._client, self._bucket, self._folder + name, self._codec.media_type, dict(self._metadata)
            )
            self._open = _Open(upload, self._codec.compressor(self._size), name)
            self._objects.append(self._open)
        self._open.upload.write(self._open.compressor.compress(block.data))
        self._open.records += block.records
        self._read += len(block.data)

    def _full(self) -> bool:
        """An object of the wanted size, unless what is left of the file would make a small one."""
        assert self._open is not None
        size = self._open.upload.bytes
        left = (self._size - self._read) * (self._sent + size) / self._read
        return size >= self._wanted and (left >= self._wanted / 2 or size >= self._wanted * 3 / 2)

    def _close(self) -> None:
        if self._open is not None:
            self._open.upload.write(self._open.compressor.flush())
            self._open.upload.end()
            self._sent += self._open.upload.bytes
            self._open = None
