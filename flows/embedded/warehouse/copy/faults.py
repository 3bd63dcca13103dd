"""A record that is not loaded: its position in the file, with Snowflake's code, state and message."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from flows.embedded.warehouse.copy.csv_records import RowError
from flows.embedded.warehouse.copy.source import StagedFile
from flows.embedded.warehouse.copy.target import Column
from flows.embedded.warehouse.text.engine_errors import from_duckdb

HINT = (
    "  If you would like to continue loading when an error is encountered, use other values such as 'SKIP_FILE' or 'CONTINUE' "
    "for the ON_ERROR option. For more information on loading options, please run 'info loading_data' in a SQL client."
)
_RAISED = "cxm-row-error:"


@dataclass(frozen=True, slots=True)
class Fault:
    """A row error as COPY and VALIDATE report it."""

    row: RowError
    column_name: str
    start_line: int

    def text(self, file: StagedFile) -> str:
        """Write the error with its place, as Snowflake words it; "starts at line" when the record spans lines."""
        row = self.row
        where = f"Row {row.record}" + (f" starts at line {self.start_line}" if self.start_line != row.line else "")
        return (
            f"{row.message}\n  File '{file.path}', line {row.line}, character {row.character}\n  {where}, "
            f"column {self.column_name}\n{HINT}"
        )

    @property
    def category(self) -> str:
        """VALIDATE's CATEGORY (https://docs.snowflake.com/en/sql-reference/functions/validate#output)."""
        return "parsing" if self.row.code in (100016, 100068, 100080, 100082, 100144) else "conversion"


def raising(code: int, value: str) -> str:
    """Return DuckDB SQL that raises an error, which `conversion` recognises."""
    return f"error('{_RAISED}{code}:' || {value})"


def conversion(column: Column, fault: duckdb.Error, value: object) -> tuple[int, str, str]:
    """Translate DuckDB's error about one value for `column` to Snowflake's code, state and message.

    `value` is the value to convert; None when the SELECT's own expression failed.
    """
    message = str(fault)
    if _RAISED in message:
        code, _, text = message.split(_RAISED, 1)[1].partition(":")
        if code == "100072":
            return 100072, "22000", "NULL result in a non-nullable column"
        return 100078, "22000", f"String '{text[:100]}' is too long and would be truncated"
    if value is None:
        translated = from_duckdb(fault, "COPY")
        text = str(translated.raw_msg or translated.msg)
        return translated.errno or 100132, translated.sqlstate or "22000", text
    kind = column.type.upper()
    if kind.startswith("TIMESTAMP"):
        return 100035, "22007", f"Timestamp '{value}' is not recognized"
    if kind == "DATE":
        return 100040, "22007", f"Date '{value}' is not recognized"
    if kind == "TIME":
        return 100108, "22007", f"Time '{value}' is not recognized"
    if kind == "BOOLEAN":
        return 100037, "22018", f"Boolean value '{value}' is not recognized"
    if kind == "JSON":
        return 100069, "22P02", f"Error parsing JSON: {value}"
    return 100038, "22018", f"Numeric value '{value}' is not recognized"
