"""A file whose columns are not the contract's: what each policy allows, where COPY then reads, and the contract's patch."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.contract import render_sql
from flows.contract.dialect import PLAIN
from flows.contract.fit import Layout, MisfitError, fit, header_of
from flows.contract.model import BadRows, Source, Table
from flows.contract.patch import patch
from flows.contract.read import read_source
from flows.errors import DataError
from flows.settings import PROJECT
from flows.steps.draft import unread
from flows.steps.land import inspect
from flows.steps.load import BROKEN_LINES

GOLDEN = Path(__file__).parent.parent / "golden"
HEADER = "visit_no,site,seen_at,rating"


@pytest.fixture(scope="module")
def clinic() -> Source:
    return read_source(GOLDEN / "clinic.odcs.yaml")


def visits(clinic: Source, **policies: Any) -> Table:
    return replace(clinic.table("visits"), **policies)


def fitted(table: Table, header: str) -> Layout:
    return fit(table, header.split(","))


@pytest.mark.parametrize(
    ("policies", "header", "positions", "summary"),
    [
        ({}, HEADER, "VISIT_NO 1, SITE_CODE 2, SEEN_AT 3, RATING 4", ""),
        (
            {"on_new_column": "ignore"},
            "visit_no,ward,site,seen_at,rating",
            "VISIT_NO 1, SITE_CODE 3, SEEN_AT 4, RATING 5",
            "ignored: ward",
        ),
        (
            {"on_new_column": "add"},
            "visit_no,site,Nome do médico,seen_at,rating,order",
            "VISIT_NO 1, SITE_CODE 2, NOME_DO_MEDICO 3, SEEN_AT 4, RATING 5, VISITS_ORDER 6",
            "new: 'Nome do m\\xe9dico' → NOME_DO_MEDICO, order → VISITS_ORDER",
        ),
        (
            {"on_missing_column": "null"},
            "visit_no,site,rating",
            "VISIT_NO 1, SITE_CODE 2, RATING 3",
            "missing, NULL in RAW: seen_at",
        ),
        (
            {"on_reorder": "by name"},
            "rating,visit_no,seen_at,site",
            "RATING 1, VISIT_NO 2, SEEN_AT 3, SITE_CODE 4",
            "another order, read by name",
        ),
        (
            {"on_new_column": "ignore", "on_missing_column": "null", "on_reorder": "by name"},
            "rating,x,site,visit_no",
            "RATING 1, SITE_CODE 3, VISIT_NO 4",
            "ignored: x; missing, NULL in RAW: seen_at; another order, read by name",
        ),
    ],
)  # fmt: skip
def test_each_policy_lets_its_difference_in_and_copy_reads_by_the_files_positions(
    clinic: Source, policies: dict[str, Any], header: str, positions: str, summary: str
) -> None:
    layout = fitted(visits(clinic, **policies), header)
    assert ", ".join(f"{name} {n}" for name, n in layout.positions.items()) == positions
    assert layout.summary == summary
    assert header_of(layout.text) == tuple(header.split(","))


@pytest.mark.parametrize(
    ("policies", "header", "said"),
    [
        ({}, "visit_no,ward,site,seen_at,rating", "not in the contract: 'ward'"),
        ({"on_missing_column": "null"}, "visit_no,site,seen_at", None),
        ({"on_missing_column": "null"}, "visit_no,seen_at,rating", r"missing site \(site may not be empty\)"),
        ({"on_new_column": "ignore"}, "visit_no,site,seen_at,score", "missing rating"),
        ({"on_missing_column": "null"}, "visit_no,site,seen_at,score", "not in the contract: 'score'"),
        ({"on_new_column": "ignore", "on_missing_column": "null"}, "visit_no;site;seen_at;rating", "missing visit_no"),
        ({"on_new_column": "ignore"}, "visit_no,site,seen_at,rating,x,x", "column x occurs more than once"),
        ({"on_new_column": "ignore"}, "site,x,visit_no,seen_at,rating", "another order: column 1 is site, expected visit_no"),
        ({"on_new_column": "add"}, f"{HEADER},site code", r"would be SITE_CODE in RAW, which is taken \(site\)"),
        ({"on_new_column": "add"}, f"{HEADER},a b,a-b", r"would be A_B in RAW, which is taken \(a b\)"),
        ({"on_new_column": "add"}, f"{HEADER},_batch_id", r"which is taken \(an audit column\)"),
    ],
)  # fmt: skip
def test_what_a_policy_does_not_say_is_refused(
    clinic: Source, policies: dict[str, Any], header: str, said: str | None
) -> None:
    table = visits(clinic, **policies)
    if said is None:
        assert fitted(table, header).missing == ("rating",)
        return
    with pytest.raises(MisfitError, match=said):
        fitted(table, header)


def test_copy_of_a_file_with_other_columns_matches_the_golden_file(clinic: Source) -> None:
    table = visits(clinic, on_new_column="add", on_missing_column="null", on_reorder="by name")
    layout = fitted(table, "rating,Ward's no,visit_no,site")
    added = render_sql.add_new_columns(table, layout.new_columns, "CXM_MEDTECH", "RAW")
    copied = render_sql.copy_into(clinic, table, "CXM_MEDTECH", "20261122_101500", ["visits_list.csv"], layout=layout)
    assert f"{added};\n\n{copied}\n" == (GOLDEN / "copy_into_evolved.sql").read_text(encoding="utf-8")


def test_copy_of_lines_that_are_no_record_matches_the_golden_file(clinic: Source) -> None:
    rejected = visits(clinic, bad_rows=BadRows(0.01, None, broken_lines=True)).rejected
    made = render_sql.create_table(rejected, "CXM_MEDTECH", "RAW")
    files = ["visits_list.broken.csv.zst"]
    copied = render_sql.copy_into(clinic, rejected, "CXM_MEDTECH", "20261122_101500", files, False, BROKEN_LINES, PLAIN)
    assert f"{made};\n\n{copied}\n" == (GOLDEN / "copy_into_broken_lines.sql").read_text(encoding="utf-8")


def test_records_are_counted_by_the_files_own_header(clinic: Source, tmp_path: Path) -> None:
    path = tmp_path / "visits_list.csv"
    table = visits(clinic, on_new_column="ignore", on_missing_column="null", on_reorder="by name")
    path.write_text('x,site,visit_no\n"a,b",ABC,1\n,ABC,2\n')
    facts = inspect(path, table)
    assert (facts.records, facts.header) == (2, ("x", "site", "visit_no"))
    path.write_text("x,site,visit_no\na,ABC,1\nABC,2\n")
    with pytest.raises(DataError, match=r"line 3: 2 fields, expected 3 \(x, site, visit_no\)"):
        inspect(path, table)
    path.write_text("x,site,visit_no\na,ABC\r1,1\n")
    with pytest.raises(DataError, match="bare CR"):  # compared with the csv module
        inspect(path, table)


def test_a_file_without_records_is_taken_where_the_contract_says_so(clinic: Source, tmp_path: Path) -> None:
    path = tmp_path / "visits_list.csv"
    for content in (f"{HEADER}\n", HEADER, f"\ufeff{HEADER}\r\n"):
        path.write_text(content, encoding="utf-8")
        assert inspect(path, visits(clinic, allow_empty=True)).records == 0
        with pytest.raises(DataError, match="allowEmpty"):
            inspect(path, visits(clinic))
    path.write_text("")
    with pytest.raises(DataError, match="empty file"):
        inspect(path, visits(clinic, allow_empty=True))


def test_the_patch_puts_new_columns_where_the_file_has_them_and_git_applies_it(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "data_dictionary", tmp_path / "data_dictionary")
    contract = tmp_path / "data_dictionary" / "synthetic.odcs.yaml"
    source = read_source(contract)
    layouts = {}
    for name in ("support_tickets", "device_complaints"):
        table = replace(source.table(name), on_new_column="add")
        first, *rest = table.header
        layouts[name] = fit(table, ["Nome: 'x'", first, "order", *rest, "phone"])
    columns = {name: [unread(header) for header in layout.added] for name, layout in layouts.items()}
    diff = patch(tmp_path, source, layouts, columns)
    (tmp_path / "new.patch").write_text(diff, encoding="utf-8")
    subprocess.run(["git", "apply", "new.patch"], cwd=tmp_path, check=True)

    after = read_source(contract)
    assert after.version == "1.2.0"
    for name, layout in layouts.items():
        table = after.table(name)
        assert table.header == tuple(header for header, _ in layout.fields)
        assert fit(table, table.header).positions == layout.positions, "staging reads what RAW was given"
        assert table.columns[-1].pii == "direct"
    removed = [line for line in diff.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert removed == ["-version: 1.1.0"]
