"""Columns of marts that are made of personal data have to state their own class."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.contract.personal import check_classes
from flows.errors import ConfigurationError

PROJECT = Path(__file__).resolve().parents[2]
PAGE = """\
| Column | How | Made of, about people | PII, class |
|---|---|---|---|
| `dim_people.person_id` | as it is | `PEOPLE.ID` | indirect, confidential |
| `dim_people.age_band` | computed | `PEOPLE.BORN` | direct, restricted |

## From mart to file

| `dim_people.left_alone` | as it is | `PEOPLE.ID` | indirect, confidential |
"""


def project(folder: Path, age: str) -> Path:
    marts = folder / "dbt/cxm_medtech/models/marts"
    marts.mkdir(parents=True)
    (folder / "data_dictionary").mkdir()
    (folder / "data_dictionary/lineage.md").write_text(PAGE)
    (marts / "_models.yml").write_text(
        "models:\n- name: dim_people\n  columns:\n  - name: person_id\n    config: {meta: {pii: direct}}\n"
        f"  - name: age_band\n{age}"
    )
    return folder


def test_this_projects_marts_and_snapshots_say_the_class_of_each_personal_column() -> None:
    check_classes(PROJECT)


def test_a_column_made_of_personal_data_without_a_class_is_named_with_what_it_is_made_of(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        check_classes(project(tmp_path, ""))
    assert str(raised.value).count("\n") == 0
    assert "dim_people.age_band is made of PEOPLE.BORN (direct)" in str(raised.value)
    assert "set `config: {meta: {pii: none}}`" in str(raised.value)


def test_none_is_a_class_and_a_word_that_is_none_is_not(tmp_path: Path) -> None:
    check_classes(project(tmp_path / "a", "    config: {meta: {pii: none}}\n"))
    with pytest.raises(ConfigurationError, match="age_band"):
        check_classes(project(tmp_path / "b", "    config: {meta: {pii: some}}\n"))
