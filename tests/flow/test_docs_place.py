"""Pages outlive the run: after its container's home is deleted, every link of its artifacts still opens, without the web."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import httpx
import pytest

from flows import blocks
from flows.settings import Settings
from tests.conftest import patient_api

pytestmark = [pytest.mark.xdist_group("flow"), pytest.mark.soak]

LINK = re.compile(r"\]\((http[^)]+)\)")
# What a browser fetches by itself, unlike the target of a link.
FETCHED = re.compile(
    r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=["']?(?!data:)([^"'> ]+)|@import|url\(["']?(?!data:)http"""
)


class Site(BaseHTTPRequestHandler):
    """A user's own web server in front of the docs place."""

    def __init__(self, *arguments: Any, client: Any, bucket: str) -> None:
        self.client, self.bucket = client, bucket
        super().__init__(*arguments)

    def do_GET(self) -> None:
        try:
            result = self.client.get_object(Bucket=self.bucket, Key=f"docs{unquote(self.path)}")
        except self.client.exceptions.NoSuchKey:
            self.send_error(404)
            return
        page = result["Body"].read()
        self.send_response(200)
        self.send_header("Content-Type", result["ContentType"])
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(settings: Settings) -> Iterator[str]:
    """The address of the user's web server."""
    handler = partial(Site, client=blocks.s3_client(settings), bucket=settings.bucket)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def container(settings: Settings, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second home that reaches the running stack, and a docs place in the bucket."""
    home = tmp_path / "container"
    (home / "run").mkdir(parents=True)
    for shared in ("secrets", "prefect", "run/supervisor.json", "run/lease", "run/stack.json"):
        (home / shared).symlink_to(settings.home / shared)
    monkeypatch.setenv("CXM_HOME", str(home))
    monkeypatch.setenv("CXM_DOCS_PLACE", f"s3://{settings.bucket}/docs/")
    monkeypatch.setenv("CXM_DOCS_URL", site)
    return home


def test_every_link_of_a_run_opens_after_its_home_is_gone(
    settings: Settings, container: Path, site: str, small: Path, run_pipeline: Callable[..., Any]
) -> None:
    from flows import marts

    assert marts.write_dbt_docs(Settings()) == f"{site}/dbt_docs/index.html"  # the end of a `dbt-build`
    batch = run_pipeline(small, force=True).batch_id  # a table that another test published is validated again
    assert (container / "docs" / "data_docs" / "index.html").exists()
    shutil.rmtree(container)

    where = {"artifacts": {"key": {"any_": ["olist-report"]}}, "sort": "CREATED_DESC", "limit": 1}
    with patient_api(settings) as api:
        report = api.post("/artifacts/filter", json=where).json()[0]["data"]
    assert batch in report
    links = [link for link in LINK.findall(report) if "/runs/" not in link]
    assert {link.removeprefix(site) for link in links} == {
        f"/olist/{batch}/data_docs/index.html",
        "/history/index.html",
        "/dbt_docs/index.html",
    }
    pages = {link: opened(link) for link in links}
    index = next(link for link in links if "data_docs" in link)
    assert pages[index].count("<td>passed") == 9
    below = {urljoin(index, href) for href in re.findall(r'href="([^"#]+)"', pages[index])}
    assert len(below) == 9
    for link in below:
        pages[link] = opened(link)
        suite = urljoin(link, re.search(r'href="([^"]*expectations/[^"]*)"', pages[link])[1])  # type: ignore[index]
        pages[suite] = opened(suite)
        assert urljoin(link, "../../../../index.html") == index
    # Each batch in the history links to its Data Docs.
    assert f"{site}/olist/{batch}/data_docs/index.html" in pages[f"{site}/history/index.html"]
    assert "OLIST_ORDERS" in pages[f"{site}/history/index.html"].partition('id="cost"')[2]
    for link, page in pages.items():
        if link.endswith(
            "dbt_docs/index.html"
        ):  # its scripts build it, and nothing that they hold is fetched from elsewhere
            page = re.sub(r"<script\b.*?</script>", "", page, flags=re.S)
            page = page.replace("""<link rel="canonical" href="/overview/"/>""", "")
            page = re.sub(r"""<link rel="shortcut icon"[^>]*>""", "", page)
        assert [m[0] for m in FETCHED.finditer(without_scripts(page))] == [], link


def test_what_loads_cost_is_known_by_step_and_table(settings: Settings, query: Callable[..., Any]) -> None:
    from click.testing import CliRunner

    from flows import blocks
    from flows.cli import main
    from flows.clients.snowflake import run

    long = "SELECT SUM(LENGTH(MD5(SEQ8()::VARCHAR))) FROM TABLE(GENERATOR(ROWCOUNT => 1500000))"
    tag = {"step": "costly", "batch": "20200101_000000", "table": "OLIST_ORDERS"}
    with blocks.snowflake(settings, settings.loader_role, tag) as connection:
        run(connection, long)
    done = CliRunner().invoke(main, ["cost", "--days", "2", "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.output)
    (step,) = [one for one in document["queries"]["by_step"] if one["name"] == "costly"]
    assert (step["queries"], step["credits"], step["seconds"] > 0.1) == (1, None, True)
    assert "20200101_000000" in {one["name"] for one in document["queries"]["by_batch"]}
    assert "OLIST_ORDERS" in {one["name"] for one in document["queries"]["by_table"]}
    objects = query(
        "SELECT COUNT(*), SUM(BYTES) FROM RAW.LOAD_LEDGER WHERE S3_KEY IS NOT NULL AND STARTED_AT > DATEADD(DAY, -2, SYSDATE())"
    )
    assert objects == [(sum(one["objects"] for one in document["s3"]), sum(one["bytes"] for one in document["s3"]))]
    assert all(one["requests"] >= one["objects"] for one in document["s3"])


def without_scripts(page: str) -> str:
    """Return the page without the text of its scripts, in which a library may write an address that is never requested."""
    return re.sub(r"(<script\b(?![^>]*\bsrc=)[^>]*>).*?</script>", r"\1", page, flags=re.S)


def opened(link: str) -> str:
    answer = httpx.get(link, timeout=60)
    assert answer.status_code == 200, link
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return answer.text
