"""The server of the pages: a page as its root, no listing, nothing for a foreign name of this machine, no secret."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows.embedded.supervisor import answers
from flows.settings import PROJECT
from tests.conftest import free_port

HOME = "5eed0001"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "docs"
    (folder / "data_docs" / "static").mkdir(parents=True)
    (folder / "data_docs" / "index.html").write_text("<p>checked</p>")
    (folder / "data_docs" / ".git").write_text("hidden")
    (folder.parent / "secret").write_text("not served")
    return folder


@pytest.fixture(scope="module")
def base(folder: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "flows.embedded.docs_server", str(port), str(folder), HOME]
    with subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL) as process:
        while not answers(port, "/"):
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def test_the_root_lists_the_pages(base: str, folder: Path) -> None:
    page = httpx.get(f"{base}/")
    assert page.headers["content-type"].startswith("text/html")
    assert '<a href="data_docs/">' in page.text
    assert "dbt_docs" not in page.text, "nobody has written it yet"
    assert httpx.get(f"{base}/data_docs/").text == "<p>checked</p>"
    assert httpx.head(f"{base}/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/data_docs/static/",
        "/data_docs/.git",
        "/../secret",
        "/%2e%2e/secret",
        "/data_docs/%2e%67it",
        "/..%2fsecret",
        "//secret",
    ],
)
def test_no_folder_is_listed_and_nothing_outside_is_served(base: str, path: str) -> None:
    port = int(base.rpartition(":")[2])
    import http.client

    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", path)  # unchanged: httpx would normalize it
    assert client.getresponse().status == 404


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:80", "", "127.0.0.1.attacker.example"])
def test_a_foreign_name_of_this_machine_is_refused(base: str, host: str) -> None:
    for path in ("/", "/data_docs/"):
        assert httpx.get(f"{base}{path}", headers={"Host": host}).status_code == 400
    assert httpx.get(f"{base}/", headers={"Host": "localhost"}).status_code == 200


def test_a_link_names_its_home_and_another_homes_server_refuses_it(base: str) -> None:
    assert httpx.get(f"{base}/home-{HOME}/data_docs/index.html").text == "<p>checked</p>"
    assert httpx.get(f"{base}/home-{HOME}").status_code == 200
    for path in ("", "/", "/data_docs/", "/data_docs/index.html"):
        refused = httpx.get(f"{base}/home-0123abcd{path}")
        assert refused.status_code == 404
        assert "belongs to another home" in refused.text
        assert "checked" not in refused.text
    assert httpx.get(f"{base}/home-{HOME}/../secret").status_code == 404
    assert httpx.get(f"{base}/home-{HOME}/data_docs/.git").status_code == 404
