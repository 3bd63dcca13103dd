"""Makes a patch for `git apply` that adds new columns of files to the contract.

`Layout` of a file + `data_dictionary/<source>.odcs.yaml` → a property for each new column, at its position in the file
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from flows.contract.compare import Change, version_for
from flows.contract.drafts import prove
from flows.contract.fit import Layout
from flows.contract.model import Source, Table
from flows.contract.read import DICTIONARY, SUFFIX
from flows.contract.render_draft import ColumnProfile, render_properties
from flows.errors import ConfigurationError


def patch(
    project: Path, source: Source, layouts: Mapping[str, Layout], columns: Mapping[str, Sequence[ColumnProfile]]
) -> str:
    """Render a unified diff that adds the new columns to the contract and raises its version. By table name, `layouts` has the
    positions of the new columns and `columns` their profiles.

    Raises:
        ConfigurationError: the contract's text does not have the expected layout, or the result is not a valid contract.
    """
    path = project / DICTIONARY / f"{source.name}{SUFFIX}"
    old = path.read_text(encoding="utf-8")
    document = yaml.compose(old, Loader=yaml.SafeLoader)
    lines = old.splitlines(keepends=True)
    insertions: list[tuple[int, str]] = []
    for name, layout in layouts.items():
        insertions += _insertions(document, source.table(name), layout, columns[name])
    for line, text in sorted(insertions, key=lambda insertion: insertion[0], reverse=True):
        if line and not lines[line - 1].endswith("\n"):
            lines[line - 1] += "\n"
        lines[line:line] = text.splitlines(keepends=True)
    wider = version_for(source.version, (Change("addition", "", "", "columns added"),))
    new = re.sub(
        rf"^version: [\"']?{re.escape(source.version)}[\"']?", f"version: {wider}", "".join(lines), count=1, flags=re.M
    )
    prove(project, path.name, new)
    name = f"{DICTIONARY}/{path.name}"
    diff = difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm="")
    return "\n".join(diff) + "\n"


def _insertions(document: Any, table: Table, layout: Layout, columns: Sequence[ColumnProfile]) -> list[tuple[int, str]]:
    """Return (line, text) of each new property, to be inserted after the property of the preceding field in the file."""
    entries = _value(document, "schema").value
    entry = next(e for e in entries if _value(e, "name").value == table.name)
    properties = _value(entry, "properties")
    if properties.flow_style:
        raise ConfigurationError(
            f"schema entry {table.name}: its properties are on one line; give each a line of its own"
        )
    nodes = {_value(p, "name").value: p for p in properties.value}
    rendered = render_properties(table, columns)
    indent = " " * properties.start_mark.column
    line = properties.start_mark.line  # before the first property
    insertions: dict[int, str] = {}
    for header, _ in layout.fields:
        if header in nodes:
            line = _last_line(nodes[header]) + 1
        elif header in rendered:
            insertions[line] = insertions.get(line, "") + "".join(f"{indent}{text}\n" for text in rendered[header])
    return list(insertions.items())


def _value(node: Any, key: str) -> Any:
    return next(value for name, value in node.value if name.value == key)


def _last_line(node: Any) -> int:
    """Find the last line of a node, counted from 0. PyYAML ends a block at the next token, so its last child is used."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        mark = node.end_mark
        return int(mark.line if mark.column else mark.line - 1)
    last = node.value[-1]
    return _last_line(last[1] if isinstance(last, tuple) else last)
