"""Validation over the wire: every kind of rule fails on a row that breaks it, only the batch's own rows are checked, and the
committed project, the working copy and the pages hold neither changes nor secrets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import snowflake.connector
from pydantic import SecretStr
from snowflake.connector import SnowflakeConnection

from flows.contract.model import Relationship, Rule, Source, Table
from flows.contract.render_expectations import render
from flows.contract.values import unread
from flows.errors import ConfigurationError, InfrastructureError
from flows.settings import Settings
from flows.steps import validate as validate_step
from flows.steps.profile import compare
from flows.steps.validate import TableVerdict, Verdict, WarehouseConnection, build_pages, connection_from, validate
from tests.contract_columns import column
from tests.embedded.conftest import Warehouse

DATABASE = "CXM_VALIDATE"
OLD, NEW = "20261121_101500", "20261122_101500"
PASSWORD = "pa$$w0rd-${HOME}/@:never-in-a-file"


HOSPITALS = Table(
    "hospitals",
    "T_HOSPITALS",
    "hospitals.csv",
    "Account",
    "One row per hospital.",
    "snapshot",
    (column("HOSPITAL_ID", 1), column("STATE", 2)),
    ("HOSPITAL_ID",),
)
CASES = Table(
    "cases",
    "T_CASES",
    "cases.csv",
    "Surgical case",
    "One row per case and line.",
    "snapshot",
    tuple(
        column(n, i) for i, n in enumerate(("CASE_ID", "LINE", "HOSPITAL_ID", "STATUS", "HELD_AT", "PRICE", "LAT"), 1)
    ),
    ("CASE_ID", "LINE"),
    (Relationship(("HOSPITAL_ID",), "T_HOSPITALS", ("HOSPITAL_ID",), "error"),),
    (
        Rule("regex", "error", "CASE_ID", arguments=(("pattern", "^[0-9a-f]{32}$"),)),
        Rule("number", "error", "LINE", arguments=(("integer", True),)),
        Rule("in_set", "error", "STATUS", arguments=(("values", ("done", "surgeon's hold")),)),
        Rule("timestamp", "error", "HELD_AT", arguments=(("format", "YYYY-MM-DD HH24:MI:SS"),)),
        Rule("number", "error", "PRICE", arguments=(("integer", False),)),
        Rule("between", "error", "PRICE", arguments=(("min", 0),)),
        Rule("between", "warning", "LAT", arguments=(("max", 5.28), ("min", -33.76))),
    ),
)
CLINIC = Source("clinic", "1.0.0", "Two tables", "RAW", "S", "F", (HOSPITALS, CASES), 24, 48)

A, B = "a" * 32, "0123456789abcdef" * 2
GOOD: dict[str, list[tuple[str | None, ...]]] = {
    "hospitals": [("h1", "SP"), ("h2", None)],
    "cases": [
        (A, "1", "h1", "done", "2018-02-28 10:00:00", "9.9", "-23.5"),
        (A, "2", "h2", "surgeon's hold", "2016-02-29 00:00:00", "1e2", "5.28"),
        (B, "1", None, None, None, None, None),
    ],
}


@dataclass
class Bench:
    """One source's tables in a database, and a committed project, a working copy and a folder for pages."""

    connection: SnowflakeConnection
    port: int
    root: Path
    source: Source = CLINIC

    def sql(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            return [tuple(row) for row in cursor.execute(statement, tuple(values) or None).fetchall()]  # type: ignore[union-attr]

    def create(self) -> None:
        """Create the tables and the ledger, empty."""
        self.sql(
            "CREATE OR REPLACE TABLE RAW.LOAD_LEDGER (BATCH_ID VARCHAR, SOURCE VARCHAR, TABLE_NAME VARCHAR, "
            "FILE_NAME VARCHAR, STATUS VARCHAR, BATCH_SEQUENCE NUMBER(38, 0), FILE_RECORDS NUMBER(38, 0), "
            "STARTED_AT TIMESTAMP_NTZ)"
        )
        for table in self.source.tables:
            columns = ", ".join(f"{c.name} VARCHAR" for c in table.columns)
            audit = "_LOAD_TIMESTAMP TIMESTAMP_NTZ, _BATCH_ID VARCHAR, _SOURCE_FILENAME VARCHAR, _SOURCE_ROW_NUMBER NUMBER(38, 0)"
            self.sql(f"CREATE OR REPLACE TABLE RAW.{table.raw_name} ({columns}, {audit})")

    def load(self, batch: str, rows: dict[str, list[tuple[str | None, ...]]], status: str = "loaded") -> None:
        """Insert rows of one batch and its ledger rows, as a COPY would leave them."""
        for table in self.source.tables:
            if table.name not in rows:
                continue
            names = ", ".join(c.name for c in table.columns)
            values = ", ".join(f"r.value[{n}]::VARCHAR" for n in range(len(table.columns)))
            self.sql(  # one bound value for all rows: the emulator parses each literal of an INSERT
                f"INSERT INTO RAW.{table.raw_name} ({names}, _BATCH_ID, _SOURCE_FILENAME, _SOURCE_ROW_NUMBER)"
                f" SELECT {values}, '{batch}', 'raw/clinic/cases.csv.zst', r.index + 1"
                " FROM TABLE(FLATTEN(INPUT => PARSE_JSON(?))) AS r",
                [json.dumps(rows[table.name])],
            )
            self.sql(
                "INSERT INTO RAW.LOAD_LEDGER (BATCH_ID, SOURCE, TABLE_NAME, FILE_NAME, STATUS) VALUES (?, ?, ?, ?, ?)",
                [batch, self.source.name, table.raw_name, table.file.replace("{date}", batch[:8]), status],
            )

    @property
    def login(self) -> WarehouseConnection:
        credentials = SimpleNamespace(
            account="cxm-embedded",
            user="CXM_LOADER_SVC",
            password=SecretStr(PASSWORD),
            host="127.0.0.1",
            port=self.port,
            protocol="http",
            resolve_private_key=lambda: None,
        )
        return connection_from(credentials, Settings(home=self.root / "home", database=DATABASE), {"batch": NEW})

    @property
    def project(self) -> Path:
        return self.root / "expectations"

    def judge(self, batch: str = NEW, tables: Sequence[Table] | None = None) -> Verdict:
        for name, text in render(self.source).items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text, encoding="utf-8")
        home = self.root / "home"
        verdict = validate(
            self.source,
            tables or self.source.tables,
            batch,
            self.project,
            home / "expectations",
            self.login,
            home / "docs",
        )
        build_pages(self.source, verdict, home / "expectations", self.login, home / "docs")
        return verdict


@pytest.fixture(scope="module")
def server(warehouse: Warehouse) -> Iterator[tuple[SnowflakeConnection, int]]:
    """A database for this module, and a loader that may log in and read RAW, as provisioning grants it."""
    connection = warehouse.connect(paramstyle="qmark")
    for statement in (
        f"CREATE DATABASE {DATABASE}",
        f"CREATE SCHEMA IF NOT EXISTS {DATABASE}.RAW",
        f"USE SCHEMA {DATABASE}.RAW",
        "CREATE WAREHOUSE IF NOT EXISTS WH_CXM",
        "CREATE ROLE IF NOT EXISTS CXM_LOADER",
        f"CREATE OR REPLACE USER CXM_LOADER_SVC PASSWORD = '{PASSWORD}' DEFAULT_SECONDARY_ROLES = ()",
        "GRANT ROLE CXM_LOADER TO USER CXM_LOADER_SVC",
        "GRANT USAGE, OPERATE ON WAREHOUSE WH_CXM TO ROLE CXM_LOADER",
        f"GRANT USAGE ON DATABASE {DATABASE} TO ROLE CXM_LOADER",
        f"GRANT USAGE ON SCHEMA {DATABASE}.RAW TO ROLE CXM_LOADER",
        f"GRANT SELECT ON FUTURE TABLES IN SCHEMA {DATABASE}.RAW TO ROLE CXM_LOADER",
    ):
        connection.cursor().execute(statement)
    yield connection, warehouse.port
    connection.close()


@pytest.fixture
def bench(server: tuple[SnowflakeConnection, int], tmp_path: Path) -> Bench:
    """The two tables, empty."""
    result = Bench(*server, tmp_path)
    result.create()
    return result


def broken(verdict: Verdict) -> list[tuple[str, int, str]]:
    """Return what failed: rule, count, severity."""
    return sorted(
        (f.rule, f.unexpected_count, f.severity) for t in verdict.tables for f in (*t.error_failures, *t.warnings)
    )


def test_good_rows_pass_with_empty_optional_values(bench: Bench) -> None:
    bench.load(NEW, GOOD)
    verdict = bench.judge()
    assert verdict.passed
    assert broken(verdict) == []
    assert [(t.table, t.success, t.evaluated) for t in verdict.tables] == [("hospitals", True, 5), ("cases", True, 14)]
    assert verdict.docs_index.is_file()


def test_what_staging_reads_is_judged_and_not_how_it_is_spelt(bench: Bench) -> None:
    row = (f" {B}\t", " 07", "h1 ", "done ", " 2016-02-29 10:00:00", " 1E2\r\n", "+5.28")
    bench.load(NEW, {**GOOD, "cases": [*GOOD["cases"][:2], row]})
    assert broken(bench.judge()) == []


WHOLE = Rule("number", "error", "X", arguments=(("integer", True),))
NUMBER = Rule("number", "error", "X", arguments=(("integer", False),))
DATE = Rule("date", "error", "X", arguments=(("format", "YYYY-MM-DD"),))
TIMESTAMP = Rule("timestamp", "error", "X", arguments=(("format", "YYYY-MM-DD HH24:MI:SS"),))
READ: dict[str, tuple[Rule, tuple[str, ...], tuple[str, ...]]] = {
    "whole": (
        WHOLE,
        ("0", "-3", "+1", "007", "12 ", "1e2", "2.0", "9" * 18),
        ("29.99", ".5", "1e-05", "1,5", "NaN", "inf", "1e", "-", "0x1F", "12a", "1 2", "9" * 39, "1e400"),
    ),
    "number": (
        NUMBER,
        ("0", "-3", "29.99", ".5", "1e-05", " 12", "9" * 20, "0.12345678901", "1e-20"),
        ("1,5", "NaN", "inf", "1e", "-", "0x1F", "12a", "1e20", "9" * 29, "9" * 40, "1e400"),
    ),
    "boolean": (Rule("boolean", "error", "X"), ("true", "false"), ("True", "1", "yes", "falsetto")),
    "date": (
        DATE,
        ("2024-02-29", "1999-12-31", "1582-10-15", "2000-02-29", "9999-12-31"),
        ("2023-02-29", "2024-04-31", "2024-1-1", "2024-01-01 00:00:00", "0000-01-01", "0001-01-01", "1900-02-29"),
    ),
    "timestamp": (
        TIMESTAMP,
        ("2018-02-28 00:00:00", "2016-02-29 23:59:59", "2000-02-29 12:00:00", "2017-12-31 09:05:07"),
        ("2018-02-29 00:00:00", "1900-02-29 00:00:00", "2018-04-31 00:00:00", "2018-13-01 00:00:00", "2018-01-00 00:00:00",
         "2018-01-01 24:00:00", "2018-01-01 00:60:00", "2018-01-01", "2018-01-01T00:00:00", "2018-1-1 00:00:00",
         "x2018-01-01 00:00:00", "0000-01-01 00:00:00", "0001-01-01 00:00:00"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "good", "bad"), READ.values(), ids=READ.keys())
def test_a_text_is_of_a_type_as_staging_reads_it(
    bench: Bench, rule: Rule, good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    texts = "SELECT r.value::VARCHAR AS X FROM TABLE(FLATTEN(INPUT => PARSE_JSON(?))) AS r"
    rows = bench.sql(f"SELECT X FROM ({texts}) AS t WHERE {unread(rule, 't.X')} IS NOT NULL", [json.dumps(good + bad)])
    assert sorted(x for (x,) in rows) == sorted(bad)


def test_a_number_that_points_at_a_number_does_so_by_its_value(bench: Bench) -> None:
    def numbered(table: Table) -> Table:
        columns = tuple(replace(c, logical_type="integer") if c.name == "HOSPITAL_ID" else c for c in table.columns)
        return replace(table, columns=columns)

    bench.source = replace(CLINIC, tables=(numbered(HOSPITALS), numbered(CASES)))
    cases = [(*row[:2], spelt, *row[3:]) for row, spelt in zip(GOOD["cases"], ("01", "+2", "3"), strict=True)]
    bench.load(NEW, {"hospitals": [("1", "SP"), ("2", None)], "cases": cases})
    assert broken(bench.judge()) == [("cases.relationship(HOSPITAL_ID)", 1, "error")]


def test_the_rules_of_a_table_are_answered_by_few_statements(bench: Bench) -> None:
    bench.load(NEW, GOOD)
    (before,) = bench.sql("SELECT CURRENT_TIMESTAMP()")
    bench.judge()
    sent = [
        text
        for (text,) in bench.sql(
            "SELECT QUERY_TEXT FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 1000)) "
            f"WHERE USER_NAME = 'CXM_LOADER_SVC' AND START_TIME > '{before[0].isoformat()}'::TIMESTAMP_LTZ"
        )
    ]
    assert not [text for text in sent if text.startswith(("ROLLBACK", "COMMIT")) or text.endswith("LIMIT 0")]
    # For each of the two tables: three to begin the session, the temporary table, two to learn its columns, one for most rules;
    # then one or two for each unique key and each relationship.
    assert 14 <= len(sent) <= 22, "19 rules"


# One column of the third row changed → the one rule that must fail.
BREAKS: list[tuple[dict[str, str | None], str]] = [
    ({"CASE_ID": None}, "not_null(CASE_ID)"),
    ({"CASE_ID": A}, "unique(CASE_ID, LINE)"),
    ({"CASE_ID": B.upper()}, "regex(CASE_ID)"),
    ({"CASE_ID": f"x{B}"}, "regex(CASE_ID)"),
    ({"LINE": "1.5"}, "number(LINE)"),
    ({"STATUS": "Done"}, "in_set(STATUS)"),
    ({"HELD_AT": "2018-02-29 10:00:00"}, "timestamp(HELD_AT)"),
    ({"HELD_AT": "2018-02-28"}, "timestamp(HELD_AT)"),
    ({"PRICE": "9,9"}, "number(PRICE)"),
    ({"PRICE": "-0.01"}, "between(PRICE)"),
    ({"HOSPITAL_ID": "h3"}, "relationship(HOSPITAL_ID)"),
    # Values that staging could not hold, would turn into NULL, or could not add up.
    ({"CASE_ID": " \t"}, "not_null(CASE_ID)"),
    ({"PRICE": "1e400"}, "number(PRICE)"),
    ({"PRICE": "9" * 40}, "number(PRICE)"),
    ({"PRICE": "9" * 29}, "number(PRICE)"),
    ({"LINE": "9" * 39}, "number(LINE)"),
    ({"HELD_AT": "0000-01-01 00:00:00"}, "timestamp(HELD_AT)"),
    ({"HELD_AT": "0001-01-01 00:00:00"}, "timestamp(HELD_AT)"),
    # One value, spelt in two ways.
    ({"CASE_ID": A, "LINE": "01"}, "unique(CASE_ID, LINE)"),
    ({"CASE_ID": f"{A} ", "LINE": "+1"}, "unique(CASE_ID, LINE)"),
]


@pytest.fixture(scope="module")
def broken_tables(
    server: tuple[SnowflakeConnection, int], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TableVerdict]:
    """Verdicts of one batch in which each table has one row that breaks a rule, each in another way."""
    tables = [replace(CASES, name=f"cases_{n}", raw_name=f"T_CASES_{n}") for n in range(len(BREAKS))]
    source = replace(CLINIC, tables=(HOSPITALS, *tables))
    bench = Bench(*server, tmp_path_factory.mktemp("broken"), source)
    bench.create()
    rows = {"hospitals": GOOD["hospitals"]}
    names = [c.name for c in CASES.columns]
    for table, (change, _) in zip(tables, BREAKS, strict=True):
        last = tuple(change.get(name, value) for name, value in zip(names, GOOD["cases"][2], strict=True))
        rows[table.name] = [*GOOD["cases"][:2], last]
    bench.load(NEW, rows)
    verdict = validate_step.with_examples(bench.connection, source, bench.judge())
    assert not verdict.passed
    return {table.table: table for table in verdict.tables}


@pytest.mark.parametrize(
    "number", range(len(BREAKS)), ids=[",".join(f"{k}={v}" for k, v in b.items()) for b, _ in BREAKS]
)
def test_a_row_that_breaks_a_rule_fails_that_rule_only(broken_tables: dict[str, TableVerdict], number: int) -> None:
    rule = BREAKS[number][1]
    got = broken_tables[f"cases_{number}"]
    # Both rows that share a key are counted.
    count = 2 if rule.startswith("unique") else 1
    assert not got.success
    assert got.warnings == ()
    assert [(f.rule, f.unexpected_count, f.severity) for f in got.error_failures] == [
        (f"cases_{number}.{rule}", count, "error")
    ]
    assert got.error_failures[0].observed.startswith(f"{count} ")
    # The broken rows, with their values in the rule's columns, as staging reads them.
    (failure,) = got.error_failures
    assert failure.column is not None
    names = [c.name for c in CASES.columns]
    held = [dict(zip(names, row, strict=True)) for row in GOOD["cases"]]
    held[2] |= BREAKS[number][0]

    def described(row: int) -> str:
        values = {c: (held[row - 1][c] or "").strip() for c in str(failure.column).split(", ")}
        shown = ", ".join(f"{c} is {repr(v) if v else 'empty'}" for c, v in values.items())
        return f"row {row} ({shown})"

    rows = (1, 3) if count == 2 else (3,)
    assert failure.named == f"cases.csv.zst: {', '.join(described(row) for row in rows)}"
    assert failure.summary == f"{failure.rule} {failure.column}: {failure.observed}: {failure.named}"
    assert broken_tables["hospitals"].success


def test_a_broken_row_is_told_by_its_number_and_no_personal_value_leaves_the_warehouse(bench: Bench) -> None:
    columns = tuple(replace(c, pii="indirect" if c.name == "STATUS" else "none") for c in CASES.columns)
    source = replace(CLINIC, tables=(HOSPITALS, replace(CASES, columns=columns)))
    row = (*GOOD["cases"][2][:3], "lost by Dr Example", *GOOD["cases"][2][4:])
    bench.load(NEW, {**GOOD, "cases": [*GOOD["cases"][:2], row]})
    verdict = validate_step.with_examples(bench.connection, source, bench.judge())
    (failure,) = verdict.tables[1].error_failures
    assert failure.named == "cases.csv.zst: row 3"
    assert "Example" not in str(verdict)


def test_the_first_ten_rows_are_named_and_a_query_finds_all(bench: Bench) -> None:
    cases = [(f"{n:032x}", "1", None, f"S{n}", None, None, None) for n in range(1, 13)]
    bench.load(NEW, {**GOOD, "cases": cases})
    verdict = validate_step.with_examples(bench.connection, CLINIC, bench.judge())
    (failure,) = verdict.tables[1].error_failures
    rows = ", ".join(f"row {n} (STATUS is 'S{n}')" for n in range(1, 11))
    assert failure.named == f"cases.csv.zst: {rows} and 2 more"
    assert [row[0] for row in bench.sql(failure.query)] == list(range(1, 13))


def test_a_single_key_that_repeats_fails(bench: Bench) -> None:
    bench.load(NEW, {"hospitals": [("h1", "SP"), ("h1", "RJ")]})
    assert broken(bench.judge(tables=[HOSPITALS])) == [("hospitals.unique(HOSPITAL_ID)", 2, "error")]


def test_a_batch_without_rows_fails(bench: Bench) -> None:
    bench.load(OLD, GOOD)
    bench.load(NEW, {"hospitals": []})
    verdict = bench.judge(tables=[HOSPITALS])
    assert [(f.rule, f.observed) for f in verdict.tables[0].error_failures] == [("hospitals.row_count", "0 rows")]


def test_a_warning_is_told_and_does_not_fail(bench: Bench) -> None:
    row = (*GOOD["cases"][2][:6], "42.18")
    bench.load(NEW, {**GOOD, "cases": [*GOOD["cases"][:2], row]})
    verdict = bench.judge()
    assert verdict.passed
    assert broken(verdict) == [("cases.between(LAT)", 1, "warning")]
    assert verdict.tables[1].warnings[0].observed == "1 of 3 rows"


def remember(bench: Bench, table: Table, rows: Sequence[int], first: str = "2026-10-01") -> None:
    """Insert published batches of a table, one a day, oldest first."""
    for n, count in enumerate(rows):
        day = (date.fromisoformat(first) + timedelta(days=n)).isoformat()
        bench.sql(
            "INSERT INTO RAW.LOAD_LEDGER (BATCH_ID, SOURCE, TABLE_NAME, FILE_NAME, STATUS, BATCH_SEQUENCE, FILE_RECORDS, "
            "STARTED_AT) VALUES (?, ?, ?, ?, 'validated', ?, ?, ?)",
            [
                f"{day.replace('-', '')}_000000",
                "clinic",
                table.raw_name,
                table.file.replace("{date}", day),
                n,
                count,
                day,
            ],
        )


@pytest.mark.parametrize(
    ("before", "weekday", "broken_by"),
    [
        ((6, 9, 8), False, None),  # a third of the median is as far as it may be
        ((30, 10, 11), False, "3 rows came, 11 is the median of the last 3 published batches"),
        ((1000, 1, 1, 0), False, "3 rows came, 1 is the median of the last 3 published batches"),
        ((30, 30), False, None),  # not enough history
        (
            (30, 3, 3, 3, 3, 3, 3) * 3,
            True,
            "3 rows came, 30 is the median of the last 3 published batches of the same weekday",
        ),
        ((3, 30, 30, 30, 30, 30, 30) * 3, True, None),
    ],
)
def test_a_batch_of_unusual_size_is_told_with_what_is_usual(
    bench: Bench, before: tuple[int, ...], weekday: bool, broken_by: str | None
) -> None:
    window = (("tolerance", 3), ("weekday", weekday), ("window", 3))
    if before == (1000, 1, 1, 0):
        window = (("tolerance", 2), ("weekday", False), ("window", 3))
    daily = replace(CASES, file="cases_{date}.csv", load="append", rules=(Rule("volume", "warning", arguments=window),))
    table = daily if weekday else replace(CASES, rules=daily.rules)
    bench.source = replace(CLINIC, tables=(HOSPITALS, table))
    remember(bench, table, before)
    bench.load(NEW, GOOD)
    if weekday:  # the day of the file, not of the batch: a Thursday, as the first of those before
        bench.sql("UPDATE RAW.LOAD_LEDGER SET FILE_NAME = 'cases_2026-11-19.csv' WHERE BATCH_ID = ?", [NEW])
    verdict = validate_step.with_examples(bench.connection, bench.source, bench.judge())
    assert verdict.passed
    assert [f.observed for t in verdict.tables for f in t.warnings] == ([broken_by] if broken_by else [])


def test_new_values_and_the_share_of_empty_ones_are_held_against_the_batch_before(bench: Bench) -> None:
    rules = (
        Rule("new_values", "warning", "STATUS"),
        Rule("new_values", "error", "HELD_AT"),  # no batch before had a value: nothing to compare with
        Rule("empty_share", "error", "PRICE", arguments=(("tolerance", 0.2),)),
        Rule("empty_share", "warning", "LINE", arguments=(("tolerance", 0.2),)),
    )
    bench.source = replace(CLINIC, tables=(HOSPITALS, replace(CASES, rules=rules, relationships=())))
    bench.load(NEW, GOOD)
    assert broken(bench.judge()) == []  # off until there is a batch before

    def case(n: int, status: str | None, price: str | None) -> tuple[str | None, ...]:
        return (f"c{n}", "1", None, status, None, price, None)

    bench.load(OLD, {"cases": [case(1, " done", "1"), case(2, "open", "2"), case(3, None, " ")]}, "validated")
    bench.load("20261120_000000", {"cases": [case(1, "surgeon's hold", None)]}, "validated")  # older
    bench.sql("UPDATE RAW.LOAD_LEDGER SET BATCH_SEQUENCE = 7 WHERE BATCH_ID = ?", [OLD])
    verdict = validate_step.with_examples(bench.connection, bench.source, bench.judge())
    got = {f.rule: f.observed for t in verdict.tables for f in (*t.error_failures, *t.warnings)}
    assert got == {"cases.new_values(STATUS)": '1 new value: "surgeon\'s hold"'}
    # Without a rule, the report shows the new values of columns that have few.
    compared = compare(bench.connection, DATABASE, "RAW", replace(CASES, primary_key=("CASE_ID",)), NEW, OLD)
    assert compared.before
    assert compared.before.null_rates["PRICE"] == 0
    assert compared.new_values == {"STATUS": ("done", "surgeon's hold"), "LINE": ("2",), "PRICE": ("1e2", "9.9")}
    assert compare(bench.connection, DATABASE, "RAW", CASES, NEW, None).new_values == {}
    bench.load("20261123_101500", {"cases": [case(n, "done", None) for n in range(4)]})
    verdict = validate_step.with_examples(
        bench.connection, bench.source, bench.judge("20261123_101500", bench.source.tables[1:])
    )
    got = {f.rule: f.observed for t in verdict.tables for f in (*t.error_failures, *t.warnings)}
    assert got == {"cases.empty_share(PRICE)": "100.0% are empty, 33.3% were in the batch before"}
    assert not verdict.passed


def test_bad_rows_of_other_batches_do_not_matter(bench: Bench) -> None:
    bad = [("nonsense", "x", "h9", "?", "soon", "free", "far")] * 2
    bench.load(OLD, {"hospitals": [("h9", "SP")], "cases": bad}, "validated")
    bench.load(NEW, GOOD)
    bench.load("20261123_101500", {"cases": bad})  # a later run has loaded, and is validated on its own
    assert broken(bench.judge(NEW)) == []
    assert not bench.judge("20261123_101500", [CASES]).passed


@pytest.mark.parametrize(("status", "orphans"), [("loaded", 0), ("validated", 0), ("quarantined", 2), ("undone", 2)])
def test_parents_are_those_of_the_newest_valid_batch(bench: Bench, status: str, orphans: int) -> None:
    bench.load(OLD, {"hospitals": [("h0", "SP")]}, "validated")
    bench.load("20261121_230000", {"hospitals": GOOD["hospitals"]}, status)
    bench.load(NEW, {"cases": GOOD["cases"]})
    got = broken(bench.judge(NEW, [CASES]))
    assert got == ([("cases.relationship(HOSPITAL_ID)", orphans, "error")] if orphans else [])


def test_a_parent_that_only_an_older_batch_had_is_missing(bench: Bench) -> None:
    bench.load(OLD, {"hospitals": GOOD["hospitals"]}, "validated")
    bench.load(NEW, {**GOOD, "hospitals": [("h1", "SP")]})
    assert broken(bench.judge()) == [("cases.relationship(HOSPITAL_ID)", 1, "error")]


def test_parents_that_come_day_by_day_may_be_of_any_day(bench: Bench) -> None:
    bench.source = replace(CLINIC, tables=(replace(HOSPITALS, load="append", file="hospitals_{date}.csv"), CASES))
    bench.load(OLD, {"hospitals": [("h2", "SP")]}, "validated")
    bench.load(NEW, {**GOOD, "hospitals": [("h1", "SP")]})
    assert broken(bench.judge()) == []


def test_a_parent_of_a_day_that_was_delivered_again_without_it_is_missing(bench: Bench) -> None:
    bench.source = replace(CLINIC, tables=(replace(HOSPITALS, load="append", file="hospitals.csv"), CASES))
    bench.load(OLD, {"hospitals": [("h2", "SP")]}, "validated")
    bench.load(NEW, {**GOOD, "hospitals": [("h1", "SP")]})
    assert broken(bench.judge()) == [("cases.relationship(HOSPITAL_ID)", 1, "error")]


def test_a_missing_column_and_a_foreign_one_fail_and_are_named(bench: Bench) -> None:
    bench.sql("ALTER TABLE RAW.T_HOSPITALS RENAME COLUMN STATE TO REGION")
    bench.load(NEW, {"cases": GOOD["cases"]})
    bench.sql("INSERT INTO RAW.T_HOSPITALS (HOSPITAL_ID, _BATCH_ID) VALUES ('h1', ?), ('h2', ?)", [NEW, NEW])
    verdict = bench.judge(tables=[HOSPITALS])
    assert [(f.rule, f.observed) for f in verdict.tables[0].error_failures] == [
        ("hospitals.column_set", "missing STATE; extra REGION")
    ]


def test_columns_in_another_order_are_a_warning_because_an_added_column_comes_last(bench: Bench) -> None:
    bench.sql("ALTER TABLE RAW.T_HOSPITALS DROP COLUMN STATE")
    bench.sql("ALTER TABLE RAW.T_HOSPITALS ADD COLUMN STATE VARCHAR")
    bench.load(NEW, GOOD)
    verdict = bench.judge(tables=[HOSPITALS])
    assert verdict.passed
    assert [(f.rule, f.observed) for f in verdict.tables[0].warnings] == [
        (
            "hospitals.column_order",
            "order HOSPITAL_ID, _LOAD_TIMESTAMP, _BATCH_ID, _SOURCE_FILENAME, _SOURCE_ROW_NUMBER, STATE",
        )
    ]


def test_a_missing_table_is_not_reported_as_bad_data(bench: Bench) -> None:
    bench.load(NEW, GOOD)
    bench.sql("DROP TABLE RAW.T_CASES")
    with pytest.raises(ConfigurationError, match=r"(?s)validation of t_cases.*cxm provision --apply"):
        bench.judge()


def test_a_project_older_than_the_contract_says_what_to_run(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="cxm contract sync"):
        validate(CLINIC, [CASES], NEW, bench.project, bench.root / "work", bench.login, bench.root / "docs")
    bench.source = replace(CLINIC, tables=(HOSPITALS,))
    bench.load(NEW, GOOD)
    with pytest.raises(ConfigurationError, match="t_cases"):
        bench.judge(tables=[CASES])


def test_a_run_leaves_the_committed_project_as_it_was_and_no_secret_anywhere(bench: Bench) -> None:
    bench.load(NEW, GOOD)
    bench.judge()
    committed = {p: p.read_bytes() for p in bench.project.rglob("*") if p.is_file()}
    stale = bench.root / "home" / "expectations" / "gx" / "expectations" / "t_gone.json"
    stale.write_text("{}")
    bench.judge()
    assert {p: p.read_bytes() for p in bench.project.rglob("*") if p.is_file()} == committed
    assert not stale.exists()
    for path, data in committed.items():
        assert (bench.root / "home" / path.relative_to(bench.root)).read_bytes() == data
    written = [p for p in bench.root.rglob("*") if p.is_file()]
    assert len(written) > len(committed) * 2
    assert [p for p in written if b"pa$$w0rd" in p.read_bytes() or b"never-in-a-file" in p.read_bytes()] == []


def test_the_pages_show_the_batch_hold_no_values_and_fetch_no_beacon(bench: Bench) -> None:
    bench.load(NEW, {**GOOD, "cases": [*GOOD["cases"], (A, "3", "h1", "SECRET STATUS", None, "-1", None)]})
    verdict = bench.judge()
    assert verdict.docs_index == bench.root / "home" / "docs" / "data_docs" / "index.html"
    pages = list(verdict.docs_index.parent.rglob("*.html"))
    assert len(pages) == 1 + 2 + 2  # the index, two suites, two results
    results = [p for p in pages if NEW in p.parts]
    assert len(results) == 2
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "SECRET STATUS" not in text
        assert "great-expectations-web-assets" not in text
    index = verdict.docs_index.read_text(encoding="utf-8")
    assert all(str(p.relative_to(verdict.docs_index.parent)) in index.replace("\\", "/") for p in results)
    stored = list((bench.root / "home" / "expectations").rglob("validations/**/*.json"))
    assert stored
    assert not any(b"SECRET STATUS" in p.read_bytes() for p in stored)


def test_the_checkpoint_runs_outside_our_code_and_reads_the_newest_valid_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import great_expectations as gx

    monkeypatch.setenv("CXM_WAREHOUSE_LOADER_PASSWORD", PASSWORD.replace("$", r"\$"))

    bench.load(OLD, {**GOOD, "hospitals": [("h1", "nowhere"), ("h1", "nowhere")]}, "validated")
    bench.load(NEW, GOOD, "validated")
    bench.load("20261123_101500", {"cases": [("?",) * 7]}, "quarantined")
    project = bench.root / "copy"
    for name, text in render(CLINIC).items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(
            text.replace("port: 8088", f"port: {bench.port}").replace("CXM_MEDTECH", DATABASE), encoding="utf-8"
        )
    before = {p: p.read_bytes() for p in project.rglob("*") if p.is_file()}
    context = gx.get_context(mode="file", project_root_dir=project / "expectations")
    result = context.checkpoints.get("raw_clinic").run()
    assert result.success, result.describe()
    assert len(result.run_results) == 2
    assert {p: p.read_bytes() for p in before} == before
    root = project / "expectations" / "gx"
    assert {p.relative_to(root).parts[0] for p in project.rglob("*") if p.is_file() and p not in before} == {
        "uncommitted"
    }
    bench.sql("UPDATE RAW.T_CASES SET STATUS = 'lost' WHERE _BATCH_ID = ?", [NEW])
    result = context.checkpoints.get("raw_clinic").run()
    assert not result.success
    failed = [e for r in result.run_results.values() for e in r.results if not e.success]
    assert [(e.expectation_config.type, e.result["unexpected_count"]) for e in failed] == [
        ("expect_column_values_to_be_in_set", 3)
    ]


@pytest.mark.parametrize("secret", ["password", "private key"])
def test_the_driver_gets_exactly_the_login_that_was_given(
    bench: Bench, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def connect(**arguments: Any) -> None:
        seen.append(arguments)
        raise snowflake.connector.errors.OperationalError("not today")

    monkeypatch.setattr(snowflake.connector, "connect", connect)
    monkeypatch.setattr(snowflake.connector, "Connect", connect)
    login = bench.login if secret == "password" else replace(bench.login, password=None, private_key=b"\x30\x82 DER")
    monkeypatch.setattr(Bench, "login", login)
    with pytest.raises(InfrastructureError, match="not today"):
        bench.judge(tables=[HOSPITALS])
    arguments = seen[0]
    for name in ("account", "user", "role", "warehouse", "database", "host", "port", "protocol"):
        assert arguments[name] == getattr(login, name), name
    assert arguments["schema"] == "RAW"
    assert json.loads(arguments["session_parameters"]["QUERY_TAG"]) == {
        "app": "medtech-cxm",
        "batch": NEW,
        "step": "validate",
    }
    if secret == "password":
        assert arguments["password"] == PASSWORD
    else:
        assert arguments["private_key"] == "MIIgREVS"  # base64 of the DER bytes, which the connector decodes
        assert "password" not in arguments


def test_no_session_outlives_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[SnowflakeConnection] = []
    connect = snowflake.connector.connect
    monkeypatch.setattr(
        snowflake.connector, "connect", lambda **arguments: opened.append(connect(**arguments)) or opened[-1]
    )
    bench.load(NEW, GOOD)
    bench.judge()
    assert len(opened) == 2  # one for each table
    assert all(connection.is_closed() for connection in opened)


def test_threads_give_the_same_verdict_every_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [replace(HOSPITALS, name=f"hospitals_{n}", raw_name=f"T_HOSPITALS_{n}") for n in range(6)]
    bench.source = replace(CLINIC, tables=tuple(tables))
    bench.create()
    bench.load(NEW, {t.name: [("h", "SP")] * (n + 1) for n, t in enumerate(tables)})
    monkeypatch.setattr(validate_step, "WORKERS", 6)
    expected = [(f"hospitals_{n}.unique(HOSPITAL_ID)", n + 1, "error") for n in range(1, 6)]
    for _ in range(2):
        assert broken(bench.judge()) == expected


def test_the_sample_passes_with_the_warnings_it_is_known_for(
    server: tuple[SnowflakeConnection, int], sample: Path, tmp_path: Path
) -> None:
    import csv

    from flows.contract.read import read_source

    bench = Bench(*server, tmp_path, read_source("olist"))
    bench.create()
    rows: dict[str, list[tuple[str | None, ...]]] = {}
    for table in bench.source.tables:
        with (sample / table.file).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            next(reader)
            rows[table.name] = [tuple(None if v in ("", "null") else v for v in record) for record in reader]
    bench.load(NEW, rows)
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
    verdict = bench.judge()
    assert verdict.passed
    assert broken(verdict) == [
        ("geolocation.between(GEOLOCATION_LAT)", 2, "warning"),
        ("geolocation.between(GEOLOCATION_LNG)", 2, "warning"),
        ("products.relationship(PRODUCT_CATEGORY_NAME)", 5, "warning"),
    ]
