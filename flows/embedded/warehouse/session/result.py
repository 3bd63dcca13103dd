"""A statement's result: (columns, rows) → an Arrow table and the column types of the wire protocol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

TIMESTAMP_LTZ = "TIMESTAMP WITH TIME ZONE"

_ARROW = {
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    TIMESTAMP_LTZ: pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Result:
    """Columns as (name, DuckDB type) and rows in that order; `affected` is the row count of DML."""

    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[object]] = field(default_factory=tuple)
    affected: int | None = None

    def arrow(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        arrays = []
        for i, (_, type_) in enumerate(self.columns):
            decimal = re.fullmatch(r"DECIMAL\((\d+),\s*(\d+)\)", type_)
            arrow = pa.decimal128(int(decimal[1]), int(decimal[2])) if decimal else _ARROW[type_]
            arrays.append(pa.array([row[i] for row in self.rows], type=arrow))
        # names may repeat, as Snowflake's do, so no dict
        return pa.Table.from_arrays(arrays, names=[name for name, _ in self.columns])

    def described(self) -> list[tuple[object, ...]]:
        """Return the rows that DuckDB's DESCRIBE would give, which fakesnow turns into the protocol's row type."""
        return [(name, type_, "YES", None, None, None) for name, type_ in self.columns]


def status(message: str = "Statement executed successfully.") -> Result:
    """Return the one-row answer of DDL and session statements."""
    return Result([("status", "VARCHAR")], [(message,)])


def table(rows: Iterable[Mapping[str, object]], columns: Sequence[str | tuple[str, str]]) -> Result:
    """Return a result of rows given as dicts; a column is VARCHAR unless it has a type."""
    typed = [c if isinstance(c, tuple) else (c, "VARCHAR") for c in columns]
    return Result(typed, [tuple(row.get(name) for name, _ in typed) for row in rows])
