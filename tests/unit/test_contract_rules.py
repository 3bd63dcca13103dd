"""The contract's rules on real rows: none of severity error is broken, and what is known to be odd fires a warning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from flows.contract.model import Relationship, Rule, Source, Table
from flows.contract.read import read_source


@pytest.fixture(scope="module")
def olist() -> Source:
    return read_source("olist")


@pytest.fixture(scope="module")
def rows(olist: Source, sample: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The sample's files as tables of text, an empty field as NULL, named as RAW names them."""
    with duckdb.connect() as connection:
        for table in olist.tables:
            columns = ", ".join(f"'{c.name}': 'VARCHAR'" for c in table.columns)
            connection.execute(
                f"CREATE TABLE {table.raw_name} AS SELECT * FROM read_csv('{sample / table.file}', header = true, "
                f"auto_detect = false, delim = ',', quote = '\"', escape = '\"', columns = {{{columns}}}, "
                "nullstr = ['', 'null'], allow_quoted_nulls = true, max_line_size = 1000000)"
            )
        yield connection


def broken(table: Table, rule: Rule) -> str:
    """Return one SELECT that counts the rows of a table that break a rule."""
    column, all_rows = rule.column, f"SELECT COUNT(*) FROM {table.raw_name}"
    match rule.kind:
        case "row_count":
            return f"SELECT CAST(COUNT(*) < {rule.argument('min')} AS INTEGER) FROM {table.raw_name}"
        case "not_null":
            return f"{all_rows} WHERE {column} IS NULL"
        case "unique":
            names = ", ".join(rule.columns or (str(column),))
            return f"SELECT COUNT(*) - COUNT(DISTINCT ({names})) FROM {table.raw_name}"
        case "regex":
            return f"{all_rows} WHERE NOT regexp_matches({column}, '{rule.argument('pattern')}')"
        case "in_set":
            values = ", ".join(f"'{value}'" for value in rule.argument("values"))
            return f"{all_rows} WHERE {column} NOT IN ({values})"
        case "number":
            kind = "BIGINT" if rule.argument("integer") else "DOUBLE"
            whole = f" OR NOT regexp_matches({column}, '^-?[0-9]+$')" if rule.argument("integer") else ""
            return f"{all_rows} WHERE {column} IS NOT NULL AND (TRY_CAST({column} AS {kind}) IS NULL{whole})"
        case "timestamp":
            assert rule.argument("format") == "YYYY-MM-DD HH24:MI:SS"
            read = f"try_strptime({column}, '%Y-%m-%d %H:%M:%S')"
            return f"{all_rows} WHERE {column} IS NOT NULL AND ({read} IS NULL OR length({column}) <> 19)"
        case "between":
            ends = ((rule.argument("min"), "<"), (rule.argument("max"), ">"))
            outside = (f"TRY_CAST({column} AS DOUBLE) {sign} {value}" for value, sign in ends if value is not None)
            return f"{all_rows} WHERE {' OR '.join(outside)}"


def orphans(table: Table, link: Relationship) -> str:
    pairs = list(zip(link.columns, link.parent_columns, strict=True))
    on = " AND ".join(f"child.{ours} = parent.{theirs}" for ours, theirs in pairs)
    named = " AND ".join(f"child.{ours} IS NOT NULL" for ours, _ in pairs)
    return f"SELECT COUNT(*) FROM {table.raw_name} AS child ANTI JOIN {link.parent} AS parent ON {on} WHERE {named}"


def count(rows: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(rows.execute(sql).fetchall()[0][0])


def test_the_sample_has_the_columns_of_the_contract_in_order(olist: Source, sample: Path) -> None:
    for table in olist.tables:
        with (sample / table.file).open(encoding="utf-8-sig") as file:
            assert tuple(file.readline().rstrip("\r\n").split(",")) == table.header, table.file


def test_no_rule_of_severity_error_is_broken_by_real_rows(olist: Source, rows: duckdb.DuckDBPyConnection) -> None:
    rules = [(t, r) for t in olist.tables for r in t.rules if r.severity == "error"]
    got = {f"{t.name} {r.kind} {r.column or r.columns}": count(rows, broken(t, r)) for t, r in rules}
    links = [(t, link) for t in olist.tables for link in t.relationships if link.severity == "error"]
    got |= {f"{t.name} → {link.parent}": count(rows, orphans(t, link)) for t, link in links}
    assert len(got) > 100
    assert {name: n for name, n in got.items() if n} == {}


def test_what_is_odd_in_real_rows_is_a_warning(olist: Source, rows: duckdb.DuckDBPyConnection) -> None:
    rules = [(t, r) for t in olist.tables for r in t.rules if r.severity == "warning"]
    got = {f"{r.column} {r.kind}": count(rows, broken(t, r)) for t, r in rules}
    links = [(t, link) for t in olist.tables for link in t.relationships if link.severity == "warning"]
    got |= {f"{t.name} → {link.parent}": count(rows, orphans(t, link)) for t, link in links}
    assert got == {
        "GEOLOCATION_LAT between": 2,
        "GEOLOCATION_LNG between": 2,
        "products → OLIST_PRODUCT_CATEGORY_NAME_TRANSLATION": 5,
    }


def test_each_rule_fires_on_a_row_that_breaks_it(olist: Source, rows: duckdb.DuckDBPyConnection) -> None:
    """Guards the two tests above: a check that finds nothing anywhere proves nothing."""
    for table in olist.tables:
        rows.execute("BEGIN")
        bad = ", ".join("'-1000.5 x'" for _ in table.columns)
        far = ", ".join("'-1000'" for _ in table.columns)
        none = ", ".join("NULL" for _ in table.columns)
        rows.execute(f"INSERT INTO {table.raw_name} VALUES ({bad}), ({bad}), ({far}), ({none})")
        quiet = [r for r in table.rules if r.kind != "row_count" and not count(rows, broken(table, r))]
        quiet += [link for link in table.relationships if not count(rows, orphans(table, link))]
        rows.execute(f"DELETE FROM {table.raw_name}")
        quiet += [r for r in table.rules if r.kind == "row_count" and not count(rows, broken(table, r))]
        rows.execute("ROLLBACK")
        assert quiet == [], table.name
