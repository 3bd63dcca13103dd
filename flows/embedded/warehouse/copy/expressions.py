"""The expression for each target column, as DuckDB's SQL over the fields c1 … cN of a record and its number n.

$1, t.$2, METADATA$…, expressions | columns in order | columns by the header's names ──Expressions.of──▶ [Item, …]
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import duckdb
from sqlglot import Expr, exp

from flows.embedded.warehouse.copy.csv_reader import read_header
from flows.embedded.warehouse.copy.faults import raising
from flows.embedded.warehouse.copy.options import compilation, fail
from flows.embedded.warehouse.copy.source import StagedFile
from flows.embedded.warehouse.copy.statement import CopyStatement
from flows.embedded.warehouse.copy.target import Column
from flows.embedded.warehouse.session.context import SessionContext

# DuckDB's type of a column → Snowflake's function that converts a text to it.
_CONVERSIONS = {
    "DATE": "TO_DATE", "TIME": "TO_TIME", "TIMESTAMP": "TO_TIMESTAMP_NTZ", "TIMESTAMP WITH TIME ZONE": "TO_TIMESTAMP_LTZ",
}  # fmt: skip
DEFAULT_TEXT_BYTES = 16 << 20  # VARCHAR without a length
_FIELD = re.compile(r"c\d+", re.IGNORECASE)  # the warehouse's translation writes names in upper case


@dataclass(frozen=True, slots=True)
class Item:
    """What a target column gets, in DuckDB's SQL over c1 … cN.

    `raw` is as written, `plain` is cast, `typed` is cast and checked; `broken` is the condition under which it is refused.
    """

    raw: str
    plain: str
    typed: str
    broken: str


@dataclass(frozen=True, slots=True)
class Selection:
    """The items of the filled columns for one file; `width`: the fields they need; `expect`: the fields a record must have."""

    items: list[Item]
    width: int
    expect: int | None


class Expressions:
    """Gives the items for each file of a statement; `aux` is a connection outside the session's transaction."""

    def __init__(self, statement: CopyStatement, session: SessionContext, aux: duckdb.DuckDBPyConnection) -> None:
        self.statement, self.session, self.aux = statement, session, aux

    def of(self, file: StagedFile, local: Path) -> Selection:
        """Return the selection for one file."""
        statement = self.statement
        if statement.select is not None:
            nodes = [item.this if isinstance(item, exp.Alias) else item for item in statement.select.expressions]
            width = max([_position(p) for n in nodes for p in n.find_all(exp.Parameter)], default=0)
            pairs = zip(statement.target.named, nodes, strict=True)
            # ERROR_ON_COLUMN_COUNT_MISMATCH is ignored in a transformation (data-load-transform#supported-file-formats).
            return Selection([self._typed(c, self._translated(n, file)) for c, n in pairs], width, None)
        if statement.options.match_by != "NONE":
            return self._matched(file, local)
        width = len(statement.target.named)
        items = [self._typed(c, f"c{i}") for i, c in enumerate(statement.target.named, start=1)]
        return Selection(items, width, width if statement.format.error_on_column_count_mismatch else None)

    def _matched(self, file: StagedFile, local: Path) -> Selection:
        """Match columns by the header's names: a column missing from the file is NULL, one missing from the table is ignored
        (copy-into-table, MATCH_BY_COLUMN_NAME)."""
        options, every = self.statement.options, self.statement.target.every
        try:
            with local.open("rb") as stream:
                header = read_header(stream, file.path, self.statement.format)
        except (OSError, EOFError, zlib.error) as broken:
            raise fail(100086, "22000", f"Error parsing file '{file.path}': {broken}") from None
        fold = str.upper if options.match_by == "CASE_INSENSITIVE" else str
        places: dict[str, int] = {}
        for i, name in enumerate(header, start=1):
            if fold(name) in places:
                raise fail(100185, "22000", f"Duplicate column name '{name}' in the header of file '{file.path}'.")
            places[fold(name)] = i
        extra = {name: self._translated(exp.column(kind), file) for name, kind in options.include_metadata}
        unknown = [name for name in extra if name not in {c.name for c in every}]
        if unknown:
            raise compilation(904, "42000", f"error line 1 at position 0\ninvalid identifier '{unknown[0]}'")
        items = []
        for column in every:
            place = places.get(fold(column.name))
            items.append(self._typed(column, extra.get(column.name) or (f"c{place}" if place else "NULL")))
        return Selection(
            items, len(header), len(header) if self.statement.format.error_on_column_count_mismatch else None
        )

    def _typed(self, column: Column, expression: str) -> Item:
        """Cast `expression` to the column's type, with Snowflake's checks of the value."""
        text = expression
        if _FIELD.fullmatch(expression):
            text = self._read(column, expression)
        value = f"CAST({text} AS {column.type})"
        broken, typed = [], value
        if column.type == "VARCHAR":
            too_long = f"strlen({value}) > {DEFAULT_TEXT_BYTES}"
            if column.length:
                too_long = f"length({value}) > {column.length}"
            if self.statement.options.enforce_length:
                broken.append(too_long)
                typed = f"CASE WHEN {too_long} THEN {raising(100078, value)} ELSE {value} END"
            elif column.length:
                typed = value = f"left({value}, {column.length})"
        if not column.nullable:
            broken.append(f"{value} IS NULL")
            typed = f"coalesce({typed}, {raising(100072, chr(39) * 2)})"
        return Item(expression, value, typed, " OR ".join(broken))

    def _read(self, column: Column, field: str) -> str:
        """Convert a field as a query converts a text: dates and times in the automatic formats, words for a BOOLEAN
        (https://docs.snowflake.com/en/sql-reference/date-time-input-output#supported-formats-for-auto-detection,
        …/sql-reference/functions/to_boolean). 1_000 is refused; only DuckDB reads it as a number."""
        if column.type.startswith("DECIMAL") or column.type == "DOUBLE":
            return f"CASE WHEN contains({field}, '_') THEN '_' ELSE {field} END"
        if column.type == "BOOLEAN":
            return f"CASE lower({field}) WHEN 'on' THEN 'true' WHEN 'off' THEN 'false' ELSE {field} END"
        function = _CONVERSIONS.get(column.type) or ("TO_TIMESTAMP_TZ" if column.type.startswith("STRUCT") else "")
        if not function:
            return field
        call = exp.Anonymous(this=function, expressions=[exp.column(field)])
        target = self.statement.target
        return self.session.expression_sql(call, target.database, target.schema, self.aux)

    def sure(self, column: Column, item: Item) -> bool:
        """Whether the item converts for every record whose fields are within DEFAULT_TEXT_BYTES: it is a field for a text
        column, the record's number, or a constant that converts."""
        if not column.nullable:
            return False
        if column.type == "VARCHAR" and (column.length or DEFAULT_TEXT_BYTES) < DEFAULT_TEXT_BYTES:
            return False
        if _FIELD.fullmatch(item.raw):
            return column.type == "VARCHAR"
        if item.raw.lower() == "n":
            return column.type in ("DECIMAL(38,0)", "BIGINT", "VARCHAR")
        try:
            self.aux.execute(f"SELECT {item.typed}").fetchall()
        except duckdb.Error:
            return False
        return True

    def _translated(self, node: Expr, file: StagedFile) -> str:
        """Translate a select item to DuckDB's SQL: $n → cn, METADATA$… → its value, the rest as the warehouse does in queries.

        https://docs.snowflake.com/en/user-guide/querying-metadata#metadata-columns
        """

        def replace(part: Expr) -> Expr:
            if isinstance(part, exp.Column) and isinstance(part.this, exp.Parameter):
                return exp.column(f"c{_position(part.this)}")
            if isinstance(part, exp.Parameter):
                return exp.column(f"c{_position(part)}")
            if isinstance(part, exp.Column):
                return self._metadata(part.name.upper(), file)
            if isinstance(part, (exp.Select, exp.Window, exp.AggFunc, exp.Star)):
                raise fail(2098, "0A000", "SQL compilation error:\n"
                      "COPY statement only supports simple SELECT from stage statements for import.")  # fmt: skip
            return part

        target = self.statement.target
        return self.session.expression_sql(node.transform(replace), target.database, target.schema, self.aux)

    def _metadata(self, name: str, file: StagedFile) -> Expr:
        match name:
            case "METADATA$FILENAME":
                return exp.Literal.string(file.path)
            case "METADATA$FILE_ROW_NUMBER":
                return exp.column("n")
            case "METADATA$FILE_CONTENT_KEY":
                return exp.Literal.string(file.etag)
            case "METADATA$FILE_LAST_MODIFIED":
                return exp.cast(
                    exp.Literal.string(f"{file.modified:%Y-%m-%d %H:%M:%S}"), exp.DataType.build("TIMESTAMPNTZ")
                )
            case "METADATA$START_SCAN_TIME":
                now = self.session.now.astimezone(UTC)
                text = f"{now:%Y-%m-%d %H:%M:%S}.{now.microsecond // 1000:03d}+00:00"
                return exp.cast(exp.Literal.string(text), exp.DataType.build("TIMESTAMPLTZ", dialect="snowflake"))
        raise compilation(904, "42000", f"error line 1 at position 0\ninvalid identifier '{name}'")


def _position(parameter: Expr) -> int:
    number = str(parameter.this.name)
    if not number.isdigit() or int(number) < 1:
        raise compilation(904, "42000", f"error line 1 at position 0\ninvalid identifier '${number}'")
    return int(number)
