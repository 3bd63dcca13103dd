"""What a user sees of a month on the history page, in a real Chromium without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.contract.read import read_source
from flows.history.page import library, render, write
from tests.history_month import DAYS, costs, month

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on PATH: install the package chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    path = folder / "history" / "index.html"
    olist = read_source("olist")
    page = render([month(olist)], library(folder / "cache"), DAYS, "2026-11-01 12:00", costs=costs(olist))
    write(path, page)
    return path


def opened(browser: Any, path: Path, scheme: str = "light", width: int = 1280) -> Any:
    page = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True).new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith("file:") or page.errors.append(asked.url))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn]", timeout=60_000)
    return page


def days(page: Any, state: str) -> list[str]:
    marks = page.locator(f'[data-chart="olist-calendar"] path[aria-label*="state: {state}"]')
    return [marks.nth(n).get_attribute("aria-label") for n in range(marks.count())]


def test_a_bad_day_a_missing_day_and_a_doubled_volume_are_seen(browser: Any, written: Path) -> None:
    page = opened(browser, written)
    bad, missing = days(page, "quarantined"), days(page, "missing")
    assert len(bad) == len(missing) == 9  # every table of that day, and no other
    assert all("Oct 13" in label for label in bad)
    assert all("Oct 19" in label for label in missing)
    colours = {page.locator(f'[data-chart="olist-calendar"] path[aria-label*="state: {s}"]').first.get_attribute("fill")
               for s in ("published", "quarantined", "missing")}  # fmt: skip
    assert len(colours) == 3
    loads = page.locator('[data-chart="olist-orders"] .mark-symbol path')
    shapes = {loads.nth(n).get_attribute("aria-label"): loads.nth(n).get_attribute("d") for n in range(loads.count())}
    triangles = [label for label, shape in shapes.items() if "A" not in shape]  # a circle is drawn with arcs
    assert len(triangles) == 1
    assert "batch: 20261026_060000" in triangles[0]
    assert page.get_by_text("cxm quarantine show 20261013_060000 --source olist").is_visible()
    doubled = page.locator('[data-chart="cost"] path[aria-label*="Oct 26"][aria-label*="step: load"]')
    assert doubled.count() == 1
    assert page.errors == []
    if folder := os.environ.get("CXM_SCREENSHOTS"):
        page.screenshot(
            path=Path(folder) / "history.png", clip={"x": 0, "y": 0, "width": 1280, "height": 1650}, full_page=True
        )


def test_it_is_readable_in_the_dark_and_on_a_phone(browser: Any, written: Path) -> None:
    light, dark = opened(browser, written), opened(browser, written, "dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(ground) != dark.evaluate(ground)
    assert dark.evaluate("document.documentElement.dataset.drawn") == "dark"
    phone = opened(browser, written, width=390)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.errors == dark.errors == []
