"""Columns of invented contracts."""

from __future__ import annotations

from flows.contract.model import Column


def column(name: str, position: int, *, required: bool = False) -> Column:
    """Return a text column without personal data."""
    return Column(name, name.lower(), position, "string", name.title(), f"The {name}.", required, "internal", "none")
