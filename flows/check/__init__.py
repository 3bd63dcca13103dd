"""Checks the files of a place as a run would, without an account or a server; nothing is sent.

place ──landing's reader──▶ rows in a temporary, in-process account ──the contract's rules──▶ `Report`

The verdict is the same as the checkpoint's: the same rules over the same values. Every table is checked, even if another table's
file is refused. Rules that need the account's history are listed in `Report.unjudged`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

from flows.check import account as own
from flows.contract.beside import KINDS
from flows.contract.broken_rows import breaks, orphans
from flows.contract.expectations import Expectation, expectations, named
from flows.contract.fit import fit
from flows.contract.model import Relationship, Source, Table
from flows.errors import DataError
from flows.inventory import inventory
from flows.places import Place
from flows.steps import land, publish
from flows.steps.validate import RuleFailure, TableVerdict, Verdict, of_broken_lines, with_examples

Status = Literal["good", "warning", "set aside", "bad", "refused", "absent"]
Tell = Callable[[str, str, int, int], None]  # (table, phase, bytes done, bytes in all)


@dataclass(frozen=True, slots=True)
class FileReport:
    """The result for one table. `error`: why landing refuses its file; its rules were then not evaluated. `columns`: differences
    between header and contract that the contract tolerates. Status `absent`: an optional file did not come."""

    table: str
    files: tuple[str, ...]
    status: Status
    rows: int = 0
    bytes: int = 0
    packed: str = ""
    columns: str = ""
    error: str = ""
    broken: tuple[RuleFailure, ...] = ()  # rules of severity error
    warnings: tuple[RuleFailure, ...] = ()
    rules: int = 0  # how many were evaluated
    rows_set_aside: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The result for a place."""

    source: str
    place: str
    files: tuple[FileReport, ...]
    ignored: str = ""  # files that belong to no table
    unjudged: tuple[str, ...] = ()  # rules that files alone cannot decide
    refused: str = ""  # why the bad rows cannot be set aside, although the contract provides for it

    @property
    def passed(self) -> bool:
        """Whether a run would publish these files, as far as can be known without the account."""
        return not self.refused and all(f.status not in ("bad", "refused") for f in self.files)


def check(
    source: Source,
    place: Place,
    day: date,
    tables: Sequence[Table] = (),
    tell: Tell = lambda *_: None,
) -> Report:
    """Check the files of a place for `tables`, by default for all. Tables that these point at are read too, but not checked.

    Raises:
        DataError: a file's name does not say which table it belongs to.
        ConfigurationError, InfrastructureError: access to the place is denied, or it does not answer.
    """
    listing = inventory(source, [entry.name for entry in place.entries() if not entry.is_folder], day)
    asked = tables or source.tables
    parents = {source.parent(link)[1].name for t in asked for link in t.relationships if not link.source}
    read: dict[str, Sequence[land.FileFacts]] = {}
    refused: dict[str, str] = {}
    unjudged: list[str] = []
    with own.opened(source) as account:
        for table in source.tables:
            if table in asked or table.name in parents:
                names = listing.files[table.name]
                if not names and table.optional:
                    continue
                try:
                    read[table.name] = _read(
                        account, place, table, names or (table.file_on(day) if table.daily else table.file,), tell
                    )
                except DataError as error:
                    refused[table.name] = str(error)
        judging = replace(source, tables=tuple(_judgeable(source, t, read, unjudged) for t in source.tables))
        of_tables = [table.name for table in asked if table.name in read]
        for name in of_tables:
            account.stage(judging, judging.table(name))
        judging = _without_unknown_parents(judging, account, of_tables, unjudged)
        rows = {name: sum(f.records - f.broken_lines for f in read[name]) for name in of_tables}
        verdict = Verdict(
            own.RUN.batch_id, tuple(_judged(account, judging, judging.table(n), rows[n]) for n in of_tables), Path()
        )
        if not verdict.passed:
            verdict = with_examples(account.connection, judging, verdict)
        aside, too_many = _set_aside(account, judging, verdict, read)
    judged = {t.table: t for t in verdict.tables}
    files = tuple(
        _file(table, listing.files[table.name], read, judged.get(table.name), refused.get(table.name, ""), aside)
        for table in asked
    )
    return Report(source.name, str(place), files, listing.summary, tuple(unjudged), too_many)


def _read(
    account: own.CheckTables, place: Place, table: Table, names: Sequence[str], tell: Tell
) -> Sequence[land.FileFacts]:
    """Read the table's files with landing's reader, and keep their rows in the account.

    Raises:
        DataError: landing refuses a file.
    """

    def report(phase: str, done: int, total: int) -> None:
        tell(table.name, phase, done, total)

    facts = []
    for name in names:
        with account.rows_of(table, name) as rows:
            facts.append(land.inspect(place / name, table, report, rows.write, rows.restart))
    return facts


def _judgeable(source: Source, table: Table, read: Container[str], unjudged: list[str]) -> Table:
    """The table with only the rules that files alone can decide; the others are added to `unjudged`."""
    links = []
    for link in table.relationships:
        owner, parent = source.parent(link)
        name = f"{table.name}.relationship({', '.join(link.columns)})"
        if owner.name != source.name:
            unjudged.append(f"{name} (points into source {owner.name})")
        elif parent.name not in read:
            unjudged.append(f"{name} ({parent.name} was not read)")
        else:
            links.append(link)
    history = [rule for rule in table.rules if rule.kind in ("volume", *KINDS)]
    rules = tuple(rule for rule in table.rules if rule not in history)
    unjudged += [f"{table.name}.{named(rule)} (takes the batches before)" for rule in history]
    return replace(table, relationships=tuple(links), rules=rules)


def _without_unknown_parents(
    source: Source, account: own.CheckTables, names: Sequence[str], unjudged: list[str]
) -> Source:
    """The source without relationships whose missing parents may have come on an earlier day; those are added to `unjudged`."""
    tables = []
    for table in source.tables:
        links = []
        for link in table.relationships if table.name in names else ():
            parent = source.parent(link)[1]
            missing = _orphans(account, source, table, link) if parent.load == "append" else 0
            if missing:
                name = f"{table.name}.relationship({', '.join(link.columns)})"
                unjudged.append(f"{name} (of {missing:,} rows the {parent.name} may have come on days before)")
            else:
                links.append(link)
        tables.append(replace(table, relationships=tuple(links)))
    reduced = replace(source, tables=tuple(tables))
    for name in names:
        account.answer(reduced, reduced.table(name))
    return reduced


def _judged(account: own.CheckTables, source: Source, table: Table, rows: int) -> TableVerdict:
    """Evaluate the rules over a table's rows."""
    counts: list[tuple[Expectation, int, str]] = []
    on_rows: list[tuple[Expectation, str]] = []
    links = iter(table.relationships)
    for expectation in expectations(source, table):
        if expectation.rule == "relationship":
            count = _orphans(account, source, table, next(links))
            counts.append((expectation, count, f"{count:,} rows"))
        elif expectation.rule == "row_count":
            most = expectation.kwargs.get("max_value")
            wrong = rows < int(str(expectation.kwargs.get("min_value", 0))) or (
                most is not None and rows > int(str(most))
            )
            counts.append((expectation, -1 if wrong else 0, f"{rows} rows"))
        elif expectation.rule == "unique":
            count = _repeated(account, table, expectation)
            counts.append((expectation, count, f"{count:,} of {rows:,} rows"))
        elif condition := breaks(expectation):
            on_rows.append((expectation, account.engine_sql(condition)))
    if on_rows:
        each = ", ".join(f"count(*) FILTER ({condition})" for _, condition in on_rows)
        broken = account.counted(f"SELECT {each} FROM {account.asset(table)} AS r")
        counts += [(e, count, f"{count:,} of {rows:,} rows") for (e, _), count in zip(on_rows, broken, strict=True)]
    failures = [_failure(table, e, max(count, 0), observed) for e, count, observed in counts if count]
    errors = tuple(f for f in failures if f.severity == "error")
    return TableVerdict(
        table.name, not errors, errors, tuple(f for f in failures if f.severity == "warning"), len(counts)
    )


def _orphans(account: own.CheckTables, source: Source, table: Table, link: Relationship) -> int:
    """How many rows point at a parent that does not exist."""
    asked = [e for e in expectations(source, table) if e.rule == "relationship"]
    expectation = asked[table.relationships.index(link)]
    query = orphans(source, table, expectation, [own.RUN.batch_id], ("_SOURCE_ROW_NUMBER",))
    ((count,),) = account.asked(f"SELECT COUNT(*) FROM ({query}) AS q")
    return int(count)


def _repeated(account: own.CheckTables, table: Table, expectation: Expectation) -> int:
    """How many rows share their key with another row; keys with an empty part are not counted."""
    named = expectation.kwargs.get("column_list") or [expectation.kwargs["column"]]
    assert isinstance(named, list)
    columns = [f'"{str(name).upper()}"' for name in named]
    present = " AND ".join(f"{c} IS NOT NULL" for c in columns)
    groups = f"SELECT count(*) AS n FROM {account.asset(table)} WHERE {present} GROUP BY {', '.join(columns)} HAVING count(*) > 1"
    return account.counted(f"SELECT coalesce(sum(n), 0) FROM ({groups})")[0]


def _failure(table: Table, expectation: Expectation, count: int, observed: str) -> RuleFailure:
    columns = ", ".join(expectation.columns) or None
    return RuleFailure(f"{table.name}.{expectation.name}", columns, observed, count, expectation.severity)


def _set_aside(
    account: own.CheckTables, source: Source, verdict: Verdict, read: Mapping[str, Sequence[land.FileFacts]]
) -> tuple[dict[str, int] | None, str]:
    """Table → rows that publishing would set aside, or None if none may be; and the reason, if they are too many."""
    lines = any(facts.broken_lines for of_table in read.values() for facts in of_table)
    bad = publish.RowsToSetAside.from_counts(source, verdict.counted, lines)
    if bad is None:
        return None, ""
    raw_names = [source.table(t.table).raw_name for t in verdict.tables]
    try:
        aside = publish.publish(account.ledger(read), own.RUN, raw_names, bad)
    except DataError as error:
        return None, str(error)
    return {one.table: one.rows for one in aside}, ""


def _file(
    table: Table,
    names: tuple[str, ...],
    read: Mapping[str, Sequence[land.FileFacts]],
    judged: TableVerdict | None,
    error: str,
    aside: Mapping[str, int] | None,
) -> FileReport:
    facts = read.get(table.name, ())
    if not facts or judged is None:
        return FileReport(table.name, names or (table.file,), "refused" if error else "absent", error=error)
    rows = (aside or {}).get(table.name, 0)
    status: Status = "bad" if judged.error_failures else "warning" if judged.warnings else "good"
    return FileReport(
        table.name,
        names,
        "set aside" if rows else status,
        sum(f.records for f in facts),
        sum(f.bytes for f in facts),
        ", ".join(dict.fromkeys(f.packed for f in facts if f.packed)),
        "; ".join(dict.fromkeys(summary for f in facts if (summary := fit(table, f.header).summary))),
        broken=(*judged.error_failures, *(failure for f in facts for failure in of_broken_lines(table.name, f))),
        warnings=judged.warnings,
        rules=judged.evaluated,
        rows_set_aside=rows,
    )
