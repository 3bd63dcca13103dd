"""Compare the CSV reader behind COPY INTO with Python's csv module, and its two ways with each other."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import random
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from snowflake.connector.errors import ProgrammingError
from sqlglot import parse_one

from flows.embedded.warehouse.copy import csv_reader
from flows.embedded.warehouse.copy.csv_format import CsvFormat, OptionError
from flows.embedded.warehouse.copy.csv_reader import read_csv
from flows.embedded.warehouse.copy.csv_records import RowError, schema
from flows.embedded.warehouse.copy.expressions import Expressions
from flows.embedded.warehouse.copy.source import StagedFile
from flows.embedded.warehouse.copy.spool import Spooler
from flows.embedded.warehouse.copy.target import Column
from flows.embedded.warehouse.storage.engine import ROW_GROUP
from flows.embedded.warehouse.translate.translation import NameContext, expression_sql

PROJECT_FORMAT = {
    "TYPE": "CSV",
    "SKIP_HEADER": 1,
    "NULL_IF": ["", "null"],
    "FIELD_OPTIONALLY_ENCLOSED_BY": '"',
    "ESCAPE_UNENCLOSED_FIELD": None,
    "ENCODING": "UTF8",
}
QUOTED = {"FIELD_OPTIONALLY_ENCLOSED_BY": '"', "ESCAPE_UNENCLOSED_FIELD": None}


def read(
    data: bytes, options: dict[str, Any], width: int, *, name: str = "x.csv", expect: int | None = None
) -> tuple[list[tuple[Any, ...]], list[RowError]]:
    rows: list[tuple[Any, ...]] = []
    errors: list[RowError] = []
    for batch in read_csv(io.BytesIO(data), name, CsvFormat.from_options(options), width, expect=expect):
        columns = batch.rows.to_pydict()
        rows += zip(*(columns[c] for c in ("n", "line", *(f"c{i + 1}" for i in range(width)))), strict=True)
        errors += batch.errors
    return rows, errors


def values(data: bytes, options: dict[str, Any], width: int, **more: Any) -> list[tuple[Any, ...]]:
    rows, errors = read(data, options, width, **more)
    assert not errors, errors
    return [row[2:] for row in rows]


@pytest.fixture(params=["vectorised", "tokenizer"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "tokenizer":
        monkeypatch.setattr(csv_reader._Reader, "_cut", lambda *_: None)
    return str(request.param)


# What csv writers emit, and what makes parsers stumble.
pieces = st.sampled_from([*'ab,"\n\r\\ ;é\u2028日😀\t', "null", "NULL", "\\N", "\r\n", '""'])
texts = st.lists(pieces, max_size=6).map("".join)
tables = st.integers(1, 4).flatmap(lambda w: st.lists(st.lists(texts, min_size=w, max_size=w), max_size=8))


@given(
    rows=tables,
    chunk=st.integers(1, 40),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([0, 1]),
    last=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_whatever_a_csv_writer_wrote_is_read_as_the_csv_module_reads_it(
    rows: list[list[str]], chunk: int, ending: str, quoting: Any, last: bool
) -> None:
    width = len(rows[0]) if rows else 1
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=ending, quoting=quoting)
    writer.writerow([f"h{i}" for i in range(width)])
    writer.writerows(rows)
    text = out.getvalue()
    if not last:
        text = text.removesuffix(ending)
    expected = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assume(
        expected == rows
    )  # the module's writer leaves a lone carriage return unquoted, which its reader takes for a line end
    before, csv_reader.CHUNK = csv_reader.CHUNK, chunk
    try:
        got = values(text.encode(), PROJECT_FORMAT, width)
    finally:
        csv_reader.CHUNK = before
    assert got == [tuple(None if v in ("", "null") else v for v in row) for row in expected]


@given(
    text=st.text(alphabet=st.sampled_from(list('ab,"\n\r\\ é|')), max_size=60),
    chunk=st.integers(1, 30),
    width=st.integers(1, 3),
    expect=st.sampled_from([None, 1, 2]),
    options=st.sampled_from(
        [
            QUOTED,
            {},
            {"FIELD_OPTIONALLY_ENCLOSED_BY": '"', "ESCAPE": "\\"},
            {**QUOTED, "SKIP_BLANK_LINES": True, "NULL_IF": ["a", ""], "EMPTY_FIELD_AS_NULL": False},
            {**QUOTED, "SKIP_HEADER": 1, "FIELD_DELIMITER": "|"},
        ]
    ),
)
@settings(max_examples=1500, deadline=None)
def test_both_ways_through_a_chunk_give_the_same_rows_lines_and_errors(
    text: str, chunk: int, width: int, expect: int | None, options: dict[str, Any]
) -> None:
    data = text.encode()
    before, csv_reader.CHUNK = csv_reader.CHUNK, chunk
    cut = csv_reader._Reader._cut
    try:
        fast = read(data, options, width, expect=expect)
        csv_reader._Reader._cut = lambda *_: None  # type: ignore[method-assign]
        exact = read(data, options, width, expect=expect)
        csv_reader.CHUNK = before
        whole = read(data, options, width, expect=expect)
    finally:
        csv_reader.CHUNK, csv_reader._Reader._cut = before, cut  # type: ignore[method-assign]
    assert fast == exact
    assert exact == whole


@given(data=st.binary(max_size=60), chunk=st.integers(1, 20))
@settings(max_examples=500, deadline=None)
def test_bytes_that_are_no_utf8_are_named_and_never_change_a_value(data: bytes, chunk: int) -> None:
    before, csv_reader.CHUNK = csv_reader.CHUNK, chunk
    try:
        rows, errors = read(
            data,
            {
                "FIELD_DELIMITER": None,
                "ESCAPE_UNENCLOSED_FIELD": None,
                "SKIP_BYTE_ORDER_MARK": False,
                "COMPRESSION": "NONE",
            },
            1,
        )
    finally:
        csv_reader.CHUNK = before
    lines = data.split(b"\n")
    lines = lines[:-1] if lines[-1] == b"" else lines
    good = []
    for number, line in enumerate(lines, start=1):
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            assert any(e.record == number and e.code == 100144 for e in errors)
        else:
            if text:
                good.append((number, number, None if text == "\\N" else text))
    assert rows == good


def test_the_real_rows_equal_the_csv_module(sample: Path, way: str) -> None:
    for path in sorted(sample.glob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as handle:
            header, *rows = csv.reader(handle)
        expected = [tuple(None if v in ("", "null") else v for v in row) for row in rows]
        assert values(path.read_bytes(), PROJECT_FORMAT, len(header)) == expected, path.name


def test_records_are_numbered_from_one_after_the_header_and_lines_from_the_files_first(way: str) -> None:
    rows, _ = read(b'h\n"a\n\nb"\nc\n', PROJECT_FORMAT, 1)
    assert rows == [(1, 2, "a\n\nb"), (2, 5, "c")]


def test_short_records_give_nulls_and_long_ones_lose_their_tail(way: str) -> None:
    assert values(b"a,b\nc\nd,e,f\n", QUOTED, 2) == [("a", "b"), ("c", None), ("d", "e")]


def test_a_wrong_number_of_columns_is_an_error_with_its_place(way: str) -> None:
    rows, errors = read(b"a,b\nc\nd,e,f\n", QUOTED, 2, expect=2)
    assert rows == [(1, 1, "a", "b")]
    assert [(e.record, e.line, e.column, e.code) for e in errors] == [(2, 2, 2, 100080), (3, 3, 3, 100080)]
    assert errors[1].message.startswith(
        "Number of columns in file (3) does not match that of the corresponding table (2)"
    )


def test_an_unquoted_empty_field_is_null_and_a_quoted_one_is_not(way: str) -> None:
    assert values(b'a,,""\n', {**QUOTED, "NULL_IF": []}, 3) == [("a", None, "")]
    assert values(b'a,,""\n', {**QUOTED, "NULL_IF": [], "EMPTY_FIELD_AS_NULL": False}, 3) == [("a", "", "")]
    assert values(b'a,,""\n', {**QUOTED, "NULL_IF": [""]}, 3) == [("a", None, None)]


def test_null_if_takes_quoted_values_too(way: str) -> None:
    assert values(b'null,"null",nul,nulll\n', {**QUOTED, "NULL_IF": ["null"]}, 4) == [(None, None, "nul", "nulll")]


def test_a_carriage_return_alone_is_data_and_before_a_line_feed_is_not(way: str) -> None:
    assert values(b"a\rb,c\r\nd,e\n", QUOTED, 2) == [("a\rb", "c"), ("d", "e")]


def test_a_blank_line_is_an_error_unless_it_is_to_be_skipped(way: str) -> None:
    rows, errors = read(b"a\n\nb\r\n\r\n", QUOTED, 1)
    assert [r[2] for r in rows] == ["a", "b"]
    assert [(e.record, e.line, e.code) for e in errors] == [(2, 2, 100068), (4, 4, 100068)]
    rows, errors = read(b"a\n\nb\r\n\r\n", {**QUOTED, "SKIP_BLANK_LINES": True}, 1)
    assert (rows, errors) == ([(1, 1, "a"), (2, 3, "b")], [])


def test_a_quote_inside_an_unenclosed_field_is_data(way: str) -> None:
    assert values(b'a"b, "c"\n', QUOTED, 2) == [('a"b', ' "c"')]


def test_text_after_a_closing_quote_is_an_error_and_the_next_record_is_read(way: str) -> None:
    rows, errors = read(b'"a"b,c\nd,e\n', QUOTED, 2)
    assert rows == [(2, 2, "d", "e")]
    assert [(e.line, e.character, e.column, e.message) for e in errors] == [
        (1, 4, 1, "Found character 'b' instead of field delimiter ','")
    ]


def test_a_quote_that_is_never_closed_is_an_error_at_its_opening(way: str) -> None:
    rows, errors = read(b'a,b\nc,"d\ne,f\n', QUOTED, 2)
    assert rows == [(1, 1, "a", "b")]
    assert [(e.record, e.line, e.character, e.column, e.message) for e in errors] == [
        (2, 2, 3, 2, "matching enclosing character '\"' not found before end of file")
    ]


def test_the_default_escape_takes_delimiters_and_line_ends_and_stays_before_other_characters() -> None:
    assert values(b"x\\,y,1\na\\\nb,2\nx\\\\,3\n\\1,4\n\\N,5\n", {}, 2) == [
        ("x,y", "1"), ("a\nb", "2"), ("x\\", "3"), ("\\1", "4"), (None, "5"),
    ]  # fmt: skip


def test_escape_applies_inside_quotes() -> None:
    assert values(b'"x\\"y",b\\,c\n', {"FIELD_OPTIONALLY_ENCLOSED_BY": '"', "ESCAPE": "\\"}, 2) == [('x"y', "b,c")]


def test_a_doubled_quote_is_one_quote_also_beside_an_escape() -> None:
    options = {"FIELD_OPTIONALLY_ENCLOSED_BY": '"', "ESCAPE": "\\"}
    assert values(b'"""\\\\","\\""""\n', options, 2) == [('"\\', '""')]


def test_without_an_enclosing_character_quotes_are_data(way: str) -> None:
    assert values(b'"a",b\n', {"ESCAPE_UNENCLOSED_FIELD": None}, 2) == [('"a"', "b")]


def test_trim_space_removes_blanks_around_quotes_and_keeps_those_inside() -> None:
    assert values(b'  a b  , " c " ,d \n', {**QUOTED, "TRIM_SPACE": True}, 3) == [("a b", " c ", "d")]


def test_delimiters_may_be_several_characters_or_written_as_escapes() -> None:
    assert values(b"a||b##c||d##", {"FIELD_DELIMITER": "||", "RECORD_DELIMITER": "##"}, 2) == [("a", "b"), ("c", "d")]
    assert values(b"a\tb;c\td", {"FIELD_DELIMITER": "\\t", "RECORD_DELIMITER": "0x3B"}, 2) == [("a", "b"), ("c", "d")]
    assert values(b"a\x01b\n", {"FIELD_DELIMITER": "\\001"}, 2) == [("a", "b")]
    assert values(b"a\rb\r", {"RECORD_DELIMITER": "\\r"}, 1) == [("a",), ("b",)]


def test_field_delimiter_none_gives_whole_lines() -> None:
    assert values(b"a,b\nc\n", {"FIELD_DELIMITER": None}, 1) == [("a,b",), ("c",)]


def test_a_record_delimiter_inside_a_field_is_an_error_without_multi_line() -> None:
    rows, errors = read(b'"a\nb",c\nd,e\n', {**QUOTED, "MULTI_LINE": False}, 2)
    assert errors
    assert rows[-1][2:] == ("d", "e")


@pytest.mark.parametrize("extra", [{}, {"FIELD_DELIMITER": ";"}])
def test_a_byte_order_mark_is_skipped_unless_told_otherwise(extra: dict[str, Any]) -> None:
    assert values(b"\xef\xbb\xbfa\n", extra, 1) == [("a",)]
    assert values(b"\xef\xbb\xbfa\n", {**extra, "SKIP_BYTE_ORDER_MARK": False, "COMPRESSION": "NONE"}, 1) == [
        ("\ufeffa",)
    ]


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [("ISO-8859-1", "latin-1"), ("WINDOWS1252", "cp1252"), ("UTF16", "utf-16"), ("UTF-16LE", "utf-16-le")],
)
def test_other_character_sets_are_read_as_text(encoding: str, codec: str) -> None:
    assert values("São,é\n".encode(codec), {**QUOTED, "ENCODING": encoding}, 2) == [("São", "é")]


def test_latin1_bytes_in_a_utf8_file_are_refused_at_their_place_or_replaced(way: str) -> None:
    _, errors = read("a,b\nc,São\n".encode("latin-1"), QUOTED, 2)
    assert [(e.record, e.line, e.character, e.column, e.code) for e in errors] == [(2, 2, 3, 2, 100144)]
    assert errors[0].message == "Invalid UTF8 detected in string 'S0xE3o'"
    assert values(b"S\xe3o\n", {**QUOTED, "REPLACE_INVALID_CHARACTERS": True}, 1) == [("S�o",)]


@pytest.mark.parametrize(
    ("compression", "pack"),
    [
        ("GZIP", gzip.compress),
        ("ZSTD", lambda d: pa.compress(d, "zstd", asbytes=True)),
        ("BZ2", bz2.compress),
        ("NONE", lambda d: d),
    ],
)
def test_compressed_files_are_read(compression: str, pack: Any) -> None:
    data = b"".join(b"%d,x\n" % i for i in range(50_000))
    packed = pack(data)
    got = values(packed, {"COMPRESSION": compression}, 2)
    assert len(got) == 50_000
    assert got[-1] == ("49999", "x")
    assert values(packed, {}, 2) == got


def test_a_deflated_file_is_refused_and_not_read_as_text() -> None:
    options = CsvFormat.from_options(QUOTED)
    with pytest.raises(ProgrammingError, match="Unsupported feature"):
        csv_reader.read_header(io.BytesIO(b"x"), "part.csv.deflate", options)


def test_the_header_of_parse_header_may_span_lines() -> None:
    data = b'"a\nb",c\n1,2\n'
    options = CsvFormat.from_options({**QUOTED, "PARSE_HEADER": True})
    assert csv_reader.read_header(io.BytesIO(data), "x", options) == ["a\nb", "c"]
    assert read(data, {**QUOTED, "PARSE_HEADER": True}, 2)[0] == [(1, 3, "1", "2")]


def test_a_field_of_twenty_megabytes_is_read_whole(way: str) -> None:
    big = "x" * 20_000_000
    assert values(f'a,"{big}"\nb,c\n'.encode(), QUOTED, 2) == [("a", big), ("b", "c")]


def test_fields_as_text_and_facts_of_the_file_go_into_the_table_without_a_conversion() -> None:
    """The project's COPY: a conversion takes a third of its time."""
    select = parse_one(
        "SELECT t.$1, 'b', METADATA$FILENAME, METADATA$FILE_ROW_NUMBER FROM x t",
        read="snowflake",
    )
    kinds = {"A": "VARCHAR", "B": "VARCHAR", "F": "VARCHAR", "N": "DECIMAL(38,0)"}
    columns = [Column(name, kind, True, None) for name, kind in kinds.items()]
    target = SimpleNamespace(database="D", schema="S", named=columns)
    statement: Any = SimpleNamespace(select=select, target=target, options=SimpleNamespace(enforce_length=True))
    file = StagedFile("s3://b/x.csv", "x.csv", 1, "e", datetime.now(UTC))
    with duckdb.connect() as engine:
        session: Any = SimpleNamespace(
            now=datetime.now(UTC),
            expression_sql=lambda node, database, schema, duck: expression_sql(
                node, NameContext(database, schema, duck)
            ),
        )
        found = Expressions(statement, session, engine)
        items = found.of(file, Path()).items
        assert [c.name for c, i in zip(columns, items, strict=True) if not found.sure(c, i)] == []
        number = Column("A", "DECIMAL(38,0)", True, None)
        assert not found.sure(number, items[0])


@pytest.mark.parametrize(
    "options",
    [
        {"NO_SUCH_OPTION": 1}, {"SKIP_HEADER": -1}, {"TRIM_SPACE": "maybe"}, {"ESCAPE": "ab"}, {"COMPRESSION": "RAR"},
        {"ENCODING": "EBCDIC"}, {"FIELD_OPTIONALLY_ENCLOSED_BY": "|"}, {"FIELD_DELIMITER": ""}, {"TYPE": "JSON"},
        {"DATE_FORMAT": "YYYY"}, {"PARSE_HEADER": True, "SKIP_HEADER": 1},
    ],
)  # fmt: skip
def test_options_that_are_unknown_or_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        CsvFormat.from_options(options)


def test_rows_of_a_large_file_keep_their_order_and_take_their_room_in_the_database_once(tmp_path: Path) -> None:
    """For a batch of between one and two row groups the engine compressed rows twice, and kept the space of both."""
    chance = random.Random(22)
    texts = [f"{chance.getrandbits(64):016x}" for _ in range(573_000)]
    columns = schema(1)
    batches = [
        pa.RecordBatch.from_arrays(
            [pa.array(range(at, at + 143_250)), pa.array([0] * 143_250), pa.array(texts[at : at + 143_250])],
            schema=columns,
        )
        for at in range(0, len(texts), 143_250)
    ]
    path = tmp_path / "a.db"
    with duckdb.connect(config={"threads": 2}) as engine:
        engine.execute(f"ATTACH '{path}' AS a (ROW_GROUP_SIZE {ROW_GROUP})")
        engine.execute("USE a")
        engine.execute("CREATE TABLE t (text VARCHAR, n BIGINT)")
        spool = Spooler(tmp_path, engine).as_read(batches, columns, "c1, n")
        with spool.query(engine) as query:
            engine.execute(f"INSERT INTO t {query}")
        assert [text for (text,) in engine.execute("SELECT text FROM t ORDER BY n").fetchall()] == texts
        engine.execute("CHECKPOINT a")
    assert path.stat().st_size < 0.9 * sum(map(len, texts))
