"""The first bytes of a file → what it seems to be written in: encoding, delimiter, quote. A guess, for messages and drafts."""

from __future__ import annotations

import codecs
import re

from flows.contract.dialect import DELIMITERS

_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Of the bytes 0x80 to 0x9f, Latin-1 has controls where Windows has letters and quotes.
_WINDOWS = re.compile(rb"[\x80\x82-\x8c\x8e\x91-\x9c\x9e\x9f]")
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")


def encoding_of(data: bytes, whole: bool = False) -> str:
    """As `dialect.ENCODINGS` names it; `data` may end within a character unless it is the `whole` file."""
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
    """What separates the fields of a header; the comma where nothing does."""
    outside = re.sub(f"{quote}[^{quote}]*{quote}", "", line) if quote else line
    counts = {mark: outside.count(mark) for mark in DELIMITERS}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","


def quote_of(text: str, delimiter: str) -> str:
    """The quote that fields are enclosed in: double, unless single ones stand at both ends of fields and double ones never."""
    edge = re.escape(delimiter)
    enclosed = rf"(?:^|{edge})'(?:[^'\n]|'')*'(?=$|{edge}|\r)"
    doubled = re.search(rf'(?:^|{edge})"', text, re.M)
    return "'" if not doubled and re.search(enclosed, text, re.M) else '"'
