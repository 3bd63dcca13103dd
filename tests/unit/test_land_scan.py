"""The fast reader agrees with Python's csv module on every file, whatever is at a block's edge."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.contract.model import Table
from flows.errors import DataError
from flows.steps.land import csv_fast, inspect
from flows.steps.land.csv_fast import Block, UnusualError, scanned
from tests.unit.test_land import table

# Few characters, so that quotes, commas and line ends meet often.
_FIELDS = st.text(alphabet='a",\n\r é\U0001f600', max_size=9)
_RECORDS = st.lists(st.tuples(_FIELDS, _FIELDS, _FIELDS), min_size=1, max_size=60)
_SOUP = st.text(alphabet='a",\n\r', max_size=200)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 37 bytes: every file has many edges, in the middle of words, quotes and characters."""
    monkeypatch.setattr(csv_fast, "BLOCK_BYTES", 37)


def blocks(data: bytes) -> list[Block] | None:
    """Return the blocks of the fast reader; None if it leaves the file to the csv module."""
    try:
        return list(scanned(io.BytesIO(data), table()))
    except UnusualError:
        return None


def by_csv(data: bytes) -> list[list[str]] | None:
    """Return the file's records as csv reads them; None if it is not CSV of three fields, or if csv ignores a CR at the end of a
    record that COPY does not: more than one before LF, or one at the file's end."""
    last = ""

    def lines() -> Iterator[str]:
        nonlocal last
        for line in io.StringIO(data.decode("utf-8-sig"), newline="\n"):
            last = line
            yield line

    try:
        result = []
        for record in csv.reader(lines(), strict=True):
            if last.endswith(("\r\r\n", "\r")):
                return None
            result.append(record)
        header, *records = result
    except (csv.Error, UnicodeDecodeError, ValueError):
        return None
    return records if header == ["id", "name", "score"] and all(len(r) == 3 for r in records) else None


@settings(max_examples=300, deadline=None)
@given(_RECORDS, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.booleans())
def test_a_file_that_the_csv_module_writes_is_read_fast_and_whole(
    records: list[tuple[str, str, str]], end: str, quoting: int, ended: bool
) -> None:
    if end == "\n" and quoting == csv.QUOTE_MINIMAL:  # then the writer leaves a lone CR unquoted, which is not CSV
        records = [(a.replace("\r", ""), b.replace("\r", ""), c.replace("\r", "")) for a, b, c in records]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=quoting).writerows([("id", "name", "score"), *records])  # type: ignore[arg-type]
    data = text.getvalue().encode()
    data = data if ended else data.removesuffix(end.encode())
    got = blocks(data)
    assert got is not None, "left to the slow reading"
    assert b"".join(b.data for b in got) == data
    assert sum(b.records for b in got) == len(records)
    for block in got[1:]:  # a block is whole records by itself
        assert len(list(csv.reader(io.StringIO(block.data.decode(), newline="\n"), strict=True))) == block.records


@settings(max_examples=500, deadline=None)
@given(_SOUP)
def test_what_the_fast_reading_takes_the_csv_module_takes_with_the_same_records(text: str) -> None:
    data = b"id,name,score\n" + text.encode()
    if (got := blocks(data)) is not None:
        records = by_csv(data)
        assert records is not None, "the csv module refuses it"
        assert sum(b.records for b in got) == len(records)


@settings(max_examples=200, deadline=None)
@given(data=st.one_of(_SOUP.map(str.encode), st.binary(max_size=120)))
def test_a_file_is_refused_if_and_only_if_the_csv_module_refuses_it(data: bytes, tmp_path_factory: object) -> None:
    path = tmp_path_factory.getbasetemp() / "soup.csv"  # type: ignore[attr-defined]
    whole = b"id,name,score\n1,a,5\n" + data
    path.write_bytes(whole)
    expected = None if b"\0" in data else by_csv(whole)
    try:
        records: int | None = inspect(path, table()).records
    except DataError:
        records = None
    assert records == (None if expected is None else len(expected))


def test_a_quote_inside_an_unquoted_field_is_text(tmp_path: Path) -> None:
    path = tmp_path / "kits.csv"
    path.write_bytes(b'id,name,score\n1,5" tube,5\n2,"a\nb",4\n')
    assert inspect(path, table()).records == 2


def test_a_table_of_one_column_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kits.csv"
    path.write_bytes(b"id\n1\n2\n")
    one: Table = table("id")
    assert inspect(path, one).records == 2
