"""Adds drafted entries to a contract, or proposes changes to existing ones.

profiles of files + `data_dictionary/<source>.odcs.yaml` → the contract's new text, parsed and rendered before it is written
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from flows.contract import render_dbt, standard
from flows.contract.model import Column, Table
from flows.contract.read import DICTIONARY, SUFFIX, read_source, sources
from flows.contract.render_draft import ColumnProfile, FileProfile, Parent, render_contract, render_entries
from flows.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change to a contract's entry that the content of a file suggests."""

    table: str
    column: str
    change: str  # as it would be written in the contract
    why: str


def check_name(source: str) -> None:
    """Raise ConfigurationError unless `source` may name a contract."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", source):
        raise ConfigurationError(
            f"--source: got {source!r}, expected lower case letters, digits and _, beginning with a letter"
        )


def parents(project: Path, source: str, data: Path) -> list[Parent]:
    """Return the tables of the project's contracts that a link may point at: those with a single-column key and one file."""
    candidates = []
    for name in sources(project):
        contract = read_source(project / DICTIONARY / f"{name}{SUFFIX}")
        for table in contract.tables:
            if len(table.primary_key) == 1 and not table.daily and not table.has_parts:
                key = next(c for c in table.columns if c.name == table.primary_key[0])
                owner = "" if name == source else name
                candidates.append(Parent(table.name, key.header, key.position, data / name / table.file, owner))
    return candidates


def add_entries(project: Path, source: str, profiles: Sequence[FileProfile]) -> str:
    """Return the contract's text with an entry for each file added at its end. The new text is parsed and rendered as a check.

    Raises:
        ConfigurationError: an entry of that name exists, `schema` is not the contract's last key, or (a bug of the draft) the
            text is not a valid contract.
    """
    path = project / DICTIONARY / f"{source}{SUFFIX}"
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        existing = {table.name for table in read_source(path).tables}
        if again := [p.table for p in profiles if p.table in existing]:
            raise ConfigurationError(
                f"{DICTIONARY}/{path.name}: has an entry for {', '.join(again)} already; `--update` proposes changes to it"
            )
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode) or node.value[-1][0].value != "schema":
            raise ConfigurationError(
                f"{DICTIONARY}/{path.name}: `schema` is not its last key, so nothing can be added at the end; move it there"
            )
        text = f"{text.rstrip()}\n\n{render_entries(source, profiles)}"
    else:
        text = render_contract(source, profiles)
    prove(project, path.name, text)
    return text


def prove(project: Path, file: str, text: str) -> None:
    """Check a contract's text by parsing and rendering it together with the project's other contracts.

    Raises:
        ConfigurationError: it is not a valid contract.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / DICTIONARY
        shutil.copytree(project / DICTIONARY, copy)
        (copy / file).write_text(text, encoding="utf-8")
        standard.check_standard(text, f"{DICTIONARY}/{file}")
        render_dbt.render(read_source(copy / file))


def propose(project: Path, source: str, profiles: Sequence[FileProfile]) -> list[Proposal]:
    """Propose changes to the contract so that these files fit it, or so that it describes them more precisely.

    Raises:
        ConfigurationError: the contract does not exist, or has no entry for a file.
    """
    contract = read_source(project / DICTIONARY / f"{source}{SUFFIX}")
    tables = {table.file: table for table in contract.tables}
    proposals: list[Proposal] = []
    for profile in profiles:
        if profile.file not in tables:
            raise ConfigurationError(
                f"{contract.contract}: no entry has the file {profile.file}; without --update an entry is drafted for it"
            )
        proposals += _for_table(tables[profile.file], profile)
    return proposals


def _for_table(table: Table, profile: FileProfile) -> Iterator[Proposal]:
    seems, says = profile.dialect, table.dialect
    if (seems.delimiter, seems.encoding, seems.decimal) != (says.delimiter, says.encoding, says.decimal):
        yield Proposal(
            table.name,
            "",
            f"dialect: {seems.summary or 'the default'}",
            f"the contract says {says.summary or 'the default'}",
        )
    columns = {c.header: c for c in table.columns}
    seen = {c.header: c for c in profile.columns}
    for header, facts in seen.items():
        if header not in columns:
            kind = f"add a property: logicalType {facts.logical_type}, pii {facts.pii}"
            yield Proposal(table.name, header, kind, "the file has this column, the contract does not")
        else:
            yield from _for_column(table, columns[header], facts)
    for header in columns.keys() - seen.keys():
        yield Proposal(table.name, header, "remove the property", "the file does not have this column")
    if [h for h in seen if h in columns] != [h for h in columns if h in seen]:
        yield Proposal(table.name, "", "put the properties in the file's order", "the file has another order")


def _for_column(table: Table, column: Column, facts: ColumnProfile) -> Iterator[Proposal]:
    def propose(change: str, why: str) -> Proposal:
        return Proposal(table.name, column.header, change, why)

    filled = facts.rows - facts.nulls
    fits = facts.logical_type == column.logical_type or (column.logical_type, facts.logical_type) == (
        "number",
        "integer",
    )
    if filled and not fits and column.logical_type != "string":
        yield propose(f"logicalType: {facts.logical_type}", f"not every value is a {column.logical_type}")
    elif filled and column.logical_type == "string" and facts.logical_type != "string":
        yield propose(f"logicalType: {facts.logical_type} (could be)", "every value is one")
    if column.required and facts.nulls:
        yield propose("required: false", f"empty in {facts.nulls:,} of {facts.rows:,} records")
    if not column.required and not facts.nulls and facts.rows:
        yield propose("required: true (could be)", "no record is empty")
    for rule in table.rules:
        if rule.column != column.name:
            continue
        if rule.kind == "unique" and facts.distinct < filled:
            yield propose("not unique", f"{filled - facts.distinct:,} values are repeated")
        if rule.kind == "between" and facts.lowest is not None and facts.highest is not None:
            low, high = rule.argument("min"), rule.argument("max")
            if low is not None and facts.lowest < low:
                yield propose(f"minimum: {facts.lowest:.15g}", f"below {low} ({rule.severity})")
            if high is not None and facts.highest > high:
                yield propose(f"maximum: {facts.highest:.15g}", f"above {high} ({rule.severity})")
        if rule.kind == "in_set" and facts.pii == column.pii == "none":
            new = sorted(set(facts.values) - set(rule.argument("values")))
            if new:
                yield propose(
                    f"validValues: add {', '.join(new)}", f"values that the set does not have ({rule.severity})"
                )
