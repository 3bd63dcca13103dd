"""A value of a column about people stands in no message about its file."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from flows.contract.model import Column, Table
from flows.errors import DataError
from flows.steps.land.csv_strict import exact

PLANTED = "Ann Planted"


def column(name: str, position: int, pii: str) -> Column:
    return Column(name, name.lower(), position, "string", name, name, False, "internal", pii)  # type: ignore[arg-type]


TABLE = Table(
    "people", "PEOPLE", "people.csv", "Person", "A person", "snapshot",
    (column("ID", 1, "none"), column("NAME", 2, "direct")), ("ID",),
)  # fmt: skip


def judged(table: Table, text: str = f"id,name\n1,{PLANTED},one too many\n") -> str:
    data = text.encode()
    with pytest.raises(DataError) as raised:
        list(exact("people.csv", io.BytesIO(data), len(data), table))
    return str(raised.value)


def test_a_record_with_a_field_too_many_is_not_quoted_where_a_column_is_personal() -> None:
    message = judged(TABLE)
    assert PLANTED not in message
    assert message.startswith("people.csv, line 2: 3 fields, expected 2 (id, name); quote fields")


def test_it_is_quoted_where_none_is() -> None:
    assert PLANTED in judged(replace(TABLE, columns=(column("ID", 1, "none"), column("NAME", 2, "none"))))


def test_a_first_line_that_may_be_a_record_is_not_quoted_as_a_header() -> None:
    message = judged(TABLE, f"1,{PLANTED}\n2,David\n")
    assert PLANTED not in message
    assert message.startswith("people.csv, line 1: got 2 fields, none of them the name of a column of the contract")
    assert "`header: false`" in message
    assert "id,name" in message


@pytest.mark.parametrize("header", ["id,full name", "ID;NAME", "\u00ef\u00bb\u00bfid,name"])
def test_a_header_that_differs_is_shown(header: str) -> None:
    assert header.rpartition(",")[2] in judged(TABLE, f"{header}\n1,{PLANTED}\n")
