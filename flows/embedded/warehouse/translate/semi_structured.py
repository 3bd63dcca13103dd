"""Rewrites VARIANT, ARRAY and OBJECT, aggregates over NULL and rows of values, before fakesnow's transforms.

syntax tree ──rewrite──▶ the same tree: ARRAY_CAT(A, B) → _cxm_js2('ARRAY_CAT', A, B), (A, B) = (C, D) by columns

https://docs.snowflake.com/en/sql-reference/functions-semistructured, …/functions/listagg, …/functions/array_agg
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import number_texts, table_functions, text_functions, types
from flows.embedded.warehouse.translate.coercions import FLOATS
from flows.embedded.warehouse.translate.trees import change_from_leaves
from flows.embedded.warehouse.translate.typed_nodes import set_type, type_of

_BINARY = (exp.DataType.Type.BINARY, exp.DataType.Type.VARBINARY)
# Functions of `json_values.call`: the least and the most arguments that they take.
_CALLS = {
    "ARRAYS_OVERLAP": (2, 2), "ARRAYS_TO_OBJECT": (2, 2), "ARRAY_APPEND": (2, 2), "ARRAY_CAT": (2, 2), "ARRAY_COMPACT": (1, 1),
    "ARRAY_DISTINCT": (1, 1), "ARRAY_EXCEPT": (2, 2), "ARRAY_FLATTEN": (1, 1), "ARRAY_GENERATE_RANGE": (2, 3),
    "ARRAY_INSERT": (3, 3), "ARRAY_INTERSECTION": (2, 2), "ARRAY_MAX": (1, 1), "ARRAY_MIN": (1, 1), "ARRAY_PREPEND": (2, 2),
    "ARRAY_REMOVE": (2, 2), "ARRAY_REMOVE_AT": (2, 2), "ARRAY_REVERSE": (1, 1), "ARRAY_SLICE": (3, 3), "ARRAY_SORT": (1, 3),
    "GET_IGNORE_CASE": (2, 2), "OBJECT_INSERT": (3, 4), "OBJECT_KEYS": (1, 1), "OBJECT_DELETE": (2, 99), "OBJECT_PICK": (2, 99),
    "STRTOK_TO_ARRAY": (1, 2), "TO_ARRAY": (1, 1), "TO_OBJECT": (1, 1), "ARRAYS_ZIP": (1, 99), "_CXM_ONLY_ARRAY": (1, 1),
    "_CXM_ONLY_OBJECT": (1, 1),
}  # fmt: skip
# IS_… by what `_cxm_typeof` says (https://docs.snowflake.com/en/sql-reference/functions/is_double-real).
_NUMBERS = ("INTEGER", "DECIMAL", "DOUBLE")
_KINDS = {
    "IS_ARRAY": ("ARRAY",), "IS_OBJECT": ("OBJECT",), "IS_BOOLEAN": ("BOOLEAN",), "IS_CHAR": ("VARCHAR",),
    "IS_VARCHAR": ("VARCHAR",), "IS_INTEGER": ("INTEGER",), "IS_DECIMAL": ("INTEGER", "DECIMAL"), "IS_DOUBLE": _NUMBERS,
    "IS_REAL": _NUMBERS, "IS_NULL_VALUE": ("NULL_VALUE",),
}  # fmt: skip
_AS = {
    "AS_ARRAY": ("ARRAY", ""), "AS_OBJECT": ("OBJECT", ""), "AS_BOOLEAN": ("BOOLEAN", "BOOLEAN"),
    "AS_CHAR": ("VARCHAR", "VARCHAR"), "AS_VARCHAR": ("VARCHAR", "VARCHAR"), "AS_INTEGER": ("INTEGER", "NUMBER(38, 0)"),
    "AS_DOUBLE": ("", "DOUBLE"),
    "AS_REAL": ("", "DOUBLE"), "AS_DECIMAL": ("", "NUMBER"), "AS_NUMBER": ("", "NUMBER"),
}  # fmt: skip


# ARRAY_CONTAINS compares these only after a cast to VARIANT
# (https://docs.snowflake.com/en/sql-reference/functions/array_contains#usage-notes).
_NOT_SOUGHT = ("VARCHAR", *types.TIMES, "BINARY")


def rewrite(expression: Expr) -> Expr:
    """Rewrite a statement in place; return it, or what replaces it."""
    return change_from_leaves(expression, _rewritten)


def _rewritten(node: Expr) -> Expr:
    if isinstance(node, exp.Anonymous) and isinstance(node.this, str):
        return _called(node, node.this.upper())
    if (made := text_functions.REWRITTEN.get(type(node))) is not None:
        new = made(node)
        if new is not node and type_of(new) is None:
            set_type(new, type_of(node))
        return new
    if isinstance(node, exp.ToVariant) and isinstance(value := node.this, Expr) and _is_float(value):
        return value
    if isinstance(node, exp.GetExtract) and isinstance(node.expression, exp.Neg):
        return _json_call("GET", [node.this, node.expression])
    if isinstance(node, exp.Typeof):
        return _macro("typeof", node.this)
    if isinstance(node, exp.ParseJSON):
        return _macro("try_parse_json" if node.args.get("safe") else "parse_json", node.this)
    if isinstance(node, exp.Bracket):
        return _element(node)
    if isinstance(node, exp.JSONExtract) and isinstance(node.expression, exp.JSONPath):
        return _path(node.this, _steps(node.expression))
    if isinstance(node, exp.ToChar):
        return number_texts.written(node)
    if isinstance(node, (exp.ToNumber, exp.ToDouble)):
        return number_texts.read(node)
    if isinstance(node, (exp.Lateral, exp.TableFromRows)):
        return table_functions.rewritten(node)
    if isinstance(node, exp.Join):
        return table_functions.joined(node)
    if isinstance(node, exp.Values):
        return table_functions.named(node)
    if isinstance(node, exp.Parameter):
        return table_functions.positional(node)
    if isinstance(node, exp.Column) and node.table and node.name.upper() == "NEXTVAL":
        return _next(node)
    if isinstance(node, exp.GroupConcat) and node.args.get("separator") is None:
        node.set("separator", exp.Literal.string(""))
    elif (
        isinstance(node, (exp.EQ, exp.NEQ))
        and isinstance(node.this, exp.Tuple)
        and isinstance(node.expression, exp.Tuple)
    ):
        same = _same(node.this.expressions, node.expression.expressions)
        return exp.paren(same if isinstance(node, exp.EQ) else exp.Not(this=exp.paren(same)))
    elif isinstance(node, exp.In) and isinstance(node.this, exp.Tuple) and node.expressions:
        rows = [row for row in node.expressions if isinstance(row, exp.Tuple)]
        if len(rows) == len(node.expressions):
            return exp.paren(exp.or_(*[_same(node.this.expressions, row.expressions) for row in rows]))
    elif isinstance(node, exp.TryCast) and node.to.this in _BINARY:
        return _macro("try_binary", node.this, exp.Literal.string("HEX"))
    elif isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast):
        return node if isinstance(node.this, (exp.Null, exp.Placeholder)) else _cast(node)
    elif isinstance(node, exp.Array) and not any(e.is_star for e in node.expressions):
        if not node.expressions:
            return exp.cast(exp.Literal.string("[]"), exp.DataType.build("JSON"))
        return _macro("array_all", _list(node.expressions))
    return _whole(node)


def _next(column: exp.Column) -> Expr:
    """Rewrite <sequence>.NEXTVAL in an expression; as a column of a result it stays, with its name
    (https://docs.snowflake.com/en/user-guide/querying-sequences#sequences-as-expressions)."""
    if column.find_ancestor(exp.ColumnDef) is not None:
        raise errors.unsupported("a sequence as a column's DEFAULT (AUTOINCREMENT is here)")
    if isinstance(column.parent, (exp.Select, exp.Alias)) and len(column.parts) == 2:
        return column
    name = ".".join('"' + part.name.replace('"', '""') + '"' for part in column.parts[:-1])
    call = exp.Anonymous(this="nextval", expressions=[exp.Literal.string(name)])
    return exp.alias_(call, "NEXTVAL", quoted=True) if isinstance(column.parent, exp.Select) else call


def _cast(node: exp.Cast) -> Expr:
    kind = node.to.this
    if kind in _BINARY:
        return _macro("binary", node.this)
    if kind == exp.DataType.Type.VARIANT and isinstance(value := node.this, Expr) and _is_float(value):
        return value
    if kind == exp.DataType.Type.VARIANT:
        return exp.Anonymous(this="to_json", expressions=[node.this])
    if kind in (exp.DataType.Type.ARRAY, exp.DataType.Type.OBJECT) and not node.to.expressions:
        return _json_call(f"TO_{kind.name}", [node.this])
    return node


def _list(values: Sequence[Expr]) -> Expr:
    return exp.Anonymous(this="list_value", expressions=[_json(value) for value in values])


def _macro(name: str, *arguments: Expr) -> exp.Anonymous:
    return exp.Anonymous(this=f"_cxm_{name}", expressions=list(arguments))


def _called(node: exp.Anonymous, name: str) -> Expr:
    """Rewrite a function of arrays and objects as the call of a macro in `macros`."""
    arguments = node.expressions
    if name in _CALLS:
        least, most = _CALLS[name]
        if not least <= len(arguments) <= most:
            raise errors.argument_count(name, least if len(arguments) < least else most, len(arguments))
        made = _json_call(name, arguments)
        return exp.cast(made, "BOOLEAN") if name == "ARRAYS_OVERLAP" else made
    if name in _KINDS or name in _AS:
        return _by_kind(name, arguments)
    if name == "ARRAY_CONSTRUCT_COMPACT":
        return _macro("array_of", _list(arguments))
    if name in ("ARRAY_CONTAINS", "ARRAY_POSITION", "ARRAY_TO_STRING"):
        if len(arguments) != 2:
            raise errors.argument_count(name, 2, len(arguments))
        first, second = arguments
        if name != "ARRAY_TO_STRING" and (type_ := type_of(first)) and type_.kind in _NOT_SOUGHT:
            raise errors.argument_types(name, f"{type_}, ARRAY")
        if name == "ARRAY_TO_STRING":
            return _macro("array_text", _json(first), second)
        return _macro(name.lower(), _json(first), _json(second))
    if name == "TO_JSON" and len(arguments) == 1:
        return _macro("json_text", _json(arguments[0]))
    if name in ("ARRAY_UNIQUE_AGG", "ARRAY_UNION_AGG") and len(arguments) == 1:
        made = exp.Anonymous(this="array_agg", expressions=[exp.Distinct(expressions=[_json(arguments[0])])])
        if name == "ARRAY_UNIQUE_AGG":
            return _macro("array_of", made)
        raise errors.unsupported("the function ARRAY_UNION_AGG")
    return node


def _json(value: Expr) -> Expr:
    """Return a value as a JSON text, NULL for NULL."""
    if _is_float(value):
        return _macro("digits_of", value)
    return exp.cast(exp.null(), "VARCHAR") if isinstance(value, exp.Null) else _macro("js", value)


def _is_float(value: Expr) -> bool:
    """Whether a value is a FLOAT's JSON text, whose exponent the engine's to_json would remove."""
    return isinstance(value, exp.Anonymous) and value.this == "_cxm_float_in_json"


def _json_call(name: str, arguments: Sequence[Expr]) -> Expr:
    texts = [_json(argument) for argument in arguments]
    if len(texts) <= 3:
        return _macro(f"js{len(texts)}", exp.Literal.string(name), *texts)
    return _macro("js_many", exp.Literal.string(name), exp.Anonymous(this="list_value", expressions=texts))


def _by_kind(name: str, arguments: Sequence[Expr]) -> Expr:
    """Rewrite IS_… and AS_…: https://docs.snowflake.com/en/sql-reference/functions/is, …/as."""
    if not arguments or (len(arguments) > 1 and name not in ("AS_DECIMAL", "AS_NUMBER")):
        raise errors.argument_count(name, 1, len(arguments))
    kind = _macro("typeof", arguments[0])
    if name in _KINDS:
        return exp.paren(exp.In(this=kind, expressions=[exp.Literal.string(k) for k in _KINDS[name]]))
    expected, type_ = _AS[name]
    if type_ == "NUMBER":
        sizes = [a.name for a in arguments[1:]] or ["38", "0"]
        if not all(size.isdigit() for size in sizes):
            raise errors.unsupported(f"{name} with a size that is no constant")
        type_ = f"NUMBER({', '.join(sizes)})"
    value = arguments[0].copy()
    kinds = (expected,) if expected else _NUMBERS
    test = exp.In(this=kind, expressions=[exp.Literal.string(k) for k in kinds])
    made = (
        exp.Cast(this=_macro("compact_text", _json(value)), to=exp.DataType.build(type_, dialect="snowflake"))
        if type_
        else value
    )
    return exp.Case(ifs=[exp.If(this=test, true=made)])


def _element(node: exp.Bracket) -> Expr:
    """Rewrite a step of a path, V['a'][0]; DuckDB would count a negative one from the end of an array."""
    if len(node.expressions) != 1:
        return node
    step, inner = node.expressions[0], node.this
    if not isinstance(step, exp.Literal):
        return _json_call("GET", [inner, step])
    part = _key(step.name) if step.is_string else f"[{int(step.name)}]"
    if isinstance(inner, exp.Anonymous) and inner.this == _EXTRACT:
        return _path(inner.expressions[0], inner.expressions[1].name.removeprefix("$") + part)
    if not isinstance(inner, (exp.Column, exp.Paren)):
        inner = exp.Anonymous(this="to_json", expressions=[inner])
    return _path(inner, part)


_EXTRACT = "json_extract"  # not the arrow, which DuckDB reads as a lambda's in the argument of a macro


def _path(value: Expr, steps: str) -> Expr:
    return exp.Anonymous(this=_EXTRACT, expressions=[value, exp.Literal.string(f"${steps}")])


def _key(name: str) -> str:
    if '"' in name:
        raise errors.unsupported(f"the key {name} in a path")
    return f'."{name}"'


def _steps(path: exp.JSONPath) -> str:
    made = ""
    for step in path.expressions:
        if isinstance(step, exp.JSONPathKey):
            made += _key(str(step.this))
        elif isinstance(step, exp.JSONPathSubscript) and isinstance(step.this, int):
            made += f"[{step.this}]"
        elif not isinstance(step, exp.JSONPathRoot):
            raise errors.unsupported("this step of a path")
    return made


def _whole(node: Expr) -> Expr:
    """Rewrite LISTAGG and ARRAY_AGG, with the clauses of the call: an empty text or array if every value is NULL. Mark FLOATs."""
    call = node
    while isinstance(call, (exp.WithinGroup, exp.Window, exp.Filter)):
        call = call.this
    if isinstance(node.parent, (exp.WithinGroup, exp.Window, exp.Filter)) and node.arg_key == "this":
        return node
    if isinstance(call, exp.GroupConcat):
        return exp.func("coalesce", node.copy(), exp.Literal.string(""))
    if isinstance(call, exp.ArrayAgg):
        made = exp.Anonymous(this="_cxm_array", expressions=[node.copy()])
        return _with_floats(made) if type_of(_aggregated(call)) == types.FLOAT else made
    if isinstance(call, exp.ObjectAgg) and type_of(call.expression) == types.FLOAT:
        return _with_floats(node.copy())
    if isinstance(node, (exp.Struct, exp.JSONObject)) and (keys := node.meta.get(FLOATS)):
        if not all(isinstance(key, (exp.Literal, exp.Identifier)) for key in keys):
            raise errors.unsupported("a FLOAT under a key that is no constant (cast it to a NUMBER)")
        return _with_floats(node.copy(), *(key.name for key in keys))
    return node


def _aggregated(call: Expr) -> Expr:
    """Return the expression that ARRAY_AGG collects."""
    value: Expr = call.this
    while isinstance(value, (exp.Order, exp.Distinct)):
        value = value.this if isinstance(value, exp.Order) else value.expressions[0]
    return value


def _with_floats(value: Expr, *keys: str) -> Expr:
    """Make the numbers of an array or object, or those of these keys, FLOATs: 3.000000000000000e+00."""
    return _macro("as_json", _macro("with_floats", _macro("digits_of", value), exp.Literal.string(json.dumps(keys))))


def _same(left: Sequence[Expr], right: Sequence[Expr]) -> Expr:
    if len(left) != len(right):
        raise errors.unsupported("a comparison of rows of different lengths")
    pairs: list[Expr] = [exp.EQ(this=a.copy(), expression=b.copy()) for a, b in zip(left, right, strict=True)]
    return reduce(lambda a, b: exp.And(this=a, expression=b), pairs)
