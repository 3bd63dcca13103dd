"""Validates the rows of a batch in RAW: Great Expectations runs the contract's suites on the warehouse → `Verdict`, Data Docs.

`expectations/` (committed) → `CXM_HOME/expectations` (working copy) → `raw_<source>` over the loaded tables → `Verdict`, and
`CXM_HOME/docs/data_docs/index.html`. The connection is set in memory only. Great Expectations reads counts, not rows;
`examples` then queries the first rows that broke a rule.

`context` opens the project, `verdicts` reads the results, `pages` writes the Data Docs.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.clients.snowflake import translate_error
from flows.clients.unquoted import without_values_in
from flows.contract.expectations import asset_query
from flows.contract.model import Source, Table
from flows.contract.render_expectations import (
    DATA_SOURCE,
    DOCS_SITE,
    RESULT_FORMAT,
    asset_name,
    checkpoint_name,
)
from flows.errors import ConfigurationError, CxmError, InfrastructureError
from flows.steps.validate import pages
from flows.steps.validate.context import WarehouseConnection, connection_from, opened, refresh, share_engine
from flows.steps.validate.examples import is_beside_before, with_examples
from flows.steps.validate.loading import load
from flows.steps.validate.loading import load_beside as warm
from flows.steps.validate.verdicts import RuleFailure, TableVerdict, Verdict, of_broken_lines, verdict_of

__all__ = [
    "RuleFailure",
    "TableVerdict",
    "Verdict",
    "WarehouseConnection",
    "build_pages",
    "build_pages_of",
    "connection_from",
    "is_beside_before",
    "load",
    "of_broken_lines",
    "validate",
    "warm",
    "with_examples",
]

# Tables validated in parallel, because they mostly wait for the network.
WORKERS = 4


def validate(
    source: Source,
    tables: Sequence[Table],
    batch_id: str,
    project: Path,
    workdir: Path,
    connection: WarehouseConnection,
    docs_dir: Path,
) -> Verdict:
    """Validate the rows of `batch_id` in the RAW tables `tables` by their suites.

    Args:
        project: the committed project (`expectations/`); it is only read.
        workdir: the working copy, refreshed from `project`; results are kept under it.
        docs_dir: the directory that is served; `build_pages` writes to `data_docs/` in it, for several batches `build_pages_of`.

    Raises:
        ConfigurationError: the project has no suite for a table (it is older than the contract), or the login, a table or a
            grant is missing.
        InfrastructureError: the warehouse was not reached, or a rule could not be evaluated although the columns exist.
    """
    load()
    from great_expectations.core.run_identifier import RunIdentifier

    if not tables:
        raise ConfigurationError(f"batch {batch_id}: no table to validate; expected those that the batch loaded")
    refresh(project / "gx", workdir / "gx")
    docs = docs_dir / DOCS_SITE
    judged_at = datetime.now(UTC)
    run_id = RunIdentifier(run_name=batch_id, run_time=judged_at)
    # A data source returns its newest engine to every caller, so threads sharing one would mix up sessions and their
    # temporary tables: each thread has its own context. A context must be the newest while definitions are read from it.
    shares = []
    for start in range(min(WORKERS, len(tables))):
        context = opened(workdir, connection, docs)
        shares.append([(table, _definition(context, source, table, batch_id)) for table in tables[start::WORKERS]])
    checkpoint_id = context.checkpoints.get(checkpoint_name(source)).id

    def judge(share: list[tuple[Table, Any]]) -> list[TableVerdict]:
        engine = share_engine([definition for _, definition in share])
        try:
            return [verdict_of(table, _run(definition, run_id, checkpoint_id)) for table, definition in share]
        finally:
            # Ends the session and drops its temporary tables; GX leaves that to the garbage collector.
            type(engine).dispose(engine)

    with ThreadPoolExecutor(len(shares), "validate") as pool:
        verdicts = {verdict.table: verdict for share in pool.map(judge, shares) for verdict in share}
    return Verdict(batch_id, tuple(verdicts[table.name] for table in tables), docs / "index.html", judged_at)


def build_pages(
    source: Source, verdict: Verdict, workdir: Path, connection: WarehouseConnection, docs_dir: Path
) -> Path:
    """Build the Data Docs of a validated batch; returns the index page.

    Raises:
        CxmError: Great Expectations could not build them.
    """
    load()
    from great_expectations.core.run_identifier import RunIdentifier

    run_id = RunIdentifier(run_name=verdict.batch_id, run_time=verdict.judged_at)
    docs = docs_dir / DOCS_SITE
    try:
        names = [asset_name(source.table(table.table)) for table in verdict.tables]
        pages.build(opened(workdir, connection, docs), run_id, names, docs)
    except Exception as error:
        raise _explained(error, f"building the Data Docs of batch {verdict.batch_id}") from error
    return docs / "index.html"


def build_pages_of(batch_ids: Sequence[str], workdir: Path, connection: WarehouseConnection, docs_dir: Path) -> Path:
    """Build the Data Docs of several validated batches; returns the index page."""
    docs = docs_dir / DOCS_SITE
    pages.build_of(opened(workdir, connection, docs), batch_ids, docs)
    return docs / "index.html"


def pages_of(source: Source, batch_id: str, docs_dir: Path, verdict: Verdict | None = None) -> dict[str, bytes]:
    """Return the Data Docs of one batch alone, by path: an index with the verdict, a page for each table and each suite."""
    words = {}
    for table in verdict.tables if verdict else ():
        failed, warned = len(table.error_failures), len(table.warnings)
        said = f"{failed} rules broken" if failed else f"passed, {warned} warnings" if warned else "passed"
        words[asset_name(source.table(table.table))] = said
    return pages.of_batch(docs_dir / DOCS_SITE, batch_id, words)


def _definition(context: Any, source: Source, table: Table, batch_id: str) -> Any:
    """Return the validation definition of a table, bound to the batch."""
    from great_expectations.exceptions import DataContextError

    try:
        # In memory only. The committed query selects the newest batch; a run must validate its own.
        context.data_sources.get(DATA_SOURCE).get_asset(asset_name(table)).query = asset_query(source, table, batch_id)
        return context.validation_definitions.get(asset_name(table))
    except (DataContextError, LookupError) as error:
        raise ConfigurationError(
            f"{context.root_directory}: no asset or validation definition {asset_name(table)}; run `cxm contract sync`"
        ) from error


def _run(definition: Any, run_id: Any, checkpoint_id: str) -> dict[str, Any]:
    """Evaluate a table's rules and return the result in GX's JSON form."""
    try:
        result = definition.run(checkpoint_id=checkpoint_id, run_id=run_id, result_format=dict(RESULT_FORMAT))
    except Exception as error:
        # Without its cause, because the traceback in the log would print values that the cause may quote.
        raise _explained(error, f"validation of {definition.name}") from None
    answer: dict[str, Any] = result.to_json_dict()
    return answer


def _explained(error: BaseException, what: str) -> CxmError:
    """Translate an exception of GX, which wraps the driver's errors in its own classes, sometimes several deep."""
    inner: BaseException | None = error
    while inner is not None:
        origin = getattr(inner, "orig", None) or inner
        if isinstance(origin, Exception) and isinstance(translated := translate_error(origin, what), CxmError):
            return translated
        inner = inner.__cause__ or inner.__context__
    return InfrastructureError(
        f"{what} broke off: {without_values_in(str(error))}; look at the warehouse and run again"
    )
