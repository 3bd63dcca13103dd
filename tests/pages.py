"""Reads the commands of a Markdown page, in order, each with its heading and the exit code that the page states."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import click

from flows.cli import main
from flows.settings import PROJECT

SKIPPED = {".venv", ".cxm", "node_modules", "target", ".pytest_cache", "golden"}
PAGES = sorted(page for page in PROJECT.rglob("*.md") if not SKIPPED & set(page.relative_to(PROJECT).parts))
PART = re.compile(
    r"^\#+\ (?P<heading>[^\n]*)$ | ^```sh\n(?P<shell>.*?)^``` | ^```.*?^``` | `(?P<span>(?:cxm|make|prefect)\ [^`]+)`",
    flags=re.M | re.S | re.X,
)


@dataclass(frozen=True, slots=True)
class Command:
    """A line of a shell block, or a command named within a sentence or a table (`inline`)."""

    page: str
    heading: str
    line: str  # without its comment
    exit_code: int  # what its comment says (`# exit 3: …`), else 0
    inline: bool


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def commands(page: Path) -> list[Command]:
    result: list[Command] = []
    heading = ""
    for part in PART.finditer(page.read_text(encoding="utf-8")):
        heading = heading if part["heading"] is None else part["heading"]
        for written in (part["shell"] or "").splitlines():
            line, _, comment = re.sub(r"(^|\s+)#\s", "\0", written, count=1).strip().partition("\0")
            says = re.match(r"exit (\d)", comment)
            if line:
                result.append(Command(name(page), heading, line, int(says[1]) if says else 0, inline=False))
        if part["span"]:
            result.append(Command(name(page), heading, " ".join(part["span"].split()), 0, inline=True))
    return result


def check_cxm(words: list[str], line: str) -> None:
    """Assert that the words after `cxm` name an existing command, with options that it has."""
    group: click.Command = main
    rest = list(words)
    while isinstance(group, click.Group) and rest and rest[0] in group.commands:
        group = group.commands[rest.pop(0)]
    assert not isinstance(group, click.Group) or rest in ([], ["--help"]), line
    if not isinstance(group, click.Group):
        group.make_context("cxm", rest)  # an option that does not exist raises
