"""A bad file fails the run, which names it; RAW and S3 have nothing of it; the other tables finish, but stay unpublished."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from flows.errors import DataError

FILE = "olist_sellers_dataset.csv"
TABLE = "sellers"


def header(old: bytes, new: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new, 1))


def appended(row: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes() + row)


def to_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def drop_column(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line.rsplit(b",", 1)[0] + b"\n" for line in lines))


def add_column(path: Path) -> None:
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"".join(line + b"," + (b"surprise" if i == 0 else b"1") + b"\n" for i, line in enumerate(lines)))


def swap_columns(path: Path) -> None:
    rows = [line.split(b",") for line in path.read_bytes().splitlines()]
    path.write_bytes(b"".join(b",".join([r[1], r[0], *r[2:]]) + b"\n" for r in rows))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing column": (drop_column, "missing seller_state"),
    "extra column": (add_column, "not in the contract: 'surprise'"),
    "renamed column": (header(b"seller_city", b"seller_town"), "renamed: seller_city is called seller_town"),
    "reordered columns": (swap_columns, "another order"),
    "duplicate header": (header(b"seller_city", b"seller_state"), "more than once"),
    "header only": (lambda p: p.write_bytes(p.read_bytes().splitlines(keepends=True)[0]), "a header and no records"),
    "empty file": (lambda p: p.write_bytes(b""), "empty file"),
    "missing file": (Path.unlink, "no such file"),
    "Latin-1 bytes": (appended("x,01001,são paulo,SP\n".encode("latin-1")), "is not UTF-8"),
    "unterminated quote": (appended(b'x,01001,"sao paulo,SP\n'), "never closes"),
    "too few fields": (appended(b"x,01001,SP\n"), "3 fields, expected 4"),
    "too many fields": (appended(b"x,01001,sao paulo,SP,BR\n"), "5 fields, expected 4"),
    "NUL byte": (appended(b"x,01001,sao\0paulo,SP\n"), "NUL byte"),
    "20 MB field": (appended(b"x,01001," + b"a" * 20_000_000 + b",SP\n"), "longer than 16,777,216 characters"),
    "directory in place of a file": (to_directory, "a directory"),
}


# `make test` takes one of each kind through the whole flow; tests/unit/test_land.py checks all of them.
ALWAYS = ("missing column", "missing file", "Latin-1 bytes", "too few fields", "byte-order mark")


def cases(names: Iterable[str]) -> list[Any]:
    return [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.soak) for name in names]


@pytest.mark.parametrize("name", cases(BAD))
def test_a_bad_file_is_refused_by_name_and_nothing_of_the_batch_is_published(
    name: str,
    small: Path,
    run_pipeline: Callable[..., Any],
    query: Callable[..., Any],
    objects: Callable[[], set[str]],
) -> None:
    spoil, said = BAD[name]
    spoil(small / FILE)
    rows = "SELECT COUNT(*) FROM RAW.OLIST_SELLERS"
    before = query(rows), objects()
    with pytest.raises(Exception, match="1 of 9 tables failed") as caught:
        run_pipeline(small)
    message = str(caught.value)
    assert str(small / FILE) in message
    assert said in message
    assert caught.value.exit_code == DataError.exit_code  # type: ignore[attr-defined]
    summary = caught.value.summary  # type: ignore[attr-defined]
    assert {t.table: t.load for t in summary.tables}[TABLE] == "failed"
    assert all(t.load for t in summary.tables), "the other tables still finish"
    assert query(rows) == before[0]
    assert not any("/olist_sellers_dataset/" in key for key in objects() - before[1])
    ledger = query(f"SELECT DISTINCT STATUS, FIRST_ERROR FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{summary.batch_id}'")
    # a file that was unchanged is noted as such in a failed run too
    assert set(ledger) - {("skipped-unchanged", None)} == {("quarantined", "batch incomplete, failed: sellers")}


GOOD: dict[str, Callable[[Path], object]] = {
    "byte-order mark": lambda p: p.write_bytes(b"\xef\xbb\xbf" + p.read_bytes()),
    "CRLF": lambda p: p.write_bytes(p.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")),
    "no final newline": lambda p: p.write_bytes(p.read_bytes().rstrip(b"\r\n")),
}


@pytest.mark.parametrize("name", cases(GOOD))
def test_an_unusual_but_sound_file_loads_exactly(
    name: str, small: Path, run_pipeline: Callable[..., Any], query: Callable[..., Any]
) -> None:
    import csv

    path = small / FILE
    GOOD[name](path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        _, *records = csv.reader(file)
    summary = run_pipeline(small)
    rows = query(
        "SELECT SELLER_ID, SELLER_ZIP_CODE_PREFIX, SELLER_CITY, SELLER_STATE FROM RAW.OLIST_SELLERS "
        f"WHERE _BATCH_ID = '{summary.batch_id}' ORDER BY _SOURCE_ROW_NUMBER"
    )
    assert rows == [tuple(v or None for v in record) for record in records]
