"""Finds which rows belong to a person, from the contracts: rows with one of the person's values, and rows that refer to them.

    customers.customer_unique_id ──▶ customers ──customer_id──▶ orders ──order_id──▶ order items, payments, reviews
                                └──hcp_id──▶ support tickets, … of another source

The search goes from a row to rows that refer to it, never back: an order's products and sellers are not the person's. A column
that refers to another one counts as that one, so `orders.customer_id` identifies the customer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flows.contract.model import Source, Table
from flows.contract.sql import ident
from flows.errors import ConfigurationError


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Columns of a RAW table whose values point at a row."""

    table: str  # RAW name
    columns: tuple[str, ...]

    @property
    def text(self) -> str:
        """The key in text form: `OLIST_CUSTOMERS.CUSTOMER_ID`."""
        return f"{self.table}.{'+'.join(self.columns)}"


Values = dict[Key, set[tuple[str, ...]]]  # the values known to identify the person's rows


@dataclass(frozen=True, slots=True)
class Holder:
    """A table that may hold rows of a person. `found_by`: each key by which its rows are found, with the columns that hold it
    here. `gives`: the keys of its rows by which other rows are found."""

    source: Source
    table: Table
    found_by: tuple[tuple[Key, tuple[str, ...]], ...]
    gives: tuple[Key, ...]

    @property
    def name(self) -> str:
        """The RAW table."""
        return self.table.raw_name


@dataclass(frozen=True)
class Reach:
    """Every table that may hold rows of a person, each before those that it refers to."""

    holders: tuple[Holder, ...]
    # Key of one column → (table, column)s.
    carried: Mapping[Key, frozenset[tuple[str, str]]] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of these tables; sources that refer to others come first."""

        def depth(source: Source) -> int:
            return max((1 + depth(other) for other in source.references), default=0)

        depths = {h.source.name: depth(h.source) for h in self.holders}
        return tuple(sorted(depths, key=lambda name: (-depths[name], name)))


def key_of(source: Source, column: str) -> Key:
    """Find the key that `column` identifies: `customers.customer_id`, or `customer_id` if only one table has it.

    Raises:
        ConfigurationError: no table or several have such a column, or it is not personal data.
    """
    table_name, _, name = column.rpartition(".")
    is_raw_name = any(table_name.upper() == t.raw_name for t in source.tables)
    table_name = table_name.upper() if is_raw_name else table_name.lower()
    try:
        tables = (source.table(table_name),) if table_name else source.tables
    except KeyError as error:
        raise ConfigurationError(f"--column {column}: {error.args[0]}") from None
    matches = [(t, c) for t in tables for c in t.columns if name.upper() in (c.name, c.header.upper())]
    if len(matches) != 1:
        names = ", ".join(f"{t.name}.{c.header}" for t, c in matches) or "none"
        personal = [f"{t.name}.{c.header}" for t in tables for c in t.columns if c.pii != "none"]
        raise ConfigurationError(
            f"--column {column}: expected one column of {source.name}, got {names}; name one of {', '.join(personal)}"
        )
    table, matched = matches[0]
    key = Key(table.raw_name, (matched.name,))
    for link in table.relationships:
        if link.columns == key.columns:
            _, parent = source.parent(link)
            key = Key(parent.raw_name, link.parent_columns)
    if matched.pii == "none":
        raise ConfigurationError(
            f"--column {table.name}.{matched.header}: its class is none, so it names nobody; expected a column of "
            "class direct or indirect"
        )
    return key


def reach(sources: Sequence[Source], starts: Iterable[Key]) -> Reach:
    """Find the tables of the project's `sources` whose rows `starts` may lead to."""
    owners = {table.raw_name: (source, table) for source in sources for table in source.tables}
    links = [
        (table.raw_name, link.columns, Key(source.parent(link)[1].raw_name, link.parent_columns))
        for source in sources
        for table in source.tables
        for link in table.relationships
    ]
    starts = tuple(starts)
    ordered: dict[str, None] = {}  # children first
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        for child, _, parent in links:
            if parent.table == name:
                visit(child)
        ordered[name] = None

    for start in starts:
        visit(start.table)
    holders = []
    for name in ordered:
        source, table = owners[name]
        personal = {c.name for c in table.columns if c.pii != "none"}
        own = sorted({key for _, _, key in links if key.table == name} | {key for key in starts if key.table == name})
        # A key without a PII class only identifies a row, and a newer row with that key may belong to another person.
        found_by = [(key, key.columns) for key in own if key in starts or personal.issuperset(key.columns)]
        found_by += [(key, columns) for child, columns, key in links if child == name and key.table in seen]
        holders.append(Holder(source, table, tuple(dict.fromkeys(found_by)), tuple(own)))
    carried: dict[Key, set[tuple[str, str]]] = {}
    for holder in holders:
        for key, columns in (*holder.found_by, *((key, key.columns) for key in holder.gives)):
            if len(columns) == 1:
                carried.setdefault(key, set()).add((holder.name, columns[0]))
    return Reach(tuple(holders), {key: frozenset(columns) for key, columns in carried.items()})


def condition(found_by: Sequence[tuple[Key, tuple[str, ...]]], values: Values) -> tuple[str, list[str]]:
    """Render the condition for rows with one of the `values`, and its binds: a JSON array of arrays for each key.
    `found_by`: each key with the columns that hold it. Blanks around a value are ignored, as in staging."""
    parts, bound = [], []
    for key, columns in found_by:
        if known := values.get(key):
            bound.append(json.dumps([list(value) for value in sorted(known)], ensure_ascii=False))
            left = ", ".join(f"TRIM({ident(column)})" for column in columns)
            right = ", ".join(f"ENTRY.VALUE[{n}]::VARCHAR" for n in range(len(columns)))
            rows = f"SELECT {right} FROM TABLE(FLATTEN(INPUT => PARSE_JSON(:{len(bound)}))) AS ENTRY"
            parts.append(f"({left}) IN ({rows})")
    return "\n    OR ".join(parts) or "FALSE", bound


_TABLE = re.compile(r"^### (?P<table>[A-Z_][A-Z0-9_$]*)$", re.M)
_COLUMN = re.compile(r"^\| `(?P<column>\w+)` \|[^|]*\|[^|]*\|(?P<made>.*)\|$", re.M)
_MADE = re.compile(r"`(?P<relation>\w+)`: (?P<columns>\w+(?:, \w+)*)")


def dbt_key_columns(project: Path, reached: Reach) -> dict[tuple[str, str], Key]:
    """Read from the lineage page which columns of dbt's tables hold keys: (relation, column), in upper case → key.

    A column derived from several columns is left out: equal values need not mean the same person.

    Raises:
        ConfigurationError: the page does not exist.
    """
    from flows.contract.render_lineage import PATH  # imports sqlglot

    page = project / PATH
    if not page.exists():
        raise ConfigurationError(
            f"{page}: not found; it says where dbt keeps keys, and `cxm contract lineage` writes it"
        )
    _, _, text = page.read_text(encoding="utf-8").partition("## From file to mart")
    made_of: dict[tuple[str, str], set[tuple[str, str]]] = {}
    parts = _TABLE.split(text)
    for table, rows in zip(parts[1::2], parts[2::2], strict=True):
        for row in _COLUMN.finditer(rows):
            for made in _MADE.finditer(row["made"]):
                for column in made["columns"].split(", "):
                    made_of.setdefault((made["relation"].upper(), column.upper()), set()).add((table, row["column"]))
    return {
        column: key
        for column, origins in sorted(made_of.items())
        for key, carriers in reached.carried.items()
        if origins <= carriers
    }
