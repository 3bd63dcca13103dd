"""Renders drafted schema entries as ODCS text from profiles of files; guesses are marked by comments.

`flows.steps.draft` profiles the files. `flows.contract.read` accepts the text, so a draft can be synced and run unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.contract.dialect import DELIMITERS, PLAIN, Dialect
from flows.contract.model import OWN_COLUMNS, LogicalType, Pii, Table
from flows.contract.raw_names import raw_name, words_of
from flows.contract.render_dbt import is_staging_name, slug


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """The profile of one column, over all records of a file."""

    header: str
    rows: int
    nulls: int
    distinct: int  # distinct values, without NULL
    logical_type: LogicalType
    pattern: str = ""  # set if every value is an id of a known form: 32 hex digits, a UUID
    lowest: float | None = None  # of integers and numbers
    highest: float | None = None
    values: tuple[str, ...] = ()  # the complete set, if it is small and its values are repeated
    pii: Pii = "none"
    guess: str = ""  # why the column is classified as personal data
    note: str = ""  # a remark about the type for the reader
    format: str = ""  # of dates and timestamps, in the contract's spelling

    @property
    def unique(self) -> bool:
        """Whether no value occurs twice; a column without values is not unique."""
        return 0 < self.distinct == self.rows - self.nulls


@dataclass(frozen=True, slots=True)
class Link:
    """A column whose values are all values of another table's key."""

    header: str
    parent: str  # name of the table
    parent_header: str
    source: str = ""  # the parent's contract; empty: the same one


@dataclass(frozen=True, slots=True)
class FileProfile:
    """The profile of one file: its table's name in a contract, and its columns in the file's order."""

    path: Path
    table: str  # orders
    file: str  # orders.csv, or orders_{date}.csv if the name ends in a day
    rows: int
    columns: tuple[ColumnProfile, ...]
    key: tuple[str, ...]  # headers; empty if nothing identifies a record
    links: tuple[Link, ...] = ()
    dialect: Dialect = PLAIN  # the probable dialect


@dataclass(frozen=True, slots=True)
class Parent:
    """A table of an existing contract: the column of its key, and a file with its rows."""

    table: str
    header: str
    position: int  # of the key's column, from 1 on
    path: Path
    source: str = ""


def render_contract(source: str, profiles: Sequence[FileProfile]) -> str:
    """Render a complete contract for a source that has none."""
    upper = source.upper()
    return f"""# Drafted from files by `cxm contract draft`. Read it, correct what is a guess, then run `cxm contract sync`.
apiVersion: v3.1.0
kind: DataContract
id: {source}
name: {source}
version: 0.1.0
status: draft
description:
  purpose: {_quoted(f"Files of the source {source}.")} # say what they are for
servers:
  - server: raw
    type: snowflake
    account: ${{CXM_SNOWFLAKE_ACCOUNT}}
    database: CXM_MEDTECH
    schema: RAW
    warehouse: WH_CXM
    customProperties:
      - {{property: stage, value: {upper}_S3_STAGE}}
      - {{property: fileFormat, value: CSV_FORMAT}}
slaProperties: # a file does not say how often it comes: these are for one a day
  - {{id: freshness_warning, property: freshness, value: 26, unit: h}}
  - {{id: freshness_error, property: freshness, value: 50, unit: h}}

schema:
{render_entries(source, profiles)}"""


def render_entries(source: str, profiles: Sequence[FileProfile]) -> str:
    """Render one entry of `schema:` for each file, to be appended to a contract."""
    return "".join(line + "\n" for profile in profiles for line in _entry(source, profile))


def render_properties(table: Table, columns: Sequence[ColumnProfile]) -> dict[str, list[str]]:
    """Render new columns' properties for an existing entry: header → lines, not indented."""
    profile = FileProfile(Path(table.file), table.name, table.file, 0, tuple(columns), ())
    names = _business_names(profile, (c.business_name for c in table.columns))
    return {
        column.header: [
            line.removeprefix("      ")
            for line in _property(profile, column, raw_name(column.header, table.name), names[column.header])
        ]
        for column in columns
    }


def _entry(source: str, profile: FileProfile) -> Iterator[str]:
    label = _sentence(words_of(profile.table))
    yield f"  - name: {profile.table}"
    yield f"    physicalName: {source.upper()}_{profile.table.upper()}"
    yield f"    businessName: {_quoted(label)} # the staging model is named after it"
    yield f"    description: {_quoted(f'The records of {profile.file}.')} # say what a row is"
    yield "    customProperties:"
    yield f"      - {{property: fileName, value: {_quoted(profile.file)}}}"
    load = (
        "append} # the name ends in a day: a file for each day"
        if "{date}" in profile.file
        else "snapshot} # each file has all rows"
    )
    yield f"      - {{property: loadMode, value: {load}"
    if said := _dialect(profile.dialect):
        keys = ", ".join(f"{key}: {value}" for key, value in said.items())
        yield f"      - {{property: dialect, value: {{{keys}}}}} # as the file seems to be"
        if not profile.dialect.header:
            yield "    # the file seems to have no header: its columns are numbered; give them names"
        if words := [word for word in profile.dialect.nulls if word not in PLAIN.nulls]:
            listed = ", ".join(words)
            yield f"    # {listed}: a guess, since nothing else in a column of numbers or dates is none; NULL in every column"
    if not profile.rows:
        yield "      - {property: allowEmpty, value: true} # the file has a header and no record"
    elif not profile.key:
        yield "    # no column, and no pair of columns called id or number, identifies a record: there is no key"
    yield f"    properties: # {profile.rows:,} records were read"
    raw_names, business_names = _raw_names(profile), _business_names(profile)
    for column in profile.columns:
        yield from _property(profile, column, raw_names[column.header], business_names[column.header])


def _dialect(dialect: Dialect) -> dict[str, str]:
    """Render a dialect's keys that differ from the default, as YAML values."""
    said = {
        "delimiter": DELIMITERS[dialect.delimiter],
        "quote": _quoted(dialect.quote),
        "encoding": dialect.encoding,
        "header": str(dialect.header).lower(),
        "lineEnd": dialect.line_end,
        "nulls": f"[{', '.join(map(_quoted, dialect.nulls))}]",
        "decimal": _quoted(dialect.decimal),
        "booleans": f"[{', '.join(_quoted('/'.join(pair)) for pair in dialect.booleans)}]",
    }
    plain = {
        "delimiter": "comma",
        "quote": _quoted('"'),
        "encoding": "utf-8",
        "header": "true",
        "lineEnd": "lf",
        "nulls": f"[{', '.join(map(_quoted, PLAIN.nulls))}]",
        "decimal": '"."',
        "booleans": "[]",
    }
    return {key: value for key, value in said.items() if value != plain[key]}


def _property(profile: FileProfile, column: ColumnProfile, raw_name: str, business_name: str) -> Iterator[str]:
    yield f"      - name: {_quoted(column.header) if _needs_quotes(column.header) else column.header}"
    if raw_name != column.header.upper():
        yield f"        physicalName: {raw_name} # the header is no name that Snowflake takes without quotes, or one of two alike"
    yield f"        businessName: {_quoted(business_name)}"
    yield f"        description: {_quoted(f'What the file calls {column.header}.')} # say what a value means"
    yield f"        logicalType: {column.logical_type}{f' # {column.note}' if column.note else ''}"
    if options := _options(column):
        yield f"        logicalTypeOptions: {{{options}}}{_seen(column)}"
    if column.header in profile.key:
        position = f"\n        primaryKeyPosition: {profile.key.index(column.header) + 1}"
        yield f"        primaryKey: true{position if len(profile.key) > 1 else ''}"
    required = not column.nulls and column.rows > 0
    empty = "" if required or not column.rows else f" # empty in {column.nulls:,} of {column.rows:,} records"
    yield f"        required: {str(required).lower()}{empty}"
    if column.unique and required and profile.key != (column.header,) and column.rows > 1:
        yield "        # unique in this file: add `unique: true` where it has to be"
    classification = {"direct": "restricted", "indirect": "confidential", "none": "internal"}[column.pii]
    guess = f" # a guess: {column.guess}" if column.guess else ""
    yield f"        classification: {classification}{guess}"
    yield f"        customProperties: [{{property: pii, value: {column.pii}}}]{guess}"
    for link in profile.links:
        if link.header == column.header:
            other = f"{link.source}.odcs.yaml#/schema/{link.parent}/properties/{link.parent_header}"
            yield "        relationships: # every value exists there"
            yield f"          - {{to: {_quoted(other) if link.source else f'{link.parent}.{link.parent_header}'}}}"
    if column.values:
        yield "        quality: # every value that was seen; the set may be larger"
        yield "          - metric: invalidValues"
        yield "            arguments:"
        yield f"              validValues: [{', '.join(map(_quoted, column.values))}]"
        yield "            mustBe: 0"
        yield "            severity: warning"


def _options(column: ColumnProfile) -> str:
    if column.format:
        return f'format: "{column.format}"'
    if column.pattern:
        return f'pattern: "{column.pattern}"'
    return "minimum: 0" if column.lowest is not None and column.lowest >= 0 else ""


def _seen(column: ColumnProfile) -> str:
    if column.lowest is None or column.highest is None or column.pii != "none":  # these values may belong to a person
        return ""
    return f" # seen: {column.lowest:.15g} to {column.highest:.15g}"


def _raw_names(profile: FileProfile) -> dict[str, str]:
    """Name the RAW column of each header: upper case, valid without quotes, unique, and not that of an audit column."""
    names: dict[str, str] = {}
    for column in profile.columns:
        names[column.header] = _once(raw_name(column.header, profile.table), {*names.values(), *OWN_COLUMNS}, "_")
    return names


def _business_names(profile: FileProfile, used: Iterable[str] = ()) -> dict[str, str]:
    """Make the business name of each header. The staging column is named after it, so it is unique, not reserved in SQL, and not
    `used`."""
    names: dict[str, str] = {}
    in_use = {slug(name) for name in used}
    for column in profile.columns:
        words = words_of(column.header) or ["column"]
        name = _sentence(words)
        if not is_staging_name(slug(name)):
            name = _sentence([*words_of(profile.table), *words])
        taken = in_use | {slug(other) for other in names.values()}
        name = _sentence(_once(slug(name), taken, "_").split("_"))
        names[column.header] = name
    return names


def _once(name: str, taken: set[str], mark: str) -> str:
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}{mark}{number}", number + 1
    return unique


def _sentence(words: Sequence[str]) -> str:
    return " ".join(words).capitalize()


def _quoted(text: str) -> str:
    """Write a double-quoted YAML text; JSON strings are valid YAML."""
    return json.dumps(text, ensure_ascii=False)


def _needs_quotes(text: str) -> bool:
    return not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) or text.lower() in (
        "null",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
    )
