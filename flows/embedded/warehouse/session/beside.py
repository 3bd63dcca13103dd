"""Tries a statement on a second connection first if its transaction has written, so that an error ends only the statement.

DuckDB aborts a transaction at the first error that a statement meets while it runs; on Snowflake only the failed statement is
rolled back (https://docs.snowflake.com/en/sql-reference/transactions#failed-statements-within-a-transaction).

query ──over copies of what the transaction has written──▶ runs beside it; its rows are the answer
INSERT | UPDATE | DELETE | MERGE ──the same, rolled back──▶ the error; else the statement runs in the transaction itself
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sqlglot import Expr, exp, parse_one

from flows.embedded.warehouse.session.later_parts import Part, alike
from flows.embedded.warehouse.session.privileges import parts_of, sources, target_of
from flows.embedded.warehouse.text.grammar import quote_name

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

# A query of these nodes alone cannot fail, whatever the values.
_HARMLESS = (
    exp.Select, exp.From, exp.Table, exp.Identifier, exp.Where, exp.Count, exp.Star, exp.Column, exp.Literal, exp.EQ, exp.And,
    exp.Alias, exp.TableAlias, exp.Paren, exp.Boolean, exp.Placeholder, exp.Order, exp.Ordered, exp.DataType,
    exp.DataTypeParam,
)  # fmt: skip


def beside(conn: WarehouseConnection, part: Part) -> contextlib.AbstractContextManager[Beside]:
    """Open a second connection beside a part of the session's transaction, for one statement."""
    return _opened(Beside(conn, part))


@contextlib.contextmanager
def _opened(made: Beside) -> Iterator[Beside]:
    conn = made.conn
    conn.beside = made.duck
    try:
        yield made
    finally:
        conn.beside = None
        made.duck.close()


def cannot_fail(query: Expr, is_text: Callable[[Expr], bool]) -> bool:
    """Whether no value can make a query fail: it selects or counts rows, and compares text columns with literals or binds."""
    for node in query.walk():
        counted = isinstance(node, exp.Cast) and isinstance(node.this, exp.Count)  # COUNT is a NUMBER(18, 0)
        if not (counted or isinstance(node, _HARMLESS)):
            return False
        if isinstance(node, exp.EQ) and not (
            isinstance(node.this, exp.Column)
            and isinstance(node.expression, (exp.Literal, exp.Placeholder))
            and is_text(node.this)
            and is_text(node.expression)
        ):
            return False
    return True


class Beside:
    """A second connection beside one part of a session's transaction, with copies of tables that only the transaction sees."""

    def __init__(self, conn: WarehouseConnection, part: Part) -> None:
        self.conn, self._part = conn, part
        self._copies: dict[str, str] = {}
        self.duck = alike(part.duck)

    @contextlib.contextmanager
    def rolled_back(self) -> Iterator[None]:
        """Roll back the statements in this block, which are run only to see whether they fail."""
        self.duck.execute("BEGIN TRANSACTION")
        try:
            yield
        finally:
            self.duck.execute("ROLLBACK")

    def run(self, tree: Expr, bindings: Any = None, tail: str = "") -> list[Any]:
        """Run a tree for the engine over the copies and return its rows. Raises duckdb.Error."""
        return self.duck.execute(self.over_copies(tree).sql(dialect="duckdb") + tail, bindings).fetchall()

    def over_copies(self, tree: Expr) -> Expr:
        """Return a copy of the engine's tree that reads the copied tables."""
        tree = tree.copy()
        target = target_of(tree) if isinstance(tree, exp.Insert) else None
        for table in list(sources(tree)):
            relation, full = self._relation(table)
            if not relation or (table is target and full in self._part.wrote):
                continue  # an INSERT reads nothing of the table that it adds to
            alias = table.args.get("alias")
            if not alias and table is not target:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
            for column in tree.find_all(exp.Column):
                if column.args.get("db") and column.table == table.name:
                    column.set("db", None)
                    column.set("catalog", None)
            table.set("this", exp.to_identifier(self._copied(relation), quoted=True))
            table.set("db", None)
            table.set("catalog", None)
        return tree

    def sees(self, tree: Expr) -> bool:
        """Whether a statement can run here: it reads no temporary view, and no view over tables written in its transaction."""
        for table in sources(tree):
            parts = parts_of(table)
            if len(parts) == 1 and any(n[2] == parts[0] and k == "VIEW" for n, k in self.conn.temporary_tables.items()):
                return False
            if parts[0] not in self.conn.registered and self._views_reads(".".join(self.conn.qualify(parts))):
                return False
        return True

    def _views_reads(self, full: str) -> bool:
        """Whether this is a view over tables that the transaction has written."""
        if self.conn.account.find("VIEW", full) is None:
            return False
        database, schema, name = full.split(".", 2)
        row = self.duck.execute(
            "SELECT sql FROM duckdb_views() WHERE (database_name, schema_name, view_name) = (?, ?, ?)",
            [database, schema, name],
        ).fetchone()
        read = parse_one(str(row[0]), read="duckdb").find_all(exp.Table) if row else []
        for table in read:
            parts = (table.catalog or database, table.db or schema, table.name)
            if ".".join(parts) in self._part.wrote or (".".join(parts) != full and self._views_reads(".".join(parts))):
                return True
        return False

    def _relation(self, table: exp.Table) -> tuple[str, str]:
        """Return the table to copy for a statement's, "" if all connections see it; and its full name, "" if temporary."""
        parts = parts_of(table)
        own = {name[2] for name in self.conn.temporary_tables} | self.conn.registered.keys()
        if len(parts) == 1 and parts[0] in own:
            return quote_name(parts[0]), ""
        name = self.conn.qualify(parts)
        full = ".".join(name)
        return (".".join(map(quote_name, name)) if full in self._part.wrote else ""), full

    def _copied(self, relation: str) -> str:
        if relation not in self._copies:
            self._copies[relation] = name = f"_cxm_copy_{len(self._copies)}"
            statement = self.conn.statement
            with statement.unstoppable() if statement else contextlib.nullcontext():
                columns = self._part.duck.execute(f"DESCRIBE {relation}").fetchall()
                rows = self._part.duck.execute(f"SELECT * FROM {relation}").to_arrow_table()
            defined = ", ".join(
                f"{quote_name(column)} {type_}"
                + (" NOT NULL" if null == "NO" else "")
                + (f" DEFAULT {default}" if default else "")
                for column, type_, null, _, default, _ in columns
            )
            self.duck.execute(f"CREATE TEMPORARY TABLE {quote_name(name)} ({defined})")
            self.duck.register(f"{name}_rows", rows)
            self.duck.execute(f"INSERT INTO {quote_name(name)} SELECT * FROM {name}_rows")
            self.duck.unregister(f"{name}_rows")
        return self._copies[relation]
