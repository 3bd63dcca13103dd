"""The lineage page + the YAML of marts and snapshots → the columns made of personal data that carry no class of their own.

`data_dictionary/lineage.md` is derived from the models' SQL and compared with it by `cxm contract lineage --check`, so that this
check needs no dbt. A column declares its own class, because only its author knows it: an average of many people describes nobody,
a key that is passed on identifies somebody.
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
    """Nothing, when each column of a mart or snapshot that is made of personal data says its own class.

    Raises:
        ConfigurationError: some do not; one line for each.
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
    """(model, column) → `pii` of its meta, as the marts' and snapshots' YAML says."""
    classes: dict[tuple[str, str], Any] = {}
    for folder in ("models/marts", "snapshots"):
        for path in sorted((project / _PROJECT / folder).rglob("*.yml")):
            document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            for node in [*(document.get("models") or []), *(document.get("snapshots") or [])]:
                for column in node.get("columns") or []:
                    meta = (column.get("config") or {}).get("meta") or {}
                    classes[node["name"], column["name"]] = meta.get("pii")
    return classes
