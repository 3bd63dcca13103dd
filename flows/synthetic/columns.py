"""Random draws and CSV writing for all generators: (seed, label, row number) → columns of bytes → CSV lines.

A draw is SplitMix64's finalizer over a keyed counter, in integers only: the bytes do not depend on the numpy version or the
processor, any row can be made alone, and memory is that of one chunk of rows.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flows.errors import ConfigurationError

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.bytes_]
Column = Texts | tuple[Texts, ...]  # the texts of a tuple are concatenated

CHUNK = 1 << 16  # rows held at once; part of the recipe: a repeated Olist review never reaches back over a chunk's edge
SHARES = (0, 10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 990, 999, 1000)  # in 1/1000


# Drawing ------------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def draw_key(seed: int, label: str) -> int:
    return int.from_bytes(blake2b(f"{seed}:{label}".encode(), digest_size=8).digest(), "big")


class Draws:
    """Random numbers by label and row number, for one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def draw(self, label: str, index: Ints) -> Bits:
        """Draw 64 random bits per row number; for one label no two rows get the same."""
        z: Bits = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(draw_key(self.seed, label))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    def u16(self, label: str, index: Ints) -> Ints:
        return (self.draw(label, index) >> 48).astype(np.int64)

    def below(self, label: str, index: Ints, limit: int | Ints) -> Ints:
        """Draw a number from 0 to `limit` - 1, all equally likely; limit < 2^32."""
        bound = np.asarray(limit, dtype=np.uint64)
        return (((self.draw(label, index) >> 32) * bound) >> 32).astype(np.int64)

    def chance(self, label: str, index: Ints, share: int | Ints) -> Flags:
        """Draw True for `share` in 100,000 rows."""
        return self.below(label, index, 100_000) < share


def curve_table(*values: int) -> Ints:
    """Make 65,536 equally likely values whose quantiles at `SHARES` are `values`, interpolated linearly."""
    x = np.arange(1 << 16, dtype=np.int64)
    at, value = np.array(SHARES, dtype=np.int64) * 0xFFFF // 1000, np.array(values, dtype=np.int64)
    left = np.minimum(np.searchsorted(at, x, side="right") - 1, len(at) - 2)
    line: Ints = value[left] + (value[left + 1] - value[left]) * (x - at[left]) // (at[left + 1] - at[left])
    return line


def choice_table(weights: Sequence[int]) -> Ints:
    """Make 65,536 equally likely positions in `weights`, each with about its share; positive weights occur at least once."""
    total = sum(weights)
    counts = [max(min(w, 1), (w << 16) // total) for w in weights]
    counts[counts.index(max(counts))] += (1 << 16) - sum(counts)
    return np.repeat(np.arange(len(weights), dtype=np.int64), counts)


# Writing ------------------------------------------------------------------------------------------------------------------


@cache
def digit_tables() -> dict[str, Texts]:
    clock = [f" {h:02}:{m:02}:{s:02}" for h in range(24) for m in range(60) for s in range(60)]
    return {
        "number": as_texts([str(n) for n in range(100_000)]),
        "digits": as_texts([f"{n:04}" for n in range(10_000)]),
        "hex": as_texts([f"{n:04x}" for n in range(1 << 16)]),
        "pairs": as_texts([f"{n:02}" for n in range(100)]),
        "cents": as_texts([f".{n // 10}" if n % 10 == 0 else f".{n:02}" for n in range(100)]),
        "clock": as_texts([*clock, ""]),  # the last entry stands for a missing time
    }


def as_texts(words: Sequence[str]) -> Texts:
    return np.array([w.encode() for w in words], dtype=np.bytes_)


def as_hex(high: Bits, low: Bits) -> Texts:
    """Format each pair of 64 bits as 32 hexadecimal digits."""
    groups = np.empty((len(high), 8), dtype=np.int64)
    for half, bits in enumerate((high, low)):
        for k in range(4):
            groups[:, 4 * half + k] = (bits >> np.uint64(48 - 16 * k)) & np.uint64(0xFFFF)
    return digit_tables()["hex"][groups].view("S32").reshape(-1)


def as_number(values: Ints, missing: Flags | None = None) -> Texts:
    text = digit_tables()["number"][np.minimum(values, 99_999)]
    return text if missing is None else np.where(missing, b"", text)


def as_quoted(pieces: Sequence[Texts], where: Flags) -> Column:
    mark = np.where(where, b'"', b"")
    return (mark, *pieces, mark)


def as_lines(columns: Sequence[Column]) -> bytes:
    """Join the columns into CSV lines. Records are laid out at full width first, then the padding NULs are removed."""
    pieces: list[Texts | bytes] = []
    for column in columns:
        pieces += [*(column if isinstance(column, tuple) else (column,)), b","]
    pieces[-1] = b"\n"
    widths = [1 if isinstance(p, bytes) else p.dtype.itemsize for p in pieces]
    form = [(f"f{i}", f"S{width}") for i, width in enumerate(widths)]
    first = columns[0]
    rows = np.empty(len(first[0] if isinstance(first, tuple) else first), dtype=form)
    for (name, _), piece in zip(form, pieces, strict=True):
        rows[name] = piece
    return rows.tobytes().translate(None, b"\0")


class Words:
    """Texts in three moods (or one for all), for picking many at once."""

    def __init__(self, moods: Sequence[Sequence[str]]) -> None:
        words = [*(w for mood in moods for w in mood), ""]  # the last one is for "no text"
        self.texts = as_texts([w.replace('"', '""') for w in words])
        self.delicate = np.array([any(c in w for c in ',"\r\n') for w in words], dtype=np.bool_)
        self.number = np.array([len(m) for m in moods], dtype=np.int64)
        self.first = np.cumsum(self.number) - self.number

    def pick(self, bits: Ints, mood: Ints, where: Flags) -> tuple[Texts, Flags]:
        """Pick a text for each row by 16 random bits, empty where `where` is false; also return whether it must be quoted."""
        mood = np.minimum(mood, len(self.number) - 1)
        chosen = np.where(where, self.first[mood] + (bits * self.number[mood] >> 16), -1)
        return self.texts[chosen], self.delicate[chosen]


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Lock `out` for this process: a second generator waits, then uses the files. The OS releases the lock if we are killed."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigurationError(
            f"{out}: cannot hold generated files ({error.strerror}); name a directory that you may write"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
