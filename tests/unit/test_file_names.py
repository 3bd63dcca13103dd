"""Which files of a place are which table's: patterns, days, letter case, Unicode forms, what is missing or ignored."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import date
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.contract.file_names import covers, day_of, is_name, matches, stem
from flows.contract.model import Source, Table
from flows.contract.position import Position
from flows.contract.read import read_source
from flows.contract.read_files import refuse_overlaps
from flows.errors import ConfigurationError, DataError
from flows.inventory import days, inventory

DAY = date(2026, 11, 27)


read = cache(lambda: read_source("olist"))


def source(**files: str) -> Source:
    """Return a source with a table for each file name."""
    olist = read()
    tables = tuple(
        replace(
            olist.tables[0],
            name=name,
            raw_name=name.upper(),
            file=file,
            load="append" if "{date}" in file else "snapshot",
        )
        for name, file in files.items()
    )
    return replace(olist, tables=tables)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("orders.csv", "orders.csv", True),
        ("orders.csv", "Orders.csv", False),
        ("orders_*.csv", "orders_.csv", True),
        ("orders_*.csv", "orders_2024 (1).v2.csv", True),
        ("orders_*.csv", "orders_Zürich.csv", True),
        ("orders_*.csv", "orders_1.csv.bak", False),
        ("orders_*.csv", "a/orders_1.csv", False),
        ("orders_{part}.csv", "orders_07.csv", True),
        ("orders_{part}.csv", "orders_00000-4c7b.csv", True),
        ("orders_{part}.csv", "orders_.csv", False),
        ("orders_{part}.csv", "orders_1.2.csv", False),
        ("{part}.csv", "x.csv", True),
        ("orders_{date}_{part}.csv", "orders_2026-11-27_1.csv", True),
        ("orders_{date}_{part}.csv", "orders_2026-02-30_1.csv", False),
        ("orders_{date}_{part}.csv", "orders_2026-11-27.csv", False),
        ("orders_{date}.csv", "orders_2026-11-27.csv", True),
    ],
)
def test_a_pattern_matches_its_names(pattern: str, name: str, expected: bool) -> None:
    assert is_name(pattern)
    assert matches(pattern, name) is expected


@pytest.mark.parametrize(
    "pattern",
    ["x/*.csv", "../*.csv", "orders_*.txt", "{part}_{date}.csv", "*_{date}.csv", "o_{part}_{part}.csv", "{date}.csv",
     "o_{day}.csv", "x2024-01-{date}_*.csv", "a b.csv", "o'_*.csv"],
)  # fmt: skip
def test_what_no_contract_may_say_as_a_name_is_refused(pattern: str) -> None:
    assert not is_name(pattern)


def test_the_folder_in_s3_is_the_text_of_the_name() -> None:
    names = ["orders.csv", "orders_{date}.csv", "orders_*.csv", "orders_{date}_{part}.csv", "my-orders-*.csv", "*.csv"]
    assert [stem(name) for name in names] == ["orders", "orders", "orders", "orders", "my_orders", ""]
    (table,) = source(visits="{part}.csv").tables
    assert table.stem == "visits"


def test_one_pattern_covers_another_only_where_each_of_its_files_is_meant() -> None:
    assert covers("orders_*.csv", "orders_items_*.csv")
    assert covers("orders_*.csv", "orders_{part}.csv")
    assert covers("orders_*.csv", "orders_{date}.csv")
    assert covers("orders_*.csv", "orders_archive.csv")
    assert not covers("orders_{part}.csv", "orders_*.csv")
    assert not covers("orders_items_*.csv", "orders_*.csv")
    assert not covers("*_orders.csv", "site_*.csv")  # a file site_orders.csv is refused by the run that meets it


def test_all_files_of_a_pattern_are_the_tables_and_their_order_is_that_of_their_names() -> None:
    names = ["orders_2.csv.gz", "orders_10.csv", "orders_1.csv", "items.csv", ".generated.json"]
    listing = inventory(source(orders="orders_*.csv", items="items.csv"), names)
    assert listing.files == {"orders": ("orders_1.csv", "orders_10.csv", "orders_2.csv"), "items": ("items.csv",)}
    assert listing.entries["orders_2.csv"] == "orders_2.csv.gz"
    assert (listing.is_complete, listing.ignored, listing.summary) == (True, (), "")


def test_of_a_table_by_day_the_parts_of_that_day_are_taken_and_other_days_are_not_ignored_files() -> None:
    of_days = source(orders="orders_{date}_{part}.csv", visits="visits_{date}.csv")
    names = ["orders_2026-11-27_1.csv", "orders_2026-11-27_2.csv", "orders_2026-11-26_1.csv", "visits_2026-11-25.csv"]
    listing = inventory(of_days, names, DAY)
    assert listing.files == {"orders": ("orders_2026-11-27_1.csv", "orders_2026-11-27_2.csv"), "visits": ()}
    assert [(m.table.name, m.expected) for m in listing.missing] == [("visits", "visits_2026-11-27.csv")]
    assert listing.ignored == ()
    assert days(of_days, names) == (date(2026, 11, 25), date(2026, 11, 26), DAY)
    assert day_of("orders_{date}_{part}.csv", "orders_2026-11-26_1.csv") == date(2026, 11, 26)


def test_a_file_of_two_tables_is_refused_with_both_named() -> None:
    with pytest.raises(DataError, match=r"site_orders.csv: a file of a \(\*_orders.csv\) and of b \(site_\*.csv\)"):
        inventory(source(a="*_orders.csv", b="site_*.csv"), ["site_orders.csv"])


def test_another_letter_case_is_reported() -> None:
    listing = inventory(source(orders="orders.csv"), ["Orders.csv.gz", "notes.txt"])
    assert [(m.expected, m.near) for m in listing.missing] == [("orders.csv", "Orders.csv.gz")]
    assert listing.summary == "Orders.csv.gz (differs in letter case from orders.csv), notes.txt"
    exact = inventory(source(orders="orders.csv"), ["Orders.csv", "orders.csv"])
    assert (exact.files, exact.missing) == ({"orders": ("orders.csv",)}, ())


def test_a_part_in_another_letter_case_is_refused_since_its_rows_would_be_left_out() -> None:
    with pytest.raises(
        DataError, match=r"Orders_2.csv: differs in letter case from orders_\*.csv, the files of orders"
    ):
        inventory(source(orders="orders_*.csv"), ["orders_1.csv", "Orders_2.csv"])


def test_both_unicode_forms_of_a_name_are_one_name() -> None:
    composed, decomposed = (unicodedata.normalize(form, "orders_Zürich.csv") for form in ("NFC", "NFD"))
    listing = inventory(source(orders="orders_*.csv"), [decomposed])
    assert listing.files == {"orders": (composed,)}
    assert listing.entries == {composed: decomposed}
    with pytest.raises(DataError, match="exists twice"):
        inventory(source(orders="orders_*.csv"), [composed, decomposed])


def test_what_is_ignored_is_listed_once_ten_names_and_a_count() -> None:
    listing = inventory(source(orders="orders.csv"), ["ordesr.csv", *(f"log_{n:04}.txt" for n in range(3000))])
    assert listing.summary.startswith("ordesr.csv (orders.csv is missing), log_0000.txt, ")
    assert listing.summary.endswith(" and 2,991 more")


def test_a_place_without_an_optional_file_is_complete() -> None:
    two = source(orders="orders.csv", notes="notes_*.csv")
    tables = tuple(replace(t, optional=t.name == "notes") for t in two.tables)
    assert inventory(replace(two, tables=tables), ["orders.csv"]).is_complete
    assert not inventory(replace(two, tables=tables), ["notes_1.csv"]).is_complete


@given(st.sets(st.text(alphabet="abc_-.1ä", max_size=6)), st.sampled_from(["orders_*.csv", "orders_{part}.csv"]))
def test_each_file_is_one_tables_or_ignored_and_none_is_lost(middles: set[str], pattern: str) -> None:
    names = {f"orders_{middle}.csv" for middle in middles} | {"other.txt"}
    table: Table = source(orders=pattern).tables[0]
    listing = inventory(source(orders=pattern), names)
    assert {*listing.files["orders"], *(i.name for i in listing.ignored)} == names
    assert set(listing.files["orders"]) == {name for name in names if matches(table.file, name)}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a": "orders_*.csv", "b": "orders_items_*.csv"}, r"of a names the files of b \(orders_items_\*\.csv\) as well"),
        ({"a": "orders_*.csv", "b": "orders_old.csv"}, r"orders_\*\.csv of a names the files of b"),
        ({"a": "orders_{part}.csv", "b": "orders.csv"}, r"would both lie in S3 under orders/; expected a folder for each table"),
    ],
)  # fmt: skip
def test_a_contract_whose_patterns_overlap_is_refused_with_both_tables_named(files: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        refuse_overlaps(source(**files).tables, Position("x.odcs.yaml"))


def test_patterns_apart_are_accepted() -> None:
    apart = source(
        a="orders_{part}.csv", b="order_items_{part}.csv", c="*_c.csv", d="visits_{date}_*.csv", e="plain.csv"
    )
    refuse_overlaps(apart.tables, Position("x.odcs.yaml"))
