"""`data_dictionary/<source>.odcs.yaml` → `Source`: parsed as ODCS, then held to what this pipeline can do with it.

The package's models ignore what they do not know, so a misspelt key would quietly switch a rule off. Here every key counts: what
ODCS does not know, what YAML says twice and what no renderer could carry out is refused by name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn, cast, get_args

import yaml
from open_data_contract_standard.model import (
    CustomProperty,
    DataQuality,
    OpenDataContractStandard,
    SchemaObject,
    SchemaProperty,
    Server,
)
from open_data_contract_standard.model import Relationship as OdcsRelationship
from pydantic import ValidationError

from flows.contract.model import AUDIT_COLUMNS, Column, Relationship, Rule, Severity, Source, Table
from flows.contract.sql import ident
from flows.errors import ConfigurationError

PROJECT = Path(__file__).resolve().parent.parent.parent
DICTIONARY = "data_dictionary"
SUFFIX = ".odcs.yaml"

LogicalType = Literal["string", "integer", "number", "timestamp"]
Classification = Literal["public", "internal", "confidential", "restricted"]
Pii = Literal["none", "indirect", "direct"]
Load = Literal["snapshot", "append"]

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*\.csv")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_REFERENCE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")
# ODCS spells formats as the JDK does; this is the one that the pipeline checks and staging casts.
_TIMESTAMPS = {"yyyy-MM-dd HH:mm:ss": "YYYY-MM-DD HH24:MI:SS"}
_OPTIONS = {"string": {"pattern"}, "integer": {"minimum", "maximum"}, "number": {"minimum", "maximum"}, "timestamp": {"format"}}
_BETWEEN = "expect_column_values_to_be_between"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a contract we are, for messages."""

    file: str
    entry: str = ""
    property: str = ""

    def fail(self, message: str) -> NoReturn:
        parts = [self.file]
        parts += [f"schema entry {self.entry}"] if self.entry else []
        parts += [f"property {self.property}"] if self.property else []
        raise ConfigurationError(f"{', '.join(parts)}: {message}")

    def text(self, value: str | None, key: str, example: str) -> str:
        if value is None or not value.strip():
            self.fail(f"{key}: found nothing, wanted a text; add `{key}: {example}`")
        return value.strip()

    def one_of(self, value: object, key: str, wanted: Iterable[str]) -> str:
        wanted = tuple(wanted)
        if value not in wanted:
            self.fail(f"{key}: found {_found(value)}, wanted {' or '.join(wanted)}")
        return cast(str, value)

    def identifier(self, name: str, key: str) -> str:
        try:
            return ident(name)
        except ConfigurationError as error:
            self.fail(f"{key}: {error}; set physicalName")

    def once(self, names: Iterable[str], what: str) -> None:
        repeated = [name for name, times in Counter(names).items() if times > 1]
        if repeated:
            self.fail(f"{what}: found {', '.join(repeated)} more than once, wanted each once; rename or remove one")

    def custom(self, found: Sequence[CustomProperty] | None, known: Iterable[str]) -> dict[str, Any]:
        """The custom properties by name; `known` are those that may be there."""
        known = tuple(known)
        self.once((str(p.property) for p in found or ()), "customProperties")
        for entry in found or ():
            if entry.property not in known:
                self.fail(f"customProperties: found {_found(entry.property)}, wanted only {', '.join(known) or 'none'}")
        return {str(p.property): p.value for p in found or ()}


def sources(project: Path = PROJECT) -> tuple[str, ...]:
    """The names of the project's contracts, in alphabetical order: `("olist",)`."""
    return tuple(sorted(p.name.removesuffix(SUFFIX) for p in (project / DICTIONARY).glob(f"*{SUFFIX}")))


def read_source(path_or_name: Path | str) -> Source:
    """The contract at a path, or of a source of this project by its name (`olist`).

    Raises:
        ConfigurationError: the file is not there, is not YAML or ODCS, or says what the pipeline cannot do; the message names file,
            schema entry, property, what was found, what was wanted and the fix.
    """
    path = Path(path_or_name)
    if isinstance(path_or_name, str) and _NAME.fullmatch(path_or_name):
        path = PROJECT / DICTIONARY / f"{path_or_name}{SUFFIX}"
    place = _Place(f"{DICTIONARY}/{path.name}" if path.parent.name == DICTIONARY else str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        place.fail(f"cannot be read: {error}; the project's contracts are {', '.join(sources()) or 'none'}")
    name = path.name.removesuffix(SUFFIX)
    if not path.name.endswith(SUFFIX) or not _NAME.fullmatch(name):
        place.fail(f"found the file name {path.name}, wanted <source>{SUFFIX} with the source in lower case; rename it")
    return _source(_parse(text, place), name, place)


def _parse(text: str, place: _Place) -> OpenDataContractStandard:
    try:
        _refuse_repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader), place)
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        place.fail(f"is not YAML: {error}")
    if not isinstance(raw, dict):
        place.fail(f"found {_found(raw)}, wanted an Open Data Contract Standard document")
    try:
        contract = OpenDataContractStandard.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = _path(raw, first["loc"])
        place.fail(f"{where}: found {_found(first['input'])}; ODCS v3.1 says: {first['msg']}")
    _refuse_unknown_keys(raw, contract.model_dump(by_alias=True, exclude_unset=True), (), raw, place)
    return contract


def _refuse_repeated_keys(node: yaml.Node | None, place: _Place) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                place.fail(f"line {line}: found the key {key.value} again, wanted each key once; remove one")
            seen.add(key.value)
            _refuse_repeated_keys(value, place)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(value, place)


def _refuse_unknown_keys(found: Any, kept: Any, at: tuple[int | str, ...], raw: Any, place: _Place) -> None:
    """A key that the file has and the parsed model does not is one that ODCS does not know."""
    if isinstance(found, dict) and isinstance(kept, dict):
        for key, value in found.items():
            if key not in kept:
                place.fail(f"{_path(raw, (*at, key))}: ODCS v3.1 has no such key; correct or remove it")
            _refuse_unknown_keys(value, kept[key], (*at, key), raw, place)
    elif isinstance(found, list) and isinstance(kept, list):
        for index, (value, other) in enumerate(zip(found, kept, strict=True)):
            _refuse_unknown_keys(value, other, (*at, index), raw, place)


def _path(raw: Any, location: Sequence[int | str]) -> str:
    """`("schema", 0, "properties", 2, "x")` → `schema[orders].properties[order_status].x`."""
    text, here = "", raw
    for part in location:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(part, int):
            named = isinstance(here, dict) and (here.get("name") or here.get("server") or here.get("property"))
            text += f"[{named or part}]"
        else:
            text += f".{part}" if text else part
    return text


def _source(contract: OpenDataContractStandard, name: str, place: _Place) -> Source:
    place.one_of(contract.kind, "kind", ["DataContract"])
    place.one_of(contract.apiVersion, "apiVersion", ["v3.1.0"])
    place.one_of(contract.name, "name", [name])
    place.text(contract.id, "id", name)
    place.text(contract.status, "status", "active")
    place.custom(contract.customProperties, ())
    place.text(contract.description.purpose if contract.description else None, "description.purpose", "What it is for")
    description = contract.description.purpose.strip() if contract.description and contract.description.purpose else ""

    server = _snowflake(contract.servers, place)
    own = place.custom(server.customProperties, ("stage", "fileFormat"))
    warn, error = _freshness(contract, place)

    tables = tuple(_table(entry, place) for entry in contract.schema_ or ())
    if not tables:
        place.fail("schema: found no entry, wanted one for each file")
    place.once((t.name for t in tables), "schema, names")
    place.once((t.raw_name for t in tables), "schema, physicalNames")
    place.once((t.file for t in tables), "schema, fileNames")
    tables = tuple(_resolved(table, tables, replace(place, entry=table.name)) for table in tables)
    return Source(
        name=name,
        version=place.text(contract.version, "version", "1.0.0"),
        description=description,
        schema=place.identifier(place.text(server.schema_, "servers, schema", "RAW"), "servers, schema"),
        stage=place.identifier(str(own.get("stage", "")), "servers, customProperties, stage"),
        file_format=place.identifier(str(own.get("fileFormat", "")), "servers, customProperties, fileFormat"),
        tables=tables,
        warn_after_hours=warn,
        error_after_hours=error,
        owner=(getattr(contract.team, "name", None) or ""),
        tags=tuple(contract.tags or ()),
    )


def _snowflake(servers: Sequence[Server] | None, place: _Place) -> Server:
    found = [s for s in servers or () if s.type == "snowflake"]
    if len(found) != 1:
        place.fail(f"servers: found {len(found)} of type snowflake, wanted one: with the schema, stage and file format of RAW")
    return found[0]


def _freshness(contract: OpenDataContractStandard, place: _Place) -> tuple[int, int]:
    hours = []
    for identifier in ("freshness_warning", "freshness_error"):
        found = [p for p in contract.slaProperties or () if p.id == identifier]
        value = found[0].value if len(found) == 1 else None
        if len(found) != 1 or found[0].property != "freshness" or found[0].unit != "h" or type(value) is not int or value < 1:
            place.fail(
                f"slaProperties: found {len(found)} with id {identifier} and value {_found(value)}, wanted one with property freshness, "
                "a whole number of hours as value, and unit h"
            )
        hours.append(value)
    if hours[0] > hours[1]:
        place.fail(f"slaProperties: freshness_warning is {hours[0]} h, wanted at most freshness_error's {hours[1]} h")
    return hours[0], hours[1]


def _table(entry: SchemaObject, place: _Place) -> Table:
    place = replace(place, entry=entry.name or "without a name")
    name = place.text(entry.name, "name", "orders")
    if not _NAME.fullmatch(name):
        place.fail(f"name: found {name!r}, wanted lower case letters, digits and _, beginning with a letter")
    place.one_of(entry.physicalType or "table", "physicalType", ["table"])
    own = place.custom(entry.customProperties, ("fileName", "loadMode"))
    file = own.get("fileName")
    if not isinstance(file, str) or not _FILE.fullmatch(file):
        place.fail(
            f"customProperties, fileName: found {_found(file)}, wanted a .csv file's name of letters, digits and _; "
            "add `- {property: fileName, value: olist_orders_dataset.csv}`"
        )
    read = [_column(p, position, place) for position, p in enumerate(entry.properties or (), start=1)]
    if not read:
        place.fail("properties: found none, wanted one for each column of the file, in the file's order")
    columns = tuple(column for column, _ in read)
    place.once((c.header for c in columns), "properties")
    place.once((c.name for c in columns), "RAW names of the properties")
    headers = {c.header: c.name for c in columns}
    key = _primary_key(entry, headers, place)
    rules = [rule for quality in entry.quality or () for rule in _quality(quality, None, headers, place)]
    rules += [Rule("unique", "error", columns=key)] if len(key) > 1 else []
    for (column, column_rules), found in zip(read, entry.properties or (), strict=True):
        rules += column_rules
        for quality in found.quality or ():
            rules += _quality(quality, column, headers, replace(place, property=column.header))
    relationships = [
        *(r for p in entry.properties or () for link in p.relationships or () for r in _relationship(link, p, name, place)),
        *(r for link in entry.relationships or () for r in _relationship(link, None, name, place)),
    ]
    return Table(
        name=name,
        raw_name=place.identifier(place.text(entry.physicalName, "physicalName", f"OLIST_{name.upper()}"), "physicalName"),
        file=file,
        business_name=place.text(entry.businessName, "businessName", "Surgical case shipment"),
        description=place.text(entry.description, "description", "What a row is"),
        load=cast(Load, place.one_of(own.get("loadMode"), "customProperties, loadMode", get_args(Load))),
        columns=columns,
        primary_key=key,
        relationships=tuple(relationships),
        rules=tuple(dict.fromkeys(rules)),
    )


def _column(found: SchemaProperty, position: int, place: _Place) -> tuple[Column, list[Rule]]:
    """The column, and the rules that its own fields say."""
    place = replace(place, property=found.name or f"at position {position}")
    header = place.text(found.name, "name", "order_id")
    name = place.identifier(found.physicalName or header.upper(), "name")
    if name in AUDIT_COLUMNS:
        place.fail(f"name: found {name}, which is an audit column that the load fills; set another physicalName")
    kind = cast(LogicalType, place.one_of(found.logicalType, "logicalType", get_args(LogicalType)))
    place.one_of(found.physicalType or "VARCHAR", "physicalType", ["VARCHAR"])
    if found.required is None and not found.primaryKey:
        place.fail("required: found nothing, wanted true or false; add `required: false` where the file may leave it empty")
    own = place.custom(found.customProperties, ("pii",))
    column = Column(
        name=name,
        header=header,
        position=position,
        logical_type=kind,
        business_name=place.text(found.businessName, "businessName", "Shipment id"),
        description=place.text(found.description, "description", "What the value means"),
        required=bool(found.required or found.primaryKey),
        classification=cast(
            Classification, place.one_of(found.classification, "classification", get_args(Classification))
        ),
        pii=cast(Pii, place.one_of(own.get("pii"), "customProperties, pii", get_args(Pii))),
    )
    rules = [Rule("not_null", "error", name)] if column.required else []
    if found.unique or (found.primaryKey and (found.primaryKeyPosition or -1) == -1):
        rules.append(Rule("unique", "error", name))
    return column, rules + _typed(column, found.logicalTypeOptions or {}, place)


def _typed(column: Column, options: dict[str, Any], place: _Place) -> list[Rule]:
    known = _OPTIONS[column.logical_type]
    unknown = sorted(set(options) - known)
    if unknown:
        place.fail(f"logicalTypeOptions: found {', '.join(unknown)}, wanted only {', '.join(sorted(known))}; use quality for more")
    rules = []
    if column.logical_type == "timestamp":
        wanted = place.one_of(options.get("format"), "logicalTypeOptions, format", _TIMESTAMPS)
        rules.append(Rule("timestamp", "error", column.name, arguments=(("format", _TIMESTAMPS[wanted]),)))
    if column.logical_type in ("integer", "number"):
        rules.append(Rule("number", "error", column.name, arguments=(("integer", column.logical_type == "integer"),)))
    if "pattern" in options:
        rules.append(Rule("regex", "error", column.name, arguments=_regex(options["pattern"], place)))
    if "minimum" in options or "maximum" in options:
        rules.append(Rule("between", "error", column.name, arguments=_range(options, "minimum", "maximum", place)))
    return rules


def _regex(pattern: object, place: _Place) -> tuple[tuple[str, object], ...]:
    ok = isinstance(pattern, str) and pattern.startswith("^") and pattern.endswith("$")
    if not isinstance(pattern, str) or not ok or "\\" in pattern or "(?" in pattern:
        place.fail(
            f"pattern: found {_found(pattern)}, wanted ^…$ without backslashes and (?…), which the engines read differently; "
            "write [0-9] for a digit and [.] for a dot"
        )
    try:
        re.compile(pattern)
    except re.error as error:
        place.fail(f"pattern: found {_found(pattern)}, which is no regular expression: {error}")
    return (("pattern", pattern),)


def _range(options: dict[str, Any], low: str, high: str, place: _Place) -> tuple[tuple[str, object], ...]:
    found = {"max": options.get(high), "min": options.get(low)}
    for value in found.values():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            place.fail(f"{low}, {high}: found {_found(value)}, wanted a number")
    arguments = tuple((name, value) for name, value in found.items() if value is not None)
    if not arguments or (len(arguments) == 2 and found["min"] > found["max"]):
        place.fail(f"{low}, {high}: found {found['min']} and {found['max']}, wanted one or both, the smaller first")
    return arguments


def _quality(found: DataQuality, column: Column | None, headers: dict[str, str], place: _Place) -> list[Rule]:
    """One entry of `quality` as a rule; text is for people and gives none."""
    if found.type == "text":
        return []
    severity = cast(Severity, place.one_of(found.severity, "quality, severity", get_args(Severity)))
    name, arguments = column.name if column else None, found.arguments or {}
    rule = None
    if found.metric == "rowCount" and column is None:
        more, least = found.mustBeGreaterThan, found.mustBeGreaterOrEqualTo
        if more is not None or least is not None:
            rule = Rule("row_count", severity, arguments=(("min", int(more) + 1 if more is not None else int(least or 0)),))
    elif found.metric == "nullValues" and column and _none_allowed(found):
        rule = Rule("not_null", severity, name)
    elif found.metric == "duplicateValues" and _none_allowed(found):
        rule = Rule("unique", severity, name, columns=_names(arguments.get("properties"), headers, place) if not column else ())
    elif found.metric == "invalidValues" and column and _none_allowed(found) and set(arguments) == {"validValues"}:
        values = arguments["validValues"]
        if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
            place.fail(f"quality, validValues: found {_found(values)}, wanted a list of texts; put quotes around each")
        rule = Rule("in_set", severity, name, arguments=(("values", tuple(values)),))
    elif found.metric == "invalidValues" and column and _none_allowed(found) and set(arguments) == {"pattern"}:
        rule = Rule("regex", severity, name, arguments=_regex(arguments["pattern"], place))
    elif found.type == "custom" and found.engine == "greatExpectations" and isinstance(found.implementation, dict) and column:
        kwargs = found.implementation.get("kwargs")
        if (
            found.implementation.get("type") == _BETWEEN
            and isinstance(kwargs, dict)
            and set(kwargs) <= {"min_value", "max_value"}
            and column.logical_type in ("integer", "number")
        ):
            rule = Rule("between", severity, name, arguments=_range(kwargs, "min_value", "max_value", place))
    if rule is None:
        place.fail(
            f"quality: found {_found(found.model_dump(exclude_none=True))}, wanted one of: rowCount of the table with mustBeGreaterThan; "
            "nullValues, duplicateValues or invalidValues (with arguments validValues or pattern) and mustBe 0; or, of a number, "
            f"type custom, engine greatExpectations, implementation of type {_BETWEEN} with min_value, max_value"
        )
    return [replace(rule, description=(found.description or "").strip())]


def _none_allowed(found: DataQuality) -> bool:
    return type(found.mustBe) is int and found.mustBe == 0 and found.unit in (None, "rows")


def _names(listed: object, headers: dict[str, str], place: _Place) -> tuple[str, ...]:
    if not isinstance(listed, list) or not listed or not all(n in headers for n in listed):
        place.fail(f"quality, arguments, properties: found {_found(listed)}, wanted a list of {', '.join(headers)}")
    return tuple(headers[n] for n in listed)


def _primary_key(entry: SchemaObject, headers: dict[str, str], place: _Place) -> tuple[str, ...]:
    parts = [p for p in entry.properties or () if p.primaryKey]
    positions = [p.primaryKeyPosition for p in parts]
    if len(parts) > 1 and sorted(positions, key=lambda n: n or 0) != list(range(1, len(parts) + 1)):
        place.fail(
            f"primaryKeyPosition: found {positions} on {', '.join(str(p.name) for p in parts)}, wanted 1 to {len(parts)}, each once"
        )
    return tuple(headers[str(p.name)] for p in sorted(parts, key=lambda p: p.primaryKeyPosition or 0))


def _relationship(
    found: OdcsRelationship, owner: SchemaProperty | None, table: str, place: _Place
) -> list[Relationship]:
    """One relationship, its ends still as the contract names them; `_resolved` finds the tables and columns."""
    if owner is not None:
        place = replace(place, property=str(owner.name))
    place.one_of(found.type or "foreignKey", "relationships, type", ["foreignKey"])
    own = place.custom(found.customProperties, ("severity",))
    severity = cast(Severity, place.one_of(own.get("severity", "error"), "relationships, severity", get_args(Severity)))
    if owner is not None and found.from_ is not None:
        place.fail("relationships, from: found one, wanted none: on a property it is the property itself; remove it")
    ends = [[f"{table}.{owner.name}"] if owner is not None else found.from_, found.to]
    listed = [[end] if isinstance(end, str) else end or [] for end in ends]
    for end in listed:
        if not end or len(end) != len(listed[0]) or not all(_REFERENCE.fullmatch(reference) for reference in end):
            place.fail(f"relationships: found {_found(found.from_)} to {_found(found.to)}, wanted table.column on both ends")
    here, there = ([reference.split(".") for reference in end] for end in listed)
    if {t for t, _ in here} != {table} or len({t for t, _ in there}) != 1:
        place.fail(f"relationships: found {_found(found.from_)} to {_found(found.to)}, wanted columns of {table} and of one other table")
    return [Relationship(tuple(c for _, c in here), there[0][0], tuple(c for _, c in there), severity)]


def _resolved(table: Table, tables: Sequence[Table], place: _Place) -> Table:
    """The table with RAW names on both ends of its relationships."""
    by_name = {t.name: t for t in tables}
    found = []
    for link in table.relationships:
        if link.parent not in by_name:
            place.fail(f"relationships, to: found table {link.parent}, wanted one of {', '.join(by_name)}")
        parent = by_name[link.parent]
        ends = []
        for end, headers in ((table, link.columns), (parent, link.parent_columns)):
            columns = {c.header: c.name for c in end.columns}
            unknown = [h for h in headers if h not in columns]
            if unknown:
                place.fail(
                    f"relationships: found column {', '.join(unknown)} of {end.name}, wanted one of {', '.join(columns)}"
                )
            ends.append(tuple(columns[h] for h in headers))
        found.append(Relationship(ends[0], parent.raw_name, ends[1], link.severity))
    return replace(table, relationships=tuple(found))


def _found(value: object) -> str:
    """A value as messages show it: short, on one line."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
