"""fakesnow's transforms, each known by the nodes that it looks at; one that is new or renamed sees every node, and fails here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fakesnow import transforms
from fakesnow.cursor import FakeSnowflakeCursor
from sqlglot import exp, parse_one

from flows.embedded.warehouse.translate import corrections, times, types
from flows.embedded.warehouse.translate.passes import OF_NODES, OF_STATEMENTS, Passes, changed
from flows.embedded.warehouse.translate.typed_nodes import set_type


def noted() -> Passes:
    connection = SimpleNamespace(variables=None, database="D", schema="S", db_path=None, table_stages=None)
    stand_in: Any = SimpleNamespace(_conn=connection, _duck_conn=None)
    result: Any = FakeSnowflakeCursor._transform(stand_in, Passes(), None)  # type: ignore[arg-type]
    assert isinstance(result, Passes)
    return result


def test_every_transform_of_fakesnow_is_known() -> None:
    names = {name for name, _ in noted().noted}
    assert names - OF_STATEMENTS - OF_NODES.keys() <= {"numeric_agg_implicit_cast"}
    assert sorted(name for name in OF_STATEMENTS | OF_NODES.keys() if not hasattr(transforms, name)) == []


def test_a_pass_changes_what_sqlglots_transform_changes() -> None:
    sql = "SELECT a, TRIM(b::VARCHAR), c:x::INT FROM t JOIN (SELECT 1 AS z) AS u ON t.a = u.z WHERE EXISTS (SELECT * FROM v)"
    for name, function in noted().noted:
        if name in OF_NODES and name not in ("identifier", "information_schema_databases"):
            tree = parse_one(sql, read="snowflake")
            assert changed(tree.copy(), function, OF_NODES[name]) == tree.transform(function), name


def test_a_text_is_trimmed_without_the_macro_that_detects_types() -> None:
    def rewritten(column: exp.Column) -> str:
        trimmed = corrections.trims(exp.select(exp.Trim(this=column, expression=exp.Literal.string(" "))))
        return times.rewrite(trimmed).sql(dialect="duckdb").lower()

    text = exp.column("B")
    set_type(text, types.VARCHAR)
    assert rewritten(text) == "select _cxm_trim(cast(b as text), ' ')"
    assert "_cxm_text(c)" in rewritten(exp.column("C")), "DuckDB tells the type of a column that is not known here"
