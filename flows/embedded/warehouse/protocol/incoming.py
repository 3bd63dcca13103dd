"""Checks an HTTP request before it is read further: its sender, its size, and that its JSON is the protocol's.

request ──Doorkeeper──▶ 400 for a foreign Host, 403 for a foreign Origin; body ──read_body──▶ a JSON object, or BadRequestError

A web page that is open in a browser on this machine can send requests here. It cannot hide its Origin; if its own host name
resolves to this machine (DNS rebinding), it cannot hide that name in Host.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MIB = 1 << 20
# A login needs no more; a client that is logged in sends statements and array bindings.
BEFORE_LOGIN, PACKED, UNPACKED = MIB, 64 * MIB, 256 * MIB
# "Snowflake recommends 1 MB per statement; larger ones process normally": https://docs.snowflake.com/en/user-guide/query-size-limits
STATEMENT = 32 * MIB

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class BadRequestError(Exception):
    """A request that does not follow the protocol; `status` is the answer's."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def refusal(message: str, status: int = 400) -> JSONResponse:
    """Return the protocol's answer to a request that is refused."""
    return JSONResponse({"data": None, "code": str(status), "message": message, "success": False}, status_code=status)


class Doorkeeper:
    """ASGI middleware that refuses requests to another host name than this machine's, and requests of web pages."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
            if _host(f"//{headers.get('host', '')}") not in LOOPBACK:
                await refusal("This server answers to 127.0.0.1 and localhost only.")(scope, receive, send)
                return
            if "origin" in headers:
                await refusal("No web page may talk to this server.", 403)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


async def read_body(request: Request, packed: int = PACKED, unpacked: int = UNPACKED) -> dict[str, Any]:
    """Read the request's JSON object, with no more of it in memory than the limits allow. Raises BadRequestError."""
    declared = request.headers.get("Content-Length", "0")
    raw = bytearray()
    if not declared.isdigit() or int(declared) > packed:
        raise BadRequestError(f"The request has {declared} bytes; at most {packed} are taken.", 413)
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > packed:
            raise BadRequestError(f"The request has more than {packed} bytes.", 413)
    text = _unpacked(bytes(raw), unpacked) if request.headers.get("Content-Encoding") == "gzip" else bytes(raw)
    if not text:
        return {}
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequestError("The request's body is not JSON.") from None
    return as_object(body, "the request's body")


def _unpacked(raw: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(31)
    try:
        text = stream.decompress(raw, limit)
    except zlib.error:
        raise BadRequestError("The request says gzip and is not.") from None
    if stream.unconsumed_tail:
        raise BadRequestError(f"The request unpacks to more than {limit} bytes.", 413)
    if not stream.eof:
        raise BadRequestError("The request's gzip ends in the middle.")
    return text


def as_object(value: Any, what: str) -> dict[str, Any]:
    """Check that a value is a JSON object; None means an empty one. Raises BadRequestError."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequestError(f"Expected {what} to be a JSON object, got {type(value).__name__}.")
    return value
