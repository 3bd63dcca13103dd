"""A file that nobody described: drafted, synced, run and built by dbt, with no line of YAML touched by hand."""

from __future__ import annotations

import csv
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.contract import drafts, read, sync
from flows.settings import PROJECT, Settings
from flows.steps import handoff
from flows.steps.draft import profile_files
from tests.conftest import run_flow

pytestmark = pytest.mark.xdist_group("flow")

HEADER = ["Visit Id", "group", "Nome do Médico", "Total (R$)", "ok", "day", "seen at", "état", "code"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random.seed(3)
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / "field_visits.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [
            [f"V{i}", random.choice("ab"), f'Ana, "{i}"\nx', f"{i}.25", random.choice(["true", "false"]),
             f"2024-02-{i % 28 + 1:02}", f"2024-02-{i % 28 + 1:02} 10:00:00", "null" if i % 2 else "", f"00{i}"]
            for i in range(300)
        ]  # fmt: skip
        csv.writer(file).writerows([HEADER, *rows])
    return folder


@pytest.fixture
def project(settings: Settings, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the contracts and of what derives from them, with a drafted contract more; the flows read the copy."""
    from flows import tasks  # once the environment names the stack's Prefect server

    copy = tmp_path / "project"
    for folder in ("data_dictionary", "expectations", "dbt"):
        shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("target", "logs", "uncommitted"))
    text = drafts.add_entries(copy, "ward", profile_files([data / "field_visits.csv"], "ward"))
    (copy / "data_dictionary" / "ward.odcs.yaml").write_text(text, encoding="utf-8")
    sync.sync(copy)
    monkeypatch.setattr(read, "PROJECT", copy)
    monkeypatch.setattr(read.sources, "__defaults__", (copy,))
    monkeypatch.setattr(tasks, "PROJECT", copy)
    yield copy
    shutil.rmtree(settings.home / "dbt" / "target")  # dbt keeps what it parsed, by path and time of change


@pytest.mark.soak
def test_a_drafted_file_is_published_and_staged_without_a_change(
    settings: Settings, project: Path, data: Path, query: Callable[..., Any]
) -> None:
    run_flow("provision")
    run = run_flow("pipeline", source="ward", data=str(data))
    (table,) = run.tables
    assert (table.rows_file, table.rows_raw, table.load, table.validation) == (300, 300, "loaded", "passed")
    from flows import blocks

    environment = handoff.dbt_environment(blocks.with_login(settings))
    built = handoff.build(project / "dbt" / "cxm_medtech", environment, settings.home / "dbt", "stg_ward__field_visits")
    assert built.clean, built.problems
    counted = query("SELECT COUNT(*), COUNT(DISTINCT VISIT_ID), MAX(CODE) FROM STG.STG_WARD__FIELD_VISITS")
    assert counted == [(300, 300, "0099")]
