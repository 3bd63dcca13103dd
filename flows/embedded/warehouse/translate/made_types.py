"""The types of calls that depend on the function's name alone: ARRAY_AGG(…) is an ARRAY, AS_INTEGER(…) a NUMBER(38,0).

call ──made_type──▶ its type, None for every other function

https://docs.snowflake.com/en/sql-reference/functions-semistructured; each page says what its function returns.
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.text.dialect import spelled
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.typed_nodes import type_of
from flows.embedded.warehouse.translate.types import Type

_NAMES: dict[str, Type] = {}
for _type, _names in (
    (Type("ARRAY"), """
        ARRAYAGG ARRAYS_ZIP ARRAY_AGG ARRAY_APPEND ARRAY_CAT ARRAY_COMPACT ARRAY_CONSTRUCT ARRAY_CONSTRUCT_COMPACT ARRAY_DISTINCT
        ARRAY_EXCEPT ARRAY_FLATTEN ARRAY_GENERATE_RANGE ARRAY_INSERT ARRAY_INTERSECTION ARRAY_PREPEND ARRAY_REMOVE
        ARRAY_REMOVE_AT ARRAY_REVERSE ARRAY_SLICE ARRAY_SORT ARRAY_UNION_AGG ARRAY_UNIQUE_AGG AS_ARRAY OBJECT_KEYS
        REGEXP_EXTRACT_ALL REGEXP_SUBSTR_ALL SPLIT STRTOK_TO_ARRAY TO_ARRAY
    """),
    (Type("OBJECT"), """
        ARRAYS_TO_OBJECT AS_OBJECT OBJECT_AGG OBJECT_CONSTRUCT OBJECT_CONSTRUCT_KEEP_NULL OBJECT_DELETE OBJECT_INSERT OBJECT_PICK
        PARSE_URL TO_OBJECT
    """),
    (Type("VARIANT"), "ARRAY_MAX ARRAY_MIN GET GET_IGNORE_CASE GET_PATH STRIP_NULL_VALUE TRY_PARSE_JSON"),
    (types.VARCHAR, "ARRAY_TO_STRING AS_CHAR AS_VARCHAR CHECK_JSON JSON_EXTRACT_PATH_TEXT TO_JSON TYPEOF"),
    (types.INTEGER, """
        ARRAY_POSITION AS_INTEGER BIT_LENGTH FACTORIAL JAROWINKLER_SIMILARITY MD5_NUMBER_LOWER64 MD5_NUMBER_UPPER64 REGR_COUNT
        RTRIMMED_LENGTH SEQ1 SEQ2 SEQ4 SEQ8
    """),
    (types.COUNTED, "DAYOFMONTH DAYOFWEEKISO WEEKISO YEAROFWEEK YEAROFWEEKISO"),
    (types.FLOAT, "AS_DOUBLE AS_REAL"),
    (types.BOOLEAN, "AS_BOOLEAN"),
):  # fmt: skip
    _NAMES |= dict.fromkeys(_names.split(), _type)


def made_type(node: Expr) -> Type | None:
    """Return the type of a call, or of the constants [1, 2] and {'a': 1}."""
    if isinstance(node, exp.WithinGroup) and isinstance(node.this, exp.PercentileDisc):
        ordered = node.find(exp.Ordered)
        return type_of(ordered.this) if ordered is not None else None
    if isinstance(node, exp.WithinGroup):
        made = made_type(node.this)
        return made if made is not None and made.kind == "ARRAY" else None
    name = spelled(node) if isinstance(node, exp.Func) else None
    if name is None:
        return (
            Type("ARRAY") if isinstance(node, exp.Array) else Type("OBJECT") if isinstance(node, exp.Struct) else None
        )
    if name in ("AS_DECIMAL", "AS_NUMBER") and isinstance(node, exp.Anonymous):
        sizes = [argument.name for argument in node.expressions[1:]]
        return types.number(*map(int, sizes)) if sizes and all(map(str.isdigit, sizes)) else types.INTEGER
    return _NAMES.get(name)
