"""Writes YAML for dbt: Jinja that dbt should run is marked by a class, and all other text is escaped."""

from __future__ import annotations

from typing import Any

import yaml

from flows.escape import jinja


class Jinja(str):
    """Jinja that dbt should run, written by us. Any other text in a document is data, and `dbt_yaml` escapes it."""


def dbt_yaml(derived_line: str, document: dict[str, Any]) -> str:
    """Write the document as YAML, after a comment that says what it is derived from."""
    return f"# {derived_line}\n" + yaml.safe_dump(_written(document), sort_keys=False, allow_unicode=True, width=120)


def _written(value: Any) -> Any:
    """Return `value` with every text in it escaped, except for `Jinja`."""
    match value:
        case Jinja():
            return str(value)
        case str():
            return jinja(value)
        case dict():
            return {name: _written(entry) for name, entry in value.items()}
        case list() | tuple():
            return [_written(entry) for entry in value]
    return value
