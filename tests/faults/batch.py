"""Runs a batch of the ward's three files step by step, as the flow does, and reads what RAW holds and has to hold.

The steps and clients are the product's. What Prefect adds in a run, another try of a step after an infrastructure error, is
added here, without its waits.
"""

from __future__ import annotations

import csv
import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flows import lease
from flows.clients import s3 as s3_client
from flows.clients.snowflake import run
from flows.contract.model import Source
from flows.contract.read import read_source
from flows.errors import CxmError, InfrastructureError
from flows.landing import LandResult
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings
from flows.steps.land import land
from flows.steps.load import load
from flows.steps.publish import publish as publish_loaded
from flows.steps.reconcile import reconcile
from flows.steps.undo import recover

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Row = tuple[str | None, ...]
R = TypeVar("R")

WARD = Path(__file__).parent / "ward.odcs.yaml"
TRIES = 4  # as flows.tasks.step: one try, and three more

_number = itertools.count(1)
_start = datetime.now(UTC)


def ward() -> Source:
    """Return the contract of the three small tables."""
    return read_source(WARD)


def connect(settings: Settings, step: str = "test", table: str = "") -> Any:
    """Open a connection as a task of this step does."""
    from flows import blocks  # not above: Prefect reads the running stack's address when it is imported

    return blocks.snowflake(settings, settings.loader_role, {"step": step, "table": table})


def s3(settings: Settings) -> S3Client:
    """Return the S3 client that every task gets."""
    from flows import blocks

    return blocks.s3_client(settings)


def new_run() -> RunInfo:
    """Return a new run: a later batch id, a flow run, and a holder that is no longer alive when the next run asks."""
    n = next(_number)
    start = _start + timedelta(seconds=n)
    return RunInfo(f"{start:%Y%m%d_%H%M%S}", f"run-{start}", holder=f"{os.uname().nodename}/4194304/{n}.00")


def write_files(folder: Path, source: Source, draw: random.Random) -> None:
    """Write new content into every file: quotes, commas, line breaks, empty fields, letters beyond ASCII; two rows twice."""
    pieces = ["", "tray", 'a "quoted" word', "one, two", "line\nbreak", "Ärztin – ö", "0012", "NULL", " "]
    folder.mkdir(parents=True, exist_ok=True)
    for table in source.tables:
        rows = [
            [f"{draw.getrandbits(40):x}", *(draw.choice(pieces) for _ in table.columns[1:])]
            for _ in range(draw.randint(5, 40))
        ]
        rows += rows[:2]
        with (folder / table.file).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([list(table.header), *rows])


def read_files(folder: Path, source: Source) -> dict[str, Counter[Row]]:
    """Return RAW table → the multiset of rows that Python's csv module reads from its file; an empty field is NULL in RAW."""
    rows = {}
    for table in source.tables:
        with (folder / table.file).open(encoding="utf-8-sig", newline="") as file:
            _, *records = csv.reader(file)
        rows[table.raw_name] = Counter(tuple(value or None for value in record) for record in records)
    return rows


def in_raw(settings: Settings, source: Source, without: Sequence[str] = ()) -> dict[str, Counter[Row]]:
    """Return RAW table → the multiset of its rows of all batches, except those in `without`."""
    result: dict[str, Counter[Row]] = {}
    with connect(settings) as connection:
        for table in source.tables:
            columns = ", ".join(c.name for c in table.columns)
            rows = run(connection, f"SELECT _BATCH_ID, {columns} FROM RAW.{table.raw_name}").rows
            result[table.raw_name] = Counter(
                values for batch, *rest in rows if batch not in without for values in [tuple(rest)]
            )
    return result


def published_rows(settings: Settings, source: Source, missing: bool = False) -> dict[str, Counter[Row]]:
    """Return RAW table → the multiset of the rows that dbt reads, for tables of one file. `missing`: some may have none yet."""
    result = {}
    with connect(settings) as connection:
        newest = {
            table: p.batch_id
            for (table, _), p in Ledger(connection, settings.database, source.name).published().items()
        }
        for table in source.tables:
            if missing and table.raw_name not in newest:
                continue
            columns = ", ".join(c.name for c in table.columns)
            of_batch = f"SELECT {columns} FROM RAW.{table.raw_name} WHERE _BATCH_ID = '{newest[table.raw_name]}'"
            result[table.raw_name] = Counter(run(connection, of_batch).rows)
    return result


def batches_in_raw(settings: Settings, source: Source) -> list[str]:
    """Return the ids of the batches that have rows in RAW."""
    with connect(settings) as connection:
        names = " UNION ".join(f"SELECT _BATCH_ID FROM RAW.{t.raw_name}" for t in source.tables)
        return [str(row[0]) for row in run(connection, names).rows]


def again(work: Callable[[], R]) -> R:
    """Do the work; try again after what Prefect would retry (`flows.tasks.is_transient`), raise any other error at once."""
    for left in reversed(range(TRIES)):
        try:
            return work()
        except (InfrastructureError, ConnectionError, TimeoutError):
            if not left:
                raise
    raise AssertionError


def run_batch(
    settings: Settings, source: Source, folder: Path, info: RunInfo, opened: Callable[[], None] = lambda: None
) -> None:
    """Go the way of `flows.pipeline.pipeline` without validation: open, land, load, publish, close.

    Raises:
        CxmError: the run gave up; its batch is left for the next run to clear.
    """

    def start() -> tuple[RunInfo, tuple[str, ...]]:
        with connect(settings, "open") as connection:
            ledger = Ledger(connection, settings.database, source.name)
            return lease.take(ledger, info, settings.lease_minutes)

    info, left = again(start)

    def clear_up() -> Mapping[tuple[str, str], Any]:
        with connect(settings, "open") as connection:
            ledger = Ledger(connection, settings.database, source.name)
            recover(ledger, s3(settings), settings.bucket, source, info, left)
            return ledger.published()

    closed, loaded = False, list[str]()
    try:
        published = again(clear_up)
        opened()
        for table in source.tables:

            def landing(table: Any = table) -> LandResult:
                before = published.get((table.raw_name, table.file))
                path = folder / table.file
                return land(
                    s3(settings), settings.bucket, source, table, path, info.batch_id, before
                )  # fmt: skip

            landed = again(landing)
            if landed.status == "landed":

                def loading(table: Any = table, landed: LandResult = landed) -> None:
                    with connect(settings, "load", table.name) as connection:
                        stored = partial(s3_client.etags, s3(settings), settings.bucket)
                        load(connection, source, table, landed, info, settings.database, stored)

                again(loading)
                loaded.append(table.raw_name)

        def publish() -> None:
            with connect(settings, "validated") as connection:
                ledger = Ledger(connection, settings.database, source.name)
                publish_loaded(ledger, info, loaded)

        again(publish)
        closed = True
    finally:
        with suppress(CxmError), connect(settings, "close") as connection:  # as flows.work
            lease.give_back(Ledger(connection, settings.database, source.name), info, closed)


def differences(settings: Settings, source: Source) -> Sequence[Any]:
    """Return what `cxm reconcile` finds."""
    with connect(settings) as connection:
        ledger = Ledger(connection, settings.database, source.name)
        return reconcile(ledger, s3(settings), settings.bucket, source)
