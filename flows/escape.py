"""Escapes data for each kind of reader, so that text from a file or a contract is never interpreted as code or markup.

| reader | writer |
|---|---|
| dbt's Jinja, in YAML and in SQL | `jinja` |
| a Markdown page, artifact or table | `markdown`, `code`, `code_block`; `wrap` for the lines of a page in the repository |
| HTML: Data Docs | `html` |
| a terminal that rich writes to | `terminal` |
| a person who reads a message or a log | `visible`, `one_line` |

For SQL, use `ident` and `literal` of `flows.contract.sql`.
"""

from __future__ import annotations

import html as standard
import re
import textwrap

# The marks by which dbt decides to call Jinja; and text that dbt takes for a call, even without braces, in a test's arguments
# (add_rendered_test_kwargs in dbt/clients/jinja.py of dbt-core 1.12). Jinja turns every line end into \n and drops the last.
_JINJA = re.compile(r"\{[{%#]|[#}%]\}|^\s*(env_var|ref|var|source|doc)\s*\(.*\)\s*$|\r|\n\Z", re.S)
# Jinja reads strings as Python does, so any character can be written as its number, and the text then has none of the marks.
_IN_JINJA_STRING = re.compile(r"[\\'\"{}%#\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_BEGINS_A_BLOCK = re.compile(r"^(?=[-+](\s|$)|#{1,6}(\s|$)|---|===|~~~)")
_BEGINS_A_LIST = re.compile(r"^(\d+)([.)])(?=\s|$)")


def visible(text: str) -> str:
    r"""Escape invisible and terminal control characters in `text` as Python does: \x1b, \xa0; line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii") for c in text)


def one_line(text: str) -> str:
    """Put `text` on one line, and escape its invisible characters."""
    return visible(" ".join(text.split()))


def jinja(text: str) -> str:
    """Write `text` so that dbt renders it to `text`: unchanged, or as a Jinja string if Jinja might interpret it.

    `{% raw %}` would not do, because the text may contain its end.
    """
    if not _JINJA.search(text):
        return text
    return "{{ '" + _IN_JINJA_STRING.sub(lambda match: _numbered(match.group()), text) + "' }}"


def _numbered(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}"


def markdown(text: str) -> str:
    """Escape `text` for a paragraph or cell of GitHub's Markdown, on one line. Code spans stay; other markup, links and HTML are
    shown as text."""
    text = one_line(text)
    parts = text.split("`")
    spans = len(parts) % 2 and all(parts[1::2]) and not re.search(r"[\\|<>&]", text)
    if spans:
        parts[::2] = map(_plain, parts[::2])
    written = "`".join(parts) if spans else _plain(text)
    return _BEGINS_A_LIST.sub(r"\1\\\2", _BEGINS_A_BLOCK.sub(r"\\", written))


def _plain(text: str) -> str:
    text = re.sub(r"&(?=#|\w+;)", "&amp;", text)
    text = re.sub(r"\\(?=[!-/:-@\[-`{-~]|$)", r"\\\\", text)  # before a letter, a backslash is literal
    text = re.sub(r"[`*\[\]~|]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def code(text: str, in_table: bool = False) -> str:
    """Write `text` as a Markdown code span; in a table the bar is escaped too, since it would end the cell."""
    text = visible(text).replace("\n", "\\n").replace("\t", "\\t")
    if in_table and "\\|" in text:  # renderers differ on a backslash before an escaped bar
        return f"<code>{_plain(text)}</code>"
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|" if in_table else "|")


def code_block(text: str, language: str = "") -> str:
    """Write `text` as a Markdown code block."""
    fence = "`" * max(3, max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence}{language}\n{visible(text).rstrip()}\n{fence}"


def html(text: str) -> str:
    """Escape `text` for HTML."""
    return standard.escape(visible(text), quote=False)


def terminal(text: str) -> str:
    """Escape `text` for rich's markup, such as [bold], and its escape sequences for the terminal."""
    from rich.markup import escape

    return escape(visible(text))


def wrap(page: str, width: int = 100) -> str:
    """Wrap the paragraphs and list items of a Markdown page; tables, code, headings and HTML stay as they are."""
    wrapped: list[str] = []
    paragraph: list[str] = []
    in_code = False

    def end() -> None:
        if max(map(len, paragraph), default=0) > width:
            wrapped.extend(_wrap_paragraph(" ".join(line.strip() for line in paragraph), width))
        else:
            wrapped.extend(paragraph)
        paragraph.clear()

    for line in page.split("\n"):
        is_fence = line.startswith("```")
        if in_code or is_fence or not line or line.startswith(("|", "#", "<", "[!", "!")):
            end()
            wrapped.append(line)
        else:
            if line.startswith("- "):
                end()
            paragraph.append(line)
        in_code ^= is_fence
    end()
    return "\n".join(wrapped)


def _wrap_paragraph(text: str, width: int) -> list[str]:
    # A short code span stays on one line, and no line begins with text that would begin a list, heading or table.
    whole = re.sub(r"`[^`]{1,60}`", lambda span: span.group().replace(" ", "\0"), text)
    whole = re.sub(r"(?<=\S) (?=([-+*#>|=~]+|\d+[.)])( |$))", "\0", whole)
    lines = textwrap.wrap(
        whole,
        width,
        subsequent_indent="  " if text.startswith("- ") else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines]
