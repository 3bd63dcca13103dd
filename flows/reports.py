"""Renders the report of a run in Markdown, and the tables beside it, for the Prefect UI. Pure functions of a run's facts.

Long because the report and each table are made of the same facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from flows.escape import code, code_block, markdown
from flows.landing import LandedTable, LandResult
from flows.steps.dbt import SourceFreshness
from flows.steps.load import LoadResult
from flows.steps.profile import Compared
from flows.steps.validate import RuleFailure, TableVerdict, Verdict

_NAMED = 10  # new values listed for a column
SHIFT = 0.01  # report a share of NULLs that changed by one percentage point or more


@dataclass(frozen=True)
class Links:
    """The targets of a report's links; an empty text leaves a link out."""

    bucket: str
    console: str = ""  # an AWS region: links to its S3 console
    account: str = ""  # a Snowflake account, <organization>-<name>: links to Snowsight's query history
    data_docs: str = ""
    dbt_docs: str = ""
    history: str = ""


@dataclass(frozen=True)
class Report:
    """The facts of a run that its report shows."""

    source: str
    batch_id: str
    status: str  # Published, Quarantined, …
    outcome: str
    landed: Mapping[str, LandedTable]
    loaded: Sequence[LoadResult]
    links: Links
    seconds: float
    failed: Mapping[str, str] = field(default_factory=dict)  # table → why it was not landed or loaded
    compared: Sequence[Compared] = ()
    verdict: Verdict | None = None
    freshness: Mapping[str, str] = field(default_factory=dict)
    is_generated: bool = False
    ignored: str = ""  # files that belong to no table of the contract


def render(report: Report) -> str:
    """Render the report: outcome and links, then a table of what was loaded and what changed, then findings."""
    notice = [
        "**Generated rows**: made by `cxm generate`; they describe no person, company or sale."
    ] * report.is_generated
    head = f"**{report.status}**: {markdown(report.outcome)}"
    parts = [f"# {report.source}-{report.batch_id}", *notice, head, _facts(report), _tables(report)]
    if shifts := _shifts(report.compared):
        parts += ["## Null rates that moved", shifts]
    if new := _new_values(report.compared):
        parts += ["## New values", new]
    if differing := [table for table in report.landed.values() if table.differs]:
        parts += ["## Columns that differ from the contract"]
        parts += ["\n".join(f"- {table.table}: {markdown(table.differs)}" for table in differing)]
    if findings := _findings(report):
        parts += ["## Findings", findings]
    return "\n\n".join(parts) + "\n"


def _facts(report: Report) -> str:
    """List the facts, one line each: what was loaded and how long it took, what changed, the verdict, links."""
    came = [r for r in report.loaded if r.came]
    sent = sum(table.bytes for table in report.landed.values() if table.status == "landed")
    tables = f"{len(came)} of {len(report.loaded) + len(report.failed)} tables"
    lines = [f"- Came in: {tables}, {sum(r.rows for r in came):,} rows, {sent:,} bytes, in {age(report.seconds)}"]
    changes = [(c.table, c.now.rows - c.before.rows) for c in report.compared if c.before]
    if changes:
        moved = ", ".join(f"{table} {change:+,}" for table, change in changes if change)
        lines.append(f"- Since the batch before: {f'{moved} rows' if moved else 'as many rows'}")
    if report.verdict:
        tables_judged = report.verdict.tables
        broken, warned = (sum(len(rules) for rules in kind) for kind in (
            [t.error_failures for t in tables_judged], [t.warnings for t in tables_judged]
        ))  # fmt: skip
        rules = sum(t.evaluated for t in tables_judged)
        lines.append(
            f"- Checkpoint: {rules:,} rules, {broken} broken, {warned} {'warning' if warned == 1 else 'warnings'}"
        )
    if report.ignored:
        lines.append(f"- Not of this contract, ignored: {markdown(report.ignored)}")
    docs = (
        ("Data Docs", report.links.data_docs),
        ("dbt docs", report.links.dbt_docs),
        ("history", report.links.history),
    )
    if links := ", ".join(f"[{text}]({url})" for text, url in docs if url):
        lines.append(f"- Look at: {links}")
    return "\n".join(lines)


def age(seconds: float) -> str:
    """Format a duration in at most two units: `13 s`, `4 min`, `3 h 20 min`, `2 d 4 h`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if not (days or hours or minutes >= 10):
        return f"{minutes} min {rest} s" if minutes and rest else f"{minutes} min" if minutes else f"{rest} s"
    units = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if number]
    return " ".join(units[:2])


def verdict_word(verdict: TableVerdict) -> str:
    """Describe a table's verdict: `passed`, `passed, 2 warnings`, `1 failed`."""
    if verdict.error_failures:
        return f"{len(verdict.error_failures)} failed"
    count = len(verdict.warnings)
    aside = f"{verdict.rows_aside:,} row{'s' if verdict.rows_aside > 1 else ''} set aside" if verdict.rows_aside else ""
    warned = f"{count} warning{'s' if count > 1 else ''}" if count else ""
    return ", ".join(filter(None, ("passed", aside, warned)))


def _not_sent(result: LandResult | LoadResult) -> str:
    """Describe the status of a table that had nothing to load."""
    return f"unchanged since {result.since}" if result.since else f"{result.status}, optional"


def land_rows(landed: Sequence[LandResult]) -> list[dict[str, Any]]:
    """Make the table of landed files, one row each."""
    return [
        {
            "table": result.table,
            "rows": f"{result.records:,}",
            "status": result.status if result.status == "landed" else _not_sent(result),
            "bytes": f"{result.bytes:,}",
            "file": result.file,
            "objects": len(result.objects),
            "folder": result.folder if result.objects else "",
            "columns": result.differs,
        }
        for result in landed
    ]


def load_rows(loaded: Sequence[LoadResult]) -> list[dict[str, Any]]:
    """Make the table of what COPY loaded."""
    return [
        {
            "table": result.table,
            "rows": f"{result.rows:,}",
            "status": result.status if result.came else _not_sent(result),
            "RAW table": result.raw_name,
            "objects": result.files,
            "COPY query": result.query_id,
        }
        for result in loaded
    ]


def validation_rows(verdict: Verdict, loaded: Sequence[LoadResult]) -> list[dict[str, Any]]:
    """Make the table of the checkpoint's results."""
    rows = {result.table: result.rows_in_file for result in loaded}
    return [
        {
            "table": table.table,
            "rows": f"{rows.get(table.table, 0) - table.rows_aside:,}",
            "status": verdict_word(table),
            "rules": table.evaluated,
            "findings": "; ".join(f"{word}: {f.summary}" for word, f in _failures(table)),
        }
        for table in verdict.tables
    ]


def _failures(table: TableVerdict) -> list[tuple[str, RuleFailure]]:
    """Return the rules that the table's rows broke, each with its consequence: a severity, or `set aside`."""
    aside = [("set aside", f) for f in table.aside]
    return [*((f.severity, f) for f in table.error_failures), *aside, *((f.severity, f) for f in table.warnings)]


def broken_rows(verdict: Verdict) -> list[dict[str, Any]]:
    """Make the table of the first rows that broke each rule of severity error."""
    return [
        {
            "table": table.table,
            "rule": failure.rule.removeprefix(f"{table.table}."),
            "file": row.file,
            "row": row.row,
            "values": ", ".join(f"{name}: {'empty' if value is None else value}" for name, value in row.values),
        }
        for table in verdict.tables
        for failure in (*table.error_failures, *table.aside)
        for row in failure.rows
    ]


def freshness_rows(tables: Sequence[SourceFreshness]) -> list[dict[str, Any]]:
    """Make the table of the age of each table's last delivery, and the limits of the contract."""
    return [
        {
            "table": one.table,
            "status": one.status,
            "age": "" if one.age_seconds is None else age(one.age_seconds),
            "warns after": one.warn_after or "",
            "fails after": one.error_after or "",
            "last delivery (UTC)": (one.max_loaded_at or "").replace("T", " ")[:19],
            "message": one.message,
        }
        for one in tables
    ]


def _tables(report: Report) -> str:
    compared = {c.table: c for c in report.compared}
    verdicts = report.verdict.tables if report.verdict else ()
    judged, aside = {t.table: verdict_word(t) for t in verdicts}, {t.table: t.rows_aside for t in verdicts}
    lines = [
        "| table | rows | status | before | bytes | columns | freshness | S3 | COPY query |",
        "| --- | ---: | --- | ---: | ---: | ---: | --- | --- | --- |",
        *(f"| {table} |  | failed |  |  |  |  |  |  |" for table in report.failed),
    ]
    for result in report.loaded:
        profile, landed = compared.get(result.table), report.landed.get(result.table)
        came = result.came
        rows = result.rows_in_file - aside.get(result.table, 0)
        before = f"{profile.before.rows:,} ({rows - profile.before.rows:+,})" if profile and profile.before else ""
        cells = [
            result.table,
            f"{rows:,}",
            ", ".join(filter(None, [result.status, judged.get(result.table)])) if came else _not_sent(result),
            before,
            f"{landed.bytes:,}" if landed and came else "",
            _columns(profile),
            markdown(report.freshness.get(result.table, "")),
            _prefix(report.links, landed.folder) if landed and came else "",
            _query(report.links, result.query_id),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _columns(profile: Compared | None) -> str:
    """Count the columns, and those that are new: NULL in every row of the batch before, but not in this one."""
    if not profile or not profile.now.rows:
        return ""
    before = profile.before.null_rates if profile.before else {}
    new = sum(before.get(name) == 1.0 and rate < 1.0 for name, rate in profile.now.null_rates.items())
    return f"{len(profile.now.null_rates)}" + (f" ({new} new)" if new else "")


def _shifts(compared: Sequence[Compared]) -> str:
    lines = [
        f"| {c.table} | {name} | {c.before.null_rates[name]:.1%} | {rate:.1%} |"
        for c in compared
        if c.before
        for name, rate in c.now.null_rates.items()
        if abs(rate - c.before.null_rates[name]) >= SHIFT
    ]
    return "\n".join(["| table | column | before | now |", "| --- | --- | ---: | ---: |", *lines]) if lines else ""


def _new_values(compared: Sequence[Compared]) -> str:
    """List new values of columns with few distinct values, compared with the batch before."""
    lines = [
        f"| {c.table} | {name} | {', '.join(code(value, in_table=True) for value in values[:_NAMED])}"
        f"{f' and {len(values) - _NAMED} more' if len(values) > _NAMED else ''} |"
        for c in compared
        for name, values in c.new_values.items()
    ]
    return "\n".join(["| table | column | not in the batch before |", "| --- | --- | --- |", *lines]) if lines else ""


def _findings(report: Report) -> str:
    failed = [f"- **failed** {table}: {markdown(why.splitlines()[0])}" for table, why in report.failed.items()]
    broken = [
        f"- **{word}** {table.table}: {markdown(finding.summary)}"
        for table in (report.verdict.tables if report.verdict else ())
        for word, finding in _failures(table)
    ]
    queries = [
        f"All rows that break {markdown(failure.rule)}:\n\n{code_block(failure.query, 'sql')}"
        for table in (report.verdict.tables if report.verdict else ())
        for failure in table.error_failures
        if failure.query
    ]
    return "\n\n".join(filter(None, ("\n".join([*failed, *broken]), *queries)))


def _prefix(links: Links, folder: str) -> str:
    if not folder:
        return ""
    if not links.console:
        return code(f"s3://{links.bucket}/{folder}", in_table=True)
    url = f"https://{links.console}.console.aws.amazon.com/s3/buckets/{links.bucket}?region={links.console}&prefix={quote(folder)}"
    return f"[{markdown(folder)}]({url})"


def _query(links: Links, query_id: str) -> str:
    organization, dash, account = links.account.partition("-")
    if not query_id or not dash:
        return f"`{query_id}`" if query_id else ""
    url = f"https://app.snowflake.com/{organization.lower()}/{account.lower()}/#/compute/history/queries/{query_id}/detail"
    return f"[{query_id}]({url})"
