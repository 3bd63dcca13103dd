"""Renders SELECTs of the rows that break a rule: their numbers, files, and values that are not personal."""

from __future__ import annotations

from collections.abc import Sequence

from flows.contract.expectations import Expectation, asset_query
from flows.contract.model import Source, Table
from flows.contract.sql import ident, literal


def shown_columns(table: Table, columns: Sequence[str]) -> tuple[str, ...]:
    """Return those of `columns` whose values may leave the warehouse: the ones with `pii: none` in the contract."""
    pii = {column.name: column.pii for column in table.columns}
    return tuple(name for name in columns if pii[name] == "none")


def broken_rows(source: Source, table: Table, expectation: Expectation, batch_id: str) -> str | None:
    """Render the SELECT of the rows that break a rule, in the files' order: _SOURCE_ROW_NUMBER, _SOURCE_FILENAME, values of
    `shown_columns`. None if the rule is not about single rows."""
    names = ("_SOURCE_ROW_NUMBER", "_SOURCE_FILENAME", *shown_columns(table, expectation.columns))
    order = "ORDER BY r._SOURCE_FILENAME, r._SOURCE_ROW_NUMBER"
    if expectation.type == "unexpected_rows_expectation":
        if expectation.rule != "relationship":
            return None
        return f"{orphans(source, table, expectation, [batch_id], names)} {order.replace('r.', 'child.')}"
    condition = breaks(expectation)
    if condition is None:
        return None
    columns = ", ".join(f"r.{ident(c)}" for c in names)
    where = "QUALIFY" if expectation.rule == "unique" else "WHERE"  # finding repeated keys takes a window function
    return f"SELECT {columns} FROM ({asset_query(source, table, batch_id)}) AS r {where} {condition} {order}"


def orphans(
    source: Source, table: Table, expectation: Expectation, batch_ids: Sequence[str], columns: Sequence[str]
) -> str:
    """Render the SELECT of `columns` of the rows of these batches whose parent does not exist."""
    query = str(expectation.kwargs["unexpected_rows_query"]).replace(
        "{batch}", f"({asset_query(source, table, *batch_ids)})"
    )
    return query.replace("1 AS ORPHAN", ", ".join(f"child.{ident(c)}" for c in columns), 1)


def breaks(expectation: Expectation) -> str | None:
    """Render the SQL condition for rows `r` of the asset that break the rule. NULL breaks only not_null. None if the rule is not
    about single rows."""
    kwargs = expectation.kwargs
    names = [f"r.{ident(c.upper())}" for c in _named(expectation)]
    match expectation.type:
        case "expect_column_values_to_not_be_null":
            return f"{names[0]} IS NULL"
        case "expect_column_values_to_be_null":
            return f"{names[0]} IS NOT NULL"
        case "expect_column_values_to_match_regex":
            # As Great Expectations queries Snowflake: a match anywhere counts; our patterns are anchored.
            return f"REGEXP_COUNT({names[0]}, {literal(str(kwargs['regex']))}) = 0"
        case "expect_column_values_to_be_in_set":
            values = kwargs["value_set"]
            assert isinstance(values, list)
            return f"{names[0]} NOT IN ({', '.join(literal(str(v)) for v in values)})"
        case "expect_column_values_to_be_between":
            ends = (("min_value", "<"), ("max_value", ">"))
            bounds = [f"{names[0]} {sign} {float(str(kwargs[end]))}" for end, sign in ends if end in kwargs]
            return f"({' OR '.join(bounds)})"
        case "expect_column_values_to_be_unique" | "expect_compound_columns_to_be_unique":
            present = " AND ".join(f"{name} IS NOT NULL" for name in names)
            return f"{present} AND COUNT(*) OVER (PARTITION BY {', '.join(names)}) > 1"
    return None


def _named(expectation: Expectation) -> list[str]:
    """Return the asset's columns that the expectation checks, as it names them; empty for an expectation on the table."""
    column, columns = expectation.kwargs.get("column"), expectation.kwargs.get("column_list")
    if expectation.columns and isinstance(columns, list):
        return [str(name) for name in columns]
    return [str(column)] if column else []
