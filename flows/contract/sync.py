"""Contracts → every file that derives from them, written or compared: what `cxm contract sync` and `cxm contract check` do.

A derived file names `cxm contract sync`, so one that no contract gives any more can be told from one that a person wrote, and
goes. Great Expectations' definitions and checkpoints have no place for words: there the id tells, see `_is_derived`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from flows.contract import render_dbt, render_dictionary, render_expectations, standard
from flows.contract.model import Source
from flows.contract.read import DICTIONARY, SUFFIX, read_source, sources
from flows.errors import ConfigurationError

# Where derived files may stand, by folder and file name; nothing else is looked at, so nothing else can be removed.
DERIVED = (
    ("data_dictionary", "README.md"),
    ("dbt/cxm_medtech/models/staging", "**/*.yml"),
    ("dbt/cxm_medtech/models/staging", "**/*.sql"),
    ("expectations/gx", "great_expectations.yml"),
    ("expectations/gx/expectations", "*.json"),
    ("expectations/gx/validation_definitions", "*.json"),
    ("expectations/gx/checkpoints", "*.json"),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A derived file that is not what the contracts give: where, why, and how it differs (a unified diff)."""

    path: Path
    reason: str  # missing, differs, left over
    diff: str


def check_standard(project: Path) -> None:
    """Nothing, when every contract of the project follows the standard's own JSON schema.

    Raises:
        ConfigurationError: one does not; one line for each mistake in any of them.
    """
    mistakes = []
    for name in sources(project):
        path = f"{DICTIONARY}/{name}{SUFFIX}"
        try:
            standard.check_standard((project / path).read_text(encoding="utf-8"), path)
        except ConfigurationError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))


def contracts_of(project: Path) -> list[Source]:
    """Every contract of the project.

    Raises:
        ConfigurationError: a contract is wrong, there is none, or two share a RAW table.
    """
    contracts = [read_source(project / DICTIONARY / f"{name}{SUFFIX}") for name in sources(project)]
    if not contracts:
        raise ConfigurationError(
            f"{project / DICTIONARY}: got no contract, expected one *{SUFFIX} at least; go to a project, or make one: `cxm init`"
        )
    owners: dict[tuple[str, str], str] = {}
    for source in contracts:
        for table in source.tables:
            other = owners.setdefault((source.schema, table.raw_name), source.name)
            if other != source.name:
                raise ConfigurationError(
                    f"{source.contract}, schema entry {table.name}: got the RAW table {table.raw_name}, which {other} has too; "
                    "expected one source for each; set another physicalName"
                )
    return contracts


def derived(project: Path) -> dict[Path, str]:
    """Every derived file of the project's contracts: path relative to the project → whole text.

    Raises:
        ConfigurationError: as `contracts_of`, or two renderers write one path.
    """
    contracts = contracts_of(project)
    files: dict[Path, str] = {}
    for rendered in (
        render_dictionary.render(*contracts),
        render_expectations.render(*contracts),
        *(render_dbt.render(source) for source in contracts),
    ):
        for name, text in rendered.items():
            if Path(name) in files:
                raise ConfigurationError(f"{name}: two renderers write it; expected one path for each derived file")
            files[Path(name)] = text
    return files


def check(project: Path) -> list[Difference]:
    """What `sync` would change, in the order of the paths; an empty list when all is as the contracts say."""
    wanted = derived(project)
    return sorted([*compare(project, wanted), *_left_over(project, wanted)], key=lambda difference: difference.path)


def sync(project: Path) -> list[Path]:
    """Make the derived files what the contracts give; the paths (relative to the project) that were written or removed."""
    wanted = derived(project)
    removed = [difference.path for difference in _left_over(project, wanted)]
    for path in removed:
        (project / path).unlink()
    return sorted([*write(project, wanted), *removed])


def write(project: Path, wanted: Mapping[Path, str]) -> list[Path]:
    """Make the files what `wanted` says; the paths of those that were not."""
    paths = [difference.path for difference in compare(project, wanted)]
    for path in paths:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(wanted[path], encoding="utf-8", newline="\n")
    return paths


def compare(project: Path, wanted: Mapping[Path, str]) -> list[Difference]:
    """The files that are not there or not as `wanted` says."""
    found = []
    for path, text in wanted.items():
        there = _read(project / path)
        if there != text:
            found.append(Difference(path, "missing" if there is None else "differs", _diff(path, there or "", text)))
    return found


def _left_over(project: Path, wanted: Mapping[Path, str]) -> Iterator[Difference]:
    for folder, pattern in DERIVED:
        for file in sorted((project / folder).glob(pattern)):
            path = file.relative_to(project)
            if path not in wanted and not file.is_symlink() and _is_derived(_read(file) or ""):
                yield Difference(path, "left over", _diff(path, _read(file) or "", ""))


def _is_derived(text: str) -> bool:
    if "cxm contract sync" in text:
        return True
    try:
        # Derived ids are made of names (UUID version 5); those that Great Expectations' own tools give are random (version 4).
        return UUID(json.loads(text)["id"]).version == 5
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def _read(file: Path) -> str | None:
    """The file's text with its line ends as they are; None where there is no such file."""
    try:
        return file.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _diff(path: Path, there: str, wanted: str) -> str:
    lines = difflib.unified_diff(
        there.splitlines(), wanted.splitlines(), f"{path} (in the project)", f"{path} (derived)", lineterm=""
    )
    return "\n".join(lines)
