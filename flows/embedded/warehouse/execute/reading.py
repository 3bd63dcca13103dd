"""Parses a statement's text into a syntax tree; a statement that no part of this warehouse runs is refused here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import Expr, exp

from flows.embedded.warehouse.statements.row_changes import DML
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.dialect import parse
from flows.embedded.warehouse.text.grammar import Words
from flows.embedded.warehouse.text.reserved import refuse_reserved
from flows.embedded.warehouse.text.statement_text import refused, variables_inlined, with_numbered_binds
from flows.embedded.warehouse.translate.translation import strips_clustering

DDL = (exp.Create, exp.Alter, exp.Drop, exp.Comment)
_TAKEN = (
    exp.TruncateTable,
    exp.Query,
    exp.Set,
    exp.Describe,
    exp.Show,
    exp.Transaction,
    exp.Commit,
    exp.Rollback,
    *DDL,
    *DML,
)


def read(command: str, variables: Mapping[str, Any]) -> Expr:
    """Parse a statement, with session variables replaced. Raises ProgrammingError if it is refused, sqlglot's errors."""
    words = Words(command)
    if words.accept("START", "TRANSACTION", "NAME"):  # https://docs.snowflake.com/en/sql-reference/sql/begin#syntax
        words.part()
        words.finish()
        return exp.Transaction()
    tree = parse(with_numbered_binds(variables_inlined(command, variables)))
    if isinstance(tree, exp.Alias) and tree.this.name.upper() == "START":
        return exp.Transaction()
    if isinstance(tree, exp.Rollback) and tree.args.get("savepoint"):
        raise errors.syntax("TO")
    if isinstance(tree, exp.Command):
        if strips_clustering(tree):
            return tree
        raise refused(command)
    if isinstance(tree, (exp.Put, exp.Get)):
        raise refused(command)
    if not isinstance(tree, _TAKEN):
        raise errors.syntax(command.strip().split()[0])
    refuse_reserved(tree)
    return tree
