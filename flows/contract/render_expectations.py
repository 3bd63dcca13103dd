"""Renders the contracts as a Great Expectations project: `data_dictionary/<source>.odcs.yaml` → `expectations/gx/**`.

The files have the format of Great Expectations' own stores, so that opening and saving them with its tools changes nothing. Ids
are uuid5 of names: the same contract gives the same bytes. `flows.steps.validate` runs this project.

`expectations` decides what is in a suite.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import yaml

from flows.contract.expectations import asset_query, expectations
from flows.contract.model import Severity, Source, Table
from flows.escape import html, markdown

PROJECT_DIRECTORY = "expectations/gx"
DATA_SOURCE = "raw"
BATCH_DEFINITION = "newest_loaded"
DOCS_SITE = "data_docs"

# Great Expectations' names for severities (its FailureSeverity: critical, warning, info).
SEVERITIES: Mapping[Severity, str] = {"error": "critical", "warning": "warning"}

# Counts without rows: the rows describe healthcare professionals, and results and Data Docs are stored and published.
# BOOLEAN_ONLY would save half the queries, but Data Docs of GX 1.24 cannot show its results (KeyError observed_value).
RESULT_FORMAT: Mapping[str, object] = {"result_format": "BASIC", "partial_unexpected_count": 0}

_NAMESPACE = uuid5(NAMESPACE_URL, "medtech-cxm/expectations")
_HEADER = """\
{derived}
# Edit the contract, not this file.
#
# Open it with Great Expectations' own tools, from the project's root:
#     context = great_expectations.get_context(mode="file", project_root_dir="expectations")
#     context.checkpoints.get("raw_{first}").run()
# The connection is the embedded stack's on its default port (`cxm up`); `eval "$(cxm env)"` gives the shell its password, which
# another home's warehouse refuses. A pipeline run works on a copy under CXM_HOME and sets its own connection in memory, so no
# secret is ever written to a file.
"""


def render(*sources: Source) -> dict[str, str]:
    """Render every file of the Great Expectations project: path from the project's root → text.

    One suite and one validation definition per table, one checkpoint `raw_<source>` per source, and `great_expectations.yml` with
    one query asset per table. All sources are rendered together because they share `great_expectations.yml`.

    Raises:
        ConfigurationError: as `flows.contract.expectations.expectations`.
    """
    files = {}
    for source in sources:
        for table in source.tables:
            name = asset_name(table)
            files[f"{PROJECT_DIRECTORY}/expectations/{name}.json"] = _json(_suite(source, table))
            files[f"{PROJECT_DIRECTORY}/validation_definitions/{name}.json"] = _json(_validation_definition(table))
        files[f"{PROJECT_DIRECTORY}/checkpoints/{checkpoint_name(source)}.json"] = _json(_checkpoint(source))
    files[f"{PROJECT_DIRECTORY}/great_expectations.yml"] = _project(sources)
    return files


def asset_name(table: Table) -> str:
    """Return the name of the table's asset, suite and validation definition: `olist_orders`."""
    return table.raw_name.lower()


def checkpoint_name(source: Source) -> str:
    """Return the name of the checkpoint over all tables of a source: `raw_olist`."""
    return f"raw_{source.name}"


def _suite(source: Source, table: Table) -> dict[str, Any]:
    name = asset_name(table)
    entries = []
    for expectation in expectations(source, table):
        columns = list(expectation.columns)
        rule = f"{table.name}.{expectation.name}"
        entry: dict[str, Any] = {
            "id": _id("expectation", name, rule, expectation.severity, json.dumps(expectation.kwargs, sort_keys=True)),
            "kwargs": dict(expectation.kwargs),
            "meta": {
                "columns": columns,
                "contract": source.contract,
                "rule": rule,
                "severity": expectation.severity,
            },
            "severity": SEVERITIES[expectation.severity],
            "type": expectation.type,
        }
        if expectation.description:
            # Data Docs mark a broken warning as red as an error.
            warning = "Warning only: " if expectation.severity == "warning" else ""
            entry["description"] = warning + html(expectation.description)  # Data Docs read it as HTML
        entries.append(entry)
    return {
        "expectations": entries,
        "id": _id("suite", name),
        "meta": {"derived": source.derived_line},
        "name": name,
        "notes": markdown(f"{table.business_name}: {table.description}"),  # Data Docs read them as Markdown
    }


def _validation_definition(table: Table) -> dict[str, Any]:
    name = asset_name(table)
    return {
        "data": {
            "asset": {"id": _id("asset", name), "name": name},
            "batch_definition": {"id": _id("batch_definition", name), "name": BATCH_DEFINITION},
            "datasource": {"id": _id("datasource", DATA_SOURCE), "name": DATA_SOURCE},
        },
        "id": _id("validation_definition", name),
        "name": name,
        "suite": {"id": _id("suite", name), "name": name},
    }


def _checkpoint(source: Source) -> dict[str, Any]:
    names = [asset_name(table) for table in source.tables]
    return {
        "actions": [{"name": "update_data_docs", "site_names": [DOCS_SITE], "type": "update_data_docs"}],
        "id": _id("checkpoint", checkpoint_name(source)),
        "name": checkpoint_name(source),
        "result_format": dict(RESULT_FORMAT),
        "validation_definitions": [{"id": _id("validation_definition", name), "name": name} for name in names],
    }


def _project(sources: tuple[Source, ...]) -> str:
    def store(kind: str, directory: str) -> dict[str, Any]:
        backend = {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": directory,
            "suppress_store_backend_id": True,  # otherwise opening the project writes an id file next to the suites
        }
        return {"class_name": kind, "store_backend": backend}

    assets = {
        asset_name(table): {
            "type": "query",
            "id": _id("asset", asset_name(table)),
            "query": asset_query(source, table),
            "batch_metadata": {},
            "batch_definitions": {
                BATCH_DEFINITION: {"id": _id("batch_definition", asset_name(table)), "partitioner": None}
            },
        }
        for source in sources
        for table in source.tables
    }
    project = {
        "config_version": 4.0,
        "analytics_enabled": False,
        "data_context_id": _id("data_context"),
        "plugins_directory": None,
        "config_variables_file_path": None,
        "stores": {
            "expectations_store": store("ExpectationsStore", "expectations/"),
            "validation_definition_store": store("ValidationDefinitionStore", "validation_definitions/"),
            "checkpoint_store": store("CheckpointStore", "checkpoints/"),
            "validation_results_store": store("ValidationResultsStore", "uncommitted/validations/"),
        },
        "expectations_store_name": "expectations_store",
        "checkpoint_store_name": "checkpoint_store",
        "validation_results_store_name": "validation_results_store",
        "data_docs_sites": {
            DOCS_SITE: {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": f"uncommitted/{DOCS_SITE}/",
                },
                # The index reads every result that it lists, on every run.
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder", "validation_results_limit": 200},
            }
        },
        "fluent_datasources": {
            DATA_SOURCE: {
                "type": "snowflake",
                "id": _id("datasource", DATA_SOURCE),
                # Copies the batch once into the session, and every rule reads only that copy; without it GX also fetches
                # all rows of the query to learn its column names.
                "create_temp_table": True,
                "connection_string": {
                    "account": "cxm-embedded",
                    "user": "CXM_LOADER_SVC",
                    "password": "${CXM_WAREHOUSE_LOADER_PASSWORD}",
                    "database": "CXM_MEDTECH",
                    "schema": sources[0].schema,
                    "warehouse": "WH_CXM",
                    "role": "CXM_LOADER",
                },
                "kwargs": {"connect_args": {"host": "127.0.0.1", "port": 8088, "protocol": "http"}},
                "assets": assets,
            }
        },
    }
    derived = "\n".join(f"# {source.derived_line}" for source in sources)
    text = yaml.safe_dump(project, sort_keys=False, allow_unicode=True, width=10_000)
    return _HEADER.format(derived=derived, first=sources[0].name) + "\n" + text


def _id(*names: str) -> str:
    identifier: UUID = uuid5(_NAMESPACE, "/".join(names))
    return str(identifier)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True)
