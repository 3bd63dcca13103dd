"""What a user sees of a run in the Prefect UI, in a real Chromium."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.settings import PROJECT
from flows.steps.dbt import dbt_environment, document
from tests.conftest import SAMPLE, delete_deployments, hold_builds, olist_files, patient_api, run_flow

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(settings: Any, summary: Any, quarantined: Any, deployed: None) -> Iterator[Any]:
    """A page of a headless Chromium, logged in, opened after the runs: Prefect turns asynchronous beside Playwright's loop."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on PATH: install the package chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(settings.stack["prefect"]["ui_url"])
        page.get_by_placeholder("admin:pass").fill(settings.prefect_auth.get_secret_value())
        page.get_by_role("button", name="Login").click()
        page.get_by_text("Work Pools").first.wait_for(timeout=60_000)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def summary(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One finished run to look at: the real rows where they are, generated ones elsewhere."""

    directory = SAMPLE
    if not SAMPLE.is_dir():
        directory = tmp_path_factory.mktemp("browser") / "olist"
        olist_files(directory, scale=0.01, seed=99)
    return run_flow("pipeline", source="olist", data=str(directory), force=True)


@pytest.fixture(scope="module")
def quarantined(settings: Any, summary: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run whose orders hold a status that the contract does not know."""
    from flows.run import PipelineError

    directory = tmp_path_factory.mktemp("broken") / "olist"
    olist_files(directory, scale=0.001, seed=98)
    orders = directory / "olist_orders_dataset.csv"
    orders.write_bytes(orders.read_bytes().replace(b",delivered,", b",teleported,", 1))
    with pytest.raises(PipelineError) as caught:
        run_flow("pipeline", source="olist", data=str(directory), force=True)
    return caught.value.summary


@pytest.fixture(scope="module")
def deployed(settings: Any) -> Iterator[None]:
    """The deployments of prefect.yaml and the automations on the server, as `cxm up` makes them."""
    from flows import automations, deployment

    deployment.register(settings)
    deployment.deploy()
    automations.apply(settings, None)
    hold_builds(settings)
    yield
    delete_deployments(settings)


def test_the_run_page_shows_a_named_task_run_for_each_table(page: Any, summary: Any) -> None:
    page.goto(summary.flow_run_url)
    page.get_by_text(f"olist-{summary.batch_id}").first.wait_for(timeout=60_000)
    page.get_by_text("Task Runs", exact=True).first.click()
    for step in ("land", "load"):
        for table in summary.tables:
            page.get_by_placeholder("Search by run name").fill(f"{step} {table.table}")
            page.get_by_text(f"{step} {table.table}", exact=True).first.wait_for(timeout=60_000)


def test_each_step_leaves_a_table_of_its_nine_tables(summary: Any, settings: Any) -> None:
    run_id = summary.flow_run_url.rsplit("/", 1)[1]
    where = {"artifacts": {"flow_run_id": {"any_": [run_id]}, "type": {"any_": ["table"]}}}
    with patient_api(settings) as api:
        artifacts = api.post("/artifacts/filter", json=where).json()
    got = {artifact["key"]: json.loads(artifact["data"]) for artifact in artifacts}
    assert set(got) == {"olist-land", "olist-load", "olist-validation", "olist-freshness"}
    assert {len(rows) for rows in got.values()} == {9}


def test_the_history_of_run_reports_has_every_run(page: Any, summary: Any, settings: Any) -> None:
    page.goto(settings.stack["prefect"]["ui_url"] + "/artifacts/key/olist-report")
    page.get_by_text(f"olist-{summary.batch_id}").first.wait_for(timeout=60_000)


def test_a_quarantined_run_shows_as_failed_with_the_reason(page: Any, quarantined: Any) -> None:
    page.goto(quarantined.flow_run_url)
    page.get_by_text(f"olist-{quarantined.batch_id}").first.wait_for(timeout=60_000)
    page.get_by_text("Failed", exact=True).first.wait_for(timeout=60_000)
    page.get_by_text("Details", exact=True).first.click()
    page.get_by_text("quarantined: 1 rules failed").first.wait_for(timeout=60_000)


def test_the_deployments_page_shows_schedules_and_next_runs(page: Any, settings: Any) -> None:
    ui = settings.stack["prefect"]["ui_url"]
    page.goto(f"{ui}/deployments")
    for name in (
        "olist-freshness",
        "synthetic-freshness",
        "maintenance",
        "provision",
        "replay",
        "dbt-build",
    ):  # the first of two pages
        page.get_by_text(name, exact=True).first.wait_for(timeout=60_000)
    page.get_by_text("At 05:00 AM").first.wait_for(timeout=60_000)
    page.get_by_text("olist-freshness", exact=True).first.click()
    page.get_by_text("Upcoming", exact=True).first.click()
    page.get_by_text("Scheduled", exact=True).first.wait_for(timeout=60_000)


def test_the_run_page_opens_with_the_log_and_its_artifacts_are_the_report_and_a_table_for_each_step(
    page: Any, summary: Any
) -> None:
    page.goto(summary.flow_run_url)
    page.get_by_text("Beginning flow run").first.wait_for(timeout=60_000)
    page.get_by_text("Artifacts", exact=True).last.click()
    report = page.get_by_text("The report. Published: 9 tables").first
    report.wait_for(timeout=60_000)
    step = page.get_by_text(f"Landed in batch {summary.batch_id}").first.bounding_box()
    leads = report.bounding_box()
    assert leads
    assert step
    assert leads["y"] < step["y"]  # read from the top, the report comes first
    assert "Landing " not in page.content()  # the progress bars of landing have been deleted


def test_the_automations_page_says_what_each_does(page: Any, settings: Any) -> None:
    page.goto(f"{settings.stack['prefect']['ui_url']}/automations")
    for name in ("a run failed", "a source is stale", "a run did not start", "a run died"):
        page.get_by_text(f"cxm: {name}").first.wait_for(timeout=60_000)
    page.get_by_text("Marks a run as Crashed").first.wait_for(timeout=60_000)


def test_data_docs_open_over_http(page: Any, summary: Any, settings: Any) -> None:
    relative = Path(summary.data_docs).relative_to(settings.home / "docs")
    page.goto(f"{settings.stack['docs']['url']}/{relative}")
    page.get_by_text("Data Docs").first.wait_for(timeout=60_000)
    assert "olist" in page.content()


def test_screenshots_are_written_where_they_are_asked_for(
    page: Any, summary: Any, quarantined: Any, settings: Any
) -> None:
    """`CXM_SCREENSHOTS=architecture/screenshots pytest -m browser` renews the pictures of the README."""
    if not (folder := os.environ.get("CXM_SCREENSHOTS")):
        pytest.skip("CXM_SCREENSHOTS names no folder")
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    ui, docs = settings.stack["prefect"]["ui_url"], settings.stack["docs"]["url"]
    where = {"artifacts": {"key": {"any_": ["olist-report"]}, "flow_run_id": {"any_": [summary.flow_run_url[-36:]]}}}
    with patient_api(settings) as api:
        (report,) = api.post("/artifacts/filter", json=where).json()
    project = PROJECT / "dbt" / "cxm_medtech"
    document(project, dbt_environment(settings), settings.home / "dbt", settings.home / "docs" / "dbt_docs")

    def shows(text: str) -> Callable[[], object]:
        return lambda: page.get_by_text(text).first.wait_for(timeout=60_000)

    views: dict[str, tuple[str, Callable[[], object]]] = {
        "prefect-run.png": (summary.flow_run_url, shows("Task Runs")),
        "prefect-run-artifacts.png": (
            summary.flow_run_url,
            lambda: page.get_by_text("Artifacts", exact=True).last.click(),
        ),
        "prefect-automations.png": (f"{ui}/automations", shows("cxm: a run died")),
        "prefect-deployments.png": (f"{ui}/deployments", shows("At 05:00 AM")),
        "prefect-quarantined.png": (
            quarantined.flow_run_url,
            lambda: page.get_by_text("Details", exact=True).first.click(),
        ),
        "run-report.png": (f"{ui}/artifacts/artifact/{report['id']}", shows("Data Docs")),
        "dbt-lineage.png": (f"{docs}/dbt_docs/index.html#!/overview?g_v=1", lambda: None),
    }
    for name, (url, ready) in views.items():
        page.goto(url)
        ready()
        page.wait_for_timeout(5_000)  # the graph draws itself in
        page.screenshot(path=out / name)
        assert (out / name).stat().st_size > 10_000
