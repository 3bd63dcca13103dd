"""The text of contracts for tests: a document's head and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def head(source: str, purpose: str) -> str:
    """Return the document up to `schema:`; append entries to it."""
    return f"""\
apiVersion: v3.1.0
kind: DataContract
id: {source}
name: {source}
version: 1.0.0
status: active
description: {{purpose: "{purpose}"}}
servers:
  - server: raw
    type: snowflake
    account: ${{CXM_SNOWFLAKE_ACCOUNT}}
    database: CXM_MEDTECH
    schema: RAW
    customProperties:
      - {{property: stage, value: {source.upper()}_S3_STAGE}}
      - {{property: fileFormat, value: CSV_FORMAT}}
slaProperties:
  - {{id: freshness_warning, property: freshness, value: 26, unit: h}}
  - {{id: freshness_error, property: freshness, value: 50, unit: h}}
schema:
"""


def entry(
    source: str,
    table: str,
    columns: Sequence[str],
    policies: Sequence[str],
    *,
    file: str = "",
    load: str = "snapshot",
    refers: Mapping[str, str] | None = None,
) -> str:
    """Return a table of text columns, the first the key. `policies`: custom properties; `refers`: column → `table.column`."""
    properties = "".join(
        f"""\
      - name: {name}
        businessName: {name}
        description: A value.
        logicalType: string
        {"primaryKey: true" if name == columns[0] else "required: false"}
        classification: internal
        customProperties: [{{property: pii, value: none}}]
"""
        + (f"        relationships: [{{to: {to}}}]\n" if (to := (refers or {}).get(name)) else "")
        for name in columns
    )
    own = "".join(f"      - {policy}\n" for policy in policies)
    return f"""\
  - name: {table}
    physicalName: {source.upper()}_{table.upper()}
    businessName: {table} row
    description: A row.
    customProperties:
      - {{property: fileName, value: "{file or f"{table}.csv"}"}}
      - {{property: loadMode, value: {load}}}
{own}    properties:
{properties}"""
