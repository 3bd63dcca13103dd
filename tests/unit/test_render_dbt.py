"""The dbt sources and staging models that a contract renders to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from flows.contract.model import Column, Rule, Source, Table
from flows.contract.read import read_source
from flows.contract.render_dbt import render
from flows.errors import ConfigurationError
from flows.settings import PROJECT

SOURCE = Source(
    name="olist",
    version="1.2.0",
    description="Surgical cases: what the hospital's shelf lacks",
    schema="RAW",
    stage="OLIST_S3_STAGE",
    file_format="CSV_FORMAT",
    tables=(
        Table(
            name="sellers",
            raw_name="OLIST_SELLERS",
            file="olist_sellers_dataset.csv",
            business_name="Account",
            description="One row per account",
            load="snapshot",
            columns=(
                Column(
                    "SELLER_ID",
                    "seller_id",
                    1,
                    "string",
                    "Account id",
                    "The account's key: 32 hex",
                    True,
                    "internal",
                    "none",
                ),
                Column(
                    "SELLER_CITY",
                    "seller_city",
                    2,
                    "string",
                    "City",
                    "São Paulo, d'oeste …",
                    False,
                    "confidential",
                    "indirect",
                ),
            ),
            primary_key=("SELLER_ID",),
        ),
    ),
    warn_after_hours=26,
    error_after_hours=50,
    owner="customer-experience",
)

MODELS = "dbt/cxm_medtech/models/staging/olist/_olist__models.yml"
PATH = "dbt/cxm_medtech/models/staging/olist/_olist__sources.yml"

TEXT = """\
# derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
version: 2
sources:
- name: olist
  description: 'Surgical cases: what the hospital''s shelf lacks'
  database: '{{ env_var(''CXM_DATABASE'', ''CXM_MEDTECH'') }}'
  schema: RAW
  config:
    meta:
      contract_version: 1.2.0
      owner: customer-experience
  tables:
  - name: sellers
    identifier: OLIST_SELLERS
    description: One row per account
    config:
      freshness:
        warn_after:
          count: 26
          period: hour
        error_after:
          count: 50
          period: hour
      loaded_at_query: '{{ last_delivery(''olist'', ''OLIST_SELLERS'') }}'
      meta:
        business_name: Account
        load: snapshot
        file: olist_sellers_dataset.csv
    columns:
    - name: SELLER_ID
      description: 'The account''s key: 32 hex'
      data_type: VARCHAR
      config:
        meta:
          business_name: Account id
          logical_type: string
          classification: internal
          pii: none
    - name: SELLER_CITY
      description: São Paulo, d'oeste …
      data_type: VARCHAR
      config:
        meta:
          business_name: City
          logical_type: string
          classification: confidential
          pii: indirect
    - name: _LOAD_TIMESTAMP
      description: When COPY read the file, UTC.
      data_type: TIMESTAMP_NTZ
    - name: _BATCH_ID
      description: The batch that brought the row, YYYYMMDD_HHMMSS in UTC.
      data_type: VARCHAR
    - name: _SOURCE_FILENAME
      description: The file's key in the landing bucket.
      data_type: VARCHAR
    - name: _SOURCE_ROW_NUMBER
      description: The row's number in the file, as COPY counts.
      data_type: NUMBER
"""


MODEL = "dbt/cxm_medtech/models/staging/olist/stg_olist__accounts.sql"

MODEL_TEXT = """\
-- derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
-- RAW.OLIST_SELLERS → STG: Account.
with published as (
    {{ published('olist', 'sellers') }}
)

select
    {{ text('SELLER_ID') }} as account_id,
    {{ text('SELLER_CITY') }} as city,
    {{ audit_columns() }}
from published
"""


def test_a_contract_with_apostrophes_and_colons_renders_to_this_text() -> None:
    rendered = render(SOURCE)
    assert sorted(rendered) == sorted([PATH, MODELS, MODEL])
    assert rendered[PATH] == TEXT
    assert rendered[MODEL] == MODEL_TEXT


def _accounts(source: Source) -> dict[str, Any]:
    return dict(yaml.safe_load(render(source)[MODELS])["models"][0])


def test_staging_has_a_described_and_typed_column_for_each_of_the_contract_and_of_the_load() -> None:
    model = _accounts(SOURCE)
    assert model["config"]["contract"] == {"enforced": True}
    assert [(c["name"], c["data_type"]) for c in model["columns"]] == [
        ("account_id", "varchar"),
        ("city", "varchar"),
        ("loaded_at", "timestamp_ntz"),
        ("batch_id", "varchar"),
        ("source_filename", "varchar"),
        ("source_row_number", "number"),
    ]
    assert all(c["description"] for c in model["columns"])


def test_a_rule_becomes_a_test_that_fails_or_warns_as_the_contract_says() -> None:
    rules = (
        Rule("unique", "error", "SELLER_ID"),
        Rule("in_set", "warning", "SELLER_CITY", arguments=(("values", ("a", "b")),)),
    )
    model = _accounts(replace(SOURCE, tables=(replace(SOURCE.tables[0], rules=rules),)))
    assert model["columns"][0]["data_tests"] == ["unique"]
    assert model["columns"][1]["data_tests"] == [
        {"accepted_values": {"arguments": {"values": ["a", "b"]}, "config": {"severity": "warn"}}}
    ]


def test_a_link_into_another_contract_is_tested_on_that_contracts_staging() -> None:
    synthetic = read_source("synthetic")
    models = yaml.safe_load(render(synthetic)["dbt/cxm_medtech/models/staging/synthetic/_synthetic__models.yml"])[
        "models"
    ]
    account = next(c for m in models for c in m["columns"] if c["name"] == "account_id")
    assert account["data_tests"][-1]["relationships"]["arguments"] == {
        "to": "ref('stg_olist__accounts')",
        "field": "account_id",
    }


@pytest.mark.parametrize("name", ["Order", "Batch id", "2nd city", "Account id"])
def test_a_business_name_that_makes_no_column_of_its_own_is_refused(name: str) -> None:
    table = SOURCE.tables[0]
    columns = (table.columns[0], replace(table.columns[1], business_name=name))
    with pytest.raises(ConfigurationError, match="property seller_city: got businessName"):
        render(replace(SOURCE, tables=(replace(table, columns=columns),)))


def test_two_tables_of_one_business_name_are_refused() -> None:
    table = SOURCE.tables[0]
    with pytest.raises(ConfigurationError, match="second staging model stg_olist__accounts"):
        render(replace(SOURCE, tables=(table, replace(table, name="buyers", raw_name="OLIST_BUYERS"))))


def test_every_text_of_the_contract_survives_the_yaml() -> None:
    source = yaml.safe_load(render(SOURCE)[PATH])["sources"][0]
    assert source["description"] == SOURCE.description
    assert [c["description"] for c in source["tables"][0]["columns"]][:2] == [
        c.description for c in SOURCE.tables[0].columns
    ]


def test_braces_in_a_description_are_not_run_as_jinja() -> None:
    text = render(replace(SOURCE, description="Codes like {{ this }}"))[PATH]
    assert yaml.safe_load(text)["sources"][0]["description"] == (r"{{ 'Codes like \x7b\x7b this \x7d\x7d' }}")


def test_the_project_holds_what_the_contract_renders_to() -> None:
    for path, text in (render(read_source("olist")) | render(read_source("synthetic"))).items():
        assert (PROJECT / path).read_text(encoding="utf-8") == text
