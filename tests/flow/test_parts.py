"""Tables of several files, and optional ones, on the running stack: what is published follows the set of files, each row once."""

from __future__ import annotations

import gzip
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flows import lease
from flows.clients import s3
from flows.contract import read
from flows.inventory import inventory
from flows.landing import LandedTable, current
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings
from flows.steps import build, dbt
from flows.steps.land import land
from flows.steps.load import load
from flows.steps.publish import publish
from flows.steps.reconcile import reconcile
from flows.steps.undo import recover
from tests.conftest import run_flow
from tests.flow.conftest import project_copy
from tests.flow.contracts import entry, head
from tests.flow.test_ledger_machine import Killed, Life, Mortal

pytestmark = pytest.mark.xdist_group("flow")

Query = Callable[..., list[tuple[Any, ...]]]

DAY = date(2026, 1, 1)
TABLES = {
    "orders": ("orders_*.csv", "snapshot", []),
    "visits": ("visits_{date}_{part}.csv", "append", ["{property: optional, value: true}"]),
    "sites": ("sites.csv", "snapshot", ["{property: optional, value: true}"]),
}


def contract() -> str:
    tables = (
        entry(
            "parts",
            table,
            ("id", "site"),
            ["{property: onReorder, value: by name}", *more],
            file=file,
            load=load,
            refers={"site": "sites.id"} if table == "orders" else None,
        )
        for table, (file, load, more) in TABLES.items()
    )
    return head("parts", "Tables of several files, and optional ones.") + "".join(tables)


@pytest.fixture(scope="module")
def project(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project with the contract of parts; the flows read the copy."""

    def add(copy: Path) -> None:
        (copy / "data_dictionary" / "parts.odcs.yaml").write_text(contract(), encoding="utf-8")

    with project_copy(settings, tmp_path_factory.mktemp("parts") / "project", add) as copy:
        run_flow("provision")
        yield copy


@dataclass
class Place:
    """A folder of the source's files; `run` loads what is in it."""

    folder: Path
    query: Query

    def write(self, name: str, *rows: str, header: str = "id,site") -> None:
        data = ("\n".join([header, *rows]) + "\n").encode()
        (self.folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    def run(self, **parameters: Any) -> Any:
        return run_flow("pipeline", source="parts", data=str(self.folder), day=DAY, **parameters)

    def raw(self, table: str, batch: str) -> list[tuple[Any, ...]]:
        """Return (file, row number, id) of a batch's rows."""
        rows = self.query(
            "SELECT SPLIT_PART(_SOURCE_FILENAME, '/', -1), _SOURCE_ROW_NUMBER, ID "
            f"FROM RAW.PARTS_{table.upper()} WHERE _BATCH_ID = '{batch}' ORDER BY 1, 2"
        )
        return [tuple(row) for row in rows]

    def ledger(self, batch: str) -> set[tuple[Any, ...]]:
        """Return (file, status, records, rows loaded) of a batch."""
        return set(
            self.query(
                "SELECT FILE_NAME, STATUS, FILE_RECORDS, ROWS_LOADED FROM RAW.LOAD_LEDGER "
                f"WHERE SOURCE = 'parts' AND BATCH_ID = '{batch}'"
            )
        )

    def staged(self, model: str) -> list[str]:
        """Return the ids that dbt's staging view shows: what is published now."""
        return [row[0] for row in self.query(f"SELECT ID FROM STG.{model} ORDER BY 1")]


def tables(summary: Any) -> dict[str, tuple[int, int, str]]:
    return {t.table: (t.rows_file, t.rows_raw, t.load) for t in summary.tables}


@pytest.mark.soak
def test_a_tables_files_are_loaded_replaced_undone_and_replayed_as_one(
    project: Path, settings: Settings, tmp_path: Path, query: Query
) -> None:
    place = Place(tmp_path, query)
    place.write("sites.csv", "s1,", "s2,")
    place.write("orders_1.csv", "a,s1", "b,s2")
    place.write("orders_2.csv.gz", "s1,c", header="site,id")  # each file by its own header
    place.write("orders_Zürich (2).csv", "z,s1")
    place.write(f"visits_{DAY}_1.csv", "v1,s1")
    place.write(f"visits_{DAY}_2.csv", "v2,s1", "v3,s2")
    place.write("visits_2025-12-31_1.csv", "old,s1")
    place.write("notes.txt", "nothing")
    first = place.run()
    assert tables(first) == {"orders": (4, 4, "loaded"), "visits": (3, 3, "loaded"), "sites": (2, 2, "loaded")}
    assert first.ignored == "notes.txt"
    assert place.raw("orders", first.batch_id) == [
        ("orders_1.csv.zst", 1, "a"),
        ("orders_1.csv.zst", 2, "b"),
        ("orders_2.csv.zst", 1, "c"),
        ("orders_Z=C3=BCrich=20=282=29.csv.zst", 1, "z"),
    ]
    assert place.ledger(first.batch_id) == {
        ("sites.csv", "validated", 2, 2),
        ("orders_1.csv", "validated", 2, 2),
        ("orders_2.csv", "validated", 1, 1),
        ("orders_Zürich (2).csv", "validated", 1, 1),
        (f"visits_{DAY}_1.csv", "validated", 1, 1),
        (f"visits_{DAY}_2.csv", "validated", 2, 2),
    }
    environment = dbt.dbt_environment(settings)
    built = build.build(project / "dbt/cxm_medtech", environment, settings.home / "dbt", "path:models/staging/parts")
    assert built.clean, built.problems
    assert place.staged("STG_PARTS__ORDERS_ROWS") == ["a", "b", "c", "z"]
    assert place.staged("STG_PARTS__VISITS_ROWS") == ["v1", "v2", "v3"]

    again = place.run()
    assert again.unchanged
    assert {line.load for line in again.tables} == {f"unchanged since {first.batch_id}"}

    # A part is missing, one is new, one is the same; the day is delivered again with one part; no optional sites.
    (tmp_path / "orders_2.csv.gz").unlink()
    (tmp_path / "orders_Zürich (2).csv").unlink()
    place.write("orders_3.csv", "d,s2")
    (tmp_path / f"visits_{DAY}_2.csv").unlink()
    (tmp_path / "sites.csv").unlink()
    second = place.run()
    assert tables(second) == {
        "orders": (3, 3, "loaded"),
        "visits": (1, 1, "loaded"),
        "sites": (0, 0, "not delivered"),
    }
    assert ("sites.csv", "not-delivered", 0, None) in place.ledger(second.batch_id)
    assert place.staged("STG_PARTS__ORDERS_ROWS") == ["a", "b", "d"]
    assert place.staged("STG_PARTS__VISITS_ROWS") == ["v1"]
    assert place.staged("STG_PARTS__SITES_ROWS") == ["s1", "s2"]

    run_flow("undo", batch=second.batch_id, source="parts")
    assert place.staged("STG_PARTS__ORDERS_ROWS") == ["a", "b", "c", "z"]
    assert place.staged("STG_PARTS__VISITS_ROWS") == ["v1", "v2", "v3"]
    replayed = run_flow("replay", batch=second.batch_id, source="parts")
    assert tables(replayed) == {"orders": (3, 3, "loaded"), "visits": (1, 1, "loaded")}
    assert place.staged("STG_PARTS__ORDERS_ROWS") == ["a", "b", "d"]
    assert run_flow("reconcile", source="parts") == ()

    # One byte of one part has changed: the whole table is sent.
    place.write("orders_3.csv", "e,s2")
    place.write("orders_4.csv", "f,nowhere")
    with pytest.raises(Exception, match=r"relationship\(SITE\) SITE: 1 rows: orders_4\.csv\.zst: row 1"):
        place.run()
    (tmp_path / "orders_4.csv").unlink()
    third = place.run()
    assert tables(third)["orders"] == (3, 3, "loaded")
    assert place.staged("STG_PARTS__ORDERS_ROWS") == ["a", "b", "e"]
    assert run_flow("reconcile", source="parts") == ()

    kept = _maintain(settings, keep=1)
    assert {(k.batch_id, k.name) for k in kept} == {
        *((first.batch_id, f"PARTS_{table}") for table in ("ORDERS", "VISITS")),
        (second.batch_id, "PARTS_ORDERS"),
    }
    assert place.staged("STG_PARTS__ORDERS_ROWS") == ["a", "b", "e"]
    assert place.staged("STG_PARTS__VISITS_ROWS") == ["v1"]
    assert run_flow("reconcile", source="parts") == ()


def _maintain(settings: Settings, keep: int) -> tuple[Any, ...]:
    """Prune what is beyond the newest `keep` loads."""
    from flows import blocks
    from flows.contract.read import read_source
    from flows.ledger import RunInfo
    from flows.steps.retention import prune

    with blocks.holding(settings, "parts", {"step": "test"}, RunInfo("20260101_000000")) as (ledger, holder):
        return prune(ledger, read_source("parts"), holder, keep, 30)


def test_what_a_place_lacks_or_has_twice_is_said_by_name(project: Path, tmp_path: Path, query: Query) -> None:
    place = Place(tmp_path, query)
    with pytest.raises(Exception, match=r"orders_\*\.csv: no such file; expected the CSV file of table orders"):
        place.run()
    place.write("orders_1.csv", "a,")
    place.write("Sites.csv", "s1,")
    with pytest.raises(Exception, match=r"sites\.csv: no such file, but Sites\.csv, which differs in letter case"):
        place.run()
    (tmp_path / "Sites.csv").unlink()
    place.write("orders_2.csv", "b,s1,too many")
    with pytest.raises(Exception, match=r"orders_2\.csv, line 2: 3 fields, expected 2") as failed:
        place.run()
    assert place.ledger(failed.value.summary.batch_id) == {
        ("orders_1.csv", "quarantined", 1, None),
        ("sites.csv", "not-delivered", 0, None),
        (f"visits_{DAY}_{{part}}.csv", "not-delivered", 0, None),
    }
    assert run_flow("reconcile", source="parts") == ()


def test_a_trial_is_judged_published_never_and_cleared_away(
    project: Path, settings: Settings, tmp_path: Path, query: Query, objects: Callable[[], set[str]]
) -> None:
    place = Place(tmp_path, query)
    place.write("sites.csv", "s1,")
    place.write("orders_1.csv", "t1,s1", "t2,of no site", "t2,twice")
    place.write("orders_2.csv", "t3,s1", "a record of too,many,fields")
    before, views = (
        objects(),
        "SELECT BATCH_ID, STATUS FROM RAW.LOAD_LEDGER WHERE SOURCE = 'parts' AND STATUS = 'validated'",
    )
    published = query(views)
    # The first record of each file is good; whether it refers to a record beyond the first ones is not checked.
    trial = place.run(limit=1)
    assert (trial.trial, trial.published) == (1, False)
    assert tables(trial) == {"orders": (2, 2, "loaded"), "visits": (0, 0, "not delivered"), "sites": (1, 1, "loaded")}
    assert trial.outcome == "3 tables, 3 rows, a trial of the first 1 rows of each file, 0 failed"
    assert place.ledger(trial.batch_id) == {
        ("sites.csv", "trial", 1, 1),
        ("orders_1.csv", "trial", 1, 1),
        ("orders_2.csv", "trial", 1, 1),
    }
    place.write("orders_2.csv", "t3,s1")
    with pytest.raises(
        Exception, match=r"(?s)trial of the first 3 rows of each file: 1 rules failed.*unique"
    ) as failed:
        place.run(limit=3)
    assert failed.value.exit_code == 3
    again = failed.value.summary
    place.write("orders_2.csv", "t3,s1", "too,many,fields")
    with pytest.raises(Exception, match=r"orders_2\.csv, line 3: 3 fields, expected 2") as refused:
        place.run(limit=3)
    for batch in (trial.batch_id, again.batch_id, refused.value.summary.batch_id):
        assert {row[1] for row in place.ledger(batch)} == {"trial"}
        assert place.raw("orders", batch) == place.raw("sites", batch) == []
        assert run_flow("undo", batch=batch, source="parts") == ()
        with pytest.raises(Exception, match="a trial of the first rows of each file, which is never published"):
            run_flow("replay", batch=batch, source="parts")
    assert (objects(), query(views)) == (before, published)
    assert run_flow("reconcile", source="parts") == ()


def test_a_trial_whose_run_died_is_cleared_by_the_next_run(
    project: Path, tmp_path: Path, query: Query, objects: Callable[[], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import tasks

    place = Place(tmp_path, query)
    place.write("orders_1.csv", "d1,", "d2,")
    before = objects()
    with monkeypatch.context() as broken:
        broken.setattr(tasks.validate_step, "validate", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("died")))
        with pytest.raises(RuntimeError, match="died"):
            place.run(limit=1)
    (dead,) = query("SELECT DISTINCT BATCH_ID FROM RAW.LOAD_LEDGER WHERE SOURCE = 'parts' AND STATUS = 'loaded'")
    trial = place.run(limit=2)
    assert {row[1] for row in place.ledger(dead[0])} == {"trial"}
    assert place.raw("orders", dead[0]) == place.raw("orders", trial.batch_id) == []
    assert objects() == before
    assert run_flow("reconcile", source="parts") == ()


_counter = itertools.count(1)
_names = st.text(alphabet="ab1_-. ä", min_size=1, max_size=4).map(lambda middle: f"orders_{middle}.csv")
_part_files = st.dictionaries(_names, st.integers(1, 4), min_size=1, max_size=4)


@pytest.mark.soak
def test_any_set_of_part_files_is_in_raw_once_also_after_a_kill(
    project: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory, query: Query
) -> None:
    """Whatever the files are called and however many there are, and wherever the run before died: RAW has each record of each
    file once, by file and number, and S3, ledger and RAW agree."""
    from flows import blocks

    whole = read.read_source("parts")
    source = replace(
        whole, tables=(whole.table("orders"),)
    )  # what these batches deliver; others have delivered the rest
    (table,) = source.tables

    def load_all(folder: Path, batch: str, moments: int | None) -> None:
        life, number = Life(moments), next(_counter)
        info = RunInfo(batch, f"run-{number}", holder=f"{os.uname().nodename}/4194304/{number}.00")
        client: Any = Mortal(blocks.s3_client(settings), life)
        with blocks.snowflake(settings, settings.loader_role, {"step": "test"}) as connection, suppress(Killed):
            ledger = Ledger(Mortal(connection, life), settings.database, source.name)  # type: ignore[arg-type]
            holder, left = lease.take(ledger, info, 10)
            recover(ledger, client, settings.bucket, whole, holder, left)
            listing = inventory(source, [path.name for path in folder.iterdir()])
            landed = LandedTable(
                tuple(
                    land(client, settings.bucket, source, table, folder / name, batch, None)
                    for name in listing.files["orders"]
                )
            )
            stored = partial(s3.etags, client, settings.bucket)
            load(ledger.connection, source, table, landed, holder, ledger.database, stored)
            publish(ledger, holder, [table.raw_name])
            lease.give_back(ledger, holder, closed=True)

    @hypothesis_settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_part_files, _part_files, st.integers(0, 60))
    def holds(first: dict[str, int], second: dict[str, int], dies: int) -> None:
        folder = tmp_path_factory.mktemp("parts")
        for files, moments in ((first, None), (second, dies), (second, None)):
            for path in folder.iterdir():
                path.unlink()
            for name, rows in files.items():
                lines = [f"{name}/{n},s" for n in range(1, rows + 1)]
                (folder / name).write_text("\n".join(["id,site", *lines]) + "\n", encoding="utf-8")
            batch = f"2027{next(_counter):04d}_000000"
            load_all(folder, batch, moments)
        with blocks.snowflake(settings, settings.loader_role, {"step": "test"}) as connection:
            ledger = Ledger(connection, settings.database, source.name)
            assert set(current(ledger.published(), table, None)) == set(second)
            assert reconcile(ledger, blocks.s3_client(settings), settings.bucket, whole) == ()
        rows = query(f"SELECT ID, _SOURCE_ROW_NUMBER FROM RAW.PARTS_ORDERS WHERE _BATCH_ID = '{batch}'")
        assert sorted(map(tuple, rows)) == sorted(
            (f"{f}/{n}", n) for f, most in second.items() for n in range(1, most + 1)
        )
        files = query(f"SELECT COUNT(DISTINCT _SOURCE_FILENAME) FROM RAW.PARTS_ORDERS WHERE _BATCH_ID = '{batch}'")
        assert files[0][0] == len(second)

    holds()
