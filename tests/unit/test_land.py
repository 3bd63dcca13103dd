"""A file that breaks the contract is refused with a message that names it; one that does not is measured exactly."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.contract.model import Column, Table
from flows.errors import DataError
from flows.steps.land import csv_strict, inspect

HEADERS = ("id", "name", "score")


def table(*headers: str) -> Table:
    columns = tuple(
        Column(h.upper(), h, i, "string", h, h, required=True, classification="internal", pii="none")
        for i, h in enumerate(headers or HEADERS, start=1)
    )
    return Table("kits", "OLIST_KITS", "kits.csv", "Kit", "Kits.", "snapshot", columns, ("ID",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kits.csv"


def refused(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        inspect(path, table())
    message = str(caught.value)
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,name", "missing score"),
        ("id,name,score,extra", "not in the contract: 'extra'"),
        ("id,title,score", "renamed: name is called title"),
        ("name,id,score", "another order: column 1 is name, expected id"),
        ("id,name,name,score", "column name occurs more than once"),
        ("id,name,Score", "renamed: score is called Score"),
        ("id,name\xa0,score", r"renamed: name is called 'name\xa0'"),
        ("id,name,score ", "renamed: score is called 'score '"),
        ("id,\u200bname,score", r"renamed: name is called '\u200bname'"),
        ("\ufeff\ufeffid,name,score", r"renamed: id is called '\ufeffid'"),
        ("id,n\u0430me,score", r"renamed: name is called 'n\u0430me'"),
        ("id,name\x1b[31m,score", r"renamed: name is called 'name\x1b[31m'"),
        ("id,\x1b[31m,x,score", r"not in the contract: '\x1b[31m', 'x'"),
        ("id;name;score", "missing id, name, score; not in the contract: 'id;name;score'"),
    ],
)
def test_a_header_that_differs_is_refused_with_the_difference(path: Path, header: str, said: str) -> None:
    message = refused(path, f"{header}\n1,a,5\n".encode())
    assert said in message
    assert "line 1" in message
    assert "expected id,name,score" in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"\xef\xbb\xbf", "empty file"),
        (b"id,name,score\n", "a header and no records"),
        (b"id,name,score", "a header and no records"),
        (b"id,name,score\n1,a,5\n2,Jos\xe9,4\n", "line 3: byte 0xe9 at position 6 is not UTF-8"),
        (b'id,name,score\n1,a,5\n2,"open,4\n3,b,1\n', "line 3: a quote opens in this record and never closes"),
        (b"id,name,score\n1,a,5\n2,b\n", "line 3: 2 fields, expected 3"),
        (b"id,name,score\n1,a,5,9\n", "line 2: 4 fields, expected 3"),
        (b'id,name,score\n1,"a\n\nb",5\n2,b\n', "line 5: 2 fields, expected 3"),
        (b"id,name,score\n1,a\0b,5\n", "line 2: NUL byte at byte 17"),
        (b"id,name,score\n1,a,5\n\n2,b,4\n", "line 3: blank line"),
        (b"id,name,score\r1,a,5\r2,b,4\r", "a bare CR ends a line"),
        # csv ignores each CR before LF and at the end; COPY ignores one before LF, and the others would be in RAW.
        (b"id,name,score\n1,a,5\r\r\n2,b,4\n", "line 2: ends in CR CR LF"),
        (b'id,name,score\n1,"a\n",5\n2,b,"4"\r\r\n', "line 4: ends in CR CR LF"),
        (b"id,name,score\r\r\n1,a,5\n", "line 1: ends in CR CR LF"),
        (b"id,name,score\n1,a,5\r", "line 2: a bare CR ends a line"),
        (b'id,name,score\n1,"a"b,5\n', "not valid CSV"),
    ],
)
def test_a_broken_file_is_refused_with_the_line(path: Path, content: bytes, said: str) -> None:
    assert said in refused(path, content)


def test_a_field_that_no_varchar_holds_is_refused(path: Path) -> None:
    message = refused(path, b"id,name,score\n1," + b"x" * 20_000_000 + b",5\n")
    assert "line 2: a field is longer than 16,777,216 characters" in message


@pytest.mark.parametrize("character", ["x", "\U0001fa7a"])  # of one byte, of four
def test_a_field_of_exactly_the_largest_varchar_is_taken(path: Path, character: str) -> None:
    path.write_text(f"id,name,score\n1,{character * 16_777_216},5\n", encoding="utf-8")
    assert inspect(path, table()).records == 1


def test_a_missing_file_a_directory_and_a_pipe_are_told_apart(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "kits.csv")
    (tmp_path / "folder").mkdir()
    assert "a directory" in refused(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path / "pipe")


def test_an_unreadable_file_is_refused(path: Path) -> None:
    path.write_bytes(b"id,name,score\n1,a,5\n")
    path.chmod(0)
    if os.geteuid() != 0:
        assert "permission denied" in refused(path)
        return
    # root may read anything: try as another user, in a child process
    path.parent.chmod(0o755)
    for parent in path.parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(parent.stat().st_mode | 0o005)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setuid(65534)
            inspect(path, table())
        except DataError as error:
            code = 0 if "permission denied" in str(error) and str(path) in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfid,name,score\n1,a,5\n2,b,4\n",
        b"id,name,score\r\n1,a,5\r\n2,b,4\r\n",
        b"id,name,score\n1,a,5\n2,b,4",
        b'"id","name","score"\n"1","a,""x""\r\ny","5"\n2,,null\n',
    ],
    ids=["byte-order mark", "CRLF", "no final newline", "quotes"],
)
def test_a_good_file_is_counted_and_hashed(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    facts = inspect(path, table())
    assert (facts.records, facts.bytes) == (2, len(content))
    assert facts.sha256 == hashlib.sha256(content).hexdigest()


def test_records_are_counted_as_csv_records_on_real_rows(sample: Path) -> None:
    path = sample / "olist_order_reviews_dataset.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *records = csv.reader(file)
    assert path.read_bytes().count(b"\n") > len(records) + 1  # comments hold line breaks
    assert inspect(path, table(*header)).records == len(records) == 8225


def test_a_file_that_grows_while_it_is_read_is_refused(path: Path) -> None:
    path.write_bytes(b"id,name,score\n" + b"1,a,5\n" * 300_000)
    grown = []

    def grow(_phase: str, done: int, total: int) -> None:
        if not grown and done < total:
            grown.append(done)
            with path.open("ab") as file:
                file.write(b"2,b,4\n")

    with pytest.raises(DataError, match="changed while it was read"):
        inspect(path, table(), grow)
    assert grown


@pytest.mark.parametrize("choice", ["ignore", "add"])
def test_a_header_of_several_lines_is_refused_of_whatever_column(choice: Any, path: Path) -> None:
    """COPY skips one line of a file and would load the rest of its header as a record."""
    path.write_bytes(b'id,name,score,"note\nof it"\n1,a,5,x\n')
    with pytest.raises(DataError, match=r"line 1: the header goes on in line 2, .*export the file with another name"):
        inspect(path, replace(table(), on_new_column=choice))


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9])
def test_of_a_trial_the_first_records_are_read_and_no_more(
    path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_strict, "RECORDS_AT_ONCE", 2)
    records = [b'1,"a\nb",5\n', b"2,c,6\r\n", b"3,d,7\n", b"4,e,8\n"]
    path.write_bytes(b"id,name,score\n" + b"".join(records) + b"broken" * (limit < 5))
    with path.open("rb") as file:
        header, *blocks = csv_strict.exact(str(path), file, 0, table(), limit)
    assert header.data == b"id,name,score\n"
    assert b"".join(b.data for b in blocks) == b"".join(records[:limit])
    assert sum(b.records for b in blocks) == min(limit, 4)
