"""Renders a contract's dbt sources and staging models, under `dbt/cxm_medtech/models/staging/<source>/`.

| file | holds |
|---|---|
| `_<source>__sources.yml` | the RAW tables with freshness |
| `_<source>__models.yml` | every staging column with type, description and data tests, types enforced by dbt |
| `stg_<source>__<entities>.sql` | a view for each table: typed, trimmed, named as the contract's business names say |

So a table that is added to the contract is handed off, staged, documented and tested without any other change. `freshness` and
`loaded_at_query` are under `config:`, where dbt expects them. A table's age is that of its last delivery, which only the ledger
knows: a file that arrived unchanged loads no rows (macros/last_delivery.sql). The rules are tested on the staging view, not on
the RAW table, because quarantined rows in RAW do break them. Patterns and row counts are left to Great Expectations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from flows.contract.dbt_yaml import Jinja, dbt_yaml
from flows.contract.model import AUDIT_COLUMNS, Column, Rule, Source, Table
from flows.contract.reserved import RESERVED
from flows.contract.sql import literal
from flows.errors import ConfigurationError
from flows.escape import jinja, one_line

PROJECT_FOLDER = "dbt/cxm_medtech"
# dbt renders this when it parses, so the same derived file works for every account.
DATABASE = Jinja("{{ env_var('CXM_DATABASE', 'CXM_MEDTECH') }}")

# Staging name of the column, its type, its description.
_AUDIT = {
    "_LOAD_TIMESTAMP": ("loaded_at", "timestamp_ntz", "When COPY read the file, UTC."),
    "_BATCH_ID": ("batch_id", "varchar", "The batch that brought the row, YYYYMMDD_HHMMSS in UTC."),
    "_SOURCE_FILENAME": ("source_filename", "varchar", "The file's key in the landing bucket."),
    "_SOURCE_ROW_NUMBER": ("source_row_number", "number", "The row's number in the file, as COPY counts."),
}
# Logical type → (macro in macros/casts.sql, SQL type) in staging.
_TYPES = {
    "string": ("text", "varchar"),
    "integer": ("integer", "number(38, 0)"),
    "number": ("number", "number(38, 9)"),
    "timestamp": ("timestamp", "timestamp_ntz"),
    "date": ("date", "date"),
    "boolean": ("boolean", "boolean"),
}


def render(source: Source) -> dict[str, str]:
    """Render the derived dbt files of `source`: path relative to the project → text. Deterministic.

    Raises:
        ConfigurationError: two tables would be one staging model, or two columns of a table one staging column.
    """
    folder = f"{PROJECT_FOLDER}/models/staging/{source.name}"
    models = staging_models(source)
    files = {
        f"{folder}/_{source.name}__sources.yml": dbt_yaml(
            source.derived_line, {"version": 2, "sources": [_source(source)]}
        ),
        f"{folder}/_{source.name}__models.yml": dbt_yaml(
            source.derived_line, {"version": 2, "models": [_model(source, table, models) for table in source.tables]}
        ),
    }
    for table in source.tables:
        files[f"{folder}/{models[table.raw_name]}.sql"] = _sql(source, table)
    return files


def staging_models(source: Source) -> dict[str, str]:
    """Name the staging model of each RAW table: `OLIST_SELLERS` → `stg_olist__accounts`, from the business name "Account (…)".

    Raises:
        ConfigurationError: two tables have the same business name.
    """
    names: dict[str, str] = {}
    for table in source.tables:
        name = f"stg_{source.name}__{_plural(slug(table.business_name))}"
        if name in names.values():
            raise ConfigurationError(
                f"{source.contract}, schema entry {table.name}: got businessName {table.business_name!r}, which makes a second "
                f"staging model {name}; expected one for each table; say it in other words"
            )
        names[table.raw_name] = name
    return names


def staging_columns(source: Source, table: Table) -> dict[str, str]:
    """Name the staging column of each RAW column, from the business name: `SELLER_ID` → `account_id`.

    Raises:
        ConfigurationError: two columns would have one name, or a name is a word of SQL or of an audit column.
    """
    names: dict[str, str] = {}
    for column in table.columns:
        name = slug(column.business_name)
        if not is_staging_name(name) or name in names.values():
            raise ConfigurationError(
                f"{source.contract}, schema entry {table.name}, property {column.header}: got businessName "
                f"{column.business_name!r}, which makes the staging column {name!r}, a name that is taken or no name; expected "
                "one of its own that begins with a letter; say it in other words"
            )
        names[column.name] = name
    return names


def _source(source: Source) -> dict[str, Any]:
    meta = {"contract_version": source.version, "owner": source.owner}
    return {
        "name": source.name,
        "description": source.description,
        "database": DATABASE,
        "schema": source.schema,
        "config": {
            "meta": {key: value for key, value in meta.items() if value},
            **({"tags": list(source.tags)} if source.tags else {}),
        },
        "tables": [_table(source, table) for table in source.tables],
    }


def _table(source: Source, table: Table) -> dict[str, Any]:
    columns = [
        {
            "name": column.name,
            "description": column.description,
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
        _, data_type, description = _AUDIT[name]
        columns.append({"name": name, "description": description, "data_type": data_type.upper()})
    return {
        "name": table.name,
        "identifier": table.raw_name,
        "description": table.description,
        "config": {
            **_freshness(source, table),
            "meta": {"business_name": table.business_name, "load": table.load, "file": table.file},
        },
        "columns": columns,
    }


def _freshness(source: Source, table: Table) -> dict[str, Any]:
    """Render dbt's freshness limits and its query for the last delivery; null if the contract says that the table is never late
    (https://docs.getdbt.com/reference/resource-properties/freshness)."""
    limits = source.limits(table)
    if limits is None:
        return {"freshness": None}
    return {
        "freshness": {
            "warn_after": {"count": limits.warn_after_hours, "period": "hour"},
            "error_after": {"count": limits.error_after_hours, "period": "hour"},
        },
        "loaded_at_query": Jinja(
            f"{{{{ last_delivery('{source.name}', '{table.raw_name}'{', by_day=true' * table.daily}) }}}}"
        ),
    }


def _model(source: Source, table: Table, models: dict[str, str]) -> dict[str, Any]:
    names = staging_columns(source, table)
    columns: list[dict[str, Any]] = []
    for column in table.columns:
        tests = _column_tests(source, table, column)
        columns.append(
            {
                "name": names[column.name],
                "description": column.description,
                "data_type": _TYPES[column.logical_type][1],
                "config": {"meta": {"classification": column.classification, "pii": column.pii}},
                **({"data_tests": tests} if tests else {}),
            }
        )
    for name in AUDIT_COLUMNS:
        staged, data_type, description = _AUDIT[name]
        columns.append({"name": staged, "description": description, "data_type": data_type})
    tests = _model_tests(source, table, names)
    return {
        "name": models[table.raw_name],
        "description": f"{table.business_name}. {table.description}",
        "config": {"contract": {"enforced": True}, "tags": [source.name]},
        **({"data_tests": tests} if tests else {}),
        "columns": columns,
    }


def _column_tests(source: Source, table: Table, column: Column) -> list[Any]:
    """Render the contract's rules on one column as dbt's built-in tests; a rule of severity warning only warns there too."""
    tests: list[Any] = []
    for rule in table.rules:
        if rule.column != column.name:
            continue
        match rule.kind:
            case "not_null" | "unique":
                tests.append(_test(rule.kind, rule.severity))
            case "in_set":
                tests.append(
                    _test("accepted_values", rule.severity, values=[_quoted(v) for v in rule.argument("values")])
                )
    for link in table.relationships:
        if link.columns == (column.name,):
            owner, parent = source.parent(link)
            field = staging_columns(owner, parent)[link.parent_columns[0]]
            to = Jinja(f"ref('{staging_models(owner)[parent.raw_name]}')")
            tests.append(_test("relationships", link.severity, to=to, field=field))
    return tests


def _model_tests(source: Source, table: Table, names: dict[str, str]) -> list[Any]:
    tests = [
        _test("unique_together", rule.severity, columns=[names[c] for c in rule.columns])
        for rule in table.rules
        if rule.kind == "unique" and rule.columns
    ]
    typed = {c.name: _cast(c) for c in table.columns if c.logical_type != "string"}
    if typed:
        tests.append(_test("casts_succeed", "error", source=source.name, table=table.name, columns=typed))
    for severity in ("error", "warning"):
        if limits := _limits((r for r in table.rules if r.kind == "between" and r.severity == severity), names):
            tests.append(_test("within_limits", severity, limits=limits))
    return tests


def _cast(column: Column) -> Any:
    """Return a column's macro and its further arguments, as the test `casts_succeed` reads them."""
    macro = _TYPES[column.logical_type][0]
    return {"type": macro, "how": plain(dict(column.reading))} if column.reading else macro


def plain(value: Any) -> Any:
    """Convert tuples to lists, for YAML and Jinja."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, tuple) else value


def _limits(rules: Iterable[Rule], names: dict[str, str]) -> dict[str, dict[str, object]]:
    """Return the narrowest `min` and `max` over all rules, by staging column."""
    limits: dict[str, dict[str, object]] = {}
    for rule in rules:
        of_column = limits.setdefault(names[str(rule.column)], {})
        for end, narrowest in (("min", max), ("max", min)):
            value = rule.argument(end)
            if value is not None:
                of_column[end] = narrowest(value, of_column.get(end, value))
    return limits


def _test(name: str, severity: str, **arguments: object) -> Any:
    """Render a data test in dbt's YAML: only its name, unless it has arguments or only warns."""
    config = {"config": {"severity": "warn"}} if severity == "warning" else {}
    body = {**({"arguments": arguments} if arguments else {}), **config}
    return {name: body} if body else name


def _quoted(value: str) -> str:
    """Escape a value for dbt's own tests, which put it between quotes without escaping it."""
    return literal(value)[1:-1]


def _sql(source: Source, table: Table) -> str:
    names = staging_columns(source, table)
    columns = [
        f"    {{{{ {_TYPES[c.logical_type][0]}('{c.name}'{_arguments(c)}) }}}} as {names[c.name]},"
        for c in table.columns
    ]
    return "\n".join(
        [
            f"-- {source.derived_line}",
            f"-- {source.schema}.{table.raw_name} → STG: {jinja(one_line(table.business_name))}.",
            "with published as (",
            f"    {{{{ published('{source.name}', '{table.name}') }}}}",
            ")",
            "",
            "select",
            *columns,
            "    {{ audit_columns() }}",
            "from published",
            "",
        ]
    )


def _arguments(column: Column) -> str:
    return "".join(f", {name}={plain(value)!r}" for name, value in column.reading)


def is_staging_name(name: str) -> bool:
    """Return whether a staging column may have this name: lower case, beginning with a letter, not a keyword or audit column."""
    taken = {audit for audit, _, _ in _AUDIT.values()} | {word.lower() for word in RESERVED}
    return re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None and name not in taken


def slug(text: str) -> str:
    """Turn a business name into an SQL name, without text in brackets: "Account (hospital)" → account."""
    return "_".join(re.findall(r"[a-z0-9]+", re.sub(r"\(.*?\)", " ", text).lower()))


def _plural(word: str) -> str:
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return word if word.endswith("s") else f"{word}s"
