"""Checks the options of stages and file formats in a statement; `stages` stores them.

https://docs.snowflake.com/en/sql-reference/sql/create-stage, …/create-file-format. A stage carries a file format's options.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flows.embedded.warehouse.copy.csv_format import OptionError, codec, compression
from flows.embedded.warehouse.session.stage_lookup import find_file_format
from flows.embedded.warehouse.session.storage_access import locations
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import split_name

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

# name → (type as DESC writes it, Snowflake's default); https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv
CSV_OPTIONS: dict[str, tuple[str, object]] = {
    "TYPE": ("String", "CSV"),
    "RECORD_DELIMITER": ("String", "\n"),
    "FIELD_DELIMITER": ("String", ","),
    "FILE_EXTENSION": ("String", ""),
    "SKIP_HEADER": ("Integer", 0),
    "PARSE_HEADER": ("Boolean", False),
    "DATE_FORMAT": ("String", "AUTO"),
    "TIME_FORMAT": ("String", "AUTO"),
    "TIMESTAMP_FORMAT": ("String", "AUTO"),
    "BINARY_FORMAT": ("String", "HEX"),
    "ESCAPE": ("String", None),
    "ESCAPE_UNENCLOSED_FIELD": ("String", "\\"),
    "TRIM_SPACE": ("Boolean", False),
    "FIELD_OPTIONALLY_ENCLOSED_BY": ("String", None),
    "NULL_IF": ("List", ["\\N"]),
    "COMPRESSION": ("String", "AUTO"),
    "ERROR_ON_COLUMN_COUNT_MISMATCH": ("Boolean", True),
    "VALIDATE_UTF8": ("Boolean", True),
    "SKIP_BLANK_LINES": ("Boolean", False),
    "REPLACE_INVALID_CHARACTERS": ("Boolean", False),
    "EMPTY_FIELD_AS_NULL": ("Boolean", True),
    "SKIP_BYTE_ORDER_MARK": ("Boolean", True),
    "ENCODING": ("String", "UTF8"),
    "MULTI_LINE": ("Boolean", True),
}
_OTHER_TYPES = ("JSON", "AVRO", "ORC", "PARQUET", "XML")


def format_options(options: Mapping[str, object]) -> dict[str, object]:
    """Check a file format's written options by name and type; returns those, and TYPE.

    Raises ProgrammingError 001420 for an unknown option, 001008 for a bad value, 000002 for two that exclude each other.
    """
    kind = str(options.get("TYPE", "CSV")).upper()
    if kind in _OTHER_TYPES:
        raise errors.unsupported(f"FILE FORMAT TYPE = {kind}: CSV only")
    if kind != "CSV":
        raise errors.invalid_value(kind, "TYPE")
    checked: dict[str, object] = {}
    for key, value in options.items():
        if key not in CSV_OPTIONS:
            raise errors.invalid_property(key, "FILE FORMAT")
        type_, _ = CSV_OPTIONS[key]
        if type_ == "Boolean" and not isinstance(value, bool):
            raise errors.invalid_value(value, key)
        if type_ == "Integer" and not (isinstance(value, int) and value >= 0):
            raise errors.invalid_value(value, key)
        if type_ == "List":
            value = [str(v) for v in value] if isinstance(value, list) else [str(value)]
        try:
            if key == "COMPRESSION":
                value = compression(value)
            elif key == "ENCODING":
                codec(value)
        except OptionError as e:
            if e.why:
                raise errors.unsupported(f"{key} = {value}: {e.why}") from None
            raise errors.invalid_value(value, key) from None
        if type_ == "String" and value is not None:
            value = str(value)
        if key in ("ESCAPE", "ESCAPE_UNENCLOSED_FIELD", "FIELD_OPTIONALLY_ENCLOSED_BY") and value == "":
            value = None
        checked[key] = value
        if key == "FIELD_OPTIONALLY_ENCLOSED_BY" and value not in _QUOTES:
            raise errors.invalid_value(value, key)
    checked["TYPE"] = kind
    _check_delimiters(checked)
    if checked.get("PARSE_HEADER") and checked.get("SKIP_HEADER"):
        raise errors.unsupported("PARSE_HEADER together with SKIP_HEADER")
    return checked


# The only characters that may enclose a field, and how they may be written
# (https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv).
_QUOTES = (None, "'", '"', "0x27", "0x22", "\\x27", "\\x22", "\\047", "\\042")


def _check_delimiters(found: Mapping[str, object]) -> None:
    """Refuse a delimiter within the other (https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv)."""
    field, record = (str(found.get(key) or "") for key in ("FIELD_DELIMITER", "RECORD_DELIMITER"))
    if field and record and (field in record or record in field):
        raise errors.invalid_value(record, "RECORD_DELIMITER")


def stage_properties(conn: WarehouseConnection, options: Mapping[str, object]) -> dict[str, object]:
    """Check the options of CREATE and ALTER STAGE. Of CREDENTIALS only the fact that they were given is stored."""
    properties: dict[str, object] = {}
    for key, value in options.items():
        if key == "URL":
            if not str(value).startswith("s3://"):
                raise errors.unsupported(f"stage URL {value} (s3:// only)")
            properties[key] = str(value)
        elif key == "STORAGE_INTEGRATION":
            properties[key] = split_name(str(value))[-1]
            locations(conn, str(properties[key]), usage=True)
        elif key == "FILE_FORMAT":
            properties[key] = file_format_clause(conn, value)
        elif key == "CREDENTIALS":
            properties["HAS_CREDENTIALS"] = True
        elif key == "DIRECTORY" and isinstance(value, Mapping) and value.get("ENABLE"):
            raise errors.unsupported("directory tables (DIRECTORY = (ENABLE = TRUE))")
        elif key in ("ENCRYPTION", "DIRECTORY", "COPY_OPTIONS", "TAG", "USE_PRIVATELINK_ENDPOINT"):
            properties[key] = value
        else:
            raise errors.invalid_property(key, "STAGE")
    if properties.get("STORAGE_INTEGRATION") and properties.get("URL"):
        url = str(properties["URL"])
        locations(conn, str(properties["STORAGE_INTEGRATION"]), usage=True)(url if url.endswith("/") else url + "/")
    return properties


def file_format_clause(conn: WarehouseConnection, value: object) -> dict[str, object]:
    """Check `FILE_FORMAT = (FORMAT_NAME = 'x')`, `= (TYPE = CSV …)` or `= x`, as a dict; a named format must exist."""
    options = dict(value) if isinstance(value, Mapping) else {"FORMAT_NAME": str(value)}
    if named := options.pop("FORMAT_NAME", None):
        item = find_file_format(conn, str(named))
        options = {k: v for k, v in format_options(options).items() if k in options} if options else {}
        return {"FORMAT_NAME": item.name, **options}
    return format_options(options)


def all_options(written: Mapping[str, object]) -> dict[str, object]:
    """Return a file format's options, with defaults for those that were not written."""
    return {key: default for key, (_, default) in CSV_OPTIONS.items()} | dict(written)


def stage_type(properties: Mapping[str, object]) -> str:
    """EXTERNAL, TEMPORARY or not, as SHOW STAGES writes it."""
    return "EXTERNAL TEMPORARY" if properties.get("TEMPORARY") else "EXTERNAL"
