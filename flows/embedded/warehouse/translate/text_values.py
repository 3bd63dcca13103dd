"""Snowflake's functions of texts that DuckDB lacks or has otherwise: SOUNDEX, PARSE_URL, REGEXP_REPLACE from a position …

DuckDB ──native function──▶ here: texts and numbers in, a text or a number out; NULL for NULL

https://docs.snowflake.com/en/sql-reference/functions-string, …/functions-regexp
"""

from __future__ import annotations

import binascii
import hashlib
import math
import re
import uuid
from base64 import b64decode
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from flows.embedded.warehouse.translate.json_values import dumps, fail

_POSIX = {
    "[:alpha:]": "a-zA-Z", "[:digit:]": "0-9", "[:alnum:]": "a-zA-Z0-9", "[:space:]": r"\s", "[:upper:]": "A-Z",
    "[:lower:]": "a-z", "[:punct:]": re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), "[:blank:]": " \t",
    "[:xdigit:]": "0-9A-Fa-f", "[:word:]": r"\w", "[:cntrl:]": r"\x00-\x1f\x7f", "[:print:]": r"\x20-\x7e",
    "[:graph:]": r"\x21-\x7e",
}  # fmt: skip


@lru_cache(maxsize=512)
def pattern(text: str, parameters: str = "c") -> re.Pattern[str]:
    """A POSIX pattern with its parameters (https://docs.snowflake.com/en/sql-reference/functions-regexp#label-regexp-parameters-argument)."""
    flags = re.ASCII
    for parameter in parameters:
        if parameter in "ims":
            flags |= {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}[parameter]
        elif parameter == "c":
            flags &= ~re.IGNORECASE
        elif parameter != "e":
            raise fail(f"Invalid regular expression parameter: '{parameter}'", 100050, "22000")
    for name, characters in _POSIX.items():
        text = text.replace(name, characters)
    try:
        return re.compile(text, flags)
    except re.error as e:
        raise fail(f"Invalid regular expression: '{text}', {e}", 100048, "2201B") from e


def _none(*values: Any) -> bool:
    return any(value is None for value in values)


def regexp_replace(
    subject: str | None,
    text: str | None,
    by: str | None,
    position: int | None,
    occurrence: int | None,
    parameters: str | None,
) -> str | None:
    """REGEXP_REPLACE: from a position, one occurrence or (0) all of them; \\1 is a group."""
    if subject is None or text is None or by is None or position is None or occurrence is None or parameters is None:
        return None
    if not text:
        return subject
    made = re.sub(r"\\(\d)", r"\\g<\1>", re.sub(r"\\(?!\d)", r"\\\\", by))
    head, tail = subject[: position - 1], subject[position - 1 :]
    found = pattern(text, parameters)
    if not occurrence:
        return head + found.sub(made, tail)
    for number, match in enumerate(found.finditer(tail), 1):
        if number == occurrence:
            return head + tail[: match.start()] + match.expand(made) + tail[match.end() :]
    return subject


def _matches(subject: str, text: str, position: int, parameters: str) -> list[re.Match[str]]:
    return list(pattern(text, parameters).finditer(subject, position - 1)) if text else []


def _wanted(group: int, parameters: str, found: re.Pattern[str]) -> int:
    """The group to return: the one that was named, the first where e asks for one, else the whole match."""
    return group if group >= 0 else 1 if "e" in parameters and found.groups else 0


def regexp_substr(
    subject: str | None,
    text: str | None,
    position: int | None,
    occurrence: int | None,
    parameters: str | None,
    group: int | None,
) -> str | None:
    """REGEXP_SUBSTR; `group` is 0 for the whole match, -1 where e or a group is not given."""
    if subject is None or text is None or position is None or occurrence is None or parameters is None or group is None:
        return None
    found = _matches(subject, text, position, parameters)
    if len(found) < occurrence:
        return None
    match = found[occurrence - 1]
    wanted = _wanted(group, parameters, match.re)
    return match[wanted] if wanted <= match.re.groups else None


def regexp_substr_all(
    subject: str | None,
    text: str | None,
    position: int | None,
    occurrence: int | None,
    parameters: str | None,
    group: int | None,
) -> str | None:
    """REGEXP_SUBSTR_ALL, as JSON."""
    if subject is None or text is None or position is None or occurrence is None or parameters is None or group is None:
        return None
    found = _matches(subject, text, position, parameters)[occurrence - 1 :]
    wanted = _wanted(group, parameters, pattern(text, parameters))
    return dumps([match[wanted] for match in found])


def regexp_instr(
    subject: str | None, text: str | None, position: int | None, occurrence: int | None, option: int | None,
    parameters: str | None, group: int | None,
) -> int | None:  # fmt: skip
    """REGEXP_INSTR: where the match begins, or (option 1) the character behind it; 0 where there is none."""
    if subject is None or text is None or position is None or occurrence is None or option is None:
        return None
    found = _matches(subject, text, position, parameters or "c")
    if len(found) < occurrence:
        return 0
    match, wanted = found[occurrence - 1], group if group and group > 0 else (1 if "e" in (parameters or "") else 0)
    wanted = wanted if wanted <= match.re.groups else 0
    return (match.end(wanted) if option else match.start(wanted)) + 1


def regexp_count(subject: str | None, text: str | None, position: int | None, parameters: str | None) -> int | None:
    """REGEXP_COUNT."""
    if subject is None or text is None or position is None:
        return None
    return len(_matches(subject, text, position, parameters or "c"))


def regexp_like(subject: str | None, text: str | None, parameters: str | None) -> bool | None:
    """REGEXP_LIKE and RLIKE, which match the whole subject."""
    if subject is None or text is None:
        return None
    return pattern(text, parameters or "c").fullmatch(subject) is not None


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
    if value < least:
        return 0
    return count + 1 if value >= most else int((value - least) / (most - least) * count) + 1


_T, _N = "VARCHAR", "BIGINT"
FUNCTIONS: tuple[tuple[str, Any, tuple[str, ...], str], ...] = (
    ("_cxm_regexp_replace", regexp_replace, (_T, _T, _T, _N, _N, _T), _T),
    ("_cxm_regexp_substr", regexp_substr, (_T, _T, _N, _N, _T, _N), _T),
    ("_cxm_regexp_substr_all", regexp_substr_all, (_T, _T, _N, _N, _T, _N), _T),
    ("_cxm_regexp_instr", regexp_instr, (_T, _T, _N, _N, _N, _T, _N), _N),
    ("_cxm_regexp_count", regexp_count, (_T, _T, _N, _T), _N),
    ("_cxm_regexp_like", regexp_like, (_T, _T, _T), "BOOLEAN"),
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
    ("_cxm_bucket", bucket, ("DOUBLE", "DOUBLE", "DOUBLE", _N), _N),
)
