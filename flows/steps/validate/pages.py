"""Builds the Data Docs of a run: self-contained pages of results and suites under `docs/data_docs`.

Great Expectations' pages fetch style sheets and scripts from six hosts, and a logo from the vendor with this project's id
and the time in the URL. All of that is removed; the parts in use are `data_docs.css` and `data_docs.js`, inlined into
each page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flows.contract.render_expectations import DATA_SOURCE, DOCS_SITE

_FETCHED = re.compile(
    rb"""<link\b[^>]*\bhref=[^>]*>|<script\b[^>]*\bsrc=[^>]*>\s*</script>|<img\b[^>]*>|<footer>.*?</footer>"""
    rb"""|background:\s*url\([^)]*\)[^;}]*;?""",
    re.S,
)
_INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body><div class="container-fluid pt-4"><h1>{title}</h1>
<table><thead><tr><th>Table</th><th>Verdict</th></tr></thead><tbody>
{rows}
</tbody></table></div></body></html>
"""


def build(context: Any, run_id: Any, suites: Sequence[str], docs: Path) -> None:
    """Build the pages of this run's results and suites and a new index; pages of earlier runs stay."""
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    results = [
        ValidationResultIdentifier(ExpectationSuiteIdentifier(name), run_id, f"{DATA_SOURCE}-{name}") for name in suites
    ]
    _build(context, results, docs)


def build_of(context: Any, batch_ids: Sequence[str], docs: Path) -> None:
    """Build the pages of the stored results of several batches, their suites, and a new index."""
    of_batches = set(batch_ids)
    _build(context, [r for r in context.validation_results_store.list_keys() if r.run_id.run_name in of_batches], docs)


def of_batch(docs: Path, batch_id: str, verdicts: Mapping[str, str]) -> dict[str, bytes]:
    """Return the pages of one batch, by their path: an index, and a page for each suite and each of its results.

    Args:
        verdicts: suite name → a short verdict for the index.
    """
    # A table that was validated twice, as in a replay, shows its last result.
    pages = {path.parents[2].name: path for path in sorted(docs.glob(f"validations/*/{batch_id}/*/*.html"))}
    if not pages:
        return {}
    judged = {suite: path.relative_to(docs).as_posix() for suite, path in pages.items()}
    rows = [
        f'<tr><td><a href="{quote(name)}">{escape(suite)}</a></td><td>{escape(verdicts.get(suite, ""))}</td></tr>'
        for suite, name in judged.items()
    ]
    index = _INDEX.format(title=f"Data Docs of batch {escape(batch_id)}", rows="\n".join(rows))
    names = [*judged.values(), *(f"expectations/{suite}.html" for suite in pages)]
    return {"index.html": whole(index.encode()), **{name: (docs / name).read_bytes() for name in names}}


def whole(page: bytes) -> bytes:
    """Return the page without external resources, with inlined style and script."""
    return _FETCHED.sub(b"", page).replace(b"</head>", _own() + b"</head>", 1)


@cache
def _own() -> bytes:
    style, script = (Path(__file__).with_name(f"data_docs.{kind}").read_bytes() for kind in ("css", "js"))
    return b"<style>\n" + style + b"</style>\n<script>\n" + script + b"</script>\n"


def _build(context: Any, results: Sequence[Any], docs: Path) -> None:
    if not results:  # without any, Great Expectations would build all pages
        return
    suites = {result.expectation_suite_identifier.name: result.expectation_suite_identifier for result in results}
    context.build_data_docs(site_names=[DOCS_SITE], resource_identifiers=[*suites.values(), *results])
    runs = {result.run_id.run_name for result in results}
    pages = ["index.html", "expectations/*.html", *(f"validations/*/{run}/*/*.html" for run in runs)]
    for page in (page for pattern in pages for page in docs.glob(pattern)):
        text = page.read_bytes()
        if _own() not in text:
            page.write_bytes(whole(text))
