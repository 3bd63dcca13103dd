"""Writes good rows to files (spools) on their way into the table: the session's transaction runs one INSERT for each file.

Arrow batches ──Spooler.as_read──▶ an Arrow file, as they were read; ──Spooler.converted──▶ Parquet, in the target's types
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from flows.embedded.warehouse.copy.expressions import DEFAULT_TEXT_BYTES, Item
from flows.embedded.warehouse.storage.engine import ROW_GROUP
from flows.embedded.warehouse.text.grammar import quote

ROWS = "cxm_copy_source"  # the name under which the engine reads Arrow rows
# A larger Arrow batch leaves a remainder, and DuckDB then builds its row groups again: it compresses them twice, and the file
# grows by both copies.
_MOST_ROWS = ROW_GROUP


@dataclass(frozen=True, slots=True)
class Spool:
    """Good rows in a file: in the target's types (Parquet), or as they were read (Arrow), to be converted by `select`."""

    path: Path
    select: str = "*"

    @contextmanager
    def query(self, duck: duckdb.DuckDBPyConnection) -> Iterator[str]:
        """Yield the SELECT that returns the target's rows."""
        if self.path.suffix == ".parquet":
            yield f"SELECT {self.select} FROM read_parquet({quote(str(self.path))})"
        else:
            # Not mapped into memory: its pages would count as this process's memory.
            with pa.OSFile(str(self.path)) as file, registered(duck, pa.ipc.open_stream(file)):
                yield f"SELECT {self.select} FROM {ROWS}"


class Spooler:
    """Writes spools into a folder; `aux` is a connection outside the session's transaction."""

    def __init__(self, folder: Path, aux: duckdb.DuckDBPyConnection) -> None:
        self.folder, self.aux = folder, aux
        self._numbers = itertools.count()

    def converted(self, rows: pa.Table | pa.RecordBatchReader, items: Sequence[Item]) -> Spool:
        """Write the rows, converted, to a new file; raises duckdb.Error when one does not convert."""
        target = self.folder / f"{next(self._numbers)}.parquet"
        selected = ", ".join(f"{item.typed} AS p{i}" for i, item in enumerate(items))
        with registered(self.aux, rows):
            self.aux.execute(
                f"COPY (SELECT {selected} FROM {ROWS}) TO {quote(str(target))} (FORMAT parquet, COMPRESSION lz4)"
            )
        return Spool(target)

    def as_read(self, batches: Iterable[pa.RecordBatch], columns: pa.Schema, select: str) -> Spool:
        """Write the rows as they are to a new file; raises duckdb.Error when a field is longer than a VARCHAR holds."""
        target = self.folder / f"{next(self._numbers)}.arrows"
        with pa.OSFile(str(target), "wb") as file, pa.ipc.new_stream(file, columns) as writer:
            for batch in batches:
                _require_small(batch)
                for start in range(0, batch.num_rows, _MOST_ROWS):
                    writer.write_batch(batch.slice(start, _MOST_ROWS))
        return Spool(target, select)


@contextmanager
def registered(duck: duckdb.DuckDBPyConnection, rows: pa.Table | pa.RecordBatchReader) -> Iterator[None]:
    """Register the rows as ROWS, after dropping an earlier result: DuckDB refuses to register a name twice."""
    duck.complete()
    duck.register(ROWS, rows)
    try:
        yield
    finally:
        duck.unregister(ROWS)


def _require_small(batch: pa.RecordBatch) -> None:
    if batch.nbytes > DEFAULT_TEXT_BYTES:
        longest = [pc.max(pc.binary_length(c)).as_py() for c in batch.columns if pa.types.is_string(c.type)]
        if max((size or 0 for size in longest), default=0) > DEFAULT_TEXT_BYTES:
            raise duckdb.ConversionException("a field is longer than a VARCHAR holds")
