"""Functions of texts as Snowflake has them, where DuckDB's or sqlglot's differ: as calls of `text_values`.

call ──rewritten──▶ REGEXP_REPLACE(S, P, R, 2) → _cxm_regexp_replace(S, P, R, 2, 0, 'c')

What DuckDB does as documented, such as REGEXP_REPLACE without a position, is left to it: that is many times faster.
https://docs.snowflake.com/en/sql-reference/functions-string, …/functions-regexp
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.typed_nodes import type_of


def _native(name: str, *arguments: Expr) -> exp.Anonymous:
    return exp.Anonymous(this=f"_cxm_{name}", expressions=list(arguments))


def _text(value: Expr) -> Expr:
    """An expression as a text argument of a Python function; a constant is left alone."""
    return (
        value
        if isinstance(value, exp.Literal) and value.is_string
        else exp.Anonymous(this="_cxm_digits_of", expressions=[value])
    )


def _number(value: Expr | None, default: int) -> Expr:
    if value is None:
        return exp.Literal.number(default)
    return value if isinstance(value, exp.Literal) else exp.Anonymous(this="_cxm_int64", expressions=[value])


def _given(node: Expr, *names: str) -> bool:
    return any(node.args.get(name) is not None for name in names)


def _padded(node: Expr) -> Expr:
    fill, size = node.args.get("fill_pattern"), node.args.get("expression")
    if _is_binary(node.this):
        return _of_binary("LPAD" if node.args.get("is_left") else "RPAD", node, size, other=fill)
    plain = fill is None or (isinstance(fill, exp.Literal) and bool(fill.name))
    if plain:
        return node
    left = exp.Boolean(this=bool(node.args.get("is_left")))
    return _native("pad", _text(node.this), _number(size, 0), _text(fill or exp.Literal.string(" ")), left)


def _replaced(node: Expr) -> Expr:
    if not _given(node, "position", "occurrence", "modifiers"):
        return node
    by = node.args.get("replacement") or exp.Literal.string("")
    return _native(
        "regexp_replace", _text(node.this), _text(node.expression), _text(by), _number(node.args.get("position"), 1),
        _number(node.args.get("occurrence"), 0), node.args.get("modifiers") or exp.Literal.string("c"),
    )  # fmt: skip


def _all_matches(node: Expr) -> Expr:
    group = node.args.get("group")
    parameters = node.args.get("parameters")
    given = isinstance(group, exp.Literal) and group.name != "0"  # with e and no group it is the first
    made = _native(
        "regexp_substr_all", _text(node.this), _text(node.expression), _number(node.args.get("position"), 1),
        _number(node.args.get("occurrence"), 1), parameters or exp.Literal.string("c"),
        _number(group, 0) if given and group is not None else exp.Literal.number(-1),
    )  # fmt: skip
    return exp.Anonymous(this="_cxm_as_json", expressions=[made])


def _check_place(place: Expr | None, what: str = "position") -> None:
    if isinstance(place, exp.Literal) and int(place.name) < 1:
        raise errors.not_positive(what, int(place.name))


def _is_binary(value: object) -> bool:
    return (type_ := type_of(value)) is not None and type_.kind == "BINARY"


_EMPTY = exp.Anonymous(this="from_hex", expressions=[exp.Literal.string("")])


def _of_binary(name: str, node: Expr, a: Expr | None = None, b: Expr | None = None, other: Expr | None = None) -> Expr:
    numbers = [_number(part, 0) for part in (a, b)]
    return _native("of_binary", exp.Literal.string(name), node.this, *numbers, other or _EMPTY.copy())


def _side(name: str) -> Callable[[Expr], Expr]:
    """LEFT and RIGHT, of bytes too (https://docs.snowflake.com/en/sql-reference/functions/left#returns)."""
    return lambda node: _of_binary(name, node, node.expression) if _is_binary(node.this) else node


def _reversed(node: Expr) -> Expr:
    return _of_binary("REVERSE", node) if _is_binary(node.this) else node


def _holds(name: str) -> Callable[[Expr], Expr]:
    """CONTAINS and its kin, of bytes too (https://docs.snowflake.com/en/sql-reference/functions/contains#arguments)."""

    def made(node: Expr) -> Expr:
        if not _is_binary(node.this) or not _is_binary(node.expression):
            return node
        one = exp.Literal.number(1)
        found = _native("binary_place", exp.Literal.string(name), node.this, node.expression, one)
        return exp.paren(exp.EQ(this=found, expression=one.copy()))

    return made


def _position(node: Expr) -> Expr:
    """POSITION and CHARINDEX, of bytes too (https://docs.snowflake.com/en/sql-reference/functions/position#arguments)."""
    part = node.args["substr"]
    if not _is_binary(node.this) or not _is_binary(part):
        return node
    start = _number(node.args.get("position"), 1)
    return _native("binary_place", exp.Literal.string("POSITION"), node.this, part, start)


def _upper(node: Expr) -> Expr:
    """UPPER of ß is SS, as Unicode has it; the engine makes a capital ẞ of it."""
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
    return _native("character", _number(code, 0))


def _distance(node: Expr) -> Expr:
    """EDITDISTANCE with a maximum below 0 is 0 (https://docs.snowflake.com/en/sql-reference/functions/editdistance#arguments)."""
    most = node.args.get("max_dist")
    if most is not None:
        node.set("max_dist", exp.func("greatest", most, exp.Literal.number(0)))
    return node


def _half_of_md5(upper: bool) -> Callable[[Expr], Expr]:
    def made(node: Expr) -> Expr:
        digits = _native("half_of_md5", _text(node.this), exp.Boolean(this=upper))
        return exp.Cast(this=digits, to=exp.DataType.build("NUMBER(20, 0)", dialect="snowflake"))

    return made


def _stuffed(node: Expr) -> Expr:
    return _native(
        "inserted",
        _text(node.this),
        _number(node.args["start"], 1),
        _number(node.args["length"], 0),
        _text(node.expression),
    )


def _place(node: Expr) -> Expr:
    """REGEXP_INSTR of a group (https://docs.snowflake.com/en/sql-reference/functions/regexp_instr#arguments)."""
    if not _given(node, "parameters", "group"):
        _check_place(node.args.get("position"))
        return node
    return _native(
        "regexp_instr", _text(node.this), _text(node.expression), _number(node.args.get("position"), 1),
        _number(node.args.get("occurrence"), 1), _number(node.args.get("option"), 0),
        node.args.get("parameters") or exp.Literal.string("c"), _number(node.args.get("group"), 0),
    )  # fmt: skip


def _translated(node: Expr) -> Expr:
    return _native("translated", _text(node.this), _text(node.args["from_"]), _text(node.args["to"]))


def _first_of(node: Expr) -> Expr:
    """REGR_VALX and REGR_VALY are of type FLOAT (https://docs.snowflake.com/en/sql-reference/functions/regr_valy#returns)."""
    y, x = (exp.cast(part, "DOUBLE") for part in (node.this, node.expression))
    value, other = (y, x) if isinstance(node, exp.RegrValy) else (x, y)
    is_set = exp.Not(this=exp.Is(this=other, expression=exp.null()))
    return exp.Case(ifs=[exp.If(this=is_set, true=value)])


def _decoded_binary(kind: str, attempt: bool) -> Callable[[Expr], Expr]:
    """HEX_DECODE_BINARY and its kin (https://docs.snowflake.com/en/sql-reference/functions/hex_decode_binary)."""
    return lambda node: _native("decoded_binary", _text(node.this), exp.Literal.string(kind), exp.Boolean(this=attempt))


def _sha2(node: Expr) -> Expr:
    size = node.args.get("length")
    return node if size is None or size.name == "256" else _native("sha2", _text(node.this), _number(size, 256))


def _similar(node: Expr) -> Expr:
    """JAROWINKLER_SIMILARITY: a whole number of hundredths, cut off, letters alike in both cases."""
    both = [exp.Anonymous(this="upper", expressions=[part]) for part in (node.this, node.expression)]
    return _native("hundredths", exp.Anonymous(this="jaro_winkler_similarity", expressions=both))


def _bucket(node: Expr) -> Expr:
    numbers = [
        exp.Anonymous(this="_cxm_double", expressions=[node.args[k]]) for k in ("this", "min_value", "max_value")
    ]
    return _native("bucket", *numbers, _number(node.args["num_buckets"], 0))


def _decoded(kind: str, attempt: bool) -> Callable[[Expr], Expr]:
    def made(node: Expr) -> Expr:
        alphabet = node.args.get("alphabet") or exp.Literal.string("")
        return _native("decoded", _text(node.this), exp.Literal.string(kind), exp.Boolean(this=attempt), alphabet)

    return made


def _encoded(node: Expr) -> Expr:
    """BASE64_ENCODE with a line's length and an alphabet (https://docs.snowflake.com/en/sql-reference/functions/base64_encode)."""
    if not _given(node, "max_line_length", "alphabet"):
        return _native("base64", node.this)
    alphabet = node.args.get("alphabet") or exp.Literal.string("")
    value = node.this if _is_binary(node.this) else _native("encoded", node.this)
    return _native("base64_text", value, _number(node.args.get("max_line_length"), 0), alphabet)


def _hex(node: Expr) -> Expr:
    if (type_ := type_of(node.this)) is not None and type_.kind not in ("VARCHAR", "BINARY", "NULL"):
        node.set("this", exp.cast(node.this, "VARCHAR"))
    case = node.args.get("case")
    if case is None or case.name == "1":
        return node
    node.set("case", None)
    return exp.Anonymous(this="lower", expressions=[node.copy()])


def _url(node: Expr) -> Expr:
    made = _native("parsed_url", _text(node.this), _number(node.args.get("permissive"), 0))
    return exp.Anonymous(this="_cxm_as_json", expressions=[made])


def _count(node: Expr) -> Expr:
    """COUNT(A, B): the rows in which none of them is NULL (https://docs.snowflake.com/en/sql-reference/functions/count)."""
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
    """SUBSTR: a start before the first character is an empty text (https://docs.snowflake.com/en/sql-reference/functions/substr)."""
    start, length = node.args.get("start"), node.args.get("length")
    if _is_binary(node.this):
        whole = exp.Literal.number(2**31)
        return _of_binary("SUBSTR", node, start or exp.Literal.number(1), whole if length is None else length)
    if start is None or isinstance(start, exp.Literal):
        return node
    return _native("substr" if length is None else "substr3", node.this, start, *([] if length is None else [length]))


def _key(node: Expr) -> Expr:
    """A key of {'a': 1} is a text, which keeps its case."""
    if isinstance(node.parent, exp.Struct) and isinstance(node.this, exp.Identifier):
        node.set("this", exp.Literal.string(node.this.name))
    return node


def _binary(node: Expr) -> Expr:
    """TO_BINARY and TRY_TO_BINARY (https://docs.snowflake.com/en/sql-reference/functions/to_binary)."""
    how = node.args.get("format") or exp.Literal.string("HEX")
    name = {"HEX": "HEX", "BASE64": "BASE64", "UTF-8": "UTF-8", "UTF8": "UTF-8"}.get(how.name.upper())
    if not isinstance(how, exp.Literal) or name is None:
        raise errors.unsupported(f"TO_BINARY with the format {how.sql(dialect='snowflake')}")
    if node.args.get("safe"):
        return _native("try_binary", _text(node.this), exp.Literal.string(name))
    return _native({"HEX": "binary", "BASE64": "from_base64", "UTF-8": "encoded"}[name], node.this)


def _regexp_substr(node: Expr) -> Expr:
    """REGEXP_SUBSTR: a constant position is checked here, any other one when the value is known."""
    places = [node.args.get(k) for k in ("position", "occurrence")]
    if all(p is None or isinstance(p, exp.Literal) for p in places) and isinstance(node.expression, exp.Literal):
        for what, place in zip(("position", "occurrence"), places, strict=True):
            _check_place(place, what)
        return node
    group = node.args.get("group")
    given = node.args.get("parameters") is not None or (isinstance(group, exp.Literal) and group.name != "0")
    return _native(
        "regexp_substr", _text(node.this), _text(node.expression), *(_number(p, 1) for p in places),
        node.args.get("parameters") or exp.Literal.string("c"), _number(group, 0) if given else exp.Literal.number(-1),
    )  # fmt: skip


def _counted(node: Expr) -> Expr:
    _check_place(node.args.get("position"))
    return node


REWRITTEN: dict[type[Expr], Callable[[Expr], Expr]] = {
    exp.Pad: _padded,
    exp.RegexpReplace: _replaced,
    exp.RegexpExtractAll: _all_matches,
    exp.SHA2: _sha2,
    exp.JarowinklerSimilarity: _similar,
    exp.WidthBucket: _bucket,
    exp.Soundex: lambda node: _native("soundex", _text(node.this)),
    exp.Cbrt: lambda node: _native("cube_root", exp.Anonymous(this="_cxm_double", expressions=[node.this])),
    exp.TryHexDecodeString: _decoded("HEX", True),
    exp.HexDecodeString: _decoded("HEX", False),
    exp.TryBase64DecodeString: _decoded("BASE64", True),
    exp.Base64DecodeString: _decoded("BASE64", False),
    exp.Hex: _hex,
    exp.TryHexDecodeBinary: _decoded_binary("HEX", True),
    exp.Unhex: _decoded_binary("HEX", False),
    exp.TryBase64DecodeBinary: _decoded_binary("BASE64", True),
    exp.Base64DecodeBinary: _decoded_binary("BASE64", False),
    exp.Base64Encode: _encoded,
    exp.MD5NumberUpper64: _half_of_md5(True),
    exp.MD5NumberLower64: _half_of_md5(False),
    exp.Stuff: _stuffed,
    exp.Upper: _upper,
    exp.Chr: _character,
    exp.Cot: lambda node: _native("cotangent", _native("double", node.this)),
    exp.Levenshtein: _distance,
    exp.Left: _side("LEFT"),
    exp.Right: _side("RIGHT"),
    exp.Reverse: _reversed,
    exp.Contains: _holds("CONTAINS"),
    exp.StartsWith: _holds("STARTSWITH"),
    exp.EndsWith: _holds("ENDSWITH"),
    exp.StrPosition: _position,
    exp.BitLength: lambda node: exp.paren(exp.Mul(this=_native("bytes", node.this), expression=exp.Literal.number(8))),
    exp.RegexpInstr: _place,
    exp.RegexpExtract: _regexp_substr,
    exp.RegexpCount: _counted,
    exp.Translate: _translated,
    exp.RegrValx: _first_of,
    exp.RegrValy: _first_of,
    exp.ParseUrl: _url,
    exp.Count: _count,
    exp.ToBinary: _binary,
    exp.Substring: _substring,
    exp.PropertyEQ: _key,
}
