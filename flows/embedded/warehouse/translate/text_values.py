"""Snowflake's functions of texts and numbers that DuckDB lacks or computes differently: SOUNDEX, PARSE_URL, TRANSLATE …

DuckDB ──native function──▶ here: texts and numbers in, a text or a number out; NULL for NULL

https://docs.snowflake.com/en/sql-reference/functions-string
"""

from __future__ import annotations

import binascii
import hashlib
import math
import re
import uuid
from base64 import b64decode, b64encode
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Any
from urllib.parse import urlsplit

from flows.embedded.warehouse.translate.json_values import dumps, fail


def pad(text: str | None, size: int | None, by: str | None, left: bool) -> str | None:
    """Compute LPAD and RPAD: an empty `by` adds nothing; a size that is not positive leaves nothing."""
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
    """Split a text as STRTOK_SPLIT_TO_TABLE does: at each of the characters, without empty pieces."""
    if text is None or separators is None:
        return None
    return [t for t in re.split("[" + re.escape(separators) + "]", text) if t] if separators else [text]


def soundex(text: str | None) -> str | None:
    """Compute SOUNDEX (https://docs.snowflake.com/en/sql-reference/functions/soundex)."""
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
    """Compute SHA2 of a text's UTF-8."""
    if text is None or size is None:
        return None
    if size not in (224, 256, 384, 512):
        raise fail(f"SHA2 with a digest of {size} bits")
    return hashlib.new(f"sha{size}", text.encode()).hexdigest()


def decoded(text: str | None, kind: str, attempt: bool, alphabet: str | None) -> str | None:
    """Compute HEX_DECODE_STRING and BASE64_DECODE_STRING; the TRY_ forms (`attempt`) return NULL for an invalid text."""
    if text is None or alphabet is None:
        return None
    text = text.translate({ord(a): b for a, b in zip(alphabet, "+/=", strict=False)}) if kind != "HEX" else text
    try:
        return (bytes.fromhex(text) if kind == "HEX" else b64decode(text, validate=True)).decode()
    except (ValueError, binascii.Error) as e:
        if attempt:
            return None
        what = "hexadecimal" if kind == "HEX" else "base64-encoded"
        raise fail(f"The following string is not a legal {what} value: '{text}'", 100115, "22000") from e


def decoded_binary(text: str | None, kind: str, attempt: bool) -> bytes | None:
    """Compute HEX_DECODE_BINARY and BASE64_DECODE_BINARY; the TRY_ forms (`attempt`) return NULL for an invalid text."""
    if text is None:
        return None
    value = try_binary(text, kind)
    if value is None and not attempt:
        what = "hexadecimal" if kind == "HEX" else "base64-encoded"
        raise fail(f"The following string is not a legal {what} value: '{text}'", 100115, "22000")
    return value


def translated(text: str | None, source: str | None, target: str | None) -> str | None:
    """Compute TRANSLATE (https://docs.snowflake.com/en/sql-reference/functions/translate)."""
    if text is None or source is None or target is None:
        return None
    if len(target) > len(source):
        raise fail(f"String '{target}' is too long and would be truncated.", 100078, "22000")
    table: dict[int, str | None] = {}
    for place, character in enumerate(source):
        table.setdefault(ord(character), target[place] if place < len(target) else None)
    return text.translate(table)


def parsed_url(text: str | None, permissive: int | None) -> str | None:
    """Compute PARSE_URL (https://docs.snowflake.com/en/sql-reference/functions/parse_url)."""
    if text is None or permissive is None:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = None, None
    if parts is None or not parts.scheme:
        what = "scheme not specified"
        if permissive:
            return dumps({"error": what})
        raise fail(f"Error parsing URL: {what}", 100139, "22000")
    who, at, where = parts.netloc.rpartition("@")
    host = who + at + where.partition(":")[0]
    names: dict[str, Any] = {}
    for pair in parts.query.split("&") if parts.query else []:
        key, _, value = pair.partition("=")
        names[key] = value
    return dumps({
        "fragment": parts.fragment or None, "host": host or None,
        "parameters": names or None, "path": parts.path.lstrip("/") if parts.path else None, "port": str(port) if port else None,
        "query": parts.query or None, "scheme": parts.scheme,
    })  # fmt: skip


def version5(space: str | None, name: str | None) -> str | None:
    """Compute UUID_STRING(<uuid>, <name>)."""
    if space is None or name is None:
        return None
    try:
        return str(uuid.uuid5(uuid.UUID(space), name))
    except ValueError as e:
        raise fail(f"Invalid UUID format: {space}", 100200, "22000") from e


def cube_root(value: float | None) -> float | None:
    """Compute CBRT, exact where the root is whole."""
    if value is None:
        return None
    root = math.cbrt(value)
    return float(round(root)) if abs(root) < 1e15 and round(root) ** 3 == value else root


def rounded(name: str | None, number: str | None, digits: int | None) -> str | None:
    """Round a decimal (`name` is ROUND, TRUNC or HALF_TO_EVEN) to a number of digits that may differ from row to row."""
    if name is None or number is None or digits is None:
        return None
    how = {"ROUND": ROUND_HALF_UP, "HALF_TO_EVEN": ROUND_HALF_EVEN}.get(name, ROUND_DOWN)
    value = Decimal(number)
    exponent = max(-digits, int(value.as_tuple().exponent))
    return f"{value.quantize(Decimal(1).scaleb(exponent), how, Context(prec=80)):f}"


def rounded_float(name: str | None, number: float | None, digits: int | None) -> float | None:
    """Round a FLOAT in the same way; one with fewer digits is left as it is."""
    if name is None or number is None or digits is None:
        return None
    return number if not math.isfinite(number) else float(rounded(name, repr(number), digits) or 0)


def float_text(number: float | None, digits: int | None) -> str | None:
    """Write a FLOAT's exact digits, as TO_DOUBLE(1.1)::NUMBER(38, 18) has them
    (https://docs.snowflake.com/en/sql-reference/functions/to_double#examples)."""
    if number is None or digits is None:
        return None
    if not math.isfinite(number):
        raise fail(f"Number out of representable range: type FIXED, value {number}", 100046, "22003")
    return f"{Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, Context(prec=400)):f}"


def product(a: str | None, b: str | None, scale: int | None) -> str | None:
    """Multiply two NUMBERs whose exact product may have more than 38 digits
    (https://docs.snowflake.com/en/sql-reference/operators-arithmetic#multiplication)."""
    if a is None or b is None or scale is None:
        return None
    exact = Context(prec=200)
    made = exact.multiply(Decimal(a), Decimal(b)).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, exact)
    if len(made.as_tuple().digits) > 38:
        raise fail(f"Number out of representable range: type FIXED[SB16](38,{scale}), value {made}", 100046, "22003")
    return f"{made:f}"


def character(code: int | None) -> str | None:
    """Compute CHR (https://docs.snowflake.com/en/sql-reference/functions/chr#usage-notes)."""
    if code is None:
        return None
    if not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise fail(f"Invalid character code {code} in the CHR input", 100062, "22021")
    return chr(code)


def half_of_md5(text: str | None, upper: bool) -> str | None:
    """Compute the digits of MD5_NUMBER_UPPER64 and MD5_NUMBER_LOWER64."""
    if text is None:
        return None
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return str(int.from_bytes(digest[:8] if upper else digest[8:]))


def base64_text(value: bytes | None, line: int | None, alphabet: str | None) -> str | None:
    """Compute BASE64_ENCODE with a line length and an alphabet: the characters for + and /, and the padding character
    (https://docs.snowflake.com/en/sql-reference/functions/base64_encode#arguments)."""
    if value is None or line is None or alphabet is None:
        return None
    text = b64encode(value).decode().translate({ord(a): b for a, b in zip("+/=", alphabet, strict=False)})
    return "\n".join(text[i : i + line] for i in range(0, len(text), line)) if line > 0 else text


def inserted(text: str | None, at: int | None, length: int | None, new: str | None) -> str | None:
    """Compute INSERT (https://docs.snowflake.com/en/sql-reference/functions/insert#arguments)."""
    if text is None or at is None or length is None or new is None:
        return None
    if not 1 <= at <= len(text) + 1 or length < 0:
        raise fail(f"INSERT at {at} of {length} characters in a text of {len(text)}")
    return text[: at - 1] + new + text[at - 1 + length :]


def of_binary(name: str, value: bytes | None, a: int | None, b: int | None, other: bytes | None) -> bytes | None:
    """Compute LEFT, RIGHT, SUBSTR, REVERSE, LPAD and RPAD of bytes; arguments that the function does not have are 0 or empty."""
    if value is None or a is None or b is None or other is None:
        return None
    if name == "REVERSE":
        return value[::-1]
    if name in ("LEFT", "RIGHT"):
        size = max(min(a, len(value)), 0)
        return value[:size] if name == "LEFT" else value[len(value) - size :]
    if name == "SUBSTR":
        start = a - 1 if a > 0 else 0 if a == 0 else len(value) + a
        return value[start : start + max(b, 0)] if start >= 0 else b""
    if a <= 0 or len(value) >= a:
        return value[: max(a, 0)]
    added = (other * a)[: a - len(value)]
    return added + value if name == "LPAD" else value + added


def binary_place(name: str, value: bytes | None, part: bytes | None, start: int | None) -> int | None:
    """Compute POSITION of bytes in bytes: from 1, or 0 if they are missing; CONTAINS, STARTSWITH and ENDSWITH give 1 or 0."""
    if value is None or part is None or start is None:
        return None
    if name == "POSITION":
        return value.find(part, max(start - 1, 0)) + 1
    return int({"CONTAINS": part in value, "STARTSWITH": value.startswith(part)}.get(name, value.endswith(part)))


def try_binary(text: str | None, format_: str | None) -> bytes | None:
    """Compute TRY_TO_BINARY."""
    if text is None or format_ is None:
        return None
    try:
        if format_.upper() == "HEX":
            return bytes.fromhex(text) if " " not in text else None
        return b64decode(text, validate=True) if format_.upper() == "BASE64" else text.encode()
    except (ValueError, binascii.Error):
        return None


def bucket(value: float | None, least: float | None, most: float | None, count: int | None) -> int | None:
    """Compute WIDTH_BUCKET."""
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
    ("_cxm_decoded", decoded, (_T, _T, "BOOLEAN", _T), _T),
    ("_cxm_rounded_float", rounded_float, (_T, "DOUBLE", _N), "DOUBLE"),
    ("_cxm_float_text", float_text, ("DOUBLE", _N), _T),
    ("_cxm_product", product, (_T, _T, _N), _T),
    ("_cxm_character", character, (_N,), _T),
    ("_cxm_half_of_md5", half_of_md5, (_T, "BOOLEAN"), _T),
    ("_cxm_base64_text", base64_text, ("BLOB", _N, _T), _T),
    ("_cxm_inserted", inserted, (_T, _N, _N, _T), _T),
    ("_cxm_of_binary", of_binary, (_T, "BLOB", _N, _N, "BLOB"), "BLOB"),
    ("_cxm_binary_place", binary_place, (_T, "BLOB", "BLOB", _N), _N),
    ("_cxm_parsed_url", parsed_url, (_T, _N), _T),
    ("_cxm_uuid5", version5, (_T, _T), _T),
    ("_cxm_cube_root", cube_root, ("DOUBLE",), "DOUBLE"),
    ("_cxm_rounded", rounded, (_T, _T, _N), _T),
    ("_cxm_try_binary", try_binary, (_T, _T), "BLOB"),
    ("_cxm_decoded_binary", decoded_binary, (_T, _T, "BOOLEAN"), "BLOB"),
    ("_cxm_translated", translated, (_T, _T, _T), _T),
    ("_cxm_bucket", bucket, ("DOUBLE", "DOUBLE", "DOUBLE", _N), _N),
)
