"""Runs a command in a fork of the preloaded process of `cxm up`, which has done the slow imports: arguments → exit code.

this process ──arguments, folder, environment, its three files──▶ `flows.preloaded` ──fork──▶ the command
             ──signals──────────────────────────────────────────▶
             ◀──exit code─────────────────────────────────────────

This module imports only the standard library and `flows.project`, because its process only waits. If it is killed, the command
is killed too.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

SOCKET = "preloaded.sock"  # in CXM_HOME/run; only its owner may connect
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CODE_HAS_CHANGED = 75  # exit code of the preloaded process: the code on disk is not the one that it imported
ACCEPTED, GO = b"+", b"!"  # a command is forked only after both: a caller that gave up waiting runs it itself
ENDED = struct.Struct("!i")  # the exit code; negative: the number of the signal that ended the command


def run_preloaded(arguments: Sequence[str]) -> int | None:
    """Run `cxm arguments` in a fork of the home's preloaded process; returns its exit code, or None if no process accepts it."""
    from flows.project import PROJECT

    home = Path(os.environ.get("CXM_HOME") or PROJECT / ".cxm").expanduser().resolve()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            request = {
                "arguments": list(arguments),
                "folder": os.getcwd(),  # noqa: PTH109 - a string is what is sent
                "umask": _umask(),
                "environment": dict(os.environ),
                "project": str(PROJECT),
                "python": sys.executable,
            }
            connection.settimeout(2)
            connection.connect(str(home / "run" / SOCKET))
            _send(connection, request)
            if connection.recv(1) != ACCEPTED:
                return None
            socket.send_fds(connection, [GO], [0, 1, 2])
        except (
            OSError
        ):  # nothing listens, the path is longer than a socket's may be, the process is busy, the folder is gone
            return None
        connection.settimeout(None)
        return _wait(connection)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _send(connection: socket.socket, request: Mapping[str, Any]) -> None:
    document = json.dumps(request).encode()
    connection.sendall(struct.pack("!I", len(document)) + document)


def receive(connection: socket.socket) -> dict[str, Any]:
    """Receive a request.

    Raises:
        OSError: it did not arrive whole.
    """
    size: int = struct.unpack("!I", _exactly(connection, 4))[0]
    try:
        request: dict[str, Any] = json.loads(_exactly(connection, size))
    except ValueError as error:
        raise OSError(str(error)) from error
    return request


def _exactly(connection: socket.socket, size: int) -> bytes:
    result = b""
    while len(result) < size:
        if not (part := connection.recv(size - len(result))):
            raise OSError("the request ended early")
        result += part
    return result


def _wait(connection: socket.socket) -> int:
    """Forward signals until the command has ended, and return its exit code. If a signal ended it, end this process by it too."""

    def forward(number: int, _: object) -> None:
        with suppress(OSError):
            connection.send(bytes([number]))

    for number in FORWARDED:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, forward)
    answer = b""
    while len(answer) < ENDED.size:
        if not (part := connection.recv(ENDED.size - len(answer))):
            print(  # noqa: T201 - click is not imported
                "error: the process that ran this command ended without an exit code; see what it did with `cxm batches`, "
                "then run it again",
                file=sys.stderr,
            )
            return 5
        answer += part
    code: int = ENDED.unpack(answer)[0]
    if code < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code
