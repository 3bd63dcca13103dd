"""The pages on the embedded warehouse name tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", ["embedded_warehouse.md", "embedded_warehouse_copy.md"])
def test_each_test_named_on_the_page_exists(page: str) -> None:
    files = [
        path for folder in ("embedded", "security") for path in sorted((ROOT / "tests" / folder).glob("test_*.py"))
    ]
    tests = "".join(path.read_text(encoding="utf-8") for path in files)
    written = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    # the files that tests are in are named there too
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "architecture" / page).read_text(encoding="utf-8")))
    assert len(named) > 20
    assert sorted(named - written) == []


@pytest.mark.parametrize("page", ["embedded_warehouse.md", "embedded_warehouse_copy.md"])
def test_what_is_supported_names_a_test(page: str) -> None:
    rows = [line.split(" | ") for line in (ROOT / "architecture" / page).read_text(encoding="utf-8").splitlines()]
    claims = [row for row in rows if len(row) == 4 and row[2].startswith("supported")]
    assert len(claims) > 20
    assert [row[0] for row in claims if "`test_" not in row[3] and not row[3].startswith("same")] == []
