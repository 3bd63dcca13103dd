"""Great Expectations' results, in its JSON form → `TableVerdict`: which rules rows broke, in words, and how many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.contract.model import Severity, Table
from flows.errors import InfrastructureError


@dataclass(frozen=True, slots=True)
class RuleFailure:
    """One rule that rows broke. `observed` tells in words; `unexpected_count` is rows, 0 for a rule that is not on rows;
    `example` is the first of those rows, where one was looked for."""

    rule: str
    column: str | None
    observed: str
    unexpected_count: int
    severity: Severity
    example: str = ""

    @property
    def told(self) -> str:
        """The rule, its column, how many rows broke it, and one of them."""
        head = f"{self.rule} {self.column or ''}".rstrip()
        return f"{head}: {self.observed}" + (f", e.g. {self.example}" if self.example else "")


@dataclass(frozen=True, slots=True)
class TableVerdict:
    """What the rules said of one table (its name in the contract); `evaluated` counts the rules that were judged."""

    table: str
    success: bool  # no error-severity failure
    error_failures: tuple[RuleFailure, ...]
    warnings: tuple[RuleFailure, ...]
    evaluated: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checkpoint said of a batch."""

    batch_id: str
    tables: tuple[TableVerdict, ...]
    docs_index: Path

    @property
    def passed(self) -> bool:
        """No rule of error severity failed; warnings do not count."""
        return all(table.success for table in self.tables)


def verdict_of(table: Table, result: Mapping[str, Any]) -> TableVerdict:
    """What the rules said of a table.

    Raises:
        InfrastructureError: a rule could not be evaluated though the columns are there.
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


def _difference(wanted: Sequence[str], found: Sequence[str]) -> str:
    missing, extra = set(wanted) - set(found), set(found) - set(wanted)
    parts = [
        f"{word} {', '.join(sorted(names)).upper()}"
        for word, names in (("missing", missing), ("extra", extra))
        if names
    ]
    return "; ".join(parts) or f"order {', '.join(found).upper()}"


def _raised(info: Mapping[str, Any]) -> str:
    """The first exception in what GX reports: one record for the expectation, or one for each of its metrics."""
    records = [info] if "raised_exception" in info else list(info.values())
    return next((str(r["exception_message"]) for r in records if r["raised_exception"]), "")
