"""Corrects what fakesnow's rewriting gets wrong: SUM, TRIM with characters, NUMBER(38,0).

syntax tree ──trims, sums──▶ the same tree, those calls as plain functions that fakesnow passes on to DuckDB
fakesnow's tree ──whole_numbers──▶ the same tree, NUMBER(38,0) with 38 digits
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.translate.typed_nodes import type_of

# DuckDB's refusal of SUM over text; Snowflake casts the text to a number.
SUM_OF_TEXT = "'sum(VARCHAR)'"

_TRIMS = {"BOTH": "TRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}


def trims(expression: Expr) -> Expr:
    """Rewrite TRIM, LTRIM and RTRIM as calls with the characters to remove, since fakesnow 0.12.1 drops these and the side. The
    tree is changed in place.

    https://docs.snowflake.com/en/sql-reference/functions/trim
    """
    for node in reversed(list(expression.find_all(exp.Trim))):
        node.replace(_trim(node))
    return expression


def _trim(node: exp.Trim) -> Expr:
    position = str(node.args.get("position") or "BOTH").upper()
    arguments: list[Expr] = [exp.cast(node.this, "TEXT")]
    if node.expression:
        arguments.append(node.expression)
    trimmed = exp.Anonymous(this=_TRIMS[position], expressions=arguments)
    if position != "BOTH" or not isinstance(node.expression, exp.Literal):
        return trimmed
    return exp.Anonymous(this="_cxm_trim", expressions=arguments)


def may_add_text(expression: Expr) -> bool:
    """Whether the tree has a SUM whose argument's type is not known."""
    return any(
        type_of(node.this) is None and not isinstance(node.this, exp.Cast) for node in expression.find_all(exp.Sum)
    )


def sums(expression: Expr) -> Expr:
    """Keep SUM of a NUMBER a NUMBER: fakesnow 0.12.1 casts every argument to DOUBLE, so 0.1 + 0.2 was not 0.3. The tree is
    changed in place.

    The call becomes one that fakesnow does not know; for text, which DuckDB then refuses, the caller runs the original tree.
    https://docs.snowflake.com/en/sql-reference/functions/sum
    """
    for node in reversed(list(expression.find_all(exp.Sum))):
        if not isinstance(node.this, exp.Cast):
            node.replace(_sum(node))
    return expression


def _sum(node: exp.Sum) -> Expr:
    call = exp.Anonymous(this="SUM", expressions=[node.this])
    if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
        return exp.alias_(call, node.sql(dialect="snowflake").upper(), quoted=True)
    return call


def whole_numbers(transformed: Expr) -> Expr:
    """Give INTEGER and NUMBER(38,0) 38 digits; fakesnow 0.12.1 gives them 64 bits. `transformed` is changed and returned.

    https://docs.snowflake.com/en/sql-reference/data-types-numeric#int-integer-bigint-smallint-tinyint-byteint
    """
    for type_ in transformed.find_all(exp.DataType):
        if type_.this == exp.DataType.Type.BIGINT:
            type_.set("this", exp.DataType.Type.DECIMAL)
            type_.set("expressions", [exp.DataTypeParam(this=exp.Literal.number(n)) for n in (38, 0)])
    return transformed
