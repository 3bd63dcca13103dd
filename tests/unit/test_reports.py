"""The run report as a reader gets it: what came in, what changed, where to look."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flows import prefect_ui
from flows.landing import LandedObject, LandResult
from flows.reports import Links, Report, age, freshness_rows, land_rows, load_rows, render, validation_rows
from flows.steps.dbt import SourceFreshness
from flows.steps.load import LoadResult
from flows.steps.profile import Compared, Profile
from flows.steps.validate import RuleFailure, TableVerdict, Verdict

FOLDER = "raw/olist/olist_orders_dataset/20261123_050000/"
LANDED = [
    LandResult(
        "orders",
        "OLIST_ORDERS",
        "orders.csv",
        FOLDER,
        (LandedObject("orders.csv.zst", 99, 1_200),),
        1_234_567,
        1_200,
        "ab",
        "landed",
    ),
    LandResult(
        "sellers", "OLIST_SELLERS", "sellers.csv", "raw/olist/never/", (), 500, 5, "cd", "unchanged", "20261121_050000"
    ),
]
LOADED = [
    LoadResult("orders", "OLIST_ORDERS", 1, 10, 1_200, 1_200, "loaded", "01b2-q"),
    LoadResult("sellers", "OLIST_SELLERS", 0, 10, 5, 5, "unchanged", since="20261121_050000"),
]
WARNING = RuleFailure("orders.channel.in_set", "CHANNEL", "1,100 of 1,200 rows", 1_100, "warning")
VERDICT = Verdict("20261123_050000", (TableVerdict("orders", True, (), (WARNING,), 12),), Path("index.html"))


def report(links: Links) -> str:
    now = Profile("20261123_050000", 1_200, {"ORDER_ID": 0.0, "STATUS": 0.25, "CHANNEL": 0.5})
    before = Profile("20261122_050000", 1_000, {"ORDER_ID": 0.0, "STATUS": 0.20, "CHANNEL": 1.0})
    return render(
        Report(
            source="olist",
            batch_id="20261123_050000",
            status="Published",
            outcome="2 tables, 1,205 rows, 0 failed, fresh",
            landed={one.table: one for one in LANDED},
            loaded=LOADED,
            seconds=13.4,
            links=links,
            compared=[Compared("orders", now, before)],
            verdict=VERDICT,
            freshness={"orders": "pass", "sellers": "warn"},
        )
    )


def test_the_report_shows_rows_columns_and_null_rates_with_those_of_the_batch_before() -> None:
    assert (
        report(Links(bucket="landing", data_docs="http://docs/index.html"))
        == f"""\
# olist-20261123_050000

**Published**: 2 tables, 1,205 rows, 0 failed, fresh

- Came in: 1 of 2 tables, 1,200 rows, 1,234,567 bytes, in 13 s
- Since the batch before: orders +200 rows
- Checkpoint: 12 rules, 0 broken, 1 warning
- Look at: [Data Docs](http://docs/index.html)

| table | rows | status | before | bytes | columns | freshness | S3 | COPY query |
| --- | ---: | --- | ---: | ---: | ---: | --- | --- | --- |
| orders | 1,200 | loaded, passed, 1 warning | 1,000 (+200) | 1,234,567 | 3 (1 new) | pass | `s3://landing/{FOLDER}` | `01b2-q` |
| sellers | 5 | unchanged since 20261121_050000 |  |  |  | warn |  |  |

## Null rates that moved

| table | column | before | now |
| --- | --- | ---: | ---: |
| orders | STATUS | 20.0% | 25.0% |
| orders | CHANNEL | 100.0% | 50.0% |

## Findings

- **warning** orders: orders.channel.in_set CHANNEL: 1,100 of 1,200 rows
"""
    )


def test_on_an_account_the_report_links_to_the_s3_console_and_to_snowsight() -> None:
    text = report(Links(bucket="landing", console="us-east-1", account="ACME-PROD1", dbt_docs="http://docs/dbt"))
    assert (
        f"[{FOLDER}](https://us-east-1.console.aws.amazon.com/s3/buckets/landing?region=us-east-1&prefix={FOLDER})"
        in text
    )
    assert "[01b2-q](https://app.snowflake.com/acme/prod1/#/compute/history/queries/01b2-q/detail)" in text
    assert "- Look at: [dbt docs](http://docs/dbt)" in text


def test_a_table_that_did_not_load_comes_first_with_its_reason() -> None:
    text = render(
        Report(
            source="olist",
            batch_id="20261123_050000",
            status="Failed",
            outcome="2 tables, 5 rows, 1 failed",
            landed={},
            loaded=LOADED[1:],
            seconds=2,
            links=Links(bucket="landing"),
            failed={"orders": "orders.csv line 7: expected 8 fields, got 9\nmore of it"},
        )
    )
    assert "**Failed**: 2 tables, 5 rows, 1 failed" in text
    assert "- Came in: 0 of 2 tables, 0 rows, 0 bytes, in 2 s" in text
    assert text.index("| orders |  | failed |") < text.index("| sellers |")
    assert "- **failed** orders: orders.csv line 7: expected 8 fields, got 9\n" in text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (13.2, "13 s"),
        (59.7, "1 min"),
        (90, "1 min 30 s"),
        (1_500, "25 min"),
        (7_260, "2 h 1 min"),
        (187_201, "2 d 4 h"),
    ],
)
def test_an_age_is_written_in_words(seconds: float, said: str) -> None:
    assert age(seconds) == said


def test_the_tables_of_a_run_begin_with_table_rows_and_status() -> None:
    landed, loaded = land_rows(LANDED), load_rows(LOADED)
    validated = validation_rows(VERDICT, LOADED)
    for rows in (landed, loaded, validated):
        assert {tuple(row)[:3] for row in rows} == {("table", "rows", "status")}
    assert [list(row.values())[:4] for row in landed] == [
        ["orders", "1,200", "landed", "1,234,567"],
        ["sellers", "5", "unchanged since 20261121_050000", "500"],
    ]
    assert list(loaded[0].values())[:3] == ["orders", "1,200", "loaded"]
    assert list(validated[0].values())[:3] == ["orders", "1,200", "passed, 1 warning"]
    fresh = SourceFreshness("orders", "pass", "2026-11-23T05:00:07.123+00:00", 13.2, "24 hour", "48 hour")
    never = SourceFreshness("sellers", "runtime error", None, None, None, None, "no rows")
    assert [list(row.values())[:3] for row in freshness_rows([fresh, never])] == [
        ["orders", "pass", "13 s"],
        ["sellers", "runtime error", ""],
    ]
    assert freshness_rows([fresh])[0]["last delivery (UTC)"] == "2026-11-23 05:00:07"


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "[x](javascript:alert(1))", "a | b", "\x1b[31mred"])
def test_what_a_server_or_a_file_said_is_no_markup_in_a_report_nor_in_an_artifacts_cell(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = RuleFailure("regex", text, "…", 3, "error")
    page = render(
        Report(
            source="olist",
            batch_id="20261123_050000",
            status="Failed",
            outcome=text,
            landed={one.table: one for one in LANDED},
            loaded=LOADED,
            seconds=1.0,
            links=Links(bucket="landing"),
            failed={"products": text},
            verdict=Verdict("20261123_050000", (TableVerdict("orders", False, (finding,), (), 1),), Path("index.html")),
            freshness={"orders": text},
        )
    )
    made: list[list[dict[str, Any]]] = []
    monkeypatch.setattr(prefect_ui, "create_table_artifact", lambda rows, **_: made.append(rows))
    prefect_ui.table_artifact("a-key", [{"key": text, "files": (text,), "rows": 3}], "said")
    for written in (page, json.dumps(made, ensure_ascii=False)):
        assert "<script" not in written
        assert "[x](" not in written
        assert "\x1b" not in written
    [row] = [line for line in page.splitlines() if line.startswith("| orders")]
    assert len(re.split(r"(?<!\\)\|", row)) == 11
    assert made[0][0]["rows"] == "3"


def test_the_report_shows_values_that_are_new_since_the_batch_before() -> None:
    now, before = Profile("2", 9, {"STATUS": 0.0}), Profile("1", 9, {"STATUS": 0.0})
    values = {"STATUS": ("a|b", *(f"v{n}" for n in range(11)))}
    compared = [Compared("orders", now, before, values)]
    page = render(Report("olist", "2", "Published", "fine", {}, (), Links("landing"), 1.0, compared=compared))
    assert "## New values" in page
    assert "| orders | STATUS | `a\\|b`, `v0`, `v1`, `v2`, `v3`, `v4`, `v5`, `v6`, `v7`, `v8` and 2 more |" in page
