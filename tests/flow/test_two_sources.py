"""Two sources that load at the same time share the ledger and the warehouse, and neither fails the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from flows.settings import Settings
from flows.synthetic.medtech import generate
from flows.synthetic.shipments import read_shipments

pytestmark = pytest.mark.xdist_group("flow")
DAY = date(2018, 4, 11)


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start `cxm run …` in its own process, on the running stack."""
    command = [str(Path(sys.executable).with_name("cxm")), "run", "--json", *arguments]
    return subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.soak
def test_two_sources_that_load_at_once_are_both_published(
    settings: Settings, olist_published: Path, tmp_path: Path
) -> None:
    days = tmp_path / "days"
    generate(days, read_shipments(olist_published), DAY, DAY, scale=0.05)
    runs = [
        start("--source", "olist", "--data", str(olist_published), "--force"),
        start("--source", "synthetic", "--data", str(days), "--from", str(DAY), "--to", str(DAY)),
    ]
    ended = [(run, *run.communicate(timeout=240)) for run in runs]
    assert [run.returncode for run, _, _ in ended] == [0, 0], [err[-2000:] + out[-2000:] for _, out, err in ended]
    olist = json.loads(ended[0][1])
    assert {table["load"] for table in olist["tables"]} == {"loaded"}
    assert all(table["rows_file"] == table["rows_raw"] for table in olist["tables"])
