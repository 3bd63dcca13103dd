"""Rewrites FLATTEN, SPLIT_TO_TABLE and STRTOK_SPLIT_TO_TABLE: rows of a value, joined to the row that holds it.

FROM T, LATERAL FLATTEN(INPUT => T.A, OUTER => TRUE) F ──rewritten──▶ FROM T, _cxm_flatten(T.A, 1, '', true, false, 'BOTH') F

https://docs.snowflake.com/en/sql-reference/functions/flatten, …/functions/split_to_table, …/functions/strtok_split_to_table
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.types import SCALAR, Type

_ROW = "_CXM_ROW"
_DEFAULTS = {"PATH": "", "OUTER": False, "RECURSIVE": False, "MODE": "BOTH"}


def rewritten(node: Expr) -> Expr:
    """Rewrite TABLE(…) or LATERAL … as a table macro of DuckDB; return `node` itself if it has another function."""
    call = node.this
    made: exp.Anonymous
    if isinstance(call, exp.Explode):
        made = _flatten(call)
    elif isinstance(call, exp.SplitToTable):
        made = _split("split_rows", [call.this, call.expression])
    elif isinstance(call, exp.Anonymous) and str(call.this).upper() == "STRTOK_SPLIT_TO_TABLE":
        if not 1 <= len(call.expressions) <= 2:
            raise errors.argument_count("STRTOK_SPLIT_TO_TABLE", 1, len(call.expressions))
        made = _split("strtok_rows", [*call.expressions, exp.Literal.string(" ")][:2])
    else:
        return node
    made.expressions.insert(0, _sequence(node))
    return exp.Table(this=made, alias=node.args.get("alias"))


def _split(name: str, arguments: list[Expr]) -> exp.Anonymous:
    return exp.Anonymous(this=f"_cxm_{name}", expressions=arguments)


def _flatten(call: exp.Explode) -> exp.Anonymous:
    given: dict[str, Expr] = {}
    for argument in [call.this, *call.expressions]:
        if isinstance(argument, exp.Kwarg):
            given[argument.this.name.upper()] = argument.expression
        elif argument is call.this:
            given["INPUT"] = argument
        else:
            raise errors.unsupported("FLATTEN with arguments without names")
    if unknown := sorted(given.keys() - _DEFAULTS.keys() - {"INPUT"}):
        raise errors.syntax(unknown[0])
    if "INPUT" not in given:
        raise errors.argument_count("FLATTEN", 1, 0)
    type_ = given["INPUT"].meta.get("cxm_type")
    if isinstance(type_, Type) and type_.kind in SCALAR:
        raise errors.argument_types("FLATTEN", str(type_))
    options: list[Expr] = []
    for name, default in _DEFAULTS.items():
        value = given.get(name)
        if value is None:
            value = exp.Boolean(this=default) if isinstance(default, bool) else exp.Literal.string(str(default))
        constant = isinstance(value, exp.Boolean) if isinstance(default, bool) else isinstance(value, exp.Literal)
        if not constant:
            raise errors.unsupported(f"FLATTEN with {name} that is no constant")
        if name == "MODE":
            value = exp.Literal.string(value.name.upper())
            if value.name not in ("OBJECT", "ARRAY", "BOTH"):
                raise errors.invalid_value(value.name, "MODE")
        options.append(value)
    return exp.Anonymous(this="_cxm_flatten", expressions=[given["INPUT"], *options])


def _sequence(node: Expr) -> Expr:
    """Return SEQ: 1 for a value alone; beside rows, the number of the row, which becomes a hidden column of theirs.

    The rows get this column only if the query shows SEQ, since numbering every row costs time.
    """
    one = exp.Literal.number(1)
    select = node.find_ancestor(exp.Select)
    if select is None:
        return one
    sources = _before(select, node)
    if not sources:
        return one
    named = any(column.name.upper() == "SEQ" for column in select.find_all(exp.Column))
    stars = [projection for projection in select.expressions if projection.is_star]
    if not named and not stars:
        return one
    first = sources[0]
    if len(sources) > 1 or not isinstance(first, (exp.Table, exp.Subquery)) or isinstance(first.this, exp.Func):
        if named:
            raise errors.unsupported("SEQ of a FLATTEN beside several tables")
        return one if not stars else _refused_star(stars)
    alias = first.args.get("alias")
    name = alias.this.name if isinstance(alias, exp.TableAlias) and alias.this else first.name
    if not name:
        name = "_CXM_ROWS"
    quoted = bool(alias.this.args.get("quoted")) if isinstance(alias, exp.TableAlias) and alias.this else False
    inner = first.copy()
    number = exp.alias_(exp.Window(this=exp.RowNumber()), _ROW, quoted=True)
    numbered = exp.select(exp.Star(), number).from_(inner)
    first.replace(exp.Subquery(this=numbered, alias=exp.TableAlias(this=exp.to_identifier(name, quoted=quoted))))
    for projection in stars:
        star = projection if isinstance(projection, exp.Star) else projection.this
        of = projection.args.get("table") if isinstance(projection, exp.Column) else None
        if isinstance(star, exp.Star) and (of is None or of.name.upper() == name.upper()):
            star.set("except_", [*(star.args.get("except_") or []), exp.to_identifier(_ROW, quoted=True)])
    return exp.column(exp.to_identifier(_ROW, quoted=True), table=exp.to_identifier(name, quoted=quoted))


def _refused_star(stars: list[Expr]) -> Expr:
    raise errors.unsupported(
        f"{stars[0].sql(dialect='snowflake')} with the SEQ of a FLATTEN beside several tables (name the columns)"
    )


def _before(select: exp.Select, node: Expr) -> list[Expr]:
    """Return the sources that come before a node in FROM."""
    from_ = select.args.get("from_")
    sources: list[Expr] = []
    holders = [from_.this] if isinstance(from_, exp.From) else []
    joins = [j.this for h in holders for j in h.args.get("joins") or []] + [
        j.this for j in select.args.get("joins") or []
    ]
    for source in [*holders, *joins]:
        if source is node:
            return sources
        sources.append(source)
    return []


# ---- other sources of rows


def joined(join: exp.Join) -> Expr:
    """Rewrite A ASOF JOIN B MATCH_CONDITION (…): every row of A, with the nearest of B or NULLs
    (https://docs.snowflake.com/en/sql-reference/constructs/asof-join)."""
    match = join.args.get("match_condition")
    if match is None:
        return join
    if join.args.get("using"):
        raise errors.unsupported("ASOF JOIN with USING")
    join.set("on", exp.and_(match.unnest(), join.args["on"]) if join.args.get("on") else match.unnest())
    join.set("match_condition", None)
    join.set("side", "LEFT")
    return join


def named(values: exp.Values) -> Expr:
    """Give VALUES (…) A the columns COLUMN1, COLUMN2 …, under its alias too."""
    alias, rows = values.args.get("alias"), values.expressions
    if not isinstance(alias, exp.TableAlias) or not alias.this or alias.args.get("columns") or not rows:
        return values
    size = len(rows[0].expressions) if isinstance(rows[0], exp.Tuple) else 1
    alias.set("columns", [exp.to_identifier(f"COLUMN{n}") for n in range(1, size + 1)])
    return values


def positional(node: exp.Parameter) -> Expr:
    """Rewrite $1 of VALUES as COLUMN1 (https://docs.snowflake.com/en/sql-reference/constructs/values)."""
    number, select = node.this.name if isinstance(node.this, exp.Literal) else "", node.find_ancestor(exp.Select)
    from_ = select.args.get("from_") if select is not None else None
    source = from_.this if isinstance(from_, exp.From) else None
    while isinstance(source, (exp.Subquery, exp.Paren)):
        source = source.this
    if not number.isdigit() or select is None or select.args.get("joins") or not isinstance(source, exp.Values):
        raise errors.unsupported(f"${node.this.name} of anything but VALUES")
    column = exp.column(f"COLUMN{number}")
    if isinstance(node.parent, exp.Select):
        return exp.alias_(column, f"${number}", quoted=True)
    return column
