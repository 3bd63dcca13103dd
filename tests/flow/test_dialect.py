"""A hospital's export (semicolons, Windows-1252, decimal comma, dd/MM/yyyy, Ja and Nein, gzip) goes from draft to staging."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from flows.contract import drafts
from flows.contract.dialect import Dialect
from flows.settings import Settings
from flows.steps import build, dbt
from flows.steps.draft import profile_files
from tests.conftest import run_flow

pytestmark = pytest.mark.xdist_group("flow")
ROWS = 60


@pytest.fixture
def export(tmp_path: Path) -> Path:
    lines = ["Auftrag;Preis;Tag;Eilig;Prüfer"]
    lines += [
        f'A{n};1.{n:03},25;{n % 28 + 1:02}/{n % 12 + 1:02}/2024;{["Ja", "Nein"][n % 2]};"José; der {n}."'
        for n in range(ROWS)
    ]
    path = tmp_path / "data" / "export.csv.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress("\r\n".join(lines).encode("windows-1252")))
    return path


@pytest.fixture
def project(export: Path, other_project: Callable[[Callable[[Path], None]], Path]) -> Path:
    """A copy of the project with one more contract, drafted from the export; the flows read the copy."""

    def draft(copy: Path) -> None:
        text = drafts.add_entries(copy, "klinik", profile_files([export], "klinik"))
        (copy / "data_dictionary" / "klinik.odcs.yaml").write_text(text, encoding="utf-8")

    return other_project(draft)


@pytest.mark.soak
def test_a_drafted_dialect_is_loaded_validated_built_and_right_in_staging(
    settings: Settings, export: Path, project: Path, query: Callable[..., Any]
) -> None:
    from flows import blocks

    def formats() -> set[str]:
        return {row[1] for row in query("SHOW FILE FORMATS IN SCHEMA CXM_MEDTECH.RAW")}

    before = formats()  # those of other tests' dialects
    run_flow("provision")
    asked = {"CSV_FORMAT", Dialect(delimiter=";").file_format("CSV_FORMAT")}
    assert formats() == before | asked
    run = run_flow("pipeline", source="klinik", data=str(export.parent))
    assert [(t.load, t.rows_raw) for t in run.tables] == [("loaded", ROWS)]
    assert run.tables[0].validation.startswith("passed")
    environment = dbt.dbt_environment(blocks.with_login(settings))
    built = build.build(
        project / "dbt" / "cxm_medtech", environment, settings.home / "dbt", "path:models/staging/klinik"
    )
    assert built.clean, built.problems
    staged = query("SELECT AUFTRAG, PREIS, TAG, EILIG, PRUFER FROM STG.STG_KLINIK__EXPORTS ORDER BY PREIS")
    assert staged == [
        (f"A{n}", Decimal(f"1{n:03}.25"), date(2024, n % 12 + 1, n % 28 + 1), n % 2 == 0, f"José; der {n}.")
        for n in range(ROWS)
    ]
    # The same bytes again are unchanged; in another dialect they are loaded.
    assert run_flow("pipeline", source="klinik", data=str(export.parent)).unchanged
    contract = project / "data_dictionary" / "klinik.odcs.yaml"
    contract.write_text(contract.read_text().replace("encoding: windows-1252", "encoding: iso-8859-1"))
    again = run_flow("pipeline", source="klinik", data=str(export.parent))
    assert [t.load for t in again.tables] == ["loaded"]
    # A replay reads what was landed in the dialect it was landed with, whatever the contract says now.
    contract.write_text(contract.read_text().replace("delimiter: semicolon", "delimiter: tab"))
    replayed = run_flow("replay", source="klinik", batch=again.batch_id)
    assert [(t.load, t.rows_raw) for t in replayed.tables] == [("loaded", ROWS)]
