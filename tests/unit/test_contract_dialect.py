"""The dialect of a contract: read, refused with line and nearest spelling, and carried into casts and rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.contract import render_dbt, values
from flows.contract.compare import compare
from flows.contract.dialect import PLAIN, Dialect
from flows.contract.expectations import asset_query, expectations
from flows.contract.model import Source
from flows.contract.read import read_source
from flows.contract.render_dictionary import render as dictionary
from flows.errors import ConfigurationError

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: lab
name: lab
version: 1.0.0
status: active
description: {purpose: Files of a laboratory}
customProperties:
  - property: dialect
    value: {delimiter: ";", encoding: windows-1252}
servers:
  - server: raw
    type: snowflake
    schema: RAW
    customProperties:
      - {property: stage, value: LAB_S3_STAGE}
      - {property: fileFormat, value: CSV_FORMAT}
slaProperties:
  - {id: freshness_warning, property: freshness, value: 26, unit: h}
  - {id: freshness_error, property: freshness, value: 50, unit: h}
schema:
  - name: orders
    physicalName: LAB_ORDERS
    businessName: Order
    description: An order
    customProperties:
      - {property: fileName, value: orders.csv}
      - {property: loadMode, value: snapshot}
      - property: dialect
        value:
          # of the laboratory's export
          decimal: ","
          dates: dd.MM.yyyy
          booleans: Ja/Nein
    properties:
"""
PROPERTY = """\
      - name: {name}
        businessName: {name}
        description: {name}
        logicalType: {kind}
        required: false
        classification: internal
        customProperties: [{{property: pii, value: none}}]
"""
COLUMNS = {"total": "number", "pieces": "integer", "day": "date", "urgent": "boolean", "note": "string"}


def read(tmp_path: Path, old: str = "", new: str = "") -> Source:
    text = CONTRACT + "".join(PROPERTY.format(name=n, kind=k) for n, k in COLUMNS.items())
    assert old in text
    path = tmp_path / "lab.odcs.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return read_source(path)


def test_a_tables_dialect_overrides_the_sources_key_by_key(tmp_path: Path) -> None:
    (table,) = read(tmp_path).tables
    assert table.dialect == Dialect(
        delimiter=";", encoding="windows-1252", decimal=",", dates="DD.MM.YYYY", booleans=(("Ja", "Nein"),)
    )
    said = "delimiter: tab\n          escape: '\\'\n          nulls: ['-']\n          header: false"
    (table,) = read(tmp_path, 'decimal: ","', said).tables
    got = table.dialect
    assert (got.delimiter, got.escape, got.nulls, got.header) == ("\t", "\\", ("-",), False)
    assert table.dialect.encoding == "windows-1252"


def test_a_contract_without_a_dialect_is_read_as_before(tmp_path: Path) -> None:
    assert all(table.dialect == PLAIN for table in read_source("olist").tables)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("decimal:", "decimals:", "line 32, schema entry orders: customProperties, dialect: got the key 'decimals'"),
        ("decimal:", "decimals:", "did you mean decimal?"),
        ('decimal: ","', 'decimal: ";"', "line 32, schema entry orders: customProperties, dialect, decimal: got ';'"),
        ("encoding: windows-1252", "encoding: cp1252", "line 10: customProperties, dialect, encoding: got 'cp1252'"),
        ("encoding: windows-1252", "encoding: cp1252", "did you mean windows-1252?"),
        ("encoding: windows-1252", "encoding: UTF8", "did you mean utf-8?"),
        ("encoding: windows-1252", "encoding: latin1", "did you mean iso-8859-1?"),
        ('delimiter: ";"', "delimiter: tabulator", "expected one character that is no letter, digit or blank, or comma"),
        ('delimiter: ";"', 'delimiter: "||"', "expected one character"),
        ('delimiter: ";"', "delimiter: '\"'", "expected a delimiter, quote and escape that differ"),
        ("dates: dd.MM.yyyy", "dates: DD.MM.YYYY", "did you mean dd.MM.yyyy?"),
        ("booleans: Ja/Nein", "booleans: Ja", "expected the words for yes and no, such as `Ja/Nein`"),
        ("booleans: Ja/Nein", "booleans: [Ja/Nein, Nein/Ja]", "expected the words for yes and no"),
        ("booleans: Ja/Nein", "booleans: \"Ja/Ne'in\"", "expected the words for yes and no"),
        ("booleans: Ja/Nein", "header: 1", "expected true or false"),
        ("booleans: Ja/Nein", "nulls: NULL", "expected a list of texts"),
        ("booleans: Ja/Nein", "nulls: ['a,b']", "expected a list of texts"),
        ("booleans: Ja/Nein", "lineEnd: crlf", "expected one of lf, cr"),
        ("booleans: Ja/Nein", "quote: '`'", "expected one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_refused_with_line_and_nearest_spelling(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, old, new)
    assert said in str(caught.value)


def test_a_file_without_a_header_cannot_differ_in_its_columns(tmp_path: Path) -> None:
    new = "header: false\n      - {property: onReorder, value: by name}"
    with pytest.raises(ConfigurationError, match=r"line 35, .*onReorder: expected none beside `header: false`"):
        read(tmp_path, "booleans: Ja/Nein", new)


def test_staging_and_rules_read_values_as_the_dialect_writes_them(tmp_path: Path) -> None:
    source = read(tmp_path)
    (table,) = source.tables
    files = render_dbt.render(source)
    model = files["dbt/cxm_medtech/models/staging/lab/stg_lab__orders.sql"]
    assert "{{ number('TOTAL', decimal=',') }} as total," in model
    assert "{{ integer('PIECES', decimal=',') }} as pieces," in model
    assert "{{ date('DAY', format='DD.MM.YYYY') }} as day," in model
    assert "{{ boolean('URGENT', words=[['Ja', 'Nein']]) }} as urgent," in model
    assert "{{ text('NOTE') }} as note," in model
    sql = asset_query(source, table, "20260101_000000")
    assert "{" not in sql  # Great Expectations fills what is in braces
    for kind, column, how in (
        ("number", "TOTAL", {"decimal": ","}),
        ("integer", "PIECES", {"decimal": ","}),
        ("date", "DAY", {"format": "DD.MM.YYYY"}),
        ("boolean", "URGENT", {"words": (("Ja", "Nein"),)}),
    ):
        once = values.trimmed(values.value(kind, f"t.{column}", how), f"t.{column}")
        assert f"{once} AS {column}__HELD" in sql, column
        assert f"{values.text(f't.{column}')} AS {column}" in sql, column
    sentences = {e.description for e in expectations(source, table)}
    assert "URGENT must be Ja or Nein." in sentences
    assert "TOTAL must be a number below 1e20, with a decimal comma." in sentences
    assert "DAY must be a day that exists, from 1582 on, as DD.MM.YYYY." in sentences
    page = dictionary(source)["data_dictionary/README.md"]
    assert "- Written: separated by semicolon, windows-1252, decimal comma, yes and no: Ja/Nein" in page


def test_a_columns_own_format_comes_before_the_dialects(tmp_path: Path) -> None:
    source = read(tmp_path, "logicalType: date", "logicalType: date\n        logicalTypeOptions: {format: MM/dd/yyyy}")
    assert dict(source.tables[0].columns[2].reading) == {"format": "MM/DD/YYYY"}


def test_a_change_of_what_files_look_like_is_breaking(tmp_path: Path) -> None:
    old = read(tmp_path)
    new = read(tmp_path, 'delimiter: ";"', 'delimiter: "|"')
    (change,) = compare(old, new)
    assert (change.level, change.table) == ("breaking", "orders")
    assert "separated by semicolon" in change.what
    assert "separated by pipe" in change.what
