"""Writes or compares the files derived from contracts: `cxm contract sync` and `cxm contract check`.

A derived file mentions `cxm contract sync`. So a file that no contract produces any more is recognized and removed, while files
that people wrote stay. Great Expectations' definitions and checkpoints have no comments; they are recognized by their ids, see
`_is_derived`.
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

# Where derived files may be, by folder and file name. Other files are never read, so they can never be removed.
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
    """A derived file that is not up to date: its path, the reason, and a unified diff."""

    path: Path
    reason: str  # missing, differs, left over
    diff: str


def check_standard(project: Path) -> None:
    """Check that every contract of the project follows the standard's JSON schema.

    Raises:
        ConfigurationError: a contract does not; the message has a line for each mistake in any of them.
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
    """Read every contract of the project.

    Raises:
        ConfigurationError: a contract is wrong, none exists, or two share a RAW table.
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
    """Render every derived file of the project's contracts: path relative to the project → text.

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
    """List what `sync` would change, ordered by path; an empty list if all files are up to date."""
    expected = derived(project)
    return sorted([*compare(project, expected), *_left_over(project, expected)], key=lambda difference: difference.path)


def sync(project: Path) -> list[Path]:
    """Update the derived files; returns the paths (relative to the project) that were written or removed."""
    expected = derived(project)
    removed = [difference.path for difference in _left_over(project, expected)]
    for path in removed:
        (project / path).unlink()
    return sorted([*write(project, expected), *removed])


def write(project: Path, expected: Mapping[Path, str]) -> list[Path]:
    """Write the files that differ from `expected`; returns their paths."""
    paths = [difference.path for difference in compare(project, expected)]
    for path in paths:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(expected[path], encoding="utf-8", newline="\n")
    return paths


def compare(project: Path, expected: Mapping[Path, str]) -> list[Difference]:
    """List the files that are missing or differ from `expected`."""
    differences = []
    for path, text in expected.items():
        actual = _read(project / path)
        if actual != text:
            reason = "missing" if actual is None else "differs"
            differences.append(Difference(path, reason, _diff(path, actual or "", text)))
    return differences


def _left_over(project: Path, expected: Mapping[Path, str]) -> Iterator[Difference]:
    for folder, pattern in DERIVED:
        for file in sorted((project / folder).glob(pattern)):
            path = file.relative_to(project)
            if path not in expected and not file.is_symlink() and _is_derived(_read(file) or ""):
                yield Difference(path, "left over", _diff(path, _read(file) or "", ""))


def _is_derived(text: str) -> bool:
    if "cxm contract sync" in text:
        return True
    try:
        # Derived ids are hashes of names (UUID version 5); those of Great Expectations' own tools are random (version 4).
        return UUID(json.loads(text)["id"]).version == 5
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def _read(file: Path) -> str | None:
    """Read the file's text with its original line ends; None if it does not exist."""
    try:
        return file.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _diff(path: Path, actual: str, expected: str) -> str:
    lines = difflib.unified_diff(
        actual.splitlines(), expected.splitlines(), f"{path} (in the project)", f"{path} (derived)", lineterm=""
    )
    return "\n".join(lines)
