"""Compresses landed objects: the ending of an object's key, and the compressor of its content.

COPY recognizes the compression by the key's ending (COMPRESSION = AUTO,
https://docs.snowflake.com/en/sql-reference/sql/create-file-format). Each object is one zstd frame or one gzip member.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flows.settings import CodecName

# From this size on a compressor uses several threads. Smaller files need none, because several are compressed at the same time.
THREADS_FROM_BYTES = 1024 * 1024 * 1024
# On rows of ids, dates and numbers, level 1 sends no more bytes than level 3 and takes half the time.
LEVEL = 1


class Compressor(Protocol):
    """A compression object, as zlib has it: it takes bytes and returns compressed ones."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Codec:
    """How objects are compressed. `suffix` follows `.csv` in the key; a file over `split_bytes` becomes several objects."""

    name: CodecName
    suffix: str
    split_bytes: int
    media_type: str

    def compressor(self, size: int) -> Compressor:
        """Create a compressor for one object; `size` is the file's bytes."""
        match self.name:
            case "zstd":
                import zstandard

                threads = min(4, os.cpu_count() or 1) if size >= THREADS_FROM_BYTES else 0
                return zstandard.ZstdCompressor(level=LEVEL, threads=threads, write_checksum=True).compressobj()
            case "gzip":
                from isal import isal_zlib

                return isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)  # 31: with gzip's header
            case "none":
                return _Plain()


# A whole file may become one object of 250 MB, the most that Snowflake advises; text shrinks to 0.4 of its size.
_CODECS = (
    Codec("zstd", ".zst", 600_000_000, "application/zstd"),
    Codec("gzip", ".gz", 600_000_000, "application/gzip"),
    Codec("none", "", 250_000_000, "text/csv"),
)
CODECS: dict[CodecName, Codec] = {codec.name: codec for codec in _CODECS}
