"""The table of `python -m tests.benchmarks.commands` on the page: a line for each command, a column for each sitting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import commands


def test_a_second_sitting_gets_a_column_beside_the_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text(f"before\n{commands.BEGIN}{commands.END}after\n")
    results.write_text(json.dumps({"machine": {"cores": 2}}))
    monkeypatch.setattr(commands, "PAGE", page)
    monkeypatch.setattr(commands, "RESULTS", results)
    commands.write_page("before", {"cxm status": commands.Times([3.0, 1.0, 2.0], [1.0] * 3, [0.0] * 3)})
    commands.write_page("now", {"cxm status": commands.Times([1.0], [0.5], [0.0])})
    text = page.read_text()
    assert "| | before | now |" in text
    assert "| cxm status | **2.0** (1.0 – 3.0), 3 runs | **1.0** (1.0 – 1.0), 1 runs |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert json.loads(results.read_text())["machine"] == {"cores": 2}


def test_the_page_has_the_places_of_the_table() -> None:
    text = commands.PAGE.read_text()
    assert text.count(commands.BEGIN) == text.count(commands.END) == 1
