"""`cxm contract check` checks a contract by the standard's JSON schema and reports each mistake with line and nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.contract import standard, sync
from flows.contract.read import PROJECT, sources
from flows.errors import ConfigurationError

CLINIC = (Path(__file__).parents[1] / "golden" / "clinic.odcs.yaml").read_text(encoding="utf-8")


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("        required: true\n", "        requird: true\n", "requird: the standard has no such key; did you mean required?"),
        ("logicalType: boolean", "logicalType: bolean", "got 'bolean', expected one of string, date, timestamp"),
        ("  - {id: freshness_error", "  - {ide: freshness_error", "slaProperties[1].ide: the standard has no such key"),
        ("        unique: false", "        unique: never", "schema[1].properties[3].unique: got 'never', expected boolean"),
        ("status: draft", "stage: draft", "the document: 'status' is missing; the standard requires it"),
        ("name: clinic\n", "name: [clinic\n", "is not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_line(old: str, new: str, message: str) -> None:
    text = CLINIC.replace(old, new, 1)
    with pytest.raises(ConfigurationError) as raised:
        standard.check_standard(text, "clinic.odcs.yaml")
    got = [line for line in str(raised.value).splitlines() if message in line]
    assert len(got) == 1, str(raised.value)
    if "is missing" not in message and "YAML" not in message:
        assert got[0].startswith(f"clinic.odcs.yaml, line {line_of(text, new.strip())}: ")


def test_every_mistake_is_reported_at_once_and_once() -> None:
    text = CLINIC.replace("classification: public", "clasification: public").replace(
        "metric: nullValues", "metrik: nullValues"
    )
    lines = [line for line, _ in standard.find_mistakes(text)]
    expected = [n for n, line in enumerate(text.splitlines(), 1) if "clasification" in line or "metrik" in line]
    assert sorted(set(lines)) == expected
    assert len(expected) == 4


def test_the_contracts_of_this_project_follow_the_standard(tmp_path: Path) -> None:
    sync.check_standard(PROJECT)
    (tmp_path / "data_dictionary").mkdir()
    for name in sources(PROJECT):
        text = (PROJECT / "data_dictionary" / f"{name}.odcs.yaml").read_text(encoding="utf-8")
        (tmp_path / "data_dictionary" / f"{name}.odcs.yaml").write_text(text.replace("status:", "statsu:"))
    with pytest.raises(ConfigurationError, match="did you mean status") as raised:
        sync.check_standard(tmp_path)
    assert all(f"data_dictionary/{name}.odcs.yaml, line" in str(raised.value) for name in sources(PROJECT))
