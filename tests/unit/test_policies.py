"""A contract's policies for bad rows and for batches of unusual size: read, refused by name, shown, compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flows.contract.compare import compare
from flows.contract.model import BadRows, Rule
from flows.contract.read import read_source
from flows.contract.render_dictionary import render
from flows.contract.set_aside import may_set_aside
from flows.contract.standard import check_standard
from flows.errors import ConfigurationError
from flows.settings import PROJECT

CLINIC = (PROJECT / "tests" / "golden" / "clinic.odcs.yaml").read_text(encoding="utf-8")
BEFORE = "      - {property: fileName, value: visits_list.csv}\n"


def contract(folder: Path, *properties: str) -> Path:
    """Write the clinic's contract with more custom properties of visits; return its path."""
    path = folder / "clinic.odcs.yaml"
    path.write_text(CLINIC.replace(BEFORE, BEFORE + "".join(f"      - {p}\n" for p in properties)), encoding="utf-8")
    return path


def test_a_contract_says_how_many_bad_rows_are_set_aside_and_what_volume_is_usual(tmp_path: Path) -> None:
    path = contract(
        tmp_path,
        "{property: badRows, value: {policy: set-aside, maxShare: 0.01, maxRows: 1000}}",
        "{property: volume, value: {window: 4 weekdays, tolerance: 2.5, severity: warning}}",
    )
    check_standard(path.read_text(encoding="utf-8"), str(path))
    source = read_source(path)
    visits = source.table("visits")
    assert visits.bad_rows == BadRows(0.01, 1000)
    assert [visits.bad_rows.allows(*n) for n in ((10, 1000), (11, 1000), (1000, 10**6), (1001, 10**6))] == [
        True,
        False,
        True,
        False,
    ]
    assert Rule("volume", "warning", arguments=(("tolerance", 2.5), ("weekday", True), ("window", 4))) in visits.rules
    page = "".join(render(source).values())
    assert "- Bad rows: set aside in `CLINIC_VISITS_REJECTED`, up to 1% of the rows and 1,000 rows" in page
    assert "- Rule: rows within a factor of 2.5 of the median of the last 4 weekdays (warning)" in page
    before = replace(source, tables=tuple(replace(t, bad_rows=None) for t in source.tables))
    assert any(
        "bad rows: quarantine the batch → set aside up to 1% of the rows" in c.what for c in compare(before, source)
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{property: badRows, value: {policy: drop}}", "policy: got 'drop', expected quarantine-batch or set-aside"),
        ("{property: badRows, value: {policy: set-aside}}", "got no limit, expected maxShare, maxRows or both"),
        ("{property: badRows, value: {policy: set-aside, maxShare: 2}}", "maxShare: got 2, expected a part of 1"),
        ("{property: badRows, value: {policy: set-aside, maxRows: 1.5}}", "maxRows: got 1.5, expected a whole number"),
        ("{property: badRows, value: {policy: quarantine-batch, maxRows: 1}}", "got a limit with quarantine-batch"),
        (
            "{property: badRows, value: {policy: quarantine-batch, brokenLines: true}}",
            "got brokenLines with quarantine-batch, which sets nothing aside",
        ),
        (
            "{property: badRows, value: {policy: set-aside, maxRows: 1, brokenLines: yes please}}",
            "brokenLines: got 'yes please', expected true or false",
        ),
        ("{property: badRows, value: {polici: set-aside}}", "expected the keys policy, maxShare, maxRows, brokenLines"),
        (
            "{property: volume, value: {window: 3, tolerance: 3, severity: error}}",
            "window: got 3, expected `8 batches`",
        ),
        ("{property: volume, value: {window: 3 batches, tolerance: 1, severity: error}}", "tolerance: got 1, expected"),
        (
            "{property: volume, value: {window: 3 batches, tolerance: .nan, severity: error}}",
            "tolerance: got nan, expected",
        ),
        (
            "{property: volume, value: {window: 3 batches, tolerance: .inf, severity: error}}",
            "tolerance: got inf, expected",
        ),
        (
            "{property: volume, value: {window: 3 batches, tolerance: 3}}",
            "severity: got nothing, expected error or warning",
        ),
    ],
)
def test_a_policy_that_cannot_be_carried_out_is_refused_by_name(tmp_path: Path, said: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_source(contract(tmp_path, said))
    assert "schema entry visits: customProperties" in str(caught.value)
    assert message in str(caught.value)


def test_a_column_is_held_against_the_batch_before_where_the_contract_asks_for_it(tmp_path: Path) -> None:
    path = contract(tmp_path)
    text = path.read_text(encoding="utf-8")
    place = "        customProperties: [{property: pii, value: none}]\n"
    more = "{property: newValues, value: {severity: error}}, {property: emptyShare, value: {tolerance: 0.05, severity: warning}}"
    path.write_text(text.replace(place, place.replace("none}]", f"none}}, {more}]"), 1), encoding="utf-8")
    check_standard(path.read_text(encoding="utf-8"), str(path))
    source = read_source(path)
    (table,) = [t for t in source.tables if any(r.kind == "new_values" for r in t.rules)]
    column = next(r.column for r in table.rules if r.kind == "new_values")
    assert Rule("new_values", "error", column) in table.rules
    assert Rule("empty_share", "warning", column, arguments=(("tolerance", 0.05),)) in table.rules
    assert not may_set_aside(source, replace(table, bad_rows=BadRows(0.5, None)), [f"new_values({column})"])
    page = "".join(render(source).values())
    assert "no value that the batch before had not" in page
    assert "share of empty ones within 5.0% of all rows of that in the batch before (warning)" in page
    for wrong, message in (
        ("{tolerance: 2, severity: warning}", "emptyShare, tolerance: got 2, expected a number from 0 to 1"),
        ("{tolerance: 0.1}", "emptyShare, severity: got nothing, expected error or warning"),
        ("{tollerance: 0.1}", "expected the keys tolerance, severity"),
    ):
        path.write_text(
            text.replace(place, place.replace("none}]", f"none}}, {{property: emptyShare, value: {wrong}}}]"), 1)
        )
        with pytest.raises(ConfigurationError, match=message):
            read_source(path)


def test_only_rules_on_rows_set_them_aside_and_only_where_the_contract_says_so(tmp_path: Path) -> None:
    source = read_source(contract(tmp_path, "{property: badRows, value: {policy: set-aside, maxRows: 5}}"))
    visits, sites = source.table("visits"), source.table("sites")
    assert may_set_aside(source, visits, ["number(VISIT_NO)", "relationship(SITE_CODE)", "unique(SITE_CODE, VISIT_NO)"])
    assert not may_set_aside(source, visits, ["number(VISIT_NO)", "column_set"])
    assert not may_set_aside(source, sites, ["date(OPENED_ON)"])
