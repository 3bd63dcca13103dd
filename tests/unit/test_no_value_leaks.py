"""No message about a file has a value of a personal column."""

from __future__ import annotations

import io
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from flows.clients.snowflake import run, translate_error
from flows.clients.unquoted import without_values, without_values_in
from flows.contract.model import BadRows, Column, Table
from flows.errors import DataError
from flows.steps.land.csv_strict import exact
from flows.steps.land.lines import by_line

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


PLACE = """
  File 'people/people.csv.zst', line 3, character 9
  Row 2, column "PEOPLE"["NAME":2]
  If you would like to continue …"""


@pytest.mark.parametrize(
    ("number", "said", "expected"),
    [
        (100038, f"Numeric value '{PLANTED}' is not recognized", "Numeric value '…' is not recognized"),
        (100038, f"Numeric value 'O'{PLANTED}' is not' is not recognized", "Numeric value '…' is not recognized"),
        (100038, f"Numeric value '{PLANTED}\n' is not recognized{PLACE}", f"Numeric value '…' is not recognized{PLACE}"),
        (100096, f"Can't parse '{PLANTED}' as date with format 'YYYY'", "Can't parse '…' as date with format"),
        (100074, f"User character length limit (3) exceeded by string '{PLANTED}'", "length limit (3) exceeded by string '…'"),
        (100069, f"Error parsing JSON: {PLANTED}, pos 4", "Error parsing JSON: …"),
        (100071, f'Failed to cast variant value "{PLANTED}" to FIXED', "Failed to cast variant value … to FIXED"),
        (100046, f"Number out of representable range: type FIXED(38,0), value {PLANTED}", "type FIXED(38,0), value …"),
        (100777, f"Who knows what '{PLANTED}' is", "Who knows what '…' is"),
    ],
)  # fmt: skip
def test_a_message_of_snowflakes_about_data_quotes_no_value(number: int, said: str, expected: str) -> None:
    from snowflake.connector.errors import ProgrammingError

    error = translate_error(ProgrammingError(msg=said, errno=number, sqlstate="22018"), "COPY INTO people")
    assert PLANTED not in str(error)
    assert expected.removesuffix(" as date with format") in str(error)
    assert PLANTED not in without_values_in(f"(x) {number} (22018): {said}\n[SQL: SELECT 1]")
    shown = translate_error(ProgrammingError(msg=said, errno=number, sqlstate="22018"), "COPY INTO people", True)
    assert PLANTED in str(shown)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (100016, "Field delimiter ',' found while expecting record delimiter '\\n'"),
        (100068, "End of record reached while expected to parse column '\"PEOPLE\"[\"NAME\":2]'"),
        (2003, "Object 'RAW.PEOPLE' does not exist or not authorized."),
    ],
)  # fmt: skip
def test_a_message_that_quotes_no_value_stays_as_it_is(number: int, said: str) -> None:
    assert without_values(number, said) == said


def test_what_snowflake_said_is_in_no_traceback_either() -> None:
    from snowflake.connector.errors import ProgrammingError

    class Cursor:
        def __enter__(self) -> Cursor:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def execute(self, *_: object) -> None:
            raise ProgrammingError(msg=f"Numeric value '{PLANTED}' is not recognized", errno=100038, sqlstate="22018")

    class Connection:
        def cursor(self) -> Cursor:
            return Cursor()

    with pytest.raises(DataError) as raised:
        run(Connection(), "COPY INTO people")  # type: ignore[arg-type]
    assert PLANTED not in "".join(traceback.format_exception(raised.value))
    with pytest.raises(DataError, match=PLANTED):
        run(Connection(), "COPY INTO people", shows_values=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        f"id,name\n1,{PLANTED}\n2,\"{PLANTED}\n3,x\n".encode(),
        f"id,name\n1,\"{PLANTED}\"{PLANTED}\n".encode(),
        f"id,name\n1,{PLANTED}\n2".encode(),
        f"id,name\n{PLANTED}".encode(),
        f"id,name\n1,{PLANTED}\0\n".encode(),
        f"id,name\n1,{PLANTED}\xe9\n".encode("latin-1"),
        f"id,name\n1,{PLANTED}\r\r\n".encode(),
        f"id,name\n1,{PLANTED}\r2,x\n".encode(),
        f"id,name\n\n1,{PLANTED}\n".encode(),
        f"{PLANTED} and her name,2\n3,4\n".encode(),
        f"{PLANTED};2\n3;4\n".encode(),
        f"1,{PLANTED},id and name\n".encode(),
    ],
)  # fmt: skip
@pytest.mark.parametrize("broken_lines", [False, True])
def test_no_refusal_of_a_file_quotes_it(data: bytes, broken_lines: bool) -> None:
    allowed = BadRows(None, 0, broken_lines=True)
    reader = by_line("people.csv", io.BytesIO(data), TABLE, allowed) if broken_lines else None
    with pytest.raises(DataError) as raised:
        list(reader or exact("people.csv", io.BytesIO(data), len(data), TABLE))
    assert PLANTED.split()[1].lower() not in "".join(traceback.format_exception(raised.value)).lower()


def test_an_escape_character_is_shown_without_what_it_escapes() -> None:
    odd = replace(TABLE, dialect=replace(TABLE.dialect, quote="", escape="\\"))
    data = b"id,name\n1,\\Z\n"
    with pytest.raises(DataError) as raised:
        list(exact("people.csv", io.BytesIO(data), len(data), odd))
    assert "column 3: '\\\\': an escape" in str(raised.value)


def test_a_draft_shows_no_lowest_number_of_a_column_that_seems_to_be_about_people(tmp_path: Path) -> None:
    from flows.contract.render_draft import render_entries
    from flows.steps.draft import profile_files

    records = "".join(f"{7100 + n % 3},{n},Dr Planted {n % 2}\n" for n in range(60))
    (tmp_path / "wards.csv").write_text(f"age,beds,doctor\n{records}", encoding="utf-8")
    text = render_entries("hospital", profile_files([tmp_path / "wards.csv"]))
    assert "710" not in text
    assert "Planted" not in text
    assert "# seen: 0 to 59" in text
