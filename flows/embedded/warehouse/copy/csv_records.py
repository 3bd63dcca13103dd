"""The results of the CSV readers: chunks of records, and errors of records that could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class RowError:
    """One record that could not be read. `line` and `character` count from 1 in the file, `record` from 1 after the header.

    `column` counts fields from 1; `code` and `sqlstate` are Snowflake's.
    """

    record: int
    line: int
    character: int
    column: int
    code: int
    sqlstate: str
    message: str


@dataclass(slots=True)
class ParsedChunk:
    """Records read from one chunk: `rows` has columns n, line (int64) and c1 … cN (string); `parsed` counts the bad ones too."""

    rows: pa.RecordBatch
    parsed: int
    errors: list[RowError] = field(default_factory=list)


def schema(width: int) -> pa.Schema:
    """Return the Arrow schema of a chunk's rows with `width` text columns: n, line, c1 … c`width`."""
    fields = [pa.field("n", pa.int64()), pa.field("line", pa.int64())]
    return pa.schema(fields + [pa.field(f"c{i}", pa.string()) for i in range(1, width + 1)])


def blank_line(record: int, line: int) -> RowError:
    """Return the error of a blank line, for SKIP_BLANK_LINES = FALSE (create-file-format: "produce an end-of-record error")."""
    return RowError(record, line, 1, 1, 100068, "22000", "End of record reached while expected to parse column")


def mismatch(record: int, line: int, got: int, expected: int) -> RowError:
    return RowError(
        record, line, 1, min(got, expected) + 1, 100080, "22000",
        f"Number of columns in file ({got}) does not match that of the corresponding table ({expected}), "
        "use file format option error_on_column_count_mismatch=false to ignore this error",
    )  # fmt: skip
