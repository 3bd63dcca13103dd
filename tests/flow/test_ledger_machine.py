"""Any sequence of runs, crashes, undos, replays and forced loads leaves each row in RAW once, and the ledger correct.

A crash ends a run before or after any of its requests to S3 or the warehouse, as if its process were killed: nothing more is
sent, and the session's open transaction ends with it.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from flows import lease
from flows.clients import s3
from flows.clients.snowflake import run
from flows.contract.model import Source
from flows.contract.read import read_source
from flows.errors import ConfigurationError
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings
from flows.steps.land import land
from flows.steps.load import load
from flows.steps.provision import provision_warehouse
from flows.steps.publish import publish, quarantine
from flows.steps.reconcile import reconcile
from flows.steps.replay import restore_landed as landed_before
from flows.steps.undo import recover, undo

CLINIC = Path(__file__).parent.parent / "golden" / "clinic.odcs.yaml"
DAY = date(2026, 1, 1)
_counter = itertools.count(1)


class Killed(BaseException):
    """The process was killed here."""


class Life:
    """Counts the moments that a process has left: one before each of its requests, and one after."""

    def __init__(self, moments: int | None) -> None:
        self.left = moments

    def spend(self) -> None:
        if self.left is not None:
            if self.left <= 0:
                raise Killed
            self.left -= 1

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.spend()
            result = call(*args, **kwargs)
            self.spend()
            return result

        return wrapped


class Mortal:
    """A connection, cursor or S3 client whose requests stop when the life is spent."""

    def __init__(self, real: Any, life: Life) -> None:
        self._real, self._life = real, life

    def cursor(self) -> Mortal:
        return Mortal(self._real.cursor(), self._life)

    def __enter__(self) -> Mortal:
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()

    def __getattr__(self, name: str) -> Any:
        result = getattr(self._real, name)
        requests = name == "execute" or name.endswith("_object")
        return self._life.around(result) if requests else result


moments = st.one_of(st.none(), st.integers(0, 70))


class Batches(RuleBasedStateMachine):
    """Two tables of one source; `brought` holds what each batch read, `good` and `undone` what was last decided about it."""

    settings: Settings
    source: Source

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.brought: dict[str, dict[str, list[tuple[str | None, ...]]]] = {}
        self.good: set[str] = set()  # batches that pass their rules, if their run gets that far
        self.undone: set[str] = set()
        self.version = 0
        self.files_change()
        with self.connection() as connection:  # what earlier examples left
            tables = [t.raw_name for t in self.source.tables]
            for table in tables:
                run(connection, f"DELETE FROM RAW.{table}")
            run(connection, f"DELETE FROM RAW.LOAD_LEDGER WHERE SOURCE = '{self.source.name}'")
            free = "UPDATE RAW.LOAD_LEASE SET HOLDER = NULL, BATCH_ID = NULL, TO_RECOVER = NULL"
            run(connection, f"{free} WHERE SOURCE = '{self.source.name}'")
        client = self.s3()
        for prefix in ("raw", "archive"):
            listed = client.list_objects_v2(Bucket=self.settings.bucket, Prefix=f"{prefix}/{self.source.name}/")
            for one in listed.get("Contents", []):
                client.delete_object(Bucket=self.settings.bucket, Key=one["Key"])

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()

    def connection(self) -> Any:
        from flows import blocks  # not above: Prefect reads the running stack's address when it is imported

        return blocks.snowflake(self.settings, self.settings.loader_role, {"step": "test"})

    def s3(self) -> Any:
        from flows import blocks

        return blocks.s3_client(self.settings)

    def info(self, batch: str) -> RunInfo:
        return RunInfo(batch, f"run-{next(_counter)}", holder=f"{os.uname().nodename}/4194304/{next(_counter)}.00")

    # What can happen ------------------------------------------------------------------------------------------------

    @rule()
    def files_change(self) -> None:
        self.version += 1
        v = self.version
        sites = [[f"S{v}-{i}", "2026-01-01", "true"] for i in range(1 + v % 3)]
        visits = [[str(i), "ABC", "2026-01-01 10:00:00" if i % 2 else "", str(v % 10)] for i in range(2 + v % 4)]
        for table, rows in zip(self.source.tables, (sites, visits), strict=True):
            with (self.folder / table.file_on(DAY)).open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, quoting=csv.QUOTE_ALL).writerows([list(table.header), *rows])

    @rule(force=st.booleans(), passes=st.sampled_from([True, True, False]), dies=moments)
    def run_pipeline(self, force: bool, passes: bool, dies: int | None) -> None:
        info = self.info(f"2026{next(_counter):04d}_000000")
        self.brought[info.batch_id] = {t.raw_name: self.read(t.file_on(DAY)) for t in self.source.tables}
        if passes:
            self.good.add(info.batch_id)

        loaded: list[str] = []

        def work(ledger: Ledger, client: Any) -> None:
            holder, left = lease.take(ledger, info, 10)
            recover(ledger, client, self.settings.bucket, self.source, holder, left)
            published = ledger.published()
            for table in self.source.tables:
                path = self.folder / table.file_on(DAY)
                before = published.get((table.raw_name, path.name))
                landed = land(client, self.settings.bucket, self.source, table, path, info.batch_id, before, force)
                if landed.status == "landed":
                    stored = partial(s3.etags, client, self.settings.bucket)
                    load(ledger.connection, self.source, table, landed, holder, ledger.database, stored)
                    loaded.append(table.raw_name)
            if loaded:
                self.judge(ledger, holder, passes, loaded)
            lease.give_back(ledger, holder, closed=True)

        if self.survives(work, dies):
            with self.connection() as connection:
                ledger = Ledger(connection, self.settings.database, self.source.name)
                client = self.s3()
                assert reconcile(ledger, client, self.settings.bucket, self.source) == ()
                if passes:
                    for (table, _), newest in ledger.published().items():
                        assert self.brought[newest.batch_id][table] == self.brought[info.batch_id][table]

    @rule(data=st.data(), dies=moments)
    def undo_one(self, data: st.DataObject, dies: int | None) -> None:
        batch = self.choose(data)
        if batch is None:
            return
        info = self.info(batch)

        def work(ledger: Ledger, _: Any) -> None:
            with lease.holding(ledger, info, 10) as holder:
                undo(ledger, batch, holder, "test")

        if self.survives(work, dies):
            self.undone.add(batch)
            assert self.in_raw(batch) == {}

    @rule(data=st.data(), passes=st.booleans(), dies=moments)
    def replay_one(self, data: st.DataObject, passes: bool, dies: int | None) -> None:
        batch = self.choose(data)
        if batch is None:
            return
        info = self.info(batch)
        self.undone.discard(batch)
        was_good = batch in self.good
        if passes:
            self.good.add(batch)
        loaded: list[str] = []

        def work(ledger: Ledger, client: Any) -> None:
            holder, left = lease.take(ledger, info, 10)
            recover(ledger, client, self.settings.bucket, self.source, holder, left)
            try:
                landed = landed_before(ledger, client, self.settings.bucket, self.source, batch, holder)
            except ConfigurationError:  # nothing was sent, or its run died before the file was whole
                lease.give_back(ledger, holder, closed=True)
                if not was_good:
                    self.good.discard(batch)
                return
            for table in self.source.tables:
                if table.name in landed:
                    again, stored = landed[table.name], partial(s3.etags, client, self.settings.bucket)
                    load(ledger.connection, self.source, table, again, holder, ledger.database, stored, replay=True)
                    loaded.append(table.raw_name)
            self.judge(ledger, holder, passes, loaded)
            lease.give_back(ledger, holder, closed=True)

        survived = self.survives(work, dies)
        if survived and loaded:
            if not passes:
                self.good.discard(batch)
            assert set(self.in_raw(batch)) == set(loaded)

    # What is always true --------------------------------------------------------------------------------------------

    @invariant()
    def every_batch_is_in_raw_once_or_not_at_all(self) -> None:
        for batch, tables in self.in_raw().items():
            for table, rows in tables.items():
                assert rows == self.brought[batch][table], f"{table} of {batch}"

    @invariant()
    def the_ledger_counts_what_is_there(self) -> None:
        if not hasattr(self, "folder"):
            return
        with self.connection() as connection:
            ledger = Ledger(connection, self.settings.database, self.source.name)
            result = reconcile(ledger, self.s3(), self.settings.bucket, self.source)
            assert not [d for d in result if "rows" in d.kind and "object" not in d.kind], result
            read = f"SELECT BATCH_ID, TO_RECOVER FROM RAW.LOAD_LEASE WHERE SOURCE = '{self.source.name}'"
            ((at_work, to_recover),) = run(connection, read).rows
            unknown = {d.where.split("/")[-2] for d in result if d.kind == "object without ledger row"}
            assert unknown <= {at_work, *json.loads(to_recover or "[]")}, (
                "an object that nobody knows is somebody's to find"
            )
            lost = [d for d in result if d.kind in ("ledger row without object", "object of another size")]
            assert not lost, lost
            for (table, _), newest in ledger.published().items():
                assert newest.batch_id in self.good, "only what passed its audit is published"
                assert newest.batch_id not in self.undone
                assert self.in_raw(newest.batch_id)[table] == self.brought[newest.batch_id][table]

    # Helpers --------------------------------------------------------------------------------------------------------

    def survives(self, work: Callable[[Ledger, Any], None], dies: int | None) -> bool:
        """Do the work and return whether it finished; the session is closed in any case."""
        life = Life(dies)
        with self.connection() as connection:
            ledger = Ledger(Mortal(connection, life), self.settings.database, self.source.name)  # type: ignore[arg-type]
            with suppress(Killed):
                work(ledger, Mortal(self.s3(), life))
                return True
        return False

    def judge(self, ledger: Ledger, info: RunInfo, passes: bool, tables: list[str]) -> None:
        if passes:
            publish(ledger, info, tables)
        else:
            quarantine(ledger, info, "a rule failed")

    def choose(self, data: st.DataObject) -> str | None:
        return data.draw(st.sampled_from(sorted(self.brought))) if self.brought else None

    def read(self, file: str) -> list[tuple[str | None, ...]]:
        with (self.folder / file).open(encoding="utf-8", newline="") as opened:
            _, *records = csv.reader(opened)
        return [tuple(value or None for value in record) for record in records]

    def in_raw(self, batch: str | None = None) -> dict[str, Any]:
        """Read RAW: batch → table → rows in file order; for one batch: table → rows."""
        if not hasattr(self, "folder"):
            return {}
        result: dict[str, dict[str, list[tuple[str | None, ...]]]] = {}
        with self.connection() as connection:
            for table in self.source.tables:
                columns = ", ".join(c.name for c in table.columns)
                rows = run(
                    connection, f"SELECT _BATCH_ID, {columns} FROM RAW.{table.raw_name} ORDER BY _SOURCE_ROW_NUMBER"
                )
                for of_batch, *values in rows.rows:
                    result.setdefault(of_batch, {}).setdefault(table.raw_name, []).append(tuple(values))
        return result if batch is None else result.get(batch, {})


@pytest.fixture(scope="module")
def machine(settings: Settings) -> type[Batches]:
    """The machine on the running stack, its two RAW tables made."""
    from flows import blocks

    Batches.settings, Batches.source = settings, read_source(CLINIC)
    with blocks.snowflake(settings, "ACCOUNTADMIN", {"step": "test"}) as connection:
        provision_warehouse(connection, settings, [Batches.source])
    return Batches


def explore(machine: type[Batches], examples: int, steps: int, seeded: int | None = None) -> None:
    """Run the machine; a seed repeats the same interleavings, to reproduce a failure."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine if seeded is None else seed(seeded)(machine),
        settings=hypothesis_settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_any_short_sequence_keeps_raw_and_ledger_true(machine: type[Batches]) -> None:
    explore(machine, 4, 8)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(8))
def test_many_long_sequences_keep_raw_and_ledger_true(part: int, machine: type[Batches]) -> None:
    """Thousands of steps in all. The seed is printed; CXM_MACHINE_SEED=… sets it, to repeat a failure."""
    start = int(os.environ.get("CXM_MACHINE_SEED", time.time_ns() % 10**6))
    print(f"CXM_MACHINE_SEED={start}")  # noqa: T201
    explore(machine, 16, 25, start + part)
