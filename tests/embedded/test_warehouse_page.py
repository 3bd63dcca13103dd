"""The pages on the embedded warehouse name existing tests, and count the documented cases.

`python -m tests.embedded.test_warehouse_page` writes the count into the page.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.embedded.test_documented import cases

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "architecture" / "embedded_warehouse.md"
_COUNTED = re.compile(r"^\| area \| cases \|.*?\n\n", re.M | re.S)


def counted() -> str:
    """The page's table of the documented cases, by area."""
    result = cases()
    rows = ["| area | cases | as documented | refused | known to differ |", "|---|---:|---:|---:|---:|"]
    for area in [*sorted({case["area"] for case in result}), "all"]:
        own = [case for case in result if area in (case["area"], "all")]
        kinds = Counter("known" if "known" in c else "refused" if "refused" in c else "right" for c in own)
        rows.append(f"| {area} | {len(own)} | {kinds['right']} | {kinds['refused']} | {kinds['known']} |")
    return "\n".join(rows) + "\n\n"


def test_the_page_counts_the_documented_cases() -> None:
    match = _COUNTED.search(PAGE.read_text(encoding="utf-8"))
    assert match is not None
    assert match[0] == counted(), "python -m tests.embedded.test_warehouse_page writes it"


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


if __name__ == "__main__":
    PAGE.write_text(_COUNTED.sub(lambda _: counted(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
