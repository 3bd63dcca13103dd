"""Builds SQL text safely: `ident()` for names, `literal()` for values, and the templates under `sql/` that use both.

Identifiers in RAW are unquoted and upper case (https://docs.snowflake.com/en/sql-reference/identifiers-syntax), so a name that
would need quotes, such as a reserved word, is refused rather than quoted.
"""

from __future__ import annotations

import re
from functools import cache

import jinja2

from flows.contract.reserved import RESERVED
from flows.errors import ConfigurationError
from flows.project import SQL

_IDENTIFIER = re.compile(r"[A-Z_][A-Z0-9_$]{0,254}")


def ident(name: str) -> str:
    """Return `name`, checked to be valid as an unquoted identifier.

    Raises:
        ConfigurationError: the name is not made of upper case letters, digits, `_` and `$`, beginning with a letter or `_`; or it
            is a reserved word.
    """
    if not _IDENTIFIER.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be used unquoted as a Snowflake name; expected upper case letters, digits, _ or $, not beginning "
            "with a digit, at most 255 characters"
        )
    if name in RESERVED:
        raise ConfigurationError(
            f"{name} is a reserved word and cannot be used unquoted as a Snowflake name; expected another name, such as {name}_ "
            "(https://docs.snowflake.com/en/sql-reference/reserved-keywords)"
        )
    return name


_ESCAPED = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"})


def literal(value: str) -> str:
    """Write `value` as a single-quoted string constant. The quote and the backslash are escape characters in Snowflake
    (https://docs.snowflake.com/en/sql-reference/data-types-text#single-quoted-string-constants)."""
    return f"'{value.translate(_ESCAPED)}'"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SQL),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    environment.filters.update(ident=ident, literal=literal)
    return environment


def template(name: str, **values: object) -> str:
    """Render the template `sql/<name>`; a missing value is an error."""
    return _environment().get_template(name).render(**values).strip().removesuffix(";")
