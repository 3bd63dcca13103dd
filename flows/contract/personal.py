"""Finds columns of marts and snapshots that are derived from personal data and declare no PII class.

`data_dictionary/lineage.md` is derived from the models' SQL and compared with it by `cxm contract lineage --check`, so that this
check needs no dbt. A column must declare its class, because only its author knows it: an average over many people is anonymous,
a copied key identifies a person.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import yaml

from flows.contract.model import Pii
from flows.contract.render_lineage import PATH
from flows.errors import ConfigurationError

_PROJECT = "dbt/cxm_medtech"
_ROW = re.compile(r"^\| `(?P<model>\w+)\.(?P<column>\w+)` \| [\w ]+ \| (?P<origins>[^|]+) \| (?P<pii>\w+),", re.M)


def check_classes(project: Path) -> None:
    """Check that every column of a mart or snapshot that is derived from personal data declares its class.

    Raises:
        ConfigurationError: a column does not; the message has a line for each.
    """
    page = project / PATH
    if not page.exists():
        return
    personal, _, _ = page.read_text(encoding="utf-8").partition("## From mart to file")
    classes = _classes(project)
    missing = [
        f"{_PROJECT}: column {match['model']}.{match['column']} is made of {match['origins'].replace('`', '')} ({match['pii']}): "
        "expected a class of its own, got none; set `config: {meta: {pii: none}}`, or indirect or direct, on the column"
        for match in _ROW.finditer(personal)
        if classes.get((match["model"], match["column"])) not in get_args(Pii)
    ]
    if missing:
        raise ConfigurationError("\n".join(missing))


def _classes(project: Path) -> dict[tuple[str, str], Any]:
    """Read (model, column) → the `pii` in its meta, from the YAML of marts and snapshots."""
    classes: dict[tuple[str, str], Any] = {}
    for folder in ("models/marts", "snapshots"):
        for path in sorted((project / _PROJECT / folder).rglob("*.yml")):
            document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            for node in [*(document.get("models") or []), *(document.get("snapshots") or [])]:
                for column in node.get("columns") or []:
                    meta = (column.get("config") or {}).get("meta") or {}
                    classes[node["name"], column["name"]] = meta.get("pii")
    return classes
