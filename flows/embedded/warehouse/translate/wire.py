"""Encodes DuckDB's result for Snowflake's clients: (table, described columns) → (row type, an Arrow IPC stream in base64).

fakesnow's encoder makes the schema; this module does what it gets wrong or lacks: NULL timestamps stay NULL,
zoned ones are sent as UTC, and types without a Snowflake counterpart (lists, structs, small integers …) become the
nearest that has one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from fakesnow.arrow import to_ipc, to_sf_schema
from fakesnow.rowtype import ColumnInfo, describe_as_rowtype, duckdb_to_sf_type

from flows.embedded.warehouse.translate import json_values

_NEAREST = {
    "TINYINT": "BIGINT", "SMALLINT": "BIGINT", "UTINYINT": "BIGINT", "USMALLINT": "BIGINT", "UINTEGER": "BIGINT",
    "UHUGEINT": "HUGEINT", "FLOAT": "DOUBLE", "UUID": "VARCHAR", "INTERVAL": "VARCHAR", "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP", "TIME WITH TIME ZONE": "VARCHAR", "BIT": "VARCHAR", "BIGNUM": "VARCHAR",
}  # fmt: skip


def row_type(described: Sequence[Sequence[Any]]) -> list[ColumnInfo]:
    """Return the protocol's column descriptions for DESCRIBE rows (name, DuckDB type, …)."""
    plain = [(name, _plain(str(type_)), *rest) for name, type_, *rest in described]
    infos = list(describe_as_rowtype(plain))
    for info, (_, type_, *_rest) in zip(infos, described, strict=True):
        if is_zoned(str(type_)):
            info["type"] = "timestamp_tz"
        elif str(type_) in ("ARRAY", "OBJECT"):
            info["type"] = str(type_).lower()
        elif info["type"] == "timestamp_tz":
            info["type"] = "timestamp_ltz"
    return infos


def is_zoned(type_: str) -> bool:
    """Whether DuckDB's type is the struct that represents TIMESTAMP_TZ here."""
    return type_.startswith("STRUCT") and "CXM_UTC" in type_


def _plain(type_: str) -> str:
    if is_zoned(type_):
        return "TIMESTAMP WITH TIME ZONE"
    if type_ in duckdb_to_sf_type or (type_.startswith("DECIMAL") and not type_.endswith("]")):
        return type_
    if type_.startswith("ENUM"):
        return "VARCHAR"
    if re.match(r"STRUCT|MAP|UNION|ARRAY$|OBJECT$", type_) or type_.endswith("]"):
        return "JSON"
    return _NEAREST.get(type_, "VARCHAR")


def encode(table: pa.Table, rowtype: list[ColumnInfo]) -> str:
    """Encode the rows as a base64 Arrow stream."""
    columns = [_column(column.combine_chunks(), info) for column, info in zip(table.columns, rowtype, strict=True)]
    plain = pa.schema([
        pa.field(f.name, _logical(c.type, f.type, info)) for f, c, info in zip(table.schema, columns, rowtype, strict=True)
    ])  # fmt: skip
    stream = pa.Table.from_arrays(columns, schema=to_sf_schema(plain, rowtype))
    return base64.b64encode(to_ipc(stream)).decode()


def _logical(sent: pa.DataType, engine_type: pa.DataType, info: ColumnInfo) -> pa.DataType:
    """Return the type that fakesnow's schema function expects: a timestamp's or time's own, otherwise that of the sent array."""
    if info["type"] == "timestamp_tz":
        return pa.timestamp("us", tz="UTC")
    if pa.types.is_timestamp(engine_type):
        return pa.timestamp("us")
    return engine_type if pa.types.is_time(engine_type) else sent


def _column(column: pa.Array, info: ColumnInfo) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    kind = column.type
    if info["type"] == "timestamp_tz":
        utc, offsets = column.flatten()
        return _timestamps(utc, offsets, column.is_null())
    if pa.types.is_timestamp(kind):
        return _timestamps(column)
    if pa.types.is_time(kind):
        return pc.multiply(column.cast(pa.time64("us")).cast(pa.int64()), 1000)
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    if info["type"] == "fixed" and pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if info["type"] == "fixed" and pa.types.is_decimal(kind) and not info["scale"]:
        return _whole(column)
    if info["type"] == "real":
        return column.cast(pa.float64())
    if info["type"] in ("variant", "array", "object"):
        return pa.array([_shown(value) for value in column.to_pylist()], pa.string())
    if info["type"] == "text" and not pa.types.is_string(kind):
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_dictionary(kind):
            return column.cast(pa.string())
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return column.cast(pa.binary())
    return column


def _whole(column: pa.Array) -> pa.Array:
    """Cast whole numbers to 64 bits where they fit, as Snowflake sends them."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column.cast(pa.decimal128(38, 0))


def _shown(value: Any) -> str | None:
    """Write a VARIANT, ARRAY or OBJECT as Snowflake sends it: over several lines, keys in order
    (https://docs.snowflake.com/en/sql-reference/data-types-semistructured)."""
    if value is None:
        return None
    try:
        parsed = json_values.loads(value) if isinstance(value, str) else value
    except ValueError:
        return str(value)
    if not isinstance(parsed, (dict, list)):
        return json_values.dumps(parsed) if isinstance(parsed, json_values.Exponent) else str(value)
    return json_values.pretty(parsed)


def _timestamps(column: pa.Array, offsets: pa.Array | None = None, nulls: pa.Array | None = None) -> pa.Array:
    """Convert timestamps to structs of epoch seconds, nanoseconds and, for TIMESTAMP_TZ, its offset in minutes + 1440."""
    micros = column.cast(pa.timestamp("us", tz=column.type.tz)).cast(pa.int64())
    filled = pc.fill_null(micros, 0)
    seconds = pc.divide(filled, 1_000_000)  # rounds towards zero; before 1970 it has to be the second below
    rest = pc.subtract(filled, pc.multiply(seconds, 1_000_000))
    seconds = pc.subtract(seconds, pc.if_else(pc.less(rest, 0), 1, 0))
    fraction = pc.multiply(pc.subtract(filled, pc.multiply(seconds, 1_000_000)), 1000).cast(pa.int32())
    arrays = [seconds, fraction]
    fields = [pa.field("epoch", pa.int64(), nullable=False), pa.field("fraction", pa.int32(), nullable=False)]
    if offsets is not None:
        arrays.append(pc.add(pc.fill_null(offsets, 0), 1440).cast(pa.int32()))
        fields.append(pa.field("timezone", pa.int32(), nullable=False))
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=pc.is_null(column) if nulls is None else nulls)
