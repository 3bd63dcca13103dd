"""Compares two versions of a contract: what changed, and which version number that requires. Pure: no I/O.

A change is *breaking* if a file that was accepted may now be refused or quarantined, or a query that worked may now fail. It is a
*widening* if more files are accepted than before, and an *addition* if something new exists and nothing else changed.
The version follows https://semver.org: breaking → major, addition or widening → minor, anything else → patch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flows.contract.model import Column, Limits, Relationship, Rule, Source, Table
from flows.errors import ConfigurationError

Level = Literal["breaking", "widening", "addition", "note"]
LEVELS: tuple[Level, ...] = ("breaking", "widening", "addition", "note")

# How a table lets files differ from the contract: (attribute, contract key, the strictest value).
_POLICIES = (
    ("allow_empty", "allowEmpty", False),
    ("optional", "optional", False),
    ("on_new_column", "onNewColumn", "refuse"),
    ("on_missing_column", "onMissingColumn", "refuse"),
    ("on_reorder", "onReorder", "refuse"),
)
# Rules that follow from a column's logicalType. A change of the type is reported once, as a change of the type.
_OF_THE_TYPE = ("number", "boolean", "timestamp", "date")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: its level, where it is, and a description."""

    level: Level
    table: str  # empty for the contract itself
    column: str  # empty for the table itself
    what: str


def compare(old: Source, new: Source) -> tuple[Change, ...]:
    """List every difference between two versions of one contract, breaking ones first."""
    changes = [*_contract(old, new)]
    before, after = {t.name: t for t in old.tables}, {t.name: t for t in new.tables}
    changes += [Change("breaking", name, "", "table removed") for name in before.keys() - after.keys()]
    changes += [Change("addition", name, "", "table added") for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        changes += _table(before[name], after[name])
        changes += _own_limits(before[name], after[name])
        changes += _retention(before[name], after[name])
    return tuple(sorted(changes, key=lambda c: (LEVELS.index(c.level), c.table, c.column, c.what)))


def version_for(old_version: str, changes: tuple[Change, ...]) -> str:
    """Return the lowest version number that these changes allow: `1.4.2` with an addition → `1.5.0`.

    Raises:
        ConfigurationError: the old version is not of the form major.minor.patch.
    """
    major, minor, patch = _parts(old_version)
    levels = {change.level for change in changes}
    if "breaking" in levels:
        return f"{major + 1}.0.0"
    if levels & {"widening", "addition"}:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}" if changes else old_version


def breaks_within_major(old: Source, new: Source, changes: tuple[Change, ...]) -> bool:
    """Return whether a change is breaking although the major version did not grow."""
    breaking = any(change.level == "breaking" for change in changes)
    return breaking and _parts(new.version)[0] <= _parts(old.version)[0]


def _parts(version: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if not match:
        raise ConfigurationError(f"version: got {version!r}, expected major.minor.patch, such as 1.4.0")
    return int(match[1]), int(match[2]), int(match[3])


def _contract(old: Source, new: Source) -> Iterator[Change]:
    for name in ("schema", "stage"):
        if getattr(old, name) != getattr(new, name):
            yield Change("breaking", "", "", f"{name}: {getattr(old, name)} → {getattr(new, name)}")
    for name, label in (("warn_after_hours", "freshness_warning"), ("error_after_hours", "freshness_error")):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            tighter = name == "error_after_hours" and after < before
            yield Change("breaking" if tighter else "note", "", "", f"{label}: {before} h → {after} h")
    for name in ("description", "owner", "tags"):
        if getattr(old, name) != getattr(new, name):
            yield Change("note", "", "", f"{name} changed")


def _own_limits(old: Table, new: Table) -> Iterator[Change]:
    """Yield changes of a table's own freshness limits; `_contract` yields those of the source."""
    before, after = old.own_limits, new.own_limits
    if before == after:
        return
    hours = [limits.error_after_hours if isinstance(limits, Limits) else None for limits in (before, after)]
    tighter = hours[1] is not None and (before == "none" or (hours[0] is not None and hours[1] < hours[0]))
    texts = [
        f"{limits.warn_after_hours} h and {limits.error_after_hours} h"
        if isinstance(limits, Limits)
        else limits or "the source's"
        for limits in (before, after)
    ]
    yield Change("breaking" if tighter else "note", new.name, "", f"freshness: {' → '.join(texts)}")


def _retention(old: Table, new: Table) -> Iterator[Change]:
    """Yield a change of the retention; a shorter one is breaking, because it deletes rows that a query found."""
    before, after = old.retention, new.retention
    if before != after:
        shorter = after is not None and (before is None or after.days < before.days)
        texts = " → ".join(str(limit or "no limit") for limit in (before, after))
        yield Change("breaking" if shorter else "widening", new.name, "", f"retention: {texts}")


def _table(old: Table, new: Table) -> Iterator[Change]:
    for name, label in (("raw_name", "physicalName"), ("file", "fileName"), ("load", "loadMode")):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Change("breaking", new.name, "", f"{label}: {before} → {after}")
    for name, label, strict in _POLICIES:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            level: Level = "breaking" if after == strict else "note" if before != strict else "widening"
            yield Change(level, new.name, "", f"{label}: {str(before).lower()} → {str(after).lower()}")
    if old.primary_key != new.primary_key:
        keys = " → ".join(", ".join(key) or "none" for key in (old.primary_key, new.primary_key))
        yield Change("breaking", new.name, "", f"primary key: {keys}")
    for name, label in (("business_name", "businessName"), ("description", "description")):
        if getattr(old, name) != getattr(new, name):
            yield Change("note", new.name, "", f"{label} changed")
    if old.dialect != new.dialect:
        says = [t.dialect.summary or "the default" for t in (old, new)]
        # Changes of the dialect's other fields show as changes of the columns' rules, which have their own level.
        level = "breaking" if old.dialect.file_text != new.dialect.file_text else "note"
        yield Change(level, new.name, "", f"dialect: {' → '.join(says)}")
    if old.bad_rows != new.bad_rows:
        says = [
            f"set aside up to {t.bad_rows.limit}{', lines that are no record too' * t.bad_rows.broken_lines}"
            if t.bad_rows
            else "quarantine the batch"
            for t in (old, new)
        ]
        yield Change("note", new.name, "", f"bad rows: {' → '.join(says)}")
    before = {c.header: c for c in old.columns}
    after = {c.header: c for c in new.columns}
    for header in before.keys() - after.keys():
        yield Change("breaking", new.name, header, "column removed")
    for header in after.keys() - before.keys():
        required = after[header].required
        yield Change("breaking" if required else "addition", new.name, header, f"{'required ' * required}column added")
    common = before.keys() & after.keys()
    for header in common:
        yield from _column(new.name, before[header], after[header])
    if [c.header for c in old.columns if c.header in common] != [c.header for c in new.columns if c.header in common]:
        yield Change("breaking", new.name, "", "order of the columns changed")
    names = {before[h].name for h in common} & {after[h].name for h in common}
    retyped = {before[h].name for h in common if before[h].logical_type != after[h].logical_type}
    yield from _rules(old, new, names, retyped)
    yield from _relationships(old, new)


def _column(table: str, old: Column, new: Column) -> Iterator[Change]:
    if old.name != new.name:
        yield Change("breaking", table, new.header, f"physicalName: {old.name} → {new.name}")
    if old.logical_type != new.logical_type:
        wider = (old.logical_type, new.logical_type) == ("integer", "number")
        types = f"logicalType: {old.logical_type} → {new.logical_type}"
        yield Change("widening" if wider else "breaking", table, new.header, types)
    if old.required != new.required:
        yield Change(
            "breaking" if new.required else "widening",
            table,
            new.header,
            "is required now" if new.required else "may be empty now",
        )
    for name, label in (
        ("business_name", "businessName"),
        ("description", "description"),
        ("classification", "classification"),
        ("pii", "pii"),
    ):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            values = f": {before} → {after}" if name in ("classification", "pii") else " changed"
            yield Change("note", table, new.header, f"{label}{values}")


def _rules(old: Table, new: Table, names: set[str], retyped: set[str]) -> Iterator[Change]:
    """Yield changes of rules on the table and on columns that both versions have. The rules of an added or removed column are not
    reported separately."""
    keys = {old.primary_key, new.primary_key} if old.primary_key != new.primary_key else set()
    before, after = (
        _by_subject([r for r in table.rules if r.columns not in keys or not r.columns], names, retyped)
        for table in (old, new)
    )
    headers = {c.name: c.header for c in (*old.columns, *new.columns)}
    for subject in before.keys() | after.keys():
        was, now = before.get(subject, ()), after.get(subject, ())
        kind, name, columns = subject
        column = headers.get(name, "")
        label = f"rule {kind}" + (f" of {', '.join(columns)}" if columns else "")
        if len(was) == len(now) == 1:
            yield from _rule(new.name, column, label, was[0], now[0])
            continue
        for rule in set(was) - set(now):
            yield Change("widening" if rule.severity == "error" else "note", new.name, column, f"{label} removed")
        for rule in set(now) - set(was):
            yield Change("breaking" if rule.severity == "error" else "note", new.name, column, f"{label} added")


def _by_subject(
    rules: Sequence[Rule], names: set[str], retyped: set[str]
) -> Mapping[tuple[str, str, tuple[str, ...]], tuple[Rule, ...]]:
    by_subject: dict[tuple[str, str, tuple[str, ...]], tuple[Rule, ...]] = {}
    for rule in rules:
        if rule.kind == "not_null" or (rule.column and rule.column not in names):
            continue  # reported as a change of `required`, or of the column itself
        if rule.kind in _OF_THE_TYPE and rule.column in retyped:
            continue
        if not set(rule.columns) <= names:
            continue
        subject = (rule.kind, rule.column or "", rule.columns)
        by_subject[subject] = (*by_subject.get(subject, ()), rule)
    return by_subject


def _rule(table: str, column: str, label: str, old: Rule, new: Rule) -> Iterator[Change]:
    if old.severity != new.severity:
        level: Level = "breaking" if new.severity == "error" else "widening"
        yield Change(level, table, column, f"{label}: severity {old.severity} → {new.severity}")
    if old.arguments != new.arguments:
        change = _narrower(old, new)
        level = "note" if new.severity == "warning" else "breaking" if change else "widening"
        yield Change(level, table, column, f"{label}: {_arguments(old)} → {_arguments(new)}")


def _narrower(old: Rule, new: Rule) -> bool:
    """Return whether a value that satisfied the old rule may break the new one. A changed pattern or format always counts as
    narrower, since the two cannot be compared."""
    if new.kind == "in_set":
        return not set(old.argument("values")) <= set(new.argument("values"))
    if new.kind in ("between", "row_count"):
        lowest, highest = float("-inf"), float("inf")
        return _or(new.argument("min"), lowest) > _or(old.argument("min"), lowest) or _or(
            new.argument("max"), highest
        ) < _or(old.argument("max"), highest)
    return True


def _or(bound: float | None, default: float) -> float:
    """Return a bound, or `default` if there is none."""
    return default if bound is None else bound


def _arguments(rule: Rule) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in rule.arguments) or "no arguments"


def _text(value: object) -> str:
    return " | ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _relationships(old: Table, new: Table) -> Iterator[Change]:
    headers = {c.name: c.header for c in (*old.columns, *new.columns)}
    before, after = _by_ends(old.relationships), _by_ends(new.relationships)
    for ends in before.keys() | after.keys():
        label = f"relationship to {ends[2] or ''}{'.' * bool(ends[2])}{ends[1]}"
        column = ", ".join(headers[name] for name in ends[0])
        was, now = before.get(ends), after.get(ends)
        if was is None:
            assert now is not None
            yield Change("breaking" if now.severity == "error" else "note", new.name, column, f"{label} added")
        elif now is None:
            yield Change("widening" if was.severity == "error" else "note", new.name, column, f"{label} removed")
        elif was.severity != now.severity:
            level: Level = "breaking" if now.severity == "error" else "widening"
            yield Change(level, new.name, column, f"{label}: severity {was.severity} → {now.severity}")


def _by_ends(links: tuple[Relationship, ...]) -> dict[tuple[tuple[str, ...], str, str], Relationship]:
    return {(link.columns, link.parent, link.source): link for link in links}
