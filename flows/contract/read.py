"""Reads a contract: `data_dictionary/<source>.odcs.yaml`, parsed as ODCS, → `Source`.

A request for something that the pipeline cannot do is refused by name, never ignored.

Long because each entry of a contract has its own errors; the rules are in `read_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from open_data_contract_standard.model import OpenDataContractStandard, SchemaObject, SchemaProperty, Server
from open_data_contract_standard.model import Relationship as OdcsRelationship

from flows.contract import values
from flows.contract.dialect import PLAIN, Dialect
from flows.contract.model import (
    OWN_COLUMNS,
    Classification,
    Column,
    Load,
    LogicalType,
    OnMissingColumn,
    OnNewColumn,
    OnReorder,
    Pii,
    Relationship,
    Rule,
    Severity,
    Source,
    Table,
)
from flows.contract.odcs import parse
from flows.contract.position import Position, show
from flows.contract.read_dialect import dialect
from flows.contract.read_files import file_name, refuse_overlaps
from flows.contract.read_freshness import source_limits, table_limits
from flows.contract.read_policies import bad_rows, beside_before, volume
from flows.contract.read_retention import retentions
from flows.contract.read_rules import quality_rules, typed_rules
from flows.contract.reserved import NO_TABLE, RESERVED
from flows.project import PROJECT

DICTIONARY = "data_dictionary"
SUFFIX = ".odcs.yaml"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_REFERENCE = re.compile(r"(?P<table>[A-Za-z_][A-Za-z0-9_]*)[.](?P<column>[A-Za-z_][A-Za-z0-9_]*)")
# https://bitol-io.github.io/open-data-contract-standard/latest/references: a contract in the same folder, then ids.
_EXTERNAL = re.compile(
    r"(?P<source>[a-z][a-z0-9_]*)[.]odcs[.]yaml#/schema/(?P<table>[A-Za-z0-9_-]+)/properties/(?P<column>[A-Za-z0-9_-]+)"
)
_NO_REFERENCE = ("", "", "")


def sources(project: Path = PROJECT) -> tuple[str, ...]:
    """Return the names of the project's contracts, in alphabetical order: `("olist", "synthetic")`."""
    return _names(project / DICTIONARY / "any")


def _names(path: Path) -> tuple[str, ...]:
    """Return the names of the contracts in the folder of `path`."""
    return tuple(sorted(p.name.removesuffix(SUFFIX) for p in path.parent.glob(f"*{SUFFIX}")))


def read_source(path_or_name: Path | str) -> Source:
    """Read the contract at a path, or of a source of this project by its name (`olist`).

    Raises:
        ConfigurationError: the file does not exist, is not YAML or ODCS, or asks for something that the pipeline cannot do. The
            message names file, schema entry, property, what was got and expected, and the fix.
    """
    return _read(_path(path_or_name), ())


def _path(path_or_name: Path | str) -> Path:
    if isinstance(path_or_name, str) and _NAME.fullmatch(path_or_name):
        return PROJECT / DICTIONARY / f"{path_or_name}{SUFFIX}"
    return Path(path_or_name)


def _read(path: Path, chain: tuple[str, ...]) -> Source:
    """Read the contract at `path`; `chain` are the contracts whose references led to it."""
    place = Position(f"{DICTIONARY}/{path.name}" if path.parent.name == DICTIONARY else str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        place.fail(f"cannot be read: {error}; the project's contracts are {', '.join(sources()) or 'none'}")
    name = path.name.removesuffix(SUFFIX)
    if not path.name.endswith(SUFFIX) or not _NAME.fullmatch(name):
        place.fail(f"got the file name {path.name}, expected <source>{SUFFIX} with the source in lower case; rename it")
    if name in chain:
        place.fail(
            f"relationships: {' refers to '.join((*chain, name))}: expected no circle; remove one of the relationships"
        )
    place = replace(place, whole=text)
    contract = parse(text, place)
    source = _source(contract, name, place)
    named = {link.source for table in source.tables for link in table.relationships if link.source}
    for other in sorted(named):
        if not path.with_name(f"{other}{SUFFIX}").is_file():
            place.fail(
                f"relationships: got {other}{SUFFIX}, expected a contract in the same folder; it has {', '.join(_names(path))}"
            )
    references = tuple(_read(path.with_name(f"{other}{SUFFIX}"), (*chain, name)) for other in sorted(named))
    tables = {"": source.tables, **{s.name: s.tables for s in references}}
    resolved = tuple(_resolved(t, tables, replace(place, entry=t.name)) for t in source.tables)
    return replace(source, tables=resolved, references=references)


def _source(contract: OpenDataContractStandard, name: str, place: Position) -> Source:
    """Convert the contract, with its relationships not yet resolved."""
    place.one_of(contract.kind, "kind", ["DataContract"])
    place.one_of(contract.apiVersion, "apiVersion", ["v3.1.0"])
    place.one_of(contract.name, "name", [name])
    place.text(contract.id, "id", name)
    place.text(contract.status, "status", "active")
    base = dialect(place.custom(contract.customProperties, ("dialect",)).get("dialect"), PLAIN, place)
    purpose = contract.description.purpose if contract.description else None

    server = _snowflake(contract.servers, place)
    own = place.custom(server.customProperties, ("stage", "fileFormat"))
    limits = source_limits(contract, place)

    tables = tuple(_table(entry, base, place) for entry in contract.schema_ or ())
    if not tables:
        place.fail("schema: got no entry, expected one for each file")
    own_limits = table_limits(contract, [t.name for t in tables], place)
    periods = retentions(contract, [t.name for t in tables], place)
    tables = tuple(replace(t, own_limits=own_limits.get(t.name), retention=periods.get(t.name)) for t in tables)
    place.once((t.name for t in tables), "schema, names")
    raw_names = [t.raw_name for t in tables] + [t.rejected.raw_name for t in tables if t.bad_rows]
    place.once((place.identifier(name, "schema, physicalName") for name in raw_names), "schema, physicalNames")
    place.once((t.file for t in tables), "schema, fileNames")
    refuse_overlaps(tables, place)
    return Source(
        name=name,
        version=place.text(contract.version, "version", "1.0.0"),
        description=place.text(purpose, "description.purpose", "What it is for"),
        schema=place.one_of(server.schema_, "servers, schema", ["RAW"]),  # the schema of the ledger and of the grants
        stage=place.identifier(str(own.get("stage", "")), "servers, customProperties, stage"),
        file_format=place.identifier(str(own.get("fileFormat", "")), "servers, customProperties, fileFormat"),
        tables=tables,
        warn_after_hours=limits.warn_after_hours,
        error_after_hours=limits.error_after_hours,
        owner=(getattr(contract.team, "name", None) or ""),
        tags=tuple(contract.tags or ()),
    )


def _snowflake(servers: Sequence[Server] | None, place: Position) -> Server:
    matching = [s for s in servers or () if s.type == "snowflake"]
    if len(matching) != 1:
        place.fail(
            f"servers: got {len(matching)} of type snowflake, expected one: with the schema, stage and file format of RAW"
        )
    return matching[0]


def _table(entry: SchemaObject, base: Dialect, place: Position) -> Table:
    place = replace(place, entry=entry.name or "without a name")
    name = place.text(entry.name, "name", "orders")
    if not _NAME.fullmatch(name):
        place.fail(f"name: got {name!r}, expected lower case letters, digits and _, beginning with a letter")
    place.one_of(entry.id or name, "id", [name])
    place.one_of(entry.physicalType or "table", "physicalType", ["table"])
    own = place.custom(
        entry.customProperties,
        (
            "fileName",
            "loadMode",
            "optional",
            "allowEmpty",
            "onNewColumn",
            "onMissingColumn",
            "onReorder",
            "badRows",
            "volume",
            "dialect",
        ),
    )
    written = dialect(own.get("dialect"), base, place)
    if own.get("onMissingColumn", "") is None:  # YAML reads an unquoted null as None
        own["onMissingColumn"] = "null"

    def policy(name: str, kind: Any) -> Any:
        return place.one_of(own.get(name, "refuse"), f"customProperties, {name}", get_args(kind))

    load = cast(Load, place.one_of(own.get("loadMode"), "customProperties, loadMode", get_args(Load)))
    file = file_name(own.get("fileName"), load, place)
    if not written.header and (
        differing := [name for name in ("onNewColumn", "onMissingColumn", "onReorder") if name in own]
    ):
        place.fail(
            f"customProperties, {differing[0]}: expected none beside `header: false`, without which a column has no name; "
            "remove it",
            at=(differing[0],),
        )
    aside = bad_rows(own.get("badRows"), place)
    if aside and aside.broken_lines and written.line_end == "cr":
        place.fail(
            "customProperties, dialect, lineEnd: got cr beside `brokenLines`, which expects lines that end in LF; remove "
            "one of them",
            at=("dialect", "lineEnd"),
        )
    read = [_column(p, position, written, place) for position, p in enumerate(entry.properties or (), start=1)]
    if not read:
        place.fail("properties: got none, expected one for each column of the file, in the file's order")
    columns = tuple(column for column, _ in read)
    place.once((c.header for c in columns), "properties")
    place.once((c.name for c in columns), "RAW names of the properties")
    headers = {c.header: c.name for c in columns}
    key = _primary_key(entry, headers, place)
    rules = [rule for quality in entry.quality or () for rule in quality_rules(quality, None, headers, place)]
    rules += volume(own.get("volume"), place)
    rules += [Rule("unique", "error", columns=key)] if len(key) > 1 else []
    for (column, column_rules), prop in zip(read, entry.properties or (), strict=True):
        rules += column_rules
        for quality in prop.quality or ():
            rules += quality_rules(quality, column, headers, replace(place, property=column.header))
    allow_empty, optional = (_flag(own.get(name, False), name, place) for name in ("allowEmpty", "optional"))
    if allow_empty and any(r.kind == "row_count" and r.severity == "error" for r in rules):
        place.fail(
            "quality, rowCount: expected no such rule of severity error beside `allowEmpty: true`; remove one of them"
        )
    relationships = [
        *(
            r
            for p in entry.properties or ()
            for link in p.relationships or ()
            for r in _relationship(link, p, name, place)
        ),
        *(r for link in entry.relationships or () for r in _relationship(link, None, name, place)),
    ]
    raw_name = place.identifier(place.text(entry.physicalName, "physicalName", f"OLIST_{name.upper()}"), "physicalName")
    if raw_name in NO_TABLE:
        place.fail(
            f"physicalName: got {raw_name}, a word of SQL's FROM, expected another name, such as OLIST_{raw_name}"
        )
    return Table(
        name=name,
        raw_name=raw_name,
        file=file,
        business_name=place.text(entry.businessName, "businessName", "Surgical case shipment"),
        description=place.text(entry.description, "description", "What a row is"),
        load=load,
        columns=columns,
        primary_key=key,
        relationships=tuple(relationships),
        rules=tuple(dict.fromkeys(rules)),
        on_new_column=policy("onNewColumn", OnNewColumn),
        on_missing_column=policy("onMissingColumn", OnMissingColumn),
        on_reorder=policy("onReorder", OnReorder),
        allow_empty=allow_empty,
        optional=optional,
        bad_rows=aside,
        dialect=written,
    )


def _flag(value: object, name: str, place: Position) -> bool:
    if not isinstance(value, bool):
        place.fail(f"customProperties, {name}: got {show(value)}, expected true or false")
    return value


def _column(prop: SchemaProperty, position: int, written: Dialect, place: Position) -> tuple[Column, list[Rule]]:
    """Convert a property into a column, and the rules that follow from its fields."""
    place = replace(place, property=prop.name or f"at position {position}")
    header = place.text(prop.name, "name", "order_id")
    if len(header.splitlines()) > 1 or header.endswith(("\n", "\r")):
        place.fail(
            f"name: got {header!r}, expected a name on one line: COPY skips the file's first line as its header, and no more; "
            "give the column another name in the file and here"
        )
    place.one_of(prop.id or header, "id", [header])
    if not prop.physicalName and header.upper() in RESERVED:
        place.fail(
            f"name: got {header}, a word that Snowflake reserves, expected another name for the RAW column; add "
            f"`physicalName: {header.upper()}_`: the file keeps its header"
        )
    name = place.identifier(prop.physicalName or header.upper(), "physicalName" if prop.physicalName else "name")
    if name in OWN_COLUMNS:
        place.fail(f"name: got {name}, which is an audit column that the load fills; set another physicalName")
    kind = cast(LogicalType, place.one_of(prop.logicalType, "logicalType", get_args(LogicalType)))
    place.one_of(prop.physicalType or "VARCHAR", "physicalType", ["VARCHAR"])
    if prop.required is None and not prop.primaryKey:
        place.fail(
            "required: got nothing, expected true or false; add `required: false` where the file may leave it empty"
        )
    own = place.custom(prop.customProperties, ("pii", "newValues", "emptyShare"))
    column = Column(
        name=name,
        header=header,
        position=position,
        logical_type=kind,
        business_name=place.text(prop.businessName, "businessName", "Shipment id"),
        description=place.text(prop.description, "description", "What the value means"),
        required=bool(prop.required or prop.primaryKey),
        classification=cast(
            Classification, place.one_of(prop.classification, "classification", get_args(Classification))
        ),
        pii=cast(Pii, place.one_of(own.get("pii"), "customProperties, pii", get_args(Pii))),
    )
    rules = [Rule("not_null", "error", name)] if column.required else []
    if prop.unique or (prop.primaryKey and (prop.primaryKeyPosition or -1) == -1):
        rules.append(Rule("unique", "error", name))
    typed = typed_rules(column, prop.logicalTypeOptions or {}, written, place)
    readings = [values.reading(rule) for rule in typed if values.type_of(rule)]
    rules += typed + beside_before(own, name, place)
    return replace(column, reading=tuple(readings[0].items()) if readings else ()), rules


def _primary_key(entry: SchemaObject, headers: dict[str, str], place: Position) -> tuple[str, ...]:
    parts = [p for p in entry.properties or () if p.primaryKey]
    positions = [p.primaryKeyPosition for p in parts]
    if len(parts) > 1 and sorted(positions, key=lambda n: n or 0) != list(range(1, len(parts) + 1)):
        place.fail(
            f"primaryKeyPosition: got {positions} on {', '.join(str(p.name) for p in parts)}, "
            f"expected 1 to {len(parts)}, each once"
        )
    return tuple(headers[str(p.name)] for p in sorted(parts, key=lambda p: p.primaryKeyPosition or 0))


def _relationship(
    given: OdcsRelationship, owner: SchemaProperty | None, table: str, place: Position
) -> list[Relationship]:
    """Convert one relationship, with both ends as the contract names them; `_resolved` looks up the tables and columns."""
    if owner is not None:
        place = replace(place, property=str(owner.name))
    place.one_of(given.type or "foreignKey", "relationships, type", ["foreignKey"])
    own = place.custom(given.customProperties, ("severity",))
    severity = cast(Severity, place.one_of(own.get("severity", "error"), "relationships, severity", get_args(Severity)))
    if owner is not None and given.from_ is not None:
        place.fail("relationships, from: got one, expected none: on a property it is the property itself; remove it")
    ends = [[f"{table}.{owner.name}"] if owner is not None else given.from_, given.to]
    here, there = ([_reference(e) for e in ([end] if isinstance(end, str) else end or [])] for end in ends)
    if not here or len(here) != len(there) or _NO_REFERENCE in (*here, *there):
        place.fail(
            f"relationships: got {show(given.from_)} to {show(given.to)}, expected table.column on both ends; of a table of "
            "another contract in this folder `<source>.odcs.yaml#/schema/<table>/properties/<column>`"
        )
    if {r[:2] for r in here} != {("", table)} or len({r[:2] for r in there}) != 1:
        place.fail(
            f"relationships: got {show(given.from_)} to {show(given.to)}, expected columns of {table} and of one other table"
        )
    source, parent, _ = there[0]
    return [Relationship(tuple(r[2] for r in here), parent, tuple(r[2] for r in there), severity, source)]


def _reference(text: str) -> tuple[str, str, str]:
    """Parse `orders.order_id`, or `olist.odcs.yaml#/schema/orders/properties/order_id`, into source (or ""), table and column."""
    match = _REFERENCE.fullmatch(text) or _EXTERNAL.fullmatch(text)
    if not match:
        return _NO_REFERENCE
    parts = match.groupdict()
    return parts.get("source", ""), parts["table"], parts["column"]


def _resolved(table: Table, tables: Mapping[str, Sequence[Table]], place: Position) -> Table:
    """Return the table with RAW names at both ends of its relationships. `tables`: by source, "" for its own."""
    resolved = []
    for link in table.relationships:
        by_name = {t.name: t for t in tables[link.source]}
        if link.parent not in by_name:
            of = f" of {link.source}" if link.source else ""
            place.fail(f"relationships, to: got table {link.parent}{of}, expected one of {', '.join(by_name)}")
        parent = by_name[link.parent]
        ends = []
        for end, headers in ((table, link.columns), (parent, link.parent_columns)):
            columns = {c.header: c.name for c in end.columns}
            unknown = [h for h in headers if h not in columns]
            if unknown:
                place.fail(
                    f"relationships: got column {', '.join(unknown)} of {end.name}, expected one of {', '.join(columns)}"
                )
            ends.append(tuple(columns[h] for h in headers))
        resolved.append(replace(link, columns=ends[0], parent=parent.raw_name, parent_columns=ends[1]))
    return replace(table, relationships=tuple(resolved))
