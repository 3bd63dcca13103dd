"""Names and values that carry SQL, paths or look-alikes: kept as data in a cell, refused as a name."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows import lease
from flows.clients.snowflake import run
from flows.errors import ConfigurationError
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings
from tests.conftest import run_flow

pytestmark = pytest.mark.xdist_group("flow")

NASTY = [
    "'); DROP TABLE RAW.OLIST_SELLERS; --",
    'x"; DROP DATABASE CXM_MEDTECH; --',
    "$1 || :1 || {{ database }} || {% raw %}",
    "../../etc/passwd",
    "\\'; SELECT 1; --",
    "=cmd|' /C calc'!A0",
    "ＤＲＯＰ ＴＡＢＬＥ ｘ；",
    "оlist_sеllers",  # two Cyrillic letters
    "\u202egnp.exe",
    "line\nbreak\r\n--",
]


def test_cells_and_folders_that_look_like_sql_are_data(
    small: Path, tmp_path: Path, run_pipeline: Callable[..., Any], query: Callable[..., Any]
) -> None:
    folder = tmp_path / "o'; DROP TABLE RAW.OLIST_ORDERS; --" / '..$(false) "x" оlist'
    folder.parent.mkdir()
    shutil.move(small, folder)
    with (folder / "olist_sellers_dataset.csv").open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(
            [f"{i:032x}", "01001", text, "SP"] for i, text in enumerate(NASTY)
        )
    tables = query("SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'RAW'")
    summary = run_pipeline(folder)
    assert summary.published
    cities = query(
        f"SELECT SELLER_CITY FROM RAW.OLIST_SELLERS WHERE _BATCH_ID = '{summary.batch_id}' "
        f"ORDER BY _SOURCE_ROW_NUMBER DESC LIMIT {len(NASTY)}"
    )
    assert [city for (city,) in reversed(cities)] == NASTY
    assert query("SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'RAW'") == tables


@pytest.mark.parametrize("source", ["../olist", "olist'; --", "оlist", "OLIST", "olist\n", "", "olist/../olist"])
def test_a_source_is_known_by_its_exact_name_or_refused(source: str, settings: Settings) -> None:
    from flows.cli import main

    for arguments in (["run", "--source", source], ["reconcile", "--source", source], ["unlock", source]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code not in (0, 1), result.output
        assert isinstance(result.exception, ConfigurationError | SystemExit)


@pytest.mark.parametrize(
    "batch",
    ["20261122_101500\n", "20261122_10150０", "2026-11-22", "%", "20261122_101500' OR '1'='1", "../20261122_101500"],
)
def test_a_batch_id_is_digits_or_refused(batch: str, settings: Settings, query: Callable[..., Any]) -> None:
    before = query("SELECT COUNT(*), COUNT_IF(STATUS = 'undone') FROM RAW.LOAD_LEDGER")
    for name in ("undo", "replay"):
        with pytest.raises(ConfigurationError, match="expected YYYYMMDD_HHMMSS"):
            run_flow(name, batch=batch)
    assert query("SELECT COUNT(*), COUNT_IF(STATUS = 'undone') FROM RAW.LOAD_LEDGER") == before


@pytest.mark.parametrize("text", NASTY)
def test_the_ledger_keeps_any_text_as_it_is(text: str, settings: Settings, query: Callable[..., Any]) -> None:
    from flows import blocks

    with blocks.snowflake(settings, settings.loader_role, {"step": "test"}) as connection:
        ledger = Ledger(connection, settings.database, f"test {text}")
        run(connection, "INSERT INTO RAW.LOAD_LEASE (SOURCE, TOKEN) VALUES (:1, 0)", (ledger.source,))
        info = RunInfo("20010101_000000", text, text, holder=f"{text}/1/1.00")
        row = {"table_name": text, "file_name": text, "s3_key": text, "bytes": 1, "content_sha256": text}
        ledger.insert(info, "landed", [row], text)
        (entry,) = ledger.entries("20010101_000000")
        assert (entry.table, entry.file, entry.key, entry.sha256, entry.error) == (text,) * 5
        ledger.mark("20010101_000000", "undone", ("landed",), 1, text, text)
        lease.take(ledger, info, 1)
        assert lease.unlock(ledger) == info.holder
    for table in ("LOAD_LEDGER", "LOAD_LEASE"):
        query(f"DELETE FROM RAW.{table} WHERE SOURCE LIKE 'test %'")
