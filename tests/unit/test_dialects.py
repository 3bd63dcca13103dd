"""What landing accepts, COPY accepts, with the same cells: both readers over the same bytes, in any dialect of a contract."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from flows import decoded
from flows.contract.dialect import PLAIN, Dialect
from flows.embedded.warehouse.copy.csv_format import CsvFormat
from flows.embedded.warehouse.copy.csv_reader import read_csv
from flows.embedded.warehouse.text.grammar import Words
from flows.errors import DataError
from flows.steps.land import csv_fast, inspect
from tests.dialects import DIALECTS, Rows, anything, by_csv, file_format, sent, table, written

QUICK = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}
_PIECES = [*"ab,;\t|\"'\\\n\r é€- ", "null", "NULL", "\\N", "\r\n", '""', "''", "\\\\", "日"]
_TEXTS = st.lists(st.sampled_from(_PIECES), max_size=5).map("".join)
_ROWS = st.lists(st.lists(_TEXTS, min_size=3, max_size=3), min_size=1, max_size=6)


@cache
def options(dialect: Dialect) -> dict[str, Any]:
    """Return the file format's options as the warehouse reads them from the statement that provisioning sends."""
    statement = file_format(dialect)
    result = Words(statement[statement.index("TYPE") :]).options()
    return {k: v for k, v in result.items() if k != "COMMENT"}


def copied(data: bytes, dialect: Dialect, width: int = 3) -> Rows:
    """Return what COPY loads from bytes; an error of COPY fails the test."""
    rows: Rows = []
    for batch in read_csv(io.BytesIO(data), "x.csv", CsvFormat.from_options(options(dialect)), width, expect=width):
        assert not batch.errors, batch.errors
        columns = batch.rows.to_pydict()
        rows += zip(*(columns[f"c{n}"] for n in range(1, width + 1)), strict=True)
    return rows


@pytest.fixture(params=[37, 1 << 20], ids=["small blocks", "one block"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_fast, "BLOCK_BYTES", request.param)


@pytest.mark.usefixtures("blocks")
@given(rows=_ROWS, dialect=anything, quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
@settings(max_examples=250, **QUICK)
def test_what_a_writer_writes_in_a_dialect_is_landed_and_copied_as_the_csv_module_reads_it(
    rows: list[list[str]], dialect: Dialect, quoting: int, tmp_path: Path
) -> None:
    try:
        data = written(rows, dialect, quoting)
        expected = by_csv(data, dialect)
    except (csv.Error, UnicodeEncodeError):
        assume(False)
    path = tmp_path / "kits.csv"
    path.write_bytes(data)
    landed = refusal = None
    try:
        landed = sent(path, table(dialect))
    except DataError as error:
        refusal = str(error)
    if landed is None:  # the writer left something unquoted or escaped it without need: refused, with the reason
        assert re.search("ends a line|escape character|blank line|CR CR LF|is UTF-8", str(refusal)), refusal
        return
    assert copied(landed, dialect) == expected


# Nearly CSV: three fields to a record, some in quotes, whose content is not escaped.
_RAW = st.tuples(st.booleans(), st.lists(st.sampled_from(_PIECES), max_size=3).map("".join))
_RECORDS = st.lists(st.tuples(_RAW, _RAW, _RAW, st.sampled_from(["", "\r", "\n"])), max_size=4)


@pytest.mark.usefixtures("blocks")
@given(records=_RECORDS, dialect=anything)
@example(
    records=[((True, '""\\\\'), (True, '\\"""'), (True, '\\\\""'), "")], dialect=Dialect(escape="\\", header=False)
)
@settings(max_examples=600, **QUICK)
def test_of_any_text_what_landing_accepts_copy_accepts_with_the_same_cells(
    records: list[Any], dialect: Dialect, tmp_path: Path
) -> None:
    end = {"lf": "\n", "cr": "\r"}[dialect.line_end]
    text = dialect.delimiter.join(("c1", "c2", "c3")) + end if dialect.header else ""
    for *fields, stray in records:
        enclosed = [f"{dialect.quote}{raw}{dialect.quote}" if quoted else raw for quoted, raw in fields]
        text += dialect.delimiter.join(enclosed) + stray + end
    accepted(tmp_path / "kits.csv", text.encode(dialect.codec, "ignore"), dialect)


@given(bits=st.binary(max_size=60), dialect=anything)
@settings(max_examples=300, **QUICK)
def test_of_any_bytes_what_landing_accepts_copy_accepts_with_the_same_cells(
    bits: bytes, dialect: Dialect, tmp_path: Path
) -> None:
    header = dialect.delimiter.join(("c1", "c2", "c3")) + {"lf": "\n", "cr": "\r"}[dialect.line_end]
    accepted(tmp_path / "kits.csv", (header * dialect.header).encode(dialect.codec) + bits, dialect)


def accepted(path: Path, data: bytes, dialect: Dialect) -> None:
    path.write_bytes(data)
    try:
        landed = sent(path, table(dialect))
    except DataError:
        return
    assert copied(landed, dialect) == by_csv(data, dialect)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kits.csv"


def refusal(path: Path, data: bytes, dialect: Dialect = PLAIN) -> str:
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        inspect(path, table(dialect))
    return str(caught.value)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_the_size_and_the_hash_are_those_of_the_file_itself(dialect: Dialect, path: Path) -> None:
    data = written([["1", "a b", ""]] * 3, dialect)
    path.write_bytes(data)
    facts = inspect(path, table(dialect))
    assert (facts.records, facts.bytes, facts.sha256) == (3, len(data), hashlib.sha256(data).hexdigest())
    assert facts.header == ("c1", "c2", "c3")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"c1;c2;c3\n1;2;3\n", "say `delimiter: semicolon` in the `dialect`"),
        (b"c1\tc2\tc3\n1\t2\t3\n", "say `delimiter: tab`"),
        (
            "c1,c2,c3\n1,2,São\n".encode("windows-1252"),
            "line 2: byte 0xe3 at position 6 is not UTF-8; expected UTF-8; it seems",
        ),
        ("c1,c2,c3\n1,2,São\n".encode("windows-1252"), "say `encoding: windows-1252`"),
        ("c1,c2,c3\n1,2,3\n".encode("utf-16"), "say `encoding: utf-16`"),
        ("c1,c2,c3\n1,2,3\n".encode("utf-16-le"), "say `encoding: utf-16le`"),
        (b"c1,c2,c3\r1,2,3\r", "say `lineEnd: cr`"),
    ],
)
def test_a_wrong_dialect_is_recognised_and_the_message_says_what_to_set(path: Path, data: bytes, said: str) -> None:
    assert said in refusal(path, data)


@pytest.mark.parametrize(
    ("dialect", "data", "said"),
    [
        (Dialect(delimiter=";"), b"c1,c2,c3\n1,2,3\n", "say `delimiter: comma`"),
        (Dialect(delimiter=";", header=False), b"1,2,3\n", "line 1: 1 fields, expected 3"),
        (Dialect(delimiter=";", header=False), b"1,2,3\n", "say `delimiter: comma`"),
        (Dialect(header=False), b"", "empty file"),
        (Dialect(encoding="windows-1252"), b"c1,c2,c3\n1,2,S\x8do\n", "line 2, column 6: 0x8d is no character of windows-1252"),
        (Dialect(encoding="utf-16le"), b"c\x001\x00\n\x00\x00\xd8a\x00", "line 2, column 1: 0x00 0xd8 is no character"),
        (Dialect(encoding="utf-16"), "c1,c2,c3\n1,2,3\n".encode("utf-16-le"), "`encoding: utf-16le` or `utf-16be`"),
        (Dialect(encoding="windows-1252"), "c1,c2,c3\n1,2,São\n".encode(), "every byte of it is UTF-8"),
        (Dialect(encoding="windows-1252"), "\ufeffc1,c2,c3\n1,2,3\n".encode(), "say `encoding: utf-8`"),
        (Dialect(escape="\\"), b"c1,c2,c3\n1,C:\\temp,3\n", "line 2, column 5: '\\\\t': an escape character before"),
        (Dialect(line_end="cr"), b"c1,c2,c3\n1,2,3\n", "`lineEnd: lf`"),
        (Dialect(delimiter=";"), b'c1;c2;c3\n1;"2;3\n', "a quote opens in this record and never closes"),
    ],
)  # fmt: skip
def test_what_is_not_of_its_dialect_is_refused_with_its_place(
    dialect: Dialect, data: bytes, said: str, path: Path
) -> None:
    allowed = table(dialect)
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        inspect(path, replace(allowed, allow_empty=False))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_default_dialect_keeps_the_contracts_file_format_and_leaves_the_ledger_empty() -> None:
    assert (PLAIN.file_format("CSV_FORMAT"), PLAIN.file_text) == ("CSV_FORMAT", "")
    # What landing converts and what staging reads does not change COPY's file format.
    assert Dialect(encoding="utf-16", decimal=",", booleans=(("Ja", "Nein"),)).file_format("CSV_FORMAT") == "CSV_FORMAT"


@given(dialect=anything, other=anything)
def test_a_file_is_read_again_by_what_it_was_landed_with(dialect: Dialect, other: Dialect) -> None:
    assert other.read_by(dialect.file_text) == dialect
    assert (dialect.file_format("F") == other.file_format("F")) == (
        replace(dialect, encoding="utf-8") == replace(other, encoding="utf-8")
    )


def test_line_and_column_of_a_bad_byte_count_across_blocks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded, "READ_BYTES", 7)
    assert "line 3, column 4:" in refusal(path, b"c1,c2,c3\n1,2,3\n4,5\x81,6\n", Dialect(encoding="windows-1252"))
