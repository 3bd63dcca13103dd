"""The lineage picture of architecture/dbt.md shows every model and every `ref` of the project, and no others."""

from __future__ import annotations

import re

import yaml

from flows.settings import PROJECT

DBT = PROJECT / "dbt" / "cxm_medtech"
PICTURE = PROJECT / "architecture" / "diagrams" / "lineage.mmd"


def _edges() -> set[tuple[str, str]]:
    """Return (from, to) of every ref() in a model, and of every snapshot's relation."""
    edges = set()
    for file in (DBT / "models").rglob("*.sql"):
        edges |= {(name, file.stem) for name in re.findall(r"ref\('(\w+)'\)", file.read_text(encoding="utf-8"))}
    for file in (DBT / "snapshots").glob("*.yml"):
        for snapshot in yaml.safe_load(file.read_text(encoding="utf-8"))["snapshots"]:
            edges.add((re.search(r"ref\('(\w+)'\)", snapshot["relation"])[1], snapshot["name"]))  # type: ignore[index]
    return edges


def test_the_picture_shows_every_model_and_how_it_is_made() -> None:
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)$", PICTURE.read_text(encoding="utf-8"), flags=re.M))
    assert drawn == _edges()
    models = {file.stem for file in (DBT / "models").rglob("*.sql")}
    assert models - {name for edge in drawn for name in edge} == {"dim_dates"}  # reads no model
