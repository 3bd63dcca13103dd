"""Reads the words of statements that no SQL parser handles well: account objects, grants, session parameters.

"CREATE ROLE IF NOT EXISTS r COMMENT = 'x'" ──Words──▶ accept("CREATE", "ROLE"), name(), options()

Lexical rules: https://docs.snowflake.com/en/sql-reference/identifiers-syntax,
https://docs.snowflake.com/en/sql-reference/data-types-text (string constants).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from snowflake.connector.errors import ProgrammingError

from flows.embedded.warehouse.text.errors import syntax

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|//[^\n]*|/\*.*?\*/)
      | (?P<string>'(?:[^'\\]|\\.|'')*')
      | (?P<raw>\$\$.*?\$\$)
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<variable>(?<![\w$])\$[A-Za-z_]\w*)
      | (?P<bind>\?|(?<![:\w\])]):\w+)  # not `::type` nor `value:path`
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<word>[A-Za-z_][\w$]*)
      | (?P<mark>=>|[^\s])""",
    re.VERBOSE | re.DOTALL,
)

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}


@dataclass(frozen=True, slots=True)
class Token:
    """One lexical token; `text` as written, `start` and `end` as offsets into the statement."""

    kind: str
    text: str
    start: int
    end: int


def unescape(literal: str) -> str:
    """Return the value of a string constant with its quotes: `'it''s\\n'` → `it's` and a line feed."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "''":
            return "'"
        if match[1]:
            return chr(int(match[1], 16))
        return _ESCAPES.get(match[2], match[2])

    return re.sub(r"''|\\(?:x([0-9A-Fa-f]{2})|(.))", one, literal[1:-1], flags=re.DOTALL)


def quote(text: str) -> str:
    """Write a SQL string constant that both DuckDB and the catalogue views read back as `text`."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """Write a quoted identifier that DuckDB reads as exactly `name`."""
    return '"' + name.replace('"', '""') + '"'


def normalise(part: str) -> str:
    """Return one part of a name as Snowflake stores it: upper case unless it is in double quotes."""
    if len(part) > 1 and part.startswith('"') and part.endswith('"'):
        return part[1:-1].replace('""', '"')
    return part.upper()


def split_name(text: str) -> tuple[str, ...]:
    """Split `db."Schema".name` into ("DB", "Schema", "NAME")."""
    return tuple(normalise(part) for part in re.findall(r'"(?:[^"]|"")+"|[^."]+', text.strip()))


def scan(sql: str) -> Iterator[Token]:
    """Yield the tokens of a text, without blanks and comments."""
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "mark"
        if kind != "skip":
            yield Token(kind, match[0], match.start(), match.end())


def replaced(sql: str, kind: str, value: Callable[[str], str]) -> str:
    """Replace every token of a kind by what `value` returns for it; strings, quoted names and comments stay as they are."""
    pieces, at = [], 0
    for token in scan(sql):
        if token.kind == kind:
            pieces += [sql[at : token.start], value(token.text)]
            at = token.end
    return "".join([*pieces, sql[at:]])


class Words:
    """A cursor over the tokens of one statement; every method that reads moves past what it read.

    Tokens are made as they are asked for, so that looking at the first word of a 20 MB INSERT costs nothing.
    Raises ProgrammingError 001003 (42000) when it gets something else where it expects a name, string or word.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self._source = scan(sql)
        self._ahead: list[Token] = []

    def peek(self, offset: int = 0) -> Token | None:
        """Return the token `offset` places ahead, None after the end."""
        while len(self._ahead) <= offset:
            token = next(self._source, None)
            if token is None:
                return None
            self._ahead.append(token)
        return self._ahead[offset]

    def take(self) -> Token:
        """Return the next token and move past it."""
        token = self.peek()
        if token is None:
            raise syntax("<EOF>", len(self.sql))
        self._ahead.pop(0)
        return token

    def upper(self, offset: int = 0) -> str:
        """Return the word `offset` places ahead in upper case, or the mark; "" after the end and for strings."""
        token = self.peek(offset)
        return token.text.upper() if token and token.kind in ("word", "mark") else ""

    def sees(self, *words: str) -> bool:
        """Whether exactly these words come next."""
        return all(self.upper(i) == word for i, word in enumerate(words))

    def accept(self, *words: str) -> bool:
        """Move past these words when they come next."""
        if not self.sees(*words):
            return False
        for _ in words:
            self.take()
        return True

    def accept_any(self, *choices: str) -> str:
        """Move past the first of `choices` (each of one or more words) that comes next and return it; "" when none does."""
        for choice in choices:
            if self.accept(*choice.split()):
                return choice
        return ""

    def expect(self, *words: str) -> None:
        """Move past these words; anything else is a syntax error."""
        for word in words:
            if not self.accept(word):
                raise self.unexpected()

    def unexpected(self) -> ProgrammingError:
        """Return the syntax error for the next token."""
        token = self.peek()
        return syntax(token.text if token else "<EOF>", token.start if token else len(self.sql))

    @property
    def at_end(self) -> bool:
        """Whether nothing is left but a closing semicolon."""
        return self.peek() is None or (self.upper() == ";" and self.peek(1) is None)

    def finish(self) -> None:
        """Require the end of the statement."""
        if not self.at_end:
            raise self.unexpected()

    def part(self) -> str:
        """Read one identifier, normalised; a string constant is accepted too, as Snowflake does for account objects."""
        token = self.take()
        if token.kind == "quoted":
            return normalise(token.text)
        if token.kind == "word":
            return token.text.upper()
        if token.kind == "string":
            return unescape(token.text)
        raise syntax(token.text, token.start)

    def name(self) -> tuple[str, ...]:
        """Read a name of one to three parts, IDENTIFIER('…') included
        (https://docs.snowflake.com/en/sql-reference/identifier-literal)."""
        if self.accept("IDENTIFIER", "("):
            text = self.string()
            self.expect(")")
            return split_name(text)
        parts = [self.part()]
        while self.accept("."):
            if self.sees("."):  # db..table: the schema in the middle is PUBLIC
                parts.append("PUBLIC")
                continue
            parts.append(self.part())
        return tuple(parts)

    def string(self) -> str:
        """Read a string constant, and return its value."""
        token = self.take()
        if token.kind == "string":
            return unescape(token.text)
        if token.kind == "raw":
            return token.text[2:-2]
        raise syntax(token.text, token.start)

    def value(self) -> object:
        """Read an option's value: string, number, TRUE/FALSE, NULL or NONE (None), word, dotted name, list or nested options."""
        token = self.peek()
        if token is None:
            raise self.unexpected()
        if token.kind in ("string", "raw"):
            return self.string()
        if token.kind == "number":
            self.take()
            return float(token.text) if "." in token.text else int(token.text)
        if token.text == "(":
            self.take()
            if self.peek(1) and self.upper(1) == "=":
                value: object = self.options(end=")")
            else:
                items: list[object] = []
                while not self.sees(")"):
                    items.append(self.value())
                    self.accept(",")
                value = items
            self.expect(")")
            return value
        if token.kind not in ("word", "quoted"):
            raise self.unexpected()
        text = self.take().text
        while self.sees("."):
            self.take()
            text += "." + self.take().text
        upper = text.upper()
        if upper in ("TRUE", "FALSE"):
            return upper == "TRUE"
        if upper in ("NONE", "NULL"):
            return None
        return text if '"' in text else upper

    def options(self, end: str = "") -> dict[str, object]:
        """Read `KEY = value …` up to the end (or the mark `end`), keys in upper case; commas between them are optional."""
        options: dict[str, object] = {}
        while not self.at_end and not (end and self.sees(end)):
            if self.accept(","):
                continue
            token = self.take()
            if token.kind != "word":
                raise syntax(token.text, token.start)
            if token.text.upper() in ("WITH", "TAG") and not self.sees("="):
                if self.sees("("):
                    options["TAG"] = self.tags()
                continue
            self.expect("=")
            options[token.text.upper()] = self.value()
        return options

    def tags(self) -> dict[str, str]:
        """Read `(name = 'value', …)` of a WITH TAG clause."""
        tags: dict[str, str] = {}
        self.expect("(")
        while not self.accept(")"):
            key = ".".join(self.name())
            self.expect("=")
            tags[key] = self.string()
            self.accept(",")
        return tags


def accept_create_prefix(words: Words) -> bool:
    """Move past CREATE [OR REPLACE]; returns whether OR REPLACE was there."""
    words.expect("CREATE")
    return words.accept("OR", "REPLACE")


def like(pattern: str, text: str) -> bool:
    """SQL LIKE with % and _, ignoring case, as SHOW … LIKE does."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)  # \_ and \% stand for themselves
    regex = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c[-1]) for c in parts)
    return re.fullmatch(regex, text, re.IGNORECASE | re.DOTALL) is not None
