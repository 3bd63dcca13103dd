"""Ten awkward, undescribed files are drafted, synced, run and built by dbt, with no line of YAML touched by hand."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.contract import drafts
from flows.contract.read import read_source
from flows.settings import Settings
from flows.steps import build, dbt
from flows.steps.draft import profile_files
from tests import awkward
from tests.conftest import run_flow

pytestmark = pytest.mark.xdist_group("flow")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return awkward.write(tmp_path / "data")


@pytest.fixture
def project(files: list[Path], other_project: Callable[[Callable[[Path], None]], Path]) -> Path:
    """A copy of the project with one more contract, drafted from the files; the flows read the copy."""

    def draft(copy: Path) -> None:
        text = drafts.add_entries(copy, "clinic", profile_files(files, "clinic"))
        (copy / "data_dictionary" / "clinic.odcs.yaml").write_text(text, encoding="utf-8")

    return other_project(draft)


def records(path: Path, nulls: tuple[str, ...]) -> list[tuple[str | None, ...]]:
    """Read the values with Python's csv module; an empty field or a null word is None, as the file format makes it NULL."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        _, *rows = csv.reader(file)
    return [tuple(None if value in ("", *nulls) else value for value in record) for record in rows]


@pytest.mark.soak
def test_ten_awkward_files_are_published_and_staged_without_a_change(
    settings: Settings,
    files: list[Path],
    project: Path,
    query: Callable[..., Any],
    record_property: Callable[[str, object], None],
) -> None:
    seconds = {}
    for path in files:
        begun = time.monotonic()
        profile_files([path], "clinic")
        seconds[path.name] = time.monotonic() - begun
    record_property("seconds to draft each file", seconds)  # pytest --junit-xml
    assert max(seconds.values()) < 5, seconds

    run_flow("provision")
    run = run_flow("pipeline", source="clinic", data=str(files[0].parent), day=awkward.DAY)
    assert {(t.load, t.freshness) for t in run.tables} == {("loaded", "pass")}
    assert {t.validation.partition(",")[0] for t in run.tables} == {"passed"}
    source = read_source(project / "data_dictionary" / "clinic.odcs.yaml")
    by_file = {table.file_on(awkward.DAY): table for table in source.tables}
    for path in files:
        table = by_file[path.name]
        columns = ", ".join(column.name for column in table.columns)
        assert query(f"SELECT {columns} FROM RAW.{table.raw_name} ORDER BY _SOURCE_ROW_NUMBER") == records(
            path, table.dialect.nulls
        ), path.name

    from flows import blocks

    environment = dbt.dbt_environment(blocks.with_login(settings))
    built = build.build(
        project / "dbt" / "cxm_medtech", environment, settings.home / "dbt", "path:models/staging/clinic"
    )
    assert built.clean, built.problems
    assert built.passed > len(files)
    assert by_file["numbers.csv"].dialect.nulls == ("null", "n/a")  # the only value in its column that is not a number
    counted = query("SELECT COUNT(*), COUNT(DISTINCT VISIT_ID) FROM STG.STG_CLINIC__ACCENTS")
    assert counted == [(awkward.ROWS, awkward.ROWS)]
