"""Bad rows of a whole run: named in its message, shown by `cxm quarantine show`, set aside where the contract says so."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.contract import sync
from flows.settings import Settings
from tests.conftest import olist_files, run_flow

pytestmark = pytest.mark.xdist_group("flow")
ITEMS = "olist_order_items_dataset.csv"


def show(*words: str) -> Any:
    """Run `cxm quarantine show …` in this process; return its output."""
    from flows.cli import main

    done = CliRunner().invoke(main, ["quarantine", "show", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def change(folder: Path, file: str, row: int, **values: str) -> None:
    """Put other values into a row of a file; rows count from 1."""
    path = folder / file
    with path.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    rows[row - 1] |= values
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_quarantine_names_the_rows_and_show_prints_and_exports_them(
    settings: Settings, run_pipeline: Callable[..., Any], small: Path, tmp_path: Path
) -> None:
    from flows.run import PipelineError

    change(small, ITEMS, 2, price="1e400")
    change(small, ITEMS, 5, price="9" * 40)
    change(small, "olist_customers_dataset.csv", 3, customer_city=" ")
    with pytest.raises(PipelineError) as caught:
        run_pipeline(small)
    message, batch = str(caught.value), caught.value.summary.batch_id
    assert re.search(
        r"number\(PRICE\) PRICE: 2 of \d+ rows: olist_order_items_dataset\.csv\S*: row 2 \(PRICE is '1e400'\), row 5",
        message,
    )
    assert f"`cxm quarantine show {batch} --source olist`" in message
    assert re.search(
        r"not_null\(CUSTOMER_CITY\) CUSTOMER_CITY: 1 of [\d,]+ rows: olist_customers_dataset\.csv\S*: row 3$",
        message,
        re.M,
    )

    rows = json.loads(show(batch, "--json"))
    assert [(r["table"], r["row"], r["rules"]) for r in rows] == [
        ("customers", 3, ["not_null(CUSTOMER_CITY)"]),
        ("order_items", 2, ["number(PRICE)"]),
        ("order_items", 5, ["number(PRICE)"]),
    ]
    assert [r["values"] for r in rows[:2]] == [{}, {"PRICE": "1e400"}]
    show(batch, "--table", "order_items", "--csv", str(tmp_path / "rows.csv"))
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        exported = list(csv.DictReader(file))
    assert [(r["row"], r["values"]) for r in exported] == [("2", "PRICE: 1e400"), ("5", f"PRICE: {'9' * 40}")]


@pytest.fixture
def tolerant(other_project: Callable[[Callable[[Path], None]], Path]) -> Path:
    """A copy of the project whose olist contract sets aside bad rows of orders and of three tables that refer to them; the flows
    read the copy."""

    def set_aside(copy: Path) -> None:
        contract = copy / "data_dictionary" / "olist.odcs.yaml"
        text = contract.read_text(encoding="utf-8")
        for name in ("orders", "order_items", "order_payments", "order_reviews"):
            head, result, rest = text.partition(f"  - name: {name}\n")
            assert result
            lines = ", brokenLines: true" * (name == "order_items")
            policy = f"- {{property: badRows, value: {{policy: set-aside, maxRows: 12{lines}}}}}"
            text = (
                head + result + rest.replace("    customProperties:\n", f"    customProperties:\n      {policy}\n", 1)
            )
        contract.write_text(text, encoding="utf-8")
        sync.check_standard(copy)

    return other_project(set_aside)


@pytest.mark.soak
def test_bad_rows_are_set_aside_and_the_good_ones_published_until_they_are_too_many(
    settings: Settings, tolerant: Path, run_pipeline: Callable[..., Any], tmp_path: Path, query: Callable[..., Any]
) -> None:
    from flows.run import PipelineError

    changes = {c.name: c.action for c in run_flow("provision")}
    rejected = f"{settings.database}.RAW.OLIST_ORDER_ITEMS_REJECTED"
    assert changes[rejected] == "created"
    assert f"{settings.database}.RAW.OLIST_SELLERS_REJECTED" not in changes
    assert {c.name: c.action for c in run_flow("provision")}[rejected] == "unchanged"

    folder = olist_files(tmp_path / "files", scale=0.001, seed=4711)
    change(folder, ITEMS, 2, price="1e400", freight_value="-1")
    change(folder, "olist_orders_dataset.csv", 1, order_purchase_timestamp="0001-01-01 00:00:00")
    with (folder / ITEMS).open("a", encoding="utf-8", newline="") as file:
        file.write('1,"2\n')
    with (folder / "olist_orders_dataset.csv").open(encoding="utf-8-sig", newline="") as file:
        lost = next(csv.DictReader(file))["order_id"]
    run = run_pipeline(folder)
    tables = {t.table: t for t in run.tables}
    assert (tables["orders"].rows_set_aside, tables["sellers"].rows_set_aside) == (1, 0)
    assert all(t.rows_file == t.rows_raw + t.rows_set_aside for t in run.tables)
    assert tables["orders"].validation == "passed, 1 row set aside"
    rows = query(
        f"SELECT _SOURCE_ROW_NUMBER, PRICE, _RULES FROM {rejected} WHERE _BATCH_ID = '{run.batch_id}' AND ORDER_ID <> '{lost}'"
    )
    assert rows == [(2, "1e400", "number(PRICE); between(FREIGHT_VALUE)")]
    lines = query(
        f"SELECT _REJECTED_TEXT, _REJECTED_REASON FROM {rejected} WHERE _BATCH_ID = '{run.batch_id}' AND _RULES = 'record'"
    )
    assert lines == [('1,"2', "a quote opens and does not close in this line")]
    for table in (
        "ORDERS",
        "ORDER_ITEMS",
        "ORDER_PAYMENTS",
        "ORDER_REVIEWS",
    ):  # what belonged to the order went with it
        of_lost = f"WHERE _BATCH_ID = '{run.batch_id}' AND ORDER_ID = '{lost}'"
        assert query(f"SELECT COUNT(*) FROM RAW.OLIST_{table} {of_lost}") == [(0,)]
    shown = json.loads(show(run.batch_id, "--json"))
    assert {(r["table"], r["state"]) for r in shown} >= {("orders", "set aside"), ("order_items", "set aside")}
    assert len(shown) == sum(t.rows_set_aside for t in run.tables)
    (line,) = [r for r in shown if r["rules"] == ["record"]]
    assert (line["table"], line["file"], line["values"]["text"]) == ("order_items", ITEMS, '1,"2')
    assert run_flow("reconcile", source="olist") == ()

    for row in range(1, 15):
        change(folder, ITEMS, row, price="free")
    with pytest.raises(
        PipelineError, match=r"(?s)quarantined.*more than the contract sets aside \(12 rows\)"
    ) as caught:
        run_pipeline(folder)
    batch = caught.value.summary.batch_id
    of_batch = f"SELECT DISTINCT _RULES FROM {rejected} WHERE _BATCH_ID = '{batch}'"
    assert query(of_batch) == [("record",)]  # the broken line, set aside by the load; no row of the quarantined batch
    assert run_flow("reconcile", source="olist") == ()


@pytest.mark.soak
def test_numbers_that_staging_cannot_hold_and_keys_in_two_spellings_are_set_aside_and_the_rest_builds(
    settings: Settings, tolerant: Path, without_days: None, run_pipeline: Callable[..., Any], tmp_path: Path
) -> None:
    from flows import blocks
    from flows.steps import build, dbt

    run_flow("provision")
    folder = olist_files(tmp_path / "files", scale=0.001, seed=31)
    payments = "olist_order_payments_dataset.csv"
    bad = ("1e400", "9" * 40, "9" * 29, "-1e20")  # what no NUMBER(38, 9) holds, and what no sum of them does
    good = (f"{'9' * 19}.99", "1e-20", "0.12345678901", " 7 ", "+1e2")
    for row, value in enumerate((*bad, *good), 1):
        change(folder, ITEMS, row, price=value)
    change(folder, payments, 2, payment_sequential="9" * 39)
    with (folder / payments).open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.DictReader(file))
    with (folder / payments).open("a", encoding="utf-8", newline="") as file:
        csv.DictWriter(file, list(first), lineterminator="\n").writerow(first | {"payment_sequential": "+01"})
    run = run_pipeline(folder)
    aside = {t.table: t.rows_set_aside for t in run.tables}
    assert aside["order_items"] == len(bad)
    assert aside["order_payments"] == 3  # the wide number, and both rows of a key in two spellings
    environment = dbt.dbt_environment(blocks.with_login(settings))
    built = build.build(tolerant / "dbt" / "cxm_medtech", environment, settings.home / "dbt")
    assert (built.failed, built.skipped) == (0, 0), built.problems
    assert built.passed > 100
