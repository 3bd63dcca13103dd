"""A contract is read whole, and a wrong one is refused with a message that names file, entry, property, got, expected and fix."""

from __future__ import annotations

import json
import shutil
from datetime import date
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from flows.contract.model import Limits, Relationship, Rule, Source
from flows.contract.read import PROJECT, read_source, sources
from flows.contract.render_dictionary import PATH, render
from flows.errors import ConfigurationError

CLINIC = Path(__file__).parent.parent / "golden" / "clinic.odcs.yaml"
OLIST = PROJECT / "data_dictionary" / "olist.odcs.yaml"
SYNTHETIC = OLIST.with_name("synthetic.odcs.yaml")


@pytest.fixture(scope="module")
def olist() -> Source:
    return read_source("olist")


def changed(tmp_path: Path, old: str, new: str, count: int = 1) -> Path:
    """Write the small contract with `old` replaced by `new`; return its path."""
    text = CLINIC.read_text(encoding="utf-8")
    assert text.count(old) >= count, f"{old!r} is not in the contract any more"
    path = tmp_path / "clinic.odcs.yaml"
    path.write_text(text.replace(old, new, count), encoding="utf-8")
    return path


def test_the_projects_contracts_are_found_by_name() -> None:
    assert "olist" in sources()
    assert read_source("olist") == read_source(OLIST)


@pytest.mark.parametrize("path", [OLIST, SYNTHETIC, CLINIC], ids=["olist", "synthetic", "clinic"])
def test_a_contract_satisfies_the_published_schema_of_odcs(path: Path) -> None:
    schema = json.loads(files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8"))
    got = jsonschema.Draft201909Validator(schema).iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert [f"{error.json_path}: {error.message}" for error in got] == []


def test_olist_has_its_nine_tables_with_their_files_and_keys(olist: Source) -> None:
    assert {t.raw_name: (t.file, t.primary_key) for t in olist.tables} == {
        "OLIST_ORDERS": ("olist_orders_dataset.csv", ("ORDER_ID",)),
        "OLIST_CUSTOMERS": ("olist_customers_dataset.csv", ("CUSTOMER_ID",)),
        "OLIST_ORDER_ITEMS": ("olist_order_items_dataset.csv", ("ORDER_ID", "ORDER_ITEM_ID")),
        "OLIST_ORDER_PAYMENTS": ("olist_order_payments_dataset.csv", ("ORDER_ID", "PAYMENT_SEQUENTIAL")),
        "OLIST_ORDER_REVIEWS": ("olist_order_reviews_dataset.csv", ("REVIEW_ID", "ORDER_ID")),
        "OLIST_PRODUCTS": ("olist_products_dataset.csv", ("PRODUCT_ID",)),
        "OLIST_SELLERS": ("olist_sellers_dataset.csv", ("SELLER_ID",)),
        "OLIST_GEOLOCATION": ("olist_geolocation_dataset.csv", ()),
        "OLIST_PRODUCT_CATEGORY_NAME_TRANSLATION": (
            "product_category_name_translation.csv",
            ("PRODUCT_CATEGORY_NAME",),
        ),
    }
    assert (olist.schema, olist.stage, olist.file_format) == ("RAW", "OLIST_S3_STAGE", "CSV_FORMAT")
    assert (olist.warn_after_hours, olist.error_after_hours) == (26, 50)


def test_olist_links_its_tables_and_only_the_translation_may_be_missing(olist: Source) -> None:
    got = {(t.name, r.columns[0], r.parent): r.severity for t in olist.tables for r in t.relationships}
    assert got == {
        ("orders", "CUSTOMER_ID", "OLIST_CUSTOMERS"): "error",
        ("order_items", "ORDER_ID", "OLIST_ORDERS"): "error",
        ("order_items", "PRODUCT_ID", "OLIST_PRODUCTS"): "error",
        ("order_items", "SELLER_ID", "OLIST_SELLERS"): "error",
        ("order_payments", "ORDER_ID", "OLIST_ORDERS"): "error",
        ("order_reviews", "ORDER_ID", "OLIST_ORDERS"): "error",
        ("products", "PRODUCT_CATEGORY_NAME", "OLIST_PRODUCT_CATEGORY_NAME_TRANSLATION"): "warning",
    }


def test_free_text_is_marked_as_direct_pii_and_pseudonyms_as_indirect(olist: Source) -> None:
    got = {c.name: c.pii for t in olist.tables for c in t.columns if c.pii != "none"}
    assert {name for name, pii in got.items() if pii == "direct"} == {
        "REVIEW_COMMENT_TITLE",
        "REVIEW_COMMENT_MESSAGE",
    }
    assert {"CUSTOMER_UNIQUE_ID", "CUSTOMER_ZIP_CODE_PREFIX", "CUSTOMER_CITY", "GEOLOCATION_LAT"} <= set(got)


def test_columns_stand_in_file_order_and_every_rule_names_one_of_them(olist: Source) -> None:
    for table in olist.tables:
        names = {c.name for c in table.columns}
        assert [c.position for c in table.columns] == list(range(1, len(names) + 1))
        assert {n for r in table.rules for n in (*r.columns, *([r.column] if r.column else []))} <= names
        assert len(set(table.rules)) == len(table.rules)


def test_the_small_contract_is_read_into_every_field() -> None:
    visits = read_source(CLINIC).table("visits")
    assert visits.header == ("visit_no", "site", "seen_at", "rating")
    assert visits.primary_key == ("SITE_CODE", "VISIT_NO")
    assert visits.relationships == (Relationship(("SITE_CODE",), "CLINIC_SITES", ("SITE_CODE",), "error"),)
    assert visits.rules == (
        Rule("row_count", "warning", arguments=(("min", 2),)),
        Rule("unique", "error", columns=("SITE_CODE", "VISIT_NO")),
        Rule("not_null", "error", "VISIT_NO"),
        Rule("number", "error", "VISIT_NO", arguments=(("integer", True),)),
        Rule("between", "error", "VISIT_NO", arguments=(("min", 1),)),
        Rule("not_null", "error", "SITE_CODE"),
        Rule("regex", "error", "SITE_CODE", arguments=(("pattern", "^[A-Z]{3}$"),)),
        Rule("timestamp", "error", "SEEN_AT", arguments=(("format", "YYYY-MM-DD HH24:MI:SS"),)),
        Rule("number", "error", "RATING", arguments=(("integer", False),)),
        Rule("between", "error", "RATING", arguments=(("max", 10),)),
        Rule("not_null", "warning", "RATING", description="Every visit should be rated."),
    )


SITES_FILE = '- {property: fileName, value: "sites_{date}.csv"}\n      - {property: loadMode, value: append}'
RELATIONSHIP = "          - {to: sites.site_code}"
RATED = "          - {metric: nullValues, mustBe: 0, severity: warning, description: Every visit should be rated.}"


def rated(entry: str) -> tuple[str, str]:
    return RATED, f"          - {{{entry}}}"


SLA_END = "value: 24, unit: h}\n"

BAD: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "unknown key": (
        "        unique: false",
        "        unik: false",
        ("schema[visits].properties[rating].unik", "no such key"),
    ),
    "unknown key at the top": ("status: draft", "status: draft\nstate: x", ("state", "Extra inputs")),
    "repeated key": ("        unique: false", "        required: true", ("line ", "required again")),
    "not YAML": ("status: draft", "status: [draft", ("is not YAML", "line ")),
    "wrong type": (
        "        unique: false",
        "        unique: [1]",
        ("properties[rating].unique", "[1]", "valid boolean"),
    ),
    "other version": ("apiVersion: v3.1.0", "apiVersion: v3.0.2", ("apiVersion", "'v3.0.2'", "expected v3.1.0")),
    "other name": ("name: clinic", "name: surgery", ("name: got 'surgery', expected clinic",)),
    "missing file name": (
        "- {property: fileName, value: visits_list.csv}",
        "",
        ("schema entry visits", "fileName: got nothing", "add `- {property: fileName"),
    ),
    "file name with a path": (
        "visits_list.csv",
        "../visits.csv",
        ("schema entry visits", "'../visits.csv'", "expected a .csv"),
    ),
    "file of two tables": (
        SITES_FILE,
        "- {property: fileName, value: visits_list.csv}\n      - {property: loadMode, value: snapshot}",
        ("fileNames", "visits_list.csv more than once"),
    ),
    "appended file without its day": (
        "sites_{date}.csv",
        "sites.csv",
        ("schema entry sites", "'sites.csv'", "_{date}: a table that is loaded as append has a file for each day"),
    ),
    "file with a day that holds all rows": (
        "visits_list.csv",
        "'visits_{date}.csv'",
        ("schema entry visits", "'visits_{date}.csv'", "expected a .csv"),
    ),
    "unknown custom property": (
        "property: fileName",
        "property: filename",
        ("schema entry sites", "'filename'", "fileName"),
    ),
    "other load mode": ("value: snapshot", "value: merge", ("loadMode", "'merge'", "snapshot or append")),
    "duplicate column": (
        "      - name: rating",
        "      - name: seen_at",
        ("schema entry visits", "seen_at more than once"),
    ),
    "duplicate RAW column": ("      - name: rating", "      - name: Seen_At", ("RAW names", "SEEN_AT more than once")),
    "duplicate table": ("  - name: visits", "  - name: sites", ("schema, names", "sites more than once")),
    "duplicate RAW table": ("CLINIC_VISITS", "CLINIC_SITES", ("physicalNames", "CLINIC_SITES more than once")),
    "no columns": (
        "    properties:\n      - name: site_code",
        "    relationships:\n      - name: x",
        ("schema[sites]", "name"),
    ),
    "bad RAW name": (
        "CLINIC_VISITS",
        "clinic visits",
        ("schema entry visits", "physicalName", "'clinic visits'", "upper case"),
    ),
    "bad column name": (
        "- name: rating",
        "- name: rating%",
        ("property rating%", "'RATING%'", "cannot be used unquoted"),
    ),
    "injected column name": ("- name: rating", "- name: 'a varchar); drop table x; --'", ("cannot be used unquoted",)),
    "reserved word as a column": (
        "- name: rating",
        "- name: order",
        ("property order", "a word that Snowflake reserves", "`physicalName: ORDER_`"),
    ),
    "reserved word that only snowflake-sqlalchemy quotes": (
        "- name: rating",
        "- name: copy",
        ("`physicalName: COPY_`",),
    ),
    "reserved word as another name": (
        "- name: rating",
        "- name: rating\n        physicalName: START",
        ("property rating", "physicalName", "START is a reserved word"),
    ),
    "reserved word as a table": ("CLINIC_VISITS", "TABLE", ("schema entry visits", "TABLE is a reserved word")),
    "word of FROM as a table": ("CLINIC_VISITS", "LATERAL", ("schema entry visits", "LATERAL", "FROM")),
    "other schema": ("schema: RAW", "schema: LANDING", ("servers, schema", "'LANDING'", "RAW")),
    "audit column": ("- name: rating", "- name: _batch_id", ("_BATCH_ID", "audit column")),
    "bad stage": ("CLINIC_STAGE", "'@x'", ("servers, customProperties, stage", "'@x'")),
    "no stage": ("- {property: stage, value: CLINIC_STAGE}", "", ("servers, customProperties, stage", "''")),
    "no server": ("type: snowflake", "type: s3", ("servers: got 0", "expected one")),
    "missing description": (
        "        description: From 0 to 10.\n",
        "",
        ("property rating", "description: got nothing"),
    ),
    "missing required": (
        "        required: false\n        unique: false\n",
        "",
        ("property rating", "required: got nothing"),
    ),
    "missing class": (
        "classification: restricted",
        "classification: secret",
        ("property seen_at", "'secret'", "restricted"),
    ),
    "missing PII": (
        "[{property: pii, value: direct}]",
        "[]",
        ("property seen_at", "pii: got nothing", "none or indirect"),
    ),
    "other type": ("logicalType: number", "logicalType: array", ("property rating", "'array'", "string or integer")),
    "other physical type": (
        "        logicalType: number",
        "        physicalType: FLOAT\n        logicalType: number",
        ("property rating", "physicalType", "'FLOAT'", "VARCHAR"),
    ),
    "column whose name has a line break": (
        "- name: rating",
        '- name: "rat\\ning"',
        ("rat\\ning", "on one line"),
    ),
    "other time format": (
        "yyyy-MM-dd HH:mm:ss",
        "dd/MM/yyyy",
        ("property seen_at", "'dd/MM/yyyy'", "yyyy-MM-dd HH:mm:ss"),
    ),
    "option of a flag": (
        "        logicalType: boolean",
        "        logicalType: boolean\n        logicalTypeOptions: {pattern: '^x$'}",
        ("property is_hospital", "pattern", "expected only none"),
    ),
    "format of a day with a time": (
        '"yyyy-MM-dd"}',
        '"yyyy-MM-dd HH:mm:ss"}',
        ("property opened_on", "'yyyy-MM-dd HH:mm:ss'", "expected yyyy-MM-dd"),
    ),
    "relationship to a contract that is not there": (
        "to: sites.site_code",
        "to: 'nowhere.odcs.yaml#/schema/sites/properties/code'",
        ("got nowhere.odcs.yaml", "same folder; it has clinic"),
    ),
    "relationship to itself by file": (
        "to: sites.site_code",
        "to: 'clinic.odcs.yaml#/schema/sites/properties/site_code'",
        ("clinic refers to clinic", "expected no circle"),
    ),
    "other option": (
        "{maximum: 10}",
        "{multipleOf: 10}",
        ("property rating", "multipleOf", "expected only maximum, minimum"),
    ),
    "range that is none": (
        "{maximum: 10}",
        "{minimum: 11, maximum: 10}",
        ("property rating", "11 and 10", "smaller first"),
    ),
    "range of text": ("{maximum: 10}", "{maximum: ten}", ("property rating", "'ten'", "expected a number")),
    "pattern without ends": ('"^[A-Z]{3}$"', '"[A-Z]{3}"', ("property site", "'[A-Z]{3}'", "expected ^…$")),
    "pattern engines read differently": ('"^[A-Z]{3}$"', "'^\\d$'", ("property site", "without backslashes")),
    "pattern that is none": ('"^[A-Z]{3}$"', '"^[A-Z$"', ("property site", "no regular expression")),
    "key positions": (
        "primaryKeyPosition: 2",
        "primaryKeyPosition: 1",
        ("schema entry visits", "[1, 1]", "expected 1 to 2"),
    ),
    "unknown table": (
        "to: sites.site_code",
        "to: clinics.id",
        ("schema entry visits", "table clinics", "sites, visits"),
    ),
    "unknown column": ("to: sites.site_code", "to: sites.code", ("schema entry visits", "code of sites", "site_code")),
    "relationship of another form": ("to: sites.site_code", "to: sites", ("property site", "'sites'", "table.column")),
    "relationship with its own from": (
        RELATIONSHIP,
        "          - {from: visits.site, to: sites.site_code}",
        ("property site", "relationships, from", "remove it"),
    ),
    "relationship severity": (
        RELATIONSHIP,
        "          - {to: sites.site_code, customProperties: [{property: severity, value: info}]}",
        ("property site", "'info'", "error or warning"),
    ),
    "no severity": (
        *rated("metric: nullValues, mustBe: 0"),
        ("property rating", "severity: got nothing", "error or warning"),
    ),
    "unknown metric": (
        *rated("metric: sum, mustBe: 0, severity: error"),
        ("property rating", "'sum'", "expected rowCount"),
    ),
    "rows allowed to fail": (
        *rated("metric: nullValues, mustBeLessThan: 5, severity: error"),
        ("mustBeLessThan", "mustBe 0"),
    ),
    "percent": (*rated("metric: nullValues, mustBe: 0, unit: percent, severity: error"), ("percent", "mustBe 0")),
    "SQL": (*rated("type: sql, query: SELECT 1, mustBe: 0, severity: error"), ("SELECT 1", "expected rowCount")),
    "values that YAML reads as other than text": (
        *rated("metric: invalidValues, arguments: {validValues: [NO, 1]}, mustBe: 0, severity: error"),
        ("property rating", "[False, 1]", "put quotes"),
    ),
    "freshness in days": ("value: 24, unit: h", "value: 24, unit: d", ("freshness_error", "unit h")),
    "freshness the wrong way round": ("value: 24, unit: h", "value: 6, unit: h", ("12 h", "at most", "6 h")),
    "freshness of no table": (
        SLA_END,
        f"{SLA_END}  - {{id: a, property: freshness, element: wards, value: none}}\n",
        ("element: got 'wards'", "expected a table: sites, visits"),
    ),
    "freshness of a table by half": (
        SLA_END,
        f"{SLA_END}  - {{id: sites_freshness_error, property: freshness, element: sites, value: 90, unit: h}}\n",
        ("got 0 with id sites_freshness_warning", "`value: none`"),
    ),
    "retention without a unit": (
        SLA_END,
        f"{SLA_END}  - {{property: retention, value: 90}}\n",
        ("retention, unit: got", "d (days), m (months) or y (years)"),
    ),
    "retention of part of a day": (
        SLA_END,
        f"{SLA_END}  - {{property: retention, value: 0.5, unit: d}}\n",
        ("retention, value: got 0.5", "a whole number of days from 1"),
    ),
    "retention by a column": (
        SLA_END,
        f"{SLA_END}  - {{property: retention, value: 3, unit: y, element: visits.seen_at}}\n",
        ("element: got 'visits.seen_at'", "expected a table: sites, visits", "by its last delivery"),
    ),
    "retention twice": (
        SLA_END,
        f"{SLA_END}  - {{property: retention, value: 3, unit: y}}\n  - {{property: retention, value: 9, unit: y}}\n",
        ("got 2 entries without an element",),
    ),
    "no freshness": ("id: freshness_error", "id: other", ("slaProperties: got 0", "freshness_error")),
}


@pytest.mark.parametrize(("old", "new", "said"), BAD.values(), ids=BAD.keys())
def test_a_bad_contract_is_refused_by_name(tmp_path: Path, old: str, new: str, said: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_source(changed(tmp_path, old, new))
    message = str(caught.value)
    assert "clinic.odcs.yaml" in message
    assert [part for part in said if part not in message] == [], message


def test_a_composite_relationship_between_tables_is_read(tmp_path: Path) -> None:
    path = changed(
        tmp_path,
        "    quality:\n",
        "    relationships:\n      - {from: [visits.site], to: [sites.site_code]}\n    quality:\n",
    )
    assert read_source(path).table("visits").relationships[1].parent_columns == ("SITE_CODE",)


def test_the_sources_around_olist_have_a_file_for_each_day_and_point_into_olist() -> None:
    source = read_source("synthetic")
    assert {t.name: (t.file_on(date(2018, 3, 1)), t.stem, t.primary_key) for t in source.tables} == {
        "support_tickets": ("support_tickets_2018-03-01.csv", "support_tickets", ("TICKET_ID",)),
        "nps_responses": ("nps_responses_2018-03-01.csv", "nps_responses", ("SURVEY_ID",)),
        "rep_visits": ("rep_visits_2018-03-01.csv", "rep_visits", ("VISIT_ID",)),
        "device_complaints": ("device_complaints_2018-03-01.csv", "device_complaints", ("COMPLAINT_ID",)),
    }
    assert {(r.source, r.parent, r.parent_columns) for t in source.tables for r in t.relationships} == {
        ("olist", "OLIST_SELLERS", ("SELLER_ID",)),
        ("olist", "OLIST_CUSTOMERS", ("CUSTOMER_UNIQUE_ID",)),
        ("olist", "OLIST_PRODUCTS", ("PRODUCT_ID",)),
        ("olist", "OLIST_ORDERS", ("ORDER_ID",)),
    }
    owner, parent = source.parent(source.table("rep_visits").relationships[0])
    assert (owner.name, parent.name) == ("olist", "sellers")
    assert {c.name for t in source.tables for c in t.columns if c.pii == "direct"} == {"COMMENT", "NARRATIVE"}


def test_a_relationship_into_another_contract_names_what_is_missing(tmp_path: Path) -> None:
    shutil.copy(OLIST, tmp_path)
    to = "'olist.odcs.yaml#/schema/shops/properties/seller_id'"
    with pytest.raises(ConfigurationError, match="got table shops of olist, expected one of orders"):
        read_source(changed(tmp_path, "to: sites.site_code", f"to: {to}"))


def test_a_missing_contract_is_named_with_the_existing_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.odcs\.yaml.*olist"):
        read_source("nowhere")


@pytest.mark.parametrize("text", ["", "- a\n", "just words\n"])
def test_a_document_that_is_no_contract_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clinic.odcs.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="expected an Open Data Contract Standard document"):
        read_source(path)


def test_a_header_that_is_a_reserved_word_loads_under_another_raw_name(tmp_path: Path) -> None:
    path = changed(tmp_path, "- name: rating", "- name: order\n        physicalName: ORDER_")
    columns = {c.header: c.name for t in read_source(path).tables for c in t.columns}

    assert columns["order"] == "ORDER_"


# The table of https://docs.snowflake.com/en/sql-reference/reserved-keywords, in its order: by letter.
KEYWORDS = """
ACCOUNT ALL ALTER AND ANY AS
BETWEEN BY
CASE CAST CHECK COLUMN CONNECT CONNECTION CONSTRAINT CREATE CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER
DATABASE DELETE DISTINCT DROP
ELSE EXISTS
FALSE FOLLOWING FOR FROM FULL
GRANT GROUP GSCLUSTER
HAVING
ILIKE IN INCREMENT INNER INSERT INTERSECT INTO IS ISSUE
JOIN
LATERAL LEFT LIKE LOCALTIME LOCALTIMESTAMP
MINUS
NATURAL NOT NULL
OF ON OR ORDER ORGANIZATION
QUALIFY
REGEXP REVOKE RIGHT RLIKE ROW ROWS
SAMPLE SCHEMA SELECT SET SOME START
TABLE TABLESAMPLE THEN TO TRIGGER TRUE TRY_CAST
UNION UNIQUE UPDATE USING
VALUES VIEW
WHEN WHENEVER WHERE WINDOW WITH
"""


def test_the_reserved_words_are_snowflakes_and_those_that_sqlalchemy_quotes() -> None:
    from snowflake.sqlalchemy.base import RESERVED_WORDS

    from flows.contract.reserved import IN_SHOW, NO_TABLE, RESERVED
    from flows.embedded.warehouse.text import reserved

    assert (RESERVED - {"COPY"}) | NO_TABLE | IN_SHOW == set(KEYWORDS.split())
    assert len(RESERVED) + len(NO_TABLE) + len(IN_SHOW) == len(KEYWORDS.split()) + 1, "each in one group"
    assert {word.upper() for word in RESERVED_WORDS} <= RESERVED
    assert RESERVED - {"COPY"} == reserved.RESERVED | reserved.NO_COLUMN
    assert NO_TABLE == reserved.NO_TABLE


def test_a_table_has_limits_of_its_own_or_is_never_late(tmp_path: Path) -> None:
    own = "".join(
        f"  - {{id: sites_freshness_{end}, property: freshness, element: sites, value: {hours}, unit: h}}\n"
        for end, hours in (("warning", 200), ("error", 400))
    )
    never = "  - {id: visits_freshness, property: freshness, element: visits, value: none}\n"
    source = read_source(changed(tmp_path, SLA_END, SLA_END + own + never))
    assert [source.limits(table) for table in source.tables] == [Limits(200, 400), None]
    plain = read_source(CLINIC)
    assert [plain.limits(table) for table in plain.tables] == [Limits(12, 24), Limits(12, 24)]


def test_a_table_is_kept_as_long_as_its_own_entry_says_or_the_sources(tmp_path: Path) -> None:
    more = "  - {id: r, property: retention, value: 3, unit: y}\n  - {property: RE, value: 1, unit: month, element: sites}\n"
    source = read_source(changed(tmp_path, SLA_END, SLA_END + more))
    assert [str(table.retention) for table in source.tables] == ["1 month", "3 years"]
    assert "- Retention: 1 month after the last delivery, in RAW and S3" in render(source)[PATH]
    plain = read_source(CLINIC)
    assert [table.retention for table in plain.tables] == [None, None]
