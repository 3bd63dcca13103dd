"""Broken lines are set aside one by one: no good line is set aside with them, and none of them is loaded."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.contract.model import BadRows
from flows.errors import DataError
from flows.steps.land import csv_fast, inspect
from flows.steps.land.lines import by_line
from tests.unit.test_land import table

ANY = BadRows(0.999, None, broken_lines=True)
WIDE = replace(table(), bad_rows=ANY)
_FIELDS = st.text(alphabet='a", é\U0001f600', max_size=6)
_GOOD = st.tuples(_FIELDS, _FIELDS, _FIELDS)
BROKEN = {
    "": "a blank line",
    "1,2": "2 fields, expected 3",
    "1": "1 field, expected 3",
    "1,2,3,4": "4 fields, expected 3",
    '1,"b,3': "a quote opens and does not close in this line",
    '1,"b"c,3': "text after a closing quote",
    '"': "a quote opens and does not close in this line",
    "a\rb,2,3": "a bare CR in it",
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 37 bytes: every file has many edges."""
    monkeypatch.setattr(csv_fast, "BLOCK_BYTES", 37)


def written(record: tuple[str, ...], end: str = "\n", quoting: int = csv.QUOTE_ALL) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=quoting).writerow(record)  # type: ignore[arg-type]
    return text.getvalue()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(_GOOD, st.sampled_from(sorted(BROKEN))), min_size=1, max_size=40),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_each_broken_line_is_known_by_its_number_and_every_other_is_a_record(
    lines: list[tuple[str, ...] | str], end: str, quoting: int
) -> None:
    lines = [("first", "", ""), *lines]
    texts = [written(one, end, quoting) if isinstance(one, tuple) else one + end for one in lines]
    data = f"id,name,score{end}{''.join(texts)}".encode()
    blocks = list(by_line("kits.csv", io.BytesIO(data), WIDE, ANY))
    assert b"".join(block.data for block in blocks) == data
    broken = [(b.broken.line, b.broken.reason, b.data.decode()) for b in blocks if b.broken]
    assert broken == [(n, BROKEN[one], one + end) for n, one in enumerate(lines, 2) if isinstance(one, str)]
    sent = b"".join(b.data for b in blocks if not b.broken).decode()
    _, *records = csv.reader(io.StringIO(sent, newline="\n"), strict=True)
    assert [tuple(r) for r in records] == [one for one in lines if isinstance(one, tuple)]
    assert sum(b.records for b in blocks) == len(records)


def read_lines(path: Path, text: bytes, rows: BadRows = ANY) -> tuple[int, list[str]]:
    path.write_bytes(b"id,name,score\n" + text)
    facts = inspect(path, replace(WIDE, bad_rows=rows))
    return facts.records, [line.summary for line in facts.broken]


def test_a_quote_that_never_closes_takes_no_other_line_with_it(tmp_path: Path) -> None:
    text = b'1,"a,5\n2,b,5\n3,c",5\n4,"d",5\n' + b'5,"e",5\n' * 1000
    quotes = "a quote opens and does not close in this line"
    # Line 4 holds a quote within an unquoted field, which is text; csv reads lines 2 to 4 as one record of three fields.
    assert read_lines(tmp_path / "kits.csv", text) == (1004, [f"line 2 ({quotes})"])


def test_a_field_with_a_line_break_is_no_record_where_a_record_is_a_line(tmp_path: Path) -> None:
    records, broken = read_lines(tmp_path / "kits.csv", b'1,"a\nb",5\n2,b,5\n')
    assert (records, len(broken)) == (3, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"1,a,5\n1,2\n1,2\n",
            r"kits.csv: 2 of 3 lines are no record, more than .* \(50% of the rows\): line 3 \(2 fields",
        ),
        (
            b"1,a,5\n2,b",
            r"line 3: the file ends without a line end, and its last line is no record \(2 fields, expected 3\)",
        ),
        (b'1,a,5\n2,b,"c', r"line 3: the file ends without a line end"),
        (b"1\n", r"1 of 1 lines are no record"),
        (b"1,a,5\n2,\0,5\n", r"line 3: NUL byte at byte 22 of the file"),
        (b"1,a,5\n2,\xff,5\n", r"line 3: byte 0xff at position 3 is not UTF-8"),
        (b"", r"has a header and no records"),
    ],
)
def test_what_is_more_than_a_line_is_refused_still(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_lines(tmp_path / "kits.csv", text, BadRows(0.5, None, broken_lines=True))


def test_too_many_broken_lines_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"3 lines and maybe more are no record.*\(2 rows\): line 2 .*, line 3 .*, line 4 "
    ):
        read_lines(tmp_path / "kits.csv", b"1\n" * 1000 + b"1,a,5\n", BadRows(None, 2, broken_lines=True))


def test_a_last_line_without_an_end_is_a_record(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "kits.csv", b"1\n1,a,5") == (2, ["line 2 (1 field, expected 3)"])
