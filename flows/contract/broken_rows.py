"""A rule that rows of a batch broke → the SELECT of the first one: its number, its file, its values that are not personal."""

from __future__ import annotations

from flows.contract.expectations import Expectation, asset_query
from flows.contract.model import Source, Table
from flows.contract.sql import ident, literal


def shown_columns(table: Table, expectation: Expectation) -> tuple[str, ...]:
    """The rule's columns whose values may leave the warehouse: those that the contract calls not personal."""
    pii = {column.name: column.pii for column in table.columns}
    return tuple(name for name in expectation.columns if pii[name] == "none")


def first_broken_row(source: Source, table: Table, expectation: Expectation, batch_id: str) -> str | None:
    """The SELECT of (_SOURCE_ROW_NUMBER, _SOURCE_FILENAME, values of `shown_columns`); None: the rule is not on rows."""
    columns = ", ".join(
        f"r.{ident(c)}" for c in ("_SOURCE_ROW_NUMBER", "_SOURCE_FILENAME", *shown_columns(table, expectation))
    )
    batch = f"({asset_query(source, table, batch_id)})"
    if expectation.type == "unexpected_rows_expectation":
        query = str(expectation.kwargs["unexpected_rows_query"]).replace("{batch}", batch)
        query = query.replace("1 AS ORPHAN", columns.replace("r.", "child."), 1)
        return f"{query} ORDER BY child._SOURCE_ROW_NUMBER LIMIT 1"
    condition = _condition(expectation)
    return condition and f"SELECT {columns} FROM {batch} AS r {condition} ORDER BY r._SOURCE_ROW_NUMBER LIMIT 1"


def _condition(expectation: Expectation) -> str | None:
    """What is true of rows that break the rule; an empty value breaks none but not_null."""
    kwargs = expectation.kwargs
    names = [f"r.{ident(c)}" for c in expectation.columns]
    present = " AND ".join(f"{name} IS NOT NULL" for name in names)
    match expectation.type:
        case "expect_column_values_to_not_be_null":
            return f"WHERE {names[0]} IS NULL"
        case "expect_column_values_to_match_regex":
            # As Great Expectations asks Snowflake: a match anywhere counts, and the patterns are anchored.
            return f"WHERE REGEXP_COUNT({names[0]}, {literal(str(kwargs['regex']))}) = 0"
        case "expect_column_values_to_be_in_set":
            values = kwargs["value_set"]
            assert isinstance(values, list)
            return f"WHERE {names[0]} NOT IN ({', '.join(literal(str(v)) for v in values)})"
        case "expect_column_values_to_be_between":
            ends = (("min_value", "<"), ("max_value", ">"))
            bounds = [
                f"TRY_TO_DOUBLE({names[0]}) {sign} {float(str(kwargs[end]))}" for end, sign in ends if end in kwargs
            ]
            return f"WHERE {' OR '.join(bounds)}"
        case "expect_column_values_to_be_unique" | "expect_compound_columns_to_be_unique":
            return f"WHERE {present} QUALIFY COUNT(*) OVER (PARTITION BY {', '.join(names)}) > 1"
    return None
