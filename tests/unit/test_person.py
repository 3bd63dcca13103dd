"""Which rows are a person's, found by the contracts only, and which of dbt's columns hold a person's keys."""

from __future__ import annotations

import pytest

from flows.contract.person import Key, Values, condition, dbt_key_columns, key_of, reach
from flows.contract.read import read_source, sources
from flows.errors import ConfigurationError
from flows.project import PROJECT

PERSON = Key("OLIST_CUSTOMERS", ("CUSTOMER_UNIQUE_ID",))
ORDERED = Key("OLIST_CUSTOMERS", ("CUSTOMER_ID",))
ORDER = Key("OLIST_ORDERS", ("ORDER_ID",))
ALL = [read_source(name) for name in sources()]
OLIST = read_source("olist")


def test_the_way_goes_to_rows_that_refer_to_the_person_and_never_back() -> None:
    found = reach(ALL, [PERSON])
    names = [h.name for h in found.holders]
    assert set(names) == {
        "OLIST_CUSTOMERS", "OLIST_ORDERS", "OLIST_ORDER_ITEMS", "OLIST_ORDER_PAYMENTS", "OLIST_ORDER_REVIEWS",
        "SYNTHETIC_SUPPORT_TICKETS", "SYNTHETIC_NPS_RESPONSES", "SYNTHETIC_DEVICE_COMPLAINTS",
    }  # fmt: skip
    for child, parent in (("OLIST_ORDERS", "OLIST_CUSTOMERS"), ("OLIST_ORDER_ITEMS", "OLIST_ORDERS")):
        assert names.index(child) < names.index(parent), "what leads to a row goes after it"
    assert found.sources == ("synthetic", "olist")


def test_a_row_is_found_by_a_persons_keys_and_gives_the_keys_of_other_rows() -> None:
    found = {h.name: h for h in reach(ALL, [PERSON]).holders}
    customers, orders = found["OLIST_CUSTOMERS"], found["OLIST_ORDERS"]
    assert dict(customers.found_by) == {PERSON: PERSON.columns, ORDERED: ORDERED.columns}
    assert set(customers.gives) == {PERSON, ORDERED}
    # A newer row of an order may be another person's, so an order is found by its customer only.
    assert orders.found_by == ((ORDERED, ("CUSTOMER_ID",)),)
    assert orders.gives == (ORDER,)
    assert found["OLIST_ORDER_ITEMS"].gives == ()
    complaints = dict(found["SYNTHETIC_DEVICE_COMPLAINTS"].found_by)
    assert complaints == {PERSON: ("HCP_ID",), ORDER: ("SHIPMENT_ID",)}


@pytest.mark.parametrize(
    "named", ["customers.customer_unique_id", "CUSTOMER_UNIQUE_ID", "OLIST_CUSTOMERS.customer_unique_id"]
)
def test_a_column_is_named_with_its_table_or_alone(named: str) -> None:
    assert key_of(OLIST, named) == PERSON


def test_a_referring_column_counts_as_the_column_it_refers_to() -> None:
    assert key_of(OLIST, "orders.customer_id") == ORDERED
    assert key_of(read_source("synthetic"), "support_tickets.hcp_id") == PERSON


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("orders.order_status", "its class is none, so it names nobody"),
        ("customer_id", "got orders.customer_id, customers.customer_id"),
        ("customers.name", "got none; name one of customers.customer_id"),
        ("people.name", "people: no such table in the contract of olist"),
    ],
)
def test_a_column_that_names_nobody_is_refused(named: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        key_of(OLIST, named)
    assert said in " ".join(str(refused.value).split()).replace("PEOPLE", "people")


def test_values_are_bound_and_stand_in_no_sql() -> None:
    values: Values = {PERSON: {("it's",), ("b",)}}
    text, bound = condition([(PERSON, ("HCP_ID",)), (ORDER, ("SHIPMENT_ID",))], values)
    assert text == (
        "(TRIM(HCP_ID)) IN (SELECT ENTRY.VALUE[0]::VARCHAR FROM TABLE(FLATTEN(INPUT => PARSE_JSON(:1))) AS ENTRY)"
    )
    assert bound == ['[["b"], ["it\'s"]]']
    assert condition([(ORDER, ORDER.columns)], values) == ("FALSE", [])


def test_dbts_columns_of_a_key_are_those_of_one_key_alone() -> None:
    found = dbt_key_columns(PROJECT, reach(ALL, [PERSON]))
    assert found["SNAP_HCPS", "HCP_ID"] == PERSON
    assert found["INT_TOUCHPOINTS_MERGED", "HCP_ID"] == PERSON
    assert found["INT_TOUCHPOINTS_MERGED", "SHIPMENT_ID"] == ORDER
    assert found["FCT_CASE_SHIPMENTS", "SHIPMENT_ID"] == ORDER
    # Ids of four systems in one column: equal ones need not be the same touchpoint.
    assert ("INT_TOUCHPOINTS_MERGED", "SOURCE_ID") not in found
