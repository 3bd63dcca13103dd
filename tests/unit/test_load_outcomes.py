"""If COPY answers anything but "all of it", the load is rolled back, its table quarantined, and the error gives the answer.

The answers have Snowflake's form and come from a fake that records what it was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from flows.contract.model import Source
from flows.errors import DataError
from flows.landing import LandedObject, LandResult
from flows.steps.load import load
from tests.unit.test_land import table
from tests.unit.test_load_scale import FOLDER, INFO, Warehouse

NAMES = ("file", "status", "rows_parsed", "rows_loaded", "first_error", "first_error_line")
GOOD = (f"s3://bucket/{FOLDER}kits.0001.csv.zst", "LOADED", 7, 7, None, None)
SECOND = f"s3://bucket/{FOLDER}kits.0002.csv.zst"


class Answering(Warehouse):
    """Answers COPY with `names` and `rows`, and the count of rows with `records`."""

    def __init__(self, names: Sequence[str], rows: Sequence[tuple[Any, ...]], records: int = 14) -> None:
        super().__init__(records)
        self._answer = tuple(names), list(rows)

    def execute(self, sql: str, values: Sequence[Any] | None) -> None:
        super().execute(sql, values)
        if "COPY INTO" in sql:
            names, self._rows = self._answer
            self.description = [SimpleNamespace(name=name) for name in names]
        elif "quarantined" in (values or ()):  # an UPDATE says how many rows it changed
            self._rows = [(2, 0)]


CASES: dict[str, tuple[Answering, str]] = {
    "one file failed": (
        Answering(NAMES, [GOOD, (SECOND, "LOAD_FAILED", 7, 0, "Numeric value 'x' is not recognized", 3)]),
        r"kits\.0002\.csv\.zst: COPY says LOAD_FAILED, 0 of 7 rows, first error: Numeric value 'x' .*line 3.*rolled back",
    ),
    "one file loaded in part": (
        Answering(NAMES, [GOOD, (SECOND, "PARTIALLY_LOADED", 7, 6, "End of record reached", 2)]),
        r"PARTIALLY_LOADED, 6 of 7 rows, first error: End of record reached \(line 2\)",
    ),
    "nothing was there": (
        Answering(("status",), [("Copy executed with 0 files processed.",)]),
        r"COPY loaded no file \(Copy executed with 0 files processed\.\); expected 2.*cxm doctor",
    ),
    "one file was passed over": (
        Answering(NAMES, [GOOD]),
        r"COPY reports nothing of kits\.0002\.csv\.zst; it reported kits\.0001\.csv\.zst",
    ),
    "one file counts as loaded before": (
        Answering(NAMES, [GOOD, (SECOND, "LOAD_SKIPPED", 0, 0, "File was loaded before.", None)]),
        r"COPY skipped it, since Snowflake's load history has it as loaded, but the ledger has not",
    ),
    "all are loaded, but rows are missing": (
        Answering(NAMES, [GOOD, (SECOND, "LOADED", 7, 7, None, None)], records=13),
        r"14 records in the file, 13 rows in RAW\.OLIST_KITS for batch 20260101_000000; rolled back",
    ),
    "all are loaded, but there are rows too many": (
        Answering(NAMES, [GOOD, (SECOND, "LOADED", 7, 7, None, None)], records=15),
        r"14 records in the file, 15 rows in RAW\.OLIST_KITS",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_add_up_is_rolled_back_and_quarantined_with_the_reason(name: str) -> None:
    warehouse, said = CASES[name]
    objects = tuple(LandedObject(f"kits.000{i}.csv.zst", 1000, 7) for i in (1, 2))
    landed = LandResult("kits", "OLIST_KITS", "kits.csv", FOLDER, objects, 1, 14, "0" * 64, "landed")
    source = Source("olist", "1", "…", "RAW", "S", "F", (table(),), 1, 1)
    with pytest.raises(DataError, match=rf"(?s){said}.*COPY query 01b2|{said}") as caught:
        load(warehouse, source, table(), landed, INFO, "CXM_MEDTECH", lambda _: {})  # type: ignore[arg-type]
    kinds = [" ".join(sql.split("\n--")[0].split())[:8] for sql, _ in warehouse.asked]
    assert "ROLLBACK" in kinds
    copy = next(n for n, (sql, _) in enumerate(warehouse.asked) if "COPY INTO" in sql)
    assert "COMMIT" not in kinds[copy : kinds.index("ROLLBACK")]
    marked = [values for sql, values in warehouse.asked if "quarantined" in values]
    assert len(marked) == 1
    assert str(caught.value) in marked[0]
    assert "01b2" in str(caught.value), "the query id leads to the COPY in QUERY_HISTORY"
