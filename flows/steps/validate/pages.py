"""Data Docs of one run: results and suites → pages under `docs/data_docs`, which ask nothing of the vendor's servers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.contract.render_expectations import DATA_SOURCE, DOCS_SITE

# Data Docs fetch their logo from the vendor, with this project's id and the time in the address.
_BEACON = re.compile(rb"https://great-expectations-web-assets\.[^\"')]*")


def build(context: Any, run_id: Any, suites: Sequence[str], docs: Path) -> None:
    """Pages for this run's results and suites and a new index; the pages of earlier runs stay as they are."""
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    results = [
        ValidationResultIdentifier(ExpectationSuiteIdentifier(name), run_id, f"{DATA_SOURCE}-{name}") for name in suites
    ]
    _build(context, results, docs)


def build_of(context: Any, batch_ids: Sequence[str], docs: Path) -> None:
    """Pages for the results that are kept of several batches, their suites, and a new index."""
    wanted = set(batch_ids)
    _build(context, [r for r in context.validation_results_store.list_keys() if r.run_id.run_name in wanted], docs)


def _build(context: Any, results: Sequence[Any], docs: Path) -> None:
    if not results:  # or Great Expectations would build all there are
        return
    suites = {result.expectation_suite_identifier.name: result.expectation_suite_identifier for result in results}
    context.build_data_docs(site_names=[DOCS_SITE], resource_identifiers=[*suites.values(), *results])
    runs = {result.run_id.run_name for result in results}
    pages = ["index.html", "static/styles/*.css", "expectations/*.html"]
    pages += [f"validations/*/{run}/*/*.html" for run in runs]
    for page in (page for pattern in pages for page in docs.glob(pattern)):
        text = page.read_bytes()
        depth = len(page.relative_to(docs).parts) - 1
        local = _BEACON.sub(b"../" * depth + b"static/images/logo-long.png", text)
        if local != text:
            page.write_bytes(local)
