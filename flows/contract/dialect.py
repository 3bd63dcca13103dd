"""The CSV dialect of a table's files: delimiter, quotes, encoding, header; decimal mark, dates, words for yes and no.

contract's `dialect` ──read_dialect──▶ `Dialect` ──▶ landing's check, the file format that COPY reads with, staging's casts

`file_text` holds the part that is needed to parse a file; everything that reads a landed file uses it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

LineEnd = Literal["lf", "cr"]  # lf: LF or CR LF, COPY's default; cr: CR alone

# IANA's preferred name, in lower case (https://www.iana.org/assignments/character-sets) → Python's codec.
ENCODINGS = {
    "utf-8": "utf-8",
    "utf-16": "utf-16",  # the byte-order mark is required
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    **{f"windows-{n}": f"cp{n}" for n in range(1250, 1259)},
    **{f"iso-8859-{n}": f"iso8859-{n}" for n in (*range(1, 12), *range(13, 17))},
    "ibm437": "cp437",
    "ibm850": "cp850",
    "ibm852": "cp852",
    "macintosh": "mac-roman",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "shift_jis": "shift_jis",
    "euc-jp": "euc-jp",
    "euc-kr": "euc-kr",
    "gb18030": "gb18030",
    "big5": "big5",
}
# Delimiters that contracts spell by name.
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """A CSV dialect. The defaults apply to a contract without a dialect: RFC 4180, UTF-8, a header, ISO dates, decimal point."""

    delimiter: str = ","
    quote: str = '"'  # empty: fields are not quoted, and a quote is text
    escape: str = ""  # empty: none; in quoted fields a doubled quote is a quote in any case
    encoding: str = "utf-8"  # a key of ENCODINGS
    header: bool = True
    line_end: LineEnd = "lf"
    nulls: tuple[str, ...] = ("null",)  # words that mean NULL; an empty field always does
    decimal: Literal[".", ","] = "."
    dates: str = ""  # the format of date columns without their own, as Snowflake spells it
    timestamps: str = ""
    booleans: tuple[tuple[str, str], ...] = ()  # (yes, no); empty: true and false

    @property
    def codec(self) -> str:
        """Python's name for the encoding."""
        return ENCODINGS[self.encoding]

    @property
    def sends_header(self) -> bool:
        """Whether objects contain the header. Not with CR line ends: COPY's SKIP_HEADER skips a line only up to LF."""
        return self.header and self.line_end == "lf"

    @property
    def csv(self) -> dict[str, Any]:
        """The arguments of Python's csv.reader."""
        quoting = {"quotechar": self.quote} if self.quote else {"quoting": 3, "quotechar": None}  # 3: csv.QUOTE_NONE
        return {"delimiter": self.delimiter, "escapechar": self.escape or None, "strict": True, **quoting}

    @property
    def file_text(self) -> str:
        """What is needed to parse a file, as the ledger stores it: JSON of what differs from the defaults; empty if nothing
        does."""
        differs = {k: v for k, v in asdict(self).items() if k in _IN_THE_FILE and v != _DEFAULTS[k]}
        return json.dumps(differs, ensure_ascii=False, separators=(",", ":"), sort_keys=True) if differs else ""

    def read_by(self, file_text: str) -> Dialect:
        """Return this dialect with the parsing options of a landed file, perhaps from another version of the contract."""
        stored = json.loads(file_text) if file_text else {}
        said = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return replace(self, **{k: said.get(k, _DEFAULTS[k]) for k in _IN_THE_FILE})

    def file_format(self, name: str) -> str:
        """Return the name of the Snowflake file format for COPY: `name` itself, or if the options are not the default with a
        hash of them."""
        options = [getattr(self, k) for k in _IN_THE_FORMAT]
        if options == [_DEFAULTS[k] for k in _IN_THE_FORMAT]:
            return name
        return f"{name}_{hashlib.sha256(json.dumps(options).encode()).hexdigest()[:8].upper()}"

    @property
    def format_comment(self) -> str:
        """A description of the Snowflake file format."""
        by = DELIMITERS.get(self.delimiter, self.delimiter).capitalize()
        return f"{by}-separated UTF-8 with{'' if self.header else 'out'} a header"

    @property
    def summary(self) -> str:
        """How the dialect differs from the default, in words; empty if it does not."""
        said = {k: v for k, v in asdict(self).items() if v != _DEFAULTS[k]}
        words = {
            "delimiter": f"separated by {DELIMITERS.get(self.delimiter, self.delimiter)}",
            "quote": f"quoted by {self.quote}" if self.quote else "without quotes",
            "escape": f"escaped by {self.escape}",
            "encoding": self.encoding,
            "header": "without a header",
            "line_end": "lines end in CR",
            "nulls": f"NULL: an empty field{''.join(f', {word}' for word in self.nulls)}",
            "decimal": "decimal comma",
            "booleans": f"yes and no: {', '.join('/'.join(pair) for pair in self.booleans)}",
        }
        return ", ".join(words[key] for key in words if key in said)


PLAIN = Dialect()  # the dialect of a contract without one
_DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(Dialect)}
_IN_THE_FILE = ("delimiter", "quote", "escape", "encoding", "header", "line_end", "nulls")
_IN_THE_FORMAT = tuple(k for k in _IN_THE_FILE if k != "encoding")  # landing sends UTF-8
