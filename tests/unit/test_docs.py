"""The pages: every link leads somewhere, every file they name is there, every command they show exists with its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from flows.cli import main
from flows.settings import PROJECT, Settings

PAGES = sorted(
    page
    for page in PROJECT.rglob("*.md")
    if not {".venv", ".cxm", "node_modules", "target", ".pytest_cache", "golden"} & set(page.relative_to(PROJECT).parts)
)
MADE_LATER = {"target/sources.json"}  # by a run
SUFFIXES = "py|sql|yaml|yml|json|toml|txt|md|tmdl|pbids|sh"


def ids(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def anchors(page: Path) -> set[str]:
    """The names that headings have in a rendered page."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.M):
        text = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
        found.add(text.replace(" ", "-"))
    return found


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
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = set(re.findall(rf"`([\w./-]+/[\w.-]+\.(?:{SUFFIXES}))`", page.read_text()))
    folders = (PROJECT, page.parent, PROJECT / "dbt" / "cxm_medtech")
    lost = {name for name in named if not any((folder / name).exists() for folder in folders)}
    assert lost - MADE_LATER == set()


def commands(page: Path) -> Iterator[str]:
    """The lines of the page's shell blocks, without their comments."""
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(), re.S):
        for line in block.splitlines():
            line = re.sub(r"\s+#.*$", "", line).strip()
            if line and not line.startswith("#"):
                yield line


@pytest.mark.parametrize("page", [p for p in PAGES if list(commands(p))], ids=ids)
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+|\.[\w/.]+):", (PROJECT / "Makefile").read_text(), re.M)) | {".venv/.ready"}
    for line in commands(page):
        for part in re.split(r"\s(?:&&|\|)\s", line):
            words = shlex.split(re.sub(r"^(\w+=\S+ )+", "", part))
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
                group: click.Command = main
                rest = words[1:]
                while isinstance(group, click.Group) and rest and rest[0] in group.commands:
                    group = group.commands[rest.pop(0)]
                assert not isinstance(group, click.Group) or rest in ([], ["--help"]), line
                if not isinstance(group, click.Group):
                    group.make_context("cxm", list(rest))  # an option that is not there raises
