"""Client → `Proxy` → server, with a fault in between wherever a rule asks for one, as from a bad network or an overloaded server.

HTTP/1.1 only. Each connection of a client has one connection to the server and ends with it, so a server sees a client die.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal[
    "answer",  # the proxy answers itself; the server gets nothing
    "reset before",  # the connection is reset before the server gets anything
    "reset mid-request",  # the server gets half of the body
    "reset during",  # the server has the whole request and works on it
    "reset after",  # the server has done it, the answer is lost
    "reset mid-answer",  # half of the answer arrives, then a reset
    "truncate",  # half of the answer arrives, then an orderly end
    "slow",  # the answer drips
    "hold",  # the answer waits
    "refuse",  # a reset, and new connections are refused for a moment
]

# The first statement of a task on a connection that another task has used.
NEW_TAG = "ALTER SESSION SET QUERY_TAG = "
REFUSED_SECONDS = 0.3
SLOW_SECONDS = 0.4
HELD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request; `strike` is called at the moment it does."""

    kind: Kind
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    strike: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a rule sees it. `sql` and `tag` are Snowflake's: the statement, without the comments
    that a template begins with, and the session's query tag."""

    method: str
    path: str  # decoded, without the query
    query: dict[str, str]
    headers: dict[str, str]
    sql: str = ""
    tag: dict[str, str] = field(default_factory=dict)

    @property
    def logs_in(self) -> bool:
        return "login-request" in self.path

    @property
    def begins(self) -> bool:
        """Whether it is the first request of a task: a login, or the new tag of a connection that another task has used."""
        return self.logs_in or self.sql.startswith(NEW_TAG)


Rule = Callable[[Request], Fault | None]


def after_copy(start: str) -> Callable[[Request], bool]:
    """Return a condition: the first statement after a table's COPY, in that table's session, that begins with `start`."""
    copied: set[str] = set()

    def at(request: Request) -> bool:
        table = request.tag.get("table", "")
        if request.tag.get("step") != "load" or not request.sql:
            return False
        if request.sql.startswith("COPY"):
            copied.add(table)
        if table in copied and request.sql.startswith(start):
            copied.clear()
            return True
        return False

    return at


def calm(_: Request) -> Fault | None:
    """Let every request pass."""
    return None


class Proxy:
    """A listener on loopback in front of `port`; `rule` is asked once for each request, in the proxy's thread.

    `whole`: the request's body is read before the rule is asked (a statement is known by its text); without it the rule is
    asked as soon as the head has arrived, so a fault can strike in the middle of an upload.
    """

    def __init__(self, port: int, whole: bool) -> None:
        self.rule: Rule = calm
        self.seen: list[Request] = []
        self.struck: list[tuple[Request, Fault]] = []
        self._target, self._whole = port, whole
        self._tags: dict[str, dict[str, str]] = {}  # session token → query tag
        self._writers: set[asyncio.StreamWriter] = set()
        self._refusals: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = 0
        self._on_loop(self._listen())

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._on_loop(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def clear(self) -> None:
        """Stop all faults, wait until it listens again, and forget what it has seen and what struck."""
        self.rule = calm
        self._on_loop(self._wait_for_refusals())
        self.seen.clear()
        self.struck.clear()

    def _on_loop(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:  # type: ignore[arg-type]
            task.cancel()
        await asyncio.sleep(0)

    async def _wait_for_refusals(self) -> None:
        await asyncio.gather(*self._refusals)

    async def _refuse_for_a_moment(self) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            _reset(writer)
        await asyncio.sleep(REFUSED_SECONDS)
        await self._listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if up is None:
                    up = await asyncio.open_connection("127.0.0.1", self._target, limit=2**20)
                if not await self._one(head, reader, writer, *up):
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client has gone, or the server has, or this proxy closes
        finally:
            self._writers.discard(writer)
            for one in (writer, *((up[1],) if up else ())):
                one.close()

    async def _one(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> bool:
        """Pass on one request and its answer; return False if the connection has ended with it."""
        first, headers = _parse(head)
        method, target, _ = first.split(" ", 2)
        size = int(headers.get("content-length", 0))
        if headers.pop("expect", ""):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(size) if self._whole else b""
        request = self._request(method, target, headers, body)
        self.seen.append(request)
        fault = self.rule(request)
        if fault:
            self.struck.append((request, fault))
        kind = fault.kind if fault else None
        rest = 0 if self._whole else size
        sent_head = _head(first, headers)

        if fault and kind == "reset mid-request":
            half = (body or await reader.readexactly(rest // 2))[: size // 2]
            up_writer.write(sent_head + half)
            await up_writer.drain()
            fault.strike()
            _reset(up_writer)
            _reset(writer)
            return False
        body += await reader.readexactly(rest)
        if fault and kind in ("reset before", "refuse"):
            fault.strike()
            _reset(writer)
            if kind == "refuse" and not self._refusals:
                refusal = self._loop.create_task(self._refuse_for_a_moment())
                self._refusals.add(refusal)
                refusal.add_done_callback(self._refusals.discard)
            return False
        if fault and kind == "answer":
            fault.strike()
            extra = "".join(f"{k}: {v}\r\n" for k, v in fault.headers.items())
            start = f"HTTP/1.1 {fault.status} Fault\r\n{extra}Content-Length: {len(fault.body)}\r\n\r\n"
            writer.write(start.encode() + (b"" if method == "HEAD" else fault.body))
            await writer.drain()
            return True

        up_writer.write(sent_head + body)
        if fault and kind == "reset during":
            await up_writer.drain()
            fault.strike()
            _reset(writer)
            return False
        if fault and kind == "hold":
            fault.strike()
        answer_head, answer = await _answer(up_reader, method)
        if request.logs_in:
            self._remember(answer, body)
        if kind == "hold":
            await asyncio.sleep(HELD_SECONDS)
        if fault is None or kind == "hold":
            writer.write(answer_head + answer)
            await writer.drain()
            return b"connection: close" not in answer_head.lower()
        whole = answer_head + answer
        if kind == "slow":
            step = max(1, len(whole) // 4)
            for at in range(0, len(whole), step):
                writer.write(whole[at : at + step])
                await writer.drain()
                await asyncio.sleep(SLOW_SECONDS / 4)
            fault.strike()
            return True
        fault.strike()
        if kind in ("truncate", "reset mid-answer"):
            writer.write(whole[: len(answer_head) + len(answer) // 2] if answer else whole[: len(whole) // 2])
            await writer.drain()
        if kind != "truncate":
            _reset(writer)
        return False

    def _request(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Request:
        parts = urlsplit(target)
        query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        token = headers.get("authorization", "").partition('Token="')[2].rstrip('"')
        sql = ""
        if "query-request" in parts.path:
            lines = str(_json(body, headers).get("sqlText", "")).splitlines()
            sql = "\n".join(line for line in lines if not line.startswith("--")).strip()
            if sql.startswith(NEW_TAG):
                client = self._tags.get(token, {}).get("client", "")
                self._tags[token] = {"client": client, **json.loads(sql.removeprefix(NEW_TAG).strip("'"))}
        tag = self._tags.get(token, {})
        if "login-request" in parts.path:
            tag = _tag(_json(body, headers))
        return Request(method, unquote(parts.path), query, headers, sql, tag)

    def _remember(self, answer: bytes, body: bytes) -> None:
        token = (json.loads(answer).get("data") or {}).get("token")
        if token:
            sent = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            self._tags[token] = _tag(json.loads(sent))


def _tag(login: dict[str, Any]) -> dict[str, str]:
    data = login.get("data") or {}
    tag = (data.get("SESSION_PARAMETERS") or {}).get("QUERY_TAG") or "{}"
    with suppress(ValueError):
        document = json.loads(tag)
        if isinstance(document, dict):
            return {"client": str(data.get("CLIENT_ENVIRONMENT", {}).get("APPLICATION", "")), **document}
    return {"tag": str(tag)}


def _json(body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    raw = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
    document = json.loads(raw or b"{}")
    return document if isinstance(document, dict) else {}


def _parse(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _head(first: str, headers: dict[str, str]) -> bytes:
    return (first + "\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode("latin-1")


async def _answer(reader: asyncio.StreamReader, method: str) -> tuple[bytes, bytes]:
    """Read head and body, the body as it came (chunks and all)."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, headers = _parse(head)
    status = int(first.split(" ")[1])
    if status == 100:
        return await _answer(reader, method)
    if method == "HEAD" or status in (204, 304):
        return head, b""
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            body += line + await reader.readexactly(int(line.split(b";")[0], 16) + 2)
            if line.strip() == b"0":
                return head, body
    if "content-length" in headers:
        return head, await reader.readexactly(int(headers["content-length"]))
    return head, await reader.read()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Send RST instead of FIN, as a dead peer or a firewall does."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
