"""Derived files: written, compared, and removed when no contract gives them any more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from flows.contract import sync
from flows.contract.read import PROJECT, read_source
from flows.errors import ConfigurationError

ENTRY = {
    "name": "returns",
    "physicalName": "OLIST_RETURNS",
    "businessName": "Kit return",
    "description": "One row for each kit that an HCP's clinic sent back.",
    "customProperties": [
        {"property": "fileName", "value": "olist_returns_{date}.csv"},
        {"property": "loadMode", "value": "append"},
    ],
    "properties": [
        {
            "name": "return_id",
            "businessName": "Return id",
            "description": "Identifies the return.",
            "logicalType": "string",
            "primaryKey": True,
            "classification": "internal",
            "customProperties": [{"property": "pii", "value": "none"}],
        },
        {
            "name": "order_id",
            "businessName": "Shipment id",
            "description": "The shipment that the kit came with.",
            "logicalType": "string",
            "required": True,
            "classification": "internal",
            "customProperties": [{"property": "pii", "value": "none"}],
            "relationships": [{"to": "orders.order_id"}],
        },
    ],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project that has the real contract and nothing derived yet."""
    (tmp_path / "data_dictionary").mkdir()
    shutil.copy(PROJECT / "data_dictionary" / "olist.odcs.yaml", tmp_path / "data_dictionary")
    return tmp_path


def add_table(project: Path) -> None:
    path = project / "data_dictionary" / "olist.odcs.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["schema"].append(ENTRY)
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")


def test_sync_writes_everything_once_and_then_check_finds_nothing(project: Path) -> None:
    assert {d.reason for d in sync.check(project)} == {"missing"}
    written = sync.sync(project)
    assert {Path("data_dictionary/README.md"), Path("expectations/gx/expectations/olist_orders.json")} <= set(written)
    assert all((project / path).is_file() for path in written)
    assert sync.check(project) == []
    assert sync.sync(project) == []


def test_every_derived_file_can_be_told_from_one_that_a_person_wrote(project: Path) -> None:
    for path in sync.sync(project):
        (project / path).rename(project / path.with_name(f"left_{path.name}"))
    left = {d.path.name for d in sync.check(project) if d.reason == "left over"}
    # The two files with fixed names are not looked for under other names.
    expected = {f"left_{p.name}" for p in sync.derived(project)} - {"left_README.md", "left_great_expectations.yml"}
    assert left == expected


def test_an_edited_derived_file_is_shown_as_a_diff_and_put_right(project: Path) -> None:
    sync.sync(project)
    path = project / "data_dictionary" / "README.md"
    path.write_text(path.read_text(encoding="utf-8").replace("Account id", "Seller id"), encoding="utf-8")
    (difference,) = sync.check(project)
    assert (difference.path, difference.reason) == (Path("data_dictionary/README.md"), "differs")
    assert "-| `SELLER_ID` | string | Seller id" in difference.diff
    assert "+| `SELLER_ID` | string | Account id" in difference.diff
    assert sync.sync(project) == [Path("data_dictionary/README.md")]
    assert sync.check(project) == []


def test_other_line_ends_are_a_difference(project: Path) -> None:
    sync.sync(project)
    path = project / "data_dictionary" / "README.md"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert [d.reason for d in sync.check(project)] == ["differs"]


def test_a_new_schema_entry_adds_the_table_everywhere(project: Path) -> None:
    sync.sync(project)
    add_table(project)
    changed = {str(path) for path in sync.sync(project)}
    assert {
        "data_dictionary/README.md",
        "expectations/gx/great_expectations.yml",
        "expectations/gx/expectations/olist_returns.json",
        "expectations/gx/validation_definitions/olist_returns.json",
        "expectations/gx/checkpoints/raw_olist.json",
        "dbt/cxm_medtech/models/staging/olist/_olist__sources.yml",
        "dbt/cxm_medtech/models/staging/olist/_olist__models.yml",
        "dbt/cxm_medtech/models/staging/olist/stg_olist__kit_returns.sql",
    } == changed
    assert "OLIST_RETURNS" in (project / "data_dictionary/README.md").read_text(encoding="utf-8")
    dbt = yaml.safe_load(
        (project / "dbt/cxm_medtech/models/staging/olist/_olist__sources.yml").read_text(encoding="utf-8")
    )
    assert "returns" in [table["name"] for table in dbt["sources"][0]["tables"]]
    returns = read_source(project / "data_dictionary" / "olist.odcs.yaml").table("returns")
    assert returns.relationships[0].parent == "OLIST_ORDERS"


def test_what_a_removed_table_left_behind_goes_and_a_persons_files_stay(project: Path) -> None:
    add_table(project)
    sync.sync(project)
    own = {
        "dbt/cxm_medtech/models/staging/olist/_own__models.yml": "version: 2\n",
        "expectations/gx/checkpoints/my_own.json": json.dumps({"id": "0b0ff3a1-5d4f-4c2c-9a5e-3d7f6a1e2b3c"}),
        "expectations/gx/expectations/broken.json": "{",
        "notes/derived.md": "derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`",
    }
    for name, text in own.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    shutil.copy(PROJECT / "data_dictionary" / "olist.odcs.yaml", project / "data_dictionary")
    left = [str(d.path) for d in sync.check(project) if d.reason == "left over"]
    assert left == [
        "dbt/cxm_medtech/models/staging/olist/stg_olist__kit_returns.sql",
        "expectations/gx/expectations/olist_returns.json",
        "expectations/gx/validation_definitions/olist_returns.json",
    ]
    sync.sync(project)
    assert not any((project / path).exists() for path in left)
    assert {name: (project / name).read_text() for name in own} == own


def test_two_sources_may_not_share_a_raw_table(project: Path) -> None:
    path = project / "data_dictionary" / "olist.odcs.yaml"
    text = path.read_text(encoding="utf-8").replace("name: olist\n", "name: other\n", 1)
    path.with_name("other.odcs.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"other\.odcs\.yaml.*OLIST_ORDERS.*olist has too"):
        sync.derived(project)


def test_a_project_without_a_contract_is_refused_and_nothing_is_removed(project: Path) -> None:
    sync.sync(project)
    (project / "data_dictionary" / "olist.odcs.yaml").unlink()
    with pytest.raises(ConfigurationError, match="got no contract"):
        sync.sync(project)
    assert (project / "data_dictionary" / "README.md").is_file()
