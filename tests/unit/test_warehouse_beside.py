"""Which queries of a transaction run in it as they are, and which run over copies of what it has written."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from flows.contract.sql import template
from flows.embedded.warehouse.execute.reading import read
from flows.embedded.warehouse.session.beside import cannot_fail
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.bound_values import is_text
from flows.embedded.warehouse.translate.typing import Typing

COLUMNS = {"_BATCH_ID": types.VARCHAR, "PRICE": types.VARCHAR, "N": types.of_literal("1")}


def stays(sql: str, *bindings: Any) -> bool:
    tree = Typing(lambda _: COLUMNS, list(bindings)).statement(read(sql, {}))
    return cannot_fail(tree, partial(is_text, binds=list(bindings)))


def test_a_load_counts_its_rows_without_a_copy_of_the_table() -> None:
    sql = template("raw/count_batch.sql", database="D", table="OLIST_ORDERS")
    assert stays(sql, "20260101_000000")
    assert not stays(sql, 20260101)  # a number: every row's text is converted, and one may not be a number


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT PRICE::NUMBER FROM T",
        "SELECT COUNT(*) FROM T WHERE N = '1'",
        "SELECT 1 / N FROM T",
        "SELECT COUNT(*) FROM T WHERE PRICE = 1",
    ],
)
def test_what_a_value_can_make_fail_runs_beside(sql: str) -> None:
    assert not stays(sql)
