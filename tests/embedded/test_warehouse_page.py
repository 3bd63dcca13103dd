"""The pages on the embedded warehouse have a test for each row (`evidence.yaml`), and count the documented cases.

`python -m tests.embedded.test_warehouse_page` writes the count into the page.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.embedded.test_documented import cases

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "architecture" / "embedded_warehouse.md"
EVIDENCE = yaml.safe_load((ROOT / "tests" / "embedded" / "evidence.yaml").read_text(encoding="utf-8"))
_COUNTED = re.compile(r"^\| area \| cases \|.*?\n\n", re.M | re.S)


def counted() -> str:
    """Return the page's table of the documented cases, by area."""
    result = cases()
    rows = ["| area | cases | as documented | refused | known to differ |", "|---|---:|---:|---:|---:|"]
    for area in [*sorted({case["area"] for case in result}), "all"]:
        own = [case for case in result if area in (case["area"], "all")]
        kinds = Counter("known" if "known" in c else "refused" if "refused" in c else "right" for c in own)
        rows.append(f"| {area} | {len(own)} | {kinds['right']} | {kinds['refused']} | {kinds['known']} |")
    return "\n".join(rows) + "\n\n"


def statements(page: str) -> list[str]:
    """Return the first cells of the page's table of statements and options, in order."""
    text = (ROOT / "architecture" / page).read_text(encoding="utf-8")
    table = text.split("\n| statement or option | page | here |\n|---|---|---|\n")[1].split("\n\n")[0]
    return [line.removeprefix("| ").split(" | ")[0] for line in table.splitlines()]


def test_the_page_counts_the_documented_cases() -> None:
    match = _COUNTED.search(PAGE.read_text(encoding="utf-8"))
    assert match is not None
    assert match[0] == counted(), "python -m tests.embedded.test_warehouse_page writes it"


@pytest.mark.parametrize("page", sorted(EVIDENCE))
def test_each_row_of_the_page_has_its_tests_in_the_evidence(page: str) -> None:
    rows = statements(page)
    assert len(rows) > 20
    assert [entry["statement"] for entry in EVIDENCE[page]] == rows


@pytest.mark.parametrize("page", sorted(EVIDENCE))
def test_each_row_of_the_evidence_names_tests_that_exist(page: str) -> None:
    assert [entry["statement"] for entry in EVIDENCE[page] if not entry["tests"]] == []
    missing = []
    for test in sorted({test for entry in EVIDENCE[page] for test in entry["tests"]}):
        path, _, name = test.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else ""
        # without a name the whole file is the evidence: test functions, or documented cases
        if not re.search(rf"^def {re.escape(name)}\(" if name else r"^def test_|^- ", text, re.MULTILINE):
            missing.append(test)
    assert missing == []


if __name__ == "__main__":
    PAGE.write_text(_COUNTED.sub(lambda _: counted(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
