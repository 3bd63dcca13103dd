"""Renders the data dictionary page: `data_dictionary/*.odcs.yaml` → `data_dictionary/README.md`."""

from __future__ import annotations

from collections.abc import Iterable

from flows.contract.model import Relationship, Rule, Source, Table
from flows.escape import code, markdown, wrap

PATH = "data_dictionary/README.md"

_AUDIT = (
    ("_LOAD_TIMESTAMP", "TIMESTAMP_NTZ", "When COPY began to read the file, in UTC"),
    ("_BATCH_ID", "VARCHAR", "The batch that brought the row, `YYYYMMDD_HHMMSS` in UTC"),
    ("_SOURCE_FILENAME", "VARCHAR", "Key of the file in the landing bucket"),
    ("_SOURCE_ROW_NUMBER", "NUMBER(38,0)", "Number of the row in the file, as COPY counts"),
)
_LOADS = {
    "snapshot": "each file holds all rows",
    "append": "a file for each day; a day delivered again replaces that day",
}


def render(*sources: Source) -> dict[str, str]:
    """Render the dictionary of all sources: `{"data_dictionary/README.md": text}`."""
    lines = [
        "# Data dictionary",
        "",
        *(f"<!-- {source.derived_line} -->" for source in sources),
        "",
        "What lands in RAW, column by column. What the words mean is in [business_definitions.md](business_definitions.md), what",
        "each column becomes on its way to the marts in [lineage.md](lineage.md). Change the contract, not this page.",
        "",
    ]
    for source in sources:
        lines += _source(source)
    return {PATH: wrap("\n".join(lines).rstrip() + "\n")}


def _source(source: Source) -> list[str]:
    owner = f" Owner: {markdown(source.owner)}." if source.owner else ""
    return [
        f"## Source {source.name}, version {markdown(source.version)}",
        "",
        markdown(source.description),
        "",
        f"Freshness: a warning after {source.warn_after_hours} hours without a delivery, an error after "
        f"{source.error_after_hours}.{owner} Contract: [{source.name}.odcs.yaml]({source.name}.odcs.yaml).",
        "",
        *_overview(source),
        "",
        "```mermaid",
        *_diagram(source),
        "```",
        "",
        f"{source.schema} holds every value as VARCHAR, an empty field as NULL; *type* is what staging makes of it. Each table "
        "also has:",
        "",
        *markdown_table(
            ("Audit column", "Type", "Meaning"), ((f"`{name}`", kind, text) for name, kind, text in _AUDIT)
        ),
        "",
        *(line for table in source.tables for line in _table(source, table)),
    ]


def _overview(source: Source) -> list[str]:
    rows = (
        (
            f"[{markdown(t.business_name)}](#{t.raw_name.lower()})",
            f"`{t.file}`",
            f"`{source.schema}.{t.raw_name}`",
            markdown(t.description),
        )
        for t in source.tables
    )
    return markdown_table(("Business name", "File", "Table", "A row is"), rows)


def _diagram(source: Source) -> list[str]:
    """Render the Mermaid ER diagram: the tables with their keys, and a line for each relationship from parent to child."""
    lines = ["erDiagram"]
    for table in source.tables:
        references = {name for link in table.relationships for name in link.columns}
        keys = [
            f"        {c.logical_type} {c.name} "
            + ", ".join(["PK"] * (c.name in table.primary_key) + ["FK"] * (c.name in references))
            for c in table.columns
            if c.name in references or c.name in table.primary_key
        ]
        lines += [f"    {table.raw_name} {{", *keys, "    }"] if keys else [f"    {table.raw_name}"]
    for table in source.tables:
        for link in table.relationships:
            optional = any(not c.required for c in table.columns if c.name in link.columns)
            keyed = set(link.parent_columns) == set(source.parent(link)[1].primary_key)
            one = "}o" if not keyed else "|o" if optional or link.severity == "warning" else "||"
            lines.append(f'    {link.parent} {one}--o{{ {table.raw_name} : "{", ".join(link.columns)}"')
    return lines


def _loading(table: Table) -> str:
    says = [
        _LOADS[table.load],
        "several files make up a day together" if table.daily else "several files make up the table together",
        "one without records is no mistake",
        "a batch may come without it",
    ]
    return "; ".join(
        t for t, true in zip(says, (True, table.has_parts, table.allow_empty, table.optional), strict=True) if true
    )


def _table(source: Source, table: Table) -> list[str]:
    about = [
        f"### {table.raw_name}",
        "",
        f"**{markdown(table.business_name)}.** {markdown(table.description)}",
        "",
        f"- File: `{table.file}`; {_loading(table)}",
        *([f"- Written: {markdown(table.dialect.summary)}"] if table.dialect.summary else []),
        f"- Table: `{source.schema}.{table.raw_name}`; dbt source `{source.name}.{table.name}`",
        *_lateness(table),
        *([f"- Retention: {table.retention} after the last delivery, in RAW and S3"] if table.retention else []),
        f"- Primary key: {', '.join(f'`{name}`' for name in table.primary_key) or 'none'}",
        *(f"- Points at: {_relationship(link)}" for link in table.relationships),
        *(f"- Rule: {_rule(rule)}" for rule in table.rules if rule.column is None),
        *(
            [
                f"- Bad rows{' and lines that are no record' * table.bad_rows.broken_lines}: set aside in "
                f"`{table.rejected.raw_name}`, up to {table.bad_rows.limit}"
            ]
            if table.bad_rows
            else []
        ),
        "",
    ]
    rows = (
        (
            f"`{c.name}`",
            c.logical_type,
            markdown(c.business_name),
            markdown(c.description),
            _key(table, c.name),
            f"{c.pii}, {c.classification}",
            "; ".join(_rule(rule, in_table=True) for rule in table.rules if rule.column == c.name),
        )
        for c in table.columns
    )
    header = ("Column", "Type", "Business name", "Description", "Key", "PII, class", "Rules")
    return [*about, *markdown_table(header, rows), ""]


def _lateness(table: Table) -> list[str]:
    if table.own_limits == "none":
        return ["- Freshness: never late"]
    if limits := table.own_limits:
        hours = f"{limits.warn_after_hours} hours without a delivery, an error after {limits.error_after_hours}"
        return [f"- Freshness: a warning after {hours}"]
    return []


def _key(table: Table, column: str) -> str:
    marks = ["primary"] if column in table.primary_key else []
    marks += [f"→ {link.parent}" for link in table.relationships if column in link.columns]
    return ", ".join(marks)


def _relationship(link: Relationship) -> str:
    columns = ", ".join(f"`{name}`" for name in link.columns)
    theirs = ", ".join(f"`{link.parent}.{name}`" for name in link.parent_columns)
    return f"{columns} → {theirs} ({link.severity})"


def _rule(rule: Rule, in_table: bool = False) -> str:
    """Describe the rule in words; the severity is mentioned only for warnings."""
    match rule.kind:
        case "row_count":
            text = f"at least {rule.argument('min')} row" + "s" * (rule.argument("min") != 1)
        case "volume":
            window = f"{rule.argument('window')} {'weekdays' if rule.argument('weekday') else 'batches'}"
            text = f"rows within a factor of {rule.argument('tolerance')} of the median of the last {window}"
        case "new_values":
            text = "no value that the batch before had not"
        case "empty_share":
            text = (
                f"share of empty ones within {rule.argument('tolerance'):.1%} of all rows of that in the batch before"
            )
        case "not_null":
            text = "not empty"
        case "unique":
            text = f"{', '.join(rule.columns)} unique together" if rule.columns else "unique"
        case "regex":
            text = f"matches {code(rule.argument('pattern'), in_table)}"
        case "in_set":
            text = f"one of {', '.join(map(markdown, rule.argument('values')))}"
        case "between":
            low, high = rule.argument("min"), rule.argument("max")
            text = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        case "number":
            text = "whole number" if rule.argument("integer") else "number"
            text += " with a decimal comma" * bool(rule.argument("decimal"))
        case "timestamp":
            text = f"timestamp {code(rule.argument('format'), in_table)}"
        case "date":
            text = f"date {code(rule.argument('format'), in_table)}"
        case "boolean":
            words = rule.argument("words") or (("true", "false"),)
            text = ", or ".join(f"{code(yes, in_table)} or {code(no, in_table)}" for yes, no in words)
    return f"{text} (warning)" if rule.severity == "warning" else text


def markdown_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return [line(header), f"|{'---|' * len(header)}", *map(line, rows)]
