"""`cxm check` reports what a run would say of files, without a server, an account or Prefect."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.conftest import olist_files

SELLERS, ORDERS, ITEMS = "olist_sellers_dataset.csv", "olist_orders_dataset.csv", "olist_order_items_dataset.csv"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CXM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CXM_DATA", str(tmp_path / "data"))
    return tmp_path / "home"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return olist_files(tmp_path / "olist", scale=0.0005, seed=3)


def check(*words: object) -> Result:
    from flows.cli import main

    return CliRunner().invoke(main, ["check", *map(str, words)], catch_exceptions=False)


def report(*words: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(check(*words, "--json").stdout)
    return document


def change(path: Path, row: int, **values: str) -> None:
    """Put other values into a row of a file; rows count from 1."""
    with path.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    rows[row - 1] |= values
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_good_files_are_good_and_nothing_is_written_or_started(files: Path, home: Path) -> None:
    (files / "notes.txt").write_text("not the contract's")
    done = check("--data", files)
    assert done.exit_code == 0, done.output
    assert "9 files" in done.output
    assert "good" in done.output
    assert "ignored: notes.txt" in done.output
    assert "freshness" in done.output  # it says what it cannot judge
    assert not home.exists()


def test_every_table_is_judged_and_each_broken_rule_named_with_its_first_rows(files: Path) -> None:
    change(files / ORDERS, 2, order_status="lost")
    change(files / ORDERS, 4, order_status="lost", order_purchase_timestamp="2018-02-30 00:00:00")
    (files / SELLERS).write_bytes((files / SELLERS).read_bytes().replace(b"seller_city", b"town", 1))
    (files / ITEMS).unlink()
    done = check("--data", files)
    assert done.exit_code == 3
    assert "renamed: seller_city is called town" in done.output
    assert f"{ITEMS}: no such file" in done.output
    assert "row 2 (ORDER_STATUS is 'lost'), row 4 (ORDER_STATUS is 'lost')" in done.output
    document = {f["table"]: f for f in report("--data", files)["files"]}
    assert {name: f["status"] for name, f in document.items() if f["status"] not in ("good", "warning")} == {
        "orders": "bad",
        "order_items": "refused",
        "sellers": "refused",
    }
    assert {r["rule"]: (r["rows"], [x["row"] for x in r["first"]]) for r in document["orders"]["broken"]} == {
        "orders.in_set(ORDER_STATUS)": (2, [2, 4]),
        "orders.timestamp(ORDER_PURCHASE_TIMESTAMP)": (1, [4]),
    }


def test_values_of_personal_columns_are_not_shown(files: Path) -> None:
    change(files / "olist_customers_dataset.csv", 1, customer_unique_id="maria.silva@example.org")
    done = check("--data", files, "customers")
    assert done.exit_code == 3
    assert "CUSTOMER_UNIQUE_ID" in done.output
    assert "row 1" in done.output
    assert "maria.silva" not in done.output


def test_named_tables_alone_are_judged_also_by_what_they_point_at(files: Path) -> None:
    change(files / ORDERS, 1, customer_id="0" * 32)
    change(files / "olist_customers_dataset.csv", 2, customer_state="XX")
    document = report("--data", files, "orders")
    assert [f["table"] for f in document["files"]] == ["orders"]
    broken = {r["rule"] for r in document["files"][0]["broken"]}
    assert broken == {"orders.relationship(CUSTOMER_ID)"}


def test_what_points_at_a_refused_file_is_not_judged(files: Path) -> None:
    (files / "olist_customers_dataset.csv").unlink()
    document = report("--data", files)
    assert [f["table"] for f in document["files"] if f["status"] == "refused"] == ["customers"]
    assert any("orders.relationship(CUSTOMER_ID)" in line and "customers" in line for line in document["unjudged"])


def test_an_archive_is_read_as_a_folder_is(files: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files.iterdir():
            archive.write(path, f"archive/{path.name}")
    with zipfile.ZipFile(tmp_path / "archive.zip") as archive:
        packed = gzip.compress(archive.read(f"archive/{SELLERS}"))
    (files / SELLERS).unlink()
    (files / SELLERS).with_suffix(".csv.gz").write_bytes(packed)
    assert {f["table"]: f["packed"] for f in report("--data", files, "sellers")["files"]} == {"sellers": "gzip"}
    document = report("--data", tmp_path / "archive.zip")
    assert document["passed"]
    assert len(document["files"]) == 9
    assert all(f["rows"] for f in document["files"])


def test_configuration_is_told_from_data(tmp_path: Path, files: Path) -> None:
    assert check().exit_code == 2  # no files: none are generated
    assert check("--data", tmp_path / "nowhere").exit_code == 2
    assert check("--source", "olisst", "--data", files).exit_code == 2
    done = check("--data", files, "order")
    assert done.exit_code == 2
    assert "orders" in done.output


def test_prefect_is_not_imported(files: Path) -> None:
    code = (
        "import sys\nfrom flows.cli import main\n"
        f"try: main(['check', '--data', {str(files)!r}], standalone_mode=False)\n"
        "except SystemExit: pass\n"
        "slow = {'prefect', 'great_expectations', 'dbt'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_of_a_day_what_earlier_days_may_hold_is_not_called_broken(files: Path, tmp_path: Path) -> None:
    from flows.synthetic.medtech import generate
    from flows.synthetic.shipments import read_shipments

    folder = tmp_path / "synthetic"
    generate(folder, read_shipments(files), date(2018, 3, 1), date(2018, 3, 2), scale=0.05)
    document = report("--source", "synthetic", "--data", folder, "--day", "2018-03-02")
    assert all(name.endswith("2018-03-02.csv") for f in document["files"] for name in f["files"])
    assert not any(
        r["rule"].rpartition(".")[2].startswith("relationship") for f in document["files"] for r in f["broken"]
    )
    assert any("source olist" in line for line in document["unjudged"])


@pytest.fixture
def tolerant(tmp_path: Path) -> Path:
    """Hospitals, wards and visits, whose contract sets bad rows aside."""
    folder = tmp_path / "aside"
    folder.mkdir()
    (folder / "aside_hospitals.csv").write_text("id,beds\n1,10\n2,-1\n3,7\n")
    (folder / "aside_wards.csv").write_text("id,hospital\n1,1\n2,2\n3,3\n")
    (folder / "aside_visits.csv").write_text("ward,seen_on,doctor\n1,2018-01-01,Dr A\n2,2018-01-01,Dr B\n")
    return folder


def test_rows_that_a_run_would_set_aside_are_told_as_that(tolerant: Path) -> None:
    from flows.check import check as run_check
    from flows.contract.read import read_source
    from flows.places import local

    contract = read_source(Path(__file__).parents[1] / "flow" / "aside.odcs.yaml")
    got = run_check(contract, local(tolerant), date(2018, 1, 1))
    assert got.passed
    assert {f.table: (f.status, f.rows_set_aside) for f in got.files} == {
        "hospitals": ("set aside", 1),
        "wards": ("set aside", 1),  # its hospital is aside
        "visits": ("set aside", 1),  # its ward is aside
    }
    with (tolerant / "aside_visits.csv").open("a") as file:
        file.write('1,"2018\n')
    (visits,) = [f for f in run_check(contract, local(tolerant), date(2018, 1, 1)).files if f.table == "visits"]
    assert (visits.status, visits.rows, visits.rows_set_aside) == ("set aside", 3, 2)
    assert any("line 4 (a quote opens and does not close in this line)" in rule.observed for rule in visits.broken)
    (tolerant / "aside_wards.csv").write_text("id,hospital\nx,1\ny,1\nz,1\n")
    got = run_check(contract, local(tolerant), date(2018, 1, 1))
    assert not got.passed
    assert "3 of 3 rows" in got.refused


def test_a_file_is_read_in_its_tables_dialect(tmp_path: Path) -> None:
    from flows.check import check as run_check
    from flows.contract.dialect import Dialect
    from flows.contract.read import read_source
    from flows.places import local

    contract = read_source(Path(__file__).parents[1] / "flow" / "aside.odcs.yaml")
    hospitals = replace(contract.table("hospitals"), dialect=Dialect(";", encoding="windows-1252", header=False))
    contract = replace(contract, tables=(hospitals, *contract.tables[1:]))
    (tmp_path / "aside_hospitals.csv").write_bytes("1;1234.5\n2;-0.5\n3;é\n".encode("windows-1252"))
    got = run_check(contract, local(tmp_path), date(2018, 1, 1), [contract.table("hospitals")])
    assert {r.rule: r.named for r in got.files[0].broken} == {
        "hospitals.between(BEDS)": "aside_hospitals.csv: row 2 (BEDS is '-0.5')",
        "hospitals.number(BEDS)": "aside_hospitals.csv: row 3 (BEDS is 'é')",
    }
