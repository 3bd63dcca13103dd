"""The dbt sources that a contract renders to, as whole text."""

from __future__ import annotations

from dataclasses import replace

import yaml

from flows.contract.model import Column, Source, Table
from flows.contract.read import read_source
from flows.contract.render_dbt import render
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
    loaded_at_field: _LOAD_TIMESTAMP
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
        filter: _BATCH_ID in (select BATCH_ID from {{ env_var('CXM_DATABASE', 'CXM_MEDTECH') }}.RAW.LOAD_LEDGER where SOURCE
          = 'olist' and TABLE_NAME = 'OLIST_SELLERS' and STATUS = 'validated')
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


def test_a_contract_with_apostrophes_and_colons_renders_to_this_text() -> None:
    assert render(SOURCE) == {PATH: TEXT}


def test_every_text_of_the_contract_survives_the_yaml() -> None:
    source = yaml.safe_load(render(SOURCE)[PATH])["sources"][0]
    assert source["description"] == SOURCE.description
    assert [c["description"] for c in source["tables"][0]["columns"]][:2] == [
        c.description for c in SOURCE.tables[0].columns
    ]


def test_braces_in_a_description_are_not_run_as_jinja() -> None:
    text = render(replace(SOURCE, description="Codes like {{ this }}"))[PATH]
    assert yaml.safe_load(text)["sources"][0]["description"] == "{% raw %}Codes like {{ this }}{% endraw %}"


def test_the_project_holds_what_the_contract_renders_to() -> None:
    for path, text in render(read_source("olist")).items():
        assert (PROJECT / path).read_text(encoding="utf-8") == text
