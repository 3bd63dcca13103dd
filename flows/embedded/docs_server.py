"""`python -m flows.embedded.docs_server PORT FOLDER HOME`: serves the pages in FOLDER (Data Docs, dbt docs) on 127.0.0.1:PORT.

A link to a page begins with `/home-HOME/`, so that another home's server that later gets the port refuses it instead of showing
its own page.

It uses HTTP, because a page of the Prefect UI may not link to a file. The root lists the kinds of pages; no folder is listed, no
name that begins with a dot is served, and only requests to this machine's own address are answered. The pages hold no secret.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from html import escape
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

HOSTS = ("127.0.0.1", "localhost")
# The kinds of pages, in the order in which the root lists them.
SHELVES = {
    "history": "History: how loads went, by table and day",
    "data_docs": "Data Docs: what each batch was checked for, and the results",
    "dbt_docs": "dbt docs: every model, column and test, and the lineage",
}
OF_A_HOME = re.compile(r"/home-(?P<home>[0-9a-f]+)(?P<page>/.*)?$")
WHOSE = (
    "this server belongs to another home than the link, home {home}; start that one's with cxm up and see cxm status"
)
ROOT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>MedTech-CXM: pages</title>
<style>body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em }}</style>
<h1>MedTech-CXM</h1>
<ul>{items}</ul>
"""


class Handler(SimpleHTTPRequestHandler):
    """Serves the files of one folder."""

    def __init__(self, *args: Any, home: str, **options: Any) -> None:
        self.home = home
        super().__init__(*args, **options)

    def send_head(self) -> BytesIO | BinaryIO | None:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in HOSTS:
            self.send_error(HTTPStatus.BAD_REQUEST, "Invalid host header")
            return None
        if (named := OF_A_HOME.match(self.path)) is not None:
            if named["home"] != self.home:
                self.send_error(HTTPStatus.NOT_FOUND, "A page of another home", WHOSE.format(home=named["home"]))
                return None
            self.path = named["page"] or "/"
        path = unquote(self.path.partition("?")[0])
        if any(part.startswith(".") for part in path.split("/")):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        if path == "/" and not (Path(self.directory) / "index.html").exists():
            return self._root()
        return super().send_head()

    def end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def list_directory(self, path: object) -> None:
        """Refuse to list a folder."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def _root(self) -> BytesIO:
        shelves = {name: words for name, words in SHELVES.items() if (Path(self.directory) / name).is_dir()}
        items = "".join(f'<li><a href="{name}/">{escape(words)}</a></li>' for name, words in shelves.items())
        page = ROOT.format(items=items or "<li>Nothing yet: a run publishes here.</li>").encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        return BytesIO(page)


def main(port: int, folder: str, home: str) -> None:
    """Serve until SIGTERM."""
    ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=folder, home=home)).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
