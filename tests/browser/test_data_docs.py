"""Data Docs in a real Chromium without a network: tables and filter work, and nothing is requested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.steps.validate import pages
from tests.browser.test_history_page import browser as browser

pytestmark = pytest.mark.browser

CDN = "https://cdn.example.org"
HEAD = f"""<html><head><title></title><link rel="stylesheet" href="{CDN}/bootstrap.css"/>
<style>.navbar-brand a {{ background: url('{CDN}/logo.png') 0 0 no-repeat; display: block }}</style>
<script src="{CDN}/jquery.js"></script></head><body><nav><a href="index.html"><img src="{CDN}/logo.png"/></a></nav>"""
INDEX = """<table id="runs" data-toggle="table"></table><script>
$('#runs').bootstrapTable(Object.assign({
  columns: [{'field': 'ok', 'title': 'Status'}, {'field': 'run', 'title': 'Run'}],
  data: [
    {'ok': '<i class="fas fa-check-circle text-success"></i>', 'run': 'first', '_run_sort': 1, '_table_row_link_path': 'a.html'},
    {'ok': '<i class="fas fa-times text-danger"></i>', 'run': 'second', '_run_sort': 2, '_table_row_link_path': 'b.html'}],
}, {'sortName': 'run', 'sortOrder': 'desc'}));
$(document).ready(function() { $('#runs').on('click-row.bs.table', function() {}) });
</script></body></html>"""
RULES = """<div class="btn" onclick="hideSucceededValidations()">Failed Only</div>
<table><tr id="good"><td class="hide-succeeded-validation-target-child">held</td></tr><tr id="bad"><td>broken</td></tr></table>
<a data-toggle="collapse" href="#more" aria-expanded="false">Show more info...</a>
<div id=more class="card collapse">the query</div>
<script>function hideSucceededValidations() { $(".hide-succeeded-validation-target-child").parent().fadeOut(); }</script>
</body></html>"""


def shown(browser: Any, path: Path, body: str) -> Any:
    path.write_bytes(pages.whole((HEAD + body).encode()))
    page = browser.new_context(offline=True, color_scheme="dark").new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith("file:") or page.errors.append(asked.url))
    page.goto(path.as_uri())
    return page


def test_data_docs_show_their_tables_and_filter_them_without_a_network(browser: Any, tmp_path: Path) -> None:
    page = shown(browser, tmp_path / "index.html", INDEX)
    assert page.locator("#runs tbody tr").all_inner_texts() == ["\tsecond", "\tfirst"]
    assert page.locator("#runs tbody a").evaluate_all("all => all.map(a => a.getAttribute('href'))") == [
        "b.html",
        "a.html",
    ]
    icon = "getComputedStyle(document.querySelector('.fa-times'), '::before').content"
    assert "failed" in page.evaluate(icon)
    assert page.errors == []

    page = shown(browser, tmp_path / "rules.html", RULES)
    page.get_by_text("Failed Only").click()
    assert (page.locator("#good").is_visible(), page.locator("#bad").is_visible()) == (False, True)
    unfolded = []
    for _ in range(3):
        unfolded.append((page.get_by_text("the query").is_visible(), page.locator("[aria-expanded=true]").count()))
        page.get_by_text("Show more info").click()
    assert unfolded == [(False, 0), (True, 1), (False, 0)]
    assert page.errors == []
