"""A document of texts and numbers → YAML that dbt reads: what is to run is marked, and all else comes out as it was put in."""

from __future__ import annotations

from typing import Any

import yaml

from flows.escape import jinja


class Jinja(str):
    """Text that dbt shall run, written by us. Any other text of a document is data, and `dbt_yaml` sees that none of it runs."""


def dbt_yaml(derived_line: str, document: dict[str, Any]) -> str:
    """The document's text, with the line that says what it is derived from."""
    return f"# {derived_line}\n" + yaml.safe_dump(_written(document), sort_keys=False, allow_unicode=True, width=120)


def _written(value: Any) -> Any:
    """`value` with every text in it escaped from Jinja, but for what is meant to run."""
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
