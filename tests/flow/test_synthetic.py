"""Days of `synthetic` on the running stack: loaded in order, quarantined, replaced, skipped if unchanged."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.contract.model import Source
from flows.contract.read import read_source
from flows.errors import ConfigurationError, DataError, InfrastructureError
from flows.settings import Settings
from flows.synthetic.medtech import generate
from flows.synthetic.shipments import Shipments, read_shipments

pytestmark = pytest.mark.xdist_group("flow")
TINY = 0.05  # some 16 rows a day

Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def shipments(olist_published: Path) -> Shipments:
    return read_shipments(olist_published)


@pytest.fixture(scope="module")
def source() -> Source:
    return read_source("synthetic")


@pytest.fixture
def published(source: Source, query: Query) -> Callable[[date, date], dict[str, list[tuple[Any, ...]]]]:
    """`published(first, last)` → the rows that dbt may read, by file name: those of each file's newest validated batch."""

    def read(first: date, last: date) -> dict[str, list[tuple[Any, ...]]]:
        result = {}
        for table in source.tables:
            columns = ", ".join(f"t.{c.name}" for c in table.columns)
            for n in range((last - first).days + 1):
                file = table.file_on(first + timedelta(days=n))
                rows = query(
                    f"SELECT {columns} FROM RAW.{table.raw_name} AS t "
                    "JOIN (SELECT MAX_BY(BATCH_ID, BATCH_SEQUENCE) AS NEWEST FROM RAW.LOAD_LEDGER "
                    f"WHERE SOURCE = 'synthetic' AND TABLE_NAME = '{table.raw_name}' AND FILE_NAME = '{file}' "
                    "AND STATUS = 'validated') AS l ON t._BATCH_ID = l.NEWEST ORDER BY t._SOURCE_ROW_NUMBER"
                )
                if rows:
                    result[file] = rows
        return result

    return read


def in_files(folder: Path, *days: date) -> dict[str, list[tuple[Any, ...]]]:
    """Read the rows of the days' files, an empty field as None."""
    result = {}
    for day in days:
        for path in folder.glob(f"*_{day}.csv"):
            with path.open(encoding="utf-8", newline="") as file:
                result[path.name] = [tuple(v or None for v in record) for record in list(csv.reader(file))[1:]]
    assert len(result) == 4 * len(days)
    return result


def backfill(folder: Path, first: date, last: date, source: str = "synthetic") -> Any:
    """Run the flow; return its days, or if it fails its error, which has its days."""
    from flows import operations

    state = operations.backfill(source, first, last, data=str(folder), return_state=True)
    return state.result(raise_on_failure=False)


@pytest.mark.soak
def test_a_bad_day_is_quarantined_then_replaced_and_the_days_around_it_are_not_loaded_again(
    shipments: Shipments, published: Callable[..., Any], query: Query, settings: Settings, tmp_path: Path
) -> None:
    before, bad, after = (date(2018, 3, day) for day in (5, 6, 7))
    generate(tmp_path, shipments, before, after, scale=TINY)
    generate(tmp_path, shipments, bad, bad, scale=TINY, defects=0.1)

    error = backfill(tmp_path, before, after)
    assert error.exit_code == DataError.exit_code, error
    assert [(d.day, d.status) for d in error.days] == [
        (before, "published"),
        (bad, "quarantined"),
        (after, "published"),
    ]
    batches = [d.batch_id for d in error.days]
    assert batches == sorted(set(batches))
    assert "2018-03-06: batch" in str(error)
    for rule in ("timestamp(OPENED_AT)", "number(SCORE)", "relationship(ACCOUNT_ID)", "unique(SURVEY_ID)"):
        assert rule in str(error)
    pages = settings.home / "docs" / "data_docs" / "validations"
    assert {page.parts[-3] for page in pages.glob("*/*/*/*.html")} >= set(batches), "each day has its pages"
    assert published(before, after) == in_files(tmp_path, before, after)
    assert [d.rows for d in error.days] == [sum(map(len, in_files(tmp_path, d.day).values())) for d in error.days]

    generate(tmp_path, shipments, bad, bad, scale=TINY)
    days = backfill(tmp_path, before, after)
    assert [d.status for d in days] == ["unchanged", "published", "unchanged"]
    assert published(before, after) == in_files(tmp_path, before, bad, after)
    quarantined = query(f"SELECT DISTINCT STATUS FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{batches[1]}'")
    assert quarantined == [("quarantined",)]

    generate(tmp_path, shipments, before, before, scale=TINY, seed=5)
    days = backfill(tmp_path, before, bad)
    assert [d.status for d in days] == ["published", "unchanged"]
    assert published(before, after) == in_files(tmp_path, before, bad, after)


def test_a_missing_file_quarantines_its_day_and_the_message_names_the_folder(
    shipments: Shipments, published: Callable[..., Any], tmp_path: Path
) -> None:
    day = date(2018, 4, 3)
    generate(tmp_path, shipments, day, day, scale=TINY)
    (tmp_path / f"rep_visits_{day}.csv").unlink()
    error = backfill(tmp_path, day, day)
    assert (error.exit_code, [d.status for d in error.days]) == (DataError.exit_code, ["quarantined"])
    assert f"rep_visits_{day}.csv: no such file" in str(error)
    assert published(day, day) == {}


def test_a_server_that_fails_ends_the_backfill_and_the_next_one_continues_there(
    shipments: Shipments, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import operations
    from flows.run import PipelineError, RunSummary

    first, last = date(2018, 5, 1), date(2018, 5, 3)
    generate(tmp_path, shipments, first, last, scale=TINY)
    called = []

    def run(_source: str, _data: str, day: date, *_: Any) -> RunSummary:
        called.append(day)
        summary = RunSummary("synthetic", f"20260101_00000{len(called)}", ())
        if day.day == 2:
            raise PipelineError("the warehouse was not reached", summary, InfrastructureError.exit_code, closed=False)
        return summary

    monkeypatch.setattr(operations, "one_day", run)
    monkeypatch.setattr(operations.tasks, "build_pages", lambda *_: None)  # nothing was validated
    error = backfill(tmp_path, first, last)
    assert error.exit_code == InfrastructureError.exit_code
    assert "days after 2018-05-02 were not tried" in str(error)
    assert ([d.status for d in error.days], called) == (["published", "failed"], [first, date(2018, 5, 2)])


def test_freshness_and_pages_come_once_after_the_last_day_and_each_day_is_a_line(
    shipments: Shipments, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import operations, progress
    from flows.run import RunSummary, TableSummary
    from flows.steps.dbt import HandoffResult

    first, last = date(2018, 5, 11), date(2018, 5, 13)
    generate(tmp_path, shipments, first, last, scale=TINY)
    done: list[Any] = []

    def run(_source: str, _data: str, day: date, *_: Any) -> RunSummary:
        done.append(day)
        table = TableSummary("rep_visits", 1, 999_999, day.day, day.day, "loaded", "passed", "")
        return RunSummary("synthetic", f"20260101_0000{day.day}", (table,), published=True)

    monkeypatch.setattr(operations, "one_day", run)
    monkeypatch.setattr(operations.tasks, "build_pages", lambda _, batches, *__: done.append(batches))
    monkeypatch.setattr(operations.tasks, "freshness", lambda *_: done.append("freshness") or HandoffResult((), 0.0))
    lines: list[tuple[str, str, int]] = []
    with progress.listening(lambda event: lines.append((event.table, event.outcome, event.done))):
        days = backfill(tmp_path, first, last)
    batches = [f"20260101_0000{n}" for n in (11, 12, 13)]
    assert done == [*(date(2018, 5, n) for n in (11, 12, 13)), batches, "freshness"]
    assert [d.batch_id for d in days] == batches
    assert lines == [(f"2018-05-{n}", "published", n) for n in (11, 12, 13)]


@pytest.mark.parametrize(
    ("source_name", "days", "said"),
    [
        ("olist", (date(2018, 3, 1), date(2018, 3, 2)), "no table with a file for each day"),
        ("synthetic", (date(2018, 3, 2), date(2018, 3, 1)), "the last is before the first"),
    ],
)
def test_days_that_cannot_be_are_refused(
    source_name: str, days: tuple[date, date], said: str, settings: Settings, tmp_path: Path
) -> None:
    error = backfill(tmp_path, *days, source=source_name)
    assert isinstance(error, ConfigurationError)
    assert said in str(error)


@pytest.mark.soak
def test_a_month_of_days_with_a_bad_one_in_it_is_published_whole_after_that_one_is_replaced(
    shipments: Shipments, published: Callable[..., Any], query: Query, tmp_path: Path
) -> None:
    first, last, bad = date(2018, 6, 1), date(2018, 6, 30), date(2018, 6, 12)
    days = [first + timedelta(days=n) for n in range(30)]
    generate(tmp_path, shipments, first, last, scale=TINY)
    generate(tmp_path, shipments, bad, bad, scale=TINY, defects=0.05)

    error = backfill(tmp_path, first, last)
    assert [d.day for d in error.days if d.status != "published"] == [bad]
    assert published(first, last) == in_files(tmp_path, *(d for d in days if d != bad))

    generate(tmp_path, shipments, bad, bad, scale=TINY)
    again = backfill(tmp_path, first, last)
    assert [d.day for d in again if d.status == "published"] == [bad]
    assert {d.status for d in again} == {"published", "unchanged"}
    assert published(first, last) == in_files(tmp_path, *days)
    batches = [d.batch_id for d in error.days]
    assert batches == sorted(set(batches))
    (lease,) = query("SELECT COUNT(*) FROM RAW.LOAD_LEASE WHERE SOURCE = 'synthetic' AND HOLDER IS NOT NULL")
    assert lease == (0,)
