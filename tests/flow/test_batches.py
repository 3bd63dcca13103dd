"""Undo, replay, archive and prune; what reconcile finds; one run at a time."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows import lease
from flows.clients import s3
from flows.errors import BusyError, ConfigurationError, DataError
from flows.ledger import Ledger, RunInfo, batches
from flows.settings import Settings
from tests.conftest import olist_files, run_flow

pytestmark = pytest.mark.xdist_group("flow")

Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def two(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """Two published batches: nine generated tables, then the sellers again with one row more; their ids, the folder."""

    directory = tmp_path_factory.mktemp("batches") / "olist"
    olist_files(directory, scale=0.001, seed=4711)
    first = run_flow("pipeline", data=str(directory), force=True)  # the category names are the same in every draw
    with (directory / "olist_sellers_dataset.csv").open("ab") as file:
        file.write(b'"%s","01001","sao paulo","SP"\n' % (b"e" * 32))
    second = run_flow("pipeline", data=str(directory))
    assert [t.table for t in second.tables if t.load == "loaded"] == ["sellers"]
    return first.batch_id, second.batch_id, directory


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The ledger of olist, over its own connection."""
    from flows import blocks

    with blocks.snowflake(settings, settings.loader_role, {"step": "test"}) as connection:
        yield Ledger(connection, settings.database, "olist")


def rows_of(query: Query, batch: str, table: str = "OLIST_SELLERS") -> int:
    return int(query(f"SELECT COUNT(*) FROM RAW.{table} WHERE _BATCH_ID = '{batch}'")[0][0])


def test_undo_takes_a_batch_out_and_the_one_before_it_is_published(
    two: tuple[str, str, Path], query: Query, ledger: Ledger
) -> None:
    first, second, directory = two
    sellers = "OLIST_SELLERS", "olist_sellers_dataset.csv"
    before = rows_of(query, second)
    assert ledger.published()[sellers].batch_id == second
    gone = run_flow("undo", batch=second)
    assert [(g.table, g.rows) for g in gone] == [("OLIST_SELLERS", before)]
    assert rows_of(query, second) == 0
    assert rows_of(query, first) == before - 1
    assert ledger.published()[sellers].batch_id == first
    assert run_flow("undo", batch=second) == (), "a second undo finds nothing left to do"
    assert run_flow("reconcile") == ()

    replayed = run_flow("replay", batch=second)
    assert [(t.table, t.rows_raw, t.load) for t in replayed.tables] == [("sellers", before, "loaded")]
    assert ledger.published()[sellers].batch_id == second
    with (directory / sellers[1]).open(encoding="utf-8", newline="") as file:
        _, *records = csv.reader(file)
    columns = "SELLER_ID, SELLER_ZIP_CODE_PREFIX, SELLER_CITY, SELLER_STATE"
    rows = query(f"SELECT {columns} FROM RAW.OLIST_SELLERS WHERE _BATCH_ID = '{second}' ORDER BY _SOURCE_ROW_NUMBER")
    assert rows == [tuple(v or None for v in record) for record in records]


def test_replay_again_leaves_each_row_once(two: tuple[str, str, Path], query: Query) -> None:
    _, second, _ = two
    before = rows_of(query, second)
    run_flow("replay", batch=second)
    assert rows_of(query, second) == before
    assert run_flow("reconcile") == ()


@pytest.mark.soak
def test_an_archived_batch_can_be_replayed(
    two: tuple[str, str, Path],
    query: Query,
    objects: Callable[[], set[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second, _ = two
    before = rows_of(query, second)
    monkeypatch.setenv("CXM_ARCHIVE_AFTER_DAYS", "0")
    time.sleep(2)  # "more than 0 days ago": the verdict on the replay of a moment ago has to be past
    done = run_flow("maintenance", source="olist")
    assert {d.action for d in done} == {"archived"}
    keys = {key for key in objects() if first in key or second in key}
    assert len(keys) == 10
    assert all(key.startswith("archive/olist/") for key in keys)
    assert run_flow("maintenance", source="olist") == (), "nothing is left to archive"

    run_flow("replay", batch=second)
    assert rows_of(query, second) == before
    assert f"raw/olist/olist_sellers_dataset/{second}/olist_sellers_dataset.csv.zst" in objects()
    assert run_flow("reconcile") == ()


@pytest.mark.soak
def test_an_object_that_was_copied_but_not_deleted_is_finished_by_the_next_maintenance(
    two: tuple[str, str, Path], settings: Settings, ledger: Ledger, objects: Callable[[], set[str]]
) -> None:
    from flows import blocks

    archived = next(str(o["s3_key"]) for o in ledger.objects() if str(o["s3_key"]).startswith("archive/"))
    old = "raw/" + archived.removeprefix("archive/")
    blocks.s3_client(settings).copy({"Bucket": settings.bucket, "Key": archived}, settings.bucket, old)
    with pytest.raises(DataError, match="object in two places"):
        run_flow("reconcile")
    run_flow("maintenance", source="olist")
    assert old not in objects()
    assert archived in objects()


def test_prune_keeps_the_newest_validated_load_of_every_file(
    two: tuple[str, str, Path], query: Query, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.cli import main

    first, _, _ = two
    published = {key: (p.batch_id, p.records) for key, p in ledger.published().items()}
    monkeypatch.setenv("CXM_KEEP_BATCHES", "1")
    before = rows_of(query, first)
    assert before > 0
    shown = CliRunner().invoke(main, ["maintenance", "--source", "olist", "--dry-run"])
    assert (shown.exit_code, "nothing is changed" in shown.output) == (0, True), shown.output
    assert rows_of(query, first) == before, "a dry run deletes nothing"
    planned = CliRunner().invoke(main, ["maintenance", "--source", "olist", "--dry-run", "--json"])
    done = run_flow("maintenance", source="olist")
    assert ("pruned", first, "OLIST_SELLERS") in {(d.action, d.batch_id, d.name) for d in done}
    assert json.loads(planned.stdout) == [asdict(d) for d in done]
    again = CliRunner().invoke(main, ["maintenance", "--source", "olist", "--dry-run", "--json"])
    assert json.loads(again.stdout) == []
    assert {key: (p.batch_id, p.records) for key, p in ledger.published().items()} == published
    for (table, _), (batch, records) in published.items():
        assert rows_of(query, batch, table) == records
    assert rows_of(query, first) == 0
    assert run_flow("reconcile") == ()


@pytest.mark.parametrize("batch", ["", "yesterday", "20261122", "20261122_1015", "20261122_101500'; DROP TABLE X; --"])
def test_what_is_no_batch_id_is_refused(batch: str, settings: Settings) -> None:
    for name in ("undo", "replay"):
        with pytest.raises(ConfigurationError, match="expected YYYYMMDD_HHMMSS"):
            run_flow(name, batch=batch)


def test_an_unknown_batch_is_refused_with_the_known_ones(two: tuple[str, str, Path]) -> None:
    from flows.cli import main

    for name in ("undo", "replay"):
        result = CliRunner().invoke(main, [name, "19990101_000000"], catch_exceptions=True)
        said = result.output + str(result.exception or "")
        assert result.exit_code != 0
        assert "not in the ledger" in said
        assert two[1] in said


def test_a_batch_that_brought_nothing_cannot_be_replayed(two: tuple[str, str, Path]) -> None:
    again = run_flow("pipeline", data=str(two[2]))
    assert again.unchanged
    with pytest.raises(ConfigurationError, match="its files were unchanged"):
        run_flow("replay", batch=again.batch_id)


def test_force_loads_what_is_published_already(two: tuple[str, str, Path], query: Query) -> None:
    forced = run_flow("pipeline", data=str(two[2]), force=True)
    assert {t.load for t in forced.tables} == {"loaded"}
    assert rows_of(query, forced.batch_id) == rows_of(query, two[1])


def test_reconcile_names_every_kind_of_difference(
    two: tuple[str, str, Path], settings: Settings, query: Query, ledger: Ledger
) -> None:
    from flows import blocks, tasks

    client = blocks.s3_client(settings)
    batch = ledger.published()["OLIST_ORDERS", "olist_orders_dataset.csv"].batch_id
    stray = f"raw/olist/olist_orders_dataset/{batch}/by_hand.csv"
    key = f"raw/olist/olist_orders_dataset/{batch}/olist_orders_dataset.csv.zst"
    body = client.get_object(Bucket=settings.bucket, Key=key)["Body"].read()
    lost = f"raw/olist/olist_sellers_dataset/{batch}/olist_sellers_dataset.csv.zst"
    lost_body = client.get_object(Bucket=settings.bucket, Key=lost)["Body"].read()
    client.put_object(Bucket=settings.bucket, Key=stray, Body=b"x")
    client.put_object(Bucket=settings.bucket, Key=key, Body=body + b"\n")
    client.delete_object(Bucket=settings.bucket, Key=lost)
    query("INSERT INTO RAW.OLIST_PRODUCTS (PRODUCT_ID, _BATCH_ID) VALUES ('by hand', '20010101_000000')")
    query(f"DELETE FROM RAW.OLIST_CUSTOMERS WHERE _BATCH_ID = '{batch}'")
    query(f"DELETE FROM RAW.OLIST_ORDER_ITEMS WHERE _BATCH_ID = '{batch}' AND _SOURCE_ROW_NUMBER = 1")
    try:
        got = {(d.kind, d.where) for d in tasks.reconcile.fn("olist")}
        assert got == {
            ("object without ledger row", f"s3://{settings.bucket}/{stray}"),
            ("object of another size", f"s3://{settings.bucket}/{key}"),
            ("ledger row without object", f"s3://{settings.bucket}/{lost}"),
            ("rows without ledger", "RAW.OLIST_PRODUCTS, batch 20010101_000000"),
            ("ledger without rows", f"RAW.OLIST_CUSTOMERS, batch {batch}"),
            ("rows differ from ledger", f"RAW.OLIST_ORDER_ITEMS, batch {batch}"),
        }
        with pytest.raises(DataError, match="differ in 6 places"):
            run_flow("reconcile")
    finally:
        client.delete_object(Bucket=settings.bucket, Key=stray)
        client.put_object(Bucket=settings.bucket, Key=key, Body=body)
        client.put_object(Bucket=settings.bucket, Key=lost, Body=lost_body)
        query("DELETE FROM RAW.OLIST_PRODUCTS WHERE _BATCH_ID = '20010101_000000'")
        run_flow("replay", batch=batch)
    assert run_flow("reconcile") == ()


def test_while_a_run_is_at_work_another_is_refused_and_writes_nothing(
    two: tuple[str, str, Path], ledger: Ledger, query: Query, objects: Callable[[], set[str]]
) -> None:
    other = RunInfo("20991231_235959", flow_run_id="another-run")
    other, _ = lease.take(ledger, other, 10)
    try:
        before = query("SELECT COUNT(*) FROM RAW.LOAD_LEDGER"), objects()
        for name, parameters in (
            ("pipeline", {"data": str(two[2]), "force": True}),
            ("undo", {"batch": two[1]}),
            ("replay", {"batch": two[1]}),
            ("maintenance", {"source": "olist"}),
        ):
            with pytest.raises(BusyError, match="20991231_235959 is at work") as caught:
                run_flow(name, **parameters)
            assert caught.value.exit_code == BusyError.exit_code
        assert (query("SELECT COUNT(*) FROM RAW.LOAD_LEDGER"), objects()) == before
    finally:
        lease.give_back(ledger, other, closed=True)
    assert run_flow("pipeline", data=str(two[2])).published


def test_a_run_whose_lease_was_taken_writes_no_more(two: tuple[str, str, Path], ledger: Ledger) -> None:
    slow, other = RunInfo("20991231_000001", "slow"), RunInfo("20991231_000002", "other")
    slow, _ = lease.take(ledger, slow, 10)
    assert lease.unlock(ledger) == slow.holder
    with pytest.raises(BusyError, match="lost its lease"):
        lease.check(ledger, slow)
    other, left = lease.take(ledger, other, 10)
    assert other.token > slow.token
    try:
        assert left == (slow.batch_id,)
        with pytest.raises(BusyError, match="20991231_000002 took over"):
            lease.check(ledger, slow)
        with pytest.raises(BusyError, match="20991231_000002 took over"):
            lease.renew(ledger, slow, 10)
        lease.give_back(ledger, slow, closed=True)  # what a run does at its end must not free another's lease
        lease.check(ledger, other)
        lease.recovered(ledger, other, slow.batch_id)
    finally:
        lease.give_back(ledger, other, closed=True)


def test_the_lease_of_a_process_that_is_gone_is_free(two: tuple[str, str, Path], ledger: Ledger) -> None:
    import socket

    dead = RunInfo("20991231_000003", "dead", holder=f"{socket.gethostname()}/4194304/1.00")
    far = RunInfo("20991231_000004", "far", holder="another-host/1/1.00")
    mine = RunInfo("20991231_000005", "mine")
    lease.take(ledger, dead, 10)
    assert lease.take(ledger, far, 10)[1] == (dead.batch_id,)
    with pytest.raises(BusyError):  # whether a process on another host is alive is unknown until its lease expires
        lease.take(ledger, mine, 10)
    elsewhere = RunInfo("20991231_000004", "far", holder="a-third-host/1/1.00")
    assert lease.take(ledger, elsewhere, 1 / 60)[1] == (dead.batch_id,), "noted until it is recovered"
    time.sleep(1.1)
    mine, left = lease.take(ledger, mine, 10)
    assert left == (dead.batch_id, far.batch_id)
    for batch_id in left:
        lease.recovered(ledger, mine, batch_id)
    lease.give_back(ledger, mine, closed=True)


def test_batches_lists_what_each_run_did(two: tuple[str, str, Path]) -> None:
    from flows.cli import main

    result = CliRunner().invoke(main, ["batches", "--source", "olist", "--limit", "500", "--json"])
    assert result.exit_code == 0, result.output
    rows = {row["batch_id"]: row for row in json.loads(result.stdout)}
    assert rows[two[1]]["table_count"] == 9
    assert rows[two[1]]["object_count"] == 1
    assert "validated" in rows[two[1]]["status"]
    assert rows[two[1]]["flow_run_url"].startswith("http")


def test_an_object_that_was_changed_between_landing_and_loading_is_not_loaded(
    two: tuple[str, str, Path], settings: Settings, ledger: Ledger, query: Query
) -> None:
    from flows import blocks
    from flows.contract.read import read_source
    from flows.steps.land import land
    from flows.steps.load import load

    client, olist = blocks.s3_client(settings), read_source("olist")
    table, info = olist.table("sellers"), RunInfo("20991231_000009", "by-steps")
    info, _ = lease.take(ledger, info, 10)
    try:
        path = two[2] / table.file
        landed = land(client, settings.bucket, olist, table, path, info.batch_id, None, codec="none")
        short = b"".join(path.read_bytes().splitlines(keepends=True)[:-1])
        client.put_object(Bucket=settings.bucket, Key=landed.keys[0], Body=short)
        stored = partial(s3.etags, client, settings.bucket)
        with pytest.raises(DataError, match=rf"{landed.records} records in the file, {landed.records - 1} rows in"):
            load(ledger.connection, olist, table, landed, info, settings.database, stored)
        assert rows_of(query, info.batch_id) == 0
        (entry,) = ledger.entries(info.batch_id)
        assert (entry.status, entry.rows_loaded) == ("quarantined", 0)
        assert "rolled back" in str(entry.error)
        client.delete_object(Bucket=settings.bucket, Key=landed.keys[0])
        with pytest.raises(DataError):
            load(ledger.connection, olist, table, landed, info, settings.database, stored, replay=True)
        assert rows_of(query, info.batch_id) == 0
    finally:
        query(f"DELETE FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{info.batch_id}'")
        lease.give_back(ledger, info, closed=True)


def test_an_object_that_was_written_over_with_as_many_records_is_not_loaded_and_reconcile_names_it(
    two: tuple[str, str, Path], settings: Settings, ledger: Ledger, query: Query
) -> None:
    from flows import blocks
    from flows.contract.read import read_source
    from flows.steps.land import land
    from flows.steps.load import load
    from flows.steps.reconcile import reconcile

    client, olist = blocks.s3_client(settings), read_source("olist")
    table, info = olist.table("sellers"), RunInfo("20991231_000011", "by-steps")
    info, _ = lease.take(ledger, info, 10)
    stored = partial(s3.etags, client, settings.bucket)
    try:
        path = two[2] / table.file
        landed = land(client, settings.bucket, olist, table, path, info.batch_id, None, codec="none")
        (key,), good = landed.keys, path.read_bytes()
        other = good.replace(b"0", b"1")
        assert (len(other), other.count(b"\n")) == (len(good), good.count(b"\n"))
        client.put_object(Bucket=settings.bucket, Key=key, Body=other)
        with pytest.raises(DataError, match=rf"{key}: somebody wrote over it.*expected ETag \w+, got \w+.*rolled back"):
            load(ledger.connection, olist, table, landed, info, settings.database, stored)
        assert rows_of(query, info.batch_id) == 0
        (entry,) = ledger.entries(info.batch_id)
        assert (entry.status, entry.rows_loaded) == ("quarantined", 0)
        got = reconcile(ledger, client, settings.bucket, olist)
        assert [(d.kind, d.where) for d in got] == [("object of other bytes", f"s3://{settings.bucket}/{key}")]
        with pytest.raises(DataError, match="somebody wrote over it"):
            s3.move(client, settings.bucket, key, f"archive/{key.removeprefix('raw/')}", entry.etag)
        assert reconcile(ledger, client, settings.bucket, olist) == got, "nothing of it was copied"

        client.put_object(Bucket=settings.bucket, Key=key, Body=good)  # as the message says: that version restored
        loaded = load(ledger.connection, olist, table, landed, info, settings.database, stored, replay=True)
        assert loaded.rows == landed.records
    finally:
        query(f"DELETE FROM RAW.OLIST_SELLERS WHERE _BATCH_ID = '{info.batch_id}'")
        query(f"DELETE FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{info.batch_id}'")
        client.delete_object(Bucket=settings.bucket, Key=key)
        lease.give_back(ledger, info, closed=True)


@pytest.mark.soak
def test_what_was_loaded_last_is_read_whenever_its_run_was_to_start(
    two: tuple[str, str, Path], ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import prefect_ui

    now = datetime.now(UTC)

    def run(hours: int) -> Any:
        monkeypatch.setattr(prefect_ui, "expected_start", lambda: now + timedelta(hours=hours))
        # New orders with new customers and items: validated against another batch's they would all be orphans.
        return run_flow("pipeline", data=str(olist_files(tmp_path / str(hours), scale=0.001, seed=5000 + hours)))

    before = ledger.published()
    early, late = run(6), run(-6)
    assert late.batch_id < two[1] < early.batch_id
    sellers = "OLIST_SELLERS", "olist_sellers_dataset.csv"
    assert ledger.published()[sellers].batch_id == late.batch_id
    assert early.batch_id not in {p.batch_id for p in ledger.published().values()}
    beyond = ledger.prunable(1, 30)
    assert (early.batch_id, "OLIST_SELLERS") in beyond
    assert (late.batch_id, "OLIST_SELLERS") not in beyond
    newest = batches(ledger.connection, ledger.database, "olist", limit=2)
    assert [row["batch_id"] for row in newest] == [late.batch_id, early.batch_id]

    run_flow("replay", batch=early.batch_id)
    assert ledger.published()[sellers].batch_id == late.batch_id, "a replay keeps its batch's place"
    run_flow("undo", batch=late.batch_id)
    assert ledger.published()[sellers].batch_id == early.batch_id
    run_flow("undo", batch=early.batch_id)
    assert ledger.published() == before
