"""The whole pipeline on the embedded stack, with real Olist rows: every value arrives, a rerun does nothing."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.contract.model import Source
from flows.errors import DataError
from tests.flow.conftest import copy_files

ROWS = {
    "olist_customers_dataset.csv": 8_135,
    "olist_geolocation_dataset.csv": 45_928,
    "olist_order_items_dataset.csv": 8_365,
    "olist_order_payments_dataset.csv": 8_924,
    "olist_order_reviews_dataset.csv": 8_225,
    "olist_orders_dataset.csv": 8_135,
    "olist_products_dataset.csv": 5_460,
    "olist_sellers_dataset.csv": 1_610,
    "product_category_name_translation.csv": 71,
}

pytestmark = pytest.mark.xdist_group("flow")


@pytest.fixture(scope="module")
def loaded(settings: Any, sample: Path) -> Any:
    """The sample through the pipeline, once for the tests of this module."""
    from tests.conftest import run_flow

    return run_flow("pipeline", source="olist", data=str(sample))


def test_the_sample_loads_with_exactly_its_rows(loaded: Any, olist: Source, query: Callable[..., Any]) -> None:
    files = {t.name: t.file for t in olist.tables}
    assert {files[t.table]: t.rows_raw for t in loaded.tables} == ROWS
    assert {files[t.table]: t.rows_file for t in loaded.tables} == ROWS
    assert loaded.published
    assert {t.load for t in loaded.tables} == {"loaded"}
    assert all(t.validation.startswith("passed") for t in loaded.tables)
    assert {t.freshness for t in loaded.tables} == {"pass"}
    for table in olist.tables:
        (count,) = query(f"SELECT COUNT(*) FROM RAW.{table.raw_name} WHERE _BATCH_ID = '{loaded.batch_id}'")[0]
        assert count == ROWS[table.file]


@pytest.mark.parametrize("file", sorted(ROWS))
def test_every_value_in_raw_is_what_the_csv_module_reads(
    file: str, loaded: Any, olist: Source, sample: Path, query: Callable[..., Any]
) -> None:
    table = next(t for t in olist.tables if t.file == file)
    with (sample / file).open(encoding="utf-8-sig", newline="") as opened:
        _, *records = csv.reader(opened)
    expected = [tuple(None if v in ("", "null") else v for v in record) for record in records]
    columns = ", ".join(c.name for c in table.columns)
    rows = query(
        f"SELECT {columns} FROM RAW.{table.raw_name} WHERE _BATCH_ID = '{loaded.batch_id}' ORDER BY _SOURCE_ROW_NUMBER"
    )
    assert rows == expected


def test_audit_columns_say_where_a_row_came_from(loaded: Any, query: Callable[..., Any]) -> None:
    rows = query(
        "SELECT _SOURCE_FILENAME, _BATCH_ID, COUNT(*), COUNT(DISTINCT _SOURCE_ROW_NUMBER), "
        "MIN(_LOAD_TIMESTAMP) = MAX(_LOAD_TIMESTAMP), "
        "ABS(DATEDIFF('minute', MAX(_LOAD_TIMESTAMP), SYSDATE())) < 30 "
        f"FROM RAW.OLIST_ORDERS WHERE _BATCH_ID = '{loaded.batch_id}' GROUP BY 1, 2"
    )
    key = f"raw/olist/olist_orders_dataset/{loaded.batch_id}/olist_orders_dataset.csv.zst"
    assert rows == [(key, loaded.batch_id, 8_135, 8_135, True, True)]


def test_the_ledger_has_a_validated_row_for_each_file(loaded: Any, query: Callable[..., Any]) -> None:
    rows = query(
        "SELECT COUNT(*), MIN(STATUS), MAX(STATUS), SUM(FILE_RECORDS), SUM(ROWS_LOADED), COUNT(DISTINCT COPY_QUERY_ID), "
        f"COUNT(FLOW_RUN_ID) FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{loaded.batch_id}'"
    )
    total = sum(ROWS.values())
    assert rows == [(9, "validated", "validated", total, total, 9, 9)]


def test_a_second_run_uploads_and_loads_nothing_and_starts_no_dbt(
    settings: Any,
    loaded: Any,
    sample: Path,
    run_pipeline: Callable[..., Any],
    query: Callable[..., Any],
    objects: Callable[[], set[str]],
) -> None:
    loads = "SELECT COUNT(*), MAX(BATCH_ID) FROM RAW.LOAD_LEDGER WHERE STATUS <> 'skipped-unchanged'"
    before = objects(), query(loads)
    judged = settings.home / "dbt" / "target" / "sources.json"
    judged.unlink(missing_ok=True)
    again = run_pipeline(sample)
    assert {t.freshness for t in again.tables} == {"pass"}
    assert not judged.exists(), "dbt takes longer to start than all else that such a run does"
    assert {t.load for t in again.tables} == {f"unchanged since {loaded.batch_id}"}
    assert again.unchanged
    assert again.published
    assert {t.files for t in again.tables} == {0}
    assert (objects(), query(loads)) == before
    skipped = (
        "SELECT STATUS, UNCHANGED_SINCE, COUNT(*), COUNT(S3_KEY), SUM(FILE_RECORDS) FROM RAW.LOAD_LEDGER "
        f"WHERE BATCH_ID = '{again.batch_id}' GROUP BY 1, 2"
    )
    assert query(skipped) == [("skipped-unchanged", loaded.batch_id, 9, 0, sum(ROWS.values()))]


def test_provisioning_again_changes_nothing(loaded: Any, query: Callable[..., Any]) -> None:
    from tests.conftest import run_flow

    before = query("SELECT COUNT(*) FROM RAW.OLIST_ORDERS")
    changes = run_flow("provision")
    assert {c.action for c in changes} == {"unchanged"}
    assert query("SELECT COUNT(*) FROM RAW.OLIST_ORDERS") == before


def test_a_file_that_changed_is_loaded_and_the_others_are_not(
    loaded: Any, sample: Path, tmp_path: Path, run_pipeline: Callable[..., Any], query: Callable[..., Any]
) -> None:
    copy_files(sample, tmp_path)
    sellers = tmp_path / "olist_sellers_dataset.csv"
    sellers.write_bytes(sellers.read_bytes() + b'"%s","01001","sao paulo","SP"\n' % (b"f" * 32))
    changed = run_pipeline(tmp_path)
    assert {t.table: t.load for t in changed.tables if t.load == "loaded"} == {"sellers": "loaded"}
    assert next(t for t in changed.tables if t.table == "sellers").rows_raw == 1_611
    published = "SELECT BATCH_ID FROM RAW.LOAD_LEDGER WHERE TABLE_NAME = 'OLIST_SELLERS' AND STATUS = 'validated'"
    assert (changed.batch_id,) in query(published)


def test_a_broken_rule_quarantines_the_batch_and_a_good_file_takes_over(
    loaded: Any, sample: Path, tmp_path: Path, run_pipeline: Callable[..., Any], query: Callable[..., Any]
) -> None:
    copy_files(sample, tmp_path)
    orders = tmp_path / "olist_orders_dataset.csv"
    good = orders.read_bytes()
    orders.write_bytes(good.replace(b",delivered,", b",teleported,", 1))
    with pytest.raises(Exception, match="quarantined") as caught:
        run_pipeline(tmp_path)
    assert caught.value.exit_code == DataError.exit_code  # type: ignore[attr-defined]
    assert "in_set" in str(caught.value) or "ORDER_STATUS" in str(caught.value).upper()
    batch = caught.value.summary.batch_id  # type: ignore[attr-defined]
    ledger = query(f"SELECT STATUS, COUNT(*) FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{batch}' GROUP BY 1 ORDER BY 1")
    assert ledger in ([("quarantined", 1), ("skipped-unchanged", 8)], [("quarantined", 2), ("skipped-unchanged", 7)])
    assert query(f"SELECT COUNT(*) FROM RAW.OLIST_ORDERS WHERE _BATCH_ID = '{batch}'") == [(8_135,)]
    orders.write_bytes(good.replace(b",delivered,", b",shipped,", 1))
    assert run_pipeline(tmp_path).published
