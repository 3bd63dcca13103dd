"""Snowflake's grammar only: what sqlglot adds from other dialects is a syntax error or an unknown function.

SQL text ──parse──▶ syntax tree in which every call of a function remembers how it was spelled (`spelled`)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

from sqlglot import Expr, exp, parse_one
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.errors import ParseError
from sqlglot.parsers.snowflake import SnowflakeParser
from sqlglot.tokenizer_core import TokenType

from flows.embedded.warehouse.text.errors import argument_count, syntax, unsupported_type
from flows.embedded.warehouse.text.function_arity import check_count, is_counted
from flows.embedded.warehouse.text.function_names import KNOWN_FUNCTIONS
from flows.embedded.warehouse.text.grammar import scan
from flows.embedded.warehouse.text.pivot import grouped

SPELLED = "spelled"
WRITTEN = "cxm_written"
_COMMENT = re.compile(r"--|//|/\*")
_HEX_NUMBER = re.compile(r"\b0[xX][0-9A-Fa-f]+")
# Calls with their own grammar. Those of other dialects (STRING_AGG, SAFE_CAST …) are left to the list of known names.
_OWN_GRAMMAR = (
    "CAST", "TRY_CAST", "CEIL", "FLOOR", "CHAR", "CHR", "DATE_PART", "DECODE", "EXTRACT", "INITCAP", "LISTAGG", "MAX_BY",
    "MIN_BY", "OBJECT_CONSTRUCT_KEEP_NULL", "POSITION", "SUBSTR", "SUBSTRING",
)  # fmt: skip
_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE)
# Tokens that end a list. FROM is not one of them, because a comma may come before it
# (https://docs.snowflake.com/en/sql-reference/sql/select#usage-notes).
_BEHIND_LISTS = (
    TokenType.R_PAREN, TokenType.WHERE, TokenType.GROUP_BY, TokenType.HAVING, TokenType.QUALIFY, TokenType.ORDER_BY,
    TokenType.LIMIT, TokenType.SEMICOLON,
)  # fmt: skip
_NO_QUERY = (TokenType.FROM, TokenType.SUMMARIZE, TokenType.DESCRIBE)


# Left as they are written, for `translate/times`: sqlglot would lose the format, or whether one was given.
_AS_WRITTEN = (
    "DATE", "TIME", "TO_DATE", "TO_TIME", "TO_TIMESTAMP", "TO_TIMESTAMP_NTZ", "TO_TIMESTAMP_LTZ", "TO_TIMESTAMP_TZ",
    "TRY_TO_DATE", "TRY_TO_TIME", "TRY_TO_TIMESTAMP", "TRY_TO_TIMESTAMP_NTZ", "TRY_TO_TIMESTAMP_LTZ", "TRY_TO_TIMESTAMP_TZ",
    # for `translate/semi_structured`: sqlglot has one name for what Snowflake and DuckDB do differently
    "ARRAYS_OVERLAP", "ARRAYS_TO_OBJECT", "ARRAYS_ZIP", "ARRAY_APPEND", "ARRAY_CAT", "ARRAY_COMPACT", "ARRAY_CONSTRUCT_COMPACT",
    "ARRAY_CONTAINS", "ARRAY_DISTINCT", "ARRAY_EXCEPT", "ARRAY_FLATTEN", "ARRAY_GENERATE_RANGE", "ARRAY_INSERT",
    "ARRAY_INTERSECTION", "ARRAY_MAX", "ARRAY_MIN", "ARRAY_POSITION", "ARRAY_PREPEND", "ARRAY_REMOVE", "ARRAY_REMOVE_AT",
    "ARRAY_REVERSE", "ARRAY_SLICE", "ARRAY_SORT", "ARRAY_TO_STRING", "ARRAY_UNION_AGG", "ARRAY_UNIQUE_AGG", "GET_IGNORE_CASE",
    "IS_ARRAY", "OBJECT_DELETE", "OBJECT_INSERT", "OBJECT_KEYS", "OBJECT_PICK", "STRTOK_TO_ARRAY", "TO_ARRAY", "TO_JSON",
    "TO_OBJECT",
)  # fmt: skip


# Types of other systems, which sqlglot would replace by the nearest of Snowflake's
# (https://docs.snowflake.com/en/sql-reference/data-types-unsupported, …/intro-summary-data-types).
_FOREIGN_TYPES = frozenset({
    "BIGDECIMAL", "BIGNUMERIC", "BLOB", "BPCHAR", "BYTEA", "CLOB", "FIXED", "INT1", "INT2", "INT4", "INT8", "INT16", "INT32",
    "INT64", "LONG", "LONGBLOB", "LONGTEXT", "LONGVARCHAR", "MEDIUMBLOB", "MEDIUMTEXT", "SHORT", "SQL_DOUBLE", "SQL_VARCHAR",
    "STR", "TINYBLOB", "TINYTEXT", "VARCHAR2",
})  # fmt: skip


def _to_char(args: list[Expr]) -> exp.ToChar:
    return exp.ToChar(this=args[0] if args else None, format=args[1] if len(args) > 1 else None)


class _Parser(SnowflakeParser):
    FUNCTIONS: ClassVar = {
        **{k: v for k, v in SnowflakeParser.FUNCTIONS.items() if k not in _AS_WRITTEN},
        "TO_CHAR": _to_char, "TO_VARCHAR": _to_char,
    }  # fmt: skip
    FUNCTION_PARSERS: ClassVar = {k: v for k, v in SnowflakeParser.FUNCTION_PARSERS.items() if k in _OWN_GRAMMAR}
    # & | ^ and <=> are not operators in Snowflake (https://docs.snowflake.com/en/sql-reference/operators)
    BITWISE: ClassVar = {}
    EQUALITY: ClassVar = {k: v for k, v in SnowflakeParser.EQUALITY.items() if k != TokenType.NULLSAFE_EQ}

    # a text after + becomes a number, as after - (https://docs.snowflake.com/en/sql-reference/operators-arithmetic)
    UNARY_PARSERS: ClassVar = {**SnowflakeParser.UNARY_PARSERS, TokenType.PLUS: lambda self: self._parse_plus()}

    def _parse_plus(self) -> Expr | None:
        value = self._parse_unary()
        if value is None or (isinstance(value, exp.Literal) and not value.is_string):
            return value
        return exp.Neg(this=exp.Neg(this=value))

    def _parse_types(self, check_func: bool = False, schema: bool = False, allow_identifiers: bool = True,
                     with_collation: bool = False) -> Expr | None:  # fmt: skip
        name = self._curr.text.upper() if allow_identifiers and self._curr else ""
        if name in _FOREIGN_TYPES and self._curr.token_type == TokenType.VAR:
            raise unsupported_type(name)
        return super()._parse_types(check_func, schema, allow_identifiers, with_collation)

    def _parse_function_call(self, *args: Any, **kwargs: Any) -> Expr | None:
        """Parse a call, and check the number of its arguments as they are written."""
        place, name = self._index, self._curr.text.upper() if self._curr else ""
        of_value = self._prev is not None and self._prev.token_type == TokenType.DOT  # 'a'.UPPER(): not checked
        made: Expr | None = super()._parse_function_call(*args, **kwargs)
        if (
            made is not None
            and not of_value
            and is_counted(name)
            and (count := self._written_arguments(place + 1)) is not None
        ):
            check_count(name, count)
        return made

    def _written_arguments(self, place: int) -> int | None:
        """Count the arguments in the parentheses that open at this place; None if none open here."""
        tokens, depth, count = self._tokens, 0, 0
        if place >= len(tokens) or tokens[place].token_type != TokenType.L_PAREN:
            return None
        for at in range(place, len(tokens)):
            kind = tokens[at].token_type
            depth += (kind in _OPENING) - (kind in _CLOSING)
            if not depth:
                return 0 if at == place + 1 else count + 1
            count += kind == TokenType.COMMA and depth == 1
        return None

    def _parse_limit(self, *args: Any, **kwargs: Any) -> Expr | None:
        limit = super()._parse_limit(*args, **kwargs)
        if isinstance(limit, exp.Limit) and limit.args.get("offset") is not None:
            self.raise_error("Unexpected ,")  # LIMIT 1, 2 is MySQL's
        return limit

    # `ALTER TABLE t DROP b` drops a column (https://docs.snowflake.com/en/sql-reference/sql/alter-table#syntax)
    ALTER_DROP_REQUIRES_COLUMN: ClassVar = False
    ALTER_PARSERS: ClassVar = {
        **SnowflakeParser.ALTER_PARSERS,
        "ALTER": lambda self: self._parse_column_changes(),
        "MODIFY": lambda self: self._parse_column_changes(),
    }

    def _parse_column_changes(self) -> list[Expr] | None:
        """Parse `ALTER [(] [COLUMN] a …, [COLUMN] b … [)]`
        (https://docs.snowflake.com/en/sql-reference/sql/alter-table-column#syntax)."""
        wrapped = self._match(TokenType.L_PAREN)
        changes = [self._parse_column_change()]
        while self._match(TokenType.COMMA):
            self._match_texts(("ALTER", "MODIFY"))
            changes.append(self._parse_column_change())
        if wrapped:
            self._match_r_paren()
        return None if None in changes else [change for change in changes if change is not None]

    def _parse_column_change(self) -> Expr | None:
        start = self._index
        self._match(TokenType.COLUMN)
        column = self._parse_field(any_token=True)
        if self._match_text_seq("UNSET", "COMMENT"):
            return self.expression(exp.AlterColumn(this=column, comment=exp.Literal.string("")))
        self._retreat(start)
        return self._parse_alter_table_alter()

    def validate_expression(self, expression: Any, args: list[Any] | None = None) -> Any:
        """Check as sqlglot does; an error about too few or too many arguments also carries the function's name and the counts."""
        if args and len(args) > 1 and isinstance(expression, exp.ArrayAgg):  # sqlglot ignores the others
            raise argument_count(self._called(), 1, len(args))
        try:
            return super().validate_expression(expression, args)
        except ParseError as e:
            if args is not None and (name := self._called()) in KNOWN_FUNCTIONS:
                required, most = sum(expression.arg_types.values()), len(expression.arg_types)
                expected = most if len(args) > most else max(required, len(args) + 1)
                e.arguments = (name, expected, len(args))  # type: ignore[attr-defined]
            raise

    def _called(self) -> str:
        """Return the name before the parentheses that close here."""
        depth = 0
        for place in range(self._index - 1, 0, -1):
            kind = self._tokens[place].token_type
            if kind == TokenType.L_PAREN and not depth:
                return str(self._tokens[place - 1].text).upper()
            depth += (kind == TokenType.R_PAREN) - (kind == TokenType.L_PAREN)
        return ""

    def _parse_projections(self) -> tuple[list[Expr], list[Expr] | None]:
        return self._parse_csv(self._parse_projection), None

    def _parse_projection(self) -> Expr | None:
        """Parse a column of a query and keep its text, which is its name if it has no other."""
        first = self._curr
        node = self._parse_expression()
        if node is not None and first and self._prev and not isinstance(node, (exp.Alias, exp.Column, exp.Star)):
            written = self._find_sql(first, self._prev)
            if not _COMMENT.search(written):
                node.meta[WRITTEN] = written
        return node

    def _parse_csv(self, parse_method: Callable[[], Any], sep: TokenType = TokenType.COMMA) -> list[Any]:
        def part() -> Any:  # sqlglot accepts two commas with nothing between them
            if self._curr and self._curr.token_type == sep:
                self.raise_error("Expected an expression")
            ends = self._curr is None or self._curr.token_type in _BEHIND_LISTS
            if self._prev and self._prev.token_type == sep and ends:
                self.raise_error("Expected an expression")
            return parse_method()

        return super()._parse_csv(part, sep)

    def _parse_primary(self) -> Expr | None:
        self._refuse_string_after(TokenType.STRING)  # 'a' 'b'
        return super()._parse_primary()

    def _parse_alias(self, this: Expr | None, explicit: bool = False) -> Expr | None:
        self._refuse_string_after(TokenType.ALIAS)  # 1 AS 'x'
        return super()._parse_alias(this, explicit)

    def _refuse_string_after(self, kind: TokenType) -> None:
        after = self._next if self._curr and self._curr.token_type == kind else None
        if after and after.token_type == TokenType.STRING:
            self.raise_error("Unexpected string", after)

    def _parse_bracket(self, this: Expr | None = None) -> Expr | None:
        # DuckDB's ARRAY[1, 2] and MAP {'a': 1} are not constants in Snowflake
        word = self._prev.text.upper() if self._prev and self._prev.token_type != TokenType.IDENTIFIER else ""
        opens = {"ARRAY": (TokenType.L_BRACKET,), "MAP": (TokenType.L_BRACKET, TokenType.L_BRACE)}.get(word, ())
        before = self._tokens[self._index - 2].token_type if self._index > 1 else None
        if self._curr and self._curr.token_type in opens and before != TokenType.DOT:
            self.raise_error("Unexpected constructor")
        return super()._parse_bracket(this)

    def _parse_select_query(self, *args: Any, **kwargs: Any) -> Expr | None:
        # DuckDB's `FROM t`, `(SUMMARIZE t)` and `(DESCRIBE t)` are not queries in Snowflake
        if self._curr and self._curr.token_type in _NO_QUERY:
            return None
        return super()._parse_select_query(*args, **kwargs)


class EmbeddedSnowflake(Snowflake):
    """Snowflake's dialect with the parser above, without the types and operators of other systems."""

    ORIGINAL_NAME_META_KEY = SPELLED
    Parser = _Parser

    class Tokenizer(Snowflake.Tokenizer):
        """Names of foreign types are plain names; == is not an operator."""

        KEYWORDS: ClassVar = {
            k: v
            for k, v in Snowflake.Tokenizer.KEYWORDS.items()
            if k not in ("==", "ISNULL", "NOTNULL") and k not in _FOREIGN_TYPES
        }


def parse(sql: str) -> Expr:
    """Parse one statement. Raises sqlglot's errors, and ProgrammingError for what sqlglot accepts and Snowflake does not."""
    if match := _HEX_NUMBER.search(sql):
        _refuse_hex_numbers(sql, match[0])
    tree = parse_one(sql, dialect=EmbeddedSnowflake)
    if isinstance(tree, exp.Block):  # a comment after the semicolon
        statements = [part for part in tree.expressions if not isinstance(part, exp.Semicolon)]
        tree = statements[0] if len(statements) == 1 else tree
    if "DUAL" in sql.upper():
        for from_ in tree.find_all(exp.From):
            _without_dual(from_)
    if "ALL" in sql.upper():
        for order in tree.find_all(exp.Order):
            _by_all(order)
    if "PIVOT" in sql.upper():
        tree = grouped(tree)
    for clause in tree.find_all(exp.With):
        _recursive(clause)
    if ".." in sql:
        for table in tree.find_all(exp.Table):
            _in_public(table)
    return tree


def _refuse_hex_numbers(sql: str, text: str) -> None:
    """Refuse 0x1F, which is not a constant (https://docs.snowflake.com/en/sql-reference/data-types-numeric#numeric-constants)."""
    for token in scan(sql):
        following = sql[token.end : token.end + 1]
        if token.kind == "number" and token.text in ("0", "-0") and following in ("x", "X"):
            raise syntax(text, token.start)


def _in_public(table: exp.Table) -> None:
    """Put `db..table` in PUBLIC
    (https://docs.snowflake.com/en/sql-reference/name-resolution#resolution-when-schema-omitted-double-dot-notation)."""
    if table.args.get("db") == "" and table.args.get("catalog"):
        table.set("db", exp.to_identifier("PUBLIC", quoted=True))


def _recursive(clause: exp.With) -> None:
    """Set RECURSIVE, which may be left out (https://docs.snowflake.com/en/sql-reference/constructs/with#syntax)."""
    if clause.args.get("recursive"):
        return
    for cte in clause.expressions:
        union = cte.this
        if isinstance(union, exp.Union) and any(
            table.name.upper() == cte.alias.upper() and not table.args.get("db")
            for table in union.expression.find_all(exp.Table)
        ):
            clause.set("recursive", True)


def _without_dual(from_: exp.From) -> None:
    """Remove FROM DUAL, which reads no table (https://docs.snowflake.com/en/sql-reference/constructs/from)."""
    table, select = from_.this, from_.parent
    plain = isinstance(table, exp.Table) and len(table.parts) == 1 and table.name.upper() == "DUAL"
    if (
        plain
        and isinstance(select, exp.Select)
        and not select.args.get("joins")
        and not any(p.is_star for p in select.expressions)
    ):
        select.set("from_", None)


def _by_all(order: exp.Order) -> None:
    """Keep ORDER BY ALL from naming a column (https://docs.snowflake.com/en/sql-reference/constructs/order-by)."""
    first = order.expressions[0].this if len(order.expressions) == 1 else None
    if (
        isinstance(first, exp.Column)
        and not first.args.get("table")
        and not first.this.quoted
        and first.name.upper() == "ALL"
    ):
        first.replace(exp.var("ALL"))


def spelled(call: exp.Func) -> str | None:
    """Return a function's name as the statement writes it, upper case unless quoted; None if it is not a call by name."""
    if isinstance(call, exp.Anonymous):
        name = call.this
        if isinstance(name, Expr):
            return name.name if name.args.get("quoted") else name.name.upper()
        return str(name).upper()
    name = call.meta.get(SPELLED)
    return str(name).upper() if name else None
