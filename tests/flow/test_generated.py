"""Generated rows: only if no other files exist, marked in every output, and never over real ones."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flows.cli import main
from flows.errors import ConfigurationError
from flows.ledger import RunInfo
from flows.settings import Settings
from tests.conftest import run_flow

pytestmark = pytest.mark.xdist_group("flow")


@pytest.fixture
def data(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for files of olist, and a new environment, in which nothing was loaded yet."""
    monkeypatch.setenv("CXM_ENV", "made")
    monkeypatch.setenv("CXM_DATA", str(tmp_path))
    (tmp_path / "olist").mkdir()
    return tmp_path / "olist"


def cxm(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_generated_rows_are_marked_and_never_stand_over_real_ones(
    data: Path, settings: Settings, query: Callable[..., list[tuple[Any, ...]]]
) -> None:
    from prefect.client.orchestration import get_client

    from flows import blocks

    ledger = "SELECT IS_GENERATED, COUNT(*) FROM CXM_MEDTECH_MADE.RAW.LOAD_LEDGER GROUP BY 1 ORDER BY 1"

    run = cxm("run", "--scale", "0.001")
    assert run.exit_code == 0, run.output
    assert "generated" in run.output.splitlines()[-1]
    assert query(ledger) == [(True, 9)]
    with get_client(sync_client=True) as client:
        flow_run = max(client.read_flow_runs(), key=lambda r: r.expected_start_time or r.created)
        assert "generated" in flow_run.tags
        assert "(generated)" in str(flow_run.state.message if flow_run.state else "")
    (made,) = json.loads(cxm("batches", "--json").output)
    assert made["is_generated"] is True

    # A batch of real rows is published, and its files are deleted again.
    with blocks.ledger(Settings(), "olist", {"step": "test"}) as real:
        row = {"table_name": "OLIST_ORDERS", "file_name": "o.csv", "bytes": 1, "content_sha256": "0" * 64}
        real.insert(RunInfo("29990101_000000"), "validated", [row])
    before = query(ledger)
    again = cxm("run", "--scale", "0.001")
    assert again.exit_code == 2, again.output
    assert "source olist has real ones (batch 29990101_000000)" in again.output
    assert f"Put the files into {data}" in again.output
    folder = settings.home / "generated" / "0.001" / "olist"
    with pytest.raises(ConfigurationError, match="generated rows never replace"):
        run_flow("pipeline", source="olist", data=str(folder), force=True)
    with pytest.raises(ConfigurationError, match="generated rows never replace"):
        run_flow("replay", batch=made["batch_id"], source="olist")
    assert query(ledger) == before
    free = "SELECT COUNT(*) FROM CXM_MEDTECH_MADE.RAW.LOAD_LEASE WHERE HOLDER IS NOT NULL"
    assert query(free) == [(0,)], "a refused run gives the lease back"


def test_a_source_that_nobody_loaded_is_not_late(data: Path) -> None:
    from flows import operations

    run_flow("provision")
    state = operations.freshness(source="synthetic", return_state=True)
    assert state.is_completed(), state.message
    assert str(state.message).startswith("never loaded: nothing of synthetic was published yet")
    assert {one.status for one in state.result()} == {"never loaded"}


@pytest.mark.soak
def test_an_archive_in_the_folder_loads_as_its_files_do(
    data: Path, small: Path, monkeypatch: pytest.MonkeyPatch, query: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """Kaggle's download as it comes, with one of its files gzipped; the unpacked files are unchanged afterwards."""
    monkeypatch.setenv("CXM_ENV", "packed")
    with zipfile.ZipFile(data / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(small.glob("*.csv")):
            content = path.read_bytes()
            if path.name == "olist_sellers_dataset.csv":
                archive.writestr(f"Olist data/{path.name}.gz", gzip.compress(content))
            else:
                archive.writestr(f"Olist data/{path.name}", content)
    run = cxm("run", "--json")
    assert run.exit_code == 0, run.output
    tables = {table["table"]: table for table in json.loads(run.stdout)["tables"]}
    for path in small.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            records = sum(1 for _ in csv.reader(file)) - 1
        table = tables[path.stem.removeprefix("olist_").removesuffix("_dataset")]
        assert (table["rows_file"], table["rows_raw"], table["bytes"]) == (records, records, path.stat().st_size)
    names = query("SELECT FILE_NAME FROM CXM_MEDTECH_PACKED.RAW.LOAD_LEDGER WHERE TABLE_NAME = 'OLIST_SELLERS'")
    assert {name for (name,) in names} == {"olist_sellers_dataset.csv"}

    again = cxm("run", "--data", str(small), "--json")
    assert again.exit_code == 0, again.output
    assert {table["load"].split()[0] for table in json.loads(again.stdout)["tables"]} == {"unchanged"}


def test_a_file_that_is_no_archive_is_refused_as_data(data: Path) -> None:
    (data / "notes.txt").write_text("none")
    run = cxm("run", "--data", str(data / "notes.txt"))
    assert run.exit_code == 2
    assert "neither a folder nor a zip or tar archive" in " ".join(run.output.split())
