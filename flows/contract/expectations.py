"""Turns a table's contract into expectations, and into the query for the rows that they check.

rules, keys, relationships of a `Table` → `Expectation`s; a batch of it → SELECT

Long because every kind of rule is converted here, with the extra columns that it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flows.contract import values
from flows.contract.beside import KINDS, beside
from flows.contract.beside import sentence as said_beside
from flows.contract.file_names import day_in
from flows.contract.model import AUDIT_COLUMNS, Relationship, Rule, Severity, Source, Table
from flows.contract.sql import ident, literal
from flows.contract.volume import usual, volume
from flows.errors import ConfigurationError

# The statuses, in the ledger, of batches whose rows count: the one being validated, and published ones.
_STANDING = ("loaded", "validated")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation before it gets its id: GX's type and keyword arguments, and the contract's rule that it comes from."""

    type: str
    kwargs: Mapping[str, object]
    severity: Severity
    rule: str  # the contract's kind of rule: not_null, unique, relationship …
    columns: tuple[str, ...] = ()  # RAW names
    description: str = ""  # shown in Data Docs; if empty, GX's own sentence is shown

    @property
    def name(self) -> str:
        """Its name in messages: `number(PRICE)`."""
        return self.rule + (f"({', '.join(self.columns)})" if self.columns else "")


def named(rule: Rule) -> str:
    """Return a rule's name in messages: `number(PRICE)`."""
    return rule.kind + (f"({', '.join(_columns(rule))})" if _columns(rule) else "")


def asset_query(source: Source, table: Table, *batch_ids: str) -> str:
    """Render the SELECT of the rows that a suite checks: those of `batch_ids`, or by the ledger those of the batch that is being
    validated, else of the newest published one.

    It selects `t.*`, because a list of columns would always satisfy the rules on column set and order. That costs nothing extra,
    because GX copies the result into a temporary table in the warehouse, once per run; that needs no CREATE TABLE
    privilege (https://docs.snowflake.com/en/sql-reference/sql/create-table#access-control-requirements). A constant batch id
    lets Snowflake skip the other batches' partitions, a subquery does not
    (https://docs.snowflake.com/en/user-guide/tables-clustering-micropartitions#query-pruning), so a run gives the id.
    Columns that a rule checks are read as in staging: trimmed, and NULL if they are then empty. If a rule needs them, there are
    also `…__VALUE`, the value that staging makes of the text, and `…__UNREAD`, the text if it breaks the rule on the type.
    """
    texts = {ident(c): values.text(f"t.{ident(c)}") for c in _judged(table)}
    replaced = f" REPLACE ({', '.join(f'{sql} AS {name}' for name, sql in texts.items())})" if texts else ""
    if len(batch_ids) > 1:
        batch = f"IN ({', '.join(map(literal, batch_ids))})"
    else:
        batch = f"= {literal(batch_ids[0])}" if batch_ids else f"= ({_newest(source, table)})"
    rows = f"SELECT t.*{replaced} FROM {ident(source.schema)}.{ident(table.raw_name)} AS t WHERE t._BATCH_ID {batch}"
    if not (twins := _twins(table)):
        return rows
    # Nested, so that each text is trimmed once and read once, however many rules use it.
    helpers = {name: sql for twin in twins for name, sql in twin.helpers.items()}
    read = "".join(f", {sql} AS {name}" for name, sql in helpers.items())
    beside = "".join(f", {sql} AS {name}" for twin in twins for name, sql in twin.nested.items())
    return f"SELECT t.* EXCLUDE ({', '.join(helpers)}){beside} FROM (SELECT t.*{read} FROM ({rows}) AS t) AS t"


def asset_columns(table: Table) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns of the asset that differ from RAW: those that a rule checks, and the derived ones, each with its SQL
    over one column of `t`."""
    texts = {ident(c): values.text(f"t.{ident(c)}") for c in _judged(table)}
    return texts, {name: sql for twin in _twins(table) for name, sql in twin.flat.items()}


def expectations(source: Source, table: Table) -> list[Expectation]:
    """Return the expectations of a table, in the order in which Data Docs show them.

    Keys are unique and not null, required columns are not null, and a batch has a row (unless the table may be empty), whether or
    not the contract has rules for that.

    Raises:
        ConfigurationError: a rule names a column that the table does not have, or no expectation can be made from its arguments;
            the message names table and rule.
    """
    rules = _with_implied(table)
    known = {c.name for c in table.columns}
    for rule in rules:
        for column in _columns(rule):
            if column not in known:
                raise ConfigurationError(
                    f"{source.name}.{table.name}: rule {rule.kind} names column {column}, which the table does not have; it has "
                    f"{', '.join(sorted(known))}"
                )
    judged = [_expectation(source, table, rule) for rule in rules]
    return [
        *_shape(table),
        *judged,
        *(_relationship(source, table, relationship) for relationship in table.relationships),
    ]


def _shape(table: Table) -> list[Expectation]:
    twins = (name for twin in _twins(table) for name in twin.flat)
    names = [*(c.name for c in table.columns), *AUDIT_COLUMNS, *twins]
    columns = [n.lower() for n in names]  # SQLAlchemy gives unquoted names in lower case
    shape = [
        # With `onNewColumn: add`, a file's new column exists in RAW before it exists in the contract.
        Expectation(
            "expect_table_columns_to_match_set",
            {"column_set": columns, **({"exact_match": False} if table.on_new_column == "add" else {})},
            "error",
            "column_set",
        ),
    ]
    if table.on_new_column == "add":
        return shape
    return [
        *shape,
        Expectation(
            "expect_table_columns_to_match_ordered_list",
            {"column_list": columns},
            # Provisioning adds a new column after the audit columns. COPY and staging name their columns, so order is free.
            "warning",
            "column_order",
            description=f"The columns must be in the contract's order: {', '.join(names)}.",
        ),
    ]


def _with_implied(table: Table) -> list[Rule]:
    said = {(rule.kind, _columns(rule)) for rule in table.rules}
    some = ("row_count", ()) not in said and not table.allow_empty
    implied = [Rule("row_count", "error", arguments=(("min", 1),))] if some else []
    required = {*table.primary_key, *(c.name for c in table.columns if c.required)}
    implied += [
        Rule("not_null", "error", c.name)
        for c in table.columns
        if c.name in required and ("not_null", (c.name,)) not in said
    ]
    if table.primary_key and ("unique", table.primary_key) not in said:
        implied.append(Rule("unique", "error", columns=table.primary_key))
    return [*implied, *table.rules]


def _expectation(source: Source, table: Table, rule: Rule) -> Expectation:
    columns = _columns(rule)
    try:
        if rule.kind == "row_count":
            kind, kwargs = "expect_table_row_count_to_be_between", _bounds(rule)
            sentence = f"The batch must have {_range(rule)} rows."
        elif rule.kind == "volume":
            times = float(rule.argument("tolerance"))
            outside = f"v.ROWS_NOW < v.USUAL / {times} OR v.ROWS_NOW > v.USUAL * {times}"
            kind = "unexpected_rows_expectation"
            kwargs = {"unexpected_rows_query": f"{volume(source, table, rule)} AND ({outside})"}
            sentence = (
                f"The batch must have {rule.argument('tolerance')} times fewer or more rows at most than {usual(rule)}."
            )
        elif rule.kind in KINDS:
            kind, kwargs = "unexpected_rows_expectation", {"unexpected_rows_query": beside(source, table, rule)}
            sentence = said_beside(rule)
        elif rule.kind == "unique" and len(columns) > 1:
            compared = [_compared(table, c).lower() for c in columns]
            kind, kwargs = "expect_compound_columns_to_be_unique", {"column_list": compared}
            sentence = f"{', '.join(columns)} must be unique together."
        else:
            (column,) = columns
            kind, kwargs, sentence = _on_column(table, rule, column)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{source.name}.{table.name}: rule {rule.kind} on {', '.join(columns) or 'the table'} with "
            f"{dict(rule.arguments)} cannot be checked: {error}"
        ) from error
    description = " ".join(part for part in (sentence, rule.description) if part)
    return Expectation(kind, kwargs, rule.severity, rule.kind, columns, description)


def _on_column(table: Table, rule: Rule, column: str) -> tuple[str, dict[str, object], str]:
    """Return a rule on one column: GX's type, its keyword arguments, and the rule as a sentence."""
    name, arguments = column.lower(), dict(rule.arguments)
    if rule.kind == "not_null":
        return "expect_column_values_to_not_be_null", {"column": name}, f"{column} must not be empty."
    if rule.kind == "unique":
        kwargs: dict[str, object] = {"column": _compared(table, column).lower()}
        return "expect_column_values_to_be_unique", kwargs, f"{column} must be unique."
    if rule.kind == "in_set":
        allowed = arguments["values"]
        if not isinstance(allowed, list | tuple) or not allowed:
            raise ValueError("expected a list of values")
        texts = [str(v) for v in allowed]
        sentence = f"{column} must be one of {', '.join(texts)}."
        return "expect_column_values_to_be_in_set", {"column": name, "value_set": texts}, sentence
    if rule.kind == "between":
        kwargs = {"column": _value(column).lower(), **_bounds(rule)}
        return "expect_column_values_to_be_between", kwargs, f"{column} must be {_range(rule)}."
    if rule.kind == "regex":
        # Always anchored: on Snowflake GX counts matches anywhere in the value (REGEXP_COUNT).
        regex = str(arguments["pattern"])
        regex = regex if regex.startswith("^") and regex.endswith("$") else f"^({regex})$"
        return "expect_column_values_to_match_regex", {"column": name, "regex": regex}, f"{column} must match {regex}"
    return (
        "expect_column_values_to_be_null",
        {"column": _unread(column).lower()},
        f"{column} must be {values.said(rule)}.",
    )


def _relationship(source: Source, table: Table, relationship: Relationship) -> Expectation:
    owner, parent = source.parent(relationship)
    pairs = list(zip(relationship.columns, relationship.parent_columns, strict=True))
    kinds = {ours: _link_kind(table, parent, ours, theirs) for ours, theirs in pairs}
    child = {ours: ident(ours) if kinds[ours] == "string" else _value(ours) for ours, _ in pairs}
    held = {
        theirs: values.value(kinds[ours], f"p.{ident(theirs)}", _reading(parent, theirs, kinds[ours]))
        for ours, theirs in pairs
    }
    keys = ", ".join(f"{held[theirs]} AS {ident(theirs)}" for _, theirs in pairs)
    # A day has few rows and many possible parents, so only the parents that the day's rows name are collected.
    ours, theirs = pairs[0]
    named = f" AND {held[theirs]} IN (SELECT c.{child[ours]} FROM {{batch}} AS c)" if table.daily else ""
    query = (
        f"SELECT 1 AS ORPHAN FROM {{batch}} AS child "
        f"LEFT JOIN (SELECT DISTINCT {keys} FROM {ident(owner.schema)}.{ident(parent.raw_name)} AS p"
        f" WHERE p._BATCH_ID IN ({current_parents(source, relationship)}){named}) AS parent"
        f" ON {' AND '.join(f'child.{child[ours]} = parent.{ident(theirs)}' for ours, theirs in pairs)}"
        f" WHERE {' AND '.join(f'child.{child[ours]} IS NOT NULL' for ours, _ in pairs)}"
        f" AND parent.{ident(pairs[0][1])} IS NULL"
    )
    where = (
        "current batch"
        if owner.name == source.name
        else f"published batch (source {owner.name}, which must be loaded first)"
    )
    return Expectation(
        "unexpected_rows_expectation",
        {"unexpected_rows_query": query},
        relationship.severity,
        "relationship",
        relationship.columns,
        f"Every {', '.join(relationship.columns)} must be a {', '.join(relationship.parent_columns)} of "
        f"{parent.raw_name}'s {where}.",
    )


def current_parents(source: Source, relationship: Relationship) -> str:
    """Render the SELECT of the batches whose rows a relationship may point at."""
    owner, parent = source.parent(relationship)
    # Rows of this batch are loaded but not yet validated; of another source only published rows count.
    return _current(owner, parent, _STANDING if owner.name == source.name else ("validated",))


def published_batches(source: Source, table: Table) -> str:
    """Render the SELECT of the batches whose rows are published for a table."""
    return _current(source, table, ("validated",))


def _current(source: Source, table: Table, statuses: tuple[str, ...]) -> str:
    """Render the SELECT of the batches whose rows make up a table: the newest; for a daily table the newest of each day."""
    day = day_in("l.FILE_NAME") if table.has_parts else "l.FILE_NAME"
    return _newest(source, table, statuses, f"PARTITION BY {day} " if table.load == "append" else "")


def _newest(source: Source, table: Table, statuses: tuple[str, ...] = _STANDING, each: str = "") -> str:
    # A batch that is loaded without a verdict is the one being validated, even an old one that is replayed. Then the sequence
    # orders batches; batches older than the ledger's sequence column come first, in the order of their ids.
    judged = "IFF(l.STATUS = 'loaded', 1, 0) DESC, " if "loaded" in statuses else ""
    return (
        f"SELECT l.BATCH_ID FROM {ident(source.schema)}.LOAD_LEDGER AS l WHERE l.SOURCE = {literal(source.name)}"
        f" AND l.TABLE_NAME = {literal(table.raw_name)} AND l.STATUS IN ({', '.join(map(literal, statuses))})"
        f" QUALIFY ROW_NUMBER() OVER ({each}ORDER BY {judged}COALESCE(l.BATCH_SEQUENCE, 0) DESC, l.BATCH_ID DESC) = 1"
    )


def _columns(rule: Rule) -> tuple[str, ...]:
    return rule.columns or ((rule.column,) if rule.column else ())


def _link_kind(table: Table, parent: Table, ours: str, theirs: str) -> str:
    """Return the type by which both ends of a relationship are compared: their common type, else text."""
    kind = values.kind_of(table, ours)
    return kind if kind == values.kind_of(parent, theirs) else "string"


def _reading(table: Table, column: str, kind: str) -> dict[str, object]:
    """Return the parse options for a column's text as a value of `kind`."""
    definition = next(c for c in table.columns if c.name == column)
    return dict(definition.reading) if definition.logical_type == kind else {}


def _judged(table: Table) -> list[str]:
    """Return the columns that a rule checks."""
    named = {c for rule in _with_implied(table) for c in _columns(rule)}
    named |= {c for link in table.relationships for c in link.columns}
    return [c.name for c in table.columns if c.name in named]


@dataclass(frozen=True, slots=True)
class _Twin:
    """The columns derived from a column, name → SQL over `t`: from RAW's text, or from the trimmed text and its `helpers`."""

    flat: dict[str, str]
    nested: dict[str, str]
    helpers: dict[str, str]


def _twins(table: Table) -> list[_Twin]:
    """Return the columns derived from the table's columns."""
    compared = {c for rule in _with_implied(table) if rule.kind in ("unique", "between") for c in _columns(rule)}
    compared |= {c for link in table.relationships for c in link.columns}
    twins = []
    for column in (c.name for c in table.columns):
        kind, raw = values.kind_of(table, column), f"t.{ident(column)}"
        rule = next((r for r in table.rules if r.column == column and values.type_of(r)), None)
        has_value = column in compared and kind != "string"
        if not rule and not has_value:
            continue
        held, number = values.readings(rule, raw) if rule else (values.value(kind, raw), "")
        sql = {f"{ident(column)}__{name}": sql for name, sql in (("HELD", held), ("NUMBER", number)) if sql}
        flat: dict[str, str] = {}
        nested: dict[str, str] = {}
        for made, of in (
            (flat, (values.text(raw), held, number)),
            (nested, (raw, f"{raw}__HELD", f"{raw}__NUMBER")),
        ):
            if has_value:
                made[_value(column)] = values.read_of(rule, *of) if rule else of[1]
            if rule:
                made[_unread(column)] = values.unread_of(rule, *of)
        twins.append(_Twin(flat, nested, {name: values.trimmed(text, raw) for name, text in sql.items()}))
    return twins


def _compared(table: Table, column: str) -> str:
    """Return the asset's column with a column's value: the column itself if it is text."""
    return ident(column) if values.kind_of(table, column) == "string" else _value(column)


def _value(column: str) -> str:
    return f"{ident(column)}__VALUE"


def _unread(column: str) -> str:
    return f"{ident(column)}__UNREAD"


def _bounds(rule: Rule) -> dict[str, object]:
    arguments = dict(rule.arguments)
    bounds = {f"{end}_value": float(str(arguments[end])) for end in ("min", "max") if arguments.get(end) is not None}
    if not bounds:
        raise ValueError("expected min, max or both")
    return {end: int(value) if rule.kind == "row_count" else value for end, value in bounds.items()}


def _range(rule: Rule) -> str:
    arguments = dict(rule.arguments)
    least, most = arguments.get("min"), arguments.get("max")
    if least is None:
        return f"at most {most}"
    return f"at least {least}" if most is None else f"from {least} to {most}"
