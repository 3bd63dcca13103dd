"""The pages: every link leads somewhere, every file they name exists, every command they show exists with its options."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from flows.settings import PROJECT, Settings
from tests.pages import PAGES, check_cxm, commands
from tests.pages import name as ids

DIAGRAMS = PROJECT / "architecture" / "diagrams"
MEASURE = re.compile("_(count|score|hours|band|value|paid)$|^(days_|average_|revenue|freight|unit_price|is_.*time)")
MADE_LATER = {"target/sources.json"}  # by a run
SUFFIXES = "py|sql|yaml|yml|json|toml|txt|md|tmdl|pbids|sh"


def anchors(page: Path) -> set[str]:
    """Return the anchors that headings have in a rendered page."""
    result = set()
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.M):
        text = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
        result.add(text.replace(" ", "-"))
    return result


@pytest.mark.parametrize("source", sorted(DIAGRAMS.glob("*.mmd")), ids=lambda source: source.stem)
def test_a_diagram_has_a_picture_of_what_its_source_says_now_and_a_page_that_shows_it(source: Path) -> None:
    picture = source.with_suffix(".svg").read_text(encoding="utf-8")
    line = f"<!-- sha256 of {source.name}: {hashlib.sha256(source.read_bytes()).hexdigest()} -->"
    assert picture.endswith(f"</svg>\n{line}\n"), f"render {source.name} again (CONTRIBUTING.md), then append: {line}"
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    assert any(f"diagrams/{source.stem}.svg)](" in text and f"diagrams/{source.name})" in text for text in pages)


def test_only_the_derived_dictionary_draws_within_its_page() -> None:
    assert [ids(page) for page in PAGES if "```mermaid" in page.read_text()] == ["data_dictionary/README.md"]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_to_something(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(rf"`([\w./-]+/[\w.-]+\.(?:{SUFFIXES}))`", page.read_text()))
    folders = (PROJECT, page.parent, PROJECT / "dbt" / "cxm_medtech")
    lost = {name for name in named if not any((folder / name).exists() for folder in folders)}
    assert lost - MADE_LATER == set()


@pytest.mark.parametrize("page", [p for p in PAGES if any(not c.inline for c in commands(p))], ids=ids)
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+|\.[\w/.]+):", (PROJECT / "Makefile").read_text(), re.M)) | {".venv/.ready"}
    for command in commands(page):
        line = command.line
        if command.inline:
            continue  # a sentence may name a command without all that it needs
        for part in re.split(r"\s(?:&&|\|)\s", line):
            words = shlex.split(re.sub(r"^(\w+=\S+ )+", "", part.strip("()")))
            if not words:
                continue
            name = Path(words[0]).name
            if name == "make":
                asked = [w for w in words[1:] if "=" not in w and not w.startswith("-")]
                assert set(asked) <= targets, line
            elif name == "export":
                for word in words[1:]:
                    variable = word.split("=")[0]
                    assert not variable.startswith("CXM_") or variable[4:].lower() in Settings.model_fields, line
            elif name == "cxm":
                check_cxm(words[1:], line)


def test_every_measure_of_the_marts_and_reports_has_its_formula_and_owner() -> None:
    page = (PROJECT / "data_dictionary" / "business_definitions.md").read_text(encoding="utf-8")
    rows = [
        [c.strip() for c in line.split("|")[1:-1]] for line in page.split("## Measures")[1].split("## ")[0].splitlines()
    ]
    rows = [row for row in rows if len(row) == 4][2:]
    assert all(measure and formula and owner for measure, formula, _, owner in rows)
    named = {name.strip().lower() for row in rows for name in row[0].split(",")}
    marts = PROJECT / "dbt" / "cxm_medtech" / "models" / "marts"
    labels = {m["label"] for m in yaml.safe_load((marts / "_semantic.yml").read_text(encoding="utf-8"))["metrics"]}
    for table in (PROJECT / "architecture" / "powerbi").rglob("tables/*.tmdl"):
        labels |= {
            n.strip("'") for n in re.findall(r"^\tmeasure ('[^']+'|\S+)", table.read_text(encoding="utf-8"), re.M)
        }
    assert {re.sub("^average review", "mean review", label.lower()) for label in labels} - named == set()
    models = yaml.safe_load((marts / "_marts__models.yml").read_text(encoding="utf-8"))["models"]
    measured = {c["name"] for m in models for c in m["columns"] if MEASURE.search(c["name"])}
    assert len(measured) > 25
    assert {name for name in measured if f"`{name}`" not in page} == set()


def test_no_file_of_the_emulated_warehouse_is_long() -> None:
    files = (PROJECT / "flows" / "embedded" / "warehouse").rglob("*.py")
    assert [f.name for f in files if len(f.read_text(encoding="utf-8").splitlines()) > 345] == []
