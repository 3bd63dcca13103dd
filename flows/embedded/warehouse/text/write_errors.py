"""Snowflake's errors for a value that does not fit the column that it is written to."""

from __future__ import annotations

from snowflake.connector.errors import ProgrammingError

from flows.embedded.warehouse.text.errors import compilation


def wrong_type(expected: str, got: str, column: str) -> ProgrammingError:
    """002023: a value of a type that its column does not take
    (https://docs.snowflake.com/en/sql-reference/sql/alter-table#table-column-actions-tablecolumnaction shows the text)."""
    return compilation(
        f"Expression type does not match column data type, expecting {expected} but got {got} for column {column}",
        2023,
        "22000",
    )


def ambiguous(name: str) -> ProgrammingError:
    """002028: a name that two columns have."""
    return compilation(f"ambiguous column name '{name}'", 2028, "42601")


def wrong_in_values(type_: str) -> ProgrammingError:
    """002014: a cell of VALUES whose type has nothing in common with the cell above it."""
    return compilation(f"Invalid data type [{type_}] in VALUES clause", 2014, "22000")


def invalid_default(text: str) -> ProgrammingError:
    """002263: ADD COLUMN with a DEFAULT that is not a constant
    (https://docs.snowflake.com/en/sql-reference/sql/alter-table#table-column-actions-tablecolumnaction)."""
    return compilation(f"Invalid column default expression [{text}]", 2263, "22000")
