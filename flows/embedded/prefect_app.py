"""`python -m flows.embedded.prefect_app PORT` → Prefect's server on 127.0.0.1:PORT, for its own addresses only.

What `prefect server start` runs, behind a look at the Host header: a page whose name a stranger's DNS turns to 127.0.0.1 gets
400 for everything (https://en.wikipedia.org/wiki/DNS_rebinding); Prefect has no setting for that. Its settings are in the
environment.
"""

from __future__ import annotations

import sys

HOSTS = ("127.0.0.1", "localhost")


def main(port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    settings = get_current_settings().server
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
