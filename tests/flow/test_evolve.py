"""Files with other columns than usual or no records: each policy of the contract on the running stack, then undo and replay."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.contract import sync
from flows.errors import ConfigurationError
from flows.settings import Settings
from flows.steps import build, dbt
from tests.conftest import run_flow
from tests.flow.conftest import project_copy
from tests.flow.contracts import entry, head

pytestmark = pytest.mark.xdist_group("flow")

Query = Callable[..., list[tuple[Any, ...]]]

POLICIES = {
    "ignored": "{property: onNewColumn, value: ignore}",
    "grown": "{property: onNewColumn, value: add}",
    "lacking": "{property: onMissingColumn, value: null}",
    "shuffled": '{property: onReorder, value: "by name"}',
    "hollow": "{property: allowEmpty, value: true}",
}
COLUMNS = ("id", "name", "score")


@pytest.fixture(scope="module")
def project(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project's contracts and of what derives from them, plus the contract `trial`; the flows read the copy."""
    from flows import new_columns  # once the environment names the stack's Prefect server

    def add(copy: Path) -> None:
        tables = "".join(entry("trial", table, COLUMNS, [policy]) for table, policy in POLICIES.items())
        text = head("trial", "What each policy lets in.") + tables
        (copy / "data_dictionary" / "trial.odcs.yaml").write_text(text, encoding="utf-8")

    with project_copy(settings, tmp_path_factory.mktemp("evolve") / "project", add, new_columns) as copy:
        run_flow("provision")
        yield copy


def write(folder: Path, table: str, header: str, *records: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{table}.csv").write_text("\n".join([header, *records]) + "\n", encoding="utf-8")


def in_raw(query: Query, table: str, batch: str, columns: str = "ID, NAME, SCORE") -> list[tuple[Any, ...]]:
    return query(
        f"SELECT {columns} FROM RAW.TRIAL_{table.upper()} WHERE _BATCH_ID = '{batch}' ORDER BY _SOURCE_ROW_NUMBER"
    )


def artifact(settings: Settings, key: str) -> str:
    """Return the text of the newest artifact with this key."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        result = client.request("GET", "/artifacts/{key}/latest", path_params={"key": key})
    return str(result.json()["data"])


AS_BEFORE = [("a", "Ana", "1"), ("b", 'x, "y"', None)]
RECORDS = ("a,Ana,1", 'b,"x, ""y""",')


def first_delivery(folder: Path) -> None:
    for table in POLICIES:
        write(folder, table, "id,name,score", *(RECORDS if table != "hollow" else ()))


def second_delivery(folder: Path) -> None:
    write(folder, "ignored", "id,remark,name,score", 'a,"no, not this",Ana,1', 'b,,"x, ""y""",')
    write(folder, "grown", "id,name,Ward's no,score", "a,Ana,W1,1", 'b,"x, ""y""",,')
    write(folder, "lacking", "id,name", "a,Ana", 'b,"x, ""y"""')
    write(folder, "shuffled", "score,id,name", "1,a,Ana", ',b,"x, ""y"""')
    write(folder, "hollow", "id,name,score", *RECORDS)


@dataclass(frozen=True)
class Delivered:
    """Two batches: one as the contract says, and one that each table's policy lets in; the folder of the second's files."""

    data: Path
    first: Any
    second: Any


@pytest.fixture(scope="module")
def delivered(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    data = tmp_path_factory.mktemp("evolve-data")
    first_delivery(data)
    first = run_flow("pipeline", source="trial", data=str(data))
    second_delivery(data)
    return Delivered(data, first, run_flow("pipeline", source="trial", data=str(data)))


def check_second(query: Query, batch: str) -> None:
    for table in ("ignored", "shuffled", "hollow"):
        assert in_raw(query, table, batch) == AS_BEFORE, table
    assert in_raw(query, "lacking", batch) == [(*row[:2], None) for row in AS_BEFORE]
    assert in_raw(query, "grown", batch, "ID, NAME, SCORE, WARD_S_NO") == [(*AS_BEFORE[0], "W1"), (*AS_BEFORE[1], None)]


def test_a_file_without_records_is_a_published_batch_of_no_rows(delivered: Delivered, query: Query) -> None:
    first = delivered.first
    assert {t.table: t.rows_raw for t in first.tables} == dict.fromkeys(POLICIES, 2) | {"hollow": 0}
    assert {(t.validation, t.freshness, t.columns) for t in first.tables} == {("passed", "pass", "")}
    rows = query(
        "SELECT STATUS, FILE_RECORDS, ROWS_LOADED FROM RAW.LOAD_LEDGER WHERE TABLE_NAME = 'TRIAL_HOLLOW' "
        f"AND BATCH_ID = '{first.batch_id}'"
    )
    assert rows == [("validated", 0, 0)]


def test_each_policy_lets_its_files_in_and_says_so(settings: Settings, delivered: Delivered, query: Query) -> None:
    second = delivered.second
    assert {(t.rows_file, t.rows_raw, t.load, t.validation) for t in second.tables} == {(2, 2, "loaded", "passed")}
    expected = {
        "ignored": "ignored: remark",
        "grown": "new: Ward's no → WARD_S_NO",
        "lacking": "missing, NULL in RAW: score",
        "shuffled": "another order, read by name",
        "hollow": "",
    }
    assert {t.table: t.columns for t in second.tables} == expected
    check_second(query, second.batch_id)
    counted = query(
        "SELECT TABLE_NAME, COLUMNS_IGNORED, COLUMNS_MISSING FROM RAW.LOAD_LEDGER "
        f"WHERE BATCH_ID = '{second.batch_id}' AND COLUMNS_IGNORED + COLUMNS_MISSING > 0 ORDER BY TABLE_NAME"
    )
    assert counted == [("TRIAL_IGNORED", 1, 0), ("TRIAL_LACKING", 0, 1)]
    assert "- lacking: missing, NULL in RAW: score" in artifact(settings, "trial-report")


def test_such_a_batch_is_unchanged_undone_and_loaded_again_as_any_other(delivered: Delivered, query: Query) -> None:
    batch = delivered.second.batch_id
    assert run_flow("pipeline", source="trial", data=str(delivered.data)).unchanged
    assert run_flow("reconcile", source="trial") == ()
    run_flow("undo", batch=batch, source="trial")
    assert in_raw(query, "grown", batch, "ID") == []
    query(f"UPDATE RAW.LOAD_LEDGER SET FILE_COLUMNS = NULL WHERE BATCH_ID = '{batch}'")  # as before the column existed
    run_flow("replay", batch=batch, source="trial")
    check_second(query, batch)
    assert run_flow("reconcile", source="trial") == ()


def test_what_no_policy_lets_in_is_refused_before_anything_of_it_is_seen(
    delivered: Delivered, query: Query, tmp_path: Path
) -> None:
    from flows.run import PipelineError

    second_delivery(tmp_path)
    write(tmp_path, "ignored", "id,name,score", *RECORDS, "c,new,2")
    write(tmp_path, "lacking", "name,score", "Ana,1")
    with pytest.raises(PipelineError, match=r"lacking.*missing id \(id may not be empty\)") as caught:
        run_flow("pipeline", source="trial", data=str(tmp_path))
    batch = caught.value.summary.batch_id
    rows = query(f"SELECT TABLE_NAME, STATUS FROM RAW.LOAD_LEDGER WHERE BATCH_ID = '{batch}' AND S3_KEY IS NOT NULL")
    assert rows == [("TRIAL_IGNORED", "quarantined")]


@pytest.mark.soak
def test_the_patch_that_is_shown_brings_the_new_column_into_staging(
    settings: Settings, project: Path, delivered: Delivered, query: Query
) -> None:
    """After the patch the same file is unchanged, because its fields go into the same columns."""
    from flows import blocks

    run_flow("replay", batch=delivered.second.batch_id, source="trial")
    (diff,) = re.findall(r"```diff\n(.*?)```", artifact(settings, "trial-contract-patch"), flags=re.S)
    (project / "new.patch").write_text(diff, encoding="utf-8")
    subprocess.run(["git", "apply", "new.patch"], cwd=project, check=True)
    sync.sync(project)
    changes = {c.name.rpartition(".")[2]: c.action for c in run_flow("provision")}
    assert changes["TRIAL_GROWN"] == "changed", "its comment is the contract's now"
    assert run_flow("pipeline", source="trial", data=str(delivered.data)).unchanged
    environment = dbt.dbt_environment(blocks.with_login(settings))
    built = build.build(project / "dbt" / "cxm_medtech", environment, settings.home / "dbt", "stg_trial__grown_rows")
    assert built.clean, built.problems
    assert query("SELECT ID, WARD_S_NO FROM STG.STG_TRIAL__GROWN_ROWS ORDER BY 1") == [("a", "W1"), ("b", None)]

    # The first batch is older than the column: replayed, it has NULL there.
    batch = delivered.first.batch_id
    replayed = run_flow("replay", batch=batch, source="trial")
    assert {t.columns for t in replayed.tables if t.table == "grown"} == {"missing, NULL in RAW: Ward's no"}
    assert in_raw(query, "grown", batch, "ID, NAME, SCORE, WARD_S_NO") == [(*row, None) for row in AS_BEFORE]


@pytest.mark.soak
def test_a_column_cannot_be_added_to_a_table_that_the_loader_does_not_own(
    settings: Settings, project: Path, query: Query, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    first_delivery(data)
    write(data, "grown", "id,name,Ward's no,score,later", "a,Ana,W1,1,now")
    role = settings.loader_role
    query("GRANT OWNERSHIP ON TABLE RAW.TRIAL_GROWN TO ROLE SYSADMIN COPY CURRENT GRANTS")
    from flows.run import PipelineError

    with pytest.raises(PipelineError, match=r"new columns LATER \(onNewColumn: add\).*cxm provision --apply") as caught:
        run_flow("pipeline", source="trial", data=str(data))
    assert caught.value.exit_code == ConfigurationError.exit_code
    changes = {c.name.rpartition(".")[2]: c.action for c in run_flow("provision")}
    assert changes["TRIAL_GROWN"] == "changed"
    owners = query("SHOW GRANTS ON TABLE RAW.TRIAL_GROWN")
    assert any(row[1] == "OWNERSHIP" and role in row for row in owners)
    assert {c.action for c in run_flow("provision")} == {"unchanged"}
    run = run_flow("pipeline", source="trial", data=str(data))
    assert {t.table: t.columns for t in run.tables}["grown"].startswith("new: later → LATER")
    with (data / "grown.csv").open(newline="") as file:
        _, *records = csv.reader(file)
    assert in_raw(query, "grown", run.batch_id, "ID, NAME, WARD_S_NO, SCORE, LATER") == [tuple(r) for r in records]
