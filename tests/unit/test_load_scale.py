"""100,000 objects of one table in one batch, through the code that loads them: how many statements, of what size, in what time.

Only the answers come from a fake: no server is asked. The figures are those of `architecture/scaling.md`.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from flows.contract.model import Source
from flows.landing import LandedObject, LandResult
from flows.ledger import RunInfo
from flows.steps.load import load
from tests.unit.test_land import table

OBJECTS = 100_000
FOLDER = "raw/olist/kits/20260101_000000/"
INFO = RunInfo("20260101_000000", "run-1")


class Warehouse:
    """Answers as Snowflake would if every file loaded whole, and records what it was asked."""

    def __init__(self, records: int) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.copied: list[list[str]] = []
        self._records = records

    def cursor(self) -> Warehouse:
        return self

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    sfqid = "01b2"

    def execute(self, sql: str, values: Sequence[Any] | None) -> None:
        self.asked.append((sql, tuple(values or ())))
        names: tuple[str, ...] = ()
        self._rows: list[tuple[Any, ...]] = []
        if "COPY INTO" in sql:
            files = re.findall(r"'([^']+\.csv\.zst)'", sql)
            self.copied.append(files)
            names = ("file", "status", "rows_parsed", "rows_loaded", "first_error", "first_error_line")
            self._rows = [(f"s3://bucket/{FOLDER}{f}", "LOADED", 7, 7, None, None) for f in files]
        elif "COUNT(*)" in sql:
            names, self._rows = ("ROW_COUNT",), [(self._records,)]
        elif "UPDATE" in sql:
            changed = len(json.loads(values[-1])) if values and str(values[-1]).startswith("[{") else 1
            names, self._rows = ("number of rows updated",), [(changed,)]
        elif "LOAD_LEASE" in sql:
            names = ("BATCH_ID", "HOLDER", "FLOW_RUN_ID", "EXPIRES_AT", "TOKEN", "TO_RECOVER", "LIVES", "LOCKED_AT")
            self._rows = [(INFO.batch_id, INFO.holder, INFO.flow_run_id, None, INFO.token, "[]", True, None)]
        self.description = [SimpleNamespace(name=name) for name in names]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def kinds(self) -> Counter[str]:
        """Count how often each kind of statement was sent."""
        texts = ("\n".join(line for line in sql.splitlines() if not line.startswith("--")) for sql, _ in self.asked)
        return Counter(text.split()[0] for text in texts)


def test_a_hundred_thousand_objects_load_in_a_hundred_copies_and_one_transaction() -> None:
    objects = tuple(LandedObject(f"kits.{i:06d}.csv.zst", 1000, 7, f"{i:032x}") for i in range(OBJECTS))
    landed = LandResult("kits", "OLIST_KITS", "kits.csv", FOLDER, objects, 1, 7 * OBJECTS, "0" * 64, "landed")
    source = Source("olist", "1", "…", "RAW", "S", "F", (table(),), 1, 1)
    warehouse = Warehouse(7 * OBJECTS)
    stored = {FOLDER + o.name: o.etag for o in objects}
    began = time.process_time()
    result = load(warehouse, source, table(), landed, INFO, "CXM_MEDTECH", lambda _: stored)  # type: ignore[arg-type]
    took = time.process_time() - began

    assert (result.files, result.rows, result.status) == (OBJECTS, 7 * OBJECTS, "loaded")
    assert len(warehouse.copied) == 100
    assert {len(files) for files in warehouse.copied} == {1000}, "FILES takes at most 1,000 names"
    assert sorted(name for files in warehouse.copied for name in files) == [o.name for o in objects]
    kinds = warehouse.kinds()
    assert (kinds["BEGIN"], kinds["COMMIT"], kinds["ROLLBACK"]) == (2, 2, 0), "what landed, then what was loaded"
    assert kinds["INSERT"] == 10, "the ledger's rows go in by ten thousand"
    assert kinds["UPDATE"] == 100 + 2, "one for each COPY, and the lease's lock once in each transaction"
    inserted = [json.loads(values[-1]) for sql, values in warehouse.asked if "INSERT INTO" in sql]
    assert sum(map(len, inserted)) == OBJECTS
    largest = max(len(str(part)) for sql, values in warehouse.asked for part in (sql, *values))
    assert largest < 16_000_000, "a statement's text and a bound value have at most 16 MB"
    assert took < 20, "no step looks at all objects for each object"


def test_what_a_load_asks_does_not_depend_on_earlier_batches() -> None:
    """Every statement names the batch, except those on the lease, which has one row for each source."""
    landed = LandResult(
        "kits", "OLIST_KITS", "kits.csv", FOLDER, (LandedObject("kits.csv.zst", 9, 7, "e"),), 9, 7, "0" * 64, "landed"
    )
    source = Source("olist", "1", "…", "RAW", "S", "F", (table(),), 1, 1)
    warehouse = Warehouse(7)
    load(warehouse, source, table(), landed, INFO, "CXM_MEDTECH", lambda folder: {f"{folder}kits.csv.zst": "e"})  # type: ignore[arg-type]
    reading = [(s, v) for s, v in warehouse.asked if "FROM" in s and "LOAD_LEASE" not in s]
    assert len(reading) >= 4
    for sql, values in reading:
        assert INFO.batch_id in (*values, *re.findall(r"'(\d{8}_\d{6})'", sql)), sql
