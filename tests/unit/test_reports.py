"""The run report as a reader gets it: what came in, what changed, where to look."""

from __future__ import annotations

from flows.reports import Links, Report, render
from flows.steps.load import LoadResult
from flows.steps.profile import Compared, Profile

FOLDER = "raw/olist/olist_orders_dataset/20261123_050000/"


def report(links: Links) -> str:
    now = Profile("20261123_050000", 1_200, {"ORDER_ID": 0.0, "STATUS": 0.25, "CHANNEL": 0.5})
    before = Profile("20261122_050000", 1_000, {"ORDER_ID": 0.0, "STATUS": 0.20, "CHANNEL": 1.0})
    loaded = [
        LoadResult("orders", "OLIST_ORDERS", 1, 10, 1_200, 1_200, "loaded", "01b2-q"),
        LoadResult("sellers", "OLIST_SELLERS", 0, 10, 5, 5, "unchanged", since="20261121_050000"),
    ]
    return render(
        Report(
            source="olist",
            batch_id="20261123_050000",
            outcome="2 tables, 1,205 rows, 0 failed, fresh",
            loaded=loaded,
            folders={"orders": FOLDER, "sellers": "raw/olist/never/"},
            links=links,
            compared=[Compared("orders", now, before)],
            freshness={"orders": "pass", "sellers": "warn"},
        )
    )


def test_the_report_tells_rows_columns_and_null_rates_beside_the_batch_before() -> None:
    assert (
        report(Links(bucket="landing", data_docs="http://docs/index.html"))
        == f"""\
# olist-20261123_050000

2 tables, 1,205 rows, 0 failed, fresh

| table | load | rows | before | columns | freshness | S3 | COPY query |
| --- | --- | ---: | ---: | ---: | --- | --- | --- |
| orders | loaded | 1,200 | 1,000 (+200) | 3 (1 new) | pass | `s3://landing/{FOLDER}` | `01b2-q` |
| sellers | unchanged since 20261121_050000 | 5 |  |  | warn |  |  |

## Null rates that moved

| table | column | before | now |
| --- | --- | ---: | ---: |
| orders | STATUS | 20.0% | 25.0% |
| orders | CHANNEL | 100.0% | 50.0% |

## Documentation

- [Data Docs](http://docs/index.html)
"""
    )


def test_on_an_account_the_report_links_to_the_s3_console_and_to_snowsight() -> None:
    text = report(Links(bucket="landing", console="us-east-1", account="ACME-PROD1", dbt_docs="http://docs/dbt"))
    assert (
        f"[{FOLDER}](https://us-east-1.console.aws.amazon.com/s3/buckets/landing?region=us-east-1&prefix={FOLDER})"
        in text
    )
    assert "[01b2-q](https://app.snowflake.com/acme/prod1/#/compute/history/queries/01b2-q/detail)" in text
    assert "- [dbt docs](http://docs/dbt)" in text
