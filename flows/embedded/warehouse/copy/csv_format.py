"""Reads the options of a CSV file format into `CsvFormat`, and refuses those that Snowflake refuses or that are not supported.

https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Snowflake's names of character sets → Python's codecs: Unicode, and the single-byte ones of Europe and its neighbours
# (https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#supported-character-sets-for-delimited-files)
ENCODINGS = {
    "UTF8": "utf-8", "UTF16": "utf-16", "UTF16BE": "utf-16-be", "UTF16LE": "utf-16-le",
    "ISO88591": "latin-1", "ISO88592": "iso8859-2", "ISO88595": "iso8859-5",
    "ISO88596": "iso8859-6", "ISO88597": "iso8859-7", "ISO88598": "iso8859-8", "ISO88599": "iso8859-9",
    "ISO885915": "iso8859-15", "WINDOWS1250": "cp1250", "WINDOWS1251": "cp1251", "WINDOWS1252": "cp1252",
    "WINDOWS1253": "cp1253", "WINDOWS1254": "cp1254", "WINDOWS1255": "cp1255", "WINDOWS1256": "cp1256",
}  # fmt: skip
# Snowflake's other character sets, which are not supported here.
_OTHER_ENCODINGS = (
    "BIG5", "EUCJP", "EUCKR", "GB18030", "IBM420", "IBM424", "IBM949", "ISO2022CN", "ISO2022JP", "ISO2022KR", "KOI8R", "SHIFTJIS",
    "UTF32", "UTF32BE", "UTF32LE", "WINDOWS874", "WINDOWS949",
)  # fmt: skip
COMPRESSIONS = ("AUTO", "GZIP", "BZ2", "ZSTD", "NONE")
# Snowflake's other compressions, which are not supported here, and the extension of such a file.
OTHER_COMPRESSIONS = {"BROTLI": ".br", "DEFLATE": ".deflate", "RAW_DEFLATE": ".raw_deflate"}


class OptionError(ValueError):
    """A file format option that Snowflake does not know (`value` None) or a value that it does not take."""

    def __init__(self, name: str, value: object = None, why: str = "") -> None:
        super().__init__(name)
        self.name, self.value, self.why = name, value, why


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """The options of a TYPE = CSV file format, each with Snowflake's default; bytes are UTF-8, None means NONE.

    https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv
    """

    compression: str = "AUTO"
    record_delimiter: bytes | None = b"\n"
    field_delimiter: bytes | None = b","
    skip_header: int = 0
    parse_header: bool = False
    skip_blank_lines: bool = False
    trim_space: bool = False
    enclosed_by: bytes | None = None
    escape: bytes | None = None
    escape_unenclosed: bytes | None = b"\\"
    null_if: tuple[bytes, ...] = (b"\\N",)
    empty_field_as_null: bool = True
    error_on_column_count_mismatch: bool = True
    replace_invalid_characters: bool = False
    skip_byte_order_mark: bool = True
    multi_line: bool = True
    encoding: str = "utf-8"

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> CsvFormat:
        """Read option names (upper case) and Python values, as `SessionContext.file_format` gives them.

        Raises OptionError for an option or a value that Snowflake refuses, or that is not supported here.
        """
        values: dict[str, Any] = {}
        for name, value in options.items():
            match name:
                case "TYPE":
                    if str(value).upper() != "CSV":
                        raise OptionError(name, value, "only TYPE = CSV is supported here")
                case "COMPRESSION":
                    values["compression"] = compression(value)
                case "RECORD_DELIMITER":
                    values["record_delimiter"] = _delimiter(name, value)
                case "FIELD_DELIMITER":
                    values["field_delimiter"] = _delimiter(name, value)
                case "SKIP_HEADER":
                    if isinstance(value, bool) or not str(value).isdigit():
                        raise OptionError(name, value)
                    values["skip_header"] = int(str(value))
                case "FIELD_OPTIONALLY_ENCLOSED_BY":
                    quote = _character(name, value)
                    if quote not in (None, b'"', b"'"):
                        raise OptionError(name, value)
                    values["enclosed_by"] = quote
                case "ESCAPE":
                    values["escape"] = _character(name, value)
                case "ESCAPE_UNENCLOSED_FIELD":
                    values["escape_unenclosed"] = _character(name, value)
                case "NULL_IF":
                    texts = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
                    values["null_if"] = tuple(str(text).encode() for text in texts)
                case "ENCODING":
                    values["encoding"] = codec(value)
                case "DATE_FORMAT" | "TIME_FORMAT" | "TIMESTAMP_FORMAT":
                    if str(value).upper() != "AUTO":
                        raise OptionError(name, value, "only AUTO is supported here; convert in the SELECT instead")
                case "VALIDATE_UTF8":
                    if str(value).upper() != "TRUE":
                        raise OptionError(name, value, "text is always checked here; see REPLACE_INVALID_CHARACTERS")
                case "BINARY_FORMAT":
                    if str(value).upper() != "HEX":
                        raise OptionError(name, value, "only HEX is supported here")
                case "FILE_EXTENSION":
                    pass  # unloading only, by its documentation
                case _ if name in _BOOLEANS:
                    if not isinstance(value, bool):
                        if str(value).upper() not in ("TRUE", "FALSE"):
                            raise OptionError(name, value)
                        value = str(value).upper() == "TRUE"
                    values[_BOOLEANS[name]] = value
                case _:
                    raise OptionError(name)
        made = cls(**values)
        if made.parse_header and made.skip_header:
            raise OptionError("SKIP_HEADER", made.skip_header, "it cannot be combined with PARSE_HEADER")
        return made


def compression(value: object) -> str:
    """Return COMPRESSION's value, one of COMPRESSIONS. Raises OptionError."""
    chosen = "NONE" if value is None else str(value).upper()
    if chosen in OTHER_COMPRESSIONS:
        raise OptionError("COMPRESSION", value, "gzip, zstd and bzip2 are read here")
    if chosen not in COMPRESSIONS:
        raise OptionError("COMPRESSION", value)
    return chosen


def codec(value: object) -> str:
    """Return the Python codec for ENCODING's value. Raises OptionError."""
    spelled = re.sub(r"[^A-Z0-9]", "", str(value).upper())
    if spelled in _OTHER_ENCODINGS:
        raise OptionError("ENCODING", value, "this character set is not read here")
    if spelled not in ENCODINGS:
        raise OptionError("ENCODING", value)
    return codecs.lookup(ENCODINGS[spelled]).name


_BOOLEANS = {
    "PARSE_HEADER": "parse_header",
    "SKIP_BLANK_LINES": "skip_blank_lines",
    "TRIM_SPACE": "trim_space",
    "EMPTY_FIELD_AS_NULL": "empty_field_as_null",
    "ERROR_ON_COLUMN_COUNT_MISMATCH": "error_on_column_count_mismatch",
    "REPLACE_INVALID_CHARACTERS": "replace_invalid_characters",
    "SKIP_BYTE_ORDER_MARK": "skip_byte_order_mark",
    "MULTI_LINE": "multi_line",
}
_ESCAPED = {"n": b"\n", "r": b"\r", "t": b"\t", "b": b"\b", "f": b"\f", "0": b"\0", "\\": b"\\", "'": b"'", '"': b'"'}


def _bytes(value: object) -> bytes:
    r"""Convert an option's value to bytes, with common escapes, octal `\\ooo` and hex `\\xhh` or `0xhh`, as documented."""
    text = str(value)
    if re.fullmatch(r"(?:0x[0-9A-Fa-f]{2})+", text):
        return bytes.fromhex(text.replace("0x", ""))

    def one(match: re.Match[str]) -> str:
        body = match.group(1)
        if body[0] == "x":
            return chr(int(body[1:], 16))
        if body.isdigit() and len(body) == 3:
            return chr(int(body, 8))
        return _ESCAPED.get(body, b"\\" + body.encode()).decode()

    return re.sub(r"\\(x[0-9A-Fa-f]{2}|[0-7]{3}|.)", one, text, flags=re.DOTALL).encode()


def _delimiter(name: str, value: object) -> bytes | None:
    if value is None or str(value).upper() == "NONE":
        return None
    text = _bytes(value)
    if not 0 < len(text) <= 20:
        raise OptionError(name, value)
    return text


def _character(name: str, value: object) -> bytes | None:
    if value is None or str(value).upper() == "NONE" or value == "":
        return None
    text = _bytes(value)
    if len(text) != 1:
        raise OptionError(name, value)
    return text
