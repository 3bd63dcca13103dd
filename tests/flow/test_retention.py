"""Retention by the contract: an expired load is deleted whole, rows and objects, also after a kill; nothing else is deleted."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from flows import lease
from flows.clients.snowflake import run
from flows.contract.model import Retention, Source
from flows.errors import ConfigurationError
from flows.steps import retention
from flows.steps.reconcile import reconcile
from flows.steps.replay import restore_landed
from flows.steps.retention import expire
from tests.flow.test_ledger_machine import Killed, Life
from tests.flow.test_set_aside import Bench, Files, bench  # noqa: F401 - the fixture

pytestmark = pytest.mark.xdist_group("flow")
FILES: Files = {"hospitals": [("1", "2"), ("2", "-1")], "wards": [("1", "1")], "visits": [("1", "", "Dr A")]}


def published(bench: Bench, source: Source, days_ago: int) -> str:  # noqa: F811
    """Publish a batch that was delivered so many days ago; return its id."""
    info = bench.load(FILES)
    bench.publish(info, FILES)
    ledger = bench.ledger()
    run(
        ledger.connection,
        f"UPDATE RAW.LOAD_LEDGER SET STARTED_AT = DATEADD('day', -{days_ago}, STARTED_AT) WHERE BATCH_ID = '{info.batch_id}'",
    )
    lease.give_back(ledger, info, closed=True)
    return info.batch_id


def left(bench: Bench, batch: str) -> dict[str, tuple[int, int]]:  # noqa: F811
    """Return table → how many rows a batch has, with those set aside, and how many objects, under raw/ and archive/."""
    keys = [
        o["Key"]
        for top in ("raw", "archive")
        for o in bench.client.list_objects_v2(Bucket=bench.settings.bucket, Prefix=f"{top}/aside/").get("Contents", [])
        if f"/{batch}/" in o["Key"]
    ]
    rows, aside = bench.everywhere(batch)
    return {
        table.name: (len(rows[table.name]) + len(aside[table.name]), sum(f"/{table.stem}/" in key for key in keys))
        for table in bench.source.tables
    }


def differences(bench: Bench, *batches: str) -> list[Any]:  # noqa: F811
    found = reconcile(bench.ledger(), bench.client, bench.settings.bucket, bench.source)
    return [d for d in found if any(batch in d.where for batch in batches)]


def test_a_load_goes_when_its_retention_is_over_also_after_a_kill(
    bench: Bench,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hospitals, wards, visits = bench.source.tables
    kept = (
        replace(hospitals, retention=Retention(3, "month")),
        replace(wards, retention=Retention(400, "day")),
        visits,
    )
    source = replace(bench.source, tables=kept)
    whole = {"hospitals": (2, 1), "wards": (1, 1), "visits": (1, 1)}
    without = {**whole, "hospitals": (0, 0)}
    old, fresh, newest = published(bench, source, 100), published(bench, source, 80), published(bench, source, 95)
    ledger, client, bucket = bench.ledger(), bench.client, bench.settings.bucket
    ended = f"UPDATE RAW.LOAD_LEDGER SET FINISHED_AT = DATEADD('day', -5, SYSDATE()) WHERE BATCH_ID = '{old}'"
    run(ledger.connection, ended)
    info = bench.info()
    holder, _ = lease.take(ledger, info, 10)
    retention.archive(ledger, client, bucket, holder, 3)
    assert left(bench, old) == whole
    assert differences(bench, old, fresh, newest) == []

    # The newest was delivered again, unchanged.
    key = f"SOURCE = 'aside' AND BATCH_ID = '{newest}' AND TABLE_NAME = 'ASIDE_HOSPITALS'"
    run(
        ledger.connection,
        "INSERT INTO RAW.LOAD_LEDGER (BATCH_ID, SOURCE, TABLE_NAME, FILE_NAME, STATUS, UNCHANGED_SINCE, BYTES, CONTENT_SHA256,"
        f" STARTED_AT) SELECT '{holder.batch_id}', SOURCE, TABLE_NAME, FILE_NAME, 'skipped-unchanged', BATCH_ID, BYTES,"
        f" CONTENT_SHA256, DATEADD('day', -1, SYSDATE()) FROM RAW.LOAD_LEDGER WHERE {key}",
    )

    # Killed after the objects were deleted and before the ledger recorded it: the next try finishes.
    with monkeypatch.context() as patched:
        patched.setattr(retention.s3, "delete", killed_after(retention.s3.delete))
        with pytest.raises(Killed):
            expire(ledger, client, bucket, source, holder)
    assert left(bench, old) == without
    done = expire(ledger, client, bucket, source, holder)
    assert {(d.batch_id, d.action) for d in done} == {(old, "deleted")}, "the rows went before"
    assert [left(bench, batch) for batch in (old, fresh, newest)] == [without, whole, whole]
    assert expire(ledger, client, bucket, source, holder) == ()
    assert differences(bench, old, fresh, newest) == []
    (entry,) = ledger.entries(old, "ASIDE_HOSPITALS")
    reason = "retention of the contract: its last delivery is more than 3 months ago"
    assert (entry.status, entry.key, entry.error) == ("undone", None, reason)

    # Killed at any statement: rows go together with their ledger entry, and before the objects.
    shorter = replace(source, tables=(replace(hospitals, retention=Retention(79, "day")),))
    states = []
    for moment in (2, 6, 10, 14, 18, 200):
        with bench.mortal(Life(moment)) as dying, suppress(Killed):
            expire(dying, client, bucket, shorter, holder)
        states.append(left(bench, fresh)["hospitals"])
    assert [*dict.fromkeys(states)] in ([(2, 1), (0, 1), (0, 0)], [(2, 1), (0, 0)])
    assert left(bench, newest) == whole
    assert differences(bench, old, fresh, newest) == []

    everything = replace(source, tables=tuple(replace(t, retention=Retention(1, "day")) for t in source.tables))
    both = retention.plan(ledger, everything, archive_after_days=0, keep=1, quarantined_days=0)
    of_loads = [(d.batch_id, d.name) for d in both if d.action in ("expired", "pruned")]
    assert len(of_loads) == len(set(of_loads)), "a load that expires is not pruned too"
    expiring = {d.name.partition("/")[2] for d in both if d.action == "deleted"}
    assert not [d for d in both if d.action == "archived" and d.name.partition("/")[2] in expiring]
    assert left(bench, newest) == whole, "a plan changes nothing"
    planned = retention.plan(ledger, everything, archive_after_days=10_000, keep=10_000, quarantined_days=10_000)
    assert planned == expire(ledger, client, bucket, everything, holder)
    assert {d.action for d in planned} == {"expired", "deleted"}
    assert left(bench, old) == dict.fromkeys(whole, (0, 0))
    with pytest.raises(
        ConfigurationError, match=f"batch {old} of aside: retention .* more than 3 months ago, and its objects"
    ):
        restore_landed(ledger, client, bucket, source, old, holder)
    lease.give_back(ledger, holder, closed=True)


def killed_after(real: Any) -> Any:
    def dies(*arguments: Any) -> None:
        real(*arguments)
        raise Killed

    return dies
