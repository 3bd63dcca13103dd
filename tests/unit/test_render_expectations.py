"""A contract renders to Great Expectations' files: what they say, and that its own stores read and write them unchanged."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlglot
import yaml

from flows.contract.broken_rows import broken_rows
from flows.contract.expectations import asset_query, expectations
from flows.contract.model import AUDIT_COLUMNS, Relationship, Rule, Source, Table
from flows.contract.read import read_source
from flows.contract.render_expectations import render
from flows.errors import ConfigurationError
from tests.contract_columns import column

HOSPITALS = Table(
    "hospitals",
    "T_HOSPITALS",
    "hospitals.csv",
    "Account",
    "One row per hospital.",
    "snapshot",
    (column("HOSPITAL_ID", 1), column("STATE", 2)),
    ("HOSPITAL_ID",),
    rules=(Rule("in_set", "error", "STATE", arguments=(("values", ("SP", "Val d'Or")),), description="It's a state."),),
)
CASES = Table(
    "cases",
    "T_CASES",
    "cases.csv",
    "Surgical case",
    "One row per case.",
    "snapshot",
    (column("CASE_ID", 1), column("LINE", 2), column("HOSPITAL_ID", 3, required=True), column("PRICE", 4)),
    ("CASE_ID", "LINE"),
    (Relationship(("HOSPITAL_ID",), "T_HOSPITALS", ("HOSPITAL_ID",), "error"),),
    (Rule("between", "warning", "PRICE", arguments=(("max", 9.5), ("min", 0))),),
)
SOURCE = Source("clinic", "1.0.0", "Two tables", "RAW", "S", "F", (HOSPITALS, CASES), 24, 48)


def suite(source: Source, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(render(source)[f"expectations/gx/expectations/{name}.json"])
    return document


def pattern(rule: Rule) -> re.Pattern[str]:
    """Return the regular expression that a rule on PRICE becomes."""
    rules = expectations(SOURCE, replace(CASES, rules=(rule,), relationships=()))[-1]
    return re.compile(str(rules.kwargs["regex"]))


def test_every_table_gets_a_suite_and_a_validation_definition_and_the_source_a_checkpoint() -> None:
    root = "expectations/gx"
    assert sorted(render(SOURCE)) == [
        f"{root}/checkpoints/raw_clinic.json",
        f"{root}/expectations/t_cases.json",
        f"{root}/expectations/t_hospitals.json",
        f"{root}/great_expectations.yml",
        f"{root}/validation_definitions/t_cases.json",
        f"{root}/validation_definitions/t_hospitals.json",
    ]


def test_a_suite_is_exactly_this() -> None:
    contract = "data_dictionary/clinic.odcs.yaml"
    columns = ["hospital_id", "state", "_load_timestamp", "_batch_id", "_source_filename", "_source_row_number"]

    def entry(
        kind: str, rule: str, named: list[str], kwargs: dict[str, object], severity: str = "error"
    ) -> dict[str, Any]:
        meta = {"columns": named, "contract": contract, "rule": rule, "severity": severity}
        return {
            "kwargs": kwargs,
            "meta": meta,
            "severity": {"error": "critical", "warning": "warning"}[severity],
            "type": kind,
        }

    got = suite(SOURCE, "t_hospitals")
    described = [e.pop("description", None) for e in got["expectations"]]
    for expectation in got["expectations"]:
        del expectation["id"]
    assert got["expectations"] == [
        entry("expect_table_columns_to_match_set", "hospitals.column_set", [], {"column_set": columns}),
        entry(
            "expect_table_columns_to_match_ordered_list",
            "hospitals.column_order",
            [],
            {"column_list": columns},
            "warning",
        ),
        entry("expect_table_row_count_to_be_between", "hospitals.row_count", [], {"min_value": 1}),
        entry(
            "expect_column_values_to_not_be_null",
            "hospitals.not_null(HOSPITAL_ID)",
            ["HOSPITAL_ID"],
            {"column": "hospital_id"},
        ),
        entry(
            "expect_column_values_to_be_unique",
            "hospitals.unique(HOSPITAL_ID)",
            ["HOSPITAL_ID"],
            {"column": "hospital_id"},
        ),
        entry(
            "expect_column_values_to_be_in_set",
            "hospitals.in_set(STATE)",
            ["STATE"],
            {"column": "state", "value_set": ["SP", "Val d'Or"]},
        ),
    ]
    assert described[-1] == "STATE must be one of SP, Val d'Or. It's a state."
    assert {k: v for k, v in got.items() if k not in ("expectations", "id")} == {
        "meta": {"derived": f"derived from {contract} by `cxm contract sync`"},
        "name": "t_hospitals",
        "notes": "Account: One row per hospital.",
    }


def read(column: str) -> str:
    """Return what staging's macro `text` makes of a column."""
    return f"nullif(trim({column}, ' \\t\\r\\n'), '')"


NEWEST = " QUALIFY ROW_NUMBER() OVER (ORDER BY COALESCE(l.BATCH_SEQUENCE, 0) DESC, l.BATCH_ID DESC) = 1"
KEY = read("p.HOSPITAL_ID")
JUDGED = NEWEST.replace("ORDER BY ", "ORDER BY IFF(l.STATUS = 'loaded', 1, 0) DESC, ")


def test_an_asset_reads_the_newest_valid_batch_and_a_run_names_its_own() -> None:
    texts = ", ".join(f"{read(f't.{c.name}')} AS {c.name}" for c in CASES.columns)

    def query(batch: str) -> str:
        rows = f"SELECT t.* REPLACE ({texts}) FROM RAW.T_CASES AS t WHERE t._BATCH_ID = {batch}"
        held = f"SELECT t.*, try_cast(t.PRICE as number(38, 9)) AS PRICE__HELD FROM ({rows}) AS t"
        return f"SELECT t.* EXCLUDE (PRICE__HELD), t.PRICE__HELD AS PRICE__VALUE FROM ({held}) AS t"

    assert asset_query(SOURCE, CASES) == query(
        "(SELECT l.BATCH_ID FROM RAW.LOAD_LEDGER AS l WHERE l.SOURCE = 'clinic' AND l.TABLE_NAME = 'T_CASES'"
        f" AND l.STATUS IN ('loaded', 'validated'){JUDGED})"
    )
    assert asset_query(SOURCE, CASES, "20261122_101500") == query("'20261122_101500'")


def test_a_text_is_trimmed_once_and_read_once() -> None:
    source = read_source("olist")
    sql = asset_query(source, source.table("order_items"), "20261122_101500")
    assert sql.count("trim(t.PRICE,") == sql.count("try_cast(t.PRICE as") == 1
    assert sql.count("try_to_timestamp_ntz(") == 1


def test_an_orphan_is_looked_for_in_the_current_batch_of_a_snapshot_and_in_the_newest_of_each_day() -> None:
    def query(load: str) -> str:
        source = replace(SOURCE, tables=(replace(HOSPITALS, load=load), CASES))
        return str(expectations(source, CASES)[-1].kwargs["unexpected_rows_query"])

    assert query("snapshot") == (
        f"SELECT 1 AS ORPHAN FROM {{batch}} AS child LEFT JOIN (SELECT DISTINCT {KEY} AS HOSPITAL_ID FROM RAW.T_HOSPITALS AS p"
        " WHERE p._BATCH_ID IN (SELECT l.BATCH_ID FROM RAW.LOAD_LEDGER AS l WHERE l.SOURCE = 'clinic'"
        f" AND l.TABLE_NAME = 'T_HOSPITALS' AND l.STATUS IN ('loaded', 'validated'){JUDGED})) AS parent"
        " ON child.HOSPITAL_ID = parent.HOSPITAL_ID WHERE child.HOSPITAL_ID IS NOT NULL AND parent.HOSPITAL_ID IS NULL"
    )
    assert query("append") == query("snapshot").replace("OVER (ORDER", "OVER (PARTITION BY l.FILE_NAME ORDER")


def test_a_daily_tables_orphans_are_looked_for_in_what_another_source_has_published() -> None:
    parent = replace(SOURCE, name="registry", schema="REG", tables=(HOSPITALS,))
    link = Relationship(("HOSPITAL_ID",), "T_HOSPITALS", ("HOSPITAL_ID",), "error", source="registry")
    cases = replace(CASES, file="cases_{date}.csv", load="append", relationships=(link,))
    rules = expectations(replace(SOURCE, tables=(cases,), references=(parent,)), cases)[-1]
    assert rules.kwargs["unexpected_rows_query"] == (
        f"SELECT 1 AS ORPHAN FROM {{batch}} AS child LEFT JOIN (SELECT DISTINCT {KEY} AS HOSPITAL_ID FROM REG.T_HOSPITALS AS p"
        " WHERE p._BATCH_ID IN (SELECT l.BATCH_ID FROM REG.LOAD_LEDGER AS l WHERE l.SOURCE = 'registry'"
        f" AND l.TABLE_NAME = 'T_HOSPITALS' AND l.STATUS IN ('validated'){NEWEST})"
        f" AND {KEY} IN (SELECT c.HOSPITAL_ID FROM {{batch}} AS c)) AS parent"
        " ON child.HOSPITAL_ID = parent.HOSPITAL_ID WHERE child.HOSPITAL_ID IS NOT NULL AND parent.HOSPITAL_ID IS NULL"
    )
    assert "source registry, which must be loaded first" in rules.description


def test_every_query_is_snowflake_sql() -> None:
    source = read_source("olist")
    for table in source.tables:
        for sql in (asset_query(source, table), asset_query(source, table, "20261122_101500")):
            sqlglot.parse_one(sql, dialect="snowflake")
        for one in expectations(source, table):
            if sql := str(one.kwargs.get("unexpected_rows_query", "")):
                sqlglot.parse_one(sql.format(batch="GX_TEMP"), dialect="snowflake")


def test_the_contract_of_olist_asks_for_what_the_issue_lists() -> None:
    source = read_source("olist")
    rules = {(e.rule, e.columns, e.severity) for table in source.tables for e in expectations(source, table)}
    for expected in [
        ("column_set", (), "error"),
        ("row_count", (), "error"),
        ("not_null", ("ORDER_ID",), "error"),
        ("unique", ("ORDER_ID", "ORDER_ITEM_ID"), "error"),
        ("regex", ("ORDER_ID",), "error"),
        ("timestamp", ("ORDER_PURCHASE_TIMESTAMP",), "error"),
        ("number", ("PRICE",), "error"),
        ("in_set", ("ORDER_STATUS",), "error"),
        ("in_set", ("SELLER_STATE",), "error"),
        ("between", ("REVIEW_SCORE",), "error"),
        ("relationship", ("CUSTOMER_ID",), "error"),
        ("between", ("GEOLOCATION_LAT",), "warning"),
        ("between", ("GEOLOCATION_LNG",), "warning"),
    ]:
        assert expected in rules
    columns = next(
        e.kwargs["column_list"] for e in expectations(source, source.table("sellers")) if e.rule == "column_order"
    )
    assert columns == [
        *("seller_id", "seller_zip_code_prefix", "seller_city", "seller_state"),
        *(c.lower() for c in AUDIT_COLUMNS),
    ]


def test_ids_are_stable_and_no_two_are_the_same() -> None:
    olist = read_source("olist")
    files = render(olist)
    assert files == render(read_source("olist"))
    ids = [e["id"] for name in files if "/expectations/" in name[15:] for e in json.loads(files[name])["expectations"]]
    assert len(ids) == len(set(ids)) > 100


def test_sources_share_one_project() -> None:
    other = replace(SOURCE, name="lab", tables=(replace(HOSPITALS, name="labs", raw_name="T_LABS"),))
    project = yaml.safe_load(render(SOURCE, other)["expectations/gx/great_expectations.yml"])
    assert list(project["fluent_datasources"]["raw"]["assets"]) == ["t_hospitals", "t_cases", "t_labs"]


def test_the_project_calls_nobody_and_names_no_machine() -> None:
    text = render(SOURCE)["expectations/gx/great_expectations.yml"]
    project = yaml.safe_load(text)
    assert project["analytics_enabled"] is False
    raw = project["fluent_datasources"]["raw"]
    assert raw["kwargs"]["connect_args"] == {"host": "127.0.0.1", "port": 8088, "protocol": "http"}
    assert raw["connection_string"]["account"] == "cxm-embedded"
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


def test_a_pattern_speaks_of_the_whole_value() -> None:
    assert pattern(Rule("regex", "error", "PRICE", arguments=(("pattern", "a|b"),))).pattern == "^(a|b)$"
    assert pattern(Rule("regex", "error", "PRICE", arguments=(("pattern", "^[0-9]{5}$"),))).pattern == "^[0-9]{5}$"


def test_keys_and_required_columns_are_checked_even_if_no_rule_says_so() -> None:
    rules = [(e.rule, e.columns) for e in expectations(SOURCE, CASES)]
    assert rules[2:7] == [
        ("row_count", ()),
        ("not_null", ("CASE_ID",)),
        ("not_null", ("LINE",)),
        ("not_null", ("HOSPITAL_ID",)),
        ("unique", ("CASE_ID", "LINE")),
    ]
    said = replace(CASES, rules=(Rule("not_null", "warning", "LINE"), *CASES.rules))
    assert [e.severity for e in expectations(SOURCE, said) if e.rule == "not_null" and e.columns == ("LINE",)] == [
        "warning"
    ]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            Rule("not_null", "error", "PRIZE"),
            "clinic.cases: rule not_null names column PRIZE, which the table does not have",
        ),
        (
            Rule("between", "error", "PRICE"),
            "clinic.cases: rule between on PRICE with {} cannot be checked: expected min",
        ),
        (Rule("in_set", "error", "PRICE", arguments=(("values", ()),)), "expected a list of values"),
        (Rule("timestamp", "error", "PRICE", arguments=(("format", "DD/MM/YY"),)), "expected a format of YYYY, MM, DD"),
        (Rule("regex", "error", columns=("PRICE", "LINE"), arguments=(("pattern", "x"),)), "rule regex on PRICE, LINE"),
    ],
)
def test_a_rule_that_cannot_be_checked_is_named(rule: Rule, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        render(replace(SOURCE, tables=(HOSPITALS, replace(CASES, rules=(rule,)))))


def test_reading_and_saving_with_great_expectations_changes_nothing_but_its_stamp(tmp_path: Path) -> None:
    import great_expectations as gx

    files = render(SOURCE)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    context = gx.get_context(mode="file", project_root_dir=tmp_path / "expectations")
    assert {s.name for s in context.suites.all()} == {"t_hospitals", "t_cases"}
    for saved in (*context.suites.all(), *context.validation_definitions.all(), *context.checkpoints.all()):
        saved.save()
    severities = {e.severity.value for s in context.suites.all() for e in s.expectations}
    assert severities == {"critical", "warning"}
    for name, text in files.items():
        saved_text = (tmp_path / name).read_text(encoding="utf-8")
        # Saving stamps a suite with the version of Great Expectations that did it.
        assert re.sub(r',\n    "great_expectations_version": "[^"]*"', "", saved_text) == text, name
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(files)


def test_the_broken_rows_of_a_rule_are_asked_for_with_qualify_only_where_a_window_counts_them() -> None:
    """QUALIFY needs a window function, https://docs.snowflake.com/en/sql-reference/constructs/qualify: a column or a value that
    has the letters OVER in it is not one."""
    rule = Rule("in_set", "error", "TURNOVER", arguments=(("values", ("OVERDUE", "LEFTOVER")),))
    table = replace(CASES, columns=(*CASES.columns, column("TURNOVER", 5)), rules=(rule,))
    asked = {e.name: broken_rows(SOURCE, table, e, "20260101_000000") or "" for e in expectations(SOURCE, table)}
    assert ") AS r WHERE r.TURNOVER NOT IN ('OVERDUE', 'LEFTOVER')" in asked["in_set(TURNOVER)"]
    assert {name for name, query in asked.items() if ") AS r QUALIFY" in query} == {"unique(CASE_ID, LINE)"}
