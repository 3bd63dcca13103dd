"""The contract's tables as dbt sources: `Source` → `dbt/cxm_medtech/models/staging/<source>/_<source>__sources.yml`.

`freshness` and `loaded_at_field` stand under `config:`, where dbt 1.11 wants them. A table's age is the age of its newest
validated batch: rows that staging may not read must not make a source look fresh.
"""

from __future__ import annotations

from typing import Any

import yaml

from flows.contract.model import AUDIT_COLUMNS, Source, Table

PROJECT_FOLDER = "dbt/cxm_medtech"
# dbt renders these when it parses, so one derived file serves every account.
DATABASE = "{{ env_var('CXM_DATABASE', 'CXM_MEDTECH') }}"

_AUDIT = {
    "_LOAD_TIMESTAMP": ("TIMESTAMP_NTZ", "When COPY read the file, UTC."),
    "_BATCH_ID": ("VARCHAR", "The batch that brought the row, YYYYMMDD_HHMMSS in UTC."),
    "_SOURCE_FILENAME": ("VARCHAR", "The file's key in the landing bucket."),
    "_SOURCE_ROW_NUMBER": ("NUMBER", "The row's number in the file, as COPY counts."),
}


def render(source: Source) -> dict[str, str]:
    """The derived dbt files of `source`: path relative to the repository's root → whole text, the same for the same contract."""
    path = f"{PROJECT_FOLDER}/models/staging/{source.name}/_{source.name}__sources.yml"
    meta = {"contract_version": source.version, "owner": source.owner}
    document = {
        "version": 2,
        "sources": [
            {
                "name": source.name,
                "description": _text(source.description),
                "database": DATABASE,
                "schema": source.schema,
                "config": {
                    "loaded_at_field": "_LOAD_TIMESTAMP",
                    "meta": {key: value for key, value in meta.items() if value},
                    **({"tags": list(source.tags)} if source.tags else {}),
                },
                "tables": [_table(source, table) for table in source.tables],
            }
        ],
    }
    return {
        path: f"# {source.derived_line}\n" + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    }


def _table(source: Source, table: Table) -> dict[str, Any]:
    validated = f"SOURCE = '{source.name}' and TABLE_NAME = '{table.raw_name}' and STATUS = 'validated'"
    columns = [
        {
            "name": column.name,
            "description": _text(column.description),
            "data_type": "VARCHAR",
            "config": {
                "meta": {
                    "business_name": column.business_name,
                    "logical_type": column.logical_type,
                    "classification": column.classification,
                    "pii": column.pii,
                }
            },
        }
        for column in table.columns
    ]
    for name in AUDIT_COLUMNS:
        data_type, description = _AUDIT[name]
        columns.append({"name": name, "description": description, "data_type": data_type})
    return {
        "name": table.name,
        "identifier": table.raw_name,
        "description": _text(table.description),
        "config": {
            "freshness": {
                "warn_after": {"count": source.warn_after_hours, "period": "hour"},
                "error_after": {"count": source.error_after_hours, "period": "hour"},
                "filter": f"_BATCH_ID in (select BATCH_ID from {DATABASE}.{source.schema}.LOAD_LEDGER where {validated})",
            },
            "meta": {"business_name": table.business_name, "load": table.load, "file": table.file},
        },
        "columns": columns,
    }


def _text(text: str) -> str:
    """`text` as dbt will show it: dbt runs descriptions through Jinja, so braces that look like it are fenced."""
    return f"{{% raw %}}{text}{{% endraw %}}" if any(mark in text for mark in ("{{", "{%", "{#")) else text
