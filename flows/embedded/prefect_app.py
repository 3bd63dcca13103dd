"""`python -m flows.embedded.prefect_app PORT`: runs Prefect's server on 127.0.0.1:PORT, reachable by that address only.

It is what `prefect server start` runs, behind a check of the Host header: a web page whose domain resolves to 127.0.0.1 gets
400 for everything (https://en.wikipedia.org/wiki/DNS_rebinding); Prefect has no setting for that. Its settings are in the
environment.
"""

from __future__ import annotations

import gc
import sys
import threading
import time

HOSTS = ("127.0.0.1", "localhost")
_COLLECT_SECONDS = 1.0


def collect_garbage_beside() -> None:
    """Collect cyclic garbage in a separate thread from now on, never in the event loop's.

    In the event loop it can block: finalizing an SQLite cursor waits for the connection's mutex, held by another thread, which
    waits for the write lock, held by a coroutine of this event loop. Then the server answers nothing until SQLite's busy_timeout
    of 60 seconds. Two such stops in 200 seconds of a dbt build beside a run, none with this (2026-11-27, Prefect 3.9, CPython
    3.11). A finalizer waits without the interpreter's lock, so in a separate thread it blocks nothing else.
    """
    gc.disable()
    threading.Thread(target=_collect_garbage, name="collect garbage", daemon=True).start()


def _collect_garbage() -> None:
    young, middle, _ = gc.get_threshold()
    for round_number in range(sys.maxsize):
        time.sleep(_COLLECT_SECONDS)
        if gc.get_count()[0] > young:
            gc.collect(2 if round_number % 60 == 59 else 1 if round_number % middle == 0 else 0)


def main(port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    settings = get_current_settings().server
    collect_garbage_beside()
    application = create_app(final=True)
    uvicorn.run(
        TrustedHostMiddleware(application, allowed_hosts=HOSTS, www_redirect=False),
        host="127.0.0.1",
        port=port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
