"""Rewrites text functions, where DuckDB's or sqlglot's differ from Snowflake's, as calls of functions in `native` or of macros.

call ──rewritten──▶ REGEXP_REPLACE(S, P, R, 2) → _cxm_regexp_replace(S, P, R, 2, 0, 'c')

DuckDB computes what it does as documented, such as REGEXP_REPLACE without a position: that is many times faster.
https://docs.snowflake.com/en/sql-reference/functions-string, …/functions-regexp
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import bit_functions, encodings
from flows.embedded.warehouse.translate.native_calls import (
    as_number,
    as_text,
    has_any,
    is_binary,
    native,
)


def _padded(node: Expr) -> Expr:
    fill, size = node.args.get("fill_pattern"), node.args.get("expression")
    if is_binary(node.this):
        return _of_binary("LPAD" if node.args.get("is_left") else "RPAD", node, size, other=fill)
    plain = fill is None or (isinstance(fill, exp.Literal) and bool(fill.name))
    if plain:
        return node
    left = exp.Boolean(this=bool(node.args.get("is_left")))
    return native("pad", as_text(node.this), as_number(size, 0), as_text(fill or exp.Literal.string(" ")), left)


def _replaced(node: Expr) -> Expr:
    if not has_any(node, "position", "occurrence", "modifiers"):
        return node
    by = node.args.get("replacement") or exp.Literal.string("")
    return native(
        "regexp_replace", as_text(node.this), as_text(node.expression), as_text(by), as_number(node.args.get("position"), 1),
        as_number(node.args.get("occurrence"), 0), node.args.get("modifiers") or exp.Literal.string("c"),
    )  # fmt: skip


def _all_matches(node: Expr) -> Expr:
    group = node.args.get("group")
    parameters = node.args.get("parameters")
    given = isinstance(group, exp.Literal) and group.name != "0"  # with e and no group, the first group
    made = native(
        "regexp_substr_all", as_text(node.this), as_text(node.expression), as_number(node.args.get("position"), 1),
        as_number(node.args.get("occurrence"), 1), parameters or exp.Literal.string("c"),
        as_number(group, 0) if given and group is not None else exp.Literal.number(-1),
    )  # fmt: skip
    return exp.Anonymous(this="_cxm_as_json", expressions=[made])


def _check_place(place: Expr | None, what: str = "position") -> None:
    if isinstance(place, exp.Literal) and int(place.name) < 1:
        raise errors.not_positive(what, int(place.name))


_EMPTY = exp.Anonymous(this="from_hex", expressions=[exp.Literal.string("")])


def _of_binary(name: str, node: Expr, a: Expr | None = None, b: Expr | None = None, other: Expr | None = None) -> Expr:
    numbers = [as_number(part, 0) for part in (a, b)]
    return native("of_binary", exp.Literal.string(name), node.this, *numbers, other or _EMPTY.copy())


def _side(name: str) -> Callable[[Expr], Expr]:
    """Return the rewriting of LEFT and RIGHT of bytes (https://docs.snowflake.com/en/sql-reference/functions/left#returns)."""
    return lambda node: _of_binary(name, node, node.expression) if is_binary(node.this) else node


def _reversed(node: Expr) -> Expr:
    return _of_binary("REVERSE", node) if is_binary(node.this) else node


def _holds(name: str) -> Callable[[Expr], Expr]:
    """Return the rewriting of CONTAINS, STARTSWITH and ENDSWITH of bytes
    (https://docs.snowflake.com/en/sql-reference/functions/contains#arguments)."""

    def made(node: Expr) -> Expr:
        if not is_binary(node.this) or not is_binary(node.expression):
            return node
        one = exp.Literal.number(1)
        found = native("binary_place", exp.Literal.string(name), node.this, node.expression, one)
        return exp.paren(exp.EQ(this=found, expression=one.copy()))

    return made


def _position(node: Expr) -> Expr:
    """Rewrite POSITION and CHARINDEX of bytes (https://docs.snowflake.com/en/sql-reference/functions/position#arguments)."""
    part = node.args["substr"]
    if not is_binary(node.this) or not is_binary(part):
        return node
    start = as_number(node.args.get("position"), 1)
    return native("binary_place", exp.Literal.string("POSITION"), node.this, part, start)


def _upper(node: Expr) -> Expr:
    """Rewrite UPPER so that ß becomes SS, as in Unicode; the engine makes it a capital ẞ."""
    if isinstance(node.this, exp.Literal) and "ß" not in node.this.name:
        return node
    if isinstance(node.this, (exp.JSONExtract, exp.JSONExtractScalar, exp.Bracket)):
        return node
    both = [exp.Literal.string(text) for text in ("ß", "ss")]
    node.set("this", exp.Anonymous(this="replace", expressions=[exp.cast(node.this, "VARCHAR"), *both]))
    return node


def _character(node: Expr) -> Expr:
    code = node.expressions[0]
    if isinstance(code, exp.Literal) and not code.is_string and int(code.name) < 0xD800:
        return node
    return native("character", as_number(code, 0))


def _distance(node: Expr) -> Expr:
    """Replace a maximum below 0 in EDITDISTANCE with 0
    (https://docs.snowflake.com/en/sql-reference/functions/editdistance#arguments)."""
    most = node.args.get("max_dist")
    if most is not None:
        node.set("max_dist", exp.func("greatest", most, exp.Literal.number(0)))
    return node


def _stuffed(node: Expr) -> Expr:
    return native(
        "inserted",
        as_text(node.this),
        as_number(node.args["start"], 1),
        as_number(node.args["length"], 0),
        as_text(node.expression),
    )


def _place(node: Expr) -> Expr:
    """Rewrite REGEXP_INSTR with parameters or a group
    (https://docs.snowflake.com/en/sql-reference/functions/regexp_instr#arguments)."""
    if not has_any(node, "parameters", "group"):
        _check_place(node.args.get("position"))
        return node
    return native(
        "regexp_instr", as_text(node.this), as_text(node.expression), as_number(node.args.get("position"), 1),
        as_number(node.args.get("occurrence"), 1), as_number(node.args.get("option"), 0),
        node.args.get("parameters") or exp.Literal.string("c"), as_number(node.args.get("group"), 0),
    )  # fmt: skip


def _translated(node: Expr) -> Expr:
    return native("translated", as_text(node.this), as_text(node.args["from_"]), as_text(node.args["to"]))


def _first_of(node: Expr) -> Expr:
    """Rewrite REGR_VALX and REGR_VALY, whose type is FLOAT
    (https://docs.snowflake.com/en/sql-reference/functions/regr_valy#returns)."""
    y, x = (exp.cast(part, "DOUBLE") for part in (node.this, node.expression))
    value, other = (y, x) if isinstance(node, exp.RegrValy) else (x, y)
    is_set = exp.Not(this=exp.Is(this=other, expression=exp.null()))
    return exp.Case(ifs=[exp.If(this=is_set, true=value)])


def _similar(node: Expr) -> Expr:
    """Rewrite JAROWINKLER_SIMILARITY: a whole number of hundredths, truncated; case is ignored."""
    both = [exp.Anonymous(this="upper", expressions=[part]) for part in (node.this, node.expression)]
    return native("hundredths", exp.Anonymous(this="jaro_winkler_similarity", expressions=both))


def _bucket(node: Expr) -> Expr:
    numbers = [
        exp.Anonymous(this="_cxm_double", expressions=[node.args[k]]) for k in ("this", "min_value", "max_value")
    ]
    return native("bucket", *numbers, as_number(node.args["num_buckets"], 0))


def _url(node: Expr) -> Expr:
    made = native("parsed_url", as_text(node.this), as_number(node.args.get("permissive"), 0))
    return exp.Anonymous(this="_cxm_as_json", expressions=[made])


def _count(node: Expr) -> Expr:
    """Rewrite COUNT(A, B): the rows in which none is NULL (https://docs.snowflake.com/en/sql-reference/functions/count)."""
    if isinstance(node.this, exp.Column) and isinstance(node.this.this, exp.Star):
        raise errors.unsupported(f"COUNT({node.this.sql(dialect='snowflake')})")
    if not node.expressions:
        return node
    none = exp.and_(
        *[exp.Not(this=exp.Is(this=part.copy(), expression=exp.null())) for part in [node.this, *node.expressions]]
    )
    node.set("this", exp.Case(ifs=[exp.If(this=none, true=exp.Literal.number(1))]))
    node.set("expressions", None)
    return node


def _substring(node: Expr) -> Expr:
    """Rewrite SUBSTR: a start before the first character gives an empty text
    (https://docs.snowflake.com/en/sql-reference/functions/substr)."""
    start, length = node.args.get("start"), node.args.get("length")
    if is_binary(node.this):
        whole = exp.Literal.number(2**31)
        return _of_binary("SUBSTR", node, start or exp.Literal.number(1), whole if length is None else length)
    if start is None or isinstance(start, exp.Literal):
        return node
    return native("substr" if length is None else "substr3", node.this, start, *([] if length is None else [length]))


def _key(node: Expr) -> Expr:
    """Make a key of {'a': 1} a text, so that it keeps its case."""
    if isinstance(node.parent, exp.Struct) and isinstance(node.this, exp.Identifier):
        node.set("this", exp.Literal.string(node.this.name))
    return node


def _regexp_substr(node: Expr) -> Expr:
    """Rewrite REGEXP_SUBSTR: a constant position is checked here, any other one when the statement runs."""
    places = [node.args.get(k) for k in ("position", "occurrence")]
    if all(p is None or isinstance(p, exp.Literal) for p in places) and isinstance(node.expression, exp.Literal):
        for what, place in zip(("position", "occurrence"), places, strict=True):
            _check_place(place, what)
        return node
    group = node.args.get("group")
    given = node.args.get("parameters") is not None or (isinstance(group, exp.Literal) and group.name != "0")
    return native(
        "regexp_substr", as_text(node.this), as_text(node.expression), *(as_number(p, 1) for p in places),
        node.args.get("parameters") or exp.Literal.string("c"), as_number(group, 0) if given else exp.Literal.number(-1),
    )  # fmt: skip


def _counted(node: Expr) -> Expr:
    _check_place(node.args.get("position"))
    return node


REWRITTEN: dict[type[Expr], Callable[[Expr], Expr]] = {
    **encodings.REWRITTEN,
    **bit_functions.REWRITTEN,
    exp.Pad: _padded,
    exp.RegexpReplace: _replaced,
    exp.RegexpExtractAll: _all_matches,
    exp.JarowinklerSimilarity: _similar,
    exp.WidthBucket: _bucket,
    exp.Soundex: lambda node: native("soundex", as_text(node.this)),
    exp.Cbrt: lambda node: native("cube_root", exp.Anonymous(this="_cxm_double", expressions=[node.this])),
    exp.Stuff: _stuffed,
    exp.Upper: _upper,
    exp.Chr: _character,
    exp.Cot: lambda node: native("cotangent", native("double", node.this)),
    exp.Levenshtein: _distance,
    exp.Left: _side("LEFT"),
    exp.Right: _side("RIGHT"),
    exp.Reverse: _reversed,
    exp.Contains: _holds("CONTAINS"),
    exp.StartsWith: _holds("STARTSWITH"),
    exp.EndsWith: _holds("ENDSWITH"),
    exp.StrPosition: _position,
    exp.BitLength: lambda node: exp.paren(exp.Mul(this=native("bytes", node.this), expression=exp.Literal.number(8))),
    exp.RegexpInstr: _place,
    exp.RegexpExtract: _regexp_substr,
    exp.RegexpCount: _counted,
    exp.Translate: _translated,
    exp.RegrValx: _first_of,
    exp.RegrValy: _first_of,
    exp.ParseUrl: _url,
    exp.Count: _count,
    exp.Substring: _substring,
    exp.PropertyEQ: _key,
}
