"""The Power BI semantic model against the marts: every column it imports exists there, in a type it can hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from flows.settings import PROJECT

POWERBI = PROJECT / "architecture" / "powerbi"
DEFINITION = POWERBI / "medtech_cxm.SemanticModel" / "definition"
MARTS = PROJECT / "dbt" / "cxm_medtech" / "models" / "marts" / "_marts__models.yml"
TABLES = sorted((DEFINITION / "tables").glob("*.tmdl"))
TYPES = {
    "varchar": "string",
    "number(38, 0)": "int64",
    "date": "dateTime",
    "timestamp_ntz": "dateTime",
    "boolean": "boolean",
}


def _marts() -> dict[str, dict[str, str]]:
    """Return mart → its columns → type, names in upper case; dbt's enforced contracts make MARTS hold exactly these."""
    models = yaml.safe_load(MARTS.read_text(encoding="utf-8"))["models"]
    return {m["name"].upper(): {c["name"].upper(): c["data_type"] for c in m["columns"]} for m in models}


def _unquoted(name: str) -> str:
    return name.strip().strip("'")


def _columns(text: str) -> list[tuple[str, str, str]]:
    """Return (name in the model, its type, source column) of each column of a table's TMDL."""
    blocks = re.split(r"^\tcolumn ", text, flags=re.M)[1:]
    return [
        (
            _unquoted(block.splitlines()[0]),
            re.search(r"dataType: (\w+)", block)[1],  # type: ignore[index]
            re.search(r"sourceColumn: (\w+)", block)[1],  # type: ignore[index]
        )
        for block in blocks
    ]


def test_the_model_has_every_mart() -> None:
    imported = {re.search(r'Name = "((?:DIM|FCT)_\w+)"', f.read_text(encoding="utf-8"))[1] for f in TABLES}  # type: ignore[index]
    assert imported == set(_marts())
    listed = re.findall(r"^ref table (.+)$", (DEFINITION / "model.tmdl").read_text(), flags=re.M)
    assert sorted(map(_unquoted, listed)) == sorted(f.stem for f in TABLES)


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.stem)
def test_every_column_of_the_model_is_one_of_its_mart(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    mart = _marts()[re.search(r'Name = "((?:DIM|FCT)_\w+)"', text)[1]]  # type: ignore[index]
    columns = _columns(text)
    assert {source for _, _, source in columns} == set(mart)
    assert [t for _, t, _ in columns] == [TYPES.get(mart[source], "decimal") for _, _, source in columns]


def test_relationships_and_measures_name_existing_columns() -> None:
    there = {(f.stem, name) for f in TABLES for name, _, _ in _columns(f.read_text(encoding="utf-8"))}
    ends = re.findall(
        r"(?:from|to)Column: ('[^']+'|\w+)\.('[^']+'|\w+)",
        (DEFINITION / "relationships.tmdl").read_text(encoding="utf-8"),
    )
    assert len(ends) == 30
    assert {(_unquoted(table), _unquoted(column)) for table, column in ends} <= there
    used = {pair for f in TABLES for pair in re.findall(r"'([^']+)'\[([^\]]+)\]", f.read_text(encoding="utf-8"))}
    assert len(used) >= 8
    assert used <= there


def test_between_two_tables_one_relationship_is_active() -> None:
    """Power BI refuses a model where a filter could reach a table in two ways."""
    text = (DEFINITION / "relationships.tmdl").read_text(encoding="utf-8")
    edges: dict[str, list[str]] = {}
    for block in re.split(r"^relationship ", text, flags=re.M)[1:]:
        if "isActive: false" not in block:
            start, end = re.findall(r"(?:from|to)Column: ('[^']+'|\w+)\.", block)
            edges.setdefault(_unquoted(start), []).append(_unquoted(end))

    def ways(start: str, end: str) -> int:
        return sum(1 if step == end else ways(step, end) for step in edges.get(start, []))

    names = [f.stem for f in TABLES]
    assert max(ways(a, b) for a in names for b in names) == 1


def test_no_account_and_no_credential_stand_in_the_files() -> None:
    connection = json.loads((POWERBI / "medtech_cxm.pbids").read_text(encoding="utf-8"))["connections"][0]
    assert connection["mode"] == "Import"
    assert connection["details"]["address"]["server"].startswith("ORGANISATION-ACCOUNT.")
    assert 'expression Role = "CXM_REPORTER"' in (DEFINITION / "expressions.tmdl").read_text(encoding="utf-8")
