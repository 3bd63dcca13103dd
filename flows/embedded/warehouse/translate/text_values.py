"""Snowflake's functions of texts that DuckDB lacks or has otherwise: SOUNDEX, PARSE_URL, TRANSLATE …

DuckDB ──native function──▶ here: texts and numbers in, a text or a number out; NULL for NULL

https://docs.snowflake.com/en/sql-reference/functions-string
"""

from __future__ import annotations

import binascii
import hashlib
import math
import re
import uuid
from base64 import b64decode
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import Any
from urllib.parse import urlsplit

from flows.embedded.warehouse.translate.json_values import dumps, fail


def pad(text: str | None, size: int | None, by: str | None, left: bool) -> str | None:
    """LPAD and RPAD: nothing is added of an empty text, nothing is left where the size is not positive."""
    if text is None or size is None or by is None:
        return None
    if size <= 0:
        return ""
    missing = size - len(text)
    if missing <= 0:
        return text[:size]
    added = (by * (missing // len(by) + 1))[:missing] if by else ""
    return added + text if left else text + added


def tokens(text: str | None, separators: str | None) -> list[str] | None:
    """The pieces of STRTOK_SPLIT_TO_TABLE: each character separates, and nothing empty is left."""
    if text is None or separators is None:
        return None
    return [t for t in re.split("[" + re.escape(separators) + "]", text) if t] if separators else [text]


def soundex(text: str | None) -> str | None:
    """SOUNDEX (https://docs.snowflake.com/en/sql-reference/functions/soundex)."""
    if text is None:
        return None
    codes = {c: str(n) for n, letters in enumerate(("BFPV", "CGJKQSXZ", "DT", "L", "MN", "R"), 1) for c in letters}
    letters = [c for c in text.upper() if "A" <= c <= "Z"]
    if not letters:
        return ""
    made, last = letters[0], codes.get(letters[0], "")
    for letter in letters[1:]:
        code = codes.get(letter, "")
        if code and code != last:
            made += code
        if letter not in "HW":
            last = code
    return (made + "000")[:4]


def sha2(text: str | None, size: int | None) -> str | None:
    """SHA2 of a text's UTF-8."""
    if text is None or size is None:
        return None
    if size not in (224, 256, 384, 512):
        raise fail(f"SHA2 with a digest of {size} bits")
    return hashlib.new(f"sha{size}", text.encode()).hexdigest()


def decoded(text: str | None, kind: str, attempt: bool) -> str | None:
    """HEX_DECODE_STRING and BASE64_DECODE_STRING, with TRY_ NULL for what is none."""
    if text is None:
        return None
    try:
        return (bytes.fromhex(text) if kind == "HEX" else b64decode(text, validate=True)).decode()
    except (ValueError, binascii.Error) as e:
        if attempt:
            return None
        what = "hexadecimal" if kind == "HEX" else "base64-encoded"
        raise fail(f"The following string is not a legal {what} value: '{text}'", 100115, "22000") from e


def decoded_binary(text: str | None, kind: str, attempt: bool) -> bytes | None:
    """HEX_DECODE_BINARY and BASE64_DECODE_BINARY, with TRY_ NULL for what is none."""
    if text is None:
        return None
    value = try_binary(text, kind)
    if value is None and not attempt:
        what = "hexadecimal" if kind == "HEX" else "base64-encoded"
        raise fail(f"The following string is not a legal {what} value: '{text}'", 100115, "22000")
    return value


def translated(text: str | None, source: str | None, target: str | None) -> str | None:
    """TRANSLATE (https://docs.snowflake.com/en/sql-reference/functions/translate)."""
    if text is None or source is None or target is None:
        return None
    if len(target) > len(source):
        raise fail(f"String '{target}' is too long and would be truncated.", 100078, "22000")
    table: dict[int, str | None] = {}
    for place, character in enumerate(source):
        table.setdefault(ord(character), target[place] if place < len(target) else None)
    return text.translate(table)


def parsed_url(text: str | None, permissive: int | None) -> str | None:
    """PARSE_URL (https://docs.snowflake.com/en/sql-reference/functions/parse_url)."""
    if text is None or permissive is None:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = None, None
    if parts is None or not parts.scheme:
        what = "Error parsing URL: scheme not specified"
        if permissive:
            return dumps({"error": what})
        raise fail(what, 100139, "22000")
    names: dict[str, Any] = {}
    for pair in parts.query.split("&") if parts.query else []:
        key, _, value = pair.partition("=")
        names[key] = value
    return dumps({
        "fragment": parts.fragment or None, "host": parts.netloc.rpartition("@")[2].partition(":")[0] or None,
        "parameters": names or None, "path": parts.path.lstrip("/") or None, "port": str(port) if port else None,
        "query": parts.query or None, "scheme": parts.scheme,
    })  # fmt: skip


def version5(space: str | None, name: str | None) -> str | None:
    """UUID_STRING(<uuid>, <name>)."""
    if space is None or name is None:
        return None
    try:
        return str(uuid.uuid5(uuid.UUID(space), name))
    except ValueError as e:
        raise fail(f"Invalid UUID format: {space}", 100200, "22000") from e


def cube_root(value: float | None) -> float | None:
    """CBRT, exact where the root is whole."""
    if value is None:
        return None
    root = math.cbrt(value)
    return float(round(root)) if abs(root) < 1e15 and round(root) ** 3 == value else root


def rounded(name: str | None, number: str | None, digits: int | None) -> str | None:
    """ROUND or TRUNC of a decimal to digits that differ from row to row."""
    if name is None or number is None or digits is None:
        return None
    how = ROUND_HALF_UP if name == "ROUND" else ROUND_DOWN
    value = Decimal(number)
    exponent = max(-digits, int(value.as_tuple().exponent))
    return f"{value.quantize(Decimal(1).scaleb(exponent), how, Context(prec=80)):f}"


def try_binary(text: str | None, format_: str | None) -> bytes | None:
    """TRY_TO_BINARY."""
    if text is None or format_ is None:
        return None
    try:
        if format_.upper() == "HEX":
            return bytes.fromhex(text) if " " not in text else None
        return b64decode(text, validate=True) if format_.upper() == "BASE64" else text.encode()
    except (ValueError, binascii.Error):
        return None


def bucket(value: float | None, least: float | None, most: float | None, count: int | None) -> int | None:
    """WIDTH_BUCKET."""
    if value is None or least is None or most is None or count is None:
        return None
    if count < 1:
        raise fail(f"Invalid number of buckets: {count} (a positive whole number is expected)", 100050, "22023")
    if least >= most:
        raise fail(f"WIDTH_BUCKET from {least:g} to {most:g} (the first has to be less than the second)")
    if value < least:
        return 0
    return count + 1 if value >= most else int((value - least) / (most - least) * count) + 1


_T, _N = "VARCHAR", "BIGINT"
FUNCTIONS: tuple[tuple[str, Any, tuple[str, ...], str], ...] = (
    ("_cxm_pad", pad, (_T, _N, _T, "BOOLEAN"), _T),
    ("_cxm_tokens", tokens, (_T, _T), f"{_T}[]"),
    ("_cxm_soundex", soundex, (_T,), _T),
    ("_cxm_sha2", sha2, (_T, _N), _T),
    ("_cxm_decoded", decoded, (_T, _T, "BOOLEAN"), _T),
    ("_cxm_parsed_url", parsed_url, (_T, _N), _T),
    ("_cxm_uuid5", version5, (_T, _T), _T),
    ("_cxm_cube_root", cube_root, ("DOUBLE",), "DOUBLE"),
    ("_cxm_rounded", rounded, (_T, _T, _N), _T),
    ("_cxm_try_binary", try_binary, (_T, _T), "BLOB"),
    ("_cxm_decoded_binary", decoded_binary, (_T, _T, "BOOLEAN"), "BLOB"),
    ("_cxm_translated", translated, (_T, _T, _T), _T),
    ("_cxm_bucket", bucket, ("DOUBLE", "DOUBLE", "DOUBLE", _N), _N),
)
