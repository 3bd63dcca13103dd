"""Facts of a run → its report in markdown, as the Prefect UI shows it; pure, so that a test reads the whole text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from flows.steps.load import LoadResult
from flows.steps.profile import Compared
from flows.steps.validate import Verdict

SHIFT = 0.01  # a share of NULLs that moved by a hundredth or more is worth a line


@dataclass(frozen=True)
class Links:
    """Where a report points to; an empty text leaves a link out."""

    bucket: str
    console: str = ""  # an AWS region: links to the S3 console there
    account: str = ""  # a Snowflake account, <organization>-<name>: links to Snowsight's query history
    data_docs: str = ""
    dbt_docs: str = ""


@dataclass(frozen=True)
class Report:
    """What a run report tells of."""

    source: str
    batch_id: str
    outcome: str
    loaded: Sequence[LoadResult]
    folders: Mapping[str, str]  # table → the key prefix where its objects landed
    links: Links
    compared: Sequence[Compared] = ()
    verdict: Verdict | None = None
    freshness: Mapping[str, str] = field(default_factory=dict)
    is_generated: bool = False


def render(report: Report) -> str:
    """The report: outcome, tables with what changed, findings, links."""
    notice = [
        "**Generated rows**: made by `cxm generate`; they describe no person, company or sale."
    ] * report.is_generated
    parts = [f"# {report.source}-{report.batch_id}", *notice, report.outcome, _tables(report)]
    if shifts := _shifts(report.compared):
        parts += ["## Null rates that moved", shifts]
    if findings := _findings(report.verdict):
        parts += ["## Findings of the checkpoint", findings]
    docs = [
        f"- [{text}]({url})"
        for text, url in (("Data Docs", report.links.data_docs), ("dbt docs", report.links.dbt_docs))
        if url
    ]
    return "\n\n".join([*parts, *(["## Documentation", "\n".join(docs)] if docs else [])]) + "\n"


def _tables(report: Report) -> str:
    compared = {c.table: c for c in report.compared}
    lines = [
        "| table | load | rows | before | columns | freshness | S3 | COPY query |",
        "| --- | --- | ---: | ---: | ---: | --- | --- | --- |",
    ]
    for result in report.loaded:
        found = compared.get(result.table)
        load = f"unchanged since {result.since}" if result.status == "unchanged" else result.status
        before = (
            "" if not found or not found.before else f"{found.before.rows:,} ({result.rows - found.before.rows:+,})"
        )
        cells = [
            result.table,
            load,
            f"{result.rows:,}",
            before,
            _columns(found),
            report.freshness.get(result.table, ""),
            "" if result.status == "unchanged" else _prefix(report.links, report.folders.get(result.table, "")),
            _query(report.links, result.query_id),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _columns(found: Compared | None) -> str:
    """How many columns the contract has now; a column that was NULL throughout before and is not now is new."""
    if not found or not found.now.rows:
        return ""
    before = found.before.null_rates if found.before else {}
    new = sum(before.get(name) == 1.0 and rate < 1.0 for name, rate in found.now.null_rates.items())
    return f"{len(found.now.null_rates)}" + (f" ({new} new)" if new else "")


def _shifts(compared: Sequence[Compared]) -> str:
    lines = [
        f"| {c.table} | {name} | {c.before.null_rates[name]:.1%} | {rate:.1%} |"
        for c in compared
        if c.before
        for name, rate in c.now.null_rates.items()
        if abs(rate - c.before.null_rates[name]) >= SHIFT
    ]
    return "\n".join(["| table | column | before | now |", "| --- | --- | ---: | ---: |", *lines]) if lines else ""


def _findings(verdict: Verdict | None) -> str:
    return "\n".join(
        f"- **{finding.severity}** {table.table}: {finding.rule} {finding.column or ''}: {finding.unexpected_count} rows"
        for table in (verdict.tables if verdict else ())
        for finding in (*table.error_failures, *table.warnings)
    )


def _prefix(links: Links, folder: str) -> str:
    if not folder:
        return ""
    if not links.console:
        return f"`s3://{links.bucket}/{folder}`"
    url = f"https://{links.console}.console.aws.amazon.com/s3/buckets/{links.bucket}?region={links.console}&prefix={quote(folder)}"
    return f"[{folder}]({url})"


def _query(links: Links, query_id: str) -> str:
    organization, dash, account = links.account.partition("-")
    if not query_id or not dash:
        return f"`{query_id}`" if query_id else ""
    url = f"https://app.snowflake.com/{organization.lower()}/{account.lower()}/#/compute/history/queries/{query_id}/detail"
    return f"[{query_id}]({url})"
