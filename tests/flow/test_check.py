"""`cxm check` and the checkpoint report the same for the same bad files: rule by rule, row by row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flows.contract.model import Source
from tests.unit.test_check import change

pytestmark = pytest.mark.xdist_group("flow")

CUSTOMERS, ORDERS, ITEMS = "olist_customers_dataset.csv", "olist_orders_dataset.csv", "olist_order_items_dataset.csv"
PAYMENTS, REVIEWS = "olist_order_payments_dataset.csv", "olist_order_reviews_dataset.csv"
GEOLOCATION = "olist_geolocation_dataset.csv"
NUMBERS = (
    "1e400", "9" * 40, "-1", "1,5", " 7 ", "+5", "0x10", "Infinity", "NaN", "1_000", "1.5", "1.2345678901", "", "null", "Null",
    "1e3", ".5", "5.", "--1", "1 000", "99999999999999999999", "٣",
)  # fmt: skip
TIMES = (
    "2018-02-30 00:00:00", "0001-01-01 00:00:00", "2018-2-3 4:05:06", "2018-02-03", "2018-02-03T04:05:06", "03/02/2018 04:05:06",
    "2018-02-03 24:00:00", "2018-02-03 04:05:06.7", " 2018-02-03 04:05:06 ", "20180203 04:05:06", "1581-12-31 23:59:59", "now",
)  # fmt: skip


def broken(folder: Path) -> None:
    """Break each kind of rule in several ways."""
    for row, number in enumerate(NUMBERS, 1):
        change(folder / ITEMS, row, price=number, order_item_id=number)
        change(folder / PAYMENTS, row, payment_installments=number)
        change(folder / REVIEWS, row, review_score=number)
        change(folder / GEOLOCATION, row, geolocation_lat=number, geolocation_lng=f"-{number}")
    for row, time in enumerate(TIMES, 1):
        change(folder / ORDERS, row, order_purchase_timestamp=time, order_approved_at=time)
    change(folder / ORDERS, 13, order_status="lost")
    change(folder / ORDERS, 14, order_status=" delivered\t")  # staging trims it: valid
    change(folder / ORDERS, 15, order_status="Delivered")
    change(folder / ORDERS, 16, order_status="null")
    change(folder / ORDERS, 17, customer_id="0" * 32)
    change(folder / ORDERS, 18, order_id="A" * 32)  # breaks the pattern, and its items refer to nothing
    change(folder / ORDERS, 19, order_id="e" * 32)
    change(folder / ORDERS, 20, order_id=" " + "e" * 32)  # the same id, trimmed
    change(folder / CUSTOMERS, 3, customer_city=" \t ", customer_zip_code_prefix="1")
    change(folder / CUSTOMERS, 4, customer_state="XX")


@pytest.mark.soak
def test_check_and_the_checkpoint_find_the_same_in_the_same_files(
    run_pipeline: Callable[..., Any], small: Path, olist: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import tasks
    from flows.check import check
    from flows.places import local
    from flows.run import PipelineError
    from flows.steps.validate import Verdict

    broken(small)
    report = check(olist, local(small), date(2018, 1, 1))
    assert not report.passed

    verdicts: list[Verdict] = []
    validate = tasks.validate_step.validate

    def recorded(*arguments: Any, **options: Any) -> Verdict:
        verdicts.append(validate(*arguments, **options))
        return verdicts[0]

    monkeypatch.setattr(tasks.validate_step, "validate", recorded)
    with pytest.raises(PipelineError) as caught:
        run_pipeline(small, force=True)  # the category names are the same in every draw, and may be published already

    def facts(failures: Any) -> list[tuple[object, ...]]:
        return sorted((f.rule, f.column or "", f.observed, f.unexpected_count, f.severity) for f in failures)

    for judged in verdicts[0].tables:
        file = next(f for f in report.files if f.table == judged.table)
        assert facts(file.broken) == facts(judged.error_failures), judged.table
        assert facts(file.warnings) == facts(judged.warnings), judged.table
    assert {f.table for f in report.files} == {t.table for t in verdicts[0].tables}
    assert sum(len(f.broken) for f in report.files) > 12
    # The run's message names the first rows of each rule.
    assert "row 1 (PRICE is '1e400')" in str(caught.value)
    price = next(r for f in report.files for r in f.broken if r.rule == "order_items.number(PRICE)")
    assert price.rows[0].summary == "row 1 (PRICE is '1e400')"
    assert {f.table: f.rows for f in report.files} == {t.table: t.rows_file for t in caught.value.summary.tables}
