"""A table whose file is split loads as one: every row once, a ledger row per object, one COPY for as many as FILES takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows import blocks, lease
from flows.clients import s3
from flows.contract.model import Source
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings
from flows.steps import load as loading
from flows.steps.land import csv_fast, csv_strict, land
from flows.steps.publish import publish
from tests.conftest import olist_files

TABLE = "geolocation"


@pytest.fixture
def batch_id() -> str:
    time.sleep(1)  # ids count seconds
    return datetime.now(UTC).strftime("%Y%m%d_%H%M%S")


@pytest.mark.soak
@pytest.mark.parametrize("names_at_once", [1000, 2])
@pytest.mark.parametrize("codec", ["zstd", "gzip", "none"])
def test_a_split_file_loads_every_row_once(
    codec: Any,
    names_at_once: int,
    batch_id: str,
    olist: Source,
    tmp_path: Path,
    settings: Settings,
    query: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if codec != "zstd" and names_at_once == 2:
        pytest.skip("one codec is enough")
    monkeypatch.setattr(csv_fast, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(csv_strict, "RECORDS_AT_ONCE", 50)
    monkeypatch.setattr(loading, "MOST_FILES", names_at_once)
    table = olist.table(TABLE)
    client = blocks.s3_client(settings)
    info = RunInfo(batch_id, "split")
    olist_files(tmp_path, scale=0.03, seed=7)
    path = tmp_path / table.file
    landed = land(client, settings.bucket, olist, table, path, batch_id, None, codec=codec, object_bytes=100_000)
    assert len(landed.objects) > 2
    with blocks.snowflake(settings, settings.loader_role, {"step": "test"}) as connection:
        ledger = Ledger(connection, settings.database, olist.name)
        info, _ = lease.take(ledger, info, 5)
        try:
            loaded = loading.load(
                connection, olist, table, landed, info, settings.database, partial(s3.etags, client, settings.bucket)
            )
            entries = ledger.entries(batch_id)
            publish(ledger, info, [table.raw_name])
        finally:
            lease.give_back(ledger, info, closed=True)
    assert (loaded.rows, loaded.files) == (landed.records, len(landed.objects))
    assert {(e.key, e.records, e.rows_loaded) for e in entries} == {
        (landed.folder + o.name, o.records, o.records) for o in landed.objects
    }
    copies = {e.query_id for e in entries}
    assert len(copies) == -(-len(landed.objects) // names_at_once)
    rows = query(
        "SELECT _SOURCE_FILENAME, COUNT(*), COUNT(DISTINCT _SOURCE_ROW_NUMBER), "
        "COUNT_IF(GEOLOCATION_STATE = 'geolocation_state') "
        f"FROM RAW.{table.raw_name} WHERE _BATCH_ID = '{batch_id}' GROUP BY 1"
    )
    assert sorted(rows) == sorted((landed.folder + o.name, o.records, o.records, 0) for o in landed.objects)
