"""Whole rendered texts against golden files, and every statement against two parsers of Snowflake's SQL."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import sqlglot
from sqlfluff.core import FluffConfig, Linter

from flows.contract import render_dictionary, render_sql
from flows.contract.model import AUDIT_COLUMNS, Source
from flows.contract.read import read_source
from flows.contract.set_aside import broken_by_rules, set_aside
from flows.errors import ConfigurationError

GOLDEN = Path(__file__).parent.parent / "golden"
BATCH = "20261122_101500"
DATABASE = "CXM_MEDTECH"


@pytest.fixture(scope="module")
def clinic() -> Source:
    return read_source(GOLDEN / "clinic.odcs.yaml")


@pytest.fixture(scope="module")
def olist() -> Source:
    return read_source("olist")


@pytest.fixture(scope="module")
def linter() -> Linter:
    return Linter(config=FluffConfig(overrides={"dialect": "snowflake"}))


def golden(name: str) -> str:
    return (GOLDEN / name).read_text(encoding="utf-8")


def statements(source: Source) -> dict[str, str]:
    result = {}
    for table in source.tables:
        result[f"create {table.name}"] = render_sql.create_table(table, DATABASE, source.schema)
        result[f"add {table.name}"] = render_sql.add_columns(table, table.columns, DATABASE, source.schema)
        result[f"copy {table.name}"] = render_sql.copy_into(source, table, DATABASE, BATCH, [table.file, "it's.csv"])
    return result


def test_create_table_matches_the_golden_file(clinic: Source) -> None:
    rendered = render_sql.create_table(clinic.table("visits"), DATABASE, "RAW")
    assert rendered + "\n" == golden("create_table.sql")


def test_add_columns_matches_the_golden_file(clinic: Source) -> None:
    visits = clinic.table("visits")
    assert render_sql.add_columns(visits, visits.columns[2:], DATABASE, "RAW") + "\n" == golden("add_columns.sql")


def test_copy_into_matches_the_golden_file(clinic: Source) -> None:
    rendered = render_sql.copy_into(clinic, clinic.table("visits"), DATABASE, BATCH, ["visits_list.csv", "o'b\\x.csv"])
    assert rendered + "\n" == golden("copy_into.sql")


def test_setting_rows_aside_matches_the_golden_file(clinic: Source, linter: Linter) -> None:
    visits = clinic.table("visits")
    broken = broken_by_rules(clinic, visits, BATCH)
    assert broken is not None
    rendered = set_aside(visits, DATABASE, BATCH, broken) + "\n"
    assert rendered == golden("set_aside.sql")
    assert linter.parse_string(rendered).violations == []


def test_the_dictionary_matches_the_golden_file(clinic: Source) -> None:
    assert render_dictionary.render(clinic) == {"data_dictionary/README.md": golden("README.md")}


@pytest.mark.parametrize("name", ["olist", "synthetic"])
def test_the_dictionary_has_every_column_with_its_type_rules_and_pii_class(name: str) -> None:
    source = read_source(name)
    (page,) = render_dictionary.render(source).values()
    for table in source.tables:
        text = page.split(f"\n### {table.raw_name}\n")[1].split("\n### ")[0]
        rows = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in text.splitlines() if line.startswith("| `")]
        rules = {c.name: sum(rule.column == c.name for rule in table.rules) for c in table.columns}
        got = [(row[0].strip("`"), row[1], row[5], len(row[6].split("; ")) if row[6] else 0) for row in rows]
        assert got == [(c.name, c.logical_type, f"{c.pii}, {c.classification}", rules[c.name]) for c in table.columns]
        assert text.count("\n- Rule: ") == sum(rule.column is None for rule in table.rules)


@pytest.mark.parametrize("name", ["olist", "clinic"])
def test_every_statement_is_one_statement_of_the_right_kind_to_sqlglot(
    name: str, request: pytest.FixtureRequest
) -> None:
    kinds = {"create": sqlglot.exp.Create, "add": sqlglot.exp.Alter, "copy": sqlglot.exp.Copy}
    for what, sql in statements(request.getfixturevalue(name)).items():
        (tree,) = sqlglot.parse(sql, read="snowflake")
        assert isinstance(tree, kinds[what.split()[0]]), what


@pytest.mark.parametrize("name", ["olist", "clinic"])
def test_every_statement_parses_with_sqlfluff(name: str, request: pytest.FixtureRequest, linter: Linter) -> None:
    for what, sql in statements(request.getfixturevalue(name)).items():
        assert linter.parse_string(sql + "\n").violations == [], what


def test_comments_come_through_the_escaping_unchanged(clinic: Source) -> None:
    """What sqlglot reads back from the DDL is what the contract says, apostrophe, backslash and line break included."""
    visits = clinic.table("visits")
    tree = sqlglot.parse_one(render_sql.create_table(visits, DATABASE, "RAW"), read="snowflake")
    got = {
        column.name: constraint.kind.this.name
        for column in tree.find_all(sqlglot.exp.ColumnDef)
        for constraint in column.constraints
    }
    expected = {c.name: f"{c.business_name}: {c.description}" for c in visits.columns}
    assert {name: got[name] for name in expected} == expected
    assert list(got) == [*expected, *AUDIT_COLUMNS]
    (comment,) = tree.find_all(sqlglot.exp.SchemaCommentProperty)
    assert comment.this.name == f"{visits.business_name}: {visits.description}"


def test_nothing_rendered_replaces_or_drops_a_table(olist: Source) -> None:
    for what, sql in statements(olist).items():
        assert not re.search(r"\b(REPLACE|DROP|TRUNCATE|DELETE)\b", sql), what
    assert all("IF NOT EXISTS" in sql for what, sql in statements(olist).items() if not what.startswith("copy"))


def test_copy_fills_every_column_in_file_order(olist: Source) -> None:
    for table in olist.tables:
        tree = sqlglot.parse_one(render_sql.copy_into(olist, table, DATABASE, BATCH, [table.file]), read="snowflake")
        columns = [e.name for e in tree.this.expressions]
        select = tree.find(sqlglot.exp.Select)
        assert columns == [*(c.name for c in table.columns), *AUDIT_COLUMNS]
        assert len(select.expressions) == len(columns)
        assert [e.sql("snowflake") for e in select.expressions[: len(table.columns)]] == [
            f"t.${n}" for n in range(1, len(table.columns) + 1)
        ]


@pytest.mark.parametrize(
    "batch",
    ["", "2026-11-22", "20261122_101500/../", "20261122_101500'; DROP TABLE X; --", "20261122_10150٣", f"{BATCH}\n"],
)
def test_a_batch_id_of_another_form_is_refused(clinic: Source, batch: str) -> None:
    with pytest.raises(ConfigurationError, match="expected YYYYMMDD_HHMMSS"):
        render_sql.copy_into(clinic, clinic.table("visits"), DATABASE, batch, ["visits_list.csv"])


@pytest.mark.parametrize(
    "name", ["a'); DROP TABLE RAW.X; --", "a\\'); DROP TABLE RAW.X; --", "a\\", "a\nb", "$1", "{{ database }}"]
)
def test_a_file_name_stays_a_value_whatever_it_holds(clinic: Source, name: str) -> None:
    sql = render_sql.copy_into(clinic, clinic.table("visits"), DATABASE, BATCH, [name])
    (tree,) = sqlglot.parse(sql, read="snowflake")
    (files,) = (p.expression for p in tree.args["params"] if p.this.name.upper() == "FILES")
    assert [value.name for value in files.find_all(sqlglot.exp.Literal)] == [name]


def test_a_folder_that_could_leave_the_batch_is_refused(clinic: Source) -> None:
    table = replace(clinic.table("visits"), file="../other/visits.csv")
    with pytest.raises(ConfigurationError, match=re.escape("'../other/visits.csv'")):
        render_sql.copy_into(clinic, table, DATABASE, BATCH, ["visits.csv"])


def test_copy_takes_one_to_a_thousand_files_each_once(clinic: Source) -> None:
    visits = clinic.table("visits")
    most = [f"part{n}.csv" for n in range(1000)]
    assert "'part999.csv'" in render_sql.copy_into(clinic, visits, DATABASE, BATCH, most)
    for files in ([], [*most, "one_more.csv"], ["a.csv", "a.csv"]):
        with pytest.raises(ConfigurationError, match="expected 1 to 1000 for one COPY"):
            render_sql.copy_into(clinic, visits, DATABASE, BATCH, files)


@pytest.mark.parametrize("bad", ["raw", "A B", 'A"B', "1A", "A;DROP", "", "A\n", "A-B"])
def test_a_name_that_needs_quotes_is_refused_everywhere(clinic: Source, bad: str) -> None:
    visits = clinic.table("visits")
    column = replace(visits.columns[0], name=bad)
    for render in (
        lambda: render_sql.create_table(visits, bad, "RAW"),
        lambda: render_sql.create_table(visits, DATABASE, bad),
        lambda: render_sql.create_table(replace(visits, raw_name=bad), DATABASE, "RAW"),
        lambda: render_sql.create_table(replace(visits, columns=(column,)), DATABASE, "RAW"),
        lambda: render_sql.add_columns(visits, [column], DATABASE, "RAW"),
        lambda: render_sql.copy_into(replace(clinic, stage=bad), visits, DATABASE, BATCH, ["a.csv"]),
        lambda: render_sql.copy_into(replace(clinic, file_format=bad), visits, DATABASE, BATCH, ["a.csv"]),
    ):
        with pytest.raises(ConfigurationError, match="cannot be used unquoted"):
            render()


def test_adding_no_columns_is_refused_and_not_rendered(clinic: Source) -> None:
    with pytest.raises(ConfigurationError, match="no column is missing"):
        render_sql.add_columns(clinic.table("visits"), [], DATABASE, "RAW")
