"""Guesses a file's encoding, delimiter and quote from its first bytes, for messages and drafts."""

from __future__ import annotations

import codecs
import re

from flows.contract.dialect import DELIMITERS

_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# The bytes 0x80 to 0x9f are control characters in Latin-1, but letters and quotes in Windows-1252.
_WINDOWS = re.compile(rb"[\x80\x82-\x8c\x8e\x91-\x9c\x9e\x9f]")
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")


def encoding_of(data: bytes, whole: bool = False) -> str:
    """Guess the encoding, as `dialect.ENCODINGS` names it. Unless `data` is the `whole` file, it may end within a character."""
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return name
    if len(data) > 1:
        even, odd = data[0::2].count(0), data[1::2].count(0)
        if max(even, odd) > len(data) // 8:  # Latin letters: every second byte is zero
            return "utf-16le" if odd > even else "utf-16be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=whole)
    except UnicodeDecodeError:
        return "iso-8859-1" if _UNDEFINED.search(data) and not _WINDOWS.search(data) else "windows-1252"
    return "utf-8"


def delimiter_of(line: str, quote: str = '"') -> str:
    """Guess the delimiter of a header's fields; a comma if it has none."""
    outside = re.sub(f"{quote}[^{quote}]*{quote}", "", line) if quote else line
    counts = {mark: outside.count(mark) for mark in DELIMITERS}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","


def quote_of(text: str, delimiter: str) -> str:
    """Guess the quote around fields: double, unless fields begin and end with single quotes and none begins with a double one."""
    edge = re.escape(delimiter)
    enclosed = rf"(?:^|{edge})'(?:[^'\n]|'')*'(?=$|{edge}|\r)"
    doubled = re.search(rf'(?:^|{edge})"', text, re.M)
    return "'" if not doubled and re.search(enclosed, text, re.M) else '"'
