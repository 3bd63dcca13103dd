"""The lineage of columns, from the models' SQL as dbt compiles it: facts read by hand, sqlglot's own tracing, and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlglot import exp
from sqlglot.lineage import lineage as sqlglot_lineage

from flows.cli import main
from flows.contract import render_lineage
from flows.contract.lineage import ROWS, Lineage, Ref, trace
from flows.contract.model import AUDIT_COLUMNS, Source
from flows.contract.sync import contracts_of
from flows.errors import ConfigurationError
from flows.settings import PROJECT
from flows.steps import dbt

DBT = PROJECT / "dbt" / "cxm_medtech"
PAGE = PROJECT / "data_dictionary" / "lineage.md"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return dbt.compiled(DBT, tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return contracts_of(PROJECT)


@pytest.fixture(scope="module")
def lineage(manifest: dict[str, Any], sources: list[Source]) -> Lineage:
    return trace(manifest, sources)


@pytest.fixture(scope="module")
def page(lineage: Lineage, sources: list[Source]) -> str:
    return render_lineage.render(lineage, sources)[render_lineage.PATH]


def section(page: str, heading: str) -> dict[str, list[str]]:
    """Return first cell → the others, of each table under a heading and above the next heading of its level."""
    level = heading.split(" ")[0]
    text = re.split(rf"^{level} ", page.split(f"\n{heading}\n")[1], flags=re.M)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_committed_page_is_what_the_contracts_and_models_give(page: str) -> None:
    assert PAGE.read_text(encoding="utf-8") == page, "run `cxm contract lineage`"


# Read from the models by hand.
@pytest.mark.parametrize(
    ("column", "unchanged", "made_of"),
    [
        ("fct_shipment_items.unit_price", True, "OLIST_ORDER_ITEMS.PRICE"),
        ("fct_shipment_items.revenue", False, "OLIST_ORDER_ITEMS.PRICE OLIST_ORDERS.ORDER_STATUS"),
        ("fct_case_shipments.lines_value", False, "OLIST_ORDER_ITEMS.PRICE"),
        ("fct_case_shipments.amount_paid", False, "OLIST_ORDER_PAYMENTS.PAYMENT_VALUE"),
        ("fct_case_shipments.line_count", False, "OLIST_ORDER_ITEMS.*"),
        ("fct_case_shipments.batch_id", True, "OLIST_ORDERS._BATCH_ID"),
        (
            "fct_case_shipments.is_on_time",
            False,
            "OLIST_ORDERS.ORDER_DELIVERED_CUSTOMER_DATE OLIST_ORDERS.ORDER_ESTIMATED_DELIVERY_DATE",
        ),
        ("fct_case_shipments.hcp_region", False, "OLIST_CUSTOMERS.CUSTOMER_STATE brazilian_states.region"),
        ("fct_reviews.has_text", False, "OLIST_ORDER_REVIEWS.REVIEW_COMMENT_MESSAGE"),
        ("dim_hcps.hcp_id", True, "OLIST_CUSTOMERS.CUSTOMER_UNIQUE_ID"),
        ("dim_hcps.shipment_count", False, "OLIST_ORDERS.*"),
        ("dim_accounts.latitude", False, "OLIST_GEOLOCATION.GEOLOCATION_LAT"),
        (
            "dim_devices.volume_in_cm3",
            False,
            "OLIST_PRODUCTS.PRODUCT_LENGTH_CM OLIST_PRODUCTS.PRODUCT_HEIGHT_CM OLIST_PRODUCTS.PRODUCT_WIDTH_CM",
        ),
        ("dim_hcps.net_promoter_score", False, "SYNTHETIC_NPS_RESPONSES.SCORE"),
        # An account's counts are NULL while no row of the kind was ever loaded; the rows of the union tell that.
        (
            "fct_account_cx_health.net_promoter_score",
            False,
            "SYNTHETIC_NPS_RESPONSES.SCORE SYNTHETIC_SUPPORT_TICKETS.* SYNTHETIC_NPS_RESPONSES.* SYNTHETIC_REP_VISITS.* "
            "SYNTHETIC_DEVICE_COMPLAINTS.*",
        ),
        # A union: one part gives it, and the others NULL.
        ("fct_touchpoints.shipment_id", True, "SYNTHETIC_DEVICE_COMPLAINTS.SHIPMENT_ID"),
        (
            "fct_touchpoints.category",
            True,
            "SYNTHETIC_SUPPORT_TICKETS.CATEGORY SYNTHETIC_REP_VISITS.PURPOSE",
        ),
        # A constant of each part of the union, which says from which table the row comes.
        (
            "fct_touchpoints.touchpoint_type",
            False,
            "SYNTHETIC_SUPPORT_TICKETS.* SYNTHETIC_NPS_RESPONSES.* SYNTHETIC_REP_VISITS.* SYNTHETIC_DEVICE_COMPLAINTS.*",
        ),
        ("dim_dates.date_day", False, ""),
        # A snapshot is a `select *`.
        ("snap_accounts.source_row_number", True, "OLIST_SELLERS._SOURCE_ROW_NUMBER"),
    ],
)
def test_a_column_is_made_of_what_its_models_say(lineage: Lineage, column: str, unchanged: bool, made_of: str) -> None:
    ref = Ref(*column.split("."))
    assert lineage.origins(ref) == {Ref(*name.split(".")) for name in made_of.split()}
    if made_of:
        assert lineage.unchanged(ref) == unchanged


def test_the_health_score_is_made_of_all_its_components(lineage: Lineage) -> None:
    assert lineage.origins(Ref("fct_account_cx_health", "cx_health_score")) >= {
        Ref("OLIST_ORDER_REVIEWS", "REVIEW_SCORE"),
        Ref("OLIST_ORDERS", "ORDER_DELIVERED_CUSTOMER_DATE"),
        Ref("OLIST_ORDERS", "ORDER_ESTIMATED_DELIVERY_DATE"),
        Ref("SYNTHETIC_NPS_RESPONSES", "SCORE"),
        Ref("SYNTHETIC_DEVICE_COMPLAINTS", ROWS),
    }


def test_a_column_used_only_for_joins_is_marked(lineage: Lineage, page: str) -> None:
    key = Ref("OLIST_CUSTOMERS", "CUSTOMER_ID")
    assert lineage.made_from(key, "MARTS") == []
    assert lineage.chosen_by(key) == ["int_hcps_deduplicated", "int_shipments_enriched"]
    assert "no value; joins" in section(page, "### OLIST_CUSTOMERS")["CUSTOMER_ID"][3]


def test_sqlglots_own_tracing_finds_the_same_columns(manifest: dict[str, Any], lineage: Lineage) -> None:
    """They differ only in what ours adds: rows, and the column by which a seed was looked up."""
    schema = {
        "CXM_MEDTECH": {
            layer: {
                r.name.upper(): {column.upper(): "VARCHAR" for column in r.columns}
                for r in lineage.relations.values()
                if r.layer == layer
            }
            for layer in ("RAW", "SEEDS", "STG", "INT", "MARTS", "SNAPSHOTS")
        }
    }
    compared = 0
    for node in manifest["nodes"].values():
        if node["resource_type"] not in ("model", "snapshot"):
            continue
        relation = lineage.relations[node["name"]]
        got = sqlglot_lineage(None, node["compiled_code"], schema, dialect="snowflake")
        assert [name.lower() for name in got] == list(relation.columns)
        for name, root in got.items():
            theirs = {
                (leaf.expression.name.lower(), leaf.name.rpartition(".")[2].strip('"').lower())
                for leaf in root.walk()
                if isinstance(leaf.expression, exp.Table)
            }
            made_of = relation.columns[name.lower()]
            ours = {(ref.relation.lower(), ref.column.lower()) for ref in made_of if ref.column != ROWS}
            seeded = any(lineage.relations[ref.relation].layer == "SEEDS" for ref in made_of)
            assert theirs <= ours if seeded else theirs == ours, f"{node['name']}.{name}"
            compared += bool(theirs)
    assert compared > 300


def test_every_column_of_every_contract_is_on_the_page(page: str, sources: list[Source]) -> None:
    for source in sources:
        for table in source.tables:
            rows = section(page, f"### {table.raw_name}")
            assert list(rows) == [*(column.name for column in table.columns), *AUDIT_COLUMNS]
            assert all(staged and after[1] for _, staged, *after in rows.values()), "each says where it goes"
    assert section(page, "### OLIST_ORDER_PAYMENTS")["PAYMENT_TYPE"][1:] == [
        "`means_of_payment`",
        "",
        "staging only",
        "",
    ]


def test_every_column_of_every_mart_is_on_the_page(page: str, manifest: dict[str, Any]) -> None:
    marts = [
        node for node in manifest["nodes"].values() if node["schema"] == "MARTS" and node["resource_type"] == "model"
    ]
    assert len(marts) == 10
    for node in marts:
        assert list(section(page, f"### {node['name']}")) == list(node["columns"])


def test_what_is_computed_for_a_mart_is_defined(page: str) -> None:
    definitions = (PAGE.parent / "business_definitions.md").read_text(encoding="utf-8")
    marts = re.split("^## ", page.split("\n## From mart to file\n")[1], flags=re.M)[0]
    computed = set(re.findall(r"^\| `(\w+)` \| computed", marts, flags=re.M))
    assert len(computed) > 50
    assert {column for column in computed if f"`{column}`" not in definitions} == set()


def test_personal_data_that_reaches_a_mart_is_listed(lineage: Lineage, page: str, sources: list[Source]) -> None:
    listed = section(page, "## Personal data in the marts")
    expected = {
        f"{ref.relation}.{ref.column}"
        for source in sources
        for table in source.tables
        for column in table.columns
        if column.pii != "none"
        for layer in ("MARTS", "SNAPSHOTS")
        for ref in lineage.made_from(Ref(table.raw_name, column.name), layer)
    }
    assert set(listed) == expected
    assert listed["fct_reviews.has_text"] == [
        "computed",
        "`OLIST_ORDER_REVIEWS.REVIEW_COMMENT_MESSAGE`",
        "direct, restricted",
    ]
    assert listed["dim_hcps.hcp_city"] == ["as it is", "`OLIST_CUSTOMERS.CUSTOMER_CITY`", "indirect, confidential"]


def test_no_text_that_can_name_a_person_reaches_a_mart_as_it_is(page: str) -> None:
    """business_definitions.md and the marts' comments promise this; it holds for snapshots too."""
    rows = section(page, "## Personal data in the marts")
    assert [name for name, (how, _, pii) in rows.items() if pii.startswith("direct") and how != "computed"] == []


def test_a_model_that_names_a_missing_column_is_refused(manifest: dict[str, Any], sources: list[Source]) -> None:
    broken = json.loads(json.dumps(manifest))
    node = broken["nodes"]["model.cxm_medtech.dim_devices"]
    node["compiled_code"] = node["compiled_code"].replace("photos", "pictures")
    with pytest.raises(ConfigurationError, match=r"models/marts/dim_devices\.sql.*PICTURES"):
        trace(broken, sources)
    node["compiled_code"] = None
    with pytest.raises(ConfigurationError, match="dbt compile"):
        trace(broken, sources)


def test_the_command_recognizes_an_outdated_page_and_rewrites_it(
    manifest: dict[str, Any], page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data_dictionary").mkdir()
    for contract in PAGE.parent.glob("*.odcs.yaml"):
        (tmp_path / "data_dictionary" / contract.name).symlink_to(contract)
    monkeypatch.setattr("flows.settings.PROJECT", tmp_path)
    monkeypatch.setattr(dbt, "compiled", lambda *_: manifest)
    old = tmp_path / render_lineage.PATH
    old.write_text(page.replace("`lines_value` | computed", "`lines_value` | as it is"), encoding="utf-8")
    result = CliRunner().invoke(main, ["contract", "lineage", "--check"])
    assert result.exit_code == 2
    assert "+| `lines_value` | computed" in result.output
    assert "cxm contract lineage" in result.output
    assert json.loads(CliRunner().invoke(main, ["contract", "lineage", "--json"]).output) == [
        {"written": render_lineage.PATH}
    ]
    assert old.read_text(encoding="utf-8") == page
    assert CliRunner().invoke(main, ["contract", "lineage", "--check"]).exit_code == 0
