"""Reads Great Expectations' JSON results into `TableVerdict`: which rules were broken, in words, and by how many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from flows.clients.unquoted import without_values_in
from flows.contract.beside import KINDS
from flows.contract.model import BROKEN_RULE, Severity, Table
from flows.errors import InfrastructureError
from flows.landing import BrokenLine

# Rules that the first rows of each file cannot decide.
_OF_WHOLE_FILES = ("relationship", "row_count", "volume", *KINDS)
_LONGEST = 60  # characters of a value


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that broke a rule: its number in its file, and its values in the rule's columns that are not personal."""

    row: int
    file: str  # the object's name in S3
    values: tuple[tuple[str, str | None], ...] = ()  # RAW column, value

    @property
    def summary(self) -> str:
        """`row 3 (LINE is 'x')`."""
        shown = ", ".join(f"{name} is {_short(value)}" for name, value in self.values)
        return f"row {self.row:,}" + (f" ({shown})" if shown else "")


def _short(value: str | None) -> str:
    if value is None:
        return "empty"
    return repr(value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…")


@dataclass(frozen=True, slots=True)
class RuleFailure:
    """One broken rule. `observed` is a sentence; `unexpected_count` counts rows, 0 for a rule that is not about single rows;
    `rows` are the first of those rows, if they were queried, and `query` selects all of them."""

    rule: str
    column: str | None
    observed: str
    unexpected_count: int
    severity: Severity
    rows: tuple[BrokenRow, ...] = ()
    query: str = ""

    @property
    def summary(self) -> str:
        """The rule, its column, the number of rows that broke it, and the first of them."""
        head = f"{self.rule} {self.column or ''}".rstrip()
        return f"{head}: {self.observed}" + (f": {self.named}" if self.rows else "")

    @property
    def named(self) -> str:
        """`cases.csv.zst: row 3 (LINE is 'x'), row 17 (LINE is 'y') and 4 more`."""
        files = [
            f"{file}: {', '.join(row.summary for row in rows)}" for file, rows in groupby(self.rows, lambda r: r.file)
        ]
        more = self.unexpected_count - len(self.rows)
        return "; ".join(files) + (f" and {more:,} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class TableVerdict:
    """The verdict on one table (its name in the contract); `evaluated` counts the rules that were evaluated."""

    table: str
    success: bool  # no error-severity failure
    error_failures: tuple[RuleFailure, ...]
    warnings: tuple[RuleFailure, ...]
    evaluated: int
    aside: tuple[RuleFailure, ...] = ()  # failures of severity error caused only by rows that were set aside
    rows_aside: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The checkpoint's verdict on a batch."""

    batch_id: str
    tables: tuple[TableVerdict, ...]
    docs_index: Path
    judged_at: datetime | None = None  # identifies the results in the working copy; None without results

    @property
    def of_first_rows(self) -> Verdict:
        """The verdict without rules about whole files: for example, a row's parent may not be among the first rows."""

        def judged(table: TableVerdict, failures: Sequence[RuleFailure]) -> tuple[RuleFailure, ...]:
            kinds = ((f, f.rule.removeprefix(f"{table.table}.").partition("(")[0]) for f in failures)
            return tuple(f for f, kind in kinds if kind not in _OF_WHOLE_FILES)

        def without(table: TableVerdict) -> TableVerdict:
            errors = judged(table, table.error_failures)
            return replace(table, success=not errors, error_failures=errors, warnings=judged(table, table.warnings))

        return replace(self, tables=tuple(without(table) for table in self.tables))

    @property
    def passed(self) -> bool:
        """Whether no rule of severity error failed."""
        return all(table.success for table in self.tables)

    @property
    def counted(self) -> dict[str, dict[str, int]]:
        """Table → broken rule of severity error (its name in the contract) → number of rows."""
        counts: dict[str, dict[str, int]] = {}
        for judged in self.tables:
            rules = counts.setdefault(judged.table, {})
            for failure in judged.error_failures:
                name = failure.rule.removeprefix(f"{judged.table}.")
                rules[name] = rules.get(name, 0) + failure.unexpected_count
        return counts


class ReadFile(Protocol):
    """The facts about a landed file that a verdict uses."""

    @property
    def file(self) -> str: ...
    @property
    def records(self) -> int: ...
    @property
    def broken(self) -> tuple[BrokenLine, ...]: ...
    @property
    def broken_lines(self) -> int: ...


def of_broken_lines(table: str, file: ReadFile) -> list[RuleFailure]:
    """Report a file's broken lines as the failure of a rule."""
    if not file.broken_lines:
        return []
    more = file.broken_lines - len(file.broken)
    named = ", ".join(line.summary for line in file.broken) + (f" and {more:,} more" if more and file.broken else "")
    said = f"{file.broken_lines:,} of {file.records:,} lines" + (f": {file.file}: {named}" if named else "")
    return [RuleFailure(f"{table}.{BROKEN_RULE}", None, said, file.broken_lines, "error")]


def verdict_of(table: Table, result: Mapping[str, Any]) -> TableVerdict:
    """Read the verdict on a table from GX's result.

    Raises:
        InfrastructureError: a rule could not be evaluated although the columns exist.
    """
    evaluated, broken, failures = 0, [], []
    for entry in result["results"]:
        if raised := _raised(entry["exception_info"]):
            broken.append((entry["expectation_config"]["meta"]["rule"], raised))
            continue
        evaluated += 1
        if not entry["success"]:
            failures.append(_failure(entry))
    if broken and not any(f.rule.endswith(".column_set") for f in failures):
        rule, message = broken[0]
        raise InfrastructureError(
            f"{table.raw_name}: {len(broken)} rules could not be evaluated, first {rule}: {message}; look at the warehouse "
            "and run again"
        )
    errors = tuple(f for f in failures if f.severity == "error")
    warnings = tuple(f for f in failures if f.severity == "warning")
    return TableVerdict(table.name, not errors, errors, warnings, evaluated)


def _failure(entry: Mapping[str, Any]) -> RuleFailure:
    meta, result = entry["expectation_config"]["meta"], entry["result"]
    count = int(result.get("unexpected_count") or 0)
    if "unexpected_count" in result:
        observed = f"{count:,} of {result['element_count']:,} rows"
    elif meta["rule"].endswith((".column_set", ".column_order")):
        kwargs = entry["expectation_config"]["kwargs"]
        observed = _difference(kwargs.get("column_set") or kwargs["column_list"], result["observed_value"])
    elif entry["expectation_config"]["type"] == "unexpected_rows_expectation":
        count = int(result["observed_value"])
        observed = f"{count:,} rows"
    else:
        observed = f"{result['observed_value']} rows"
    return RuleFailure(meta["rule"], ", ".join(meta["columns"]) or None, observed, count, meta["severity"])


def _difference(expected: Sequence[str], got: Sequence[str]) -> str:
    missing, extra = set(expected) - set(got), set(got) - set(expected)
    parts = [
        f"{word} {', '.join(sorted(names)).upper()}"
        for word, names in (("missing", missing), ("extra", extra))
        if names
    ]
    return "; ".join(parts) or f"order {', '.join(got).upper()}"


def _raised(info: Mapping[str, Any]) -> str:
    """Return the first exception in GX's report, which has one record for the expectation or one for each of its metrics."""
    records = [info] if "raised_exception" in info else list(info.values())
    return next((without_values_in(str(r["exception_message"])) for r in records if r["raised_exception"]), "")
