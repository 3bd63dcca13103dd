"""The history page's facts: a month with a bad day, a missing day and a day of twice the rows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from flows.contract.model import Rule
from flows.contract.read import read_source
from flows.contract.sql import template
from flows.history import Load, by_source, charts
from flows.history.cost import Costs
from flows.history.page import render
from flows.settings import PROJECT, Settings
from tests.history_month import BAD, DAYS, DOUBLED, FIRST, MISSING, NOW, costs, month


@pytest.fixture(scope="module")
def olist():
    return read_source("olist")


def day(number: int):
    return (FIRST + timedelta(days=number)).date()


def test_each_day_has_what_became_of_it(olist) -> None:
    states = month(olist).calendar(olist.table("orders"))
    assert states[day(BAD)] == "quarantined"
    assert states[day(MISSING)] == "missing"
    assert {states[day(n)] for n in range(DAYS) if n not in (BAD, MISSING)} == {"published"}


def test_a_day_without_a_batch_is_missed_only_where_the_contract_has_a_limit(olist) -> None:
    history = month(olist)
    never_late = replace(olist.table("orders"), own_limits="none")
    assert day(MISSING) not in history.calendar(never_late)


def test_a_delivery_that_was_unchanged_is_one(olist) -> None:
    history = month(olist)
    loads = [replace(load, state="unchanged") if load.started.date() == day(5) else load for load in history.loads]
    states = replace(history, loads=loads).calendar(olist.table("orders"))
    assert states[day(5)] == "unchanged"


def test_only_the_doubled_load_is_outside_its_band(olist) -> None:
    history = month(olist)
    unusual = [
        (table.name, one.load.started.date()) for table in olist.tables for one in history.volumes(table) if one.unusual
    ]
    assert unusual == [("orders", day(DOUBLED))]


def test_the_band_is_the_contracts_where_it_has_a_rule(olist) -> None:
    rule = Rule("volume", "warning", arguments=(("tolerance", 3), ("weekday", False), ("window", 8)))
    orders = replace(olist.table("orders"), rules=(rule,))
    got = month(olist).volumes(orders)
    assert not any(one.unusual for one in got)
    assert [one.low is None for one in got].count(True) == 8  # as the rule: off until there are eight batches


def test_rules_are_counted_by_the_batches_that_they_quarantined(olist) -> None:
    assert month(olist).broken_rules() == [("items", "unique <b>ORDER_ID</b>", 1), ("orders", "not_null ORDER_ID", 1)]


def test_freshness_is_the_age_of_the_last_delivery(olist) -> None:
    got = {one.table.name: one for one in month(olist).deliveries()}
    assert got["orders"].state == "late"  # 30 hours, and the contract warns after 26
    assert got["orders"].hours == pytest.approx(30)


def test_a_run_at_work_and_a_replay_of_long_ago_are_shown_as_what_they_are(olist) -> None:
    history = month(olist)
    first, last = history.loads[0], history.loads[-1]
    replayed = replace(first, finished=NOW)
    at_work = replace(last, state="open", finished=None)
    got = replace(history, loads=[replayed, at_work])
    assert [(batch.state, batch.seconds) for batch in got.batches] == [("published", None), ("open", None)]


def test_a_source_without_loads_has_no_history(olist) -> None:
    assert by_source([olist], [], NOW, DAYS) == []


def test_ledger_text_is_escaped_on_the_page_and_links_are_http(olist) -> None:
    history = month(olist)
    loads: list[Load] = [replace(load, run_url="javascript:alert(1)") for load in history.loads]
    page = render([replace(history, loads=loads)], "", DAYS, "2026-11-01 12:00")
    assert "<b>ORDER_ID</b>" not in page
    assert "&lt;b&gt;ORDER_ID&lt;/b&gt;" in page
    assert "javascript:" not in page
    data = re.search(r'<script id="charts" type="application/json">(.*?)</script>', page, re.S)
    assert data is not None
    assert set(json.loads(data[1])) == {"olist-calendar", "olist-seconds", *(f"olist-{t.name}" for t in olist.tables)}


def test_charts_are_vega_lite(olist) -> None:
    import altair

    history = month(olist)
    orders = olist.table("orders")
    for spec in (
        charts.calendar(history),
        charts.seconds(history.batches),
        charts.volume(orders, history.volumes(orders)),
        charts.cost(costs(olist)),
    ):
        altair.Chart.from_dict(spec)  # raises if it does not satisfy the schema


def test_costs_are_summed_by_what_the_query_tags_say(olist) -> None:
    spent = costs(olist)
    assert spent.unit == "credits"
    assert [one.name for one in spent.by_step()] == ["load", "medtech-cxm dbt", "validate"]
    assert spent.by_step()[0].queries == 3 * 9 * DAYS
    assert {one.name for one in spent.by_table()} == {table.raw_name for table in olist.tables}
    assert [one.name for one in spent.by_model()] == ["model.cxm_medtech.fct_case_shipments"]
    assert len(spent.by_batch()) == DAYS, "what dbt builds belongs to no batch"
    assert sum(one.credits or 0 for one in spent.by_step()) == pytest.approx(sum(a for *_, a in spent.by_day()))


def test_a_warehouse_without_credits_shows_seconds(olist) -> None:
    spent = costs(olist, credits=False)
    assert spent.unit == "query seconds"
    assert {one.credits for one in spent.by_step()} == {None}
    assert all(amount > 1 for *_, amount in spent.by_day())


def test_the_page_has_costs_where_they_may_be_read_and_says_how_where_not(olist) -> None:
    def page(of: Costs | None) -> str:
        return render([month(olist)], "", DAYS, "2026-11-01 12:00", costs=of)

    assert 'id="cost"' not in page(None)
    hidden = page(Costs(None, costs(olist).sent))
    assert "CXM_QUERY_COSTS=true" in hidden
    assert 'data-chart="cost"' not in hidden
    assert "12,000,000" in hidden, "what was sent to S3 is in the ledger"
    full = page(costs(olist))
    assert "model.cxm_medtech.fct_case_shipments" in full
    assert '<th class="number">credits<th>links' in full
    assert '<th class="number">query seconds<th>links' in page(costs(olist, credits=False))


def test_the_statement_that_counts_requests_matches_the_golden_file() -> None:
    """One request to begin, one to end: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html."""
    rendered = template("ledger/sent.sql", database="CXM_MEDTECH", part_bytes=6291456)
    assert rendered + "\n" == (PROJECT / "tests" / "golden" / "sent.sql").read_text()


def test_what_queries_cost_is_granted_on_an_account_only_where_a_setting_says_so(olist, monkeypatch) -> None:
    from flows.steps.provision.snowflake import statements

    def granted(**values: object) -> bool:
        sql = [one.sql for one in statements(Settings(**values), [olist], "arn:aws:iam::1:role/r")]  # type: ignore[arg-type]
        return any("SNOWFLAKE.USAGE_VIEWER TO ROLE CXM_LOADER" in one for one in sql)

    assert not granted(target="snowflake")
    assert granted(target="snowflake", query_costs=True)
    assert granted(target="embedded")
